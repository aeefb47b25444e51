"""`baseload demo` as a user runs it: one document whose figures are the trace's, and clear words when it cannot run."""

import json
import os
import socket
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from baseload.cli.scene import bundled_trace, read_scene
from baseload.configuration import parse_settings
from baseload.ledger.hot import open_store
from baseload.ledger.query import Filter
from baseload.load.facts import Bucket

SAMPLE = 1000
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def demo(home: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "baseload", "demo", "--once", "--listen", "127.0.0.1:0", *options]
    environment = {**os.environ, "BASELOAD_HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> dict:
    done = demo(tmp_path_factory.mktemp("home"), "--sample", str(SAMPLE), "--speed", "200", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_was_metered_is_what_the_trace_says(document):
    rows = bundled_trace().arrivals[:SAMPLE]
    assert document["schema"] == "baseload.demo/1"
    assert document["metered"]["requests"] == SAMPLE
    assert document["metered"]["input_tokens"] == sum(row.input_tokens for row in rows)
    assert document["metered"]["output_tokens"] == sum(row.output_tokens for row in rows)
    assert document["metered"]["unpriced"] == 0
    assert document["metered"]["failed"] == 0
    assert document["verdict"]["sentence"]


def test_every_upstream_counted_the_same_and_all_of_them_served(document):
    assert document["agrees"] is True
    assert {each["upstream"] for each in document["upstreams"]} == {"api-frontier", "api-mid", "api-small", "own-pool"}
    for each in document["upstreams"]:
        assert each["counted"] == each["metered"]
    assert sum(each["metered"][0] for each in document["upstreams"]) == SAMPLE


def test_own_pool_serves_first_and_what_it_could_not_take_was_bought(document):
    served = {each["upstream"]: each["metered"][0] for each in document["upstreams"]}
    flagship = sum(read_scene().bucket(index) is Bucket.FLAGSHIP for index in range(SAMPLE))
    assert served["api-frontier"] == flagship
    assert served["own-pool"] == SAMPLE - flagship - document["metered"]["overflowed"]


def test_what_was_paid_is_what_was_bought_and_every_leased_hour(document):
    """Two H100 at 2.40 USD: 4.80 an hour, from the first arrival to the last end."""
    found = {key: Decimal(str(figure)) for key, figure in document["metered"].items()}
    assert found["paid_usd"] == found["cost_usd"] - found["own_usd"] + found["lease_usd"]
    assert found["busy_share"] == round(found["own_usd"] / found["lease_usd"], 6)
    store = open_store(Path(document["ledger"]).parent, read_only=True)
    calls = list(store.calls(Filter(tags={"run": document["run"]})))
    store.close()
    leased = max(call.ended_ns for call in calls) - min(call.facts.at_ns for call in calls)
    assert found["lease_usd"] == round(Decimal("4.80") * leased / (3600 * 10**9), 9)


def test_a_second_run_adds_to_the_ledger_and_reports_itself_alone(tmp_path):
    for _ in range(2):
        done = demo(tmp_path, "--sample", "40", "--speed", "300", "--json")
        assert json.loads(done.stdout)["metered"]["requests"] == 40
    text = demo(tmp_path, "--sample", "40", "--speed", "300")
    assert text.returncode == 0
    assert "the upstreams' own count agrees" in text.stdout
    assert "next: baseload decide" in text.stdout


def test_broken_rows_are_named_and_the_others_replayed(tmp_path):
    trace = tmp_path / "mine.csv"
    trace.write_text(HEADER + "2026-01-01 00:00:00,12,3\nnonsense\n2026-01-01 00:00:01,7,-1\n2026-01-01 00:00:02,5,2\n")
    done = demo(tmp_path, "--trace", str(trace), "--json")
    assert "mine.csv, line 3 is left out: 1 fields instead of 3" in done.stderr
    assert "line 4 is left out: GeneratedTokens '-1' is no count" in done.stderr
    found = json.loads(done.stdout)
    assert (found["metered"]["requests"], found["metered"]["input_tokens"]) == (2, 17)
    assert len(found["trace"]["broken_rows"]) == 2
    assert found["verdict"] is None
    assert "needs 30" in found["undecided"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read"),
        (b"\xff\xfe", "cannot read"),
        (b"a,b\n1,2\n", "not with TIMESTAMP,ContextTokens,GeneratedTokens"),
        (HEADER.encode(), "holds no request"),
        (HEADER.encode() + b"2021-11-16 18:15:46,1,2\n2023-11-16 18:15:46,1,2\n", "spans 730 days"),
        (HEADER.encode() + b"0001-01-01 00:00:00,1,2\n9999-12-31 23:59:59,1,2\n", "line 2: TIMESTAMP"),
        (HEADER.encode() + b"2023-11-16 18:15:46,9,0\n", "line 2: GeneratedTokens is 0"),
    ],
)
def test_a_trace_that_is_none_is_refused(tmp_path, content, says):
    trace = tmp_path / "trace.csv"
    if content is not None:
        trace.write_bytes(content)
    done = demo(tmp_path, "--trace", str(trace))
    assert done.returncode == 2
    assert says in done.stderr
    assert "next:" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_host_that_is_nowhere_is_named_before_anything_is_written(tmp_path):
    done = demo(tmp_path, "--listen", "a..b:80")
    assert done.returncode == 2
    assert "no address is known for 'a..b'" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_an_occupied_port_is_named_with_the_remedy(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo(tmp_path, "--sample", "10", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "next:" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_scene_is_a_configuration_and_keeps_its_shares():
    scene = read_scene()
    ports = {each.name: 9000 + place for place, each in enumerate(scene.simulated)}
    document = scene.settings(ports, bundled_trace(), listen="127.0.0.1:0", data_dir="x", speed=60)
    settings = parse_settings(document, {}, origin="demo")
    assert settings.upstreams[0].base_url == "http://127.0.0.1:9000/v1"
    buckets = [scene.bucket(index) for index in range(100)]
    assert [buckets.count(bucket) for bucket in scene.traffic.shares] == list(scene.traffic.shares.values())
