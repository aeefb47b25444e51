"""genai-prices' providers and models as our offers. Pure: it is handed the data and never fetches any.

Its schedules map onto ours one to one: the last active price wins, tiers are cliffs on the whole prompt, a time of day
is UTC. A variant (batch, flex, priority, fast) states some prices anew and leaves the others as they are; before the
day it is dated, the variant has no price here. What is not converted, because a `Usage` has no such leaf: audio, image,
video, character, page and search prices; nor are regional routes. A model without any token price is left out: its
price is unknown here, not zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from baseload.catalog.entries import Offer, Precedence, PriceRow, Processing, Rates, Source, Tier, Variant, Window

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, PriceVariant, Provider, TieredPrices

LICENCE = "MIT"
# Its rows are dated by the day they were last checked; other providers may announce a price months ahead.
DATED_BY_CHECK = "openrouter"

# A handful of its prices are floats such as 0.13999999999999999; six decimals is what a price sheet prints.
_SIXTH_DECIMAL = Decimal("0.000001")
_REQUESTS_PER_PRICE = 1_000
_ANY_DAY = date(2000, 1, 1)

# What a request says there, and what we call it.
_PROCESSING: Mapping[tuple[str, str], Processing] = {
    ("processing", "batch"): Processing.BATCH,
    ("service_tier", "flex"): Processing.FLEX,
    ("service_tier", "priority"): Processing.PRIORITY,
    ("service_tier", "fast"): Processing.FAST,
    ("speed", "fast"): Processing.FAST,
}


def market_offers(providers: Iterable[Provider], version: str) -> tuple[Offer, ...]:
    """Every model of every provider that has a token price, as offers of the book `genai-prices <version>`."""
    known = tuple(providers)
    source = Source(
        book=f"genai-prices {version}",
        precedence=Precedence.MARKET,
        as_of=last_checked(known),
        reference=f"genai-prices {version}, bundled data",
        licence=LICENCE,
    )
    return offers_of(known, source)


def offers_of(providers: Iterable[Provider], source: Source) -> tuple[Offer, ...]:
    """Every model of every provider that has a token price, as offers of that book."""
    return tuple(
        offer for provider in providers for model in provider.models if (offer := _offer(provider, model, source))
    )


def last_checked(providers: Iterable[Provider]) -> date:
    """The newest day on which the data was compared with a provider: the last price change it dates by checking."""
    starts = [
        (provider.id == DATED_BY_CHECK, row.valid_from)
        for provider in providers
        for model in provider.models
        for condition in _conditions(model)
        if (row := _row(condition)).valid_from is not None
    ]
    return max(starts)[1] if starts else date.min


def _offer(provider: Provider, model: ModelInfo, source: Source) -> Offer | None:
    schedule = tuple(_row(condition) for condition in _conditions(model))
    if all(row.rates.input is None and row.rates.output is None for row in schedule):
        return None
    return Offer(
        provider=provider.id,
        model=model.id,
        source=replace(source, reference=_reference(provider, source)),
        schedule=schedule,
        context_tokens=model.context_window,
        name=model.name or "",
        note="deprecated" if model.deprecated else "",
        variants=tuple(_variants(model)) if model.price_variants else (),
    )


def _reference(provider: Provider, source: Source) -> str:
    urls = provider.pricing_urls or ()
    return f"{source.reference}; {urls[0]}" if urls else source.reference


def _conditions(model: ModelInfo) -> Iterator[ConditionalPrice]:
    """The schedule as a list, also where the data gives one price for all time."""
    from genai_prices.types import ConditionalPrice

    if isinstance(model.prices, list):
        yield from model.prices
    else:
        yield ConditionalPrice(prices=model.prices)


def _variants(model: ModelInfo) -> Iterator[Variant]:
    """Every way of processing that has prices of its own. The first variant that states a price wins."""
    stated: dict[Processing, list[tuple[date | None, PriceVariant]]] = {}
    for each in model.price_variants or ():
        processing = _PROCESSING.get(next(iter(each.when.items()))) if len(each.when) == 1 else None
        dated = _start(each)
        if processing is not None and dated is not None and any(vars(each.prices).values()):
            stated.setdefault(processing, []).append((None if dated == date.min else dated, each))
    for processing, variants in stated.items():
        yield Variant(processing, tuple(_varied(tuple(_conditions(model)), variants)))


def _varied(
    standard: tuple[ConditionalPrice, ...], variants: list[tuple[date | None, PriceVariant]]
) -> Iterator[PriceRow]:
    """The standard schedule once more from every day on which a variant or a standard price begins, with the prices
    that the variants state by then in place of the standard ones."""
    starts = {row.valid_from for row in map(_row, standard)} | {start for start, _ in variants}
    for day in sorted(starts, key=lambda start: start or date.min):
        active = [each for start, each in variants if start is None or (day is not None and start <= day)]
        if not active:
            continue
        for condition in standard:
            row = _row(condition)
            if row.valid_from is None or (day is not None and row.valid_from <= day):
                yield replace(_row(_overridden(condition, active)), valid_from=day)


def _overridden(condition: ConditionalPrice, active: list[PriceVariant]) -> ConditionalPrice:
    prices = copy(condition.prices)
    for variant in reversed(active):
        vars(prices).update({key: price for key, price in vars(variant.prices).items() if price is not None})
    return replace(condition, prices=prices)


def _start(variant: PriceVariant) -> date | None:
    """The day from which a variant holds, `date.min` for ever; None where hours bound it, which is not converted."""
    from genai_prices.types import StartDateConstraint

    if variant.constraint is None:
        return date.min
    return variant.constraint.start_date if isinstance(variant.constraint, StartDateConstraint) else None


def _row(condition: ConditionalPrice) -> PriceRow:
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    limit = condition.constraint
    return PriceRow(
        rates=_rates(condition.prices, None),
        valid_from=limit.start_date if isinstance(limit, StartDateConstraint) else None,
        window=Window(_utc(limit.start_time), _utc(limit.end_time))
        if isinstance(limit, TimeOfDateConstraint)
        else None,
        tiers=tuple(Tier(start, _rates(condition.prices, start)) for start in _tier_starts(condition.prices)),
    )


def _tier_starts(prices: ModelPrice) -> list[int]:
    """Every threshold that any of the prices has."""
    from genai_prices.types import TieredPrices

    tiered = [value for value in vars(prices).values() if isinstance(value, TieredPrices)]
    return sorted({tier.start for value in tiered for tier in value.tiers})


def _rates(prices: ModelPrice, start: int | None) -> Rates:
    """The rates of a prompt just above `start` tokens, or of any shorter one with None."""

    def at(key: str) -> Decimal | None:
        return _price(vars(prices).get(key), start)

    cache_write = at("cache_write_mtok")
    per_thousand = at("requests_kcount")
    one_hour = at("cache_write_1h_mtok")
    return Rates(
        input=at("input_mtok"),
        output=at("output_mtok"),
        cache_read=at("cache_read_mtok"),
        cache_write=cache_write,
        # One-hour writes are a kind of write in this data: without a price of their own they cost what a write costs.
        cache_write_1h=one_hour if one_hour is not None else cache_write,
        reasoning=at("output_reasoning_mtok"),
        per_request=per_thousand / _REQUESTS_PER_PRICE if per_thousand is not None else Decimal(0),
    )


def _price(value: Decimal | TieredPrices | None, start: int | None) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return _six_decimals(value)
    reached = [tier.price for tier in value.tiers if start is not None and tier.start <= start]
    return _six_decimals(reached[-1] if reached else value.base)


def _six_decimals(price: Decimal) -> Decimal:
    """The price as a sheet prints it.

    >>> _six_decimals(Decimal("0.13999999999999999")), _six_decimals(Decimal("2.5"))
    (Decimal('0.140000'), Decimal('2.5'))
    """
    exponent = price.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -6:
        return price
    return price.quantize(_SIXTH_DECIMAL, rounding=ROUND_HALF_EVEN)


def _utc(at: time) -> time:
    """A time of day in UTC without its zone, as windows hold it."""
    if at.tzinfo is None:
        return at
    return datetime.combine(_ANY_DAY, at).astimezone(UTC).time()
