"""`baseload simulate` as a person types it: figures that add up, every source of a load, every misuse an error."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.resources import files

import pytest

from baseload.ledger.hot import open_store
from baseload.load.facts import Bucket
from samples import attempt, call

POOL = "model=qwen3-32b,gpu=H100,count=2,quant=fp8,usd=2.40"
DRAWN = "--rate|2|--hours|1|--shape|flat|--seed|3"
POLICY = """
name: mine
aliases: {auto: judgment}
routes:
  - {name: own, upstream: pool, model: qwen3-32b, offer: own/qwen3-32b, own: true, slots: 2, success: {judgment: 1}}
  - {name: mini, upstream: mid, model: gpt-5-mini, offer: openai/gpt-5-mini, success: {judgment: 1}}
"""


def document(baseload, line):
    return json.loads(baseload(f"simulate|{line}|--json").out, parse_float=Decimal)


def test_a_pool_and_an_api_share_a_load(baseload):
    found = document(baseload, f"--pool|{POOL},slots=4|--api|openai/gpt-5-mini|{DRAWN}|--slo|ttft=2s,tpot=50ms")
    own, api = found["supplies"]
    assert found["schema"] == "baseload.simulate/1"
    assert own["requests"] + api["requests"] == found["load"]["requests"]
    assert own["requests"] > 0 < api["requests"]
    assert own["tokens_out"] + api["tokens_out"] == found["load"]["tokens_out"]
    assert found["refused"] == 0
    assert found["usd_reservation"] == own["usd_reservation"] + api["usd_reservation"]
    assert own["usd_usage"] <= own["usd_reservation"]
    assert float(own["usd_reservation"]) == pytest.approx(4.80 * float(own["paid_hours"]), abs=1e-3)
    assert 0 < own["utilization"] <= 1
    assert 0.9 < found["objective"]["attainment"] <= 1


def test_the_same_words_are_the_same_answer(baseload):
    words = f"--pool|{POOL},replicas=2,failures=5,repair=60|--gaps|gamma|--cv|2|{DRAWN}"
    one, again = document(baseload, words), document(baseload, words)
    assert one == again
    assert one["restarted"] > 0
    assert one != document(baseload, words.replace("seed|3", "seed|4"))


def test_the_page_has_a_total_and_what_to_type_next(baseload):
    shown = baseload(f"simulate|--pool|{POOL}|{DRAWN}").out
    assert "total" in shown
    assert "first token" in shown
    assert "next: " in shown


def test_what_an_hour_costs_is_unknown_unless_it_is_said(baseload):
    found = document(baseload, f"--pool|{POOL.replace(',usd=2.40', '')}|{DRAWN}")
    assert found["usd_reservation"] is None
    assert "not known" in baseload(f"simulate|--pool|{POOL.replace(',usd=2.40', '')}|{DRAWN}").err


def test_a_policy_routes_and_brings_its_own_apis(baseload, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    found = document(baseload, f"--pool|{POOL}|--policy|{file}|{DRAWN}")
    assert found["policy"].startswith("mine@")
    assert [each["name"] for each in found["supplies"]] == ["pool", "mid"]
    assert all(each["requests"] for each in found["supplies"])


def test_a_trace_and_a_ledger_are_loads(baseload, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n2023-11-16 18:15:50.99,396,109\n"
    )
    found = document(baseload, f"--pool|{POOL}|--trace|{trace}")
    assert (found["load"]["tokens_in"], found["load"]["tokens_out"]) == (770, 153)
    assert found["load"]["start"].startswith("2023-11-16T18:15:46")
    store = open_store(tmp_path / "ledger")
    store.record([call("a", attempt()), call("b", attempt(), seconds=3, bucket=Bucket.FLAGSHIP)])
    store.close()
    found = document(baseload, f"--pool|{POOL}|--ledger|{tmp_path / 'ledger'}|--run|one")
    assert (found["load"]["requests"], found["load"]["tokens_in"]) == (2, 200)
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    routed = document(baseload, f"--pool|{POOL}|--ledger|{tmp_path / 'ledger'}|--policy|{policy}")
    assert (routed["refused"], sum(each["requests"] for each in routed["supplies"])) == (1, 1)
    assert "of run two" in baseload(f"simulate|--pool|{POOL}|--ledger|{tmp_path / 'ledger'}|--run|two", 4).err


def test_the_schema_is_that_of_the_document(baseload):
    schema = json.loads(baseload("simulate|--schema").out)
    assert schema["$id"] == "baseload.simulate/1"


@pytest.mark.parametrize("profile", ["azure-conv", "azure-code", "servegen-language", "servegen-reason"])
def test_every_profile_is_served(baseload, profile):
    found = document(
        baseload, f"--pool|{POOL}|--profile|{profile}|--shape|{'flat' if 'azure' in profile else profile}|--hours|1"
    )
    assert found["load"]["requests"] > 1000


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--hours|1", "nothing to simulate"),
        ("--pool|model=qwen3-32b", "was not given"),
        ("--pool|model=no-such-model,gpu=H100", "no-such-model"),
        (f"--pool|{POOL},colour=red", "says nothing"),
        (f"--pool|{POOL},replicas=0", "0 replicas"),
        (f"--pool|{POOL},replicas=999999999", "replicas"),
        (f"--pool|{POOL},replicas=9999,max_requests=8000", "too many"),
        (f"--pool|{POOL},slots=0", "0 slots"),
        (f"--pool|{POOL},failures=3600|--hours|1000|--rate|0.001", "fails more than"),
        (f"--pool|{POOL},replicas=two", "no count"),
        (f"--pool|{POOL},routing=luck", "luck"),
        ("--pool|model=qwen3-32b,gpu=H100,usd=nan", "no price"),
        (f"--pool|{POOL},kv_tokens=0", "memory"),
        (f"--pool|{POOL},startup=-1", "starts in"),
        (f"--pool|{POOL},failures=nan", "fails"),
        (f"--pool|{POOL},on=never", "no schedule"),
        ("--pool|model=deepseek-v3,gpu=H100,count=1,quant=fp8", "does not fit"),
        ("--api|acme/none", "acme/none"),
        ("--api|name=x", "no offer"),
        ("--api|offer=openai/gpt-5-mini,tokens_per_second=0", "tokens/s"),
        ("--api|openai/gpt-5-mini|--profile|mine", "mine"),
        ("--api|openai/gpt-5-mini|--shape|mine", "mine"),
        ("--api|openai/gpt-5-mini|--gaps|mine", "mine"),
        ("--api|openai/gpt-5-mini|--rate|0", "no load"),
        ("--api|openai/gpt-5-mini|--hours|nan", "no load"),
        ("--api|openai/gpt-5-mini|--rate|1e9|--hours|1e4", "too many"),
        ("--api|openai/gpt-5-mini|--hours|1e300", "too long"),
        ("--api|openai/gpt-5-mini|--cached|2", "share"),
        ("--api|openai/gpt-5-mini|--input-tokens|0", "less than a token"),
        ("--api|openai/gpt-5-mini|--start|soon", "soon"),
        ("--api|openai/gpt-5-mini|--slo|speed=3", "speed"),
        ("--api|openai/gpt-5-mini|--trace|nowhere.csv", "nowhere.csv"),
        ("--api|openai/gpt-5-mini|--trace|a|--ledger|b", "two loads"),
        ("--api|openai/gpt-5-mini|--api|openai/gpt-5-mini", "stands twice"),
        ("--policy|nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_what_cannot_be_understood_says_so(baseload, line, says):
    shown = baseload(f"simulate|{line}", 2)
    assert says in shown.err
    assert shown.out == ""


def test_no_request_is_not_enough(baseload):
    assert "no request" in baseload("simulate|--api|openai/gpt-5-mini|--rate|1e-9|--hours|0.001", 4).err


def test_the_data_that_ships_is_documented():
    text = files("baseload.load").joinpath("data/SOURCE.md").read_text(encoding="utf-8")
    assert "profiles.json" in text
