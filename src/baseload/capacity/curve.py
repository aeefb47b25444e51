"""Tokens per second against requests in flight, through a measured point pair. Pure.

One decode step of a batch reads the weights once and every request's own state once, so a step takes `a + b x c**gamma`
seconds at `c` requests in flight, and the deployment writes `c` tokens a step. Dense models have gamma 1. In a
mixture of experts a larger batch touches experts that are already being read, so the step grows slower than the batch;
gamma 0.7 was chosen on the ten other measured points of the public 671B curve of which the articles quote the ends:
median error 3 %, worst 20 % (at five in flight).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from baseload.errors import BadInput

DENSE = 1.0
MIXTURE_OF_EXPERTS = 0.7
# The shapes that are tried on more than two points, and how much a shape far from a dense model's must fit better.
GAMMAS = tuple(step / 20 for step in range(4, 51))
SHAPE_PENALTY = 1e-5


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement: aggregate output tokens per second with `in_flight` requests served at once."""

    in_flight: int
    output_tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A smooth, rising curve. Beyond the highest measured point it is flat: what was not measured is not promised."""

    fixed_seconds: float
    seconds_per_request: float
    gamma: float
    measured_to: int

    @classmethod
    def through(cls, low: Point, high: Point, gamma: float = DENSE) -> Curve:
        """The curve through two points.

        >>> curve = Curve.through(Point(1, 33), Point(100, 620), MIXTURE_OF_EXPERTS)
        >>> round(curve.tokens_per_second(100)), round(curve.tokens_per_second(20))
        (620, 289)
        """
        if not 0 < low.in_flight < high.in_flight:
            raise BadInput(
                f"a curve needs two points at rising concurrency, got {low.in_flight} and {high.in_flight}",
                remedy="Measure once with few and once with many requests in flight.",
            )
        step_low = low.in_flight / low.output_tokens_per_second
        step_high = high.in_flight / high.output_tokens_per_second
        slope = (step_high - step_low) / (math.pow(high.in_flight, gamma) - math.pow(low.in_flight, gamma))
        fixed = step_low - slope * math.pow(low.in_flight, gamma)
        if slope < 0 or fixed < 0:
            raise BadInput(
                f"{high.output_tokens_per_second:g} tokens/s at {high.in_flight} in flight does not go with "
                f"{low.output_tokens_per_second:g} at {low.in_flight}",
                remedy="A batch can neither speed each request up nor multiply throughput by more than its size.",
            )
        return cls(fixed, slope, gamma, high.in_flight)

    @classmethod
    def fitted(cls, points: Sequence[Point]) -> Curve:
        """The curve nearest to measured points, each missed by as small a share as can be; its shape is found too.

        >>> curve = Curve.fitted([Point(c, Curve(0.02, 0.001, 0.8, 64).tokens_per_second(c)) for c in (1, 4, 16, 64)])
        >>> round(curve.gamma, 2), round(curve.fixed_seconds, 4)
        (0.8, 0.02)
        """
        ordered = sorted(points, key=lambda point: point.in_flight)
        sizes = {point.in_flight for point in ordered}
        if len(sizes) < 2 or len(sizes) < len(ordered) or min(sizes) <= 0:
            raise BadInput(
                f"a curve needs points at two or more concurrencies, got {sorted(sizes)}",
                remedy="Measure once with few and once with many requests in flight.",
            )
        if any(not 0 < point.output_tokens_per_second < math.inf for point in ordered):
            raise BadInput("a point has no throughput", remedy="Leave out what could not be measured.")
        tries = [_nearest(ordered, gamma) for gamma in GAMMAS]
        _, fixed, slope, gamma = min(tries)
        return cls(fixed, slope, gamma, ordered[-1].in_flight)

    def step_seconds(self, in_flight: int) -> float:
        """Seconds between two tokens of one request with `in_flight` requests served at once."""
        batch = float(max(in_flight, 1))
        return self.fixed_seconds + self.seconds_per_request * math.pow(batch, self.gamma)

    def tokens_per_second(self, in_flight: int) -> float:
        """Aggregate output tokens per second; zero with nothing in flight."""
        if in_flight <= 0:
            return 0.0
        inside = min(in_flight, self.measured_to)
        return inside / self.step_seconds(inside)


def _nearest(points: Sequence[Point], gamma: float) -> tuple[float, float, float, float]:
    """How far, and `fixed`, `slope` and `gamma` of the nearest curve of a shape: least squares of relative misses."""
    seconds = [point.in_flight / point.output_tokens_per_second for point in points]
    sizes = [math.pow(point.in_flight, gamma) for point in points]
    ones = [1 / step for step in seconds]
    rises = [size / step for size, step in zip(sizes, seconds, strict=True)]
    aa, ab, bb = (
        sum(x * y for x, y in zip(*pair, strict=True)) for pair in ((ones, ones), (ones, rises), (rises, rises))
    )
    a, b = sum(ones), sum(rises)
    determinant = aa * bb - ab * ab
    fixed, slope = ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant) if determinant > 0 else (0.0, 0.0)
    if fixed < 0 or determinant <= 0:
        fixed, slope = 0.0, b / bb
    if slope < 0:
        fixed, slope = a / aa, 0.0
    missed = sum((fixed * one + slope * rise - 1) ** 2 for one, rise in zip(ones, rises, strict=True))
    return missed + SHAPE_PENALTY * (gamma - DENSE) ** 2, fixed, slope, gamma
