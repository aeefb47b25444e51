"""What a simulation says, as one document and as a page of text. Acts (prints)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from baseload.cli.output import hint, how_many, money, note, say, table
from baseload.errors import Unpriced
from baseload.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from baseload.sim.fleet import ApiUse, Outcome, PoolUse
    from baseload.sim.results import Spread

SCHEMA = "baseload.simulate/1"
MILLISECONDS = 1000
HUNDRED = 100


class Milliseconds(msgspec.Struct, frozen=True, kw_only=True):
    """A time over many requests; None without one."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """Time to the first token, per token after it, and to the last."""

    ttft_ms: Milliseconds
    tpot_ms: Milliseconds
    latency_ms: Milliseconds


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """One pool or API. Hours are of a replica; None for an API. `utilization` is busy over paid.

    `usd_usage` is the busy share of paid hours, or the tokens that were bought; `usd_reservation` is all that is paid.
    None where a price is not known.
    """

    name: str
    own: bool
    requests: int
    tokens_in: int
    tokens_out: int
    paid_hours: float | None
    busy_hours: float | None
    utilization: float | None
    preemptions: int | None
    usd_usage: Decimal | None
    usd_reservation: Decimal | None
    times: Timed


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The load: what it is in words, requests and tokens of it, when it begins (UTC) and how long it lasts."""

    source: str
    start: str
    seconds: float
    requests: int
    tokens_in: int
    tokens_out: int


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds in milliseconds, and the share of all requests that were served within them."""

    ttft_ms: float | None
    tpot_ms: float | None
    attainment: float


class SimulationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `refused` requests found no route with room, `restarted` ones were begun anew after a failure.

    The window lasts `seconds`, to the last answer. `usd_usage` leaves idle hours out, `usd_reservation` is all that is
    paid.
    """

    schema: str = SCHEMA
    load: Asked
    seed: int
    policy: str
    seconds: float
    supplies: tuple[Supply, ...]
    refused: int
    restarted: int
    times: Timed
    objective: Objective | None
    usd_usage: Decimal | None
    usd_reservation: Decimal | None


def describe(
    outcome: Outcome, words: str, seed: int, policy: str, bounds: Mapping[str, float] | None
) -> SimulationDocument:
    """The document. `bounds` are milliseconds by name: ttft, tpot."""
    from baseload.clock import from_ns

    requests = outcome.load.requests
    supplies = tuple(_supply(outcome, place) for place in range(len(outcome.supplies)))
    return SimulationDocument(
        load=Asked(
            source=words,
            start=from_ns(outcome.load.start_ns).isoformat(),
            seconds=float(requests.arrival[-1]),
            requests=len(requests),
            tokens_in=int(requests.prompt.sum(dtype=int)),
            tokens_out=int(requests.output.sum(dtype=int)),
        ),
        seed=seed,
        policy=policy,
        seconds=outcome.ended,
        supplies=supplies,
        refused=int((~outcome.served).sum()),
        restarted=int((outcome.restarts > 0).sum()),
        times=_timed(outcome, None),
        objective=None if bounds is None else _objective(outcome, bounds),
        usd_usage=_sum(each.usd_usage for each in supplies),
        usd_reservation=_sum(each.usd_reservation for each in supplies),
    )


def _supply(outcome: Outcome, place: int) -> Supply:
    from baseload.cost.bill import Bill
    from baseload.sim.results import lines

    uses: list[PoolUse | ApiUse] = [*outcome.pools, *outcome.apis]
    use = uses[place]
    try:
        bill: Bill | None = Bill(lines(use))
    except Unpriced:
        bill = None
    mine = outcome.supply == place
    requests = outcome.load.requests
    pool = outcome.pools[place] if place < len(outcome.pools) else None
    paid = None if pool is None else pool.paid_seconds
    return Supply(
        name=outcome.supplies[place],
        own=pool is not None,
        requests=use.requests,
        tokens_in=int(requests.prompt[mine].sum(dtype=int)),
        tokens_out=int(requests.output[mine].sum(dtype=int)),
        paid_hours=None if paid is None else paid / SECONDS_PER_HOUR,
        busy_hours=None if pool is None else pool.busy_seconds / SECONDS_PER_HOUR,
        utilization=None if pool is None or not paid else pool.busy_seconds / paid,
        preemptions=None if pool is None else pool.preemptions,
        usd_usage=None if bill is None else bill.used.likely,
        usd_reservation=None if bill is None else bill.total.likely,
        times=_timed(outcome, place),
    )


