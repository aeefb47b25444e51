"""Conversions between the units of money, tokens and time. Pure.

Every constant that turns one unit into another stands here; no other file holds 1_000_000, 3600 or 730.

Money that was metered is an integer of nano-dollars. A price is an integer of pico-dollars per token: USD per million
tokens with at most six decimals, so `0.0028 USD/Mtok` is exactly 2,800 pico-dollars per token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal

from baseload.errors import BadInput

TOKENS_PER_MTOK = 1_000_000
NANO_PER_USD = 1_000_000_000
PICO_PER_USD = 1_000_000_000_000
PICO_PER_NANO = 1_000
PICO_PER_TOKEN_AT_ONE_USD_PER_MTOK = PICO_PER_USD // TOKENS_PER_MTOK
NANOSECONDS_PER_SECOND = 1_000_000_000
MILLISECONDS_PER_SECOND = 1_000
SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3_600
HOURS_PER_DAY = 24
# 365 / 12 x 24 = 730: the billing month of the cloud price lists.
HOURS_PER_MONTH = 730
MONTHS_PER_YEAR = 12
WATTS_PER_KILOWATT = 1_000
BYTES_PER_GB = 1_000_000_000
BITS_PER_BYTE = 8

_EXACT = Context(prec=200)
_SUFFIX = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_QUANTITY = re.compile(r"((?:[0-9]+|[0-9]{1,3}(?:[_,][0-9]{3})+)(?:\.[0-9]+)?)\s*([KMBGT]?)", re.IGNORECASE)
# Beyond these a figure is a slip of the keyboard, and a sum of such figures has more digits than are kept exactly.
MOST_COUNT = Decimal(10) ** 18
MOST_USD = Decimal(10) ** 9
LEAST_USD = Decimal(10) ** -12


def nanousd(usd: Decimal) -> int:
    """USD to integer nano-dollars, half-even at the ninth decimal.

    >>> nanousd(Decimal("0.00038"))
    380000
    """
    return round(usd * NANO_PER_USD)  # Decimal's own `round` is half-even


def usd(nanos: int) -> Decimal:
    """Integer nano-dollars to exact USD.

    >>> usd(380_000)
    Decimal('0.00038')
    """
    return Decimal(nanos).scaleb(-9).normalize() if nanos else Decimal(0)


def exact_sum(figures: Iterable[Decimal]) -> Decimal:
    """The sum of USD with every digit: Decimal's own `+` rounds to 28 of them.

    >>> exact_sum([Decimal("0.10000000000000000555111512312578"), Decimal(10)])
    Decimal('10.10000000000000000555111512312578')
    """
    total = Decimal(0)
    for figure in figures:
        total = _EXACT.add(total, figure)
    return total


def shown_usd(nanos: int) -> str:
    """Integer nano-dollars, not negative, as exact USD without an exponent: `usd` in print.

    >>> shown_usd(380_000), shown_usd(12_000_000_000)
    ('0.00038', '12')
    """
    whole, rest = divmod(nanos, NANO_PER_USD)
    return f"{whole}.{rest:09d}".rstrip("0") if rest else str(whole)


def pico_per_token(usd_per_mtok: Decimal) -> int:
    """USD per million tokens to pico-dollars per token; refuses what would need rounding.

    >>> pico_per_token(Decimal("0.0028"))
    2800
    """
    pico = usd_per_mtok * PICO_PER_TOKEN_AT_ONE_USD_PER_MTOK
    if pico != pico.to_integral_value():
        raise BadInput(
            f"a price of {usd_per_mtok} USD per million tokens has more than six decimals",
            remedy="Round the price to six decimals (one pico-dollar per token).",
        )
    return int(pico)


def per_mtok(usd_per_token: Decimal) -> Decimal:
    """USD per token to USD per million tokens, rounded half-even to the six decimals a price may have.

    >>> per_mtok(Decimal(5) / Decimal(1_000_000) / 3)
    Decimal('1.666667')
    """
    return (usd_per_token * TOKENS_PER_MTOK).quantize(Decimal("0.000001"), rounding=ROUND_HALF_EVEN)


def quantity(text: str) -> Decimal:
    """Read a count such as `300M`, `1.6B`, `19_366` or `20K`. Raises BadInput for what is none, or beyond 1e18.

    >>> quantity("1.6B")
    Decimal('1600000000.0')
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise BadInput(
            f"{text!r} is not a quantity", remedy="Write a number with an optional K, M, B or T, as in 300M."
        )
    number = Decimal(match[1].replace("_", "").replace(",", "")) * _SUFFIX[match[2].upper()]
    if number > MOST_COUNT:
        raise BadInput(f"{text[:40]!r} is beyond {MOST_COUNT:.0e}", remedy="Check its digits: nothing here is so many.")
    return number


def is_usd(figure: Decimal) -> bool:
    """Whether a figure can be a price in USD: zero, or a number from a trillionth to a billion.

    >>> is_usd(Decimal("0.25")), is_usd(Decimal("1e400")), is_usd(Decimal("1e-999"))
    (True, False, False)
    """
    return figure.is_finite() and (figure.is_zero() or LEAST_USD <= figure <= MOST_USD)
