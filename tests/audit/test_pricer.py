"""The fast price is the price: equal to `cost.tokens.price` on generated offers, usages and moments."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.audit.pricer import Pricer
from baseload.catalog.entries import (
    EVERY_DAY,
    Offer,
    Precedence,
    PriceRow,
    Processing,
    Rates,
    Source,
    Tier,
    Variant,
    Window,
)
from baseload.clock import from_ns, to_ns
from baseload.cost.tokens import price
from baseload.errors import Unpriced
from baseload.usage import Usage

SOURCE = Source(book="a book", precedence=Precedence.MARKET, as_of=date(2026, 11, 1), reference="generated")
FIRST, LAST = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC)

PRICES = st.decimals(0, 200, places=6) | st.decimals(0, 200, places=2) | st.integers(0, 20).map(Decimal)
RATES = st.builds(
    Rates,
    input=st.none() | PRICES,
    output=st.none() | PRICES,
    cache_read=st.none() | PRICES,
    cache_write=st.none() | PRICES,
    cache_write_1h=st.none() | PRICES,
    reasoning=st.none() | PRICES,
    per_request=st.just(Decimal(0)) | st.decimals(0, 1, places=9),
)
DAYS = st.none() | st.dates(FIRST.date(), LAST.date())
WEEKDAYS = st.just(EVERY_DAY) | st.frozensets(st.integers(0, 6), min_size=1)
WINDOWS = st.builds(Window, start=st.times(), end=st.times(), weekdays=WEEKDAYS) | st.builds(
    Window,
    start=st.builds(time, st.integers(0, 23)),
    end=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    weekdays=WEEKDAYS,
)
ZONES = st.sampled_from((UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")))
ROWS = st.builds(
    PriceRow,
    rates=RATES,
    valid_from=DAYS,
    valid_to=DAYS,
    window=st.none() | WINDOWS,
    zone=ZONES,
    tiers=st.lists(
        st.builds(Tier, st.integers(0, 300), RATES), max_size=2, unique_by=lambda tier: tier.above_prompt_tokens
    ).map(tuple),
)
PLAIN_ROWS = st.builds(PriceRow, rates=RATES)
OFFERS = st.builds(
    Offer,
    provider=st.just("p"),
    model=st.just("m"),
    source=st.just(SOURCE),
    schedule=st.lists(ROWS, min_size=0, max_size=3).map(tuple) | st.tuples(PLAIN_ROWS),
)
USAGES = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, st.integers(0, 200) | st.integers(0, 10**9)))
MOMENTS = st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None)).map(
    lambda at: to_ns(at.replace(tzinfo=UTC))
)


def original(usage: Usage, offer: Offer, at_ns: int) -> int | None:
    try:
        return price(usage, offer, from_ns(at_ns)).nanousd
    except Unpriced:
        return None


@given(OFFERS, st.lists(st.tuples(USAGES, MOMENTS), min_size=1, max_size=8))
@settings(max_examples=400, deadline=None)
def test_it_answers_what_price_answers(offer, asked):
    pricer = Pricer(offer)
    for usage, at_ns in asked:
        assert pricer.nanousd(usage, at_ns) == original(usage, offer, at_ns)


@given(
    st.builds(Offer, provider=st.just("p"), model=st.just("m"), source=st.just(SOURCE), schedule=st.tuples(PLAIN_ROWS)),
    st.lists(USAGES, min_size=1, max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_where_costs_add_up_the_sum_of_usages_costs_the_sum_of_costs(offer, usages):
    flat = Pricer(offer).flat
    assert flat is not None
    if flat.adds_up:
        whole = Pricer(offer).nanousd(sum(usages, Usage()), 0)
        assert whole is not None
        costs = [original(usage, offer, 0) or 0 for usage in usages]
        assert whole + (len(usages) - 1) * flat.per_request == sum(costs)


@pytest.mark.parametrize(
    ("schedule", "is_flat"),
    [
        ((PriceRow(Rates(Decimal(1), Decimal(2))),), True),
        ((PriceRow(Rates(Decimal(1), Decimal(2)), valid_from=date(2026, 1, 1)),), False),
        ((PriceRow(Rates(Decimal(1), Decimal(2)), window=Window(time(1), time(2))),), False),
        ((PriceRow(Rates(Decimal(1), Decimal(2)), tiers=(Tier(9, Rates(Decimal(1), Decimal(2))),)),), False),
        ((PriceRow(Rates(Decimal(1), Decimal(2))), PriceRow(Rates(Decimal(1), Decimal(2)))), False),
    ],
)
def test_only_a_price_that_never_changes_is_flat(schedule, is_flat):
    assert (Pricer(Offer("p", "m", SOURCE, schedule)).flat is not None) is is_flat


def test_a_cliff_begins_one_token_beyond_its_bound():
    offer = Offer(
        "p", "m", SOURCE, (PriceRow(Rates(Decimal(1), Decimal(1)), tiers=(Tier(200, Rates(Decimal(2), Decimal(2))),)),)
    )
    for tokens, cost in ((200, 200_000), (201, 402_000)):
        usage = Usage(input_tokens=tokens)
        assert Pricer(offer).nanousd(usage, 0) == original(usage, offer, 0) == cost


def test_a_window_may_open_and_close_within_a_minute():
    always, dear = PriceRow(Rates(Decimal(1), None)), Rates(Decimal(2), None)
    offer = Offer("p", "m", SOURCE, (always, PriceRow(dear, window=Window(time(1, 0, 20), time(1, 0, 40)))))
    pricer, usage = Pricer(offer), Usage(input_tokens=1)
    for second, cost in ((19, 1_000), (20, 2_000), (39, 2_000), (40, 1_000)):
        at_ns = to_ns(FIRST.replace(hour=1, second=second))
        assert pricer.nanousd(usage, at_ns) == original(usage, offer, at_ns) == cost


VARIED = st.builds(
    lambda offer, flex: replace(offer, variants=(Variant(Processing.FLEX, flex),)),
    OFFERS,
    st.lists(ROWS, min_size=1, max_size=2).map(tuple),
)


@given(VARIED, USAGES, MOMENTS, st.sampled_from(Processing))
@settings(deadline=None)
def test_it_answers_what_price_answers_for_every_way_of_processing(offer, usage, at_ns, processing):
    try:
        expected = price(usage, offer, from_ns(at_ns), processing).nanousd
    except Unpriced:
        expected = None
    assert Pricer(offer, processing).nanousd(usage, at_ns) == expected


FLAT, FLEX = PriceRow(Rates(Decimal(4), Decimal(8))), PriceRow(Rates(Decimal(1), Decimal(2)))
AT_NS, MILLION = to_ns(FIRST), Usage(input_tokens=1_000_000)


@pytest.mark.parametrize(
    ("provider", "variants", "tier", "by", "usd"),
    [
        ("p", (Variant(Processing.FLEX, (FLEX,)),), "", "p/m", 4),
        ("p", (Variant(Processing.FLEX, (FLEX,)),), "flex", "p/m", 1),
        ("p", (Variant(Processing.FLEX, (FLEX,)),), "flex", "q/m", 1),
        # Who served it and has no price for the way: unknown. Another without such a way serves it as usual.
        ("p", (), "flex", "p/m", None),
        ("p", (), "flex", "q/m", 4),
        ("p", (), "scale", "p/m", None),
        ("p", (), "scale", "q/m", 4),
        # A pool of your own costs its hours, whatever it says.
        ("own", (), "priority", "own/m", 4),
    ],
)
def test_what_was_processed_in_another_way(provider, variants, tier, by, usd):
    served = Pricer(Offer(provider, "m", SOURCE, (FLAT,), variants=variants)).served(tier, by)
    found = None if served is None else served.nanousd(MILLION, AT_NS)
    assert found == (None if usd is None else usd * 10**9)
