"""Decisions on typed prices: the articles' worked example to the dollar, and what would turn it."""

from bisect import bisect_left
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.cost.hours import hidden_stack
from baseload.errors import BadInput
from baseload.plan.advice import decide_on_prices
from baseload.plan.document import plain
from baseload.plan.options import NOTHING, Machines, TokenPrice, Volume, hybrid_option, operations
from baseload.plan.options import api_option as bought
from baseload.ranges import Range

VOLUME = Volume(Decimal(300_000_000), Decimal(100_000_000))


def api(read, written):
    return TokenPrice(f"API at {read}/{written}", Range.exact(read), Range.exact(written), "typed")


def machine(month=1200, capacity=1_600_000_000, *, peak=Decimal(1), operations=NOTHING):
    rent = month if isinstance(month, Range) else Range.exact(month)
    return Machines("rented GPU", rent, Decimal(capacity), "typed", peak, operations)


def by_kind(document):
    return {option.kind: option for option in document.options}


def flip(document, axis):
    return next(flip for flip in document.verdict.flips if flip.axis == axis)


@pytest.mark.parametrize(
    ("read", "written", "usd", "winner"), [(3, 15, 2400, "rented"), (15, 75, 12000, "rented"), (1, 5, 800, "api")]
)
def test_article_4_to_the_dollar(read, written, usd, winner):
    document = decide_on_prices(VOLUME, [api(read, written)], machine())
    options = by_kind(document)
    assert options["api"].usd_per_month.likely == options["api"].usd_per_month.high == usd
    assert (options["rented"].usd_per_month.low, options["rented"].usd_per_month.likely) == (1200, 1200)
    assert document.verdict.kind == winner
    assert document.schema == "baseload.decide/1"
    assert options["rented"].fill == Decimal("0.25")


def test_what_would_turn_the_answer():
    document = decide_on_prices(VOLUME, [api(3, 15)], machine())
    assert document.critical_fill == Decimal("0.125")
    assert flip(document, "volume").value == 200_000_000
    assert (flip(document, "api_price").value, flip(document, "api_price").now) == (3, 6)
    assert flip(document, "gpu_price").value == 2400
    assert flip(document, "hidden_cost").value == 1200
    (crossing,) = document.crossings
    assert (crossing.tokens_per_month, crossing.usd_per_month, crossing.kind) == (200_000_000, 1200, "point")
    assert [window.cheapest for window in document.windows] == ["API at 3/15", "rented GPU"]


@pytest.mark.parametrize(
    ("read", "written", "month", "flips", "words"),
    [
        (3, 15, 1200, "possibly", "the answer turns at 1,200 USD"),
        (3, 15, 1900, "yes", "with them the API is cheaper"),
        (15, 75, 1200, "no", "even with them the machines are cheaper: 1,900 to 5,100 USD against 12,000"),
        (1, 5, 1200, "no", "only widen the gap"),
    ],
)
def test_the_hidden_stack_is_named_and_held_against_the_answer(read, written, month, flips, words):
    hidden = decide_on_prices(VOLUME, [api(read, written)], machine(month)).verdict.hidden_stack
    assert (hidden.included, hidden.flips) == (False, flips)
    assert (hidden.usd_per_month.low, hidden.usd_per_month.high) == (700, 3900)
    assert words in hidden.sentence


def test_the_hidden_stack_is_added_to_the_mix_when_the_mix_is_the_answer():
    # 1.2 B tokens at 6 USD/M; one machine of 1.1 B and 0.1 B bought are 1,200 + 600 USD, two machines 2,400.
    volume = Volume(Decimal(900_000_000), Decimal(300_000_000))
    rented = replace(machine(), capacity=Decimal(1_100_000_000))
    answer = decide_on_prices(volume, [api(3, 15)], rented).verdict
    assert answer.kind == "hybrid"
    assert "2,500 to 5,700 USD against 7,200" in answer.hidden_stack.sentence


def test_with_the_hidden_stack_article_4_turns():
    document = decide_on_prices(VOLUME, [api(3, 15)], machine(operations=hidden_stack()))
    own = by_kind(document)["rented"].usd_per_month
    assert (own.low, own.likely, own.high) == (1900, 3500, 5100)
    assert document.verdict.kind == "api"
    assert document.verdict.hidden_stack.included
    # Article 0's rule of thumb: add 1,500 USD to the GPU quote.
    rule = decide_on_prices(VOLUME, [api(3, 15)], machine(operations=operations(Range.exact(1500))))
    assert by_kind(rule)["rented"].usd_per_month.likely == 2700
    assert rule.verdict.kind == "api"


