"""Hours, days, weeks and months of a place, by name. Pure.

A name says its distance from UTC: of two hours that are called alike when clocks go back, each is its own. Every engine
is given these names, so none needs to know of clocks.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from baseload.clock import from_ns

TIMES = ("hour", "day", "week", "month")


def label(time: str, at_ns: int, zone: tzinfo) -> str:
    """The hour, day, week (from Monday) or month that a moment falls into, by its beginning.

    >>> from zoneinfo import ZoneInfo
    >>> label("day", 1_793_491_200_000_000_000, ZoneInfo("Asia/Kolkata"))
    '2026-11-01 00:00:00+05:30'
    """
    at = from_ns(at_ns).astimezone(zone)
    if time == "hour":
        return _said(at.replace(minute=0, second=0, microsecond=0), at.utcoffset())
    day = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if time == "week":
        day -= timedelta(days=day.weekday())
    elif time == "month":
        day = day.replace(day=1)
    return _said(day, day.utcoffset())


def _said(at: datetime, offset: timedelta | None) -> str:
    """`2026-11-01 00:00:00+01`; minutes only where there are any."""
    minutes = (offset or timedelta()) // timedelta(minutes=1)
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    return f"{at:%Y-%m-%d %H:%M:%S}{sign}{hours:02d}" + (f":{rest:02d}" if rest else "")
