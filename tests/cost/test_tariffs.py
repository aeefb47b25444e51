"""A `Tariff` against `price` itself: the same nano-dollars on every offer, and nothing where `price` refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source, Tier, Window
from baseload.clock import to_ns
from baseload.cost.tariffs import Tariffs
from baseload.cost.tokens import price
from baseload.errors import BadInput, Unpriced
from baseload.usage import Usage

NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)
SOURCE = Source("book", Precedence.YOURS, date(2026, 1, 1), "this file")
LEAVES = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")

# Seven decimals are more than a price may have: `price` refuses those when they are used.
rate = st.decimals(0, 200, places=6) | st.decimals(0, 1, places=7)
rates = st.builds(
    Rates,
    **dict.fromkeys(LEAVES, st.none() | rate),
    per_request=st.decimals(0, 1, places=9),
)
tiers = st.lists(st.builds(Tier, st.integers(0, 3000), rates), max_size=3).map(tuple)
days = st.none() | st.dates(date(2026, 11, 18), date(2026, 11, 20))
moments = st.builds(time, st.sampled_from((11, 12)), st.sampled_from((0, 1, 59)), st.sampled_from((0, 30)))
rows = st.builds(
    PriceRow,
    rates=rates,
    valid_from=days,
    valid_to=days,
    window=st.none() | st.builds(Window, moments, moments),
    tiers=tiers,
    zone=st.sampled_from((UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York"))),
)
usages = st.builds(Usage, **{f"{leaf}_tokens": st.integers(0, 4000) for leaf in LEAVES})


def exact(usage: Usage, offer: Offer, when: datetime) -> int | None:
    try:
        return price(usage, offer, when).nanousd
    except (Unpriced, BadInput):
        return None


@given(
    schedule=st.lists(rows, max_size=3).map(tuple),
    asked=st.lists(st.tuples(usages, st.integers(-100, 100)), min_size=1, max_size=6),
)
def test_it_is_the_price(schedule: tuple[PriceRow, ...], asked: list[tuple[Usage, int]]) -> None:
    offer, tariffs = Offer("p", "m", SOURCE, schedule), Tariffs()
    for usage, seconds in asked:
        when = NOON + timedelta(seconds=seconds)
        tariff = tariffs.at("p/m", offer, to_ns(when))
        assert (tariff.nanousd(usage) if tariff is not None else None) == exact(usage, offer, when)


def test_another_offer_under_the_same_name_has_its_own_rates() -> None:
    tariffs, at = Tariffs(), to_ns(NOON)
    for usd in (1, 2):
        offer = Offer("p", "m", SOURCE, (PriceRow(Rates(Decimal(usd), None)),))
        tariff = tariffs.at("p/m", offer, at)
        assert tariff is not None
        assert tariff.nanousd(Usage(input_tokens=1)) == usd * 1_000


def test_a_row_that_begins_within_a_minute_holds_from_its_second() -> None:
    later = PriceRow(Rates(Decimal(2), None), window=Window(time(12, 0, 30), time(13)))
    offer, tariffs = Offer("p", "m", SOURCE, (PriceRow(Rates(Decimal(1), None)), later)), Tariffs()
    found = []
    for seconds in (0, 29, 30, 59, 10):
        tariff = tariffs.at("p/m", offer, to_ns(NOON + timedelta(seconds=seconds)))
        found.append(tariff.nanousd(Usage(input_tokens=1)) if tariff is not None else None)
    assert found == [1_000, 1_000, 2_000, 2_000, 1_000]
