"""Conversions are exact or refuse."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload import units
from baseload.errors import BadInput

PRICES = st.decimals(min_value=0, max_value=10_000, places=6)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("7", 7),
        ("19_366", 19_366),
        ("19,366", 19_366),
        ("20K", 20_000),
        ("20k", 20_000),
        ("300M", 300_000_000),
        ("1.6B", 1_600_000_000),
        ("1.6G", 1_600_000_000),
        ("2T", 2_000_000_000_000),
        (" 5 M ", 5_000_000),
        ("0.5", Decimal("0.5")),
    ],
)
def test_quantities(text, count):
    assert units.quantity(text) == count


@pytest.mark.parametrize(
    "text", ["", "M", "-3M", "3MM", "1e6", "3 4", "..5", "3X", "NaN", "٣", "1_", "1,2,3", "1__000"]
)
def test_what_is_not_a_quantity_is_refused_with_a_remedy(text):
    with pytest.raises(BadInput) as caught:
        units.quantity(text)
    assert repr(text) in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["9" * 400, "9" * 5000 + "T", "1000001T"])
def test_a_quantity_beyond_all_reason_is_refused(text):
    with pytest.raises(BadInput) as caught:
        units.quantity(text)
    assert len(caught.value.message) < 100


def test_the_largest_quantity_is_read():
    assert units.quantity("1000000T") == units.MOST_COUNT


@given(PRICES)
def test_pico_per_token_is_exact(price):
    assert Decimal(units.pico_per_token(price)) / units.PICO_PER_USD * units.TOKENS_PER_MTOK == price


def test_a_price_that_would_need_rounding_is_refused():
    with pytest.raises(BadInput, match="six decimals"):
        units.pico_per_token(Decimal("0.0000001"))


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_nano_dollars_survive_the_way_to_usd_and_back(nanos):
    assert units.nanousd(units.usd(nanos)) == nanos
    assert nanos < 0 or units.shown_usd(nanos) == f"{units.usd(nanos):f}"


@pytest.mark.parametrize(
    ("usd", "nanos"),
    [
        ("0.0000000005", 0),  # half goes to the even neighbour
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("-0.0000000015", -2),
        ("12345.678901234", 12_345_678_901_234),
    ],
)
def test_nano_dollars_round_half_to_even(usd, nanos):
    assert units.nanousd(Decimal(usd)) == nanos


@given(PRICES)
def test_per_mtok_undoes_the_division(price):
    assert units.per_mtok(price / units.TOKENS_PER_MTOK) == price


def test_the_billing_month_is_a_twelfth_of_a_year():
    assert units.HOURS_PER_MONTH * units.MONTHS_PER_YEAR == 365 * units.HOURS_PER_DAY
