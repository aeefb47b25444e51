"""`baseload ledger`, from calls that were metered to a lake that is proven whole."""

import csv
import io
import json
import subprocess
import sys

import pytest

from baseload.ledger.hot import open_store
from baseload.ledger.lake import HOUR_NS
from samples import START_NS, attempt, call


@pytest.fixture
def baseload(tmp_path):
    def run(*words: str):
        command = [sys.executable, "-m", "baseload", "ledger", *words, "--ledger", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    return run


@pytest.fixture
def metered(tmp_path):
    """Two teams over three hours."""
    store = open_store(tmp_path)
    store.record(
        call(f"c{n}", attempt(cost=1_000_000_000 * n), seconds=n * 1_800, tags={"team": "ab"[n % 2]}) for n in range(6)
    )
    store.close()


def test_sealed_merged_verified_and_asked(baseload, metered, tmp_path):
    before = baseload("query", "--by", "team", "--json")
    assert before.returncode == 0, before.stderr
    rows = json.loads(before.stdout)["rows"]
    assert [(row["team"], row["calls"], row["usd"]) for row in rows] == [("b", 3, 9), ("a", 3, 6)]
    assert "sealed 6 calls into 3 segments" in baseload("seal").stdout
    again = baseload("seal")
    assert "sealed 0 calls into 0 segments" in again.stdout
    assert "is in the lake already" in again.stderr
    assert "merged 4 calls into 1 segment" in baseload("compact").stdout  # a day of two hours, and one of one
    assert baseload("query", "--by", "team", "--json").stdout == before.stdout
    assert baseload("verify").returncode == 0
    assert json.loads(baseload("status", "--json").stdout)["lake_calls"] == 6
    (tmp_path / "ledger.db").unlink()
    assert baseload("query", "--by", "team", "--json").stdout == before.stdout


def test_what_is_missing_ends_with_3(baseload, metered, tmp_path):
    baseload("seal")
    next((tmp_path / "lake").rglob("*.parquet")).unlink()
    done = baseload("verify", "--json")
    assert done.returncode == 3
    assert "not as recorded and sealed: 2 findings" in done.stderr
    assert len(json.loads(done.stdout)["broken"]) == 2
    assert baseload("query").returncode != 0


def test_small_money_is_shown_and_unknown_money_is_no_zero(baseload, tmp_path):
    store = open_store(tmp_path)
    small = call("small", attempt(cost=1_014_000), tags={"team": "a"})
    bare = call("bare", attempt(cost=None), tags={"team": "b"})
    store.record([small, bare])
    store.close()
    done = baseload("query", "--by", "team,day")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert rows["a"][1] == "2023-11-14"
    assert rows["a"][-3:] == ["0.0010", "0", "0"]
    assert rows["b"][-3:] == ["unknown", "0", "1"]
    assert (rows["total"][1], rows["total"][-3:]) == ("2", ["0.0010", "0", "1"])
    assert "lower bound" in done.stderr


def test_days_of_a_place_as_a_file_for_a_sheet(baseload, metered):
    done = baseload("query", "--by", "day,team", "--tz", "Asia/Tokyo", "--since", "2023-11-15", "--csv")
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["day"] for row in found} == {"2023-11-15 00:00:00+09"}
    assert sum(int(row["calls"]) for row in found) == 6
    assert START_NS % HOUR_NS


@pytest.mark.parametrize(
    "words",
    [("--by", "nothing"), ("--since", "yesterday"), ("--tz", "Mars/Base"), ("--where", "team"), ("--by", "day,day")],
)
def test_what_cannot_be_asked_ends_with_2(baseload, metered, words):
    done = baseload("query", *words)
    assert done.returncode == 2
    assert "next:" in done.stderr


def test_where_there_is_no_ledger_it_says_so(baseload):
    for verb in ("query", "seal", "verify", "status", "migrate"):
        assert baseload(verb).returncode == 4
