"""The breaker: when it opens, what lets it close, and what never opens it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.gateway.breaker import Breaker
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.upstreams import Circuit

S = NANOSECONDS_PER_SECOND
CIRCUIT = Circuit(failures=3, share=0.5, window_seconds=10, open_seconds=5)


def after(*ends: str, circuit: Circuit = CIRCUIT, step: float = 0.1) -> tuple[Breaker, int]:
    """A breaker after attempts that ended so, and the time of the last."""
    breaker, now = Breaker(circuit), 1_000 * S
    for end in ends:
        now += int(step * S)
        breaker.begins(now)
        (breaker.failed if end == "x" else breaker.answered)(now)
        breaker.ends()
    return breaker, now


@pytest.mark.parametrize(
    ("ends", "opens"),
    [
        ("", False),
        ("xx", False),
        ("xxx", True),
        ("oxxo", False),
        ("oxxox", True),
        ("oooooooxxx", False),
        ("ooooo", False),
    ],
)
def test_it_opens_when_enough_attempts_failed_and_enough_of_all(ends: str, opens: bool) -> None:
    breaker, now = after(*ends)
    assert breaker.shuts_out(now) is opens


def test_a_flapping_upstream_opens_although_it_answers_in_between() -> None:
    assert after(*"xoxoxo")[0].opened


def test_failures_of_long_ago_are_forgotten() -> None:
    assert not after(*"xxx", step=6)[0].opened
    assert after(*"xxx", step=2)[0].opened


def test_half_open_one_attempt_decides() -> None:
    breaker, now = after(*"xxx")
    assert breaker.shuts_out(now + 5 * S - 1)
    now += 5 * S
    assert not breaker.shuts_out(now)
    breaker.begins(now)
    assert breaker.shuts_out(now), "the one attempt is under way"
    breaker.answered(now)
    breaker.ends()
    assert not breaker.shuts_out(now)
    assert not breaker.opened


def test_half_open_a_failure_opens_it_again_for_as_long() -> None:
    breaker, now = after(*"xxx")
    now += 5 * S
    breaker.begins(now)
    breaker.failed(now)
    breaker.ends()
    assert breaker.shuts_out(now + 5 * S - 1)
    assert not breaker.shuts_out(now + 5 * S)


def test_an_attempt_without_a_verdict_leaves_the_decision_to_the_next() -> None:
    breaker, now = after(*"xxx")
    now += 5 * S
    breaker.begins(now)
    breaker.ends()  # its client went away
    assert not breaker.shuts_out(now)


def test_what_was_under_way_when_it_opened_does_not_prolong_it() -> None:
    breaker, now = after(*"xxx")
    breaker.failed(now + 4 * S)
    assert not breaker.shuts_out(now + 5 * S)
    breaker, now = after(*"xxx")
    breaker.answered(now + 4 * S)
    assert breaker.shuts_out(now + 4 * S), "an answer to an old attempt is no probe"


@given(st.text("xo", max_size=60), st.integers(1, 5), st.floats(0, 1))
def test_it_never_opens_with_fewer_failures_than_set_or_a_lesser_share(ends: str, failures: int, share: float) -> None:
    breaker, now = Breaker(Circuit(failures=failures, share=share, window_seconds=1e6)), S
    failed = answered = 0
    for end in ends:
        if end == "x":
            breaker.failed(now)
            failed += 1
        else:
            breaker.answered(now)
            answered += 1
        assert breaker.opened is (failed >= failures and failed >= share * (failed + answered))
        if breaker.opened:
            return


def test_a_clock_that_goes_back_forgets_rather_than_keeps() -> None:
    breaker = Breaker(CIRCUIT)
    breaker.failed(100 * S)
    breaker.failed(101 * S)
    breaker.failed(S)
    assert not breaker.opened
