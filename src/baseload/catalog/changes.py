"""How prices have moved: the dated changes that books hold. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from baseload.catalog.entries import Offer, Rates

Direction = Literal["rise", "fall", "mixed", "none"]
# Input and output weigh 3 to 1: the common blend by which price lists are compared.
_BLEND = (Decimal("0.75"), Decimal("0.25"))


@dataclass(frozen=True, slots=True)
class PriceChange:
    """One offer's price on the day it changed. `factor` is the new blend over the old, None where the old one was 0."""

    offer: str
    day: date
    before: Rates
    after: Rates
    direction: Direction
    factor: Decimal | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Counts of dated changes. `mixed` are those where input and output went opposite ways; `none` changed neither."""

    rises: int
    falls: int
    mixed: int
    none: int

    @property
    def moved(self) -> int:
        """Changes that moved the input or the output price."""
        return self.rises + self.falls + self.mixed


def changes(offers: Iterable[Offer]) -> tuple[PriceChange, ...]:
    """Every dated change of an all-day price of input or output below the first tier, oldest first."""
    found = [change for offer in offers for change in _of(offer)]
    return tuple(sorted(found, key=lambda change: (change.day, change.offer)))


def counted(found: Iterable[PriceChange]) -> Changes:
    """How many changes went which way."""
    ways = [change.direction for change in found]
    return Changes(ways.count("rise"), ways.count("fall"), ways.count("mixed"), ways.count("none"))


def _of(offer: Offer) -> Iterator[PriceChange]:
    rows = [row for row in offer.schedule if row.window is None]
    for earlier, later in itertools.pairwise(rows):
        if later.valid_from is None:
            continue
        before, after = _known(earlier.rates), _known(later.rates)
        if before is None or after is None:
            continue
        old, new = (sum(price * part for price, part in zip(pair, _BLEND, strict=True)) for pair in (before, after))
        yield PriceChange(
            offer.key, later.valid_from, earlier.rates, later.rates, _way(before, after), new / old if old else None
        )


def _known(rates: Rates) -> tuple[Decimal, Decimal] | None:
    return (rates.input, rates.output) if rates.input is not None and rates.output is not None else None


def _way(before: tuple[Decimal, Decimal], after: tuple[Decimal, Decimal]) -> Direction:
    up = any(new > old for old, new in zip(before, after, strict=True))
    down = any(new < old for old, new in zip(before, after, strict=True))
    return "mixed" if up and down else "rise" if up else "fall" if down else "none"
