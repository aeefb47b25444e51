"""`baseload decide` as a person types it: typed figures, a ledger, and what is wrong with either."""

import json
from datetime import UTC, datetime

import pytest

from baseload.clock import to_ns
from baseload.ledger.hot import open_store
from baseload.load.calls import Attempt, Call, Decision
from baseload.load.facts import Bucket, Facts
from baseload.usage import Usage

ARTICLE_4 = "decide|--input|300M|--output|100M|--gpu-month|1200|--gpu-capacity|1.6B"
START = to_ns(datetime(2026, 11, 19, 18, tzinfo=UTC))
CONFIG = """
upstreams:
  - {name: api, base_url: "http://127.0.0.1:1/v1"}
  - {name: pool, base_url: "http://127.0.0.1:2/v1", kind: own, deployment: qwen3-32b-2xh100-vllm0.12,
     usd_per_gpu_hour: "2.40"}
policy:
  aliases: {auto: judgment}
  routes:
    - {name: pool, upstream: pool, model: qwen3-32b, offer: own/qwen3-32b, own: true, slots: 128,
       success: {judgment: 1}}
    - {name: api, upstream: api, model: mid, offer: reference/mid, success: {judgment: 1, flagship: 1}}
"""


def call(number, run):
    at = START + number * 5 * 10**9
    attempt = Attempt(
        number=1, route="api", upstream="api", model="mid", offer="reference/mid", started_ns=at, ended_ns=at + 1,
        usage=Usage(input_tokens=2_000, output_tokens=200), cost_nanousd=9_000_000,
    )  # fmt: skip
    bucket = Bucket.FLAGSHIP if number % 10 == 0 else Bucket.JUDGMENT
    facts = Facts(at_ns=at, model="auto", bucket=bucket, input_tokens=2_000, tags={"run": run})
    decision = Decision(id="d", policy="p", routes=())
    return Call(id=f"{run}-{number}", facts=facts, decision=decision, attempts=(attempt,), ended_ns=at + 1)


@pytest.fixture
def ledger(tmp_path):
    directory = tmp_path / "ledger"
    directory.mkdir()
    store = open_store(directory)
    store.record([*(call(number, "first") for number in range(60)), *(call(number, "second") for number in range(120))])
    store.close()
    (directory / "baseload.yaml").write_text(CONFIG)
    return directory


@pytest.mark.parametrize(("price", "usd"), [("3/15", 2400), ("15/75", 12000)])
def test_article_4_as_json(baseload, price, usd):
    document = json.loads(baseload(f"{ARTICLE_4}|--price|{price}|--json").out)
    options = {option["kind"]: option["usd_per_month"] for option in document["options"]}
    assert options["api"] == {"low": usd, "likely": usd, "high": usd}
    assert options["rented"] == {"low": 1200, "likely": 1200, "high": 1200}
    assert {"schema", "options", "crossings", "critical_fill", "verdict", "assumptions"} <= document.keys()
    assert document["schema"] == "baseload.decide/1"
    assert {"name", "value", "unit", "source", "date", "known"} == document["assumptions"][0].keys()


def test_the_page_says_the_answer_first_and_what_it_leaves_out(baseload):
    told = baseload(f"{ARTICLE_4}|--price|3/15").out
    first, second = told.splitlines()[:2]
    assert first.startswith("At 400 M tokens a month the cheapest way is rented GPU: 1,200 USD a month")
    assert "700 to 3,900 USD a month) are not in these figures" in second
    assert "1 crossing at 200 M tokens a month; beyond, rented GPU stays cheaper." in told
    assert "Critical fill 12.5%" in told
    assert "\x1b" not in told  # no colours and no chart when it is not a terminal
    assert "next:" in told


