"""Inputs that are not known exactly, drawn together, and what they do to the choice. Pure: chance comes from a seed.

Floats throughout: these are modelled figures, and no metered amount passes here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from baseload.errors import BadInput
from baseload.plan.document import Known
from baseload.plan.points import points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Values = Mapping[str, Floats]
    # USD a month of an option, for every drawn set of inputs.
    Cost = Callable[[str, Values], Floats]

Shape = Literal["triangular", "lognormal", "uniform"]
POINTS = 1 << 14
MOST_INPUTS = 20
# The standard normal's 95th percentile: low and high of a lognormal input are its 5th and 95th.
Z95 = statistics.NormalDist().inv_cdf(0.95)
_REACH, _KNOTS = 8.0, 1 << 14


@dataclass(frozen=True, slots=True)
class Input:
    """One figure between `low` and `high`, most likely `likely`.

    A triangular or uniform figure lies between its ends. A lognormal one has them as its 5th and 95th percentile and
    `likely` as its median, so it may lean to one side.
    """

    name: str
    low: float
    likely: float
    high: float
    shape: Shape = "triangular"
    unit: str = ""
    known: Known = "assumed"

    def __post_init__(self) -> None:
        ends = (self.low, self.likely, self.high)
        if not all(math.isfinite(end) for end in ends) or not self.low <= self.likely <= self.high:
            raise BadInput(
                f"{self.name}: low {self.low}, likely {self.likely}, high {self.high} does not rise",
                remedy="Order the three figures.",
            )
        if self.low < 0 or (self.shape == "lognormal" and self.low <= 0):
            raise BadInput(
                f"{self.name}: {self.low} is below what a {self.shape} figure can be",
                remedy="Give a figure from 0 up, above 0 for a lognormal one.",
            )

    @property
    def is_exact(self) -> bool:
        return self.low == self.high

    def at(self, shares: Floats) -> Floats:
        """The figure below which each share of the cases lies (its quantile function)."""
        if self.is_exact:
            return np.full_like(shares, self.likely)
        if self.shape == "uniform":
            return self.low + shares * (self.high - self.low)
        if self.shape == "triangular":
            return self._triangular(shares)
        z = normal_quantile(shares)
        below, above = math.log(self.likely / self.low) / Z95, math.log(self.high / self.likely) / Z95
        figure: Floats = self.likely * np.exp(z * np.where(z < 0, below, above))
        return figure

    def _triangular(self, shares: Floats) -> Floats:
        span, rise, fall = self.high - self.low, self.likely - self.low, self.high - self.likely
        left = self.low + np.sqrt(shares * span * rise)
        right = self.high - np.sqrt((1 - shares) * span * fall)
        return np.where(shares * span < rise, left, right)


@dataclass(frozen=True, slots=True)
class Tie:
    """Two inputs that move together: correlation of their normal scores, between -1 and 1."""

    one: str
    other: str
    correlation: float


@dataclass(frozen=True, slots=True)
class Spread:
    """What 5, 50 and 95 of 100 cases stay below, and the mean of all."""

    p5: float
    p50: float
    p95: float
    mean: float


@dataclass(frozen=True, slots=True)
class Prospect:
    """One option under uncertainty.

    `saving` is what it saves against the baseline. `regret` is what choosing it now costs on average against knowing
    everything first: zero only for an option that is always the cheapest.
    """

    option: str
    cheapest: float
    cost: Spread
    saving: Spread
    regret: float


@dataclass(frozen=True)
class Outlook:
    """Every option weighed on the same drawn cases. `costs` has one row for each option, `shares` is the drawn cube."""

    prospects: tuple[Prospect, ...]
    baseline: str
    seed: int
    inputs: tuple[Input, ...]
    shares: Floats
    costs: Floats

    @property
    def robust(self) -> Prospect:
        """The option of the least expected regret, which is also that of the least expected cost."""
        return min(self.prospects, key=lambda prospect: prospect.regret)

    def prospect(self, option: str) -> Prospect:
        return next(each for each in self.prospects if each.option == option)


def weigh(
    options: Sequence[str],
    inputs: Sequence[Input],
    cost: Cost,
    *,
    baseline: str,
    ties: Sequence[Tie] = (),
    count: int = POINTS,
    seed: int = 0,
) -> Outlook:
    """Weigh options over drawn inputs. Raises BadInput for doubled names, more than twenty uncertain inputs, or ties
    that contradict each other."""
    if baseline not in options or len(set(options)) != len(options):
        raise BadInput(f"{baseline} must be one of the options, each named once", remedy="Name them apart.")
    shares = drawn(inputs, ties, count=count, seed=seed)
    values = {each.name: each.at(shares[:, place]) for place, each in enumerate(inputs)}
    costs = np.stack([cost(option, values) for option in options])
    if not np.isfinite(costs).all():
        raise BadInput("the model gave a cost that is no number", remedy="Narrow the ranges of the inputs.")
    floor, against = costs.min(axis=0), costs[options.index(baseline)]
    prospects = tuple(
        Prospect(
            option, _share_won(costs, place, floor), spread(row), spread(against - row), float((row - floor).mean())
        )
        for place, (option, row) in enumerate(zip(options, costs, strict=True))
    )
    return Outlook(prospects, baseline, seed, tuple(inputs), shares, costs)


def drawn(inputs: Sequence[Input], ties: Sequence[Tie] = (), *, count: int = POINTS, seed: int = 0) -> Floats:
    """Shares between 0 and 1, one column for each input, moving together as the ties say (a Gaussian copula)."""
    names = [each.name for each in inputs]
    if len(set(names)) != len(names) or not names:
        raise BadInput("inputs must be named, each once", remedy="Name them apart.")
    if len(names) > MOST_INPUTS:
        raise BadInput(f"{len(names)} inputs are more than {MOST_INPUTS}", remedy="Leave the surest ones exact.")
    cube = points(count, len(names), seed=seed)
    tied = sorted({names.index(name) for tie in ties for name in (tie.one, tie.other) if name in names})
    if tied:
        scores = normal_quantile(cube[:, tied]) @ _factor([names[place] for place in tied], ties).T
        cube[:, tied] = normal_share(scores)
    return cube


def spread(figures: Floats) -> Spread:
    """Percentiles by order, without interpolating, and the mean."""
    last = len(figures) - 1
    places = [round(share * last) for share in (0.05, 0.5, 0.95)]
    ordered = np.partition(figures, places)
    low, middle, high = (float(ordered[place]) for place in places)
    return Spread(low, middle, high, float(figures.mean()))


def normal_quantile(shares: Floats) -> Floats:
    """Standard normal scores, within a millionth between -5 and 5."""
    scores, below = _normal()
    return np.interp(shares, below, scores)


def normal_share(scores: Floats) -> Floats:
    """How much of a standard normal lies below each score."""
    knots, below = _normal()
    return np.interp(scores, knots, below)


def _share_won(costs: Floats, place: int, floor: Floats) -> float:
    """The share of cases in which an option is the cheapest; options that tie in a case share it evenly."""
    best = costs <= floor
    return float((best[place] / best.sum(axis=0)).mean())


def _factor(names: Sequence[str], ties: Sequence[Tie]) -> Floats:
    matrix = np.eye(len(names))
    for tie in ties:
        if not -1 < tie.correlation < 1 or tie.one == tie.other:
            raise BadInput(
                f"{tie.one} and {tie.other} cannot move together by {tie.correlation}",
                remedy="Give two inputs and a correlation above -1 and below 1.",
            )
        if tie.one in names and tie.other in names:
            one, other = names.index(tie.one), names.index(tie.other)
            matrix[one, other] = matrix[other, one] = tie.correlation
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise BadInput(
            "the ties between inputs contradict each other",
            remedy="Lower a correlation: what moves with the same figure must move together.",
        ) from error


@cache
def _normal() -> tuple[Floats, Floats]:
    """Scores, evenly spaced, and how much of a standard normal lies below each."""
    scores = np.linspace(-_REACH, _REACH, _KNOTS + 1)
    below = np.array([0.5 * math.erfc(-score / math.sqrt(2)) for score in scores.tolist()])
    return scores, below
