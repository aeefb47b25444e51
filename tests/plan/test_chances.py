from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.documents import load_scenarios
from baseload.errors import BadInput
from baseload.plan.advice import decide_on_prices
from baseload.plan.chances import MOST_APIS, chances, typed_case
from baseload.plan.options import Machines, TokenPrice, Volume
from baseload.plan.scenario import machines_of, prices_of, volume_of
from baseload.ranges import Range

SHIPPED = load_scenarios()
VOLUME = Volume(Decimal(300_000_000), Decimal(100_000_000))


def price(name: str, read: str, wrote: str) -> TokenPrice:
    return TokenPrice(name, Range.exact(Decimal(read)), Range.exact(Decimal(wrote)), "typed")


def likely(case) -> dict[str, np.ndarray]:
    return {each.name: np.full(1, each.likely) for each in case.inputs}


@pytest.mark.parametrize("scenario", SHIPPED, ids=lambda each: each.name)
def test_at_the_likely_figures_the_weighing_agrees_with_the_bill(scenario):
    volume, prices, machines = volume_of(scenario), prices_of(scenario), machines_of(scenario)
    case = typed_case(volume, prices, machines)
    billed = {option.name: option for option in decide_on_prices(volume, prices, machines).options}
    for option in case.options:
        assert math.isclose(case.cost(option, likely(case))[0], billed[option].usd_per_month.likely, rel_tol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 10**10), st.integers(1, 10**10), st.integers(1, 60), st.integers(1, 5000), st.integers(10**8, 10**10)
)
def test_on_any_figures_the_weighing_agrees_with_the_bill(read, wrote, usd, rent, capacity):
    volume = Volume(Decimal(read), Decimal(wrote))
    machines = Machines("own", Range.exact(rent), Decimal(capacity), "typed")
    case = typed_case(volume, [price("api", str(usd), "1")], machines)
    billed = {
        option.name: option for option in decide_on_prices(volume, [price("api", str(usd), "1")], machines).options
    }
    for option in case.options:
        assert math.isclose(
            case.cost(option, likely(case))[0], billed[option].usd_per_month.likely, rel_tol=1e-9, abs_tol=1e-5
        )


def test_a_clear_case_is_clear():
    found = chances(
        typed_case(VOLUME, [price("api", "15", "75")], Machines("own", Range.exact(1200), Decimal("1.6E9"), "x")), "api"
    )
    own = found.robust
    assert own.startswith("own")
    assert found.rival == "api"
    assert found.wins == 1
    assert {each.option: each.cheapest for each in found.options}["api"] == 0
    assert found.measure_next is None
    assert "100 of 100" in found.sentence


def test_a_close_case_names_what_to_pin_down():
    machines = Machines("own", Range.between(2000, 2800), Decimal("1.6E9"), "x")
    found = chances(typed_case(VOLUME, [price("api", "3", "15")], machines), "api")
    assert 0.2 < found.wins < 0.9
    assert found.worth_knowing_usd_per_month > 50
    assert found.measure_next == found.leanings[0].input
    assert found.measure_next in found.sentence
    assert found.leanings[0].flips
    assert abs(sum(each.cheapest for each in found.options) - 1) < 1e-3
    assert all(0 <= each.worth_knowing_usd_per_month <= found.worth_knowing_usd_per_month for each in found.leanings)
    least = min(found.options, key=lambda each: each.regret_usd_per_month)
    assert least.option == found.robust
    assert least.regret_usd_per_month == found.worth_knowing_usd_per_month


def test_a_typed_range_is_the_range_and_a_typed_number_an_assumed_one():
    machines = Machines("own", Range.between(2000, 2800), Decimal("1.6E9"), "x")
    known = {each.name: each for each in typed_case(VOLUME, [price("api", "3", "15")], machines).inputs}
    assert (known["machine"].low, known["machine"].high, known["machine"].known) == (2000, 2800, "typed")
    assert known["input tokens"].known == "assumed"
    assert known["input tokens"].low < 300e6 < known["input tokens"].high
    assert known["operations"].is_exact
    assert known["peak"].is_exact


def test_only_the_cheapest_apis_are_weighed():
    prices = [price(f"api {usd}", str(usd), str(usd)) for usd in range(20, 0, -1)]
    case = typed_case(VOLUME, prices, None)
    assert case.options == tuple(f"api {usd}" for usd in range(1, MOST_APIS + 1))
    assert chances(case, "api 1").robust == "api 1"


def test_one_option_has_no_rival():
    found = chances(typed_case(VOLUME, [price("api", "3", "15")], None), "api")
    assert (found.rival, found.wins, found.leanings, found.measure_next) == (None, 1, (), None)


def test_a_seed_repeats():
    case = typed_case(VOLUME, [price("api", "3", "15")], Machines("own", Range.exact(2400), Decimal("1.6E9"), "x"))
    assert chances(case, "api", count=1024, seed=3) == chances(case, "api", count=1024, seed=3)
    assert chances(case, "api", count=1024, seed=3) != chances(case, "api", count=1024, seed=4)


def test_what_is_not_an_option_is_refused():
    case = typed_case(VOLUME, [price("api", "3", "15")], None)
    with pytest.raises(BadInput):
        chances(case, "own")
    with pytest.raises(BadInput):
        case.cost("own", likely(case))
