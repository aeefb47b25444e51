"""`baseload decide` on scenarios, traces and frozen decisions."""

from __future__ import annotations

import gzip
import json
import sys
from importlib import resources

import msgspec
import pytest

from baseload.cli.main import main
from baseload.plan.answer import Answer

CONFIG = """
upstreams: [{name: api, base_url: "http://127.0.0.1:1/v1"}]
policy:
  aliases: {auto: judgment}
  routes: [{name: api, upstream: api, model: mid, offer: acme/large, success: {judgment: 1}}]
prices: [{offer: acme/large, input: 1, output: OUTPUT}]
"""


def decide(monkeypatch, capsys, words):
    """Exit code, stdout and stderr of one command."""
    monkeypatch.setattr(sys, "argv", ["baseload", "decide", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    return ended.value.code or 0, shown.out, shown.err


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path / "home"))
    return lambda *words: decide(monkeypatch, capsys, words)


def test_a_named_scenario(run):
    code, out, _ = run("--scenario", "article-4", "--no-plot")
    assert code == 0
    assert "Scenario article-4" in out
    assert "it says: mid-tier API 2,400 USD a month" in out
    assert "no more than mid-tier API in 99 of 100" in out
    assert "paid back in month 7" in out


def test_the_list(run):
    code, out, _ = run("--scenario", "list")
    assert code == 0
    assert "article-1-fintech" in out
    code, out, _ = run("--scenario", "list", "--json")
    assert [each["name"] for each in json.loads(out)][:2] == ["article-0-a", "article-0-b"]


def test_the_schema_is_the_published_one(run):
    code, out, _ = run("--schema")
    assert code == 0
    assert json.loads(out) == json.loads((resources.files("baseload.plan") / "data/decide.schema.json").read_text())


def test_answers_and_outlay_are_laid_over_a_scenario(run):
    words = ("--team", "--not-sensitive", "--accuracy", "0.96", "--months", "12", "--setup", "0")
    code, out, _ = run("--scenario", "article-1-10b", *words, "--json")
    assert code == 0
    found = msgspec.json.decode(out, type=Answer)
    assert found.questions is not None
    assert {each.id: each.answer for each in found.questions.questions} == {
        "volume": "yes", "sensitive": "no", "fine_tuning": "unknown", "team": "yes", "accuracy": "yes"}  # fmt: skip
    assert found.questions.worth_a_look
    assert found.cash is not None
    assert (found.cash.months, found.cash.setup_usd, len(found.cash.cases[0].flows_usd)) == (12, 0, 13)


def test_saved_and_repeated_to_the_byte(run, tmp_path):
    flags = (
        "--input",
        "300M",
        "--output",
        "100M",
        "--price",
        "3/15",
        "--model",
        "deepseek-v4-flash",
        "--gpu-month",
        "1200",
    )
    code, first, err = run(*flags, "--gpu-capacity", "1.6B", "--save", str(tmp_path), "--json")
    assert code == 0
    assert "saved" in err
    code, second, err = run("--repeat", str(tmp_path / "decision.json"), "--json")
    assert code == 0
    assert "Reproduced to the cent" in err
    assert second == first


def test_a_moved_price_breaches_and_names_the_book(run, tmp_path):
    """The same file, saved while the configuration's own book asked less."""
    config = tmp_path / "baseload.yaml"
    flags = ("--input", "300M", "--output", "100M", "--model", "acme/large", "--config", str(config))
    config.write_text(CONFIG.replace("OUTPUT", "4"))
    target = tmp_path / "frozen.json"
    code, _, err = run(*flags, "--save", str(target))
    assert code == 0, err
    config.write_text(CONFIG.replace("OUTPUT", "5"))
    code, _, err = run("--repeat", str(target), "--config", str(config))
    assert code == 3
    assert "the book yours moved" in err
    assert "from 700 to 800 USD" in err


def test_a_trace(run, tmp_path):
    path = tmp_path / "trace.csv"
    with gzip.open(str(resources.files("baseload.load") / "data" / "azure_conv_2023.csv.gz"), "rt") as packed:
        path.write_text("".join(line for _, line in zip(range(3000), packed, strict=False)))
    words = (
        "--trace",
        str(path),
        "--deployment",
        "qwen3-32b-2xh100-vllm0.12",
        "--gpu-hour",
        "2-3",
        "--price",
        "0.4/0.8",
    )
    code, out, err = run(*words, "--json")
    assert code == 0, err
    found = msgspec.json.decode(out, type=Answer)
    assert found.scenario is not None
    assert "2,999 requests" in found.scenario.title
    assert {option.name for option in found.options} >= {"API at 0.4/0.8", "qwen3-32b-2xh100-vllm0.12"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--scenario", "article-4", "--input", "3"), "--input was given too"),
        (("--scenario", "article-4", "--demo"), "--demo was given too"),
        (("--scenario", "article-4", "--repeat", "x"), "--repeat was given too"),
        (("--scenario", "nothing"), "neither a scenario that ships nor a file"),
        (("--scenario", "missing.yaml"), "there is no scenario file"),
        (("--scenario", "article-4", "--months", "0"), "a horizon of 0 months"),
        (("--scenario", "article-4", "--setup", "-5"), "is not a price"),
        (("--scenario", "article-4", "--accuracy", "95"), "is not 0 to 1"),
        (("--repeat", "missing.json"), "cannot read"),
        (("--input", "1M", "--price", "1/1", "--save", "/dev/null/x.json"), "cannot write /dev/null/x.json"),
        (("--trace", "missing.csv", "--deployment", "qwen3-32b-2xh100-vllm0.12"), "there is no trace file"),
        (("--trace", "missing.csv"), "is no measured deployment"),
        (("--deployment", "x"), "none was named"),
        (("--demo", "--deployment", "x"), "none was named"),
    ],
)
def test_what_does_not_go_together(run, words, says):
    code, out, err = run(*words)
    assert code == 2
    assert says in err
    assert "next:" in err
    assert out == ""


