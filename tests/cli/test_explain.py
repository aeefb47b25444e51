"""`baseload explain` and the flags of the cost model, as a person types them."""

import json

import pytest

TYPED = "--input|300M|--output|100M|--price|3/15|--gpu-month|1200|--gpu-capacity|1.6B"


def test_the_known_saw_tooth(baseload):
    line = "decide|--input|0|--output|1B|--price|0/0.80|--gpu-month|1200|--gpu-capacity|1.6B|--json"
    for more in ("", "|--lease|rented"):
        document = json.loads(baseload(line + more).out)
        assert sum(crossing["tokens_per_month"] <= 20_000_000_000 for crossing in document["crossings"]) == 25
        assert document["critical_fill"] == 0.9375
        assert document["hybrid_threshold"] == {"fill": 0.9375, "tokens_per_month": 1_500_000_000}


def test_every_lease_beside_the_api(baseload):
    line = f"decide|{TYPED}|--full|--purchase|20000|--hours|mon-fri:8-18|--reserved-discount|30%|--spare|2|--json"
    kinds = ("rented", "reserved", "spot", "owned")
    document = json.loads(baseload(line + "".join(f"|--lease|{kind}" for kind in kinds)).out)
    options = {option["kind"]: option for option in document["options"]}
    assert set(options) == {"api", *kinds}
    assert "would own nothing" in document["cannot"][0]["why"]
    # A reservation is paid in the hours off: 1,200 less 30 %, three times.
    lines = [line for line in options["reserved"]["lines"] if line["id"] in ("gpu_reserved", "idle", "redundancy")]
    leased = sum(line["usd_per_month"]["likely"] for line in lines)
    assert leased == pytest.approx(options["reserved"]["machines"] * 840 + 2 * 840)
    assert options["rented"]["spare"] == 2
    assert {line["id"] for line in options["owned"]["lines"]} >= {"annuity", "power", "colocation", "maintenance"}


def test_what_does_not_fit_is_said_before_any_money(baseload):
    line = f"decide|{TYPED}|--own-model|llama-3.1-70b|--machine|h100-80gb-x1"
    told = baseload(line).out
    assert "cannot be: llama-3.1-70b does not fit 1 x h100-80gb" in told
    document = json.loads(baseload(line + "|--bits|4|--json").out)
    assert document["cannot"] == []
    assert [option["kind"] for option in document["options"]] == ["api", "rented", "hybrid"]


def test_a_measured_deployment_brings_its_capacity_and_the_books_its_rent(baseload):
    line = "decide|--input|2B|--output|1B|--price|3/15|--deployment|qwen3-32b-2xh100-vllm0.12|--json"
    document = json.loads(baseload(line).out)
    rent = next(row for row in document["assumptions"] if row["name"].startswith("gpu_usd_per_hour"))
    assert rent["date"]
    rented = next(option for option in document["options"] if option["kind"] == "rented")
    # 2,000 M at its reading rate and 1,000 M at its writing rate, in hours of 730.
    assert 0 < rented["fill"] <= 1


def test_explain_asks_what_decide_is_asked(baseload):
    told = baseload(f"explain|rented GPU/idle|{TYPED}|--lease|rented").out
    assert "idle GPU: 900.00 USD a month (stands idle)" in told
    assert "machine_usd_per_month = 1,200 USD/replica-month (option)" in told
    whole = json.loads(baseload(f"explain|{TYPED}|--full|--json").out)
    assert (whole["schema"], whole["target"], whole["difference_usd"]) == ("baseload.explain/1", "total", 0)


def test_explain_reads_a_saved_decision(baseload, tmp_path):
    printed = tmp_path / "printed.json"
    printed.write_text(baseload(f"decide|{TYPED}|--full|--json").out)
    assert "engineer time: 2,500.00 USD" in baseload(f"explain|rented/engineer time|--from|{printed}").out
    baseload(f"decide|{TYPED}|--save|{tmp_path}|--no-plot")
    assert "GPU lease: 1,200.00 USD a month" in baseload(f"explain|total|--from|{tmp_path}").out


def test_a_decision_by_the_cost_model_is_repeated_to_the_byte(baseload, tmp_path):
    line = f"decide|{TYPED}|--model|deepseek-v4-flash|--full|--lease|owned|--lease|rented|--hours|mon-fri:8-18|--json"
    first = baseload(f"{line}|--save|{tmp_path / 'deep' / 'frozen.json'}").out
    again = baseload(f"decide|--repeat|{tmp_path / 'deep' / 'frozen.json'}|--json")
    assert again.out == first
    assert "Reproduced to the cent" in again.err
    assert "parameter table" in json.loads((tmp_path / "deep" / "frozen.json").read_text())["books"]


def test_explain_without_a_question_explains_the_last_saved_decision(baseload, tmp_path):
    baseload(f"decide|{TYPED}|--save|{tmp_path / 'one.json'}")
    baseload(f"decide|{TYPED}|--full|--save|{tmp_path / 'two.json'}")
    (tmp_path / "two.json").unlink()
    assert "engineer time: 2,500.00 USD" in baseload("explain|rented/engineer time").out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"decide|{TYPED}|--hours|mon:8-8", "0 hours"),
        (f"decide|{TYPED}|--hours|mondays", "mon-fri:8-18"),
        (f"decide|{TYPED}|--lease|stolen", "rented, reserved, spot, owned, brokered"),
        (f"decide|{TYPED}|--reserved-discount|130%", "more than the whole"),
        (f"decide|{TYPED}|--target-fill|0", "above 0"),
        (f"decide|{TYPED}|--set|pie=1", "pue"),
        (f"decide|{TYPED}|--set|pue", "--set name=value"),
        (f"decide|{TYPED}|--set|pue=2-1", "from 0 up"),
        (f"decide|{TYPED}|--full|--ops|100", "--set engineer_fte"),
        (f"decide|{TYPED}|--full|--demo", "--demo was given too"),
        ("explain", "no decision was saved"),
        ("explain|total", "no decision was saved"),
        (f"decide|{TYPED}|--own-model|llama-3.1-70b", "--machine h100-80gb-x1"),
        (f"decide|{TYPED}|--own-model|nonesuch|--machine|h100-80gb-x1", "qwen3-32b"),
        (f"decide|{TYPED}|--machine|h1000", "h100"),
        ("decide|--full", "--input and --output"),
        ("decide|--input|1|--price|1/2|--full", "--gpu-capacity 1.6B"),
        ("decide|--input|1M|--price|1/2|--deployment|nonesuch", "qwen3-32b"),
        (f"explain|nothing|{TYPED}", "API at 3/15"),
        ("explain|--from|/nonexistent.json", "/nonexistent.json"),
        (f"explain|--from|x.json|{TYPED}", "--input was given too"),
    ],
)
def test_bad_input_ends_with_2_and_the_remedy(baseload, line, says):
    told = baseload(line, code=2)
    assert told.out == ""
    assert "error:" in told.err
    assert says in told.err


def test_a_file_that_is_no_decision(baseload, tmp_path):
    for text in ("{}", "[1]", "not json"):
        (tmp_path / "odd.json").write_text(text)
        assert "is no decision" in baseload(f"explain|--from|{tmp_path / 'odd.json'}", code=2).err
