"""`price(usage, offer, when, processing)`: what one attempt cost, exact in nano-dollars, line by line. Pure.

Each line is count x price in integer pico-dollars, rounded half-even once to nano-dollars; the total is the sum of the
lines and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from baseload.catalog.entries import Offer, PriceRow, Processing, Rates, Tier
from baseload.errors import Unpriced
from baseload.units import PICO_PER_NANO, nanousd, pico_per_token
from baseload.usage import Usage


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """`count` tokens (or requests) of one leaf at `usd_per_mtok` (or USD per request). `assumed`: the sheet has no such
    line and the whole's rate was taken."""

    leaf: str
    count: int
    usd_per_mtok: Decimal
    nanousd: int
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """What an attempt cost. `nanousd` is the sum of its lines."""

    offer: str
    book: str
    lines: tuple[ChargeLine, ...]

    @property
    def nanousd(self) -> int:
        return sum(line.nanousd for line in self.lines)


def price(usage: Usage, offer: Offer, when: datetime, processing: Processing = Processing.STANDARD) -> Charge:
    """Price a Usage on an Offer at an aware UTC datetime. Raises Unpriced rather than answer zero.

    One million tokens in at 3 USD and 200,000 out at 15 USD are 3 + 3 = 6 USD.
    """
    rates = rates_at(offer, when, usage.prompt_tokens, processing)
    return Charge(offer=offer.key, book=offer.source.book, lines=tuple(_lines(usage, rates, offer)))


def processing_of(service_tier: str) -> Processing:
    """How an upstream says it processed a request; an empty word is the standard way.

    Raises Unpriced for a word that no price sheet uses: what that costs is not known, least of all the standard price.

    >>> processing_of(""), processing_of("flex")
    (<Processing.STANDARD: 'standard'>, <Processing.FLEX: 'flex'>)
    """
    if not service_tier:
        return Processing.STANDARD
    try:
        return Processing(service_tier)
    except ValueError as error:
        raise Unpriced(
            f"no book has a price for the service tier {service_tier!r}",
            remedy=f"Books price {', '.join(Processing)}; ask the upstream for one of them.",
        ) from error


def rates_at(
    offer: Offer, when: datetime, prompt_tokens: int = 0, processing: Processing = Processing.STANDARD
) -> Rates:
    """The rates that a request with a prompt of that length pays at an aware UTC datetime. Raises Unpriced."""
    row = offer.row(when, processing)
    if row is None:
        way = "" if processing is Processing.STANDARD else f"{processing} "
        raise Unpriced(
            f"{offer.source.book} has no {way}price for {offer.key} on {when:%Y-%m-%d %H:%M} UTC",
            remedy=f"Add a dated {way}price for {offer.key} to your own book.",
        )
    return _rates(row, prompt_tokens)


def minimum_left(offer: Offer, spent_nanousd: int) -> int:
    """What a month's bill adds to usage of that many nano-dollars so that it reaches the offer's minimum.

    An offer with a monthly minimum of 100 USD on which 30 were spent adds 70.
    """
    return max(0, nanousd(offer.monthly_minimum_usd) - spent_nanousd)


def tier_of(row: PriceRow, prompt_tokens: int) -> Tier | None:
    """The tier that a prompt of this length falls into; a cliff, as providers bill it. None below the first one."""
    reached = [tier for tier in row.tiers if prompt_tokens > tier.above_prompt_tokens]
    return max(reached, key=lambda tier: tier.above_prompt_tokens) if reached else None


def _rates(row: PriceRow, prompt_tokens: int) -> Rates:
    tier = tier_of(row, prompt_tokens)
    return row.rates if tier is None else tier.rates


def _lines(usage: Usage, rates: Rates, offer: Offer) -> list[ChargeLine]:
    table = (
        ("input", usage.input_tokens, rates.input, rates.input),
        ("cache_read", usage.cache_read_tokens, rates.cache_read, rates.input),
        ("cache_write", usage.cache_write_tokens, rates.cache_write, rates.input),
        ("cache_write_1h", usage.cache_write_1h_tokens, rates.cache_write_1h, rates.input),
        ("output", usage.output_tokens, rates.output, rates.output),
        ("reasoning", usage.reasoning_tokens, rates.reasoning, rates.output),
    )
    lines = [_line(leaf, count, own, whole, offer) for leaf, count, own, whole in table if count]
    if rates.per_request:
        lines.append(ChargeLine("request", 1, rates.per_request, nanousd(rates.per_request)))
    return lines


def _line(leaf: str, count: int, own: Decimal | None, whole: Decimal | None, offer: Offer) -> ChargeLine:
    rate = own if own is not None else whole
    if rate is None:
        raise Unpriced(
            f"{offer.source.book} has no {leaf} price for {offer.key}, and {count} tokens used it",
            remedy=f"Add the {leaf} price of {offer.key} to your own book.",
        )
    return ChargeLine(leaf, count, rate, half_even(count * pico_per_token(rate)), assumed=own is None)


def half_even(pico: int) -> int:
    """Pico-dollars to nano-dollars.

    >>> half_even(2_500), half_even(3_500)
    (2, 4)
    """
    whole, rest = divmod(pico, PICO_PER_NANO)
    return whole + (rest * 2 > PICO_PER_NANO or (rest * 2 == PICO_PER_NANO and whole % 2 == 1))
