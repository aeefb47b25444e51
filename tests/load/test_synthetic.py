"""Synthetic loads have the rate, the shape, the burstiness and the lengths that were asked for."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from baseload.cli.simulate_load import profiles
from baseload.errors import BadInput
from baseload.load.lengths import Lengths
from baseload.load.synthetic import Gaps, arrivals, diurnal, paced
from baseload.load.trace import Arrival

HOUR, WEEK = 3600, 7 * 24 * 3600


@pytest.mark.parametrize(
    ("gaps", "cv"), [(Gaps.FIXED, 0.0), (Gaps.POISSON, 1.0), (Gaps.GAMMA, 3.0), (Gaps.GAMMA, 0.5), (Gaps.WEIBULL, 2.0)]
)
def test_an_even_rate_with_the_gaps_that_were_asked_for(gaps, cv):
    times = arrivals(1, seconds=100_000, per_second=5, gaps=gaps, cv=cv or 1.0)
    between = np.diff(times)
    assert len(times) == pytest.approx(500_000, rel=0.02)
    assert between.std() / between.mean() == pytest.approx(cv, rel=0.02, abs=1e-6)
    assert times[0] >= 0
    assert times[-1] < 100_000


def test_the_hours_of_a_week_and_growth():
    week = diurnal(1.6, 9)
    times = arrivals(2, seconds=2 * WEEK, per_second=1, week=week, start_hour=30, growth_per_week=0.5)
    counts = np.histogram(times, bins=np.arange(0, 2 * WEEK + 1, HOUR))[0]
    wanted = [week[(30 + hour) % 168] * 1.5 ** (hour / 168) * HOUR for hour in range(336)]
    np.testing.assert_allclose(counts, wanted, rtol=0.12)
    assert counts.sum() == pytest.approx(sum(wanted), rel=0.005)


def test_a_load_that_begins_within_an_hour():
    week = [0.0] * 167 + [1.0]
    times = arrivals(3, seconds=HOUR, per_second=1 / 168, week=week, start_hour=167.5)
    assert len(times) == pytest.approx(1800, rel=0.1)
    assert times.max() < HOUR / 2


def test_the_same_seed_is_the_same_load():
    one, again, other = (arrivals(seed, seconds=1000, per_second=1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert len(one) != len(other) or not np.array_equal(one, other)


def test_a_trace_keeps_its_shape_at_another_pace():
    trace = [Arrival(0, 10, 5), Arrival(10**9, 0, 7), Arrival(4 * 10**9, 30, 9)]
    assert paced(trace, 1.5) == pytest.approx([0, 0.5, 2.0])
    with pytest.raises(BadInput, match="never come"):
        paced(trace, 0.0)


def test_lengths_are_those_of_the_quantiles():
    lengths = Lengths((0.0, 0.5, 1.0), (1, 100, 1000), (5, 5, 5))
    prompt, output = lengths.draw(1, 100_000)
    assert np.median(prompt) == pytest.approx(100, abs=10)
    assert prompt.mean() == pytest.approx((50.5 + 550) / 2, rel=0.01)
    assert set(output) == {5}
    again = Lengths.of(prompt.tolist(), output.tolist())
    assert again.input[100] == np.median(prompt)


def test_what_ships_has_a_source_and_is_what_was_measured():
    shipped = profiles()
    conversation = shipped.lengths["azure-conv"]
    prompt, output = Lengths(shipped.probabilities, conversation.input, conversation.output).draw(1, 200_000)
    assert prompt.mean() == pytest.approx(1155, rel=0.02)
    assert output.mean() == pytest.approx(211, rel=0.02)
    assert all(
        each.source and each.as_of
        for group in (shipped.lengths, shipped.weeks, shipped.days)
        for each in group.values()
    )
    assert all(len(each.relative) == 168 for each in shipped.weeks.values())
    assert all(len(each.relative) == 24 for each in shipped.days.values())
    assert msgspec.json.encode(shipped)


@pytest.mark.parametrize(
    "asked",
    [
        {"seconds": 0, "per_second": 1},
        {"seconds": 1, "per_second": float("nan")},
        {"seconds": 1, "per_second": 1, "cv": 0},
        {"seconds": 1, "per_second": 1, "cv": 1000},
        {"seconds": 1, "per_second": 1, "week": [1.0]},
        {"seconds": 1, "per_second": 1, "week": [0.0] * 168},
        {"seconds": 1, "per_second": 1, "growth_per_week": -2},
        {"seconds": 1e9, "per_second": 1e9},
    ],
)
def test_loads_that_are_none_are_refused(asked):
    with pytest.raises(BadInput):
        arrivals(1, **asked)
