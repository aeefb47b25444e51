"""Itemised bills: a forecast, a replay and an invoice have the same shape, so they subtract. Pure.

A total is the sum of its lines and nothing else. Amounts are USD for one period (a month unless the bill says so).
"""

from __future__ import annotations

from dataclasses import dataclass

from baseload.catalog.entries import Source
from baseload.ranges import Range, total


@dataclass(frozen=True, slots=True)
class Line:
    """One item: what it is, what it costs, how the amount came about, and where the figure was read.

    `how` spells the arithmetic, as in `2 x 2.40 USD/h x 730 h`. `source` None means it follows from figures that were
    typed or metered.
    """

    component: str
    amount: Range
    how: str
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """Lines in the order they are read."""

    lines: tuple[Line, ...] = ()

    @property
    def total(self) -> Range:
        return total(line.amount for line in self.lines)

    def __add__(self, other: Bill) -> Bill:
        return Bill(self.lines + other.lines)

    def __sub__(self, other: Bill) -> Bill:
        """The difference, component by component: what this bill has more of is positive.

        Ranges subtract to the widest difference, exact amounts exactly.
        """
        mine, theirs = self.by_component(), other.by_component()
        nothing = Range.exact(0)
        return Bill(
            tuple(
                Line(
                    component, mine.get(component, nothing) - theirs.get(component, nothing), "difference of two bills"
                )
                for component in dict.fromkeys([*mine, *theirs])
            )
        )

    def by_component(self) -> dict[str, Range]:
        """Amounts summed over the lines of each component."""
        sums: dict[str, Range] = {}
        for line in self.lines:
            sums[line.component] = sums[line.component] + line.amount if line.component in sums else line.amount
        return sums
