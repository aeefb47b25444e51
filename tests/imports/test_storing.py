"""A long import stores in a process of its own: the same ledger, the same report, the same errors."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from baseload.errors import LedgerUnavailable
from baseload.imports import storing
from baseload.imports.sink import DryRun, Ledger
from baseload.ledger import removed
from baseload.ledger.hot import open_store
from baseload.ledger.rows import document
from importing import calls
from samples import attempt, call

FIRST = [call(f"c{n}", seconds=n) for n in range(5)]
SECOND = [call("c4", attempt(cost=7), seconds=4), call("c5", seconds=5), call("c5", seconds=5)]


def test_both_ways_keep_the_same_calls_and_tell_the_same(tmp_path):
    told = []
    for apart in (1, 1_000):
        with Ledger(tmp_path / str(apart), apart=apart) as sink:
            found = [sink.calls(FIRST), sink.calls(SECOND), sink.calls(FIRST), sink.settled()]
        told.append(tuple(map(sum, zip(*found, strict=True))))
    assert told == [(6, 1), (6, 1)]
    assert not list(tmp_path.rglob("*-wal"))
    one, other = (list(map(document, calls(tmp_path / str(apart)))) for apart in (1, 1_000))
    assert one == other


def test_what_has_left_for_the_lake_is_new_to_nobody(tmp_path):
    with Ledger(tmp_path) as sink:
        assert sink.calls(FIRST) == (5, 0)
    store = open_store(tmp_path)
    with store.writing() as connection:
        removed.take_out(connection, 0, ["c1", "c2"], str(tmp_path))
    store.close()
    with DryRun(tmp_path) as sink:
        assert sink.calls([*FIRST, call("c9")]) == (1, 0)
    with Ledger(tmp_path) as sink:
        assert sink.calls([*FIRST, call("c9")]) == (1, 0)


def test_an_error_comes_back_as_it_was(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)
    with Ledger(tmp_path, apart=1) as sink:
        sink.calls(FIRST)
        with pytest.raises(LedgerUnavailable) as raised:
            sink.settled()
    assert "not a database" in raised.value.message
    assert raised.value.remedy


KILLED = """
import sys, time
from baseload.imports.storing import Storing
from pathlib import Path
storing = Storing(Path(sys.argv[1]), "")
print(storing.pid, flush=True)
time.sleep(60)
"""


def test_it_does_not_outlive_an_import_that_was_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    with subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = Path(f"/proc/{int(process.stdout.readline())}")
        assert child.exists()
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_that_dies_is_an_error_with_a_remedy(tmp_path):
    apart = storing.Storing(tmp_path, "")
    apart.put([document(each) for each in FIRST])
    assert apart.settled() == (5, 0)
    os.kill(apart.pid, signal.SIGKILL)
    apart.put([document(each) for each in FIRST])
    with pytest.raises(LedgerUnavailable, match="has died"):
        apart.settled()
    apart.close()
