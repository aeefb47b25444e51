"""Load over time: calls in bins of equal width, and the load-duration curve. Pure.

The load-duration curve is the power system's: the bins sorted by load, highest first. It shows for how many hours each
level of load was reached, which is what decides how much capacity is worth owning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from baseload.errors import BadInput
from baseload.load.calls import Call
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR
from baseload.usage import Usage

Figure = TypeVar("Figure", int, Decimal)

# A series is contiguous: one stray call years away would make it almost nothing but empty bins.
MOST_BINS = 1_000_000


@dataclass(frozen=True, slots=True)
class Bin:
    """What was asked from `start_ns` (nanoseconds since the epoch) up to the next bin."""

    start_ns: int
    requests: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Series:
    """Contiguous bins of `bin_seconds`, empty ones included, from the first call's bin to the last call's."""

    bin_seconds: int
    bins: tuple[Bin, ...]

    @property
    def hours(self) -> Decimal:
        """The time covered, whole bins."""
        return Decimal(len(self.bins) * self.bin_seconds) / SECONDS_PER_HOUR

    @property
    def requests(self) -> int:
        return sum(each.requests for each in self.bins)

    @property
    def usage(self) -> Usage:
        """Everything consumed."""
        return sum((each.usage for each in self.bins), Usage())


def series(calls: Iterable[Call], bin_seconds: int = SECONDS_PER_HOUR) -> Series:
    """Calls, in any order, counted in the bin in which they arrived; bins start at multiples of their width (UTC).

    Raises BadInput for a width below one second or a span of more than a million bins.
    """
    if bin_seconds < 1:
        raise BadInput(f"a bin of {bin_seconds} seconds is no bin", remedy="Give at least one second.")
    width = bin_seconds * NANOSECONDS_PER_SECOND
    counts: dict[int, int] = {}
    usages: dict[int, Usage] = {}
    for call in calls:
        place = call.facts.at_ns // width
        counts[place] = counts.get(place, 0) + 1
        usages[place] = usages.get(place, Usage()) + call.usage
    if not counts:
        return Series(bin_seconds, ())
    first, last = min(counts), max(counts)
    if last - first >= MOST_BINS:
        raise BadInput(
            f"calls span {last - first + 1} bins of {bin_seconds} seconds, more than {MOST_BINS}",
            remedy="Take wider bins, or filter out the calls with a wrong clock.",
        )
    bins = (Bin(at * width, counts.get(at, 0), usages.get(at, Usage())) for at in range(first, last + 1))
    return Series(bin_seconds, tuple(bins))


def duration_curve(values: Iterable[Figure]) -> tuple[Figure, ...]:
    """The load-duration curve: the same values, highest first.

    >>> duration_curve([3, 9, 0, 5])
    (9, 5, 3, 0)
    """
    return tuple(sorted(values, reverse=True))
