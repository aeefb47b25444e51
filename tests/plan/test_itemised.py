"""Decisions by the cost model: every lease side by side, the saw-tooth to the crossing, what does not fit."""

from bisect import bisect_left
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from baseload.cost.curves import Hybrid
from baseload.cost.evaluate import evaluate, likely_fractions, ranges
from baseload.cost.parameters import Assumptions
from baseload.cost.schedule import schedule
from baseload.cost.ways import Way
from baseload.documents import load_parameters
from baseload.errors import BadInput
from baseload.plan.itemised import Weighed, api_way, decide_on_ways, load_of
from baseload.plan.options import TokenPrice, Volume
from baseload.ranges import Range

FULL = Assumptions(load_parameters())
BARE = FULL.bare()


def exact(**figures: object):
    return {name: Range.exact(Decimal(str(figure))) for name, figure in figures.items()}


def price(read, written):
    return TokenPrice(f"API at {read}/{written}", Range.exact(Decimal(read)), Range.exact(Decimal(written)), "typed")


def machine(kind="rented", month=1200, capacity="1.6e9", **more: object):
    figures = exact(
        machine_usd_per_month=month, gpu_usd_per_hour=0, card_usd=20_000, node_factor=1,
        replica_input_tokens_per_month=capacity, replica_output_tokens_per_month=capacity,
    )  # fmt: skip
    return Way(f"{kind} GPU", kind, figures | exact(**more))


def volume(read, written):
    return Volume(Decimal(read), Decimal(written))


def test_25_crossings_up_to_20_billion_and_one_threshold_for_the_hybrid():
    document = decide_on_ways(volume("0", "1e9"), [price("0", "0.80")], [machine()], BARE)
    assert sum(crossing.tokens_per_month <= 20 * 10**9 for crossing in document.crossings) == 25
    assert document.critical_fill == Decimal("0.9375")
    assert document.hybrid_threshold.fill == Decimal("0.9375")
    assert document.hybrid_threshold.tokens_per_month == 1_500_000_000
    flips = {flip.axis: flip for flip in document.verdict.flips}
    assert flips["gpu_price"].value == 800
    assert (flips["api_price"].value, flips["api_price"].now) == (Decimal("1.2"), Decimal("0.8"))
    assert flips["hours_on"].value == 112
    assert "engineer_share" not in flips  # the API is cheaper with none at all


def test_every_lease_is_weighed_and_the_bill_is_the_sum_of_its_lines():
    kinds = ("rented", "reserved", "spot", "owned", "brokered")
    document = decide_on_ways(volume("3e9", "1e9"), [price("3", "15")], [machine(kind) for kind in kinds], FULL)
    assert [option.kind for option in document.options] == ["api", *kinds, "hybrid"]
    for option in document.options:
        assert option.usd_per_month.likely == sum((line.usd_per_month.likely for line in option.lines), Decimal(0))
        idle = sum((line.usd_per_month.likely for line in option.lines if line.basis == "idle"), Decimal(0))
        assert option.usage_usd_per_month.likely == option.usd_per_month.likely - idle
        once = sum((line.usd_per_month.likely for line in option.lines if line.basis == "once"), Decimal(0))
        assert option.running_usd_per_month.likely == option.usd_per_month.likely - once
        assert option.usd_per_month.likely > 0
    assert document.verdict.hidden_stack.included
    names = {row.name for row in document.assumptions}
    assert {"engineer_fte", "reserved_discount", "spot_price_ratio", "pue", "target_fill"} <= names
    assert all(row.source and row.known for row in document.assumptions)


def test_what_does_not_fit_has_no_price_and_says_why():
    unfit = replace(machine(), unfit="llama does not fit 1 x h100")
    document = decide_on_ways(volume("3e9", "1e9"), [price("3", "15")], [unfit], FULL)
    assert [option.kind for option in document.options] == ["api"]
    assert [(each.name, each.why) for each in document.cannot] == [("rented GPU", "llama does not fit 1 x h100")]
    assert (document.critical_fill, document.crossings, document.hybrid_threshold) == (None, (), None)


