"""From any total to its lines, formulas, inputs and sources, with nothing left over."""

from decimal import Decimal

import pytest

from baseload.cost.parameters import Assumptions
from baseload.cost.ways import Way
from baseload.documents import load_parameters
from baseload.errors import BadInput
from baseload.plan.advice import decide_on_prices
from baseload.plan.explain import explain
from baseload.plan.itemised import decide_on_ways
from baseload.plan.options import TokenPrice, Volume
from baseload.ranges import Range


def exact(figure):
    return Range.exact(Decimal(str(figure)))


VOLUME = Volume(Decimal("3e8"), Decimal("1e8"))
PRICE = TokenPrice("API at 3/15", exact(3), exact(15), "typed")
ROOM = {f"replica_{side}_tokens_per_month": exact("1.6e9") for side in ("input", "output")}
WAYS = [
    Way("rented GPU", "rented", ROOM | {"gpu_usd_per_hour": exact(2)}),
    Way("owned GPU", "owned", ROOM | {"card_usd": exact(20_000)}),
    Way("spot GPU", "spot", ROOM, unfit="it does not fit."),
]
DOCUMENT = decide_on_ways(VOLUME, [PRICE], WAYS, Assumptions(load_parameters()))


def test_every_total_is_the_sum_of_what_stands_below_it():
    for target in ("total", *(option.name for option in DOCUMENT.options), "rented GPU/idle", "owned GPU/idle"):
        assert explain(DOCUMENT, target).difference_usd == 0
    total = explain(DOCUMENT).tree
    assert total.note == DOCUMENT.verdict.sentence
    assert total.parts[0].name == DOCUMENT.verdict.cheapest


def test_a_line_goes_down_to_the_figures_and_where_they_were_read():
    line = explain(DOCUMENT, "rented/engineer time").tree
    assert (line.sort, line.usd_per_month.likely) == ("line", 2500)
    assert line.formula == "(FTE + replicas x FTE per replica) x USD/FTE-year / 12"
    figures = {figure.name: figure for figure in line.parts}
    assert figures["engineer_fte"].value.likely == Decimal("0.15")
    assert figures["engineer_fte"].origin == "default"
    assert figures["engineer_fte"].as_of.year == 2026
    lease = explain(DOCUMENT, "rented GPU/GPU lease").tree
    assert {figure.origin for figure in lease.parts} == {"option", "load", "default"}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("API at 3/15", "API at 3/15"),
        ("api at 3/15/output tokens", "output tokens"),
        ("api/api_output", "output tokens"),
        ("owned/maintenance", "hardware maintenance"),
        ("total/output", "output tokens"),
        ("owned GPU/idle", "owned GPU: idle"),
    ],
)
def test_names_may_be_short_and_may_hold_a_slash(target, name):
    assert explain(DOCUMENT, target).tree.name == name


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("leased", "rented GPU, owned GPU"),
        ("GPU", "rented GPU"),
        ("rented/espresso", "gpu_on_demand"),
        ("spot", "Explain another"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(target, says):
    with pytest.raises(BadInput) as caught:
        explain(DOCUMENT, target)
    assert says in caught.value.remedy


def test_a_decision_on_prices_alone_is_explained_as_well():
    found = explain(decide_on_prices(VOLUME, [PRICE]), "api")
    assert [part.how for part in found.tree.parts] == ["300 M x 3 USD/M", "100 M x 15 USD/M"]
    assert found.difference_usd == 0