def test_a_home_that_cannot_be_written_forgets_only_which_was_the_last(run, monkeypatch, tmp_path):
    monkeypatch.setenv("BASELOAD_HOME", "/dev/null/home")
    code, out, err = run("--input", "1M", "--price", "1/1", "--save", str(tmp_path / "kept.json"))
    assert (code, out.splitlines()[0]) == (0, "At 1 M tokens a month the cheapest way is API at 1/1: 1 USD a month.")
    assert "not remembered as the last decision" in err
    assert run("--repeat", str(tmp_path / "kept.json"))[0] == 0
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]


def test_a_file_that_cannot_be_replaced_leaves_no_half(run, tmp_path):
    (tmp_path / "taken.json").mkdir()
    (tmp_path / "taken.json" / "decision.json").mkdir()
    code, out, err = run("--input", "1M", "--price", "1/1", "--save", str(tmp_path / "taken.json"))
    assert (code, out) == (2, "")
    assert "cannot write" in err
    assert [each.name for each in (tmp_path / "taken.json").iterdir()] == ["decision.json"]


def test_the_persona_has_its_article(run):
    assert "For an enterprise:" in run("--input", "20B", "--price", "1/1")[1]


def test_the_tasks_of_a_scenario_are_answered_beside_its_volume(run, tmp_path):
    code, out, err = run("--scenario", "article-2-tasks", "--json", "--save", str(tmp_path / "kept.json"))
    assert code == 0, err
    document = json.loads(out)
    # By the token V4 Flash, 400 x 0.18 + 100 x 0.25; by the task V4 Pro, 0.00153 + 5.5 % x 3 USD.
    assert (document["verdict"]["cheapest"], document["outcomes"]["winner"]) == ("DeepSeek V4 Flash", "DeepSeek V4 Pro")
    assert document["outcomes"]["ways"][0]["usd_per_success"]["likely"] == 0.16653
    # (0.00153 - 0.000485) / (15 % - 5.5 %)
    assert document["outcomes"]["turning"][0]["correction_usd"]["likely"] == 0.011
    page = run("--scenario", "article-2-tasks")[1]
    assert "A task of this scenario done right: a success costs least with DeepSeek V4 Pro: 0.1665 USD" in page
    assert "H*: DeepSeek V4 Pro wins over DeepSeek V4 Flash once a correction by hand costs more than" in page
    assert run("--repeat", str(tmp_path / "kept.json"))[0] == 0


def test_models_of_the_books_are_found_for_the_tasks_alone(run, tmp_path):
    path = tmp_path / "tasks.yaml"
    path.write_text(
        "name: tasks\ninput: 1M\nprices: [{price: 1/2}]\n"
        "outcomes: {input: 2K, output: 500, models: [{model: gpt-4o-mini, success: 0.9}]}\n"
    )
    document = json.loads(run("--scenario", str(path), "--json", "--save", str(tmp_path / "kept.json"))[1])
    assert document["outcomes"]["models"][0]["offer"] == "openai/gpt-4o-mini"
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert list(kept["books"]) == [document["outcomes"]["models"][0]["book"]]
    kept["document"]["outcomes"]["winner"] = "another"
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    assert run("--repeat", str(tmp_path / "kept.json"))[0] == 3
    path.write_text("name: tasks\ninput: 1M\nprices: [{price: 1/2}]\noutcomes: {models: []}\n")
    assert run("--scenario", str(path))[0] == 2


def test_the_figures_of_a_scenario_are_its_sources(run):
    document = json.loads(run("--scenario", "article-3", "--json")[1])
    sources = {row["name"]: (row["source"], row["date"]) for row in document["assumptions"]}
    said = ("the honest break-even math of self-hosting, last verified 2026-06-17", "2026-06-17")
    assert sources["machine"] == sources["volume"] == said
    typed = json.loads(run("--input", "1M", "--price", "1/2", "--json")[1])
    assert typed["assumptions"][0]["source"] == "typed on the command line"


def test_a_trace_may_be_compressed_and_a_broken_one_is_named(run, tmp_path):
    packed = resources.files("baseload.load") / "data" / "azure_conv_2023.csv.gz"
    words = ("--deployment", "qwen3-32b-2xh100-vllm0.12", "--price", "0.4/0.8")
    code, out, err = run("--trace", str(packed), *words, "--json")
    assert code == 0, err
    assert "19,366 requests" in json.loads(out)["scenario"]["title"]
    for content in (b"no gzip", packed.read_bytes()[:5_000], packed.read_bytes()[:1_000] + b"x" * 5_000):
        (tmp_path / "broken.csv.gz").write_bytes(content)
        code, out, err = run("--trace", str(tmp_path / "broken.csv.gz"), *words)
        assert (code, out) == (2, "")
        assert "broken.csv.gz" in err
