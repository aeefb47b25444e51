"""Holidays and named months: hours counted day by day."""

from calendar import monthrange
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.cost.holidays import Holidays, hours_in, in_month, read_holidays
from baseload.cost.schedule import ALWAYS, HOURS_PER_WEEK, Schedule, schedule
from baseload.errors import BadInput

OFFICE = schedule("mon-fri:8-18,sun:10-12")
CHRISTMAS = read_holidays("2026-12-25  # a Friday\n2026-12-26, 2026-12-28\n")


def test_a_month_is_counted_exactly():
    # December 2026: 23 working days of ten hours and four Sundays of two; a Friday and a Monday are holidays.
    assert hours_in(OFFICE, 2026, 12) == 23 * 10 + 4 * 2
    assert CHRISTMAS.hours_in(OFFICE, 2026, 12) == 21 * 10 + 4 * 2
    like_sunday = read_holidays("2026-12-25,2026-12-26,2026-12-28", "weekend")
    assert like_sunday.hours_in(OFFICE, 2026, 12) == 21 * 10 + 4 * 2 + 2 * 2  # the Saturday was off and stays off
    assert in_month(OFFICE, "2026-12", CHRISTMAS) * Fraction(730, 168) == 218
    assert in_month(ALWAYS, "2026-02") * Fraction(730, 168) == 28 * 24


def test_without_a_month_the_list_is_averaged_over_its_years():
    two = read_holidays("2026-12-25\n2027-12-24\n2027-12-25")  # Friday; Friday and a Saturday
    assert two.years == (2026, 2027)
    shorter = two.averaged(OFFICE)
    assert shorter.hours == OFFICE.hours == 52
    assert shorter.lost == Fraction(20, 2) / 12 * Fraction(168, 730)
    # Twelve months of 730 hours hold ten hours less a year.
    assert (OFFICE.mean_hours - shorter.mean_hours) * Fraction(730, 168) * 12 == 10
    assert shorter.share == shorter.mean_hours / 168


DAYS = st.frozensets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), min_size=1, max_size=40)
WEEKS = st.lists(st.booleans(), min_size=HOURS_PER_WEEK, max_size=HOURS_PER_WEEK).filter(any).map(tuple)


@given(DAYS, WEEKS, st.sampled_from(("off", "weekend")))
def test_the_months_of_a_year_lose_what_its_holidays_take(days, on, like):
    list_, week = Holidays(days, like), Schedule(on)
    months = sum(list_.hours_in(week, 2026, month) for month in range(1, 13))
    every = [date(2026, 1, 1) + timedelta(day) for day in range(365)]
    by_hand = 0
    for day in every:
        weekday = 6 if day in days and like == "weekend" else day.weekday()
        hours = sum(on[weekday * 24 : weekday * 24 + 24])
        by_hand += min(hours, sum(on[day.weekday() * 24 :][:24])) if like == "weekend" or day not in days else 0
    assert months == by_hand
    assert list_.averaged(week).lost * Fraction(730, 168) * 12 == sum(list_.taken(week, day) for day in every)


@given(WEEKS, st.integers(2020, 2030), st.integers(1, 12))
def test_a_month_has_its_four_weeks_and_a_rest(on, year, month):
    found, days = hours_in(Schedule(on), year, month), monthrange(year, month)[1]
    assert 4 * sum(on) <= found <= 4 * sum(on) + 24 * (days - 28)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: read_holidays(""), "0 holidays"),
        (lambda: read_holidays("2026-12-25\n25.12.2026"), "line 2: '25.12.2026' is no date"),
        (lambda: read_holidays("2026-02-30"), "no date"),
        (lambda: read_holidays("2026-12-25,2026-12-25"), "twice"),
        (lambda: read_holidays("2026-12-25", "half"), "like 'half'"),
        (lambda: CHRISTMAS.hours_in(OFFICE, 2027, 1), "cover 2026 and not 2027"),
        (lambda: in_month(OFFICE, "2026-13"), "is no month"),
        (lambda: in_month(OFFICE, "December"), "is no month"),
        (lambda: in_month(schedule("fri:8-18"), "2026-12", fridays()), "0 hours in 2026-12"),
        (lambda: every_day().averaged(OFFICE), "never on"),
        (lambda: Schedule((False,) * HOURS_PER_WEEK), "0 hours serve nothing"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(wrong, says):
    with pytest.raises(BadInput, match=says) as caught:
        wrong()
    assert caught.value.remedy


def fridays():
    return Holidays(frozenset(date(2026, 12, day) for day in (4, 11, 18, 25)))


def every_day():
    return Holidays(frozenset(date(2026, 1, 1) + timedelta(day) for day in range(365)))
