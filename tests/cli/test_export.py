"""`baseload export` as it is typed."""

import csv
import io
import json
import sys

import pytest

from baseload.cli.main import main
from baseload.ledger.hot import open_store
from baseload.usage import Usage
from samples import attempt, call

CONFIGURATION = """
upstreams: []
policy: {{routes: []}}
prices: [{{offer: acme/one, input: 2, output: 3}}]
data_dir: {folder}
"""


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


def test_focus_names_the_prices_of_the_configuration(typed, ledger, tmp_path):
    code, out, err = typed("focus")
    assert "2 attempts that no book at hand takes apart" in err
    assert [row["SkuId"] for row in csv.DictReader(io.StringIO(out))] == [""]
    store = open_store(ledger)
    usage = Usage(input_tokens=1_000, output_tokens=10)
    store.record([call("d", attempt(usage=usage, cost=2_030_000, book="yours", offer="acme/one"), seconds=9)])
    store.close()
    written = tmp_path / "baseload.yaml"
    written.write_text(CONFIGURATION.format(folder=ledger))
    code, out, err = typed("focus", "--config", written)
    assert code == 0
    rows = [row for row in csv.DictReader(io.StringIO(out)) if row["SkuId"]]
    assert [(row["SkuMeter"], row["ListUnitPrice"], row["BilledCost"]) for row in rows] == [
        ("Input Tokens", "2", "0.002"),
        ("Output Tokens", "3", "0.00003"),
    ]


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
