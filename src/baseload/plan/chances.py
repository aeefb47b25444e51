"""How sure the choice is: typed figures as ranges, weighed, and written down. Pure.

A figure that was typed as a range varies inside it. One that was typed as a single number varies too, by an assumed
width that the document states: nobody knows next month's tokens to the digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import numpy as np

from baseload.errors import BadInput
from baseload.plan.document import Known
from baseload.plan.options import Machines, TokenPrice, Volume, api_option, hybrid_option
from baseload.plan.sensitivity import swings, variance_shares, worth_knowing, worth_knowing_all
from baseload.plan.uncertainty import POINTS, Input, Outlook, Shape, Spread, Tie, spread, weigh
from baseload.ranges import Range
from baseload.units import TOKENS_PER_MTOK

if TYPE_CHECKING:
    from baseload.plan.uncertainty import Floats, Values

# Dearer APIs than these few are left out of the weighing: they are no choice.
MOST_APIS = 6
# Widths of figures that were typed as one number, 5th and 95th percentile over the likely figure. Prices: the middle
# fall (x 0.72) and the middle rise (x 1.51) of the dated changes in genai-prices 0.2.3.
TOKENS_VARY = (0.7, 1.4)
PRICES_VARY = (0.72, 1.51)
RENT_VARIES = (0.7, 1.4)
CAPACITY_VARIES = (0.7, 1.1)
_PEAK_VARIES = (0.8, 1.25)
# How figures move together: assumed.
_IN_WITH_OUT = 0.9
_READ_WITH_WRITTEN = 0.8
_RENT_WITH_PRICES = 0.3
_CENT = 2
_SHARE = 4


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """USD a month that 5, 50 and 95 of 100 cases stay below, and the mean."""

    p5: float
    p50: float
    p95: float
    mean: float


class Varying(msgspec.Struct, frozen=True, kw_only=True):
    """An input of the weighing. `low` and `high` are the ends of a triangular one, p5 and p95 of a lognormal one."""

    name: str
    low: float
    likely: float
    high: float
    unit: str
    shape: Shape
    known: Known


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """Two inputs that move together."""

    one: str
    other: str
    correlation: float


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """One option: the share of cases in which it is the cheapest, its cost, its saving against the baseline, and what
    choosing it now loses on average against choosing with hindsight."""

    option: str
    cheapest: float
    usd_per_month: Percentiles
    saving_usd_per_month: Percentiles
    regret_usd_per_month: float


class Leaning(msgspec.Struct, frozen=True, kw_only=True):
    """What one input does: the saving at its 5th and 95th percentile with all others likely, its share of the saving's
    variance (total Sobol index), and what knowing it exactly would be worth."""

    input: str
    saving_at_low: float
    saving_at_high: float
    flips: bool
    variance_share: float
    worth_knowing_usd_per_month: float


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """What `option` saves against `against`, both costed on the same drawn cases, and in which share of them it does
    not cost more."""

    option: str
    against: str
    saving_usd_per_month: Percentiles
    wins: float


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """The choice under uncertainty. Savings are against `baseline`; `leanings` are of `robust` against `rival`.

    `robust` has the least expected regret, `rival` is the best way of the other sort (bought or run), `wins` the share
    of cases in which `robust` costs no more than it. `worth_knowing_usd_per_month` is what knowing every input saves.
    `verdict` is the cheapest option at the likely figures against what the verdict holds it against.
    """

    points: int
    seed: int
    robust: str
    rival: str | None
    wins: float
    baseline: str
    sentence: str
    options: tuple[Chance, ...]
    leanings: tuple[Leaning, ...]
    worth_knowing_usd_per_month: float
    measure_next: str | None
    inputs: tuple[Varying, ...]
    together: tuple[Together, ...]
    verdict: Paired | None = None


class Case(Protocol):
    """What can be weighed: options, of which `apis` are bought by the token, and inputs that vary."""

    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def apis(self) -> frozenset[str]: ...
    @property
    def inputs(self) -> tuple[Input, ...]: ...
    @property
    def ties(self) -> tuple[Tie, ...]: ...
    def cost(self, option: str, values: Values) -> Floats:
        """USD a month of an option, for every set of values."""
        ...


@dataclass(frozen=True)
class TypedCase:
    """Typed figures as inputs: cost of every option over arrays of them.

    A fleet on its own is as large as each month needs. A hybrid has `base` machines, decided now, and buys the rest; it
    is an option where at least one would pay.
    """

    volume: Volume
    prices: tuple[TokenPrice, ...]
    machines: Machines | None
    inputs: tuple[Input, ...]
    ties: tuple[Tie, ...]
    base: int = 0

    @property
    def apis(self) -> frozenset[str]:
        return frozenset(price.name for price in self.prices)

    @property
    def options(self) -> tuple[str, ...]:
        """The names `decide_on_prices` gives them."""
        names = [price.name for price in self.prices]
        if self.machines is not None:
            names.append(self.machines.name)
            if self.base:
                names.append(f"{self.machines.name} + {self.prices[0].name}")
        return tuple(names)

    def cost(self, option: str, values: Values) -> Floats:
        """USD a month."""
        for price in self.prices:
            if option == price.name:
                return self._bought(price, values)
        if self.machines is None or option not in self.options:
            raise BadInput(f"{option} is not weighed here", remedy=f"Ask for one of {', '.join(self.options)}.")
        load = (values["input tokens"] + values["output tokens"]) / values["capacity"]
        rent, beside = values["machine"], values["operations"]
        if option == self.machines.name:
            owned: Floats = np.ceil(load * values["peak"]) * rent + beside
            return owned
        share = np.maximum(1 - self.base / np.maximum(load, 1e-12), 0.0)
        hybrid: Floats = self.base * rent + share * self._bought(self.prices[0], values) + beside
        return hybrid

    def _bought(self, price: TokenPrice, values: Values) -> Floats:
        read, wrote = values[f"input price, {price.name}"], values[f"output price, {price.name}"]
        cost: Floats = (values["input tokens"] * read + values["output tokens"] * wrote) / TOKENS_PER_MTOK
        return cost


def typed_case(volume: Volume, prices: Sequence[TokenPrice], machines: Machines | None) -> TypedCase:
    """What was typed, as inputs that vary and move together; the six cheapest APIs."""
    ranked = sorted(prices, key=lambda price: api_option(volume, price).usd_per_month.likely)[:MOST_APIS]
    inputs = [
        _input("input tokens", Range.exact(volume.input_tokens), TOKENS_VARY, "tokens/month", "typed"),
        _input("output tokens", Range.exact(volume.output_tokens), TOKENS_VARY, "tokens/month", "typed"),
    ]
    ties = [Tie("input tokens", "output tokens", _READ_WITH_WRITTEN)]
    for price in ranked:
        read, wrote = f"input price, {price.name}", f"output price, {price.name}"
        inputs.append(_input(read, price.input, PRICES_VARY, "USD/M", price.known))
        inputs.append(_input(wrote, price.output, PRICES_VARY, "USD/M", price.known))
        ties.append(Tie(read, wrote, _IN_WITH_OUT))
        if machines is not None:
            ties += [Tie("machine", read, _RENT_WITH_PRICES), Tie("machine", wrote, _RENT_WITH_PRICES)]
    if machines is not None:
        inputs.append(_input("machine", machines.usd_per_month, RENT_VARIES, "USD/month", "typed"))
        capacity = machines.rooms if machines.rooms is not None else Range.exact(machines.capacity)
        inputs.append(_input("capacity", capacity, CAPACITY_VARIES, "tokens/month of a machine", "typed", "triangular"))
        peak = _PEAK_VARIES if machines.peak > 1 else (1.0, 1.0)
        inputs.append(_input("peak", Range.exact(machines.peak), peak, "peak over mean", "typed", "triangular"))
        beside = machines.operations.total
        inputs.append(_input("operations", beside, (1.0, 1.0), "USD/month", "typed", "triangular"))
    base = 0
    if machines is not None and machines.peak == 1:
        base = hybrid_option(volume, machines, api_option(volume, ranked[0])).machines
    return TypedCase(volume, tuple(ranked), machines, tuple(inputs), tuple(_that_vary(ties, inputs)), base)


def chances(
    case: Case, baseline: str, *, pair: tuple[str, str | None] | None = None, count: int = POINTS, seed: int = 0
) -> Chances:
    """Weigh a case. `baseline` is what savings are held against, such as what is paid today; `pair` is an option and
    what it is held against, where the verdict names two."""
    outlook = weigh(case.options, case.inputs, case.cost, baseline=baseline, ties=case.ties, count=count, seed=seed)
    robust = outlook.robust
    rival = _rival(case, outlook)
    wins = _wins(outlook, robust.option, rival) if rival is not None else 1.0
    leanings = _leanings(case, outlook, rival)
    worth = worth_knowing_all(outlook)
    best = max(leanings, key=lambda each: each.worth_knowing_usd_per_month, default=None)
    useful = best is not None and best.worth_knowing_usd_per_month >= 0.01
    return Chances(
        points=count,
        seed=seed,
        robust=robust.option,
        rival=rival,
        wins=round(wins, _SHARE),
        baseline=baseline,
        sentence=_sentence(outlook, rival, wins, best.input if best is not None and useful else None),
        options=tuple(
            Chance(
                option=each.option,
                cheapest=round(each.cheapest, _SHARE),
                usd_per_month=_percentiles(each.cost),
                saving_usd_per_month=_percentiles(each.saving),
                regret_usd_per_month=round(each.regret, _CENT),
            )
            for each in outlook.prospects
        ),
        leanings=leanings,
        worth_knowing_usd_per_month=round(worth, _CENT),
        measure_next=best.input if best is not None and useful else None,
        inputs=tuple(
            Varying(
                name=each.name,
                low=each.low,
                likely=each.likely,
                high=each.high,
                unit=each.unit,
                shape=each.shape,
                known=each.known,
            )
            for each in case.inputs
        ),
        verdict=_paired(outlook, *pair) if pair is not None else None,
        together=tuple(Together(one=tie.one, other=tie.other, correlation=tie.correlation) for tie in case.ties),
    )


def _leanings(case: Case, outlook: Outlook, rival: str | None) -> tuple[Leaning, ...]:
    """Every input that varies, the one that is worth most to know first, then by its swing."""
    if rival is None:
        return ()
    robust = outlook.robust.option
    shares = variance_shares(robust, rival, case.inputs, case.cost, seed=outlook.seed)
    worth = {each.name: each.usd_per_month for each in worth_knowing(outlook)}
    found = [
        Leaning(
            input=swing.name,
            saving_at_low=round(swing.saving_at_low, _CENT),
            saving_at_high=round(swing.saving_at_high, _CENT),
            flips=swing.flips,
            variance_share=round(shares.get(swing.name, 0.0), _SHARE),
            worth_knowing_usd_per_month=round(worth.get(swing.name, 0.0), _CENT),
        )
        for swing in swings(robust, rival, case.inputs, case.cost)
    ]
    return tuple(sorted(found, key=lambda each: -each.worth_knowing_usd_per_month))


def _rival(case: Case, outlook: Outlook) -> str | None:
    """The least expected cost among the ways of the other sort; of the same sort when there is no other."""
    robust = outlook.robust.option
    rest = [each for each in outlook.prospects if each.option != robust]
    others = [each for each in rest if (each.option in case.apis) != (robust in case.apis)]
    return min(others or rest, key=lambda each: each.cost.mean).option if rest else None


def _wins(outlook: Outlook, one: str, other: str) -> float:
    names = [each.option for each in outlook.prospects]
    return float((outlook.costs[names.index(one)] <= outlook.costs[names.index(other)]).mean())


def _paired(outlook: Outlook, option: str, against: str | None) -> Paired | None:
    names = [each.option for each in outlook.prospects]
    if against is None or option not in names or against not in names:
        return None
    one, other = (outlook.costs[names.index(each)] for each in (option, against))
    return Paired(
        option=option,
        against=against,
        saving_usd_per_month=_percentiles(spread(other - one)),
        wins=round(_wins(outlook, option, against), _SHARE),
    )


def _sentence(outlook: Outlook, rival: str | None, wins: float, measure: str | None) -> str:
    robust = outlook.robust
    span = f"{robust.cost.p5:,.0f} to {robust.cost.p95:,.0f} USD a month in 90 of 100 cases"
    words = f"{robust.option} costs {span}"
    if rival is not None:
        words += f", no more than {rival} in {wins * 100:.0f} of 100"
    if measure is None:
        return f"{words}; no single figure, were it known, would turn the choice."
    tail = f"choosing now costs {robust.regret:,.0f} USD a month on average against knowing better"
    return f"{words}; {tail}: pin down {measure} first."


def _input(
    name: str,
    figure: Range,
    varies: tuple[float, float],
    unit: str,
    known: Known,
    shape: Literal["lognormal", "triangular"] = "lognormal",
) -> Input:
    """A range as it was typed; an exact figure by the width assumed for its sort. Zero stays zero."""
    low, likely, high = float(figure.low), float(figure.likely), float(figure.high)
    if not figure.is_exact or not likely or varies == (1.0, 1.0):
        return Input(name, low, likely, high, "triangular", unit, known)
    return Input(name, likely * varies[0], likely, likely * varies[1], shape, unit, "assumed")


def _that_vary(ties: Sequence[Tie], inputs: Sequence[Input]) -> list[Tie]:
    still = {each.name for each in inputs if each.is_exact}
    return [tie for tie in ties if not {tie.one, tie.other} & still]


def _percentiles(figures: Spread) -> Percentiles:
    return Percentiles(
        p5=round(figures.p5, _CENT),
        p50=round(figures.p50, _CENT),
        p95=round(figures.p95, _CENT),
        mean=round(figures.mean, _CENT),
    )