def test_beyond_a_machine_there_are_more_machines():
    volume = Volume(Decimal(3_000_000_000), Decimal(1_000_000_000))
    own = by_kind(decide_on_prices(volume, [api(3, 15)], machine()))["rented"]
    assert (own.machines, own.usd_per_month.likely, own.capacity_tokens_per_month) == (3, 3600, 4_800_000_000)
    at_the_peak = by_kind(decide_on_prices(volume, [api(3, 15)], machine(peak=Decimal(2))))
    assert at_the_peak["rented"].machines == 5
    # How much a hybrid would buy depends on the shape of the load, which a peak alone does not give.
    assert "hybrid" not in at_the_peak


def test_a_hybrid_buys_what_would_not_fill_a_machine():
    volume = Volume(Decimal(1_275_000_000), Decimal(425_000_000))
    hybrid = by_kind(decide_on_prices(volume, [api(3, 15)], machine()))["hybrid"]
    # 100 M over one machine, at 6 USD per million of the mix: 600 < 1,200.
    assert (hybrid.machines, hybrid.usd_per_month.likely, hybrid.fill) == (1, 1800, 1)
    lines = {line.component: line.usd_per_month.likely for line in hybrid.lines}
    assert lines == {"GPU lease": 1200, "input tokens": 225, "output tokens": 375}
    (why,) = decide_on_prices(volume, [api(3, 15)], machine()).verdict.hybrid_silent
    assert "--lease rented" in why


@settings(max_examples=40, deadline=None)
@given(st.integers(100, 5_000), st.integers(1, 9), st.integers(1, 20), st.integers(0, 3_000))
def test_a_hybrid_is_never_dearer_than_the_best_of_its_parts(month, tokens, read, beside):
    machines = machine(month, operations=operations(Range.exact(beside)) if beside else NOTHING)
    volume = Volume(Decimal(tokens * 4 * 10**8), Decimal(0))
    document = decide_on_prices(volume, [api(read, read)], machines)
    costs = {kind: option.usd_per_month.likely for kind, option in by_kind(document).items()}
    if "hybrid" not in costs:
        assert costs["api"] <= costs["rented"]
        assert "would own nothing" in document.cannot[0].why
        costs["hybrid"] = costs["api"]
    assert costs["hybrid"] <= min(costs["api"], costs["rented"])
    drawn = hybrid_option(volume, machines, bought(volume, api(read, read))).curve.at(Fraction(volume.tokens))
    assert plain(drawn) == plain(costs["hybrid"])


def test_the_known_saw_tooth_in_the_document():
    # 95 M tokens a GPU-day at the peak and 30 days a month, against 730 hours of rent: article-like mixed months.
    rent = Range.exact(Decimal("2.5") * 730)
    machines = machine(rent, 2_850_000_000, peak=Decimal("2.2"), operations=operations(Range.exact(1500)))
    price = TokenPrice("api", Range.exact(Decimal("1.55")), Range.exact(Decimal("1.55")), "typed")
    document = decide_on_prices(Volume(Decimal(10**10), Decimal(0)), [price], machines)
    assert len(document.crossings) == 21
    assert document.crossings_complete
    ends = [document.crossings[at].tokens_per_month / 30 / 10**6 for at in (0, -1)]
    assert [round(end, 2) for end in ends] == [Decimal("385.48"), Decimal("777.96")]
    assert "21 times" in flip(document, "volume").sentence


def test_a_saw_tooth_without_end_is_cut_and_the_document_says_so():
    # Rent per token is the API price: parallel for ever, and they meet at every full machine.
    document = decide_on_prices(VOLUME, [api(1, 1)], machine(1600))
    assert document.crossings == ()
    assert not document.crossings_complete
    # A hair cheaper, and the last of very many crossings lies far away.
    near = decide_on_prices(VOLUME, [api(1, 1)], machine(Range.exact(Decimal("1599.9"))))
    assert len(near.crossings) > 1_000
    assert not near.crossings_complete
    assert max(len(curve.points) for curve in near.curves) < 300


