"""A recorded cost taken apart: the parts are the lines of its price, or there are none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.audit.parts import REQUEST, WHOLE_PROMPT, Part, Parts
from baseload.catalog.entries import Offer, Precedence, PriceRow, Processing, Rates, Source, Tier, Variant, Window
from baseload.clock import to_ns
from baseload.cost.tokens import price
from baseload.load.calls import Attempt
from baseload.usage import Usage
from samples import attempt

BOOK = Source("sheets 1.2", Precedence.MARKET, date(2026, 11, 1), "this file")
RATES = Rates(Decimal("1.25"), Decimal(10), cache_read=Decimal("0.125"), per_request=Decimal("0.005"))
OFFER = Offer("acme", "one", BOOK, (PriceRow(RATES),))
NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)
USAGE = Usage(input_tokens=7, cache_read_tokens=3, cache_write_tokens=2, output_tokens=5, reasoning_tokens=1)


def parts(tried: Attempt, *offers: Offer) -> tuple[Part, ...] | None:
    return Parts(lambda key: [each for each in offers if each.key == key]).of(tried)


def priced(
    offer: Offer, usage: Usage = USAGE, processing: Processing = Processing.STANDARD, **fields: object
) -> Attempt:
    charge = price(usage, offer, NOON, processing)
    given = {"offer": offer.key, "started_ns": to_ns(NOON), "usage": usage, "cost": charge.nanousd, "book": charge.book}
    return attempt(**(given | fields))


def edition(name: str, **rates: Decimal) -> Offer:
    return replace(OFFER, source=replace(BOOK, book=name), schedule=(PriceRow(replace(RATES, **rates)),))


def test_each_kind_and_the_fee_at_its_price():
    found = {part.price.leaf: (part.price.usd, part.quantity, part.nanousd) for part in parts(priced(OFFER), OFFER)}
    assert found == {
        "input": (Decimal("1.25"), 7, 8_750),
        "cache_read": (Decimal("0.125"), 3, 375),
        "cache_write": (Decimal("1.25"), 2, 2_500),  # no line of its own: read at the whole price
        "output": (Decimal(10), 5, 50_000),
        "reasoning": (Decimal(10), 1, 10_000),
        REQUEST: (Decimal("0.005"), 1, 5_000_000),
    }


rate = st.decimals(0, 200, places=6)
leaves = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning")
some_rates = st.builds(Rates, **dict.fromkeys(leaves, rate), per_request=st.decimals(0, 1, places=9))


@given(some_rates, st.builds(Usage, **{f"{leaf}_tokens": st.integers(0, 5_000) for leaf in leaves}), st.integers(-2, 2))
def test_they_add_up_to_what_was_recorded_or_there_are_none(rates, usage, off):
    offer = replace(OFFER, schedule=(PriceRow(rates, tiers=(Tier(2_000, RATES),)),))
    cost = price(usage, offer, NOON).nanousd + off
    found = parts(priced(offer, usage, cost=cost), offer)
    if off:
        assert found is None or (found == () and cost == 0 and usage == Usage())
    else:
        assert sum(part.nanousd for part in found) == cost
        counted = {f"{part.price.leaf}_tokens": part.quantity for part in found if part.price.leaf != REQUEST}
        assert Usage(**counted) == usage


CASES = {
    "the book that priced it": (("sheets 1.2", {}), True),
    "a later edition with the same price": (("sheets 1.3", {}), True),
    "the book, with another price": (("sheets 1.2", {"output": Decimal(11)}), False),
    "a later edition with another price": (("sheets 2.0", {"input": Decimal(2)}), False),
    "another book with the same price": (("lists 1.2", {}), False),
}


@pytest.mark.parametrize("case", CASES)
def test_which_book_may_say(case):
    (name, rates), known = CASES[case]
    assert (parts(priced(OFFER), edition(name, **rates)) is not None) is known


def test_the_book_that_priced_it_is_asked_first():
    read = Usage(cache_read_tokens=1)  # which rounds to the same nano-dollars at either price
    near = edition("sheets 1.3", cache_read=Decimal("0.125001"), per_request=Decimal(0))
    here = edition("sheets 1.2", per_request=Decimal(0))
    found = parts(priced(here, read), near, here)
    assert [part.price.usd for part in found] == [Decimal("0.125")]


def test_a_cost_without_a_book_is_not_taken_apart():
    assert parts(priced(OFFER, book=""), OFFER) is None
    assert parts(priced(OFFER)) is None
    assert parts(priced(OFFER, cost=None), OFFER) is None


def test_what_consumed_nothing_has_no_parts():
    assert parts(attempt(usage=Usage(), cost=0)) == ()
    assert parts(attempt(usage=Usage(), cost=1)) is None


def test_the_way_of_processing_the_length_and_the_hours_are_told():
    night = Window(time(16, 30), time(0, 30), frozenset({0, 3}))
    rows = (
        PriceRow(RATES, window=None),
        PriceRow(RATES, window=replace(night, start=time(11)), tiers=(Tier(9, RATES),)),
    )
    offer = replace(OFFER, schedule=rows, variants=(Variant(Processing.FLEX, (PriceRow(RATES),)),))
    (first, *_) = parts(priced(offer), offer)
    assert (first.price.above, first.price.hours) == (9, "11:00-00:30 UTC mon,thu")
    (first, *_) = parts(priced(offer, processing=Processing.FLEX, service_tier="flex"), offer)
    assert (first.price.processing, first.price.above, first.price.hours) == (Processing.FLEX, WHOLE_PROMPT, "")
    assert parts(priced(offer, service_tier="turbo"), offer) is None


def test_a_pool_of_your_own_costs_its_hours_whatever_it_calls_its_way():
    pool = replace(OFFER, provider="own")
    assert parts(priced(pool, service_tier="turbo"), pool) is not None
