"""Lengths: what was asked for on average, the same for a seed, drawn at once or one after the other."""

from __future__ import annotations

from itertools import islice
from statistics import mean

import pytest

from baseload.errors import BadInput
from baseload.load.lengths import Lengths
from baseload.load.trace import Arrival

TRACE = [Arrival(0, 10, 5), Arrival(10**9, 0, 7), Arrival(4 * 10**9, 30, 9)]


@pytest.mark.parametrize(
    ("lengths", "read", "written"),
    [
        (Lengths.fixed(100, 20), (100, 100), (20, 20)),
        (Lengths.spread(100, 20), (80, 120), (16, 24)),
        (Lengths(pairs=((7, 3), (9, 5))), (7, 9), (3, 5)),
        (Lengths.of_trace(TRACE, in_order=True), (1, 30), (5, 9)),
        (Lengths(pairs=((500, 300), (9, 5))).within(100), (9, 50), (5, 50)),
    ],
)
def test_lengths_are_in_their_range_and_have_their_mean(lengths, read, written):
    drawn = list(islice(lengths.endless(3), 3000))
    assert (min(pair[0] for pair in drawn), max(pair[0] for pair in drawn)) == read
    assert (min(pair[1] for pair in drawn), max(pair[1] for pair in drawn)) == written
    assert tuple(mean(side) for side in zip(*drawn, strict=True)) == pytest.approx(lengths.mean(), rel=0.05)
    assert list(islice(lengths.endless(3), 50)) == drawn[:50]
    at_once = lengths.draw(3, 20_000)
    assert tuple(each.mean() for each in at_once) == pytest.approx(lengths.mean(), rel=0.05)


def test_pairs_stay_together_and_blocks_differ():
    pairs = tuple((n, 2 * n) for n in range(1, 1000))
    drawn = list(islice(Lengths(pairs=pairs).endless(1), 2000))
    assert all(output == 2 * prompt for prompt, output in drawn)
    assert len(set(drawn)) > 700


def test_a_trace_is_asked_in_its_order_and_then_anew():
    lengths = Lengths.of_trace(TRACE, in_order=True)
    assert list(islice(lengths.endless(1), 4)) == [(10, 5), (1, 7), (30, 9), (10, 5)]


def test_the_mean_of_quantiles_is_that_of_what_is_drawn():
    lengths = Lengths((0.1, 0.5, 0.9), (1, 100, 1000), (5, 6, 70))
    assert tuple(each.mean() for each in lengths.draw(1, 200_000)) == pytest.approx(lengths.mean(), rel=0.02)


@pytest.mark.parametrize(
    "given", [{}, {"pairs": ((0, 5),)}, {"probabilities": (0.0, 1.0), "input": (2, 1), "output": (1, 1)}]
)
def test_lengths_that_are_none_are_refused(given):
    with pytest.raises(BadInput):
        Lengths(**given)
