"""Charts and tables say what the decision document says."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from datetime import date
from decimal import Decimal

import pytest

from baseload.console import outlook
from baseload.plan.advice import decide_on_prices
from baseload.plan.answer import answer
from baseload.plan.options import Machines, TokenPrice, Volume
from baseload.plan.scenario import Scenario, ScenarioMachine, ScenarioPrice
from baseload.ranges import Range

MTOK = Decimal(1_000_000)


def _document(volume="20e9", prices=("2",), capacity="2.85e9", usd="3324", peak="1.5"):
    """An API against machines in steps: the saw-tooth of many crossings."""
    tokens = Decimal(volume)
    asked = [
        TokenPrice(f"api-{price}", Range.exact(Decimal(price)), Range.exact(Decimal(price)), "typed")
        for price in prices
    ]
    machines = Machines("2 x H100", Range.exact(Decimal(usd)), Decimal(capacity), "typed", peak=Decimal(peak))
    return decide_on_prices(Volume(tokens / 2, tokens / 2), asked, machines)


def _at(points, volume):
    """The curve of a document at a volume: both values where it jumps."""
    volume = min(volume, points[-1][0])
    exact = [cost for at, cost in points if at == volume]
    if exact:
        return exact
    place = bisect_left([at for at, _ in points], volume)
    (start, low), (end, high) = points[place - 1], points[place]
    return [low + (high - low) * (volume - start) / (end - start)]


@pytest.mark.parametrize("volume", ["1e6", "1e9", "20e9", "1e12"])
def test_every_drawn_point_lies_on_its_curve(volume):
    document = _document(volume)
    curves = {curve.name: curve.points for curve in document.curves}
    lines = [row for row in outlook.breakeven(document).rows if row[0] == "line"]
    assert {row[1] for row in lines} == set(curves)
    for _, name, _, tokens, cost, _, _ in lines:
        near = [value for at in (tokens - 1, tokens, tokens + 1) for value in _at(curves[name], Decimal(at))]
        assert min(near) - Decimal("0.02") <= cost <= max(near) + Decimal("0.02")


def test_lines_are_dense_enough_for_logarithmic_axes_and_in_order():
    rows = [row for row in outlook.breakeven(_document()).rows if row[0] == "line"]
    for name in {row[1] for row in rows}:
        line = [row for row in rows if row[1] == name]
        volumes = [row[3] for row in line]
        assert volumes == sorted(volumes)
        assert [row[5] for row in line] == list(range(len(line)))
        assert all(after / before < 1.2 for before, after in itertools.pairwise(volumes))


def test_all_crossings_are_points_and_you_are_here():
    document = _document()
    chart = outlook.breakeven(document)
    assert len(document.crossings) > 5
    points = [(row[3], row[4]) for row in chart.rows if row[0] == "crossing"]
    assert points == [(each.tokens_per_month, each.usd_per_month) for each in document.crossings]
    assert [row[3] for row in chart.rows if row[0] == "here"] == [Decimal("20e9")]
    table = outlook.crossings(document)
    assert len(table.rows) == len(document.crossings)
    assert (len(table.shown), table.beyond) == (8, len(document.crossings) - 8)


def test_a_takeover_lies_on_the_lower_envelope():
    document = _document(peak="1")
    taken = [row for row in outlook.breakeven(document).rows if row[0] == "takeover"]
    assert taken
    crossed = {each.tokens_per_month for each in document.crossings}
    turns = [each for each in document.windows[1:] if each.from_tokens_per_month not in crossed]
    assert [row[3] for row in taken] == [each.from_tokens_per_month for each in turns]
    for row, window in zip(taken, turns, strict=True):
        costs = [_at(curve.points, row[3])[-1] for curve in document.curves]
        assert abs(row[4] - min(costs)) < Decimal("0.02")
        assert window.cheapest in row[6]


def test_the_caption_is_written_from_the_same_numbers():
    document = _document()
    chart = outlook.breakeven(document)
    assert chart.caption.startswith("You are at 20 B tokens a month; the answer changes ")
    assert f"{len(document.crossings)} times" in chart.caption
    assert chart.caption in chart.description
    alone = outlook.breakeven(_document(prices=("0.0001",)))
    assert "api-0.0001 is the cheapest at every volume shown" in alone.caption


def test_the_label_keeps_to_the_side_with_room():
    sides = {volume: outlook.breakeven(_document(volume)).rows[-1][2] for volume in ("1e6", "1e12")}
    assert sides == {"1e6": "left", "1e12": "right"}


def test_no_more_lines_than_colours_and_the_cheapest_among_them():
    document = _document(prices=[str(Decimal(place) / 2) for place in range(1, 15)])
    lines = {row[1] for row in outlook.breakeven(document).rows if row[0] == "line"}
    assert len(lines) == 7
    assert document.verdict.cheapest in lines


def test_options_mark_the_cheapest_and_the_verdict_is_the_documents():
    machine = ScenarioMachine(capacity="2.85B", usd_per_month="3324", peak="1.5")
    prices = (ScenarioPrice(price="2/2"), ScenarioPrice(price="3/3"))
    scenario = Scenario(name="x", input="10B", output="10B", prices=prices, machine=machine)
    document = answer(scenario, (), date(2026, 11, 21))
    table = outlook.options(document)
    assert table.rows[table.marked][0] == document.verdict.cheapest
    likely = [row[3] for row in table.rows]
    assert likely[table.marked] == min(likely)
    for row, chance in zip(table.rows, document.chances.options, strict=True):
        assert [float(cell) for cell in row[4:]] == [
            chance.usd_per_month.p5, chance.usd_per_month.p50, chance.usd_per_month.p95, chance.cheapest
        ]  # fmt: skip
    said = outlook.verdict(document)
    assert said.headline == document.verdict.sentence
    assert document.chances.sentence[1:] in said.detail


def _compared(name, nanousd, *, provider="acme", metered=False):
    return outlook.Compared(name, provider, "a book", None, nanousd, metered=metered)


def test_models_are_dearest_first_unknown_last_and_set_against_what_was_metered():
    rows = outlook.ranked(
        [
            _compared("cheap", 5),
            _compared("unknown", None),
            _compared("as routed", 10, metered=True),
            _compared("dear", 25),
            _compared("qwen", 10, provider="own"),
        ]
    )
    table = outlook.models(rows, 3)
    assert [row[0] for row in table.rows] == ["dear", "as routed", "qwen", "cheap", "unknown"]
    assert [row[5] for row in table.rows] == [Decimal("1.5"), Decimal(0), Decimal(0), Decimal("-0.5"), None]
    assert table.marked == 1
    chart = outlook.bars(rows, 3)
    assert [row[2] for row in chart.rows] == ["api", "metered", "own", "api"]
    assert chart.caption.startswith(
        "3 requests on 3 offers: $0.000000025 on dear at most, $0.0000000050 on cheap at least"
    )


def test_with_a_leased_pool_apis_are_set_against_what_was_paid_and_the_pools_own_share_against_nothing():
    """Paid 20: dear is a quarter above it, cheap three quarters below."""
    rows = outlook.ranked(
        [
            _compared("cheap", 5),
            _compared("as routed", 20, provider="paid", metered=True),
            _compared("dear", 25),
            _compared("qwen", 1, provider="own"),
        ]
    )
    table = outlook.models(rows, 3, leased=True)
    assert [(row[0], row[5]) for row in table.rows] == [
        ("dear", Decimal("0.25")),
        ("as routed", Decimal(0)),
        ("cheap", Decimal("-0.75")),
        ("qwen", None),
    ]
    assert (table.columns[5].key, table.columns[5].title) == ("change_fraction", "vs paid")
    chart = outlook.bars(rows, 3, leased=True)
    assert chart.caption == (
        "3 requests on 2 offers: $0.000000025 on dear at most, $0.0000000050 on cheap at least; "
        "as routed $0.000000020 paid, the own pool's idle hours included."
    )
    assert [row[4] for row in chart.rows][1::2] == [
        "as routed: 0.00000002 USD (a book, paid, idle hours included)",
        "qwen: 0.000000001 USD (a book, share of busy time)",
    ]


def test_bars_of_one_model_by_two_providers_stay_two_bars():
    rows = [_compared("qwen", 2, provider="own"), _compared("qwen", 1, provider="groq")]
    assert [row[0] for row in outlook.bars(outlook.ranked(rows), 1).rows] == ["own/qwen", "groq/qwen"]


def test_nothing_metered_has_no_change():
    rows = [_compared("as routed", 0, metered=True), _compared("dear", 25)]
    assert {row[5] for row in outlook.models(rows, 0).rows} == {None}
