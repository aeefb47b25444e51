"""Whether an attempt is repeated, and after what pause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.gateway.retries import pause, seconds_of
from baseload.load.calls import Attempt, Status
from baseload.upstreams import Retries

RETRIES = Retries(times=3, first_seconds=1, most_seconds=8)


def failed(http_status: int | None = 503, status: Status = Status.FAILED) -> Attempt:
    names = {"route": "r", "upstream": "u", "model": "m", "offer": "u/m"}
    return Attempt(number=1, started_ns=0, ended_ns=1, http_status=http_status, status=status, **names)


@pytest.mark.parametrize(
    ("attempt", "repeated"),
    [
        (failed(None), True),
        (failed(None, Status.TIMEOUT), True),
        (failed(408, Status.TIMEOUT), True),
        (failed(429), True),
        (failed(500), True),
        (failed(529), True),
        (failed(401), False),
        (failed(200), False),
        (failed(400, Status.REFUSED), False),
        (failed(200, Status.CUT), False),
        (failed(200, Status.CLIENT_GONE), False),
        (failed(200, Status.OK), False),
    ],
)
def test_only_what_may_pass_and_had_not_begun_is_repeated(attempt: Attempt, repeated: bool) -> None:
    assert (pause(RETRIES, 0, attempt, None, None, 0.5) is not None) is repeated


def test_the_pause_doubles_up_to_its_bound_and_ends() -> None:
    settings = Retries(times=6, first_seconds=1, most_seconds=8)
    assert [pause(settings, done, failed(), None, None, 1.0) for done in range(7)] == [1, 2, 4, 8, 8, 8, None]


def test_the_upstreams_own_word_stands_unless_it_is_too_long() -> None:
    assert pause(RETRIES, 0, failed(429), 5.0, None, 0.0) == 5.0
    assert pause(RETRIES, 0, failed(429), 8.5, None, 0.0) is None
    assert pause(RETRIES, 0, failed(429), 0.0, None, 1.0) == 1.0


@given(st.integers(0, 9), st.none() | st.floats(0, 100), st.none() | st.floats(0, 100), st.floats(0, 1))
def test_no_pause_outlasts_the_deadline_or_the_bound(
    done: int, retry_after: float | None, left: float | None, chance: float
) -> None:
    found = pause(RETRIES, done, failed(), retry_after, left, chance)
    if found is not None:
        assert done < RETRIES.times
        assert 0 <= found <= RETRIES.most_seconds + RETRIES.first_seconds
        assert left is None or found < left
        assert retry_after is None or found >= retry_after


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"", None),
        (b"3", 3.0),
        (b" 0.5 ", 0.5),
        (b"-3", None),
        (b"nan", None),
        (b"1e3", 1000.0),
        (b"Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        (b"Thu, 01 Jan 1970 00:00:05 GMT", 0.0),
        (b"later", None),
        (b"\xff", None),
        (b"9" * 400, float("inf")),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(field: bytes, seconds: float | None) -> None:
    assert seconds_of(field, 10.0) == seconds


@given(st.binary(max_size=60) | st.text("0123456789.:, GMTJanThu-+", max_size=40).map(str.encode))
def test_whatever_stands_there_is_no_crash(field: bytes) -> None:
    found = seconds_of(field, 10.0)
    assert found is None or found >= 0
