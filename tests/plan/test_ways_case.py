from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from baseload.cost.evaluate import evaluate
from baseload.cost.parameters import Assumptions
from baseload.cost.ways import Way
from baseload.documents import load_parameters
from baseload.errors import BadInput
from baseload.plan.answer import Answer, answer_ways
from baseload.plan.chances import chances
from baseload.plan.itemised import api_way, load_of
from baseload.plan.options import TokenPrice, Volume
from baseload.plan.scenario import Outlay, Scenario
from baseload.plan.ways_case import MOST_DRAWN, ways_case
from baseload.ranges import Range

ASSUMED = Assumptions(load_parameters())
VOLUME = Volume(Decimal(3_000_000_000), Decimal(1_000_000_000))
PRICES = [
    TokenPrice("dear", Range.exact(3), Range.exact(15), "typed"),
    TokenPrice("v3.2", Range.exact(1), Range.exact(4), "typed"),
]
CAPACITY = {
    "replica_input_tokens_per_month": Range.exact(4_000_000_000),
    "replica_output_tokens_per_month": Range.exact(1_600_000_000),
}
RENT = Range(Decimal("1.38"), Decimal("2.40"), Decimal("4.76"))
MACHINES = [
    Way(kind, kind, {**CAPACITY, "gpu_usd_per_hour": RENT}, gpus=2) for kind in ("rented", "reserved", "spot")
]  # fmt: skip
BROKEN = Way("small", "rented", {**CAPACITY, "gpu_usd_per_hour": RENT}, unfit="does not fit")
WAYS = [*(api_way(price) for price in PRICES), *MACHINES]


def case():
    hybrid = Way("mixed", "hybrid", base=MACHINES[0], overflow=WAYS[1])
    return ways_case([*WAYS, hybrid, BROKEN], load_of(VOLUME), ASSUMED)


def test_at_the_likely_figures_it_is_the_bill():
    found = case()
    likely = {each.name: np.full(3, each.likely) for each in found.inputs}
    billed = evaluate(WAYS, load_of(VOLUME), ASSUMED)
    assert found.options == tuple(each.way.name for each in billed)
    for each in billed:
        cost = found.cost(each.way.name, likely)
        assert cost.shape == (3,)
        assert math.isclose(cost[0], each.usd_per_month.likely, rel_tol=1e-9)


def test_what_varies_is_what_moves_the_nearest_ways():
    found = case()
    names = {each.name for each in found.inputs}
    assert len(names) == MOST_DRAWN
    assert found.apis == {"dear", "v3.2"}
    assert "engineer_fte" in names
    assert "dear.api_output_usd_per_mtok" not in names
    assert all(tie.one in names and tie.other in names for tie in found.ties)
    typed = next(each for each in found.inputs if each.name.endswith("gpu_usd_per_hour"))
    assert (typed.low, typed.high, typed.shape) == (1.38, 4.76, "lognormal")


def test_whole_figures_stay_whole():
    found = case()
    spare = next(each for each in found.inputs if each.name == "spare_replicas")
    values = {each.name: np.full(2, each.likely) for each in found.inputs}
    assert (spare.low, spare.high) == (0, 2)
    costs = found.cost("rented", values | {"spare_replicas": np.array([0.6, 1.4])})
    assert costs[0] == costs[1]


def test_it_can_be_weighed():
    found = chances(case(), "dear", count=4096)
    assert found.robust == "v3.2"
    assert found.wins > 0.99
    assert {each.option: each.cheapest for each in found.options}["dear"] < 0.01
    assert chances(case(), "dear", count=4096) == found


def test_the_whole_answer():
    asked = Scenario(name="x", outlay=Outlay(months=24))
    assumed = ASSUMED.over({"api_monitoring_share": Range.exact(Decimal("0.5"))})
    found = answer_ways(VOLUME, PRICES, [*MACHINES, BROKEN], assumed, asked, date(2026, 11, 21))
    assert found.chances is not None
    assert found.questions is not None
    assert found.cash is not None
    assert (found.cash.months, found.cash.setup_usd) == (24, 0)
    flat, falling, _ = found.cash.cases
    api = next(option for option in found.options if option.name == found.cash.instead_of)
    watched = sum(line.usd_per_month.likely for line in api.lines if line.id == "monitoring")
    fell = flat.flows_usd[13] - falling.flows_usd[13]
    assert watched > 0
    assert abs(fell - Decimal("0.4") * (api.usd_per_month.likely - watched)) < Decimal("0.02")
    encoded = msgspec.json.Encoder(decimal_format="number").encode(found)
    assert msgspec.json.decode(encoded, type=Answer) == found


def test_without_machines_there_is_no_business_case():
    found = answer_ways(VOLUME, PRICES, [], ASSUMED, Scenario(name="x"), date(2026, 11, 21))
    assert found.cash is None
    assert found.chances is not None
    assert found.chances.robust == "v3.2"


def test_what_is_not_weighed_is_refused():
    with pytest.raises(BadInput):
        case().cost("mixed", {"x": np.zeros(1)})


def test_a_hybrid_keeps_the_machines_it_was_decided_with():
    hybrid = Way("mixed", "hybrid", base=MACHINES[0], overflow=WAYS[0])
    load = load_of(VOLUME)
    bare = ASSUMED.bare()
    (likely,) = evaluate([hybrid], load, bare)
    assert likely.replicas
    found = ways_case([*WAYS, hybrid], load, bare, {"mixed": likely.replicas})
    values = {each.name: np.full(2, each.likely) for each in found.inputs}
    assert math.isclose(found.cost("mixed", values)[0], likely.usd_per_month.likely, rel_tol=1e-9)
    # Five times the tokens: what more machines would have carried is bought, token for token.
    read, wrote = "input_tokens_per_month", "output_tokens_per_month"
    more = values | {name: values[name] * 5 for name in (read, wrote)}
    added = 4 * float(VOLUME.input_tokens * 3 + VOLUME.output_tokens * 15) / 1e6
    grown = found.cost("mixed", more)[0] - found.cost("mixed", values)[0]
    # The rest of the held machines' room fills first; beyond it every token costs what it costs bought.
    assert added * 0.8 < grown <= added
    anew = ways_case([*WAYS, hybrid], load, bare, {}).options
    assert "mixed" not in anew
