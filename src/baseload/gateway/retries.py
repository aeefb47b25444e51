"""Whether an attempt is repeated at the same upstream, and after what pause. Pure: chance is handed in."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus

from baseload.load.calls import Attempt, Status
from baseload.upstreams import Retries

# What may go better a moment later: the upstream had no time, or no room, or broke.
_AGAIN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


def pause(
    settings: Retries, done: int, attempt: Attempt, retry_after: float | None, left: float | None, chance: float
) -> float | None:
    """Seconds to wait before the next try at the same upstream, None when there should be none.

    `done` is how often it was repeated already, `retry_after` what the upstream asked for, `left` the seconds until the
    request's deadline, `chance` between 0 and 1. The jitter is full: many clients that failed together come back apart.
    """
    if done >= settings.times or not _may_go_better(attempt):
        return None
    longest = min(settings.most_seconds, settings.first_seconds * 2**done)
    seconds = longest * chance
    if retry_after is not None:
        if retry_after > settings.most_seconds:
            return None
        seconds = retry_after + settings.first_seconds * chance
    return seconds if left is None or seconds < left else None


def seconds_of(retry_after: bytes, now: float) -> float | None:
    """A `retry-after` in seconds (RFC 9110, 10.2.3: a number of them, or a date); None when it says nothing.

    >>> seconds_of(b"2.5", 0.0)
    2.5
    >>> seconds_of(b"Thu, 01 Jan 1970 00:01:00 GMT", 50.0)
    10.0
    >>> seconds_of(b"soon", 0.0) is None
    True
    """
    text = retry_after.decode("latin-1").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text)) if text[0] in "0123456789." else _until(text, now)
    except (ValueError, TypeError, OverflowError, IndexError):  # the date parser's
        return None


def _until(date: str, now: float) -> float:
    return max(0.0, parsedate_to_datetime(date).timestamp() - now)


def _may_go_better(attempt: Attempt) -> bool:
    """Whether the attempt failed before its answer began, for a reason that may pass."""
    if attempt.status not in (Status.FAILED, Status.TIMEOUT):
        return False
    status = attempt.http_status
    return status is None or status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR
