"""`baseload gpu` as a person types it."""

import json

import pytest


def test_a_list_of_gpus(baseload):
    document = json.loads(baseload("gpu|list|--json").out)
    assert document["schema"] == "baseload.gpu.list/1"
    assert document["gpus"][0]["gpu"] in {"h100-80gb", "a100-80gb"}
    page = baseload("gpu|list|--provider|runpod").out
    assert "rtx-4090" in page
    assert "next: baseload gpu compare" in page


def test_every_price_of_one(baseload):
    page = baseload("gpu|show|h100-80gb").out
    assert "article-3" in page
    assert "spot, yet not below" in page
    assert json.loads(baseload("gpu|show|h100-80gb|--json").out)["schema"] == "baseload.gpu.show/1"


def test_what_each_way_costs_and_when_owning_pays(baseload, tmp_path):
    page = baseload("gpu|compare|h100-80gb|--hours|400").out
    assert "owning h100-80gb beats the median rent of" in page
    assert "never" in page
    config = tmp_path / "baseload.yaml"
    config.write_text(
        "upstreams: []\npolicy: {routes: []}\n"
        "leases: [{gpu: h100-80gb, usd_per_gpu_hour: ['9.99']}]\n"
        "hardware: [{gpu: h100-80gb, purchase_usd: '20000', colocation_usd_per_kw_month: '0'}]\n"
    )
    document = json.loads(baseload(f"gpu|compare|h100-80gb|--config|{config}|--json").out)
    by_kind = {card["kind"]: card["usd_per_gpu_hour"] for card in document["effective"]}
    assert by_kind["rented"]["high"] == 9.99
    assert by_kind["owned"]["median"] < 1.3
    assert document["even"][-1]["hours_per_month"] < 90


def test_what_people_call_a_gpu(baseload):
    short, twice = (baseload(f"gpu|compare|{names}|--json").out for names in ("H100", "H100|h100-80gb"))
    assert short == twice == baseload("gpu|compare|h100-80gb|--json").out
    assert json.loads(baseload("gpu|show|RTX 4090|--json").out)["gpu"] == "rtx-4090"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("gpu|show|a100", "a100-40gb, a100-80gb"),
        ("gpu|list|--gpu|abacus", "baseload gpu list"),
        ("gpu|compare|h100-80gb|--hours|800", "730"),
        ("gpu|compare|h100-80gb|--config|/nonexistent.yaml", "/nonexistent.yaml"),
    ],
)
def test_bad_input_ends_with_2_and_the_remedy(baseload, line, says):
    told = baseload(line, code=2)
    assert told.out == ""
    assert says in told.err
