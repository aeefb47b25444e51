"""The decision as a document: schema `baseload.decide/1`. Pure values; keys are only ever added.

Money is USD a month as low, likely, high. Volumes are tokens a month, input and output together.
"""

from __future__ import annotations

import itertools
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from baseload.cost.bill import Basis, Bill, Input
from baseload.cost.curves import Curve
from baseload.ranges import Range

SCHEMA = "baseload.decide/1"

Kind = Literal["now", "api", "rented", "reserved", "spot", "owned", "brokered", "hybrid"]
# How a figure is known, best first.
Known = Literal["metered", "imported", "typed", "article", "market", "assumed"]

_PLACES = Decimal("0.000001")
# Money of a bill keeps its nano-dollars, so that written lines add up to the written total.
_NANO = Decimal("0.000000001")
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """USD a month."""

    low: Decimal
    likely: Decimal
    high: Decimal


class InputEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A figure behind a line. `origin` is who stated it: option, load, typed, config, default, left out."""

    name: str
    value: Money
    unit: str
    origin: str
    source: str | None
    as_of: date | None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an option's bill. `source` is null where it follows from typed or metered figures.

    A line of the cost model has an `id` and says its `formula`, `quantity` of `unit` at `unit_price`, and its `inputs`.
    `basis` is used, idle or once; a cost that is spread over time says the whole of it as `once`. `category` is the
    FOCUS charge category.
    """

    component: str
    usd_per_month: Money
    how: str
    source: str | None
    as_of: date | None
    id: str = ""
    basis: Basis = "used"
    category: str = "Usage"
    formula: str = ""
    quantity: Money | None = None
    unit: str = ""
    unit_price: Money | None = None
    once: Money | None = None
    inputs: tuple[InputEntry, ...] = ()


class OptionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve the volume. `fill` is the mean share of its machines' capacity that is used.

    `usd_per_month` is the reservation basis; `usage_usd_per_month` leaves out what stands idle, `running_usd_per_month`
    what is paid once. `spare` machines stand beside the `machines` that serve, `bought` is the share of the load that
    goes to an API. All of these are null or zero where only the lease was weighed.
    """

    name: str
    kind: Kind
    usd_per_month: Money
    machines: int
    capacity_tokens_per_month: Decimal | None
    fill: Decimal | None
    lines: tuple[Item, ...]
    note: str
    usage_usd_per_month: Money | None = None
    running_usd_per_month: Money | None = None
    spare: int = 0
    bought: Decimal | None = None


class CannotEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A way that cannot be, so that it has no price, and why."""

    name: str
    kind: Kind
    why: str


class ThresholdEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The one threshold of a hybrid: its next machine pays once it is busier than `fill`, the first from
    `tokens_per_month` on (null where it never pays)."""

    fill: Decimal
    tokens_per_month: Decimal | None


class CrossingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A volume at which the cheaper of two options changes: they meet at a `point`, or one steps over at a `jump`."""

    tokens_per_month: Decimal
    usd_per_month: Decimal
    kind: Literal["point", "jump"]
    cheaper_before: str
    cheaper_after: str


class WindowEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Which option is the cheapest from one volume to another."""

    from_tokens_per_month: Decimal
    to_tokens_per_month: Decimal
    cheapest: str


class FillEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How busy the n-th machine would be, others being filled first; it pays above the critical fill."""

    machine: int
    fill: Decimal
    pays: bool


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """A value of one input at which the answer changes, all else equal; `now` is what it is."""

    axis: Literal["volume", "api_price", "gpu_price", "hidden_cost", "fill", "engineer_share", "hours_on"]
    value: Decimal
    now: Decimal
    unit: str
    sentence: str


class Hidden(msgspec.Struct, frozen=True, kw_only=True):
    """What running machines costs beside the machines, and whether it turns the answer."""

    included: bool
    usd_per_month: Money
    flips: Literal["no", "possibly", "yes"]
    sentence: str


class VerdictEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `saving_usd_per_month` is against `against`: what is paid now where that was metered, else the best
    way of the other sort. Its low and high are the 5th and 95th percentile of the same drawn cases for both.

    `flips` are between API and machines, `hybrid_flips` those of the hybrid held at its machines; `hybrid_silent` says
    over what it has none, and why.
    """

    sentence: str
    cheapest: str
    kind: Kind
    against: str | None
    saving_usd_per_month: Money | None
    flips: tuple[Flip, ...]
    hidden_stack: Hidden | None
    confidence: Known
    next: str
    hybrid_flips: tuple[Flip, ...] = ()
    hybrid_silent: tuple[str, ...] = ()


class Assumption(msgspec.Struct, frozen=True, kw_only=True):
    """One input of the answer."""

    name: str
    value: str
    unit: str
    source: str
    date: date | None
    known: Known


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens a month."""

    input_tokens: Decimal
    output_tokens: Decimal
    tokens: Decimal


