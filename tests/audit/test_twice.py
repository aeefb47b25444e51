"""A cost that two reports state is told, and lines that merely differ in kind are not."""

from decimal import Decimal

import pytest

from baseload.audit.twice import twice
from baseload.load.statements import Kind, Statement

DAY = 86_400 * 10**9
START = 1_790_812_800 * 10**9  # 2026-10-01


def cost(usd: str, day: float = 0, days: float = 1, source: str = "openai-costs", **told: str) -> Statement:
    start = START + int(day * DAY)
    span = {"start_ns": start, "end_ns": start + int(days * DAY)}
    return Statement(source=source, provider="openai", kind=Kind.COST, usd=Decimal(usd), **span, **told)


PARTS = [cost("1.25", day, item="gpt-4o, input") for day in (0, 1)] + [cost("0.75", day, item="o3") for day in (0, 1)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([cost("2")], "in two groupings"),
        ([cost("2", 0, project="a"), cost("2.5", 1, project="a"), cost("1.5", 1)], ""),
        ([cost("1.5", 0, project="a"), cost("0.5", 0, project="b")], "in two groupings"),
        ([cost("2", day, item="all of it", project="a") for day in (0, 1)], "in two groupings"),
        ([cost("2", 0, item="fee", project="a")], ""),
        ([cost("9", 0.5, item="o3")], "2026-10-01 12:00 to 2026-10-02 12:00 UTC in buckets that overlap"),
        ([cost("9", 0, 30, item="o3")], "overlap"),
        ([cost("2", 1, source="focus", item="tokens")], "focus and openai-costs both state 2026-10-02"),
        ([cost("2", -3, 3.01, source="focus", item="tokens")], "both state"),
        ([cost("2", 2, source="focus", item="tokens"), cost("2", -1, source="focus", item="tokens")], ""),
        ([cost("-2", 0, item="credit"), cost("2", 2)], ""),
    ],
)
def test_a_cost_that_is_stated_twice_is_told(more, says):
    assert says in twice([*PARTS, *more]) if says else twice([*PARTS, *more]) == ""
    assert twice([*more, *PARTS]) == twice([*PARTS, *more])


def test_rows_of_focus_may_have_periods_of_their_own():
    rows = [cost("1", 0, 1 / 24, source="focus", item="tokens"), cost("20", 0, 30, source="focus", item="fee")]
    assert twice(rows) == ""
    assert twice([]) == ""