def test_the_hidden_stack_turns_it(baseload):
    document = json.loads(baseload(f"{ARTICLE_4}|--price|3/15|--hidden-stack|--json").out)
    assert document["verdict"]["kind"] == "api"
    rented = next(option for option in document["options"] if option["kind"] == "rented")
    assert rented["usd_per_month"] == {"low": 1900, "likely": 3500, "high": 5100}


def test_models_from_the_books(baseload):
    line = "decide|--input|300M|--output|100M|--model|reference/mid|--model|reference/light|--json"
    document = json.loads(baseload(line).out)
    costs = {option["name"]: option["usd_per_month"]["likely"] for option in document["options"]}
    assert costs == {"reference/mid": 2400, "reference/light": 800}
    price = next(row for row in document["assumptions"] if row["name"] == "price of reference/mid")
    assert (price["known"], price["date"]) == ("article", "2026-06-17")


def test_twenty_one_crossings(baseload):
    told = baseload(
        "decide|--input|16B|--price|1.55/1.55|--gpu-hour|2.5|--gpu-capacity|2.85B|--peak|2.2|--ops|1500"
    ).out
    assert "21 crossings between 11.6 B and 23.3 B tokens a month; beyond, rented GPU stays cheaper." in told


def test_a_node_of_several_gpus_by_the_hour_as_a_range(baseload):
    line = "decide|--input|1B|--price|3/15|--gpu-hour|2-3|--gpus|8|--gpu-capacity|1.6B|--json"
    document = json.loads(baseload(line).out)
    rented = next(option for option in document["options"] if option["kind"] == "rented")
    assert rented["usd_per_month"] == {"low": 11680, "likely": 14600, "high": 17520}


def test_your_ledger(baseload, ledger):
    document = json.loads(baseload(f"decide|--ledger|{ledger}|--run|second|--json").out)
    assert (document["basis"], document["metered"]["requests"], document["metered"]["minutes"]) == ("metered", 120, 10)
    assert document["metered"]["usd"] == 1.08
    assert [option["kind"] for option in document["options"]] == ["now", "api", "rented", "owned"]
    assert [each["why"] for each in document["cannot"]] == [
        "it would own nothing: at this volume base machines do not earn what they and running them cost."
    ]
    # 120 calls of 2,000 in and 200 out at 3/15 in ten minutes: 1.08 USD, 4,380 times a month.
    assert [option["usd_per_month"]["likely"] for option in document["options"][:2]] == [4730.4, 4730.4]
    assert {each["option"] for each in document["chances"]["options"]} == {
        option["name"] for option in document["options"]
    }
    assert document["chances"]["baseline"] == document["cash"]["instead_of"] == "as now"
    whole = json.loads(baseload(f"decide|--ledger|{ledger}|--json").out)
    assert whole["metered"]["requests"] == 180


def test_a_ledger_takes_the_flags_of_the_cost_model(baseload, ledger):
    whole = json.loads(baseload(f"decide|--ledger|{ledger}|--json").out)
    lines = {option["kind"]: {line["id"] for line in option["lines"]} for option in whole["options"]}
    assert {"engineers", "incidents", "redundancy"} <= lines["rented"]
    told = baseload(f"decide|--ledger|{ledger}|--bare|--lease|spot|--set|engineer_fte=0.5|--json").out
    bare = {option["kind"]: {line["id"] for line in option["lines"]} for option in json.loads(told)["options"]}
    assert set(bare) >= {"now", "api", "spot"}
    assert "engineers" in bare["spot"]
    assert "incidents" not in bare["spot"]


def test_a_ledger_says_what_it_cannot_be_asked(baseload, ledger):
    for words, says in (
        ("--hidden-stack", "line by line"),
        ("--machine|h100-80gb-x1", "the policy's own pool"),
        ("--lease|stolen", "rented, reserved, spot, owned, brokered"),
    ):
        assert says in baseload(f"decide|--ledger|{ledger}|{words}", code=2).err
    assert "whole week" in baseload(f"decide|--ledger|{ledger}|--hours|mon-fri:8-18", code=4).err


