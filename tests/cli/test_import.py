"""`baseload import` as it is typed: dry and for good, from a pipe, with rejects kept, every misuse a clear message."""

import io
import json
import sys

import pytest

from baseload.cli.main import main

ROW = {
    "request_id": "r1",
    "call_type": "acompletion",
    "spend": 0,
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "startTime": "2026-10-01 08:00:00",
    "endTime": "2026-10-01 08:00:02",
    "model": "gpt-4o",
    "custom_llm_provider": "openai",
}


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path / "home"))
    path = tmp_path / "logs.jsonl"
    rows = [ROW, ROW | {"request_id": "r2"}, ROW | {"request_id": "r3", "prompt_tokens": -1}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def typed(monkeypatch, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["baseload", "import", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_a_dry_run_says_what_would_be_and_then_it_is(typed, logs, tmp_path):
    code, out, err = typed("litellm", logs, "--dry-run")
    assert code == 0
    assert "2 would be new, 0 already here, 1 rejected" in out
    assert "zero_spend" in out
    assert "line 3: prompt_tokens" in err
    assert not (tmp_path / "home").exists()
    assert "2 new, 0 already here" in typed("litellm", logs)[1]
    assert "0 new, 2 already here" in typed("litellm", logs)[1]


def test_one_document(typed, logs):
    code, out, _ = typed("litellm", logs, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["schema"] == "baseload.import/1"
    assert (document["new"], document["rejected"], document["usage"]["input_tokens"]) == (2, 1, 2000)
    assert document["rejected_lines"] == [{"line": 3, "reason": document["rejected_lines"][0]["reason"]}]


def test_usage_without_money_is_no_zero_and_the_next_step_names_who_bills(typed, logs, tmp_path):
    result = {"object": "organization.usage.completions.result", "input_tokens": 10, "output_tokens": 2, "model": "m"}
    bucket = {"object": "bucket", "start_time": 1790812800, "end_time": 1790899200, "results": [result]}
    usage = tmp_path / "usage.json"
    usage.write_text(json.dumps({"object": "page", "data": [bucket]}))
    code, out, _ = typed("openai", usage, "--dry-run")
    assert code == 0
    assert "the log says nothing of money" in out
    assert "reconcile --provider openai" in out
    assert json.loads(typed("openai", usage, "--dry-run", "--json")[1])["log_usd"] is None


def test_rejects_are_kept_whole_or_not_at_all(typed, logs, tmp_path):
    kept = tmp_path / "rejected.jsonl"
    typed("litellm", logs, "--rejects", kept)
    (line,) = kept.read_text().splitlines()
    assert json.loads(json.loads(line)["record"])["request_id"] == "r3"
    kept.unlink()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert typed("litellm", tmp_path / "other.csv", "--rejects", kept)[0] == 2
    assert not list(tmp_path.glob("rejected*"))


def test_a_pipe(typed, logs, monkeypatch):
    class Piped:
        buffer = io.BufferedReader(io.BytesIO(logs.read_bytes()))

    monkeypatch.setattr(sys, "stdin", Piped)
    assert "2 new" in typed("litellm", "-")[1]


def test_the_formats_are_listed(typed):
    code, out, _ = typed("list")
    assert code == 0
    assert "LiteLLM's spend logs" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("helicone", "x"), "no format is called"),
        (("litellm", "no/such/file"), "cannot read"),
        (("litellm", "LOGS", "--tz", "Mars/Olympus"), "no time zone"),
        (("litellm", "LOGS", "--map", "model=llm"), "--map is for csv"),
        (("csv", "LOGS", "--map", "at=startTime", "--map", "at=endTime"), "names 'at' twice"),
        (("litellm", "LOGS", "--start", "soon"), "--start"),
        (("csv", "LOGS", "--map", "model"), "field=column"),
        (("csv", "LOGS", "--map", "nonsense=model"), "no such field"),
        (("litellm", "LOGS", "--rejects", "/no/such/folder/x"), "cannot write"),
    ],
)
def test_misuse_is_named_and_ends_with_2(typed, logs, arguments, says):
    code, _, err = typed(*(logs if each == "LOGS" else each for each in arguments))
    assert code == 2
    assert says in err
    assert "next:" in err


def test_a_file_of_which_nothing_can_be_read_ends_with_2(typed, tmp_path, monkeypatch):
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path / "home"))
    path = tmp_path / "logs.jsonl"
    path.write_text(json.dumps(ROW | {"startTime": "yesterday"}) + "\n")
    code, out, err = typed("litellm", path)
    assert (code, "0 new" in out) == (2, True)
    assert "no record of" in err
