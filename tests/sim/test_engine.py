"""The engine of events and the engine of steps answer the same, on generated cases and in every regime."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from baseload.capacity.steptime import StepTime
from baseload.errors import BadInput
from baseload.sim import engine, reference
from baseload.sim.replica import Requests, compiled, interpreted, serve

EXACT = 1e-9  # seconds
# An arrival nearer than this to the end of a step comes before or after it as the sums happen to be rounded.
TIE = 1e-9
DENSE = StepTime(
    0.012, 0.0, 0.0, 1.1e-5, 1.5, 1.3e-8, 1.7e-12, 1.1e-3, 1.3e-5, 1.7e-7, 6e-5, 0.1, 10**6, 256, 8192, True
)


@st.composite
def steps(draw: st.DrawFn) -> StepTime:
    times = st.floats(1e-6, 2e-2)
    most = draw(st.integers(1, 12))
    return StepTime(
        shared_weights=draw(times),
        expert_weights=draw(st.one_of(st.just(0.0), times)),
        expert_share=draw(st.floats(0, 1)),
        compute=draw(st.floats(0, 1e-4)),
        softness=draw(st.floats(1, 4)),
        context=draw(st.one_of(st.just(0.0), st.floats(1e-9, 1e-4))),
        attention=draw(st.floats(0, 1e-7)),
        fixed=draw(times),
        per_request=draw(st.floats(0, 1e-3)),
        per_token=draw(st.floats(0, 1e-5)),
        prefill=draw(st.floats(0, 1e-3)),
        receive=0.0,
        kv_tokens=draw(st.integers(60, 400)),
        most_requests=most,
        step_tokens=draw(st.integers(most, 64)),
        mixed=draw(st.booleans()),
    )


@st.composite
def loads(draw: st.DrawFn) -> list[tuple[float, int, int, int]]:
    rows = draw(
        st.lists(
            st.tuples(st.floats(0, 0.4), st.integers(1, 50), st.integers(1, 40), st.integers(0, 49)),
            min_size=1,
            max_size=25,
        )
    )
    after, found = 0.0, []
    for wait, prompt, output, cached in rows:
        after += wait
        found.append((after, prompt, output, min(cached, prompt - 1)))
    return found


def columns(rows: list[tuple[float, int, int, int]]) -> Requests:
    arrival, prompt, output, cached = zip(*rows, strict=True)
    return Requests(
        np.array(arrival, np.float64),
        np.array(prompt, np.int32),
        np.array(output, np.int32),
        np.array(cached, np.int32),
    )


def both(step, rows, kernel):
    slow = [reference.Request(*row) for row in rows if row[1] + row[2] <= step.kv_tokens]
    account = reference.steps(step, slow)
    fast = serve(step, columns(rows), kernel=kernel)
    return slow, account, fast


def hold_equal(slow, account, fast):
    assert fast.steps == len(account.ends)
    assert fast.preemptions == account.preemptions
    assert (fast.tokens_read, fast.tokens_written) == (account.read, account.written)
    assert fast.busy == pytest.approx(account.busy, abs=EXACT)
    for column, name in ((fast.first, "first"), (fast.finish, "finish")):
        served = column[~np.isnan(column)]
        np.testing.assert_allclose(served, [getattr(each, name) for each in slow], rtol=0, atol=EXACT)


@settings(max_examples=400, deadline=None)
@given(steps(), loads())
def test_events_answer_what_steps_answer(step, rows):
    slow, account, fast = both(step, rows, interpreted())
    assume(all(abs(end - each.arrival) > TIE for end in account.ends for each in slow))
    hold_equal(slow, account, fast)


@settings(max_examples=60, deadline=None)
@given(steps(), loads())
def test_compiled_or_not_it_is_the_same(step, rows):
    plain, fast = serve(step, columns(rows), kernel=interpreted()), serve(step, columns(rows), kernel=compiled())
    assert (plain.steps, plain.preemptions, plain.refused) == (fast.steps, fast.preemptions, fast.refused)
    np.testing.assert_allclose(plain.finish, fast.finish, rtol=0, atol=EXACT, equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(steps(), loads())
def test_nothing_is_lost(step, rows):
    requests = columns(rows)
    fast = serve(step, requests, kernel=interpreted())
    fits = requests.fits(step)
    assert fast.tokens_written == requests.output[fits].sum()
    assert fast.tokens_read >= (requests.prompt - requests.cached)[fits].sum()
    if not fast.preemptions:
        assert fast.tokens_read == (requests.prompt - requests.cached)[fits].sum()
    assert np.isnan(fast.finish).sum() == fast.refused == (~fits).sum()
    assert (fast.first[fits] > requests.arrival[fits]).all()
    assert (fast.finish[fits] >= fast.first[fits]).all()


def test_a_busy_replica_preempts_and_both_engines_agree():
    tight = DENSE._replace(receive=0.0, kv_tokens=300, most_requests=8, step_tokens=64)
    rows = [(0.003 * place, 40, 60 + place, 5) for place in range(40)]
    for mixed in (True, False):
        slow, account, fast = both(tight._replace(mixed=mixed), rows, interpreted())
        assert account.preemptions > 10
        hold_equal(slow, account, fast)


def test_one_request_alone_by_hand():
    step = StepTime(0.01, 0.0, 0.0, 0.0, 1.0, 1e-6, 0.0, 0.0, 0.0, 0.0, 0.002, 0.5, 10**4, 4, 1000, True)
    served = serve(step, columns([(3.0, 100, 3, 0)]), kernel=interpreted())
    # One step of 0.01 and 0.002 for the prompt, then two that read 101 and 102 tokens of context; 0.5 to come and go.
    assert served.first[0] == pytest.approx(3.0 + 0.012 + 0.5, abs=EXACT)
    assert served.finish[0] == pytest.approx(3.0 + 0.012 + 0.02 + 203e-6 + 0.5, abs=EXACT)


def test_what_a_prefix_cache_holds_is_not_read():
    rows = [(0.0, 4000, 5, cached) for cached in (0, 3999)]
    whole, cached = (serve(DENSE, columns([row]), kernel=interpreted()) for row in rows)
    assert (whole.tokens_read, cached.tokens_read) == (4000, 1)
    assert cached.first[0] < whole.first[0]


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-4, 1), st.floats(0, 1e-2), st.floats(0, 500))
def test_reaching_is_the_first_step_that_is_late_enough(base, growth, seconds):
    steps = engine.reaching(base, growth, seconds)

    def took(count):
        return count * (base + growth * (count - 1) / 2)

    assert took(steps) >= seconds
    assert steps == 0 or took(steps - 1) < seconds


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=40))
def test_the_heap_gives_the_least_first(keys):
    heap = [0] * len(keys)
    for size, key in enumerate(keys):
        engine.push(heap, size, key)
    drawn = []
    for size in range(len(keys), 0, -1):
        drawn.append(heap[0])
        engine.pop(heap, size)
    assert drawn == sorted(keys)


@pytest.mark.parametrize(
    "change",
    [
        {"fixed": -1.0},
        {"softness": 0.5},
        {"expert_share": 1.5},
        {"most_requests": 0},
        {"most_requests": 9000},
        {"kv_tokens": 0},
        {"context": math.nan},
    ],
)
def test_coefficients_that_no_engine_has_are_refused(change):
    with pytest.raises(BadInput):
        serve(DENSE._replace(**change), columns([(0.0, 10, 10, 0)]), kernel=interpreted())


@pytest.mark.parametrize(
    "rows", [[(1.0, 5, 5, 0), (0.5, 5, 5, 0)], [(0.0, 5, 5, 5)], [(0.0, 5, 0, 0)], [(math.inf, 5, 5, 0)]]
)
def test_requests_that_are_none_are_refused(rows):
    with pytest.raises(BadInput):
        columns(rows)