def test_a_fleet_of_two_thousand_machines_is_still_exact():
    volume = Volume(Decimal(3_200_000_000_000) - 1, Decimal(0))
    document = decide_on_prices(volume, [api(3, 15)], machine())
    assert by_kind(document)["rented"].usd_per_month.likely == 2_400_000


def test_crossings_are_those_of_the_cheapest_api():
    document = decide_on_prices(VOLUME, [api(15, 75), api(3, 15), api(1, 5)], machine())
    assert {document.crossings[0].cheaper_before, document.crossings[0].cheaper_after} == {"API at 1/5", "rented GPU"}
    assert document.verdict.cheapest == "API at 1/5"
    assert document.verdict.against == "rented GPU"


def test_apis_alone_need_no_machine():
    document = decide_on_prices(VOLUME, [api(3, 15), api(1, 5)])
    assert document.verdict.cheapest == "API at 1/5"
    assert (document.critical_fill, document.crossings, document.verdict.hidden_stack) == (None, (), None)
    assert "1,600 USD (67%) less than API at 3/15" in document.verdict.sentence


def test_ranges_stay_ranges():
    document = decide_on_prices(VOLUME, [api(3, 15)], machine(Range.between(1000, 2000)))
    rented = by_kind(document)["rented"].usd_per_month
    assert (rented.low, rented.likely, rented.high) == (1000, 1500, 2000)
    saving = document.verdict.saving_usd_per_month
    assert (saving.low, saving.likely, saving.high) == (400, 900, 1400)


@settings(max_examples=40, deadline=None)
@given(st.integers(100, 5_000), st.integers(10**8, 3 * 10**9), st.integers(1, 20), st.fractions(0, 1))
def test_straight_lines_between_a_curves_points_are_the_truth(month, capacity, read, share):
    machines = machine(month, capacity)
    document = decide_on_prices(VOLUME, [api(read, 2 * read)], machines)
    truth = hybrid_option(VOLUME, machines, bought(VOLUME, api(read, 2 * read)))
    drawn = next(curve for curve in document.curves if curve.kind == "hybrid")
    volume = share * Fraction(drawn.points[-1][0])
    place = bisect_left([Fraction(x) for x, _ in drawn.points], volume)
    (left, low), (right, high) = drawn.points[max(place - 1, 0)], drawn.points[place]
    part = (volume - Fraction(left)) / (Fraction(right) - Fraction(left)) if right != left else Fraction(0)
    read_off = Fraction(low) + part * (Fraction(high) - Fraction(low))
    assert abs(read_off - truth.curve.at(volume)) < Fraction(1, 100_000)
    # The option's bill is the curve at the asked volume.
    assert plain(truth.usd_per_month.likely) == plain(truth.curve.at(Fraction(VOLUME.tokens)))


def test_a_jump_is_two_points_at_one_volume():
    document = decide_on_prices(Volume(Decimal(10**9), Decimal(0)), [api(3, 15)], machine())
    rented = next(curve for curve in document.curves if curve.kind == "rented")
    assert rented.points[:4] == ((0, 0), (0, 1200), (1_600_000_000, 1200), (1_600_000_000, 2400))


def test_every_input_is_listed_with_its_source():
    document = decide_on_prices(VOLUME, [api(3, 15)], machine(operations=hidden_stack()))
    rows = {row.name: row for row in document.assumptions}
    assert rows["price of API at 3/15"].value == "3 / 15"
    assert rows["machine"].known == "typed"
    assert (rows["engineer time"].known, rows["engineer time"].value) == ("article", "500 to 3000")
    assert rows["engineer time"].date is not None
    assert all(row.source and row.known for row in document.assumptions)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: decide_on_prices(VOLUME, []), "no API price"),
        (lambda: decide_on_prices(VOLUME, [api(1, 2), api(1, 2)]), "twice"),
        (lambda: Volume(Decimal(0), Decimal(0)), "no volume"),
        (lambda: Volume(Decimal(-1), Decimal(5)), "no volume"),
        (lambda: decide_on_prices(VOLUME, [api(1, 2)], machine(capacity=1_000)), "400,000 machines"),
        (lambda: api(-1, 2), "negative"),
        (lambda: machine(capacity=0), "no machine"),
        (lambda: machine(peak=Decimal("0.5")), "below the mean"),
    ],
)
def test_what_makes_no_sense_is_refused(make, says):
    with pytest.raises(BadInput, match=says):
        make()
