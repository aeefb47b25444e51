"""Every verb that reads or writes calls goes where the configuration or `--ledger` says: here to a real PostgreSQL."""

import csv
import json
from pathlib import Path

import pytest

from baseload.cli.place import Place, place_of
from baseload.errors import BadConfig
from baseload.ledger.hot import open_store
from postgres_server import Server

ROW = {
    "call_type": "acompletion",
    "spend": 1.5,
    "prompt_tokens": 1_000_000,
    "completion_tokens": 100_000,
    "startTime": "2026-10-01 08:00:00",
    "endTime": "2026-10-01 08:00:02",
    "model": "gpt-4o",
    "custom_llm_provider": "openai",
}
POLICY = """
name: thrift
aliases: {gpt-4o: judgment}
routes:
  - {name: nano, upstream: small, model: gpt-5-nano, offer: openai/gpt-5-nano, success: {judgment: 1}}
"""
CONFIG = """
upstreams:
  - {name: small, base_url: "http://127.0.0.1:1/v1"}
store: STORE
data_dir: DATA
policy: {name: one, aliases: {gpt-4o: judgment}, routes: [
  {name: nano, upstream: small, model: gpt-5-nano, offer: openai/gpt-5-nano, success: {judgment: 1}}]}
"""


@pytest.fixture(scope="module")
def server():
    found = Server()
    found.start()
    yield found
    found.close()


@pytest.fixture
def shared(server, tmp_path, monkeypatch):
    """A folder with a configuration whose ledger is a new database, and a log of three calls; we stand in it."""
    monkeypatch.chdir(tmp_path)
    url = server.database()
    (tmp_path / "baseload.yaml").write_text(CONFIG.replace("STORE", url).replace("DATA", str(tmp_path / "data")))
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(ROW | {"request_id": f"r{n}"}) + "\n" for n in range(3)))
    cost = (
        "start_time,end_time,amount_value,amount_currency,line_item,project_id\n1790812800,1790899200,10,usd,gpt-4o,\n"
    )
    (tmp_path / "cost.csv").write_text(cost)
    return url


def test_every_verb_honours_the_store_of_the_configuration(baseload, shared, tmp_path):
    dry = "import|litellm|log.jsonl|--dry-run"
    assert "3 would be new, 0 already here" in baseload(dry).out
    assert "3 new, 0 already here" in baseload("import|litellm|log.jsonl").out
    assert "0 would be new, 3 already here" in baseload(dry).out
    store = open_store(tmp_path, shared, read_only=True)
    assert len(list(store.calls())) == 3
    store.close()
    assert not list(tmp_path.rglob("ledger.db"))
    assert len(list(csv.DictReader(baseload("export|csv").out.splitlines()))) == 3
    replayed = json.loads(baseload("replay|-p|policy.yaml|--json").out)
    assert (replayed["ledger"], replayed["total"]["calls"]) == (shared.replace("postgres@", "***@"), 3)
    compared = json.loads(baseload("reconcile|--provider|openai|--invoice|cost.csv|--json", 3).out)
    assert (compared["calls"], compared["metered_usd"]) == (3, 10.5)
    assert json.loads(baseload("ledger|query|--json").out)["rows"][0]["calls"] == 3
    status = json.loads(baseload("ledger|status|--json").out)
    assert status["hot_calls"] == 3
    assert "schema version" in baseload("ledger|migrate").out
    assert "the ledger holds 3 answered calls" in baseload("decide|--config|baseload.yaml", 4).err
    api = "simulate|--ledger|URL|--api|openai/gpt-5-nano".replace("URL", shared)
    assert json.loads(baseload(f"{api}|--json").out)["load"]


def test_an_address_says_where_the_calls_are(baseload, shared, tmp_path, monkeypatch):
    baseload("import|litellm|log.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    lines = baseload(f"export|csv|--ledger|{shared}").out.splitlines()
    assert len(lines) == 4
    assert "no ledger" in baseload("export|csv", 4).err


def test_where_a_ledger_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path / "home"))
    other = tmp_path / "other.yaml"
    other.write_text("data_dir: /somewhere\nstore: postgresql://u:secret@db/x\n")
    assert place_of(None, None) == Place(tmp_path / "home", "")
    assert place_of("led", other) == Place(Path("led"), "")
    found = place_of(None, other)
    assert (str(found.directory), found.store) == ("/somewhere", "postgresql://u:secret@db/x")
    assert str(found) == "postgresql://***@db/x"
    assert place_of("postgresql://v@db/y", other).store == "postgresql://v@db/y"
    (tmp_path / "baseload.yaml").write_text("data_dir: here\n")
    assert str(place_of(None, None).directory) == "here"
    with pytest.raises(BadConfig):
        place_of(None, tmp_path / "none.yaml")


@pytest.mark.parametrize("verb", ["export|csv", "import|litellm|log.jsonl", "ledger|query", "ledger|migrate"])
def test_an_address_of_no_database_of_ours(baseload, shared, verb):
    assert "which no store of ours has" in baseload(f"{verb}|--ledger|mysql://u@h/d", 2).err
