"""Times convert exactly, and a scaled clock never runs backwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from baseload.clock import ScaledClock, SystemClock, from_ns, now, seconds_between, to_ns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT = st.timedeltas(timedelta(0), timedelta(days=84_000)).map(lambda since: EPOCH + since)
START = datetime(2023, 11, 16, 18, 15, tzinfo=UTC)


@given(MOMENT)
def test_datetimes_survive_the_way_to_nanoseconds_and_back(moment):
    assert from_ns(to_ns(moment)) == moment


def test_zones_are_one_moment():
    assert to_ns(START) == to_ns(START.astimezone(timezone(timedelta(hours=9))))


@given(st.integers(min_value=0, max_value=7 * 10**18))
def test_nanoseconds_are_cut_to_microseconds(nanos):
    assert 0 <= nanos - to_ns(from_ns(nanos)) < 1_000


def test_seconds_between():
    assert seconds_between(1_000_000_000, 3_500_000_000) == 2.5


def test_the_system_clock_is_between_two_readings_of_the_machine():
    before = datetime.now(UTC)
    read = now(SystemClock())
    assert before - timedelta(microseconds=1) <= read <= datetime.now(UTC)


def test_a_scaled_clock_runs_fast_up_to_its_end_and_never_backwards():
    until = START + timedelta(hours=1)
    clock = ScaledClock(START, until, speed=1e9)  # an hour takes 3.6 microseconds
    readings = [clock.time_ns() for _ in range(1_000)]
    assert readings == sorted(readings)
    assert readings[0] >= to_ns(START)
    # Past its end it goes at the machine's pace: a thousand readings do not take a minute.
    assert to_ns(until) <= readings[-1] < to_ns(until + timedelta(minutes=1))


def test_two_readings_of_a_slow_scaled_clock_are_as_far_apart_as_its_speed_says():
    clock, machine = ScaledClock(START, START + timedelta(days=1), speed=60), ScaledClock(START, START, speed=1)
    outer_first, inner_first = machine.time_ns(), clock.time_ns()
    inner_last, outer_last = clock.time_ns(), machine.time_ns()
    assert 0 <= inner_last - inner_first <= 60 * (outer_last - outer_first)
