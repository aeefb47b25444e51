"""The market book against the library it is converted from: the same usage at the same moment costs the same."""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import Usage as TheirUsage

from baseload.catalog.entries import Precedence, Processing
from baseload.catalog.market import last_checked, market_offers
from baseload.cost.tokens import price
from baseload.errors import Unpriced
from baseload.units import NANO_PER_USD
from baseload.usage import Usage

OFFERS = market_offers(providers, "test")
THEIRS = {(provider.id, model.id): (provider, model) for provider in providers for model in provider.models}
# Multiples of a thousand: then count x price in pico-dollars is a whole number of nano-dollars and nothing is rounded.
USAGES = (
    Usage(input_tokens=3_000, output_tokens=1_000),
    Usage(input_tokens=90_000, cache_read_tokens=40_000, output_tokens=2_000, reasoning_tokens=5_000),
    Usage(input_tokens=150_000, cache_read_tokens=51_000, cache_write_tokens=7_000, output_tokens=1_000),
    Usage(input_tokens=600_000, cache_write_tokens=3_000, cache_write_1h_tokens=2_000, output_tokens=9_000),
    Usage(cache_read_tokens=200_000),
    Usage(cache_read_tokens=200_000, input_tokens=1_000),
)


def decimals(prices):
    for value in vars(prices).values():
        for price_ in [value] if isinstance(value, Decimal) else [value.base, *(tier.price for tier in value.tiers)]:
            yield -int(price_.normalize().as_tuple().exponent)


def stated(model):
    return [row.prices for row in model.prices] if isinstance(model.prices, list) else [model.prices]


# Prices that are floats in the data, such as 0.13999999999999999 or a twelfth of a dollar.
LONG = {
    f"{provider.id}/{model.id}"
    for provider, model in THEIRS.values()
    if any(places > 6 for prices in stated(model) for places in decimals(prices))
}


def moments(offer):
    """Before and after everything that dates a price, and the edges of every window."""
    found = {datetime(2026, 11, 21, 12, tzinfo=UTC)}
    for row in offer.schedule:
        if row.valid_from is not None:
            start = datetime.combine(row.valid_from, datetime.min.time(), UTC)
            found |= {start, start - timedelta(seconds=1)}
        if row.window is not None:
            for at in (row.window.start, row.window.end):
                edge = datetime.combine(date(2026, 11, 19), at, UTC)
                found |= {edge, edge - timedelta(seconds=1)}
    return sorted(found)


