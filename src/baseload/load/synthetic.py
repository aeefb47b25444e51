"""When the requests of a load come that nobody metered yet. Pure: the same seed, the same times.

Gaps between requests are drawn with mean one (exponential, Gamma or Weibull) and stretched so that the expected rate
follows the hours of a week and its growth: burstiness and shape are told apart, as in ServeGen (Xiang et al. 2025).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from baseload.errors import BadInput
from baseload.load.chance import gammas, uniforms, weibulls
from baseload.load.trace import Arrival
from baseload.units import HOURS_PER_DAY, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HOURS_PER_WEEK = 168
MOST_ARRIVALS = 50_000_000
MOST_HOURS = 100_000
# Beyond these a gap distribution is a spike and a void: shapes that floating point no longer draws.
LEAST_CV, MOST_CV = 0.05, 20.0


class Gaps(StrEnum):
    """How the gaps between requests are spread; fixed ones are all the same, whatever their cv."""

    FIXED = "fixed"
    POISSON = "poisson"
    GAMMA = "gamma"
    WEIBULL = "weibull"


def arrivals(
    seed: int,
    *,
    seconds: float,
    per_second: float,
    gaps: Gaps = Gaps.POISSON,
    cv: float = 1.0,
    week: Sequence[float] | None = None,
    start_hour: float = 0.0,
    growth_per_week: float = 0.0,
) -> Floats:
    """When requests come, in seconds from 0 to before `seconds`.

    `per_second` is the mean rate of a whole week without growth; `week` its 168 hours, of which only the proportions
    count; the load begins at `start_hour` of it and grows by that share from week to week. `cv` is the deviation of
    gaps over their mean at an even rate: 1 is Poisson, more is burstier.
    """
    _check(seconds, per_second, cv, week, growth_per_week)
    edges, expected = _expected(seconds, per_second, week, start_hour, growth_per_week)
    total = float(expected[-1])
    if total > MOST_ARRIVALS:
        raise BadInput(f"{total:.3g} requests are too many to simulate", remedy=f"Give at most {MOST_ARRIVALS:,}.")
    count = math.ceil(total + 6 * max(cv, 1) * math.sqrt(total) + 20)
    times = np.cumsum(_gaps(seed, gaps, cv, count))
    found: Floats = np.interp(times[times < total], expected, edges)
    return found


def paced(trace: Sequence[Arrival], per_second: float) -> list[float]:
    """The times of a trace at another pace, so many a second on average. Raises BadInput for no pace."""
    if not (math.isfinite(per_second) and per_second > 0):
        raise BadInput(f"{per_second:g} requests a second never come", remedy="Give a rate above zero.")
    last = trace[-1].after_ns / NANOSECONDS_PER_SECOND
    pace = len(trace) / last / per_second if last else 1.0
    return [each.after_ns / NANOSECONDS_PER_SECOND * pace for each in trace]


def diurnal(peak_over_mean: float, peak_hour: float = 14.0) -> tuple[float, ...]:
    """A week whose every day is one wave with its top at an hour.

    >>> week = diurnal(1.8, 14)
    >>> round(week[14], 3), round(week[2], 3), round(sum(week) / 168, 3)
    (1.8, 0.2, 1.0)
    """
    if not 1 <= peak_over_mean <= 2:
        raise BadInput(f"a wave does not peak at {peak_over_mean} times its mean", remedy="Give 1 to 2.")
    swing = peak_over_mean - 1
    turn = 2 * math.pi / HOURS_PER_DAY
    return tuple(1 + swing * math.cos(turn * (hour - peak_hour)) for hour in range(HOURS_PER_WEEK))


def _check(seconds: float, per_second: float, cv: float, week: Sequence[float] | None, growth: float) -> None:
    if seconds > MOST_HOURS * SECONDS_PER_HOUR:
        raise BadInput(
            f"{seconds / SECONDS_PER_HOUR:g} hours are too long a load", remedy=f"Give at most {MOST_HOURS:,}."
        )
    if not (math.isfinite(seconds) and seconds > 0 and math.isfinite(per_second) and per_second > 0):
        raise BadInput(
            f"{per_second} requests a second for {seconds} seconds are no load", remedy="Give more than 0 of both."
        )
    if not LEAST_CV <= cv <= MOST_CV:
        raise BadInput(
            f"gaps with a cv of {cv} cannot be drawn", remedy=f"Give {LEAST_CV} to {MOST_CV:g}; 1 is Poisson."
        )
    if not -1 < growth <= 10:
        raise BadInput(f"a load does not grow by {growth} a week", remedy="Give a share such as 0.02.")
    if week is not None and (len(week) != HOURS_PER_WEEK or min(week) < 0 or not 0 < sum(week) < math.inf):
        raise BadInput("a week has 168 loads of at least 0, one of them more", remedy="Give one for each hour.")


def _expected(
    seconds: float, per_second: float, week: Sequence[float] | None, start_hour: float, growth: float
) -> tuple[Floats, Floats]:
    """Requests expected up to the edge of each hour; in between the rate is even."""
    hours = math.ceil(seconds / SECONDS_PER_HOUR + start_hour % 1)
    begins = (np.arange(hours + 1) - start_hour % 1) * SECONDS_PER_HOUR
    edges = np.clip(begins, 0, seconds)
    place = (math.floor(start_hour) + np.arange(hours)) % HOURS_PER_WEEK
    relative = np.ones(HOURS_PER_WEEK) if week is None else np.asarray(week, float) / np.mean(week)
    grown = (1 + growth) ** (np.arange(hours) / HOURS_PER_WEEK)
    expected = np.concatenate(([0.0], np.cumsum(np.diff(edges) * per_second * relative[place] * grown)))
    return edges, expected


def _gaps(seed: int, gaps: Gaps, cv: float, count: int) -> Floats:
    if gaps is Gaps.FIXED:
        return np.concatenate(([0.0], np.ones(count - 1)))
    if gaps is Gaps.GAMMA:
        return gammas(seed, "gaps", count, 1 / cv**2)
    if gaps is Gaps.WEIBULL:
        return weibulls(seed, "gaps", count, weibull_shape(cv))
    drawn: Floats = -np.log(uniforms(seed, "gaps", count))
    return drawn


def weibull_shape(cv: float) -> float:
    """The shape of the Weibull distribution with that coefficient of variation, by halving.

    >>> round(weibull_shape(1.0), 9)
    1.0
    """
    low, high = 0.05, 50.0
    for _ in range(80):
        shape = (low + high) / 2
        spread = math.exp(math.lgamma(1 + 2 / shape) - 2 * math.lgamma(1 + 1 / shape)) - 1
        low, high = (shape, high) if spread > cv**2 else (low, shape)
    return (low + high) / 2
