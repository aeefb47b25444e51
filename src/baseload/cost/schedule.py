"""The hours of a week in which machines are on: 168 bins, Monday 00:00 first. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cached_property

from baseload.errors import BadInput
from baseload.units import HOURS_PER_DAY

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS_PER_WEEK = len(DAYS) * HOURS_PER_DAY
EXAMPLE = "mon-fri:8-18"
_PART = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))?:)?(\d{1,2})-(\d{1,2})")


@dataclass(frozen=True)
class Schedule:
    """`on` holds one bit for each hour of the week; `lost` are hours a week that holidays, or the days of a
    named month, take away on average; a month with more of the days on has fewer than none."""

    on: tuple[bool, ...]
    lost: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if len(self.on) != HOURS_PER_WEEK:
            raise BadInput(
                f"a week has {HOURS_PER_WEEK} hours, not {len(self.on)}", remedy="Give one value for each hour."
            )
        if not any(self.on):
            raise BadInput(
                "machines that are on for 0 hours serve nothing",
                remedy=f"Give hours as in {EXAMPLE}, or leave the machines out and buy by the token.",
            )
        if not self.lost < self.hours:
            raise BadInput(
                f"holidays take {float(self.lost):.1f} of {self.hours} hours a week: machines that are never on",
                remedy="Check the dates, or leave the machines out and buy by the token.",
            )

    @cached_property
    def hours(self) -> int:
        """Hours on in a week without holidays."""
        return sum(self.on)

    @property
    def mean_hours(self) -> Fraction:
        """Hours on in a week, what holidays take away averaged over the weeks."""
        return self.hours - self.lost

    def hours_of(self, day: date) -> int:
        """Hours on of a calendar day that is no holiday."""
        first = day.weekday() * HOURS_PER_DAY
        return sum(self.on[first : first + HOURS_PER_DAY])

    @cached_property
    def runs(self) -> tuple[int, ...]:
        """The length in hours of every stretch between a start and a stop; a machine that never stops has none.

        The week wraps: a stretch over Sunday midnight is one.
        """
        if all(self.on):
            return ()
        first_off = self.on.index(False)
        turned = "".join("x" if each else " " for each in (*self.on[first_off:], *self.on[:first_off]))
        return tuple(len(stretch) for stretch in turned.split())

    @property
    def share(self) -> Fraction:
        """The share of the time that is on."""
        return Fraction(self.mean_hours, HOURS_PER_WEEK)


ALWAYS = Schedule((True,) * HOURS_PER_WEEK)


def schedule(text: str) -> Schedule:
    """Read `24/7`, `8-18`, `mon-fri:8-18` or several with commas. `22-6` runs past midnight, of the days it starts.

    >>> schedule("mon-fri:8-18").hours, schedule("22-6").hours, schedule("fri-mon:0-24").hours
    (50, 56, 96)
    """
    if text.strip() == "24/7":
        return ALWAYS
    on = [False] * HOURS_PER_WEEK
    for part in text.lower().replace(" ", "").split(","):
        for hour in _hours(part, text):
            on[hour] = True
    return Schedule(tuple(on))


def _hours(part: str, text: str) -> list[int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise BadInput(f"{text!r} is no schedule", remedy=f"Write days and hours, as in {EXAMPLE},sat:10-14, or 24/7.")
    first, last = match[1] or DAYS[0], match[2] or match[1] or DAYS[-1]
    start, end = int(match[3]), int(match[4])
    unknown = next((day for day in (first, last) if day not in DAYS), None)
    if unknown is not None or max(start, end) > HOURS_PER_DAY:
        found = unknown if unknown is not None else f"{max(start, end)}:00"
        raise BadInput(
            f"{found!r} in the schedule {text!r} is no day or hour",
            remedy=f"Use {', '.join(DAYS)} and hours from 0 to {HOURS_PER_DAY}.",
        )
    if start == end:
        raise BadInput(
            f"{part!r} is 0 hours: machines that are never on serve nothing",
            remedy=f"Give hours as in {EXAMPLE}, or 0-{HOURS_PER_DAY} for whole days.",
        )
    length = (end - start) if end > start else end + HOURS_PER_DAY - start
    days = (DAYS.index(last) - DAYS.index(first)) % len(DAYS) + 1
    return [
        ((DAYS.index(first) + day) * HOURS_PER_DAY + start + hour) % HOURS_PER_WEEK
        for day in range(days)
        for hour in range(length)
    ]
