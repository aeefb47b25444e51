"""Ways of the full cost model as a case to weigh: which of its figures vary, and how they move together. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from baseload.cost.evaluate import monthly_cost, ranges
from baseload.cost.parameters import Assumptions
from baseload.cost.ways import Load, Way
from baseload.errors import BadInput
from baseload.plan.chances import CAPACITY_VARIES, PRICES_VARY, RENT_VARIES, TOKENS_VARY
from baseload.plan.document import Known
from baseload.plan.uncertainty import Input, Shape, Tie
from baseload.ranges import Range

if TYPE_CHECKING:
    from baseload.plan.uncertainty import Floats, Values

# The figures that move any way's cost most are drawn; the others stay at their likely value.
MOST_DRAWN = 12
# A figure that was typed as one number varies all the same, by the widths of `plan.chances`.
_VARY = {
    "input_tokens_per_month": TOKENS_VARY,
    "output_tokens_per_month": TOKENS_VARY,
    "api_input_usd_per_mtok": PRICES_VARY,
    "api_output_usd_per_mtok": PRICES_VARY,
    "gpu_usd_per_hour": RENT_VARIES,
    "machine_usd_per_month": RENT_VARIES,
    "replica_input_tokens_per_month": CAPACITY_VARIES,
    "replica_output_tokens_per_month": CAPACITY_VARIES,
}
_KNOWN: dict[str, Known] = {"measured": "market", "reported": "market", "assumed": "assumed"}


@dataclass(frozen=True)
class WaysCase:
    """Ways on the same load. `still` are the figures that do not vary, at their likely values; `held` is how many
    machines a hybrid has, decided on what is likely: it keeps them whatever turns out, and buys what flows over."""

    ways: tuple[Way, ...]
    load: Load
    inputs: tuple[Input, ...]
    ties: tuple[Tie, ...]
    still: dict[str, float]
    whole: frozenset[str]
    held: Mapping[str, int]

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(way.name for way in self.ways)

    @property
    def apis(self) -> frozenset[str]:
        return frozenset(way.name for way in self.ways if not any(part.on_machines for part in way.parts))

    def cost(self, option: str, values: Values) -> Floats:
        """USD a month, by the same formulas as the bill."""
        way = next((each for each in self.ways if each.name == option), None)
        if way is None:
            raise BadInput(f"{option} is not weighed here", remedy=f"Ask for one of {', '.join(self.options)}.")
        known: dict[str, Any] = dict(self.still)
        known |= {name: np.rint(each) if name in self.whole else each for name, each in values.items()}
        shape = next(iter(values.values()))
        return np.broadcast_to(
            np.asarray(monthly_cost(way, self.load, known, self.held.get(option)), dtype=np.float64), shape.shape
        )


def ways_case(
    ways: Sequence[Way], load: Load, assumptions: Assumptions, held: Mapping[str, int] | None = None
) -> WaysCase:
    """Every way that can be, with the twelve figures that most move the cheapest API or the cheapest machines.

    A hybrid is weighed with the machines it is `held` at, and left out without: to size it anew for every sample is
    hindsight that nobody has.

    Low and high of a lognormal figure are its 5th and 95th percentile, any other lies between them. Figures of one
    group move together, and so do the same figures of two offers.
    """
    held = held if held is not None else {}
    fit = tuple(way for way in ways if not way.unfit and (way.kind != "hybrid" or way.name in held))
    known = ranges(fit, load, assumptions)
    still = {name: float(figure.likely) for name, figure in known.items()}
    table = {row.name for row in assumptions.table.parameters}
    drawable = [_input(name, figure, assumptions, load) for name, figure in known.items() if _bare(name) in table]
    moving = [each for each in drawable if not each.is_exact]
    nearest = _nearest(fit, load, still, held)
    moved = sorted(moving, key=lambda each: -_moves(each, nearest, load, still, held))[:MOST_DRAWN]
    names = {each.name for each in moved}
    order = [each for each in moving if each.name in names]
    whole = frozenset(each.name for each in order if assumptions.parameter(_bare(each.name)).shape == "integer")
    return WaysCase(fit, load, tuple(order), tuple(_ties(order, assumptions)), still, whole, held)


def _nearest(ways: Sequence[Way], load: Load, still: dict[str, float], held: Mapping[str, int]) -> list[Way]:
    """The cheapest of each sort, bought or run or what is now, at the likely figures: the choice is between them."""
    sorts = (["now"], ["api"], ["rented", "reserved", "spot", "owned", "brokered", "hybrid"])
    found = ([way for way in ways if way.kind in kinds] for kinds in sorts)
    return [
        min(each, key=lambda way: float(monthly_cost(way, load, still, held.get(way.name)))) for each in found if each
    ]


def _moves(each: Input, ways: Sequence[Way], load: Load, still: dict[str, float], held: Mapping[str, int]) -> float:
    """USD a month between an input's ends, for the way it moves most."""
    ends = [
        [float(monthly_cost(way, load, still | {each.name: end}, held.get(way.name))) for end in (each.low, each.high)]
        for way in ways
    ]
    return max(abs(high - low) for low, high in ends)


def _input(name: str, figure: Range, assumptions: Assumptions, load: Load) -> Input:
    low, likely, high = float(figure.low), float(figure.likely), float(figure.high)
    row = assumptions.parameter(_bare(name))
    if figure.is_exact and likely and row.name in _VARY:
        below, above = _VARY[row.name]
        return Input(name, likely * below, likely, likely * above, "lognormal", row.unit)
    shape: Shape = "lognormal" if low > 0 and row.shape == "lognormal" else "triangular"
    default = name == row.name and name in assumptions and assumptions.origin(name) == "default"
    stated: Known = load.known if name in load.figures else "typed"
    return Input(name, low, likely, high, shape, row.unit, _KNOWN[row.evidence] if default else stated)


def _ties(inputs: Sequence[Input], assumptions: Assumptions) -> list[Tie]:
    groups = {each.name: assumptions.parameter(_bare(each.name)).group for each in inputs}
    return [
        Tie(one.name, other.name, assumptions.table.groups[groups[one.name]])
        for one, other in itertools.combinations(inputs, 2)
        if groups[one.name] and groups[one.name] == groups[other.name]
    ]


def _bare(name: str) -> str:
    """The figure's own name, without the option that states it."""
    return name.rpartition(".")[2]
