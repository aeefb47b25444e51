"""`baseload export` as it is typed."""

import csv
import json
import sys

import pytest

from baseload.cli.main import main
from baseload.ledger.hot import open_store
from samples import attempt, call


@pytest.fixture
def typed(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["baseload", "export", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def ledger(tmp_path):
    store = open_store(tmp_path)
    store.record([call("a"), call("b", attempt(cost=None), seconds=86_400), call("c", seconds=2 * 86_400)])
    store.close()
    return tmp_path


def test_every_kind(typed, ledger):
    code, out, err = typed("focus")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "1 attempt without a price: in no row" in err
    assert len(typed("csv", "--since", "2023-11-15", "--until", "2023-11-16")[1].splitlines()) == 2
    assert [json.loads(line) for line in typed("otel")[1].splitlines()]
    assert json.loads(typed("grafana")[1])["title"] == "Baseload"
    assert json.loads(typed("rules")[1])["groups"]
    code, _, err = typed("parquet", "--out", ledger / "x.parquet")
    assert "3 rows" in err
    assert (ledger / "x.parquet").read_bytes()[:4] == b"PAR1"


def test_a_file_is_whole_or_not_there(typed, ledger):
    assert typed("csv", "--out", ledger / "x.csv")[0] == 0
    with (ledger / "x.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert typed("csv", "--out", ledger / "no" / "x.csv")[0] == 2
    assert not list(ledger.glob("*.half"))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("pdf",), 2, "nothing is exported"),
        (("parquet",), 2, "no text"),
        (("csv",), 4, "no ledger"),
        (("csv", "--since", "soon"), 2, "--since"),
    ],
)
def test_misuse(typed, words, code, says):
    ended, _, err = typed(*words)
    assert ended == code
    assert says in err
