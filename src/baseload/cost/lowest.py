"""The cheapest of several curves at every volume, as a curve of its own. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from baseload.cost.curves import Curve


@dataclass(frozen=True)
class Lowest:
    """At every volume what the cheapest of `curves` costs. It bends where they do and where two of them meet."""

    name: str
    curves: tuple[Curve, ...]
    _events: dict[tuple[Fraction, Fraction], tuple[Fraction, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def slope(self) -> Fraction:
        return min(curve.slope for curve in self.curves)

    @property
    def band(self) -> tuple[Fraction, Fraction]:
        last = [curve.band for curve in self.curves if curve.slope == self.slope]
        return min(low for low, _ in last), min(high for _, high in last)

    @property
    def settled(self) -> Fraction:
        return max(curve.settled for curve in self.curves)

    def at(self, volume: Fraction) -> Fraction:
        return min(curve.at(volume) for curve in self.curves)

    def after(self, volume: Fraction) -> Fraction:
        return min(curve.after(volume) for curve in self.curves)

    def events(self, low: Fraction, high: Fraction) -> Iterator[Fraction]:
        # Walked once for the drawn curve and once for the windows.
        if (low, high) not in self._events:
            self._events[low, high] = tuple(self._walked(low, high))
        yield from self._events[low, high]

    def _walked(self, low: Fraction, high: Fraction) -> Iterator[Fraction]:
        bends = sorted({low, high, *(event for curve in self.curves for event in curve.events(low, high))})
        for start, end in itertools.pairwise(bends):
            if low < start:
                yield start
            lines = [(curve.after(start), curve.at(end)) for curve in self.curves]
            yield from sorted(set(_meetings(lines, start, end)))


def _meetings(lines: list[tuple[Fraction, Fraction]], start: Fraction, end: Fraction) -> Iterator[Fraction]:
    """Where two straight lines meet strictly between the ends."""
    for (left, right), (other_left, other_right) in itertools.combinations(lines, 2):
        before, behind = left - other_left, right - other_right
        if before * behind < 0:
            yield start + (end - start) * before / (before - behind)
