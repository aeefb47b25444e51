"""Curves against their definitions, worked out the slow way."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.cost.curves import Hybrid, Step, Tariff, Tier
from baseload.errors import BadInput

small = st.fractions(0, 20, max_denominator=6)
positive = st.fractions(Fraction(1, 6), 20, max_denominator=6)
capacities = st.fractions(2, 20, max_denominator=4)
volumes = st.fractions(0, 40, max_denominator=12)
steps = st.lists(st.builds(Step, capacities, small), max_size=2).map(tuple)


@st.composite
def tariffs(draw, name="tariff"):
    bounds = sorted(draw(st.sets(positive, max_size=2)))
    tiers = tuple(Tier(bound, draw(small)) for bound in bounds)
    return Tariff(name, draw(small), draw(small), draw(steps), draw(small), tiers)


@st.composite
def hybrids(draw, name="hybrid"):
    levels = tuple(
        draw(st.lists(st.tuples(st.fractions(Fraction(1, 4), 2, max_denominator=4), positive), min_size=1, max_size=3))
    )
    return Hybrid(name, Step(draw(capacities), draw(positive)), draw(positive), levels, draw(small), draw(small))


def tariff_cost(tariff, volume):
    """The definition: every unit at its own tier's rate, machines begun, the minimum."""
    bounds = [Fraction(0), *(tier.above for tier in tariff.tiers), max(volume, Fraction(10**6))]
    rates = [tariff.per_unit, *(tier.per_unit for tier in tariff.tiers)]
    used = sum(
        rate * max(Fraction(0), min(volume, end) - start)
        for start, end, rate in zip(bounds[:-1], bounds[1:], rates, strict=True)
    )
    machines = sum(math.ceil(volume / step.capacity) * step.cost for step in tariff.steps)
    return tariff.fixed + max(used, tariff.minimum) + machines


def hybrid_cost(hybrid, volume):
    """The definition: try every number of machines up to the peak."""
    most = math.ceil(max(volume * level for level, _ in hybrid.levels) / hybrid.step.capacity)
    return (
        hybrid.fixed
        + hybrid.per_unit * volume
        + min(
            count * hybrid.step.cost
            + hybrid.overflow
            * sum(w * max(Fraction(0), volume * level - count * hybrid.step.capacity) for level, w in hybrid.levels)
            for count in range(most + 1)
        )
    )


@given(tariffs(), volumes)
def test_a_tariff_costs_what_it_says(tariff, volume):
    assert tariff.at(volume) == tariff_cost(tariff, volume)
    tiny = Fraction(1, 10**9)
    assert abs(tariff.after(volume) - tariff_cost(tariff, volume + tiny)) < Fraction(1, 10**6)


@given(hybrids(), volumes)
def test_a_hybrid_takes_the_cheapest_number_of_machines(hybrid, volume):
    assert hybrid.at(volume) == hybrid_cost(hybrid, volume)


@given(st.one_of(tariffs(), hybrids()), volumes, volumes)
def test_between_two_events_a_curve_is_straight(curve, one, other):
    low, high = min(one, other), max(one, other)
    inside = list(curve.events(low, high))
    assert all(low < event < high for event in inside)
    points = sorted({low, high, *inside})
    for start, end in pairwise(points):
        middle = (start + end) / 2
        assert curve.at(middle) * 2 == curve.after(start) + curve.at(end)


@given(st.one_of(tariffs(), hybrids()), volumes)
def test_from_where_it_settled_a_curve_stays_in_its_band(curve, beyond):
    low, high = curve.band
    volume = curve.settled + beyond * 10
    assert low <= curve.at(volume) - curve.slope * volume <= high


@given(hybrids(), st.integers(1, 6))
def test_a_machine_pays_from_its_threshold_on(hybrid, machine):
    threshold = hybrid.threshold(machine)
    if threshold is None:
        huge = Fraction(10**6)
        assert hybrid.cost(huge, machine) >= hybrid.cost(huge, machine - 1)
        return
    assert hybrid.cost(threshold, machine) == hybrid.cost(threshold, machine - 1)
    assert hybrid.cost(threshold * 2, machine) <= hybrid.cost(threshold * 2, machine - 1)
    assert hybrid.machines(threshold) >= machine


def test_under_even_load_the_threshold_is_the_critical_fill_of_the_next_machine():
    # A machine of 10 units costs 4, a unit bought costs 1: it pays from 4 units on, 40 % filled.
    hybrid = Hybrid("h", Step(Fraction(10), Fraction(4)), Fraction(1))
    assert [hybrid.threshold(machine) for machine in (1, 2, 3)] == [4, 14, 24]
    assert [hybrid.machines(Fraction(volume)) for volume in (3, 4, 13, 14)] == [0, 1, 1, 2]
    assert [hybrid.at(Fraction(volume)) for volume in (3, 4, 10, 12, 14)] == [3, 4, 4, 6, 8]


def test_a_machine_dearer_than_what_it_carries_is_never_worth_it():
    hybrid = Hybrid("h", Step(Fraction(10), Fraction(11)), Fraction(1))
    assert hybrid.threshold(1) is None
    assert hybrid.machines(Fraction(10**9)) == 0


def test_a_machine_that_costs_nothing_is_taken_as_soon_as_it_is_reached():
    free = Hybrid(
        "h", Step(Fraction(10), Fraction(0)), Fraction(1), ((Fraction(2), Fraction(1)), (Fraction(0), Fraction(1)))
    )
    assert [free.machines(Fraction(volume)) for volume in (1, 4, 5, 9, 10)] == [1, 1, 2, 2, 3]
    assert free.at(Fraction(100)) == 0


def test_hours_without_load_carry_nothing():
    idle = Hybrid(
        "h", Step(Fraction(10), Fraction(8)), Fraction(1), ((Fraction(1), Fraction(1)), (Fraction(0), Fraction(1)))
    )
    assert idle.threshold(1) == 8
    dear = Hybrid(
        "h", Step(Fraction(10), Fraction(12)), Fraction(1), ((Fraction(1), Fraction(1)), (Fraction(0), Fraction(1)))
    )
    assert dear.threshold(1) is None


def test_the_volume_that_exactly_fills_two_machines_pays_two():
    tariff = Tariff("t", steps=(Step(Fraction(10), Fraction(4)),))
    assert [tariff.at(Fraction(volume)) for volume in (0, 10, 20)] == [0, 4, 8]
    assert tariff.after(Fraction(20)) == 12


def test_a_minimum_binds_until_it_is_used_up():
    tariff = Tariff("t", per_unit=Fraction(2), minimum=Fraction(50), tiers=(Tier(Fraction(10), Fraction(1)),))
    assert list(tariff.events(Fraction(0), Fraction(100))) == [10, 40]
    assert [tariff.at(Fraction(volume)) for volume in (0, 40, 41)] == [50, 50, 51]


def test_a_machine_without_capacity_is_refused():
    with pytest.raises(BadInput, match="without capacity"):
        Step(Fraction(0), Fraction(1))
