"""Flip points over every axis, against walking the axis in small steps."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.cost.axes import AXES, axis_curve, flip_points, moved, standing, tariff
from baseload.cost.evaluate import cost_at, likely_fractions, ranges
from baseload.cost.parameters import Assumptions
from baseload.cost.schedule import schedule
from baseload.cost.ways import Load, Way
from baseload.documents import load_parameters
from baseload.errors import BadInput
from baseload.ranges import Range

FULL = Assumptions(load_parameters())
BARE = FULL.bare()
OFFICE = schedule("mon-fri:8-18")


def exact(**figures: object):
    return {name: Range.exact(Decimal(str(figure))) for name, figure in figures.items()}


def bought(read=0, written="0.8", **more: object):
    return Way("api", "api", exact(api_input_usd_per_mtok=read, api_output_usd_per_mtok=written, **more))


def machine(kind="rented", capacity="1.6e9", **more: object):
    room = exact(replica_input_tokens_per_month=capacity, replica_output_tokens_per_month=capacity)
    return Way("own", kind, room | exact(**more))


def world(api, own, read="0", written="1e9", known=BARE):
    load = Load(Range.exact(Decimal(read)), Range.exact(Decimal(written)))
    return load, likely_fractions(ranges([api, own], load, known))


def test_the_known_saw_tooth_has_25_crossings_up_to_20_billion():
    api, own = bought(), machine(gpu_usd_per_hour=1)
    # 730 USD for a machine that serves 730 / 1200 of 1.6 B: the same 0.75 USD per million, without rounding.
    own = replace(own, figures={**machine(capacity=Decimal("1.6e9") * 73 / 120).figures, **exact(gpu_usd_per_hour=1)})
    load, figures = world(api, own)
    scaled = flip_points(api, own, load, figures, "volume", Fraction(0), Fraction(20 * 10**9) * 73 / 120)
    assert len(scaled.found) == 25
    assert scaled.complete
    assert float(scaled.found[0].at * 120 / 73) == pytest.approx(1.5e9)


@pytest.mark.parametrize(
    ("axis", "now", "value"),
    [
        # 1 B at 0.80 is 800 USD against 2 x 730 = 1,460.
        ("api_price", "0.8", "1.46"),
        ("gpu_price", "2", Fraction(800, 730)),
        ("hours_on", "168", Fraction(800 * 168, 1460)),
    ],
)
def test_a_flip_by_hand(axis, now, value):
    api, own = bought(), machine(gpu_usd_per_hour=2, capacity="4e9")
    load, figures = world(api, own)
    flips = flip_points(api, own, load, figures, axis)
    assert flips.now == Fraction(now)
    assert [crossing.at for crossing in flips.found] == [Fraction(value)]


def test_the_engineer_share_at_which_the_machines_stop_paying():
    api, own = bought(0, 4), machine(gpu_usd_per_hour=2)
    load, figures = world(api, own, known=BARE.over(exact(engineer_usd_per_year=120_000)))
    flips = flip_points(api, own, load, figures, "engineer_share")
    # 4,000 USD bought, 1,460 rented: 2,540 USD a month are left for engineers at 10,000.
    assert [crossing.at for crossing in flips.found] == [Fraction("0.254")]
    assert flips.found[0].cheaper_after == "api"


def test_a_fill_that_needs_one_machine_fewer():
    api, own = bought(0, 2), machine(gpu_usd_per_hour=1)
    load, figures = world(api, own, written="4e9")
    # 8,000 USD pay ten machines at 730, so a fill below 2.5 / 10 has the API win.
    flips = flip_points(api, own, load, figures, "fill")
    assert [(crossing.at, crossing.kind) for crossing in flips.found] == [(Fraction(1, 4), "jump")]


money = st.decimals("0.1", 8, places=1)


@st.composite
def worlds(draw):
    api = bought(draw(money), draw(money), minimum_usd_per_month=draw(st.sampled_from([0, 700])))
    kind = draw(st.sampled_from(["rented", "spot", "owned", "reserved"]))
    own = machine(kind, draw(st.integers(4, 30)) * 10**8, gpu_usd_per_hour=draw(money), card_usd=20_000)
    own = replace(own, on=draw(st.sampled_from([own.on, OFFICE])))
    known = (FULL if draw(st.booleans()) else BARE).over(exact(tax_share=draw(st.sampled_from([0, "0.2"]))))
    load, figures = world(api, own, draw(st.integers(1, 30)) * 10**8, draw(st.integers(1, 9)) * 10**8, known)
    return api, own, load, figures


@settings(max_examples=20, deadline=None)
@given(worlds(), st.sampled_from(sorted(AXES)))
def test_the_curve_is_the_cost_and_every_change_of_order_is_found(case, axis):
    api, own, load, figures = case
    low, high = {"fill": (Fraction(1, 5), Fraction(1)), "hours_on": (Fraction(9), Fraction(168))}.get(
        axis, (Fraction(0), 4 * standing(api, own, figures, axis) or Fraction(3))
    )
    flips = flip_points(api, own, load, figures, axis, low, high)
    curves = [axis_curve(way, load, figures, axis, flips.low, flips.high) for way in (api, own)]
    # Brute force: an odd number of steps, so that few of them fall on an event.
    places = [flips.low + (flips.high - flips.low) * step / 61 for step in range(1, 61)]
    order = []
    for at in places:
        costs = [cost_at(way, load, moved(way, figures, axis, at)) for way in (api, own)]
        if any(at in curve.breaks for curve in curves):
            continue
        assert costs == [curve.at(at) for curve in curves]
        order.append((at, costs[0] <= costs[1], costs[0] == costs[1]))
    for (left, before, tied), (right, after, tied_too) in pairwise(order):
        between = sum(left < crossing.at <= right for crossing in flips.found)
        if not tied and not tied_too:
            assert between % 2 == (before != after)


@settings(max_examples=25, deadline=None)
@given(worlds(), st.fractions(0, 12, max_denominator=40))
def test_a_tariff_is_the_cost_at_every_volume(case, times):
    api, own, load, figures = case
    volume = times * standing(api, own, figures, "volume")
    for way in (api, own):
        if volume:
            exactly = cost_at(way, load, moved(way, figures, "volume", volume))
            assert tariff(way, load, figures).at(volume) == exactly


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda api, _own, *rest: flip_points(api, api, *rest, "gpu_price"), "neither"),
        (lambda _api, own, *rest: flip_points(bought(0, 0), own, *rest, "api_price"), "costs nothing"),
        (lambda api, own, *rest: flip_points(api, own, *rest, "fill", Fraction(1), Fraction(1, 2)), "finds nothing"),
        (
            lambda api, own, *rest: flip_points(api, own, *rest, "volume", Fraction(10**13), Fraction(10**14)),
            "more than 400",
        ),
        (
            lambda api, own, *rest: axis_curve(
                Way("mix", "hybrid", base=own, overflow=api), *rest, "volume", Fraction(0), Fraction(1)
            ),
            "hybrid",
        ),
    ],
)
def test_what_has_no_such_axis_is_refused(ask, says):
    api, own = bought(), machine(gpu_usd_per_hour=2)
    load, figures = world(bought(0, 0) if says == "costs nothing" else api, own)
    with pytest.raises(BadInput, match=says):
        ask(api, own, load, figures)
