from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.cost.outcomes import (
    MOST_TRIES,
    Expected,
    Service,
    cascade,
    course,
    turning_correction,
    until_success,
)
from baseload.errors import BadInput

SHARE = st.integers(1, 100).map(lambda percent: Decimal(percent) / 100)
PRICE = st.integers(0, 1000).map(Decimal)
SERVICES = st.builds(Service, st.just("m"), PRICE, SHARE, st.integers(1, 4))


def walked(services, check):
    """Every course of events, tried one by one: expected cost and the chance that all failed."""
    steps = [
        (service, place < len(services) - 1) for place, service in enumerate(services) for _ in range(service.tries)
    ]
    cost, reached = Fraction(0), Fraction(1)
    for service, checked in steps:
        cost += reached * Fraction(service.usd + (check if checked else 0))
        reached *= 1 - Fraction(service.success)
    return cost, reached


@settings(max_examples=80)
@given(st.lists(SERVICES, min_size=1, max_size=3), PRICE)
def test_a_cascade_is_its_tries_one_by_one(services, check):
    cost, failing = walked(services, check)
    found = cascade(services, check)
    assert abs(Fraction(found.cost) - cost) < Fraction(1, 10**15)
    assert abs(Fraction(found.failing) - failing) < Fraction(1, 10**15)


def test_capped_tries_by_enumeration():
    service = Service("m", Decimal(3), Decimal("0.25"), 3)
    cost = Fraction(0)
    for tries in (1, 2, 3):
        reached = Fraction(3, 4) ** (tries - 1)
        cost += reached * 3
    assert Fraction(service.expected.cost) == cost
    assert service.failing == Decimal("0.421875")


def test_without_a_limit_a_success_costs_c_over_p():
    assert until_success(Decimal(1), Decimal("0.5")) == 2
    many = Service("m", Decimal(1), Decimal("0.5"), 60)
    assert abs(many.expected.per_success(None) - 2) < Decimal("1e-15")


@given(PRICE, SHARE, st.integers(1, 5))
@settings(max_examples=50)
def test_dropping_failures_costs_c_over_p_whatever_the_limit(usd, success, tries):
    service = Service("m", usd, success, tries)
    assert abs(service.expected.per_success(None) - usd / success) < Decimal("1e-15")


def test_the_formula_of_a_corrected_failure():
    service = Service("m", Decimal(2), Decimal("0.8"))
    assert service.expected.per_success(Decimal(10)) == 2 + Decimal("0.2") * 10
    assert service.expected.per_success(None) == Decimal("2.5")


def test_the_articles_seven_against_seventy_billion():
    """Ten times the price in one shot, against five failed attempts and a correction by hand."""
    small, large = course(Decimal(1), 5, corrected=True), course(Decimal(10), 1, corrected=False)
    assert turning_correction(small, large) == 5
    assert small.per_success(Decimal("4.99")) < large.per_success(Decimal(0)) < small.per_success(Decimal("5.01"))
    assert course(Decimal(1), 6, corrected=False).per_success(None) == 6  # a sixth attempt that works: 6 < 10


def test_what_never_succeeds_is_a_fixed_course():
    hopeless = Service("m", Decimal(2), Decimal(0), 5)
    assert hopeless.expected == course(Decimal(2), 5, corrected=True)


@settings(max_examples=80)
@given(SERVICES, SERVICES)
def test_the_larger_model_wins_exactly_above_the_turning_correction(small, large):
    turning = turning_correction(small.expected, large.expected)
    if turning is None:
        assert large.expected.per_success(Decimal(10) ** 9) >= small.expected.per_success(Decimal(10) ** 9) - Decimal(
            "1e-9"
        )
        return
    for correction in (turning + 1, turning * 2 + 1):
        gap = large.expected.per_success(correction) - small.expected.per_success(correction)
        assert gap <= Decimal("1e-12")
    if turning > 0:
        under = turning * Decimal("0.99")
        assert large.expected.per_success(under) >= small.expected.per_success(under)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Service("m", Decimal(1), Decimal("-0.01")),
        lambda: until_success(Decimal(1), Decimal(0)),
        lambda: Service("m", Decimal(1), Decimal(0)).expected.per_success(None),
        lambda: Service("m", Decimal(1), Decimal("1.01")),
        lambda: Service("m", Decimal(1), Decimal("nan")),
        lambda: Service("m", Decimal(-1), Decimal(1)),
        lambda: Service("m", Decimal(1), Decimal(1), 0),
        lambda: Service("m", Decimal(1), Decimal(1), MOST_TRIES + 1),
        lambda: cascade([]),
        lambda: cascade([Service("m", Decimal(1), Decimal(1))], Decimal(-1)),
        lambda: course(Decimal(1), 0, corrected=True),
        lambda: Expected(Decimal(1), Decimal(1)).per_success(None),
        lambda: Expected(Decimal(1), Decimal("0.5")).per_success(Decimal(-1)),
    ],
)
def test_absurd_inputs_are_refused_with_a_remedy(wrong):
    with pytest.raises(BadInput) as caught:
        wrong()
    assert caught.value.remedy
