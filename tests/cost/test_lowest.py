"""The lowest of several curves bends where they bend and where they meet."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.cost.curves import Step, Tariff
from baseload.cost.lowest import Lowest

figures = st.fractions(0, 9, max_denominator=4)
steps = st.lists(st.builds(Step, st.fractions(1, 9, max_denominator=3), figures), max_size=1).map(tuple)
tariffs = st.builds(Tariff, st.just("each"), figures, figures, steps, figures)


@settings(max_examples=60, deadline=None)
@given(st.lists(tariffs, min_size=1, max_size=3), st.fractions(0, 1, max_denominator=30))
def test_it_is_the_minimum_and_straight_between_its_events(curves, share):
    lowest = Lowest("lowest", tuple(curves))
    high = Fraction(20)
    volumes = sorted({Fraction(0), high, *lowest.events(Fraction(0), high)})
    for start, end in pairwise(volumes):
        at = start + (end - start) * share
        if start < at:
            line = lowest.after(start) + (lowest.at(end) - lowest.after(start)) * (at - start) / (end - start)
            assert lowest.at(at) == min(curve.at(at) for curve in curves) == line
    beyond = max(lowest.settled, Fraction(1)) * 7
    low, top = lowest.band
    assert any(curve.slope == lowest.slope for curve in curves)
    if len({curve.slope for curve in curves}) == 1:
        assert low <= lowest.at(beyond) - lowest.slope * beyond <= top
