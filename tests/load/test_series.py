"""Calls over time: nothing lost between bins, no hour left out, the duration curve highest first."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.errors import BadInput
from baseload.load.series import Bin, Series, duration_curve, series
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage
from samples import FAILED, START_NS, attempt, call

HOUR = 3_600
# START_NS is 22:13:20, so the hour's bin begins 800 seconds before it.
BIN_NS = START_NS - 800 * NANOSECONDS_PER_SECOND


def test_hours_without_a_call_are_there_and_empty():
    found = series([call("b", seconds=2 * HOUR), call("a"), call("c", seconds=2 * HOUR + 1)])
    usage = Usage(input_tokens=100, output_tokens=20)
    assert found == Series(
        HOUR,
        (
            Bin(BIN_NS, 1, usage),
            Bin(BIN_NS + HOUR * NANOSECONDS_PER_SECOND, 0, Usage()),
            Bin(BIN_NS + 2 * HOUR * NANOSECONDS_PER_SECOND, 2, usage + usage),
        ),
    )
    assert found.hours == 3


def test_a_bin_counts_what_every_attempt_consumed():
    cut = attempt(1, usage=Usage(input_tokens=7))
    (only,) = series([call("a", cut, attempt(2)), call("b", FAILED)]).bins
    assert only.requests == 2
    assert only.usage == Usage(input_tokens=107, output_tokens=20)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40), st.integers(1, 4_000))
def test_bins_are_contiguous_and_hold_every_call_once(seconds, width):
    calls = [call(f"c{number}", seconds=second) for number, second in enumerate(seconds)]
    found = series(calls, width)
    assert found.requests == len(calls)
    assert found.usage == sum((each.usage for each in calls), Usage())
    starts = [each.start_ns for each in found.bins]
    step = width * NANOSECONDS_PER_SECOND
    assert starts == list(range(starts[0], starts[0] + len(starts) * step, step))
    assert found.bins[0].requests
    assert found.bins[-1].requests
    for each in found.bins:
        inside = [one for one in calls if each.start_ns <= one.facts.at_ns < each.start_ns + step]
        assert each.requests == len(inside)


def test_of_no_call_there_is_no_bin():
    assert series([]) == Series(HOUR, ())
    assert series([]).hours == 0


@pytest.mark.parametrize(
    ("seconds", "width", "message"),
    [(0, 0, "a bin of 0 seconds is no bin"), (2_000_000, 1, "calls span 2000001 bins of 1 seconds")],
)
def test_a_width_that_cannot_be_is_refused(seconds, width, message):
    with pytest.raises(BadInput, match=message):
        series([call("a"), call("b", seconds=seconds)], width)


def test_the_duration_curve_is_the_same_load_highest_first():
    assert duration_curve([3, 9, 0, 5, 9]) == (9, 9, 5, 3, 0)
    assert duration_curve([Decimal("0.5"), Decimal("1.5")]) == (Decimal("1.5"), Decimal("0.5"))
    assert duration_curve([]) == ()
