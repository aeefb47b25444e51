"""`baseload outcome` as a person types it."""

import json

import pytest

SCENARIO = """
name: tickets
outcomes:
  input: 2K
  output: 500
  correction: 0.5-2
  check: 0.0001
  cascade: true
  models:
    - {model: gpt-4o-mini, success: 60%-70%, tries: 3}
    - {name: large, price: 2.5/10, success: 0.9}
"""


def test_article_1_on_the_command_line(baseload):
    document = json.loads(baseload("outcome|7B=1:0:5|70B=10:1|--correction|6|--json").out)
    assert document["schema"] == "baseload.outcome/1"
    assert (document["winner"], document["sure"]) == ("70B", True)
    assert document["turning"][0]["correction_usd"] == {"low": 5, "likely": 5, "high": 5}
    page = baseload("outcome|7B=1:0:5|70B=10:1|--correction|4").out
    assert "A success costs least with 7B: 9.00 USD, 1.00 (10%) less than 70B." in page
    assert "H*: 70B wins over 7B once a correction by hand costs more than 5.00 USD." in page


def test_flags_and_a_scenario_say_the_same(baseload, tmp_path):
    path = tmp_path / "tickets.yaml"
    path.write_text(SCENARIO)
    line = "outcome|gpt-4o-mini:60%-70%:3|large=2.5/10:0.9|--input|2K|--output|500|--correction|0.5-2"
    typed = json.loads(baseload(f"{line}|--cascade|--check|0.0001|--at|2026-11-21|--json").out)
    read = json.loads(baseload(f"outcome|--scenario|{path}|--at|2026-11-21|--json").out)
    assert typed == read
    assert {way["name"] for way in read["ways"]} == {"gpt-4o-mini", "large", "gpt-4o-mini then large"}
    assert read["models"][0]["offer"] == "openai/gpt-4o-mini"
    page = baseload(f"outcome|--scenario|{path}|--at|2026-11-21").out
    assert "its maker's own" in page
    assert "the ranges overlap" in page


def test_one_rule_names_the_offer_in_every_verb(baseload):
    usage = "--input|3M|--output|1M"
    shown = json.loads(baseload(f"price|gpt-4o|{usage}|--json").out)["chosen"]
    decided = json.loads(baseload(f"decide|{usage}|--model|gpt-4o|--json").out)["options"][0]
    weighed = json.loads(baseload("outcome|gpt-4o:1|--input|300|--output|100|--json").out)["models"][0]
    assert shown["offer"] == decided["name"] == weighed["offer"] == "openai/gpt-4o"
    assert shown["why"] == decided["note"] == weighed["why"]


def test_the_schema_names_every_field(baseload):
    schema = json.loads(baseload("outcome|--schema").out)
    assert schema["$id"] == "baseload.outcome/1"
    document = json.loads(baseload("outcome|a=1:0.5|b=2:1|--correction|1|--json").out)
    known = schema["$defs"]["OutcomeDocument"]["properties"]
    assert known.keys() == document.keys()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("outcome", "0 models"),
        ("outcome|gpt-4o", "MODEL:SUCCESS"),
        ("outcome|a=1:1.5", "no share from 0 to 1"),
        ("outcome|a=-1:0.5", "'-1'"),
        ("outcome|a=1:0.5:0", "0 tries"),
        ("outcome|a=1:0.5|--correction|cheap", "correction 'cheap'"),
        ("outcome|a=1:0", "Give what a correction by hand costs"),
        ("outcome|gpt-4o:0.9", "a try has none"),
        ("outcome|gpt-nonesuch-9:0.9|--input|1", "no book has a price"),
        ("outcome|a=1:0.5|--scenario|article-3", "Give one of them"),
        ("outcome|--scenario|article-3", "has no outcomes"),
        ("outcome|--scenario|nonesuch", "neither a scenario"),
    ],
)
def test_bad_input_ends_with_2_and_the_remedy(baseload, line, says):
    told = baseload(line, code=2)
    assert told.out == ""
    assert says in told.err
