"""How the console writes figures: counts, tokens, money, shares, times. Pure.

Every shown figure is a shortening of an exact one; templates put the exact one beside it in `<data value>`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from baseload.clock import from_ns

UNKNOWN = "unknown"
_STEPS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


def count(figure: int | None) -> str:
    """A whole number with thousands separators.

    >>> count(19366)
    '19,366'
    """
    return UNKNOWN if figure is None else f"{figure:,}"


def short(figure: int | Decimal | None) -> str:
    """A quantity in three to four digits, as the articles write tokens.

    >>> short(22_361_870), short(950), short(1_600_000_000)
    ('22.36 M', '950', '1.6 B')
    """
    if figure is None:
        return UNKNOWN
    amount = Decimal(figure)
    for step, letter in _STEPS:
        if abs(amount) >= step:
            return f"{plain(round(amount / step, 2))} {letter}"
    return plain(round(amount, 2))


def plain(figure: Decimal) -> str:
    """A Decimal with separators, no exponent and no trailing zeros: the exact figure as text.

    >>> plain(Decimal("1E+3")), plain(Decimal("0.00038000"))
    ('1,000', '0.00038')
    """
    text = f"{figure:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(usd: Decimal | None) -> str:
    """USD: cents from one dollar up, two significant digits below.

    >>> money(Decimal("96.791234")), money(Decimal("0.00038")), money(Decimal("12000")), money(None)
    ('$96.79', '$0.00038', '$12,000.00', 'unknown')
    """
    if usd is None:
        return UNKNOWN
    if usd and abs(usd) < 1:
        places = max(2, 1 - usd.adjusted())
        return f"{'-' if usd < 0 else ''}${abs(usd):.{places}f}"
    return f"{'-' if usd < 0 else ''}${abs(usd):,.2f}"


def dollars(usd: Decimal | None) -> str:
    """USD a month, where cents would be noise: whole dollars from a hundred up.

    >>> dollars(Decimal("12000")), dollars(Decimal("99.5"))
    ('$12,000', '$99.50')
    """
    return money(usd) if usd is None or abs(usd) < 100 else f"{'-' if usd < 0 else ''}${abs(usd):,.0f}"


def percent(share: Decimal | None, *, signed: bool = False) -> str:
    """A share of one as percent.

    >>> percent(Decimal("0.9712")), percent(Decimal("1.337"), signed=True), percent(Decimal("-0.9951"), signed=True)
    ('97.1 %', '+134 %', '-99.5 %')
    """
    if share is None:
        return UNKNOWN
    figure = share * 100
    places = 0 if abs(figure) >= 100 or figure == 0 else 1
    return f"{figure:{'+,' if signed and figure else ','}.{places}f} %"


def moment(nanoseconds: int | None) -> str:
    """A time to the second, UTC."""
    return UNKNOWN if nanoseconds is None else f"{from_ns(nanoseconds):%Y-%m-%d %H:%M:%S}"


def period(since_ns: int | None, until_ns: int | None) -> str:
    """From first to last, the day written once when it is the same.

    >>> period(0, 3_600_000_000_000)
    '1970-01-01 00:00 to 01:00 UTC'
    """
    if since_ns is None or until_ns is None:
        return "no calls yet"
    start, end = from_ns(since_ns), from_ns(until_ns)
    return f"{_minute(start)} to {f'{end:%H:%M}' if start.date() == end.date() else _minute(end)} UTC"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
