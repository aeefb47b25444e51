"""Nothing leaves the machine: the guards of conftest catch what tries to."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# TEST-NET-1 and the documentation prefix: addresses that belong to nobody.
PLANTS = {
    "connect": "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "connect over IPv6": "import socket; socket.create_connection(('2001:db8::1', 80), timeout=1)",
    "look up": "import socket; socket.getaddrinfo('example.com', 80)",
    "send a datagram": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))",
    "swallow the error": (
        "import socket\n    try:\n        socket.create_connection(('192.0.2.1', 80))\n"
        "    except Exception:\n        pass"
    ),
    "asyncio": "import asyncio; asyncio.run(asyncio.wait_for(asyncio.open_connection('192.0.2.1', 80), 1))",
}
# These go round CPython's sockets: only the kernel sees them.
DEEP_PLANTS = {
    "uvloop": (
        "import asyncio, uvloop\n    try:\n        uvloop.run(asyncio.open_connection('192.0.2.1', 80))\n"
        "    except OSError:\n        pass"
    ),
    "uvloop lookup": (
        "import asyncio, uvloop\n    try:\n        uvloop.run(asyncio.open_connection('example.com', 80))\n"
        "    except OSError:\n        pass"
    ),
    "child process": (
        "import subprocess, sys\n"
        "    code = \"import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)\"\n"
        "    subprocess.run([sys.executable, '-c', code], stderr=subprocess.DEVNULL)"
    ),
}
HARMLESS = (
    "import socket\n    with socket.create_server(('127.0.0.1', 0)) as server:\n"
    "        socket.create_connection(server.getsockname()).close()\n    socket.getaddrinfo('localhost', 80)"
)


QUIET = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:hypothesispytest")


def _run(folder: Path, *bodies: str) -> dict[str, str]:
    """A test run of its own under this project's conftest: what it says of each body, `passed` or the failure."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    tests = (f"def test_{number}():\n    {body}\n" for number, body in enumerate(bodies))
    (folder / "test_planted.py").write_text("\n".join(tests))
    command = [sys.executable, "-m", "pytest", "--tb=line", "-rA", *QUIET, "--rootdir", str(folder), str(folder)]
    environment = {**os.environ, "COLUMNS": "1000"}  # so that messages are not cut
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, env=environment)
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR|SKIPPED) \S+?::test_(\d+)(.*)$", done.stdout, re.MULTILINE)
    return {bodies[int(number)]: f"{outcome.lower()}{said}" for outcome, number, said in outcomes}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("planted")
    return _run(folder, HARMLESS, *PLANTS.values(), *DEEP_PLANTS.values())


@pytest.mark.parametrize("plant", PLANTS)
def test_a_foreign_connection_fails_the_test_that_made_it(outcomes, plant):
    said = outcomes[PLANTS[plant]]
    assert said.startswith(("failed", "error")), said
    assert "ForeignConnection" in said or "tried to leave the machine" in said


@pytest.mark.parametrize("plant", DEEP_PLANTS)
def test_the_kernel_catches_what_goes_round_python(outcomes, plant, kernel):
    if not kernel.isolated:
        pytest.skip("needs root on Linux: a network namespace of its own")
    assert "the kernel counted" in outcomes[DEEP_PLANTS[plant]]


def test_loopback_is_allowed(outcomes):
    assert outcomes[HARMLESS] == "passed"


def test_a_skipped_test_fails_in_ci(tmp_path, monkeypatch):
    body = "import pytest; pytest.skip('no browser here')"
    monkeypatch.delenv("CI", raising=False)
    assert _run(tmp_path, body) == {}
    monkeypatch.setenv("CI", "true")
    assert "no browser here" in _run(tmp_path, body)[body]


def test_the_whole_demo_leaves_nothing(tmp_path, kernel):
    """Gateway, console, simulated upstreams and the official client in their own processes, uvloop and all."""
    if not kernel.isolated:
        pytest.skip("needs root on Linux: a network namespace of its own")
    before = kernel.attempts()
    command = [
        sys.executable,
        "-m",
        "baseload",
        "demo",
        "--once",
        "--sample",
        "1200",
        "--listen",
        "127.0.0.1:0",
        "--json",
    ]
    environment = {**os.environ, "BASELOAD_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metered"]["requests"] == 1200
    assert kernel.attempts() == before