def theirs(offer, usage, when, context=None):
    """Their exact price in nano-dollars, None where they have no price for a kind of token that was used."""
    provider, model = THEIRS[offer.provider, offer.model]
    known = model.get_prices(when, context)
    reads = usage.input_tokens or (
        (usage.cache_read_tokens and known.cache_read_mtok is None)
        or ((usage.cache_write_tokens or usage.cache_write_1h_tokens) and known.cache_write_mtok is None)
    )
    writes = usage.output_tokens or (usage.reasoning_tokens and known.output_reasoning_mtok is None)
    if (reads and known.input_mtok is None) or (writes and known.output_mtok is None):
        return None
    nested = TheirUsage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.completion_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    usd = model.calc_price(nested, provider, genai_request_timestamp=when, price_context=context).total_price
    return int((usd * NANO_PER_USD).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def test_every_offer_costs_what_the_library_says_at_every_dated_moment():
    compared = unpriced = 0
    for offer in OFFERS:
        for when in moments(offer):
            for usage in USAGES:
                expected = theirs(offer, usage, when)
                if expected is None:
                    with pytest.raises(Unpriced):
                        price(usage, offer, when)
                    unpriced += 1
                    continue
                gap = abs(price(usage, offer, when).nanousd - expected)
                # Half of the sixth decimal, on every token, and only where the library has more decimals than six.
                allowed = (usage.prompt_tokens + usage.completion_tokens) // 2_000 if offer.key in LONG else 0
                assert gap <= allowed, (offer.key, when, usage, gap)
                compared += 1
    assert len(LONG) < 30
    assert len(OFFERS) > 2_000
    assert compared > 12_000
    assert unpriced > 0


def test_what_is_left_out_has_no_token_price_in_the_library():
    converted = {(offer.provider, offer.model) for offer in OFFERS}
    for key, (_, model) in THEIRS.items():
        priced = any(each.input_mtok is not None or each.output_mtok is not None for each in stated(model))
        assert (key in converted) == priced, key


def test_the_book_says_where_and_when():
    source = OFFERS[0].source
    assert (source.book, source.precedence, source.licence) == ("genai-prices test", Precedence.MARKET, "MIT")
    assert source.as_of == last_checked(providers)
    # The newest check of a provider's prices that the locked data records; announced prices lie beyond it.
    starts = [row.valid_from for offer in OFFERS for row in offer.schedule if row.valid_from is not None]
    assert date(2026, 9, 1) < source.as_of < max(starts)


def test_a_peak_window_is_dearer_than_the_hours_around_it():
    flash = next(offer for offer in OFFERS if offer.key == "deepseek/deepseek-v4-flash")
    million = Usage(output_tokens=1_000_000)
    day = datetime(2026, 11, 19, tzinfo=UTC)
    hours = [price(million, flash, day + timedelta(hours=hour)).nanousd for hour in range(24)]
    dear = [hour for hour, nanos in enumerate(hours) if nanos == max(hours)]
    assert dear == [1, 2, 3, 6, 7, 8, 9]
    assert max(hours) == 2 * min(hours)


CONVERTED = {(offer.provider, offer.model) for offer in OFFERS}
CONTEXTS = {
    Processing.BATCH: ({"processing": "batch"},),
    Processing.FLEX: ({"service_tier": "flex"},),
    Processing.PRIORITY: ({"service_tier": "priority"},),
    Processing.FAST: ({"service_tier": "fast"}, {"speed": "fast"}),
}


def stating(offer, processing, when):
    """What a request would say to be priced so at a moment; None when the library has no such price then."""
    _, model = THEIRS[offer.provider, offer.model]
    for context in CONTEXTS[processing]:
        for variant in model.price_variants:
            active = variant.constraint is None or variant.constraint.active(when)
            if variant.when == context and active and any(vars(variant.prices).values()):
                return context
    return None


def test_every_variant_costs_what_the_library_says_and_nothing_before_its_day():
    compared = before = 0
    for offer in OFFERS:
        for variant in offer.variants:
            starts = [row.valid_from for row in variant.schedule if row.valid_from is not None]
            edges = [datetime.combine(day, datetime.min.time(), UTC) for day in starts]
            for when in (*moments(offer), *edges, *(edge - timedelta(seconds=1) for edge in edges)):
                context = stating(offer, variant.processing, when)
                for usage in USAGES[:4]:
                    if context is None:
                        with pytest.raises(Unpriced, match=f"no {variant.processing} price"):
                            price(usage, offer, when, variant.processing)
                        before += 1
                        continue
                    expected = theirs(offer, usage, when, context)
                    if expected is None:
                        with pytest.raises(Unpriced):
                            price(usage, offer, when, variant.processing)
                    else:
                        assert price(usage, offer, when, variant.processing).nanousd == expected
                        compared += 1
    assert compared > 1_500
    assert before > 500


def test_only_what_has_a_variant_has_one_here():
    wanted = {
        (provider.id, model.id, tuple(variant.when.items()))
        for provider, model in THEIRS.values()
        for variant in model.price_variants or ()
        if any(vars(variant.prices).values())
    }
    ours = {
        (offer.provider, offer.model, tuple(context.items()))
        for offer in OFFERS
        for variant in offer.variants
        for context in CONTEXTS[variant.processing]
    }
    # Not a way of processing: where it runs, what a search costs. The others have no token price at all.
    left = {(provider, model, when) for provider, model, when in wanted - ours if (provider, model) in CONVERTED}
    assert {when[0][0] for *_, when in left} <= {"route", "search_type"}
    assert wanted & ours


def test_half_price_in_a_batch_is_the_rule():
    batch = [offer for offer in OFFERS if any(each.processing is Processing.BATCH for each in offer.variants)]
    day, million = datetime(2026, 11, 21, tzinfo=UTC), Usage(input_tokens=1_000_000)
    halves = [
        price(million, offer, day, Processing.BATCH).nanousd * 2 == price(million, offer, day).nanousd
        for offer in batch
    ]
    assert len(batch) > 80
    assert sum(halves) > 0.8 * len(halves)
