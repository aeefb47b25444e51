"""A trace and a measured deployment as a scenario: the month's tokens, the peak, what one machine carries. Pure."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from baseload.capacity.deployment import Deployment
from baseload.errors import NotEnoughData
from baseload.load.trace import Trace
from baseload.plan.document import plain
from baseload.plan.scenario import Figure, Scenario, ScenarioMachine, ScenarioPrice
from baseload.units import HOURS_PER_MONTH, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MINUTE
from baseload.usage import Usage

FEWEST_MINUTES = 3
FEWEST_REQUESTS = 30
_MINUTE_NS = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND


def trace_scenario(
    trace: Trace,
    deployment: Deployment,
    usd_per_gpu_hour: Figure,
    *,
    name: str,
    prices: tuple[ScenarioPrice, ...] = (),
    models: tuple[str, ...] = (),
) -> Scenario:
    """The trace as if it went on for a month, its busiest minute as the peak.

    Raises NotEnoughData for fewer than thirty requests or three minutes.
    """
    last = trace.arrivals[-1].after_ns // _MINUTE_NS
    minutes, requests = last + 1, len(trace.arrivals)
    if minutes < FEWEST_MINUTES or requests < FEWEST_REQUESTS:
        raise NotEnoughData(
            f"{name} holds {requests} requests in {minutes} minutes",
            remedy=f"Give a trace of at least {FEWEST_REQUESTS} requests in {FEWEST_MINUTES} minutes.",
        )
    busy: Counter[int] = Counter()
    for each in trace.arrivals:
        # Microseconds, whole: a counter of exact figures stays exact.
        seconds = deployment.seconds(Usage(input_tokens=each.input_tokens, output_tokens=each.output_tokens))
        busy[each.after_ns // _MINUTE_NS] += int(seconds * 1_000_000)
    total = sum(busy.values())
    if not total:
        raise NotEnoughData(f"{name} holds requests without tokens", remedy="Give a trace with token counts.")
    read = sum(each.input_tokens for each in trace.arrivals)
    wrote = sum(each.output_tokens for each in trace.arrivals)
    month = Decimal(HOURS_PER_MONTH * SECONDS_PER_HOUR)
    scale = month / (minutes * SECONDS_PER_MINUTE)
    peak = Decimal(max(busy.values()) * minutes) / total
    room = (read + wrote) * month * 1_000_000 / total
    doubt = deployment.doubt
    return Scenario(
        name=name,
        title=f"{requests:,} requests in {minutes:,} minutes, as if they went on for a month",
        source=f"trace {name}, from {trace.started:%Y-%m-%d %H:%M} UTC",
        notes=(
            f"Capacity is that of deployment {deployment.name} on this trace's own mix, always busy.",
            f"The busiest minute asks for {peak:.2f} times the mean.",
            *([f"Its measurement is {doubt.sentence}."] if doubt is not None else []),
        ),
        input=f"{plain(round(read * scale)):f}",
        output=f"{plain(round(wrote * scale)):f}",
        prices=prices,
        models=models,
        machine=ScenarioMachine(
            name=deployment.name,
            usd_per_gpu_hour=usd_per_gpu_hour,
            gpus=deployment.gpus,
            capacity=f"{plain(round(room)):f}",
            capacity_low=f"{plain(round(room * deployment.band.low)):f}",
            capacity_high=f"{plain(round(room * deployment.band.high)):f}",
            peak=f"{plain(round(peak, 4)):f}",
        ),
    )