def _timed(outcome: Outcome, place: int | None) -> Timed:
    from baseload.sim.results import times

    found = times(outcome, place)
    return Timed(
        ttft_ms=_milliseconds(found.first_token),
        tpot_ms=_milliseconds(found.per_token),
        latency_ms=_milliseconds(found.latency),
    )


def _milliseconds(found: Spread) -> Milliseconds:
    figures = (found.mean, found.p50, found.p90, found.p99)
    mean, p50, p90, p99 = (None if each is None else each * MILLISECONDS for each in figures)
    return Milliseconds(mean=mean, p50=p50, p90=p90, p99=p99)


def _objective(outcome: Outcome, bounds: Mapping[str, float]) -> Objective:
    from baseload.sim.results import attainment

    first, between = bounds.get("ttft"), bounds.get("tpot")
    share = attainment(
        outcome,
        first_token=None if first is None else first / MILLISECONDS,
        per_token=None if between is None else between / MILLISECONDS,
    )
    return Objective(ttft_ms=first, tpot_ms=between, attainment=share if share is not None else 1.0)


def _sum(figures: Iterable[Decimal | None]) -> Decimal | None:
    """A sum that is unknown as soon as one of its figures is."""
    total = Decimal(0)
    for each in figures:
        if each is None:
            return None
        total += each
    return total


def print_page(document: SimulationDocument) -> None:
    """The page that a person reads."""
    load = document.load
    say(f"{how_many(load.requests, 'request')} from {load.start[:16]} UTC: {load.source}")
    table(
        "",
        ("supply", ">requests", ">share", ">busy", ">hours paid", ">USD, usage", ">USD, paid", ">tokens in", ">out"),
        [_row(each, load.requests) for each in document.supplies],
        _totals(document),
    )
    rows = [(each.name, each.times) for each in document.supplies if each.requests]
    table(
        "Milliseconds: half, nine of ten and 99 of a hundred requests within",
        ("supply", ">first token", ">", ">", ">per token", ">", ">", ">latency", ">", ">"),
        [(name, *_spans(times)) for name, times in rows],
        ("all", *_spans(document.times)),
    )
    if document.objective is not None:
        bounds = {"first token": document.objective.ttft_ms, "token": document.objective.tpot_ms}
        words = ", ".join(f"{name} within {bound:,.0f} ms" for name, bound in bounds.items() if bound is not None)
        say(f"  objective  {document.objective.attainment * HUNDRED:.2f} % of all requests: {words}")
    if document.refused:
        say(f"  refused    {how_many(document.refused, 'request')}: no route had room")
    if document.restarted:
        say(f"  restarted  {how_many(document.restarted, 'request')} on another replica after a failure")
    if document.usd_reservation is None:
        note("what it costs is not known: give each --pool its usd per GPU-hour, and each API a price in your book")
    hint("baseload decide weighs the same load at every price, with what is not certain")


def _row(each: Supply, requests: int) -> tuple[str, ...]:
    busy = "" if each.utilization is None else f"{each.utilization * HUNDRED:.1f} %"
    hours = "" if each.paid_hours is None else f"{each.paid_hours:,.2f}"
    return (
        each.name,
        f"{each.requests:,}",
        f"{each.requests / requests * HUNDRED:.1f} %",
        busy,
        hours,
        _known(each.usd_usage),
        _known(each.usd_reservation),
        f"{each.tokens_in:,}",
        f"{each.tokens_out:,}",
    )


def _totals(document: SimulationDocument) -> tuple[str, ...]:
    served = sum(each.requests for each in document.supplies)
    return (
        "total",
        f"{served:,}",
        f"{served / document.load.requests * HUNDRED:.1f} %",
        "",
        "",
        _known(document.usd_usage),
        _known(document.usd_reservation),
        f"{sum(each.tokens_in for each in document.supplies):,}",
        f"{sum(each.tokens_out for each in document.supplies):,}",
    )


def _spans(found: Timed) -> tuple[str, ...]:
    spreads = (found.ttft_ms, found.tpot_ms, found.latency_ms)
    figures = [figure for each in spreads for figure in (each.p50, each.p90, each.p99)]
    return tuple("" if figure is None else f"{figure:,.0f}" for figure in figures)


def _known(figure: Decimal | None) -> str:
    return "unknown" if figure is None else money(figure)
