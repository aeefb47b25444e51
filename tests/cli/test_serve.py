"""`baseload serve` as a process: what it prints, how it ends, what survives when it is killed."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
import uvloop

from baseload.gateway.http import serve
from baseload.gateway.simulated import Simulated, api_pace
from baseload.ledger.hot import open_store
from baseload.ledger.query import Filter

CONFIG = """
listen: 127.0.0.1:0
data_dir: {data}
upstreams:
  - {{name: api, base_url: "http://127.0.0.1:{port}/v1"}}
policy:
  aliases: {{auto: judgment}}
  routes:
    - {{name: api, upstream: api, model: gpt-5-mini, offer: openai/gpt-5-mini, success: {{judgment: 0.9}}}}
"""
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 5}


class Serve:
    """A running `baseload serve`."""

    def __init__(self, config: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "baseload", "serve", "-c", str(config), "--no-console", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self) -> str:
        return self.process.stdout.readline()

    def end(self, signal_number: int) -> tuple[int, str]:
        self.process.send_signal(signal_number)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


def _settled(gateway: str) -> None:
    """Wait until the ledger holds everything."""
    while httpx.get(gateway.removesuffix("/v1") + "/healthz").json()["ledger"]["behind_bytes"]:
        time.sleep(0.02)


@pytest.fixture
def running() -> Iterator[list[Serve]]:
    started: list[Serve] = []
    yield started
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


async def with_upstream(work) -> Simulated:
    """Run blocking `work(port)` in a thread while a simulated upstream answers."""
    upstream = Simulated("gpt-5-mini", api_pace(0.001, 10_000))
    server = await serve(upstream.handle, "127.0.0.1", 0)
    try:
        await asyncio.to_thread(work, server.address[1])
    finally:
        await server.drain(0.1)
    return upstream


def test_after_kill_9_every_answered_call_is_in_the_ledger_once(tmp_path: Path, running: list[Serve]) -> None:
    config, data = tmp_path / "baseload.yaml", tmp_path / "data"

    def work(port: int) -> None:
        config.write_text(CONFIG.format(data=data, port=port))
        first = Serve(config)
        running.append(first)
        gateway = first.line().split()[1]
        assert first.line().startswith("  next: export OPENAI_BASE_URL=")
        for _ in range(20):
            assert httpx.post(f"{gateway}/chat/completions", json=QUESTION).status_code == 200
        first.end(signal.SIGKILL)
        second = Serve(config, "--json")
        running.append(second)
        text = ""
        while not text.endswith("}\n"):
            text += second.line()
        said = json.loads(text)
        assert (said["schema"], said["console"], said["unpriced_offers"]) == ("baseload.serve/1", None, [])
        assert httpx.post(f"{said['gateway']}/chat/completions", json=QUESTION).status_code == 200
        code, errors = second.end(signal.SIGTERM)
        assert (code, "Traceback" in errors) == (0, False)

    upstream = uvloop.run(with_upstream(work))
    store = open_store(data, read_only=True)
    calls = list(store.calls(Filter()))
    store.close()
    assert len(calls) == len({call.id for call in calls}) == 21 == upstream.count.requests
    assert sum(call.usage.prompt_tokens for call in calls) == upstream.count.prompt_tokens
    assert sum(call.usage.completion_tokens for call in calls) == upstream.count.completion_tokens
    assert list((data / "spool").iterdir()) == []


def test_a_data_directory_removed_while_it_serves_holds_what_was_answered_since(
    tmp_path: Path, running: list[Serve]
) -> None:
    config, data = tmp_path / "baseload.yaml", tmp_path / "data"

    def work(port: int) -> None:
        config.write_text(CONFIG.format(data=data, port=port))
        serving = Serve(config)
        running.append(serving)
        gateway = serving.line().split()[1]
        for count in (3, 5):
            for _ in range(count):
                assert httpx.post(f"{gateway}/chat/completions", json=QUESTION).status_code == 200
            if count == 3:
                _settled(gateway)
                shutil.rmtree(data)
        code, errors = serving.end(signal.SIGTERM)
        assert (code, "Traceback" in errors, "begins another" in errors) == (0, False, True)

    uvloop.run(with_upstream(work))
    store = open_store(data, read_only=True)
    calls = list(store.calls(Filter()))
    store.close()
    assert len(calls) == 5
    assert list((data / "spool").iterdir()) == []


def test_a_taken_port_and_an_unreadable_file(tmp_path: Path, running: list[Serve]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = tmp_path / "baseload.yaml"
        config.write_text(CONFIG.format(data=tmp_path / "data", port=1))
        busy = Serve(config, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        gone = Serve(tmp_path / "nowhere.yaml")
        running += [busy, gone]
        _, errors = busy.process.communicate(timeout=20)
        assert busy.process.returncode == 1
        assert "already in use" in errors
        assert " next: Stop what listens there" in errors
        _, errors = gone.process.communicate(timeout=20)
        assert gone.process.returncode == 2
        assert "nowhere.yaml" in errors
        assert " next: " in errors


@pytest.mark.parametrize("host", ["a..b", "fe80::1%nowhere"])
def test_a_host_that_is_nowhere_is_named_with_what_to_write(tmp_path: Path, running: list[Serve], host: str) -> None:
    config = tmp_path / "baseload.yaml"
    config.write_text(CONFIG.format(data=tmp_path / "data", port=1))
    lost = Serve(config, "--listen", f"[{host}]:80")
    running.append(lost)
    _, errors = lost.process.communicate(timeout=20)
    assert lost.process.returncode == 2
    assert f"no address is known for {host!r}" in errors
    assert " next: Write an address of this machine" in errors
    assert not (tmp_path / "data").exists()


def test_an_address_that_others_reach_is_not_served_without_a_key(tmp_path: Path, running: list[Serve]) -> None:
    config = tmp_path / "baseload.yaml"
    config.write_text(CONFIG.format(data=tmp_path / "data", port=1))
    bare = Serve(config, "--listen", "0.0.0.0:0")
    running.append(bare)
    _, errors = bare.process.communicate(timeout=20)
    assert bare.process.returncode == 2
    assert "no key is defined" in errors
    assert " next: Make a key with `baseload key create NAME`" in errors
