"""Which input matters: swings one at a time, shares of the variance, and what it would be worth to know. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from baseload.errors import BadInput
from baseload.plan.points import points
from baseload.plan.uncertainty import Input, Outlook

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from baseload.plan.uncertainty import Cost, Values

    Floats = NDArray[np.float64]

# Points for the variance shares: with 12 inputs 57,344 evaluations of two options.
VARIANCE_POINTS = 1 << 12
# Cases that agree on an input to one part in 64 are looked at together.
SLICES = 64
_EDGES = np.array([0.05, 0.95])


@dataclass(frozen=True, slots=True)
class Swing:
    """What one input alone does to the saving: at its 5th and 95th percentile, all others at their likely figure."""

    name: str
    low: float
    high: float
    saving_at_low: float
    saving_at_high: float

    @property
    def width(self) -> float:
        return abs(self.saving_at_high - self.saving_at_low)

    @property
    def flips(self) -> bool:
        """Whether the saving changes its sign in between."""
        return (self.saving_at_low > 0) != (self.saving_at_high > 0)


@dataclass(frozen=True, slots=True)
class Worth:
    """What knowing one input exactly, before choosing, saves on average."""

    name: str
    usd_per_month: float


def swings(option: str, baseline: str, inputs: Sequence[Input], cost: Cost) -> tuple[Swing, ...]:
    """The tornado of what `option` saves against `baseline`, widest first; inputs that are exact are left out."""
    likely = {each.name: np.full(2, each.likely) for each in inputs}
    found = []
    for each in inputs:
        if each.is_exact:
            continue
        ends = each.at(_EDGES)
        saving = _saving(option, baseline, likely | {each.name: ends}, cost)
        found.append(Swing(each.name, float(ends[0]), float(ends[1]), float(saving[0]), float(saving[1])))
    return tuple(sorted(found, key=lambda swing: -swing.width))


def variance_shares(
    option: str, baseline: str, inputs: Sequence[Input], cost: Cost, *, count: int = VARIANCE_POINTS, seed: int = 0
) -> dict[str, float]:
    """Total Sobol index of each input: the share of the saving's variance that goes with it, interactions included.

    Jansen's estimator. Inputs are taken as independent here: of what two of them share by moving together, no part
    belongs to either. Empty when the saving does not vary.
    """
    moving = [each for each in inputs if not each.is_exact]
    if not moving:
        return {}
    cube = points(count, 2 * len(moving), seed=seed)
    one = {each.name: each.at(cube[:, place]) for place, each in enumerate(moving)}
    other = {each.name: each.at(cube[:, len(moving) + place]) for place, each in enumerate(moving)}
    still = {each.name: np.full(count, each.likely) for each in inputs}
    base = _saving(option, baseline, still | one, cost)
    variance = float(np.concatenate([base, _saving(option, baseline, still | other, cost)]).var())
    if variance == 0:
        return {}
    return {
        each.name: float(
            ((base - _saving(option, baseline, still | one | {each.name: other[each.name]}, cost)) ** 2).mean()
            / (2 * variance)
        )
        for each in moving
    }


def worth_knowing_all(outlook: Outlook) -> float:
    """Expected value of perfect information: what the best single choice loses on average against always being right.

    It is the least expected regret.
    """
    return outlook.robust.regret


def worth_knowing(outlook: Outlook, *, slices: int = SLICES) -> tuple[Worth, ...]:
    """What it is worth to know each input alone before choosing, most first. Zero where it cannot turn the choice.

    Cases are cut into slices of equal size along the input; in each the option that is cheapest on average is chosen.
    Raises BadInput for more slices than leave eight cases in each.
    """
    count = outlook.costs.shape[1]
    if slices < 1 or count < 8 * slices:
        raise BadInput(f"{count} cases cannot be cut into {slices} slices", remedy="Draw more points.")
    best = float(outlook.costs.mean(axis=1).min())
    found = []
    for place, each in enumerate(outlook.inputs):
        if each.is_exact:
            continue
        piece = np.minimum((outlook.shares[:, place] * slices).astype(np.intp), slices - 1)
        sums = np.stack([np.bincount(piece, weights=row, minlength=slices) for row in outlook.costs])
        gain = best - float(sums.min(axis=0).sum()) / count
        found.append(Worth(each.name, max(gain, 0.0)))
    return tuple(sorted(found, key=lambda worth: -worth.usd_per_month))


def _saving(option: str, baseline: str, values: Values, cost: Cost) -> Floats:
    saving: Floats = cost(baseline, values) - cost(option, values)
    return saving
