"""Days on which machines keep other hours: what a list of holidays takes from a schedule. Pure.

A list holds for the years in which it has a date, and says nothing of any other. Over a named month its effect is
exact; without one it is averaged over its years, at 730 hours a month.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Literal

from baseload.cost.schedule import HOURS_PER_WEEK, Schedule
from baseload.errors import BadInput
from baseload.units import HOURS_PER_MONTH, MONTHS_PER_YEAR

Like = Literal["off", "weekend"]
MOST_DAYS = 10_000
_A_SUNDAY = date(2026, 1, 4)
_MONTH = re.compile(r"(\d{4})-(\d{2})")


@dataclass(frozen=True)
class Holidays:
    """Dates on which the machines are `off`, or keep the hours that the schedule has on a Sunday (`weekend`)."""

    days: frozenset[date]
    like: Like = "off"

    def __post_init__(self) -> None:
        if not 1 <= len(self.days) <= MOST_DAYS:
            raise BadInput(f"a list of {len(self.days)} holidays", remedy=f"Give 1 to {MOST_DAYS:,} dates: 2026-12-25.")

    @property
    def years(self) -> tuple[int, ...]:
        """The years that the list covers: those in which it has a date."""
        return tuple(sorted({day.year for day in self.days}))

    def taken(self, on: Schedule, day: date) -> int:
        """Hours that a day loses; none where it is no holiday, or was off anyway."""
        if day not in self.days:
            return 0
        kept = on.hours_of(_A_SUNDAY) if self.like == "weekend" else 0
        return max(0, on.hours_of(day) - kept)

    def averaged(self, on: Schedule) -> Schedule:
        """The schedule with what the list takes, averaged over its years and twelve months of 730 hours."""
        year = Fraction(sum(self.taken(on, day) for day in self.days), len(self.years))
        return replace(on, lost=year / MONTHS_PER_YEAR * Fraction(HOURS_PER_WEEK, HOURS_PER_MONTH))

    def hours_in(self, on: Schedule, year: int, month: int) -> int:
        """Hours on in a calendar month, exact. Raises BadInput for a year that the list says nothing of."""
        if year not in self.years:
            covered = ", ".join(str(each) for each in self.years)
            raise BadInput(f"the holidays cover {covered} and not {year}", remedy=f"Add the dates of {year}.")
        return sum(on.hours_of(day) - self.taken(on, day) for day in _days(year, month))


def hours_in(on: Schedule, year: int, month: int) -> int:
    """Hours on in a calendar month without holidays.

    >>> from baseload.cost.schedule import schedule
    >>> hours_in(schedule("mon-fri:8-18"), 2026, 12)
    230
    """
    return sum(on.hours_of(day) for day in _days(year, month))


def in_month(on: Schedule, text: str, holidays: Holidays | None = None) -> Fraction:
    """Hours on a week which over 730 hours make exactly those of the named month, `2026-12`. Raises BadInput."""
    match = _MONTH.fullmatch(text.strip())
    year, month = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (year and 1 <= month <= MONTHS_PER_YEAR):
        raise BadInput(f"{text!r} is no month", remedy="Write year and month, as in 2026-12.")
    hours = hours_in(on, year, month) if holidays is None else holidays.hours_in(on, year, month)
    if not hours:
        raise BadInput(f"machines are on for 0 hours in {text}", remedy="Name another month, or buy by the token.")
    return Fraction(hours * HOURS_PER_WEEK, HOURS_PER_MONTH)


def read_holidays(text: str, like: str = "off") -> Holidays:
    """ISO dates, one a line or with commas; what follows a `#` is a remark. Raises BadInput that names the place.

    >>> sorted(read_holidays("2026-12-25, 2027-01-01  # and so on").years)
    [2026, 2027]
    """
    if like not in ("off", "weekend"):
        raise BadInput(f"holidays are like {like!r}", remedy="Use off or weekend.")
    days: set[date] = set()
    for number, word in _words(text):
        try:
            day = date.fromisoformat(word)
        except ValueError as error:
            raise BadInput(
                f"holidays, line {number}: {word[:40]!r} is no date", remedy="Write it as 2026-12-25."
            ) from error
        if day in days:
            raise BadInput(f"holidays, line {number}: {day} stands there twice", remedy="Take one of the two out.")
        days.add(day)
    return Holidays(frozenset(days), "weekend" if like == "weekend" else "off")


def _words(text: str) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        for word in line.partition("#")[0].split(","):
            if word.strip():
                yield number, word.strip()


def _days(year: int, month: int) -> list[date]:
    return [day for number in range(1, 32) if (day := _day(year, month, number)) is not None]


def _day(year: int, month: int, number: int) -> date | None:
    try:
        return date(year, month, number)
    except ValueError:  # the month ended before
        return None
