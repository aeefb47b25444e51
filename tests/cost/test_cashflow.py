from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.cost.cashflow import LONGEST_MONTHS, Case, Path, Plan, compare, irr, month_day, npv, payback_month
from baseload.cost.hours import annuity
from baseload.errors import BadInput

START = date(2026, 11, 21)
FLOWS = st.lists(st.integers(-1000, 1000).map(Decimal), min_size=1, max_size=40)


def test_npv_of_nothing_lost_to_time_is_the_sum():
    assert npv([Decimal(-100), Decimal(60), Decimal(70)], Decimal(0)) == 30


def test_npv_of_even_months_is_the_annuity_factor():
    rate, months = Fraction(1, 100), 24
    factor = (1 - (1 + rate) ** -months) / rate
    found = npv([Decimal(0)] + [Decimal(1)] * months, Decimal("0.12"))
    assert abs(Fraction(found) - factor) < Fraction(1, 10**20)


def test_what_an_annuity_pays_for_is_worth_its_price():
    monthly = annuity(Decimal(250_000), Decimal("0.10"), 4, Decimal(50_000))
    flows = [Decimal(250_000)] + [-monthly] * 48
    flows[-1] -= 50_000
    assert abs(npv(flows, Decimal("0.10"))) < Decimal("1e-9")


@settings(max_examples=60)
@given(FLOWS, st.integers(-50, 300))
def test_npv_is_the_sum_of_discounted_flows(flows, per_mille):
    rate = Fraction(per_mille, 1000)
    exact = sum(Fraction(flow) / (1 + rate / 12) ** month for month, flow in enumerate(flows))
    assert abs(Fraction(npv(flows, Decimal(per_mille) / 1000)) - exact) < Fraction(1, 10**20)


@pytest.mark.parametrize(
    ("flows", "month"),
    [
        ([-100, 50, 50, 50], 2),
        ([-100, 60, 60], 2),
        ([-100, 10], None),
        ([0, -5, -5], None),
        ([0, 5, 5], 0),
        ([-10, 20, -20, 30], 3),
        ([10, -3, -3, -3, -3], None),
        ([0, 0], None),
    ],
)
def test_payback(flows, month):
    assert payback_month([Decimal(flow) for flow in flows]) == month


@settings(max_examples=100)
@given(FLOWS)
def test_payback_is_where_the_running_sum_stays_up(flows):
    sums = [sum(flows[: month + 1]) for month in range(len(flows))]
    stays = [month for month in range(len(flows)) if all(total >= 0 for total in sums[month:])]
    assert payback_month(flows) == (min(stays) if stays and any(flows) else None)


def test_irr_closed_forms():
    assert irr([Decimal(-100), Decimal(101)]) == Decimal("0.12")
    assert irr([Decimal(-100), Decimal(0), Decimal("102.01")]) == Decimal("0.12")
    monthly = annuity(Decimal(1000), Decimal("0.09"), 2)
    assert irr([Decimal(-1000)] + [monthly] * 24) == Decimal("0.09")
    assert irr([Decimal(-100), Decimal(50)]) == Decimal(-6)


@settings(max_examples=30)
@given(st.integers(1, 10_000), st.lists(st.integers(0, 1000).map(Decimal), min_size=1, max_size=36).filter(any))
def test_irr_is_where_the_value_is_zero(spent, back):
    flows = [Decimal(-spent), *back]
    found = irr(flows)
    if found is None:  # beyond a thousand-fold a year
        assert npv(flows, Decimal(1000)) >= 0
    else:
        around = [npv(flows, found + step) for step in (Decimal("-1e-6"), Decimal("1e-6"))]
        assert around[0] > 0 > around[1]


@pytest.mark.parametrize("flows", [[1, 2, 3], [-1, -2], [0, 0], [-1, 3, -2], [-1, 5, -6, 1]])
def test_no_rate_or_several_is_none(flows):
    assert irr([Decimal(flow) for flow in flows]) is None


def test_paths():
    assert Path("flat", Decimal(1)).factor(37) == 1
    falling = Path("falling", Decimal("0.6"))
    assert falling.factor(1) == 1
    assert abs(falling.factor(13) - Decimal("0.6")) < Decimal("1e-30")
    assert abs(falling.factor(25) - Decimal("0.36")) < Decimal("1e-30")
    assert falling.factor(7) < falling.factor(6)


def test_a_case_by_hand():
    api = Plan("API", Decimal(2400))
    own = Plan("own", Decimal(0), fixed_usd_per_month=Decimal(1200), setup_usd=Decimal(3600), exit_usd=Decimal(-100))
    case = compare(own, api, months=12, yearly_rate=Decimal(0), start=START)
    assert isinstance(case, Case)
    assert case.savings == (-3600, *[1200] * 11, 1300)
    assert case.npv == 12 * 1200 - 3600 + 100
    assert (case.payback_month, case.pays_from) == (3, date(2027, 1, 1))
    assert case.yearly_return is not None
    assert abs(npv(case.savings, case.yearly_return)) < Decimal("0.01")


def test_a_falling_price_can_end_a_case():
    own = Plan("own", Decimal(0), fixed_usd_per_month=Decimal(1000), setup_usd=Decimal(900))
    paths = {name: Plan("API", Decimal(1100), Path(name, Decimal(factor))) for name, factor in
             (("flat", "1"), ("falling", "0.5"), ("rising", "1.5"))}  # fmt: skip
    found = {
        name: compare(own, plan, months=36, yearly_rate=Decimal("0.1"), start=START) for name, plan in paths.items()
    }
    assert found["flat"].payback_month == 9
    assert found["falling"].payback_month is None
    assert found["rising"].npv > found["flat"].npv > 0 > found["falling"].npv


def test_what_always_costs_more_never_pays():
    case = compare(Plan("a", Decimal(5)), Plan("b", Decimal(4)), months=3, yearly_rate=Decimal(0), start=START)
    assert (case.payback_month, case.pays_from, case.yearly_return) == (None, None, None)


def test_month_days():
    assert [month_day(date(2026, 12, 31), month) for month in (1, 2, 13)] == [
        date(2026, 12, 1), date(2027, 1, 1), date(2027, 12, 1)]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Plan("a", Decimal(-1)),
        lambda: Plan("a", Decimal(1), setup_usd=Decimal("nan")),
        lambda: Plan("a", Decimal(1)).costs(0),
        lambda: Plan("a", Decimal(1)).costs(LONGEST_MONTHS + 1),
        lambda: Path("x", Decimal(0)),
        lambda: Path("x", Decimal(-1)),
        lambda: npv([Decimal(1)], Decimal(-12)),
        lambda: npv([Decimal(1)], Decimal("inf")),
    ],
)
def test_absurd_inputs_are_refused_with_a_remedy(wrong):
    with pytest.raises(BadInput) as caught:
        wrong()
    assert caught.value.remedy
