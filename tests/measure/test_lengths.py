"""Lengths and arrivals: what was asked for on average, the same for a seed, and in the asked manner."""

from itertools import islice, pairwise
from statistics import mean, pstdev

import pytest

from baseload.errors import BadInput
from baseload.load.trace import Arrival
from baseload.measure.lengths import Arrivals, Lengths, pairs_of

TRACE = [Arrival(0, 10, 5), Arrival(10**9, 0, 7), Arrival(4 * 10**9, 30, 9)]


@pytest.mark.parametrize(
    ("lengths", "read", "written"),
    [
        (Lengths("fixed", 100, 20), (100, 100), (20, 20)),
        (Lengths("spread", 100, 20), (80, 120), (16, 24)),
        (Lengths("chat", 0, 0, ((7, 3), (9, 5))), (7, 9), (3, 5)),
        (Lengths("trace", 0, 0, pairs_of(TRACE)), (1, 30), (5, 9)),
        (Lengths("chat", 0, 0, ((500, 300), (9, 5)), most=100), (9, 50), (5, 50)),
    ],
)
def test_lengths_are_in_their_range_and_have_their_mean(lengths, read, written):
    drawn = list(islice(lengths.drawn(3), 3000))
    assert (min(pair[0] for pair in drawn), max(pair[0] for pair in drawn)) == read
    assert (min(pair[1] for pair in drawn), max(pair[1] for pair in drawn)) == written
    assert tuple(mean(side) for side in zip(*drawn, strict=True)) == pytest.approx(lengths.mean(), rel=0.05)
    assert list(islice(lengths.drawn(3), 50)) == drawn[:50]


def test_a_trace_is_asked_in_its_order_and_then_anew():
    lengths = Lengths("trace", 0, 0, pairs_of(TRACE))
    assert list(islice(lengths.drawn(1), 4)) == [(10, 5), (1, 7), (30, 9), (10, 5)]


@pytest.mark.parametrize(
    ("arrivals", "variation"),
    [(Arrivals("fixed", 20), 0), (Arrivals("poisson", 20), 1), (Arrivals("gamma", 20, 3.0), 3)],
)
def test_arrivals_keep_their_rate_and_vary_as_asked(arrivals, variation):
    times = list(islice(arrivals.times(5), 20_001))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= 0
    assert mean(gaps) == pytest.approx(1 / 20, rel=0.1)
    assert pstdev(gaps) / mean(gaps) == pytest.approx(variation, abs=0.15)
    assert list(islice(arrivals.times(5), 100)) == times[:100]


def test_a_trace_keeps_its_shape_at_another_pace():
    assert list(Arrivals("trace", 1.5, trace=TRACE).times(0)) == pytest.approx([0, 0.5, 2.0])


def test_no_rate_is_refused():
    with pytest.raises(BadInput, match="never come"):
        Arrivals("fixed", 0.0).times(1)
