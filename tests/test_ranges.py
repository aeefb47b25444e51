"""Ranges keep low <= likely <= high through every operation, and contain what they stand for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.errors import BadInput
from baseload.ranges import Range, total

# At most 9 digits each, so that sums and products stay within Decimal's 28.
FIGURE = st.decimals(min_value=-(10**6), max_value=10**6, places=3)
RANGE = st.lists(FIGURE, min_size=3, max_size=3).map(lambda figures: Range(*sorted(figures)))
FACTOR = st.integers(min_value=0, max_value=1_000)


@pytest.mark.parametrize("figures", [(2, 1, 3), (1, 3, 2), (3, 2, 1)])
def test_a_range_must_rise(figures):
    with pytest.raises(BadInput, match="must rise"):
        Range(*map(Decimal, figures))


def test_exact_is_a_range_without_width():
    assert Range.exact(12) == Range(Decimal(12), Decimal(12), Decimal(12))
    assert Range.exact(12).is_exact
    assert not Range.between(1, 2).is_exact


def test_between_takes_the_middle_for_likely():
    assert Range.between("0.5", "0.75") == Range(Decimal("0.5"), Decimal("0.625"), Decimal("0.75"))


@given(RANGE, RANGE)
def test_a_sum_is_end_by_end_and_a_difference_is_the_widest(one, other):
    assert one + other == Range(one.low + other.low, one.likely + other.likely, one.high + other.high)
    gap = one - other
    for left in (one.low, one.likely, one.high):
        for right in (other.low, other.likely, other.high):
            assert gap.low <= left - right <= gap.high
            assert (one + other).low <= left + right <= (one + other).high


@given(RANGE, FACTOR)
def test_scaling_keeps_the_order(one, factor):
    scaled = one * factor
    assert (scaled.low, scaled.likely, scaled.high) == (one.low * factor, one.likely * factor, one.high * factor)


def test_scaling_by_a_negative_factor_is_refused():
    with pytest.raises(BadInput):
        Range.between(1, 2) * -1


def test_division():
    assert Range.between(10, 20) / 4 == Range(Decimal("2.5"), Decimal("3.75"), Decimal(5))


@given(st.lists(RANGE, max_size=5))
def test_total_adds_each_once(ranges):
    assert total(ranges).low == sum((each.low for each in ranges), Decimal(0))
    assert total(ranges).high == sum((each.high for each in ranges), Decimal(0))


def test_the_empty_total_is_exactly_zero():
    assert total([]) == Range.exact(0)
