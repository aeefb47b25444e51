"""What a fit sees: how rows of one deployment count, and what a step of a mixture reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.capacity.steptime import StepTime, step_seconds
from baseload.capacity.training import truth
from benchmarks.capacity import silicon_rows

TRUTH = truth(silicon_rows())
COUNTS = np.bincount(TRUTH.deployment)


@given(st.floats(-2.0, 2.0))
def test_rows_that_are_off_together_count_as_fewer(shift):
    squares = np.bincount(TRUTH.deployment, TRUTH.pooled(np.full(len(TRUTH.of), shift)) ** 2)
    assert squares == pytest.approx(COUNTS * shift**2 / (1 + 0.04 * COUNTS))


def test_what_rows_of_a_deployment_differ_by_counts_in_full():
    off = np.random.default_rng(5).normal(size=len(TRUTH.of))
    own = off - (np.bincount(TRUTH.deployment, off) / COUNTS)[TRUTH.deployment]
    assert TRUTH.pooled(own) == pytest.approx(own)


@given(st.floats(0.001, 1.0), st.integers(1, 5000))
def test_a_step_reads_more_experts_the_more_tokens_and_never_more_than_all(share, tokens):
    mixture = StepTime(0.0, 1.0, share, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10**6, 256, 8192, True)
    none, one, some, more = (step_seconds(mixture, each, 0.0, 0, 0.0) for each in (0, 1, tokens, tokens + 1))
    assert none == 0.0
    assert one == pytest.approx(share)
    assert one <= some * 1.0000001 <= more * 1.0000002
    assert more <= 1.0000001
