"""A deployment's own factors from a few measurements of it. Pure.

The factors are the most likely ones between what the model says and what was measured: three multipliers, on the step,
on what is multiplied (prompts, large batches) and on the time to the first token. One measurement moves mostly the
first; a long prompt and a large batch tell the others apart. With three or more, each is left out once and predicted by
the others: beyond 15 % of error the deployment is not called calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from baseload.capacity.case import Case
from baseload.capacity.columns import Column, columns
from baseload.capacity.drift import TRUSTED, Doubt, days_between, differs
from baseload.capacity.estimate import Model
from baseload.capacity.leastsquares import minimised
from baseload.capacity.steadystate import Factors, serve
from baseload.errors import NotEnoughData

ENOUGH = 3
# Spread of the multipliers about the model, and of measurements about the multipliers, as logarithms.
_SPREAD = np.array([0.35, 0.3, 1.0])
_NOISE, _FIRST_NOISE = 0.05, 0.1
# Without a time to the first token nothing tells its factor from the others: it stays where it was.
_UNSEEN = 0.05


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement of a case: what was seen of it. Seconds, and output tokens per second of all requests together."""

    case: Case
    output_per_second: float | None = None
    between: float | None = None
    first: float | None = None
    when: date | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Factors on the model, the worst error of a point predicted by the others (None with too few), its basis, and the
    day and engine version of the oldest point."""

    step: float
    compute: float
    first: float
    points: int
    held_out: float | None
    when: date | None
    version: str = ""

    @property
    def basis(self) -> str:
        return "three points" if self.points >= ENOUGH else "one point"

    @property
    def trusted(self) -> bool:
        """Whether it may be called calibrated: no point is off by more than 15 % when the others predict it."""
        return self.held_out is None or self.held_out <= TRUSTED

    def doubt(self, case: Case, today: date) -> Doubt | None:
        """What its age and its engine's version, beside that of a case, add to the band. None for points without a
        day of a version that is not known to be another: then they are of today."""
        other = differs(case.version, self.version)
        if self.when is None and not other and self.trusted:
            return None
        age = 0 if self.when is None else days_between(self.when, today)
        return Doubt(age, other, self.held_out, fitted=not self.trusted)

    def factors(self, count: int = 1) -> Factors:
        ones = np.ones(count)
        return Factors(ones * self.step, ones * self.compute, ones * self.first)


def calibrated(points: Sequence[Point], model: Model) -> Calibration:
    """The factors of one deployment. Raises NotEnoughData without a figure to go by."""
    if not any(each.output_per_second or each.between or each.first for each in points):
        raise NotEnoughData(
            "no measurement has tokens per second or times",
            remedy="Give output_tokens_per_s, tpot_ms or ttft_ms with its concurrency.",
        )
    step, compute, first = np.exp(_likely(points, model)).tolist()
    dated = [each.when for each in points if each.when is not None]
    versions = sorted({each.case.version for each in points if each.case.version})
    version = versions[0] if versions else ""
    return Calibration(step, compute, first, len(points), held_out(points, model), min(dated, default=None), version)


def held_out(points: Sequence[Point], model: Model) -> float | None:
    """The largest relative error of tokens per second (or time between them) of a point that the others predict."""
    if len(points) < ENOUGH:
        return None
    worst = 0.0
    for number, point in enumerate(points):
        rest = [*points[:number], *points[number + 1 :]]
        off = _errors([point], _likely(rest, model), model)
        worst = max(worst, *(abs(float(np.expm1(each))) for each in off[:1]))
    return worst


def _likely(points: Sequence[Point], model: Model) -> Column:
    """Logarithms of the three multipliers, about those that are known of the deployment."""
    known = model.factors([points[0].case])
    middle = np.log([float(np.ravel(known.step)[0]), 1.0, float(np.ravel(known.first)[0])])
    seen = any(each.first for each in points)
    spread = _SPREAD if seen else np.array([*_SPREAD[:2], _UNSEEN])
    weights = np.array([1.0 / noise for each in points for noise in _noises(each)])

    def residuals(at: Column) -> Column:
        return np.concatenate([_errors(points, at, model) * weights, (at - middle) / spread])

    return minimised(residuals, middle, rounds=20)


def _noises(point: Point) -> list[float]:
    both = [_NOISE for each in (point.output_per_second, point.between) if each]
    return [*both, *([_FIRST_NOISE] if point.first else [])]


def _errors(points: Sequence[Point], at: Column, model: Model) -> Column:
    """Logarithms of predicted over measured, every figure of every point."""
    step, compute, first = np.exp(at).tolist()
    served = serve(columns([each.case for each in points]), model.constants, Factors(step, compute, first))
    found = []
    for number, each in enumerate(points):
        seen = (
            (served.output_per_second[number], each.output_per_second),
            (served.between[number], each.between),
            (served.first[number], each.first),
        )
        found += [float(np.log(ours / theirs)) for ours, theirs in seen if theirs]
    return np.array(found)
