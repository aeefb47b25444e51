"""The same calls on every offer: call by call what `price` says, and never a sum that leaves a call out."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.audit.reprice import answered, reprice
from baseload.catalog.entries import Offer, Precedence, PriceRow, Processing, Rates, Source, Tier, Variant
from baseload.clock import from_ns
from baseload.cost.tokens import price
from baseload.errors import Unpriced
from baseload.load.calls import Evidence, Status
from baseload.load.facts import Bucket
from baseload.usage import Usage
from samples import FAILED, attempt, call

SOURCE = Source(book="a book", precedence=Precedence.MARKET, as_of=date(2026, 11, 1), reference="typed")


def offer(model: str, rates: Rates, *tiers: Tier) -> Offer:
    return Offer("acme", model, SOURCE, (PriceRow(rates, tiers=tiers),))


def rates(**prices: str) -> Rates:
    given = {leaf: Decimal(figure) for leaf, figure in prices.items()}
    return Rates(**({"input": None, "output": None} | given))


OFFERS = (
    offer("plain", rates(input="3", output="15")),
    offer("rounds", rates(input="0.0028", output="0.123457")),
    offer("cliff", rates(input="1", output="2"), Tier(200, rates(input="2", output="4"))),
    offer("fee", rates(input="1", output="2", per_request="0.005")),
    offer("cached", rates(input="1", output="2", cache_read="0.1")),
    offer("no output price", rates(input="1")),
    Offer("acme", "no price", SOURCE, ()),
)
CONSUMED = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, st.integers(0, 500)))


@given(st.lists(st.tuples(CONSUMED, st.sampled_from(Bucket)), max_size=12))
@settings(deadline=None)
def test_each_offer_is_the_price_of_every_call(given_calls):
    calls = [
        call(f"c{number}", attempt(usage=usage), bucket=bucket) for number, (usage, bucket) in enumerate(given_calls)
    ]
    for each, row in zip(OFFERS, reprice(calls, OFFERS), strict=True):
        prices: dict[Bucket, list[int | None]] = {}
        for one in calls:
            try:
                cost = price(one.usage, each, from_ns(one.facts.at_ns)).nanousd
            except Unpriced:
                cost = None
            prices.setdefault(one.facts.bucket, []).append(cost)
        missing = sum(cost is None for costs in prices.values() for cost in costs)
        assert (row.offer, row.book, row.calls, row.unpriced) == (each.key, "a book", len(calls), missing)
        assert row.by_bucket == {
            bucket: None if None in costs else sum(cost or 0 for cost in costs) for bucket, costs in prices.items()
        }
        assert row.nanousd == (None if missing else sum(cost or 0 for costs in prices.values() for cost in costs))


def test_a_million_tokens_by_hand():
    """1 M in at 3 USD and 0.2 M out at 15 USD are 6 USD."""
    (row,) = reprice([call("c", attempt(usage=Usage(input_tokens=1_000_000, output_tokens=200_000)))], OFFERS[:1])
    assert row.nanousd == 6_000_000_000


def test_one_call_without_a_price_makes_the_total_unknown_and_leaves_the_other_buckets():
    calls = [
        call("priced", attempt(usage=Usage(input_tokens=5)), bucket=Bucket.BANDWIDTH),
        call("unpriced", attempt(usage=Usage(output_tokens=5)), bucket=Bucket.FLAGSHIP),
    ]
    (row,) = reprice(calls, [OFFERS[5]])
    assert row.nanousd is None
    assert row.by_bucket == {Bucket.BANDWIDTH: 5_000, Bucket.FLAGSHIP: None}
    assert row.unpriced == 1


CUT = attempt(1, status=Status.TIMEOUT, usage=Usage(input_tokens=40), evidence=Evidence.ESTIMATED)


@pytest.mark.parametrize(
    ("attempts", "counted"),
    [
        ((attempt(1),), 1),
        ((FAILED, attempt(2)), 2),
        ((CUT, attempt(2)), 2),
        ((CUT, attempt(2, status=Status.FAILED, usage=Usage(), evidence=Evidence.NONE)), 1),
        ((attempt(1, status=Status.CUT),), 1),
        ((FAILED,), None),
        ((attempt(1, status=Status.REFUSED, usage=Usage(), evidence=Evidence.NONE),), None),
    ],
)
def test_a_call_is_priced_once_however_many_attempts_it_took(attempts, counted):
    each = call("c", *attempts)
    found = answered(each)
    assert (found.number if found else None) == counted
    (row,) = reprice([each], [OFFERS[3]])
    expected = 0 if found is None else price(found.usage, OFFERS[3], from_ns(found.started_ns)).nanousd
    assert row.nanousd == expected
    assert row.calls == 1


def test_what_was_processed_in_another_way_is_priced_in_it():
    flex = Variant(Processing.FLEX, (PriceRow(rates(input="1", output="2")),))
    varied = Offer("acme", "varied", SOURCE, (PriceRow(rates(input="2", output="4")),), variants=(flex,))
    usage = Usage(input_tokens=1_000_000)
    calls = [
        call("standard", attempt(usage=usage)),
        call("flex", attempt(usage=usage, service_tier="flex", offer="acme/varied")),
        call("elsewhere", attempt(usage=usage, service_tier="flex", offer="other/model")),
        call("strange", attempt(usage=usage, service_tier="scale", offer="other/model")),
    ]
    there, plain = reprice(calls, [varied, OFFERS[0]])
    assert there.nanousd == (2 + 1 + 1 + 2) * 10**9
    assert plain.nanousd == 4 * 3 * 10**9
    (unknown,) = reprice([*calls, call("at home", attempt(service_tier="scale", offer="acme/varied"))], [varied])
    assert (unknown.nanousd, unknown.unpriced) == (None, 1)
