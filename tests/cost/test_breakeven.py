"""Every crossing, against brute force and against the cases that are known."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.cost.breakeven import asymptote, critical_fill, crossings, horizon, windows
from baseload.cost.curves import Step, Tariff, Tier

from .test_curves import hybrids, tariffs

HIGH = Fraction(24)
NOTHING = Fraction(0)
# Volumes on many events and between them.
SAMPLE = sorted({Fraction(at, 7) for at in range(1, 168)} | {Fraction(at, 4) for at in range(1, 96)})


def cheaper(first, second, volume):
    difference = first.at(volume) - second.at(volume)
    return first.name if difference < 0 else second.name if difference > 0 else None


@settings(max_examples=60, deadline=None)
@given(st.one_of(tariffs("a"), hybrids("a")), st.one_of(tariffs("b"), hybrids("b")))
def test_between_two_crossings_nothing_changes_and_at_each_one_something_does(first, second):
    found = crossings(first, second, NOTHING, HIGH)
    for before, after in pairwise(found):
        assert before.at <= after.at
        assert before.cheaper_after == after.cheaper_before
    edges = [NOTHING, *(crossing.at for crossing in found), HIGH]
    for place, (start, end) in enumerate(pairwise(edges)):
        inside = {cheaper(first, second, volume) for volume in SAMPLE if start < volume < end} - {None}
        named = {found[place - 1].cheaper_after} if place else {found[0].cheaper_before} if found else inside
        assert len(inside) <= 1
        assert inside <= named
    for crossing in found:
        gap = first.at(crossing.at) - second.at(crossing.at)
        jumped = first.after(crossing.at) - second.after(crossing.at) != gap
        assert jumped if crossing.kind == "jump" else gap == 0


@settings(max_examples=40, deadline=None)
@given(tariffs("a"), hybrids("b"), tariffs("c"))
def test_windows_name_the_cheapest_everywhere(first, second, third):
    curves = (first, second, third)
    found = windows(curves, NOTHING, HIGH)
    assert (found[0].start, found[-1].end) == (NOTHING, HIGH)
    assert all(before.end == after.start for before, after in pairwise(found))
    assert all(before.cheapest != after.cheapest for before, after in pairwise(found))
    for window in found:
        for volume in (*SAMPLE[::3], window.end):
            if window.start < volume <= window.end:
                best = next(curve for curve in curves if curve.name == window.cheapest)
                assert best.at(volume) == min(curve.at(volume) for curve in curves)


@settings(max_examples=40, deadline=None)
@given(tariffs("a"), st.one_of(tariffs("b"), hybrids("b")), st.fractions(0, 50, max_denominator=6))
def test_beyond_the_horizon_the_one_with_the_smaller_slope_stays_cheaper(first, second, beyond):
    end = horizon(first, second)
    if end is None:
        assert first.slope == second.slope
        return
    winner, loser = (first, second) if first.slope < second.slope else (second, first)
    assert asymptote((first, second)) == winner.name
    volume = end + beyond
    assert winner.at(volume) <= loser.at(volume)


# API 1.55 USD per million tokens; a GPU serves 95 M tokens a day at the peak, which is 2.2 times the mean; a GPU-hour
# costs 2.50 USD and running them 1,500 USD a month. The axis is million tokens a day.
GPU = Tariff("gpu", fixed=Fraction(1500), steps=(Step(Fraction(95) / Fraction("2.2"), Fraction("2.5") * 730),))


@pytest.mark.parametrize(
    ("days", "count", "first", "last"),
    # The published count takes 30 days of tokens against 730 hours of rent. In one month of 365 / 12 days the API costs
    # 1.4 % more, the saw-tooth ends earlier, and four crossings are gone.
    [(Fraction(30), 21, "385.48", "777.96"), (Fraction(365, 12), 17, "341.49", "651.17")],
)
def test_the_known_saw_tooth(days, count, first, last):
    api = Tariff("api", per_unit=Fraction("1.55") * days)
    found = crossings(api, GPU, NOTHING, horizon(api, GPU))
    assert len(found) == count
    assert [round(float(found[at].at), 2) for at in (0, -1)] == [float(first), float(last)]
    assert [crossing.kind for crossing in found] == ["point", "jump"] * (count // 2) + ["point"]
    assert found[-1].cheaper_after == "gpu"
    assert crossings(api, GPU, horizon(api, GPU), Fraction(5_000)) == ()


@pytest.mark.parametrize(
    ("blended", "overhead", "millions"),
    # Article 4's month: 1,200 USD against an API price of the 3:1 mix, without and with 1,500 USD for people.
    [(30, 0, 40), (6, 0, 200), (2, 0, 600), (6, 1500, 450)],
)
def test_article_4_breaks_even_where_its_own_figures_say(blended, overhead, millions):
    api = Tariff("api", per_unit=Fraction(blended))
    gpu = Tariff("gpu", fixed=Fraction(1200 + overhead))
    (crossing,) = crossings(api, gpu, NOTHING, horizon(api, gpu) + 1)
    assert (crossing.at, crossing.kind, crossing.cost) == (millions, "point", 1200 + overhead)


def test_curves_that_touch_do_not_cross():
    flat = Tariff("flat", fixed=Fraction(10))
    bent = Tariff("bent", fixed=Fraction(5), per_unit=Fraction(1), tiers=(Tier(Fraction(5), Fraction(0)),))
    assert crossings(flat, bent, NOTHING, Fraction(100)) == ()


def test_curves_that_run_together_cross_where_they_part():
    base = Tariff("base", per_unit=Fraction(1))
    # Cheaper at first, the same from 10 on, dearer from 30 on.
    other = Tariff(
        "other",
        per_unit=Fraction(0),
        tiers=(Tier(Fraction(5), Fraction(2)), Tier(Fraction(10), Fraction(1)), Tier(Fraction(30), Fraction(3))),
    )
    (crossing,) = crossings(base, other, NOTHING, Fraction(100))
    assert (crossing.at, crossing.cheaper_before, crossing.cheaper_after) == (30, "other", "base")


def test_parallel_curves_have_no_horizon():
    assert horizon(Tariff("a", per_unit=Fraction(2)), Tariff("b", steps=(Step(Fraction(5), Fraction(10)),))) is None


@pytest.mark.parametrize(
    ("hourly", "capacity", "price", "fill"),
    [
        # Article 4: 1,200 USD a month, 1.6 B tokens a month, 6 USD per million of the mix.
        (Fraction(1200, 730), Fraction(1_600_000_000, 730), Fraction(6, 10**6), Fraction(1, 8)),
        # Article 3: 16 USD an hour for 620 output tokens a second never pays against 3.48 USD per million output.
        (
            Fraction(16),
            Fraction(620 * 3600),
            Fraction("3.48") / 10**6,
            Fraction(16) / (Fraction("3.48") * 620 * 36 / 10**4),
        ),
        (Fraction(1), Fraction(1), Fraction(0), None),
    ],
)
def test_critical_fill(hourly, capacity, price, fill):
    assert critical_fill(hourly, capacity, price) == fill