def test_a_ledger_decision_is_saved_repeated_and_explained_without_the_ledger(baseload, ledger, tmp_path):
    frozen = tmp_path / "frozen.json"
    first = baseload(f"decide|--ledger|{ledger}|--save|{frozen}|--json").out
    ledger.rename(tmp_path / "gone")
    again = baseload(f"decide|--repeat|{frozen}|--json")
    assert "Reproduced to the cent: 5 options" in again.err
    assert again.out == first
    read = json.loads(frozen.read_text())
    metered = read["question"]["metered"]
    assert metered["digest"].startswith("sha256:")
    assert (metered["requests"], metered["first"], metered["minutes"]) == (180, "2026-11-19T18:00:00Z", 10)
    assert "parameter table" in read["books"]
    told = baseload("explain")
    assert "the last decision that was saved" in told.err
    for option in json.loads(first)["options"]:
        walked = json.loads(baseload(f"explain|{option['name']}|--json").out)
        assert walked["difference_usd"] == 0
        assert all(line["formula"] and line["parts"] for line in walked["tree"]["parts"])


def test_an_edited_ledger_decision_is_refused(baseload, ledger, tmp_path):
    frozen = tmp_path / "frozen.json"
    baseload(f"decide|--ledger|{ledger}|--save|{frozen}")
    text = frozen.read_text()
    frozen.write_text(text.replace('"requests": 180', '"requests": 181'))
    assert "not those it was saved with" in baseload(f"decide|--repeat|{frozen}", code=2).err
    frozen.write_text(text.replace('"duration": [', '"duration": ["x", ', 1))
    assert baseload(f"decide|--repeat|{frozen}", code=2).out == ""


def test_the_configuration_names_its_own_ledger(baseload, ledger, tmp_path):
    config = tmp_path / "other.yaml"
    config.write_text(CONFIG + f"data_dir: {ledger}\n")
    told = baseload(f"decide|--config|{config}|--run|first").out
    assert "Assumptions" in told
    assert "reference/mid" in told


