"""A trace that cannot be replayed is refused before anything is started or written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def demo(home: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "baseload", "demo", "--once", *options]
    environment = {**os.environ, "BASELOAD_HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("2021-11-16 18:15:46,1,2\n2023-11-16 18:15:46,1,2\n", "spans 730 days, and a replay takes at most 31"),
        ("0001-01-01 00:00:00,1,2\n9999-12-31 23:59:59,1,2\n", "holds no request; line 2: TIMESTAMP"),
        ("2023-11-16 18:15:46,9,0\n", "holds no request; line 2: GeneratedTokens is 0"),
    ],
    ids=["years apart", "beyond the calendar", "asks for nothing"],
)
def test_a_trace_that_cannot_be_replayed(tmp_path, rows, says):
    trace = tmp_path / "trace.csv"
    trace.write_text(HEADER + rows)
    done = demo(tmp_path / "home", "--listen", "127.0.0.1:0", "--trace", str(trace))
    assert done.returncode == 2
    assert says in done.stderr
    assert "next:" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_host_that_is_nowhere(tmp_path):
    done = demo(tmp_path / "home", "--listen", "a..b:80")
    assert done.returncode == 2
    assert "no address is known for 'a..b'" in done.stderr
    assert not (tmp_path / "home").exists()