class Metered(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, from `first` arrival to `last` end. `usd` is what those calls cost as they were served, exact;
    null when one had no price. `estimated` calls were counted by us, the upstream said nothing. `digest` is that of the
    rows that were read.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    minutes: int
    usd: Decimal | None
    unpriced: int
    unserved: int
    cache_read_tokens: int = 0
    estimated: int = 0
    first: datetime | None = None
    last: datetime | None = None
    digest: str = ""


class CurveEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Cost against volume. Straight lines between the points are the truth; a jump is two points at one volume."""

    name: str
    kind: Kind
    points: tuple[tuple[Decimal, Decimal], ...]


class DecideDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `baseload decide` says. `crossings` are those of the cheapest API with the own machines;
    `crossings_complete` is false where more lie beyond the last one listed."""

    schema: str
    basis: Literal["typed", "metered"]
    volume: Volume
    options: tuple[OptionEntry, ...]
    crossings: tuple[CrossingEntry, ...]
    crossings_complete: bool
    windows: tuple[WindowEntry, ...]
    critical_fill: Decimal | None
    fills: tuple[FillEntry, ...]
    verdict: VerdictEntry
    assumptions: tuple[Assumption, ...]
    curves: tuple[CurveEntry, ...]
    metered: Metered | None = None
    cannot: tuple[CannotEntry, ...] = ()
    hybrid_threshold: ThresholdEntry | None = None


def money(figure: Range) -> Money:
    """A range as the document writes it."""
    low, likely, high = (plain(each, _NANO) for each in (figure.low, figure.likely, figure.high))
    return Money(low=low, likely=likely, high=high)


def items(bill: Bill) -> tuple[Item, ...]:
    """The lines of a bill as the document writes them."""
    return tuple(
        Item(
            component=line.component,
            usd_per_month=money(line.amount),
            how=line.how,
            source=line.source.reference if line.source is not None else None,
            as_of=line.source.as_of if line.source is not None else None,
            id=line.id,
            basis=line.basis,
            category=line.category,
            formula=line.formula,
            quantity=_maybe(line.quantity),
            unit=line.unit,
            unit_price=_maybe(line.unit_price),
            once=_maybe(line.once),
            inputs=tuple(_input(each) for each in line.inputs),
        )
        for line in bill.lines
    )


def _maybe(figure: Range | None) -> Money | None:
    return money(figure) if figure is not None else None


def _input(figure: Input) -> InputEntry:
    return InputEntry(
        name=figure.name,
        value=money(figure.value),
        unit=figure.unit,
        origin=figure.origin,
        source=figure.source.reference if figure.source is not None else None,
        as_of=figure.source.as_of if figure.source is not None else None,
    )


def plain(figure: Decimal | Fraction | int, places: Decimal = _PLACES) -> Decimal:
    """A figure without exponent or trailing zeros, rounded half-even at the sixth decimal unless told otherwise.

    >>> plain(Decimal("2400.00")), plain(Fraction(1, 3)), plain(Decimal("1.2E+3"))
    (Decimal('2400'), Decimal('0.333333'), Decimal('1200'))
    """
    exact = _WIDE.divide(figure.numerator, figure.denominator) if isinstance(figure, Fraction) else Decimal(figure)
    rounded = exact.quantize(places, context=_WIDE)
    trimmed = rounded.normalize(_WIDE)
    return Decimal(f"{trimmed:f}")


def curve_entry(curve: Curve, kind: Kind, high: Fraction) -> CurveEntry:
    """A curve from nothing to `high` tokens a month, with every event as a point and every jump as two."""
    points: list[tuple[Decimal, Decimal]] = []
    for volume in sorted({Fraction(0), high, *curve.events(Fraction(0), high)}):
        at, after = curve.at(volume), curve.after(volume)
        points.append((plain(volume), plain(at)))
        if after != at and volume < high:
            points.append((plain(volume), plain(after)))
    return CurveEntry(name=curve.name, kind=kind, points=tuple(point for point, _ in itertools.groupby(points)))
