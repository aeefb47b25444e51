"""The decision on typed prices and one kind of machine: buy by the token, rent, or both. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from baseload.cost.bill import Bill
from baseload.cost.breakeven import critical_fill, windows
from baseload.cost.curves import ZERO, Curve, Hybrid, Tariff
from baseload.cost.lowest import Lowest
from baseload.errors import BadInput
from baseload.plan.assumptions import typed
from baseload.plan.document import (
    SCHEMA,
    Assumption,
    CannotEntry,
    CrossingEntry,
    DecideDocument,
    FillEntry,
    Kind,
    Known,
    Metered,
    ThresholdEntry,
    VerdictEntry,
    WindowEntry,
    curve_entry,
    plain,
)
from baseload.plan.document import Volume as VolumeEntry
from baseload.plan.options import (
    NOTHING,
    Machines,
    Option,
    TokenPrice,
    Volume,
    api_option,
    hybrid_option,
    machine_option,
)
from baseload.plan.question import MEASURE
from baseload.plan.verdict import NO_TURNING, Crossings, Turning, all_crossings, flips, hidden, verdict
from baseload.units import HOURS_PER_MONTH

MACHINES_DRAWN = 64
HYBRID_SILENT = (
    "{name}: no flip points over prices, the simple model sizes it anew at each; --lease rented holds its machines "
    "and has them."
)
OWNS_NOTHING = "it would own nothing: at this volume base machines do not earn what they and running them cost."


@dataclass(frozen=True, slots=True)
class Found:
    """What the options lead to, before it is written down. `own` is the option on machines alone, if there is one;
    `drawn` are the curves over volume: also that of a hybrid which owns nothing at this one."""

    volume: Volume
    options: tuple[Option, ...]
    cheapest_api: Option
    own: Option | None
    crossed: Crossings | None
    fill: Fraction | None
    drawn: tuple[tuple[Kind, Curve], ...]
    fills: tuple[FillEntry, ...] = ()
    cannot: tuple[CannotEntry, ...] = ()


def decide_on_prices(
    volume: Volume,
    prices: Sequence[TokenPrice],
    machines: Machines | None = None,
    *,
    kind: Kind = "rented",
) -> DecideDocument:
    """Decide from a month's tokens, API prices and, if given, machines.

    A hybrid is weighed under even load only: with a peak its size depends on the shape of the load, which is metered.
    """
    if not prices:
        raise BadInput("there is no API price to compare with", remedy="Give --price input/output or --model.")
    options = [api_option(volume, price) for price in prices]
    _distinct(options, machines)
    cheapest = min(options, key=lambda option: option.usd_per_month.likely)
    own, crossed, fill, mixed = None, None, None, None
    if machines is not None:
        own = machine_option(volume, machines, kind)
        crossed = all_crossings(cheapest, own)
        hourly = Fraction(machines.usd_per_month.likely) / HOURS_PER_MONTH
        fill = critical_fill(hourly, Fraction(machines.capacity) / HOURS_PER_MONTH, cheapest.curve.slope)
        options.append(own)
        mixed = hybrid_option(volume, machines, cheapest) if machines.peak == 1 else None
    idle = mixed if mixed is not None and not mixed.machines else None
    drawn = [*options, *([mixed] if mixed is not None else [])]
    found = Found(
        volume=volume,
        options=tuple(option for option in drawn if option is not idle),
        cheapest_api=cheapest,
        own=own,
        crossed=crossed,
        fill=fill,
        cannot=(CannotEntry(name=idle.name, kind=idle.kind, why=OWNS_NOTHING),) if idle is not None else (),
        drawn=tuple((option.kind, option.curve) for option in drawn),
    )
    beside = machines.operations if machines is not None else NOTHING
    answer = _verdict(found, "typed", MEASURE, beside)
    return written(found, answer, typed(volume, prices, machines))


def written(
    found: Found, answer: VerdictEntry, assumptions: Sequence[Assumption], metered: Metered | None = None
) -> DecideDocument:
    """The document of a decision."""
    volume, crossed = found.volume, found.crossed
    high = _right_edge(found)
    curves = [curve for _, curve in found.drawn]
    return DecideDocument(
        schema=SCHEMA,
        basis="typed" if metered is None else "metered",
        volume=VolumeEntry(
            input_tokens=plain(volume.input_tokens),
            output_tokens=plain(volume.output_tokens),
            tokens=plain(volume.tokens),
        ),
        options=tuple(option.entry() for option in found.options),
        crossings=_crossing_entries(crossed) if crossed is not None else (),
        crossings_complete=crossed is None or crossed.complete,
        windows=tuple(
            WindowEntry(
                from_tokens_per_month=plain(window.start),
                to_tokens_per_month=plain(window.end),
                cheapest=window.cheapest,
            )
            for window in windows(curves, ZERO, high)
        ),
        critical_fill=plain(found.fill) if found.fill is not None else None,
        fills=found.fills,
        verdict=answer,
        assumptions=tuple(assumptions),
        curves=tuple(curve_entry(curve, kind, high) for kind, curve in found.drawn),
        metered=metered,
        cannot=found.cannot,
        hybrid_threshold=_threshold(found),
    )


def _threshold(found: Found) -> ThresholdEntry | None:
    """Where a hybrid's first machine pays: there is one such place, whatever the number of crossings."""
    curve: Curve | None = next((curve for kind, curve in found.drawn if kind == "hybrid"), None)
    if isinstance(curve, Lowest):
        curve = next(each for each in curve.curves if isinstance(each, Hybrid))
    if found.fill is None or not isinstance(curve, Hybrid):
        return None
    first = curve.threshold(1)
    return ThresholdEntry(fill=plain(found.fill), tokens_per_month=plain(first) if first is not None else None)


def _verdict(found: Found, confidence: Known, next_step: str, beside: Bill) -> VerdictEntry:
    own, crossed = found.own, found.crossed
    turning, stack = NO_TURNING, None
    if own is not None and crossed is not None:
        mixed = [option.name for option in found.options if option.kind == "hybrid"]
        silent = tuple(HYBRID_SILENT.format(name=name) for name in mixed)
        turning = Turning(flips(found.cheapest_api, own, found.volume.tokens, crossed), silent=silent)
        staffed = [option for option in found.options if option.machines]
        stack = hidden(
            found.cheapest_api, min(staffed or [own], key=lambda each: each.usd_per_month.likely), beside.total
        )
    return verdict(found.options, found.volume.tokens, turning, stack, confidence=confidence, next_step=next_step)


def _distinct(options: Sequence[Option], machines: Machines | None) -> None:
    names = [option.name for option in options] + ([machines.name] if machines is not None else [])
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadInput(f"{', '.join(doubled)} was given twice", remedy="Give each price once.")


def _right_edge(found: Found) -> Fraction:
    """How far the curves are drawn: past the last crossing, to at most 64 machines, and always past the volume."""
    now = Fraction(found.volume.tokens)
    far = 2 * now
    if found.crossed is not None and found.crossed.found:
        far = max(far, found.crossed.found[-1].at * 5 / 4)
    if found.own is not None and isinstance(found.own.curve, Tariff):
        far = min(far, found.own.curve.steps[0].capacity * MACHINES_DRAWN)
    return max(far, now * 5 / 4)


def _crossing_entries(crossed: Crossings) -> tuple[CrossingEntry, ...]:
    return tuple(
        CrossingEntry(
            tokens_per_month=plain(crossing.at),
            usd_per_month=plain(crossing.cost),
            kind=crossing.kind,
            cheaper_before=crossing.cheaper_before,
            cheaper_after=crossing.cheaper_after,
        )
        for crossing in crossed.found
    )
