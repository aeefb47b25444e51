"""`evaluate`: every way with its bill, line by line, from the load and the assumptions. Pure.

`monthly_cost` is the same formulas on floats or arrays of samples. A bill's range is worked out at three corners: every
figure at the end where it makes things cheapest, at its likely value, and at the end where it makes them dearest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import zip_longest
from typing import Any, Literal

from baseload.cost.bill import Bill, Input, Line
from baseload.cost.model import Entry, Figures, Number, least, total
from baseload.cost.parameters import Assumptions, Origin
from baseload.cost.sizing import Sized, sized
from baseload.cost.ways import Load, Way
from baseload.errors import Unpriced
from baseload.ranges import Range
from baseload.units import NANO_PER_USD, usd

# Figures that make a way cheaper when they rise; every other one makes it dearer.
_FALLING = frozenset(
    {
        "reserved_discount", "spot_hours_between_interruptions", "life_years", "residual_share", "target_fill",
        "engineer_hours_per_year", "cache_read_share", "batch_share", "horizon_months",
        "replica_input_tokens_per_month", "replica_output_tokens_per_month",
    }
)  # fmt: skip
_WHOLE = frozenset({"input_share", "output_share"})
_CATEGORY = {"gpu_reserved": "Purchase", "annuity": "Purchase", "commitment": "Purchase", "exit": "Adjustment",
             "currency_and_tax": "Tax"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Priced:
    """A way with its bill. `bill` is None where the way cannot be: `sentence` says why.

    `replicas` are those that serve, `spare` those beside them; `fill` is the mean share of the serving ones that is
    used in the hours they are on; `bought` the share of the tokens that goes to an API. `shadow` are lines beside the
    cash. `form` is what a hybrid turned out to be.
    """

    way: Way
    bill: Bill | None
    replicas: int = 0
    spare: int = 0
    fill: Decimal | None = None
    bought: Decimal = Decimal(0)
    shadow: Bill = field(default_factory=Bill)
    sentence: str = ""
    form: Literal["api", "machines", "both"] = "api"

    @property
    def usd_per_month(self) -> Range:
        """The sum of its lines. Raises Unpriced for a way that cannot be."""
        if self.bill is None:
            raise Unpriced(
                f"{self.way.name} has no price: {self.sentence}", remedy="Choose another machine, or fewer bits."
            )
        return self.bill.total


def evaluate(options: Sequence[Way], load: Load, assumptions: Assumptions) -> tuple[Priced, ...]:
    """Every option with its bill, in the order given. Raises Unpriced where a figure is missing, never answers zero."""
    return tuple(_priced(way, load, assumptions) for way in options)


def ranges(options: Sequence[Way], load: Load, assumptions: Assumptions) -> dict[str, Range]:
    """Every figure that the options' costs may depend on, by the name `monthly_cost` asks for it.

    A figure that an option states for itself stands as `option.figure`: `API at 3/15.api_output_usd_per_mtok`.
    """
    known = {**assumptions, **load.figures}
    for option in options:
        for way in option.parts:
            known |= {f"{way.name}.{name}": figure for name, figure in _stated(way).items()}
    return known


def monthly_cost(option: Way, load: Load, values: Mapping[str, Any], base: int | None = None) -> Any:  # noqa: ANN401 a float, or an array like one
    """USD a month, from floats or equally long arrays by the names of `ranges`; an array where one of them is.

    The same formulas as `evaluate`, at one point or at all samples at once. Whole replicas, and what a hybrid buys, are
    decided anew for every sample; `base` holds a hybrid at so many replicas, and what flows over is bought.
    """

    def of(way: Way) -> Figures:
        def figure(name: str) -> Number:
            own = f"{way.name}.{name}"
            try:
                return values[own] if own in values else values[name]
            except KeyError as error:
                raise Unpriced(
                    f"{way.name} needs {name}, and it is not among the values", remedy=f"Give {name}."
                ) from error

        return figure

    forms = sized(option, load, of, base)
    if base is not None:
        forms = [each for each in forms if each.label == "both"] or forms
    costs = [total(each.entries) for each in forms]
    best = costs[0]
    for cost in costs[1:]:
        best = least(best, cost)
    return best


def cost_at(option: Way, load: Load, figures: Mapping[str, Fraction], base: int | None = None) -> Fraction:
    """USD a month as an exact fraction, from figures by the names of `ranges`."""
    return Fraction(monthly_cost(option, load, figures, base))


def likely_fractions(known: Mapping[str, Range]) -> dict[str, Fraction]:
    """Every figure at its likely value, exact."""
    return {name: Fraction(figure.likely) for name, figure in known.items()}


def _stated(way: Way) -> dict[str, Range]:
    return {"hours_on_per_week": Range.exact(_decimal(way.on.mean_hours)), **way.figures}


def _priced(way: Way, load: Load, assumptions: Assumptions) -> Priced:
    why = way.unfit or next((part.unfit for part in way.parts if part.unfit), "") or _unserved(way, load)
    if why:
        return Priced(way, None, sentence=why)
    likely = sized(way, load, _corner("likely", load, assumptions))
    best = min(range(len(likely)), key=lambda at: total(likely[at].entries))
    chosen = likely[best]
    # What a hybrid owns is decided on what is likely, and stays when things turn out otherwise.
    base = int(chosen.count) if way.base is not None else None
    ends = [sized(way, load, _corner(end, load, assumptions), base)[best] for end in ("low", "high")]
    lines = _lines([chosen, *ends], way, load, assumptions)
    cash = tuple(line for line in lines if line.basis != "shadow")
    return Priced(
        way=way,
        bill=Bill(cash),
        replicas=int(chosen.count),
        spare=int(chosen.spare),
        fill=_decimal(chosen.busy / chosen.count / _machine(way).on.share) if chosen.count else None,
        bought=_bought(chosen, way, load, assumptions),
        form=chosen.label,
        shadow=Bill(tuple(line for line in lines if line.basis == "shadow")),
    )


def _bought(found: Sized, way: Way, load: Load, assumptions: Assumptions) -> Decimal:
    """The share of all tokens that is bought: what flows over, and what machines may not serve."""
    v = _corner("likely", load, assumptions)(_machine(way))
    read, wrote = v("input_tokens_per_month"), v("output_tokens_per_month")
    mine = Fraction(read * v("input_share") + wrote * v("output_share")) / (read + wrote)
    return _decimal(1 - mine * (1 - Fraction(found.bought)))


def _machine(way: Way) -> Way:
    return way.base if way.base is not None else way


def _unserved(way: Way, load: Load) -> str:
    missed = load.outside(way.on) if way.on_machines else Fraction(0)
    if not missed:
        return ""
    return f"{float(missed):.0%} of the load falls in the hours that {way.name} is off, and no API stands beside it."


def _corner(end: str, load: Load, assumptions: Assumptions) -> Callable[[Way], Figures]:
    """Figures of each way at one corner: `low` is where everything is cheapest."""

    def of(way: Way) -> Figures:
        own, month = _stated(way), load.figures

        def figure(name: str) -> Fraction:
            known = own[name] if name in own else month[name] if name in month else assumptions[name]
            return Fraction(_end(known, end, falling=name in _FALLING))

        return figure

    return of


def _end(figure: Range, end: str, *, falling: bool) -> Decimal:
    if end == "likely":
        return figure.likely
    return figure.low if (end == "low") != falling else figure.high


def _lines(corners: Sequence[Sized], way: Way, load: Load, assumptions: Assumptions) -> list[Line]:
    """One line for each entry that costs something at any corner, with its range over the corners."""
    amounts = [_nano([entry.amount for entry in corner.entries]) for corner in corners]
    lines = []
    for entries, nanos in zip(
        zip_longest(*(corner.entries for corner in corners)), zip(*amounts, strict=True), strict=True
    ):
        if any(nanos):
            lines.append(_line(entries, nanos, way, load, assumptions))
    return lines


def _nano(amounts: Sequence[Number]) -> list[int]:
    """Whole nano-dollars that add up to the rounded sum: each is the step of the rounded running sum."""
    found, running, before = [], Fraction(0), 0
    for amount in amounts:
        running += Fraction(amount)
        here = (running * NANO_PER_USD + Fraction(1, 2)) // 1
        found.append(int(here - before))
        before = here
    return found


def _line(entries: Sequence[Entry], nanos: Sequence[int], way: Way, load: Load, assumptions: Assumptions) -> Line:
    entry = entries[0]
    said = (_input(name, way, load, assumptions, rest=entry.rest) for name in entry.names)
    # The whole load is nothing to speak of.
    inputs = tuple(each for each in said if each.name not in _WHOLE or each.value.low != 1)
    quantity, price = (_spread([Fraction(getattr(each, name)) for each in entries]) for name in ("quantity", "price"))
    stated = [each for each in inputs if each.source is not None]
    return Line(
        component=f"{entry.title}, not on machines" if entry.rest else entry.title,
        amount=_range([usd(nano) for nano in nanos]),
        how=f"{_shown(quantity.likely)} {entry.unit} x {_shown(price.likely)} USD",
        source=stated[-1].source if stated else None,
        id=entry.component,
        basis=entry.basis,
        category=_CATEGORY.get(entry.component, "Usage"),
        quantity=quantity,
        unit=entry.unit,
        unit_price=price,
        formula=assumptions.table.component(entry.component).formula,
        inputs=inputs,
        once=_spread([Fraction(each.once) for each in entries]) if any(each.once for each in entries) else None,
    )


def _input(name: str, way: Way, load: Load, assumptions: Assumptions, *, rest: bool = False) -> Input:
    """A figure as it enters a line: the way's own, the load's, or the assumptions'."""
    parameter = assumptions.parameter(name)
    for part in way.parts[-1:] if rest else way.parts:
        if name in part.figures:
            return Input(name, part.figures[name], parameter.unit, "option", part.sources.get(name))
    if name in load.figures:
        return Input(name, load.figures[name], parameter.unit, "load", None)
    origin: Origin = assumptions.origin(name)
    source = parameter.source if origin == "default" else None
    return Input(name, assumptions[name], parameter.unit, origin, source)


def _spread(values: Sequence[Fraction]) -> Range:
    return _range([_decimal(value) for value in values])


def _range(values: Sequence[Decimal]) -> Range:
    """Likely comes first; the ends are the least and the most of all."""
    return Range(min(values), values[0], max(values))


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / value.denominator


def _shown(figure: Decimal) -> str:
    """At most four digits behind the point, none that say nothing."""
    short = f"{figure:,.4f}".rstrip("0").rstrip(".")
    return short if short not in ("0", "-0") or not figure else f"{figure:.3g}"
