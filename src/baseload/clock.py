"""Time as a value that is handed in. The only module of the ground that may ask the machine.

Packages that think take datetimes. Packages that act take a `Clock`, so that a trace can be replayed at sixty times its
speed and still be priced, binned and billed at the times it happened.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from baseload.units import NANOSECONDS_PER_SECOND


class Clock(Protocol):
    """Nanoseconds since the epoch, UTC."""

    def time_ns(self) -> int: ...


class SystemClock:
    """The machine's own time."""

    time_ns = staticmethod(time.time_ns)


class ScaledClock:
    """Time that starts at `start` and runs `speed` times as fast as the machine's up to `until`, then at its pace.

    It began at `began_ns` of the machine's monotonic clock, by default now: processes that name one moment have one
    time.
    """

    def __init__(self, start: datetime, until: datetime, speed: float, began_ns: int | None = None) -> None:
        self._start_ns = to_ns(start)
        self._fast_ns = to_ns(until) - self._start_ns
        self._speed = speed
        self._began_ns = time.monotonic_ns() if began_ns is None else began_ns

    def time_ns(self) -> int:
        real = time.monotonic_ns() - self._began_ns
        fast = min(int(real * self._speed), self._fast_ns)
        return self._start_ns + fast + max(0, real - int(self._fast_ns / self._speed))


def to_ns(at: datetime) -> int:
    """An aware datetime as nanoseconds since the epoch (exact to the microsecond a datetime holds)."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000


def from_ns(nanos: int) -> datetime:
    """Nanoseconds since the epoch as an aware UTC datetime, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=nanos // 1_000)


def now(clock: Clock) -> datetime:
    """The clock's time as an aware UTC datetime."""
    return from_ns(clock.time_ns())


def seconds_between(start_ns: int, end_ns: int) -> float:
    """Elapsed seconds."""
    return (end_ns - start_ns) / NANOSECONDS_PER_SECOND


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
