"""Curves against measured points that they were not fitted to."""

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.capacity.curve import DENSE, GAMMAS, MIXTURE_OF_EXPERTS, Curve, Point
from baseload.errors import BadInput

# Public vLLM 0.7.3 measurement of a 671B mixture of experts on 8 x H100 (AWQ, 1,024 in, 256 out), read from its chart.
MEASURED_671B = {5: 100, 10: 180, 15: 245, 20: 280, 30: 365, 40: 440, 50: 470, 60: 508, 70: 508, 80: 562}
# aiconfigurator-core 0.12.0 silicon_sample.csv (Apache-2.0): Qwen3-32B, 2 x H100, vLLM 0.12.0, 1,024 in, 128 out.
MEASURED_32B = {16: 681.5, 32: 1028.9, 64: 1314.6}

# The same file, FP8 on TensorRT-LLM 1.0.0rc3, 1,024 in, 256 out.
MEASURED_32B_FP8 = {16: 1176.6, 32: 1757.9, 64: 2547.0}


@pytest.mark.parametrize(
    ("low", "high", "gamma", "held_out", "worst", "middle"),
    [
        (Point(1, 33), Point(100, 620), MIXTURE_OF_EXPERTS, MEASURED_671B, 0.21, 0.035),
        (Point(8, 698.0), Point(128, 3184.4), DENSE, MEASURED_32B_FP8, 0.06, 0.05),
        (Point(8, 418.8), Point(128, 1505.3), DENSE, MEASURED_32B, 0.06, 0.05),
    ],
)
def test_two_points_predict_the_others(low, high, gamma, held_out, worst, middle):
    curve = Curve.through(low, high, gamma)
    errors = [abs(curve.tokens_per_second(c) / rate - 1) for c, rate in held_out.items()]
    assert max(errors) < worst
    assert median(errors) < middle


def test_a_curve_goes_through_its_points_rises_and_then_stays_flat():
    curve = Curve.through(Point(1, 33), Point(100, 620), MIXTURE_OF_EXPERTS)
    assert curve.tokens_per_second(1) == pytest.approx(33)
    assert curve.tokens_per_second(100) == pytest.approx(620)
    rates = [curve.tokens_per_second(c) for c in range(101)]
    assert rates[0] == 0
    assert rates == sorted(rates)
    assert curve.tokens_per_second(500) == curve.tokens_per_second(100)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (Point(8, 100), Point(8, 200), "rising concurrency"),
        (Point(1, 33), Point(10, 400), "does not go with"),
        (Point(1, 33), Point(2, 70), "does not go with"),
    ],
)
def test_points_that_no_engine_could_produce_are_refused(low, high, says):
    with pytest.raises(BadInput, match=says):
        Curve.through(low, high)


@given(
    fixed=st.floats(1e-4, 0.1),
    slope=st.floats(1e-6, 0.01),
    gamma=st.sampled_from(GAMMAS),
    sizes=st.sets(st.integers(1, 512), min_size=4, max_size=9),
)
def test_a_fit_finds_the_curve_that_its_points_lie_on(fixed, slope, gamma, sizes):
    true = Curve(fixed, slope, gamma, max(sizes))
    found = Curve.fitted([Point(size, true.tokens_per_second(size)) for size in sizes])
    for size in sizes:
        assert found.tokens_per_second(size) == pytest.approx(true.tokens_per_second(size), rel=0.02)


@given(rates=st.lists(st.floats(1, 1e5), min_size=2, max_size=8))
def test_a_fit_of_anything_has_no_negative_part(rates):
    found = Curve.fitted([Point(2**power, rate) for power, rate in enumerate(rates)])
    assert found.fixed_seconds >= 0
    assert found.seconds_per_request >= 0
    assert found.step_seconds(1) > 0


@pytest.mark.parametrize("points", [[Point(1, 10)], [Point(4, 10), Point(4, 11)], [Point(0, 1), Point(2, 3)]])
def test_a_fit_needs_two_concurrencies(points):
    with pytest.raises(BadInput, match="two or more"):
        Curve.fitted(points)


def test_a_fit_needs_throughput():
    with pytest.raises(BadInput, match="no throughput"):
        Curve.fitted([Point(1, 0.0), Point(2, 3.0)])
