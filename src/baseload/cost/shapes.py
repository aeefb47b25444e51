"""The load of a week, hour by hour: shapes with a name, and those of a file. Pure.

168 figures, Monday 00:00 first, each from 0 up and over the others: only their proportions count. The named ones are
assumptions, not measurements; a week of your own ledger is better.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from baseload.cost.schedule import HOURS_PER_WEEK, schedule
from baseload.errors import BadInput

Shape = tuple[Fraction, ...]
# Assumed: what people at work send. Nights and weekends hold a tenth of an office hour, the hours around it a third.
_OFFICE = (("mon-fri:8-18", Fraction(1)), ("mon-fri:7-8,mon-fri:18-21", Fraction(1, 3)))
_REST = Fraction(1, 10)
NAMED = ("flat", "office")


def named_shape(name: str) -> Shape | None:
    """The shape of a name; None where there is none.

    >>> max(named_shape("office")) / min(named_shape("office"))
    Fraction(10, 1)
    """
    if name == "flat":
        return (Fraction(1),) * HOURS_PER_WEEK
    if name != "office":
        return None
    week = [_REST] * HOURS_PER_WEEK
    for hours, load in _OFFICE:
        week = [load if running else each for running, each in zip(schedule(hours).on, week, strict=True)]
    return tuple(week)


def read_shape(text: str, origin: str) -> Shape:
    """168 figures with line ends, commas, semicolons or blanks between them. Raises BadInput that names the place."""
    words = [word for word in re.split(r"[\s,;]+", text.strip()) if word]
    if len(words) != HOURS_PER_WEEK:
        raise BadInput(
            f"{origin} holds {len(words)} figures, and a week has {HOURS_PER_WEEK} hours",
            remedy="Give one load for each hour, Monday 00:00 first.",
        )
    shape = tuple(_load(word, place, origin) for place, word in enumerate(words, 1))
    if not any(shape):
        raise BadInput(f"{origin} holds a week without any load", remedy="Give one hour that is above 0.")
    return shape


def _load(word: str, place: int, origin: str) -> Fraction:
    try:
        figure = Decimal(word)
    except InvalidOperation:
        figure = Decimal("nan")
    if not figure.is_finite() or figure < 0 or not -12 <= figure.adjusted() <= 18:
        raise BadInput(f"{origin}, figure {place}: {word[:40]!r} is no load", remedy="Write a number from 0 up.")
    return Fraction(figure)
