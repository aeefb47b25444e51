"""What a simulation says: how long requests took, how busy each supply was, and the bill. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from baseload.cost.bill import Bill, Line
from baseload.errors import Unpriced
from baseload.load.calls import Attempt, Call, Choice, Decision, Evidence, Status
from baseload.ranges import Range
from baseload.sim.engine import NONE
from baseload.sim.fleet import ApiUse, Outcome, PoolUse
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR, usd
from baseload.usage import Usage

if TYPE_CHECKING:
    from baseload.sim.replica import Floats

_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over many requests, in seconds; None without one."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None

    @classmethod
    def of(cls, values: Floats) -> Spread:
        if not len(values):
            return cls(None, None, None, None)
        p50, p90, p99 = (float(each) for each in np.percentile(values, (50, 90, 99)))
        return cls(float(values.mean()), p50, p90, p99)


@dataclass(frozen=True, slots=True)
class Times:
    """Time to the first token, per token after it (requests of more than one), and to the last, of what was served."""

    first_token: Spread
    per_token: Spread
    latency: Spread


def times(outcome: Outcome, supply: int | None = None) -> Times:
    """How long requests took, of one supply or of all."""
    mine = outcome.served if supply is None else outcome.supply == supply
    arrival, output = outcome.load.requests.arrival[mine], outcome.load.requests.output[mine]
    first, finish = outcome.first[mine], outcome.finish[mine]
    several = output > 1
    return Times(
        Spread.of(first - arrival),
        Spread.of((finish - first)[several] / (output[several] - 1)),
        Spread.of(finish - arrival),
    )


def attainment(outcome: Outcome, *, first_token: float | None = None, per_token: float | None = None) -> float | None:
    """The share of all requests, refused ones included, that were served within both bounds, in seconds; None without
    a request."""
    if not len(outcome.supply):
        return None
    requests = outcome.load.requests
    with np.errstate(invalid="ignore"):
        good = outcome.served.copy()
        if first_token is not None:
            good &= outcome.first - requests.arrival <= first_token
        if per_token is not None:
            good &= outcome.finish - outcome.first <= per_token * (requests.output - 1)
    return float(good.mean())


def bill(outcome: Outcome) -> Bill:
    """What the window cost: every paid hour of the pools, its busy part as used and the rest as idle, and each API.

    Raises Unpriced where an hour or a request has no known price.
    """
    uses: list[PoolUse | ApiUse] = [*outcome.pools, *outcome.apis]
    return Bill(tuple(line for use in uses for line in lines(use)))


def lines(use: PoolUse | ApiUse) -> tuple[Line, ...]:
    """The lines of one supply; raises Unpriced as `bill` does."""
    return (_tokens(use),) if isinstance(use, ApiUse) else tuple(_hours(use))


def _hours(use: PoolUse) -> Iterator[Line]:
    pool = use.pool
    if pool.usd_per_gpu_hour is None:
        raise Unpriced(f"what an hour of {pool.name} costs is not known", remedy="Give its USD per GPU-hour.")
    paid, busy = (_hours_of(each) for each in (use.paid_seconds, use.busy_seconds))
    for word, hours in (("busy", min(busy, paid)), ("idle", max(paid - busy, Decimal(0)))):
        yield Line(
            f"{pool.name}, {word}",
            Range.exact(pool.usd_per_gpu_hour * pool.gpus * hours),
            f"{pool.gpus} x {pool.usd_per_gpu_hour} USD/h x {hours.normalize():f} h",
            basis="used" if word == "busy" else "idle",
        )


def _hours_of(seconds: float) -> Decimal:
    """Simulated seconds as hours, to the millionth."""
    return (Decimal(seconds) / SECONDS_PER_HOUR).quantize(_MICRO, ROUND_HALF_EVEN)


def _tokens(use: ApiUse) -> Line:
    if use.nanousd is None:
        raise Unpriced(f"a request to {use.api.name} has no price", remedy="Add its price to your own book.")
    how = f"{use.requests} requests, {use.tokens_in} tokens in, {use.tokens_out} out"
    return Line(use.api.name, Range.exact(usd(use.nanousd)), how)


def calls(outcome: Outcome, offers: tuple[str, ...], *, run: str) -> Iterator[Call]:
    """The same facts as metered Calls, refused requests left out. `offers` are the keys of each supply's offer.

    Own calls have no cost here: their pool is paid by the hour.
    """
    requests, start_ns = outcome.load.requests, outcome.load.start_ns

    def moment(seconds: float) -> int:
        return start_ns + round(seconds * NANOSECONDS_PER_SECOND)

    apis = {len(outcome.pools) + place: use.api for place, use in enumerate(outcome.apis)}
    for place in range(len(requests)):
        supply = int(outcome.supply[place])
        if supply == NONE:
            continue
        name = outcome.supplies[supply]
        kind = outcome.load.kinds[int(outcome.load.kind[place])]
        usage = Usage(
            input_tokens=int(requests.prompt[place] - requests.cached[place]),
            cache_read_tokens=int(requests.cached[place]),
            output_tokens=int(requests.output[place]),
        )
        if supply in apis:
            usage = Usage(input_tokens=int(requests.prompt[place]), output_tokens=int(requests.output[place]))
        at, ended = moment(float(requests.arrival[place])), moment(float(outcome.finish[place]))
        attempt = Attempt(
            number=1,
            route=name,
            upstream=name,
            model=kind.model,
            offer=offers[supply],
            started_ns=at,
            ended_ns=ended,
            first_byte_ns=moment(float(outcome.first[place])),
            http_status=200,
            usage=usage,
            evidence=Evidence.ESTIMATED,
            cost_nanousd=apis[supply].price(usage, at) if supply in apis else None,
        )
        yield Call(
            id=f"simulated-{run}-{place}",
            facts=msgspec.structs.replace(kind, at_ns=at, input_tokens=int(requests.prompt[place]), tags={"run": run}),
            decision=Decision(
                id=f"simulated-{run}-{place}", policy="simulated", routes=(Choice(name, "simulated", None),)
            ),
            attempts=(attempt,),
            ended_ns=ended,
            status=Status.OK,
        )
