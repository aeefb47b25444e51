"""Bounds hold to the last token and nano-dollar, whatever runs at once."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.load.lengths import Lengths
from baseload.measure.asking import Sample
from baseload.measure.running import Bounds
from baseload.measure.spending import bounded, closed_estimate, is_own, open_estimate
from baseload.measure.sweep import Probes

requests = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900), st.floats(0, 1), st.booleans()), max_size=60)


@given(requests, st.integers(0, 4_000), st.integers(0, 30), st.sampled_from(["tokens", "usd", "requests"]))
def test_no_bound_is_passed_though_answers_come_late(asked, most, count, bound):
    given = {"tokens": most, "usd": Decimal(most) / 10**9, "requests": count}
    bounds = Bounds(**{bound: given[bound]}, price=lambda read, written: read + written)
    open_ones = []
    for read, written, share, ends in asked:
        if bounds.take(read, written):
            told = Sample(0.0, input_tokens=read, output_tokens=max(1, round(written * share)))
            open_ones.append((read, written, told))
        if ends and open_ones:
            bounds.settle(*open_ones.pop(0))
    for each in open_ones:
        bounds.settle(*each)
    assert bound != "tokens" or bounds.used_tokens <= most
    assert bound != "usd" or bounds.spent_nanousd <= most
    assert bound != "requests" or bounds.used_requests <= count


def test_an_answer_cut_short_counts_as_its_worst():
    bounds = Bounds(price=lambda read, written: read + 2 * written)
    assert bounds.take(100, 10)
    bounds.settle(100, 10, Sample(0.0, error="timeout"))
    assert (bounds.used_tokens, bounds.spent_nanousd) == (110, 120)
    assert bounds.take(100, 10)
    bounds.settle(100, 10, Sample(0.0, error="429"))
    assert (bounds.used_tokens, bounds.spent_nanousd) == (110, 120)


def test_time_is_a_bound():
    bounds = Bounds(seconds=1.0, began=time.perf_counter() - 2)
    assert not bounds.take(1, 1)
    assert bounds.stopped == "1 seconds, as bounded"


def test_an_estimate_has_ends_and_keeps_to_the_bounds():
    probes = Probes(Lengths.spread(100, 10), 64, 30.0)
    found = closed_estimate(probes, lambda read, written: 1000 * (read + written))
    assert 0 < found.requests[0] < found.requests[1]
    assert 0 < found.tokens[0] < found.tokens[1]
    assert 0 < found.usd[0] < found.usd[1]
    within = bounded(found, Bounds(requests=50, tokens=1000, usd=Decimal("0.001")))
    assert (within.requests[1], within.tokens[1], within.usd[1]) == (50, 1000, Decimal("0.001"))
    assert open_estimate(probes.lengths, 100, None).usd is None


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("::1", True),
        ("192.168.1.9", True),
        ("8.8.8.8", False),
        ("api.openai.example", False),
        ("vllm.default.svc.cluster.local", True),
    ],
)
def test_whose_machine_it_is(host, own):
    assert is_own(host) is own
