"""Daily windows on the provider's clock, against a minute-by-minute oracle: midnight, weekdays, summer time."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from baseload.catalog.entries import EVERY_DAY, Offer, Precedence, PriceRow, Rates, Source, Window
from baseload.cost.tokens import price
from baseload.usage import Usage

SOURCE = Source("a book", Precedence.MARKET, date(2026, 1, 1), "generated")
LOW, HIGH = Rates(Decimal(1), Decimal(1)), Rates(Decimal(2), Decimal(2))
MINUTE = timedelta(minutes=1)
ZONES = ("UTC", "Asia/Shanghai", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
# Around every change of clocks in 2026 of the zones above, and an ordinary week.
DAYS = (date(2026, 3, 8), date(2026, 3, 29), date(2026, 4, 5), date(2026, 10, 4), date(2026, 10, 25), date(2026, 11, 1))


def dear_minutes(window, zone, first, days):
    """The minutes in UTC that a window covers: every wall clock reading it lists, on every day that it lists."""
    length = (window.end.hour * 60 + window.end.minute - window.start.hour * 60 - window.start.minute) % 1440 or 1440
    found = set()
    for number in range(-2, days + 2):
        day = first + timedelta(days=number)
        if day.weekday() not in window.weekdays:
            continue
        began = datetime.combine(day, window.start)
        for step in range(length):
            wall = began + step * MINUTE
            for fold in (0, 1):
                moment = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
                if moment.astimezone(zone).replace(tzinfo=None) == wall:
                    found.add(moment)
    return found


WINDOWS = st.builds(
    Window,
    start=st.builds(time, st.integers(0, 23), st.sampled_from((0, 30, 59))),
    end=st.builds(time, st.integers(0, 23), st.sampled_from((0, 30, 59))),
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
)


@given(WINDOWS, st.sampled_from(ZONES), st.sampled_from(DAYS) | st.dates(date(2026, 1, 1), date(2026, 12, 30)))
@example(Window(time(2, 30), time(3, 30), EVERY_DAY), "Europe/Paris", date(2026, 3, 29))
@example(Window(time(2, 30), time(2, 59), EVERY_DAY), "Europe/Paris", date(2026, 10, 25))
@example(Window(time(22), time(6), frozenset({4})), "America/New_York", date(2026, 10, 31))
@settings(max_examples=60, deadline=None)
def test_a_window_prices_every_minute_as_the_oracle_does(window, name, day):
    zone = ZoneInfo(name)
    start, end = datetime.combine(day, time(), UTC), datetime.combine(day + timedelta(days=2), time(), UTC)
    offer = Offer("p", "m", SOURCE, (PriceRow(LOW), PriceRow(HIGH, window=window, zone=zone)))
    dear = dear_minutes(window, zone, day, 2)
    moments = [start + step * MINUTE for step in range(int((end - start) / MINUTE))]
    assert [moment for moment in moments if (offer.row(moment).rates is HIGH) != (moment in dear)] == []
    # Between two turns nothing changes, so pricing each piece once prices every minute.
    turns = offer.turns(start, end)
    assert turns[0] == start
    for piece, after in zip(turns, (*turns[1:], end), strict=True):
        held = offer.row(piece)
        assert all(offer.row(moment) is held for moment in moments if piece <= moment < after)


# Peak of DeepSeek: 01-04 and 06-10 UTC, Monday to Friday by the day in Beijing; that is 09-12 and 14-18 there.
SHANGHAI = ZoneInfo("Asia/Shanghai")
WORKDAYS = frozenset(range(5))
DEEPSEEK = Offer(
    "deepseek",
    "deepseek-v4-pro",
    SOURCE,
    (
        PriceRow(LOW),
        PriceRow(HIGH, date(2026, 8, 23), window=Window(time(9), time(12), WORKDAYS), zone=SHANGHAI),
        PriceRow(HIGH, date(2026, 8, 23), window=Window(time(14), time(18), WORKDAYS), zone=SHANGHAI),
    ),
)


@pytest.mark.parametrize(
    ("at", "paid"),
    [
        ("2026-11-20T00:59", 1),  # Friday
        ("2026-11-20T01:00", 2),
        ("2026-11-20T03:59", 2),
        ("2026-11-20T04:00", 1),
        ("2026-11-20T09:59", 2),
        ("2026-11-20T10:00", 1),
        ("2026-11-21T02:00", 1),  # Saturday
        ("2026-11-22T23:00", 1),  # Sunday in UTC, Monday in Beijing, before the peak
        ("2026-11-23T01:00", 2),  # Monday
        ("2026-08-21T02:00", 1),  # a Friday before the schedule began
        ("2026-08-24T02:00", 2),
    ],
)
def test_the_peak_of_deepseek(at, paid):
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert price(Usage(output_tokens=1_000), DEEPSEEK, moment).nanousd == paid * 1_000_000


def test_the_peak_of_deepseek_is_35_hours_a_week():
    week = datetime(2026, 11, 16, tzinfo=UTC)
    hours = [DEEPSEEK.row(week + timedelta(hours=hour)).rates is HIGH for hour in range(168)]
    assert sum(hours) == 35


def test_a_day_begins_on_the_providers_clock():
    dated = Offer("p", "m", SOURCE, (PriceRow(LOW), PriceRow(HIGH, date(2026, 9, 1), zone=SHANGHAI)))
    midnight = datetime(2026, 8, 31, 16, tzinfo=UTC)
    assert dated.row(midnight - MINUTE).rates is LOW
    assert dated.row(midnight).rates is HIGH
    assert dated.turns(midnight - timedelta(days=1), midnight + timedelta(days=1))[1] == midnight


def test_friday_night_ends_on_saturday_morning():
    night = Window(time(22), time(6), frozenset({4}))
    friday = datetime(2026, 11, 20, tzinfo=UTC)
    covered = [hour for hour in range(48) if night.covers(friday + timedelta(hours=hour))]
    assert covered == [22, 23, 24, 25, 26, 27, 28, 29]


def test_equal_ends_are_the_whole_day():
    weekend = Window(time(), time(), frozenset({5, 6}))
    assert [weekend.covers(datetime(2026, 11, day, 23, tzinfo=UTC)) for day in range(16, 23)] == [False] * 5 + [
        True
    ] * 2
