"""Figures of a load: tokens are conserved, the steady part has its throughput, times their percentiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.measure.asking import Sample
from baseload.measure.levels import clean, inside, is_steady, level, percentiles, tpot_seconds, window


def sample(started, ended, *, tokens=10, pieces=10, error="", read=20):
    first = started + (ended - started) / pieces
    step = (ended - first) / max(1, pieces - 1)
    events = [first + step * piece for piece in range(pieces)]
    return Sample(started, first, ended, events, read, 0, 0 if error else tokens, error=error)


def closed_loop(senders, rounds, seconds):
    """Senders that each ask again as soon as they were answered, begun one after another."""
    apart = seconds / senders
    return [
        sample(each * apart + number * seconds, each * apart + (number + 1) * seconds)
        for each in range(senders)
        for number in range(rounds)
    ]


@pytest.mark.parametrize("senders", [1, 3, 8])
def test_the_steady_part_has_the_true_throughput_whenever_it_is_closed(senders):
    samples = closed_loop(senders, 6, 2.0)
    for closing in (7.3, 8.0, 9.9):
        found = level(samples, in_flight=senders, closing=closing, busy=0.1, late=0.0)
        assert found.output_tokens_per_second == pytest.approx(senders * 10 / 2.0)
        assert found.requests_per_second == pytest.approx(senders / 2.0)
        assert found.mean_in_flight == pytest.approx(senders)
        assert found.steady


spans = st.tuples(st.floats(0, 50), st.floats(0.01, 20), st.integers(1, 500))


@given(st.lists(spans, min_size=1, max_size=20), st.floats(0, 60))
def test_every_token_is_on_one_side_of_a_cut(spans, cut):
    samples = [sample(start, start + lasts, tokens=tokens) for start, lasts, tokens in spans]
    sides = [inside(samples, -1, cut)[2], inside(samples, cut, 100)[2]]
    assert sum(sides) == pytest.approx(sum(tokens for _, _, tokens in spans))


def test_a_load_that_slows_down_is_not_steady():
    samples = [*closed_loop(1, 5, 1.0), *(sample(5 + 2.0 * each, 7 + 2.0 * each) for each in range(3))]
    assert not is_steady(samples, *window(samples, 1, 10.0))


def test_failed_requests_are_counted_by_kind_and_write_nothing():
    samples = [*closed_loop(2, 4, 1.0), sample(1.0, 1.1, error="429"), sample(1.0, 1.2, error="timeout")]
    samples[-2].said = "slow\x1b[31m down\n"
    found = level(samples, in_flight=2, closing=4.0, busy=0.0, late=0.0)
    assert found.errors == {"429": 1, "timeout": 1}
    assert found.said == "slow [31m down"
    assert found.answered == found.requests - 2
    assert level(samples[-2:], in_flight=2, closing=4.0, busy=0.0, late=0.0) is None


def test_a_run_too_short_for_a_steady_part_says_so():
    found = level([sample(0, 2), sample(0.5, 2.5)], in_flight=2, closing=1.0, busy=0.0, late=0.0)
    assert not found.steady
    assert "too short" in found.note
    assert found.output_tokens_per_second == pytest.approx(20 / 2.5)


@pytest.mark.parametrize(("busy", "late", "bound"), [(0.1, 0.001, False), (0.95, 0.0, True), (0.1, 0.05, True)])
def test_a_client_that_was_the_limit_is_known(busy, late, bound):
    found = level(closed_loop(1, 4, 1.0), in_flight=1, closing=4.0, busy=busy, late=late)
    assert found.client_bound is bound


@pytest.mark.parametrize("pieces", [2, 5, 100])
def test_time_per_token_does_not_depend_on_how_an_engine_coalesces(pieces):
    assert tpot_seconds(sample(0.0, 10.0, tokens=100, pieces=pieces)) == pytest.approx(0.1)


def test_time_per_token_of_one_piece_is_not_known():
    assert tpot_seconds(sample(0.0, 1.0, pieces=1)) is None


def test_percentiles_are_of_the_values():
    held = percentiles([float(each) for each in range(1, 101)])
    assert (held.p50, held.p90, held.p99, held.mean, held.count) == (50, 90, 99, 50.5, 100)
    assert percentiles([]) is None


def test_what_an_endpoint_says_cannot_move_the_cursor():
    assert clean("\x1b]0;owned\x07 no\r\nsuch" + "x" * 500).isprintable()
    assert len(clean("x" * 500)) == 200
