"""Tokens per second against requests in flight, through a measured point pair. Pure.

One decode step of a batch reads the weights once and every request's own state once, so a step takes `a + b x c**gamma`
seconds at `c` requests in flight, and the deployment writes `c` tokens a step. Dense models have gamma 1. In a
mixture of experts a larger batch touches experts that are already being read, so the step grows slower than the batch;
gamma 0.7 was chosen on the ten other measured points of the public 671B curve of which the articles quote the ends:
median error 3 %, worst 20 % (at five in flight).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from baseload.errors import BadInput

DENSE = 1.0
MIXTURE_OF_EXPERTS = 0.7


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
