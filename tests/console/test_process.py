"""The console as a child: it answers, it ends when told, and it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import msgspec
import pytest
from tests.console.conftest import traffic

from baseload.console import process
from baseload.console.app import HEADERS
from baseload.errors import BaseloadError

PATIENCE = 20.0
PARENT = """
import sys, time
from pathlib import Path
from baseload.console import process
console = process.start(Path(sys.argv[1]), Path(sys.argv[2]))
print(console.socket, flush=True)
time.sleep(60)
"""


@pytest.fixture
def config(tmp_path: Path, configured) -> Path:
    path = tmp_path / "baseload.yaml"
    path.write_bytes(msgspec.json.encode(configured))  # JSON is YAML
    return path


def _get(socket: Path, target: str) -> httpx2.Response:
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(socket))) as client:
        return client.get(f"http://console{target}")


def _soon(condition) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_it_answers_over_its_socket_and_leaves_nothing_behind(tmp_path, config, record):
    record([*traffic(20, "one"), *traffic(7, "two")])
    with process.start(tmp_path, config, "two") as console:
        answer = _get(console.socket, "/tables/traffic.json")
        assert answer.status_code == 200
        assert answer.json()["totals"]["requests"] == 7
        assert HEADERS.items() <= dict(answer.headers).items()
        assert console.alive
        assert console.socket.parent.stat().st_mode & 0o077 == 0
    assert not console.alive
    assert not console.socket.parent.exists()
    console.stop()


def test_it_ends_when_its_parent_is_killed(tmp_path, config):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), str(config)], stdout=subprocess.PIPE, text=True
    )
    socket = parent.stdout.readline().strip()
    assert _get(Path(socket), "/llms.txt").status_code == 200
    parent.kill()
    parent.communicate()
    assert _soon(lambda: not Path(socket).parent.exists())


def test_a_ctrl_c_in_the_terminal_is_left_to_the_parent(tmp_path, config):
    with process.start(tmp_path, config) as console:
        os.kill(console.pid, signal.SIGINT)
        assert _get(console.socket, "/").status_code == 200


def test_why_it_cannot_start_is_said_by_the_parent(tmp_path, config, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    config.write_text("upstreams: 3")
    with pytest.raises(BaseloadError, match="upstreams") as raised:
        process.start(tmp_path, config)
    assert raised.value.remedy
    assert not list(tmp_path.glob("baseload-*"))


def test_by_hand_it_takes_flags(tmp_path, config):
    socket = tmp_path / "console.sock"
    command = [sys.executable, "-m", "baseload.console", "--socket", str(socket), "--data-dir", str(tmp_path)]
    console = subprocess.Popen([*command, "--config", str(config)])
    assert _soon(socket.exists)
    assert _soon(lambda: _answers(socket))
    console.terminate()
    console.wait(PATIENCE)
    config.write_text("upstreams: 3")
    failed = subprocess.run([*command, "--config", str(config)], capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert " next: " in failed.stderr


def _answers(socket: Path) -> bool:
    try:
        return "Nothing metered yet" in _get(socket, "/").text
    except httpx2.ConnectError:
        return False
