"""Metered against an invoice: every cause by its own sign, and the causes add up to the gap to the last digit."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.audit.reconcile import DAY_NS, HOUR_NS, Cause, Metered, Reconciliation, reconcile
from baseload.clock import to_ns
from baseload.load.statements import Kind, Statement
from baseload.units import exact_sum, nanousd, usd
from baseload.usage import Usage

START = 20_727 * DAY_NS  # 2026-10-01
USAGE = Usage(input_tokens=1000)


def line(day: int, amount: str, model: str = "m", **more: object) -> Statement:
    at = START + day * DAY_NS
    given = {"source": "s", "provider": "p", "kind": Kind.COST, "start_ns": at, "end_ns": at + DAY_NS}
    return Statement(**(given | {"model": model, "usd": Decimal(amount), "item": model} | more))


def metered(day: int, amount: str, model: str = "m", *, hour: int = 12, project: str = "", **more: object) -> Metered:
    at = START + day * DAY_NS + hour * HOUR_NS
    given = {"calls": 1, "usage": USAGE, "batch_nanousd": None, "uncached_nanousd": None}
    return Metered(at, model, project, nanousd=nanousd(Decimal(amount)), **(given | more))


def tokens(day: int, count: int) -> Statement:
    return line(day, "0", usd=None, kind=Kind.USAGE, usage=Usage(input_tokens=count))


def causes(found: Reconciliation) -> dict[Cause, Decimal]:
    return {each.cause: each.usd for each in found.causes}


def test_what_agrees_has_no_cause():
    found = reconcile([metered(0, "1.25")], [line(0, "1.25")])
    assert (found.gap_usd, found.gap_share, found.causes) == (0, 0, ())
    assert found.within(Decimal(0))


half, whole = nanousd(Decimal("0.5")), nanousd(Decimal("1.5"))
CASES = {
    "no call": ([], [line(0, "1.00")], {Cause.MISSING: Decimal("1.00")}),
    "no line": ([metered(0, "1"), metered(0, "2", "n")], [line(0, "1.00")], {Cause.UNBILLED: Decimal(-2)}),
    "cents": ([metered(0, "1.004")], [line(0, "1.00")], {Cause.ROUNDING: Decimal("-0.004")}),
    "no price": ([metered(0, "1", unpriced=1)], [line(0, "1.50")], {Cause.UNPRICED: Decimal("0.50")}),
    "half": ([metered(0, "1", batch_nanousd=half)], [line(0, "0.50")], {Cause.BATCH: Decimal("-0.50")}),
    "full": ([metered(0, "1", uncached_nanousd=whole)], [line(0, "1.50")], {Cause.CACHED: Decimal("0.50")}),
    "fewer calls": ([metered(0, "1")], [line(0, "2.00"), tokens(0, 2000)], {Cause.MISSING: Decimal("1.00")}),
    "same tokens": ([metered(0, "1")], [line(0, "1.10"), tokens(0, 1000)], {Cause.PRICE: Decimal("0.10")}),
    "half by its words": (
        [metered(0, "1.50")],
        [line(0, "0.50"), line(0, "0.50", processing="batch")],
        {Cause.BATCH: Decimal("-0.50")},
    ),
    "more on one day of days that agree": (
        [metered(day, "1") for day in range(3)],
        [line(0, "1"), line(1, "1.75"), line(2, "1")],
        {Cause.MISSING: Decimal("0.75")},
    ),
    "less on one day of days that agree": (
        [metered(day, "1") for day in range(3)],
        [line(0, "1"), line(1, "0.40"), line(2, "1")],
        {Cause.UNBILLED: Decimal("-0.60")},
    ),
    "more on the last day": (
        [metered(day, "1") for day in range(3)],
        [line(0, "1"), line(1, "1"), line(2, "1.75")],
        {Cause.UNEXPLAINED: Decimal("0.75")},
    ),
    "every day dearer": (
        [metered(day, "1") for day in range(3)],
        [line(day, "1.10") for day in range(3)],
        {Cause.PRICE: Decimal("0.30")},
    ),
    "credit": (
        [metered(0, "1")],
        [line(0, "1.00"), line(0, "-0.25", item="promised")],
        {Cause.CREDITS: Decimal("-0.25")},
    ),
    "tools": ([metered(0, "1")], [line(0, "1.00"), line(0, "0.30", "")], {Cause.OTHER: Decimal("0.30")}),
    "who knows": ([metered(0, "1"), metered(1, "1")], [line(0, "1.7"), line(1, "0.2")], None),
}


@pytest.mark.parametrize("case", CASES)
def test_every_cause_by_its_own_sign(case):
    calls, lines, expected = CASES[case]
    found = reconcile(calls, lines)
    assert causes(found) == (expected if expected is not None else {Cause.UNEXPLAINED: Decimal("-0.1")})
    assert exact_sum(causes(found).values()) == found.gap_usd


def test_days_on_another_clock_are_told_and_the_rest_is_compared_on_it():
    loads = {0: "1", 1: "5", 2: "2", 3: "7"}
    # An invoice in UTC+8: what came at 20:00 UTC is of its next day.
    calls = [metered(day, amount, hour=20) for day, amount in loads.items()] + [metered(-1, "3", hour=20)]
    lines = [line(0, "3"), line(1, "1"), line(2, "5"), line(3, "2")]
    found = reconcile(calls, lines)
    assert 4 <= found.clock_hours <= 14
    assert causes(found) == {Cause.ZONE: Decimal(3) - Decimal(7)}
    assert found.gap_usd == Decimal(11) - Decimal(15)


def test_sides_by_day_model_and_project():
    calls = [metered(0, "1", project="a"), metered(1, "2", "n", project="b")]
    lines = [line(0, "1", project="a"), line(1, "2.5", "N", project="b")]
    found = reconcile(calls, lines)
    assert [(each.name, each.gap_usd) for each in found.by_day] == [("2026-10-01", 0), ("2026-10-02", Decimal("0.5"))]
    assert [each.name for each in found.by_model] == ["m", "n"]
    assert [(each.name, each.invoice_usd) for each in found.by_project] == [("a", 1), ("b", Decimal("2.5"))]


@pytest.mark.parametrize(("amount", "within"), [("1.02", True), ("1.0205", False), ("0.98", False), ("0.9804", True)])
def test_the_tolerance_holds_for_both_signs(amount, within):
    assert reconcile([metered(0, "1")], [line(0, amount)]).within(Decimal("0.02")) is within


def test_an_invoice_of_nothing_is_within_only_when_nothing_was_metered():
    assert reconcile([], [line(0, "0")]).within(Decimal(1))
    assert not reconcile([metered(0, "1")], [line(0, "0")]).within(Decimal(1))


money = st.decimals(Decimal(-50), Decimal(50), places=14)
amounts = st.integers(0, 50 * 10**9)


@st.composite
def some_metered(draw: st.DrawFn) -> Metered:
    return metered(
        draw(st.integers(-1, 4)),
        str(usd(draw(amounts))),
        draw(st.sampled_from("ab")),
        hour=draw(st.integers(0, 23)),
        unpriced=draw(st.integers(0, 1)),
        batch_nanousd=draw(st.none() | amounts),
    )


some_line = st.builds(line, st.integers(0, 3), money.map(str), st.sampled_from(["a", "b", "c", ""]))


@given(st.lists(some_metered()), st.lists(some_line))
def test_the_causes_always_add_up_to_the_gap_and_the_sides_to_the_totals(calls, lines):
    found = reconcile(calls, lines)
    assert exact_sum(each.usd for each in found.causes) == found.gap_usd
    for sides in (found.by_day, found.by_model, found.by_project):
        assert exact_sum(each.metered_usd for each in sides) == found.metered_usd
        assert exact_sum(each.invoice_usd for each in sides) == found.invoice_usd


@pytest.mark.parametrize(("first", "hours"), [("2026-03-28", (24, 23, 24)), ("2026-10-24", (24, 25, 24))])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/London"])
def test_days_are_as_long_as_they_are_where_clocks_change(first, hours, zone):
    """Each day of a clock that changes is compared with the calls of that day, under its own date."""
    at, stated, seen = to_ns(datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone))), [], []
    for length in hours:
        end = at + length * HOUR_NS
        stated.append(line(0, str(length), start_ns=at, end_ns=end))
        seen += [Metered(hour, "m", "", 1, nanousd(Decimal(1))) for hour in range(at, end, HOUR_NS)]
        at = end
    found = reconcile(seen, stated)
    assert [(each.metered_usd, each.invoice_usd) for each in found.by_day] == [(each, each) for each in hours]
    assert found.by_day[0].name == first
    assert found.causes == ()