def test_the_configuration_of_this_folder_is_taken(baseload, ledger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baseload.yaml").write_text(CONFIG + f"data_dir: {ledger}\n")
    said = baseload("decide|--json")
    assert json.loads(said.out)["metered"] == json.loads(baseload(f"decide|--ledger|{ledger}|--json").out)["metered"]
    assert "under baseload.yaml in this folder" in said.err


def test_the_demos_latest_run(baseload, ledger, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    ledger.rename(home / "demo")
    told = baseload("decide|--demo|--json")
    assert json.loads(told.out)["metered"]["requests"] == 120
    assert told.err == "on the demo's latest run, second: 120 calls\n"


@pytest.mark.parametrize("capacity", ["1", "1000000T"])
def test_figures_at_their_bounds_are_answered_or_refused_in_words(baseload, capacity):
    typed = "decide|--input|1000000T|--output|1000000T|--price|1000000000/1000000000|--peak|2"
    machine = f"--gpu-month|1000000000|--gpu-capacity|{capacity}|--ops|1000000000"
    told = baseload(f"{typed}|{machine}", code=2 if capacity == "1" else 0)
    assert told.out or "machines, more than" in told.err


def test_a_machine_of_endless_gpus_is_refused(baseload):
    line = "decide|--input|1|--price|1/2|--gpu-hour|1|--gpu-capacity|1|--gpus|99999999999999999999"
    assert "--gpus" in baseload(line, code=2).err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("decide", "--demo"),
        ("decide|--input|1|--price|3", "3/15"),
        ("decide|--input|1|--price|-1/2", "from 0 up"),
        ("decide|--input|1|--price|a/b", "from 0 up"),
        ("decide|--input|1x|--price|1/2", "300M"),
        ("decide|--price|3/15", "--input 300M"),
        ("decide|--input|1", "--price input/output"),
        ("decide|--input|1|--price|1/2|--gpu-capacity|3", "--gpu-month"),
        ("decide|--input|1|--price|1/2|--gpu-month|3", "--gpu-capacity 1.6B"),
        ("decide|--input|1|--price|1/2|--hidden-stack", "--gpu-month"),
        ("decide|--input|1|--price|1/2|--gpu-month|3|--gpu-hour|3|--gpu-capacity|1", "one of them"),
        ("decide|--input|1|--price|1/2|--gpu-month|3|--gpu-capacity|1|--ops|3|--hidden-stack", "one of them"),
        ("decide|--input|1|--price|1/2|--gpu-month|nan|--gpu-capacity|1", "from 0 up"),
        ("decide|--input|1|--price|1/2|--gpu-month|5-2|--gpu-capacity|1", "--gpu-month '5-2'"),
        ("decide|--input|1|--price|1/2|--gpu-month|5|--gpu-capacity|0", "above zero"),
        ("decide|--input|1|--price|1/2|--gpu-month|5|--gpu-capacity|1|--peak|0.5", "1 or more"),
        ("decide|--input|1|--model|gpt-nonesuch-9", "no book has a price"),
        ("decide|--input|1|--price|1/2|--demo", "one or the other"),
        ("decide|--config|/nonexistent.yaml", "/nonexistent.yaml"),
        ("decide|--input|1|--price|1/2|--config|/nonexistent.yaml", "/nonexistent.yaml"),
        ("decide|--input|1|--price|1e400/1", "--price '1e400' is not a price"),
        (f"decide|--input|1|--price|{'9' * 400}/1", "is not a price"),
        ("decide|--input|1|--price|1_/1", "is not a price"),
        ("decide|--input|1|--price|\u0661/1", "is not a price"),
        ("decide|--input|1|--price|0.0000000000001/1", "is not a price"),
        ("decide|--input|1|--price|1/2|--gpu-month|1e400|--gpu-capacity|1", "--gpu-month '1e400'"),
        ("decide|--input|1|--price|1/2|--gpu-month|5|--gpu-capacity|1|--ops|1e400", "--ops '1e400'"),
        (f"decide|--input|{'9' * 400}|--price|1/2", "is beyond"),
        (f"decide|--input|{'9' * 5000}T|--price|1/2", "is beyond"),
        ("decide|--input|1_|--price|1/2", "'1_' is not a quantity"),
        ("decide|--input|1,2,3|--price|1/2", "'1,2,3' is not a quantity"),
        ("decide|--input||--price|1/2", "'' is not a quantity"),
    ],
)
def test_bad_input_ends_with_2_and_the_remedy(baseload, line, says):
    told = baseload(line, code=2)
    assert told.out == ""
    assert "error:" in told.err
    assert says in told.err


def test_too_little_ends_with_4(baseload, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "baseload.yaml").write_text(CONFIG)
    assert "error:" in baseload(f"decide|--ledger|{empty}", code=4).err
    store = open_store(empty)
    store.record([call(number, "few") for number in range(5)])
    store.close()
    assert "5 answered calls" in baseload(f"decide|--ledger|{empty}", code=4).err


def test_an_api_that_is_what_is_paid_now_stands_once(baseload, ledger):
    """Every call was bought from the one API: its row would be that of `as now` again."""
    said = baseload(f"decide|--ledger|{ledger}|--bare").out
    document = json.loads(baseload(f"decide|--ledger|{ledger}|--bare|--json").out)
    costs = {option["name"]: round(option["usd_per_month"]["likely"], 2) for option in document["options"]}
    (same,) = [name for name, cost in costs.items() if name != "as now" and cost == costs["as now"]]
    table = said[: said.index("crossing")]
    assert f"  {same}: the same to the cent, as now." in said
    assert not [line for line in table.splitlines() if line.startswith(f" {same} ")]
    assert [line for line in table.splitlines() if line.startswith(" as now ")]