def test_a_machine_that_is_off_at_night_pays_from_the_fill_of_its_hours():
    office = replace(machine(), on=schedule("mon-fri:8-18"))
    known = BARE.over(exact(start_minutes=0))
    document = decide_on_ways(volume("0", "1e8"), [price("0", "0.80")], [office], known)
    rented = next(option for option in document.options if option.kind == "rented")
    assert float(rented.usd_per_month.likely) == pytest.approx(1200 * 50 / 168)
    # Cost and room shrink alike.
    assert document.critical_fill == Decimal("0.9375")
    assert float(rented.capacity_tokens_per_month) == pytest.approx(1.6e9 * 50 / 168)


def test_a_minimum_at_the_api_is_not_weighed_beside_machines():
    known = BARE.over(exact(minimum_usd_per_month=30))
    document = decide_on_ways(volume("3e9", "1e9"), [price("3", "15")], [machine()], known)
    assert [option.kind for option in document.options] == ["api", "rented"]
    assert "minimum" in document.cannot[0].why


@pytest.mark.parametrize(
    ("prices", "ways", "says"),
    [
        ([], [machine()], "no API price"),
        ([price("1", "2"), price("1", "2")], [machine()], "twice"),
        ([price("1", "2")], [machine(), machine()], "twice"),
        ([price("1", "2")], [machine(capacity="1000")], "replicas"),
    ],
)
def test_what_makes_no_sense_is_refused(prices, ways, says):
    with pytest.raises(BadInput, match=says):
        decide_on_ways(volume("3e9", "1e9"), prices, ways, BARE)


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    st.integers(1, 40), st.integers(100, 3_000), st.sampled_from(["rented", "spot", "owned"]), st.integers(1, 9),
    st.sampled_from(["24/7", "mon-fri:8-18"]), st.booleans(), st.fractions(0, 1, max_denominator=50),
)  # fmt: skip
def test_curves_are_the_bills_and_a_hybrid_is_never_dearer(tokens, month, kind, dear, on, full, share):
    way = replace(machine(kind, month), on=schedule(on))
    prices = [price("0.5", str(dear))]
    asked = volume("1e8", str(tokens * 10**8))
    known = (FULL if full else BARE).over(exact(compliance_usd_per_month=50))
    document = decide_on_ways(asked, prices, [way], known)
    costs = {option.kind: option.usd_per_month.likely for option in document.options}
    costs.setdefault("hybrid", costs["api"])
    assert costs["hybrid"] <= min(costs["api"], costs[kind]) + Decimal("1e-6")
    for option, curve in zip(document.options, document.curves, strict=len(document.options) == 3):
        places = [at for at, _ in curve.points]
        # The drawn curve passes through the bill at the asked volume.
        place = bisect_left(places, asked.tokens)
        (left, low), (right, high) = curve.points[max(place - 1, 0)], curve.points[place]
        part = (asked.tokens - left) / (right - left) if right != left else Decimal(0)
        assert float(low + part * (high - low)) == pytest.approx(float(option.usd_per_month.likely), abs=1e-4)
    # And at any other volume the hybrid's curve is what its bill would be there.
    api = api_way(prices[0])
    mixed = Way("mix", "hybrid", base=way, overflow=api)
    load = load_of(asked)
    weighed = Weighed(load, (), likely_fractions(ranges([mixed], load, known)))
    there = asked.tokens * Decimal(1 + share.numerator) / Decimal(share.denominator)
    scaled = load_of(Volume(asked.input_tokens * there / asked.tokens, asked.output_tokens * there / asked.tokens))
    (priced,) = evaluate([mixed], scaled, known)
    assert isinstance(weighed.mixed(mixed), Hybrid)
    drawn = weighed.curve(mixed).at(Fraction(there))
    assert float(drawn) == pytest.approx(float(priced.usd_per_month.likely), abs=1e-6)
