from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from baseload.documents import load_scenarios, read_scenario
from baseload.errors import BadInput
from baseload.plan.advice import decide_on_prices
from baseload.plan.scenario import (
    Scenario,
    ScenarioMachine,
    ScenarioPrice,
    machines_of,
    pick,
    prices_of,
    span,
    volume_of,
)

SHIPPED = load_scenarios()
# What the articles say comes out, and what does: option, USD a month low and high.
ARTICLES = {
    "article-0-a": [("DeepSeek V4 Flash", "7.5", "7.5"), ("1 x A100 40GB", "400", "800")],
    "article-0-b": [("DeepSeek V4 Flash", "375", "375"), ("2 x A100 80GB", "1000", "2000")],
    "article-0-c": [
        ("DeepSeek V4 Flash", "3750", "3750"),
        ("Qwen3-32B", "4200", "4200"),
        ("8 x A100 80GB", "4000", "8000"),
    ],
    "article-0-c-owned": [("8 x A100 80GB owned", "2000", "4000")],
    "article-3": [("8 x H100", "11680", "17520")],
    "article-4": [("mid-tier API", "2400", "2400"), ("frontier API", "12000", "12000"), ("H100", "1200", "1200")],
}


def decided(scenario: Scenario):
    machines = machines_of(scenario)
    kind = scenario.machine.kind if scenario.machine is not None else "rented"
    return decide_on_prices(volume_of(scenario), prices_of(scenario), machines, kind=kind)


@pytest.mark.parametrize("name", ARTICLES)
def test_an_articles_case_gives_the_articles_figures(name):
    options = {option.name: option.usd_per_month for option in decided(pick(SHIPPED, name)).options}
    for option, low, high in ARTICLES[name]:
        assert (options[option].low, options[option].high) == (Decimal(low), Decimal(high))


def test_the_api_of_the_break_even_article_costs_22_68_an_hour():
    (api, *_) = decided(pick(SHIPPED, "article-3")).options
    assert round(api.usd_per_month.likely / 730, 2) == Decimal("22.68")


def test_the_fintech_pays_47_000_before():
    (api, *_) = decided(pick(SHIPPED, "article-1-fintech")).options
    assert round(api.usd_per_month.likely) == 47_000


@pytest.mark.parametrize("scenario", SHIPPED, ids=lambda each: each.name)
def test_every_shipped_scenario_says_where_it_is_from_and_can_be_decided(scenario):
    assert scenario.title
    assert scenario.source
    assert scenario.claims
    assert decided(scenario).verdict.sentence


def test_a_scenario_survives_being_written(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    for scenario in SHIPPED:
        path.write_bytes(msgspec.json.encode(scenario))
        assert read_scenario(path) == scenario


def test_figures_as_on_the_command_line(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ninput: 300M\noutput: 1e8\nprices: [{price: 3-4/15}]\n"
        "machine: {usd_per_gpu_hour: 2-3, gpus: 8, capacity: 1.6B, peak: 2.5, operations: 500-900, kind: spot}\n"
    )
    scenario = read_scenario(path)
    assert volume_of(scenario).tokens == 400_000_000
    (price,) = prices_of(scenario)
    assert (price.name, price.input.high, price.output.likely) == ("API at 3-4/15", 4, 15)
    machines = machines_of(scenario)
    assert machines is not None
    assert machines.usd_per_month.low == 2 * 8 * 730
    assert (machines.capacity, machines.peak, machines.operations.total.high) == (1_600_000_000, Decimal("2.5"), 900)


@pytest.mark.parametrize("text", ["3-2", "x", "", "nan", "1-x", "inf", "1e400", "1e19", "1e-400"])
def test_what_is_no_range(text):
    with pytest.raises(BadInput):
        span("rent", text)


MACHINE = ScenarioMachine(capacity="1B", usd_per_month=1200)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: volume_of(Scenario(name="x")),
        lambda: volume_of(Scenario(name="x", input="-3")),
        lambda: volume_of(Scenario(name="x", input=-3.5)),
        lambda: prices_of(Scenario(name="x", prices=(ScenarioPrice(price="3"),))),
        lambda: prices_of(Scenario(name="x", prices=(ScenarioPrice(price="-3/1"),))),
        lambda: machines_of(Scenario(name="x", machine=msgspec.structs.replace(MACHINE, usd_per_month=None))),
        lambda: machines_of(Scenario(name="x", machine=msgspec.structs.replace(MACHINE, usd_per_gpu_hour=2))),
        lambda: prices_of(Scenario(name="x", prices=(ScenarioPrice(price="1e12/1"),))),
        lambda: machines_of(Scenario(name="x", machine=msgspec.structs.replace(MACHINE, usd_per_month="1e12"))),
        lambda: machines_of(Scenario(name="x", machine=msgspec.structs.replace(MACHINE, gpus=0))),
        lambda: machines_of(Scenario(name="x", machine=msgspec.structs.replace(MACHINE, capacity=0))),
        lambda: machines_of(Scenario(name="x", machine=msgspec.structs.replace(MACHINE, peak="0.5"))),
        lambda: machines_of(
            Scenario(name="x", machine=msgspec.structs.replace(MACHINE, operations=3, hidden_stack=True))
        ),
        lambda: pick(SHIPPED, "article-9"),
    ],
)
def test_absurd_scenarios_are_refused_with_a_remedy(wrong):
    with pytest.raises(BadInput) as caught:
        wrong()
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["name: x\nvolume: 3\n", "name: [", "input: 3M\n", "name: x\nmachine: {gpus: 1}\n"])
def test_a_broken_file_is_named(tmp_path: Path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"broken\.yaml"):
        read_scenario(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name: " + b"[" * 100_000, "nested without end"),
        (b"name: x\nprices: &p\n- {price: 1/1, name: *p}\n", "Expected `str`"),
        (b"name: \xb3", "cannot read"),
    ],
)
def test_a_hostile_file_is_named(tmp_path: Path, content, says):
    path = tmp_path / "hostile.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=says) as caught:
        read_scenario(path)
    assert "Install baseload" not in caught.value.remedy


def test_a_missing_file_says_what_ships(tmp_path: Path):
    with pytest.raises(BadInput, match="there is no scenario file"):
        read_scenario(tmp_path / "none.yaml")
