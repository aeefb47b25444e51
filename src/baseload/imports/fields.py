"""Fields of a foreign record, which is hostile until it is parsed: counts, money, names, times. Acts on nothing.

Every function raises ValueError with words for the line that it came from; nothing is guessed and nothing is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from hashlib import sha256
from typing import Any

from baseload.clock import to_ns
from baseload.load.trace import FIRST_YEAR, LAST_YEAR
from baseload.units import HOURS_PER_DAY, MOST_COUNT, MOST_USD, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR
from baseload.wire.asked import MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS

Row = Mapping[str, Any]
MOST_TEXT = 300
# Digits of a figure beyond which it is no figure.
MOST_DIGITS = 60
# Epochs above this are milliseconds, above its thousandfold microseconds, and so on: seconds to the year 2286.
_SECONDS = 10_000_000_000
# Digits of a date, and of a date with its hour and minute, with seconds or without: no epoch of our times has as many.
_DATE, _COMPACT = 8, (12, 14)
_SHOWN = 40
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  naive as what it is taken from
_DAY = HOURS_PER_DAY * SECONDS_PER_HOUR


def shown(value: object) -> str:
    """A foreign value in our words: short, and without what could move a terminal's cursor.

    >>> shown("a" + chr(27) + "[2J")
    "'a\\\\x1b[2J'"
    """
    return ascii(value)[:_SHOWN]


def count(value: object, what: str, most: int = int(MOST_COUNT)) -> int:
    """A count of something; an empty field is none of it.

    >>> count("1155", "tokens"), count("", "tokens"), count(None, "tokens")
    (1155, 0, 0)
    """
    if value is None or value == "":
        return 0
    if type(value) is int:  # which True is not
        number = value
    elif type(value) is str and len(value) <= MOST_DIGITS and value.isascii() and value.isdigit():
        number = int(value)
    else:
        number = _whole(value, what)
    if not 0 <= number <= most:
        raise ValueError(f"{what} is {shown(value)}, no count from 0 to {most:,}")
    return number


def _whole(value: object, what: str) -> int:
    exact = decimal(value, what)
    if exact is None or exact != exact.to_integral_value():
        raise ValueError(f"{what} is {shown(value)}, no whole number")
    return int(exact)


def decimal(value: object, what: str, most: Decimal = MOST_COUNT) -> Decimal | None:
    """An exact number, negative ones too; None for an empty field."""
    if value is None or value == "":
        return None
    text = value if type(value) is str else str(value)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal) or len(text) > MOST_DIGITS:
        raise ValueError(f"{what} is {shown(value)}, no number")
    try:
        number = value if isinstance(value, Decimal) else Decimal(text.strip())
    except InvalidOperation as error:
        raise ValueError(f"{what} is {shown(value)}, no number") from error
    if not number.is_finite() or abs(number) > most:
        raise ValueError(f"{what} is {shown(value)}, no number that can be meant")
    return number


def money(value: object, what: str) -> Decimal | None:
    """USD, exact and signed; None for an empty field."""
    return decimal(value, what, MOST_USD)


def cost(value: object, what: str) -> Decimal | None:
    """What a request cost: money that is not negative."""
    usd = money(value, what)
    if usd is not None and usd < 0:
        raise ValueError(f"{what} is {shown(value)}: no request earns money")
    return usd


def name(value: object, what: str) -> str:
    """A short printable text; an empty field is the empty text."""
    if not value and (value is None or value == ""):
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{what} is {shown(value)}, no text")
    return _printable(value, what)


@lru_cache(maxsize=1 << 14)
def _printable(value: str, what: str) -> str:
    """The same few names stand in a million records."""
    text = value.strip()
    if len(text) > MOST_TEXT or not text.isprintable():
        raise ValueError(f"{what} is {shown(value)}, no name of up to {MOST_TEXT} printable characters")
    return text


def needed(value: object, what: str) -> str:
    """A name that must be there."""
    text = name(value, what)
    if not text:
        raise ValueError(f"{what} is missing")
    return text


def moment(value: object, what: str, zone: tzinfo = UTC) -> int:
    """Nanoseconds since the epoch of an ISO time (naive ones are on the clock of `zone`) or of an epoch number.

    >>> moment("2026-10-01 00:00:00.5", "startTime") == moment(1790812800.5, "startTime")
    True
    """
    if isinstance(value, str) and value:
        if value.isascii() and value.isdigit() and len(value) != _DATE:
            if len(value) not in _COMPACT:
                return _epoch(value, what)
            value = f"{value[:_DATE]}T{value[_DATE:]}"
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return _epoch(value, what)
        if at.tzinfo is None:
            if zone is UTC and FIRST_YEAR <= at.year <= LAST_YEAR:
                since = at - _EPOCH
                return (since.days * _DAY + since.seconds) * NANOSECONDS_PER_SECOND + since.microseconds * 1_000
            at = at.replace(tzinfo=zone)
        if not FIRST_YEAR <= at.year <= LAST_YEAR:
            raise ValueError(f"{what} is {shown(value)}, not between the years {FIRST_YEAR} and {LAST_YEAR}")
        return to_ns(at)
    return _epoch(value, what)


def _epoch(value: object, what: str) -> int:
    """An epoch in seconds, milliseconds, microseconds or nanoseconds, told apart by its size."""
    text = str(value) if isinstance(value, float) else value
    try:
        number = decimal(text, what, Decimal(10) ** 20)
    except ValueError:
        number = None
    if number is None or number < 0:
        raise ValueError(f"{what} is {shown(value)}, no time")
    scale = NANOSECONDS_PER_SECOND
    while number >= _SECONDS * (NANOSECONDS_PER_SECOND // scale) and scale > 1:
        scale //= 1_000
    at = int(number * scale)
    if at > _SECONDS * NANOSECONDS_PER_SECOND:
        raise ValueError(f"{what} is {shown(value)}, no time")
    return at


def within(row: Row, column: str) -> tuple[bool, object]:
    """Whether a record has a column, and its value; a dot reaches into an object."""
    if column in row or "." not in column:
        return column in row, row.get(column)
    found: object = row
    *way, last = column.split(".")
    for part in way:
        found = mapping(found).get(part)
    return last in mapping(found), mapping(found).get(last)


def mapping(value: object) -> Row:
    """An object inside a record, or nothing."""
    return value if isinstance(value, Mapping) else {}


def rows(value: object) -> list[Row]:
    """The objects of a list inside a record."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def hidden(value: object, what: str) -> str:
    """A key under a name that does not give it away: the start of its hash."""
    text = name(value, what)
    return _hidden(text) if text else ""


@lru_cache(maxsize=1 << 12)
def _hidden(text: str) -> str:
    is_hash = len(text) == 64 and all(each in "0123456789abcdef" for each in text)
    return (text if is_hash else sha256(text.encode()).hexdigest())[:12]


def tagged(pairs: Mapping[str, str], more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Tags within the bounds that tags have, empty ones left out; what was not written for us is cut, not refused."""
    found: dict[str, str] = {}
    for tag, value in (*pairs.items(), *more.items()) if more else pairs.items():
        if value and tag and tag not in found and len(tag) <= MAX_TAG_NAME and len(found) < MAX_TAGS:
            found[tag] = value if len(value) <= MAX_TAG_VALUE else value[:MAX_TAG_VALUE]
    return found
