"""Itemised bills: a forecast, a replay and an invoice have the same shape, so they subtract. Pure.

A total is the sum of its lines and nothing else. Amounts are USD for one period (a month unless the bill says so).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from baseload.catalog.entries import Source
from baseload.ranges import Range, total

# Paid for what is used, for what stands by, once and spread over the horizon, or beside the cash.
Basis = Literal["used", "idle", "once", "shadow"]


@dataclass(frozen=True, slots=True)
class Input:
    """A figure behind a line. `origin` says who stated it: the option, the load, or an assumption (typed, config,
    default)."""

    name: str
    value: Range
    unit: str
    origin: str
    source: Source | None


@dataclass(frozen=True, slots=True)
class Line:
    """One item: what it is, what it costs, how the amount came about, and where the figure was read.

    `how` spells the arithmetic, as in `2 x 2.40 USD/h x 730 h`. `source` None means it follows from figures that were
    typed or metered. A line of the cost model also has the `id` of its row in the parameter table with its `formula`,
    `quantity` of `unit` at `unit_price`, the `inputs`, its FOCUS charge `category`, and, where a cost is spread over
    time, the whole of it as `once`.
    """

    component: str
    amount: Range
    how: str
    source: Source | None = None
    id: str = ""
    basis: Basis = "used"
    category: str = "Usage"
    quantity: Range | None = None
    unit: str = ""
    unit_price: Range | None = None
    formula: str = ""
    inputs: tuple[Input, ...] = ()
    once: Range | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """Lines in the order they are read."""

    lines: tuple[Line, ...] = ()

    @property
    def total(self) -> Range:
        return total(line.amount for line in self.lines)

    @property
    def used(self) -> Range:
        """The usage basis: what is left without what stands idle. `total` is the reservation basis."""
        return total(line.amount for line in self.lines if line.basis != "idle")

    @property
    def running(self) -> Range:
        """What comes back every month: without the once-only lines."""
        return total(line.amount for line in self.lines if line.basis != "once")

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
