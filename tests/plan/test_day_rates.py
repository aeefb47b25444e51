"""A typical price of an offer whose price turns with the hours and the days."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from baseload.catalog.entries import EVERY_DAY, Offer, Precedence, PriceRow, Rates, Source, Window
from baseload.plan.options import day_rates
from baseload.ranges import Range

SOURCE = Source("a book", Precedence.MARKET, date(2026, 11, 1), "generated")
LOW, HIGH = Rates(Decimal(1), Decimal(2)), Rates(Decimal(2), Decimal(4))
SATURDAY = datetime(2026, 11, 21, 15, tzinfo=UTC)


def offer(*windows: Window, zone=UTC):
    return Offer("p", "m", SOURCE, (PriceRow(LOW), *(PriceRow(HIGH, window=window, zone=zone) for window in windows)))


def test_a_daily_window_is_weighed_by_its_hours():
    assert day_rates(offer(Window(time(1), time(7))), SATURDAY).input == Range(*map(Decimal, ("1", "1.25", "2")))


def test_hours_of_another_zone_are_the_same_hours():
    shanghai = offer(Window(time(9), time(15), EVERY_DAY), zone=ZoneInfo("Asia/Shanghai"))
    assert day_rates(shanghai, SATURDAY).input == day_rates(offer(Window(time(1), time(7))), SATURDAY).input


def test_a_workday_window_is_weighed_over_the_week_also_on_a_saturday():
    # 42 of 168 hours at twice the price.
    workdays = frozenset(range(5))
    windows = (Window(time(1), time(9), workdays), Window(time(12, 24), time(12, 48), workdays))
    assert day_rates(offer(*windows), SATURDAY).output.likely == Decimal("2.5")
