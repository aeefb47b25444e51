"""A modelled figure: low, likely, high. Pure.

Money that was metered is exact and never becomes a Range on its own; `Range.exact` is the one visible place where a
metered figure enters a modelled sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from baseload.errors import BadInput


@dataclass(frozen=True, slots=True)
class Range:
    """Low <= likely <= high, in the unit that the field holding it names."""

    low: Decimal
    likely: Decimal
    high: Decimal

    def __post_init__(self) -> None:
        if not self.low <= self.likely <= self.high:
            raise BadInput(
                f"a range must rise, but low {self.low}, likely {self.likely}, high {self.high} does not",
                remedy="Order the three figures.",
            )

    @classmethod
    def exact(cls, value: Decimal | int) -> Range:
        """A figure that is known.

        >>> Range.exact(12).high
        Decimal('12')
        """
        figure = Decimal(value)
        return cls(figure, figure, figure)

    @classmethod
    def between(cls, low: Decimal | int | str, high: Decimal | int | str) -> Range:
        """A range of which only the ends are known; the middle stands for likely.

        >>> Range.between(400, 800).likely
        Decimal('600')
        """
        bottom, top = Decimal(low), Decimal(high)
        return cls(bottom, (bottom + top) / 2, top)

    @property
    def is_exact(self) -> bool:
        return self.low == self.high

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def __sub__(self, other: Range) -> Range:
        """The widest difference: low minus high to high minus low."""
        return Range(self.low - other.high, self.likely - other.likely, self.high - other.low)

    def __mul__(self, factor: Decimal | int) -> Range:
        """Scale by a factor that is not negative."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def __truediv__(self, divisor: Decimal | int) -> Range:
        return Range(self.low / divisor, self.likely / divisor, self.high / divisor)


def total(ranges: Iterable[Range]) -> Range:
    """Sum of ranges end by end; the empty sum is exactly zero."""
    result = Range.exact(0)
    for each in ranges:
        result = result + each
    return result
