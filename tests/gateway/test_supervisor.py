"""Several workers on one port: they serve together, die alone, take a new configuration together, and lose no call."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import httpx2 as httpx
import msgspec
import pytest
from openai import AsyncOpenAI, OpenAIError

from baseload.configuration import parse_settings
from baseload.errors import AddressTaken
from baseload.gateway.http import Exchange, Request, Server, serve
from baseload.gateway.loaded import decoded, encoded, load
from baseload.gateway.port import reserved
from baseload.gateway.reload import changed, keeping_fixed
from baseload.gateway.simulated import Simulated, api_pace
from baseload.ledger.hot import open_store
from baseload.settings import Settings

SECONDS = 30.0
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 5}


def config(directory: Path, port: int, **more: object) -> dict[str, object]:
    """A configuration with one route to the upstream of a port."""
    route = {"name": "api", "upstream": "api", "model": "gpt-5-mini", "offer": "openai/gpt-5-mini"}
    return {
        "listen": "127.0.0.1:0",
        "data_dir": str(directory / "data"),
        "workers": 2,
        "upstreams": [{"name": "api", "base_url": f"http://127.0.0.1:{port}/v1"}],
        "policy": {"aliases": {"auto": "judgment"}, "routes": [{**route, "success": {"judgment": 0.9}}]},
        **more,
    }


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@dataclass
class Running:
    """A `baseload serve` process."""

    process: subprocess.Popen[str]
    file: Path
    url: str = ""
    errors: list[str] = field(default_factory=list)

    def say(self, document: dict[str, object]) -> None:
        """Write another configuration, in one piece as an editor does."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(document))
        draft.replace(self.file)

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return self.running(b"gateway.worker")

    def running(self, module: bytes) -> list[int]:
        """Process ids of its children that run a module."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [int(pid) for task in tasks for pid in task.read_text().split()]
        return [pid for pid in children if module in _command(pid)]

    def get(self, path: str) -> httpx.Response:
        """Blocks the loop, and with it the upstream: for what needs none."""
        return httpx.get(self.url + path, timeout=SECONDS)

    async def ask(self, **more: object) -> httpx.Response:
        return await self.post("/v1/chat/completions", json={**QUESTION, **more})

    async def post(self, path: str, **more: object) -> httpx.Response:
        async with httpx.AsyncClient(timeout=SECONDS) as client:
            return await client.post(self.url + path, **more)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something."""
        deadline = time.monotonic() + SECONDS
        while not await asyncio.to_thread(holds):
            assert time.monotonic() < deadline, self.process.poll()
            await asyncio.sleep(0.05)

    async def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        _, errors = await asyncio.to_thread(self.process.communicate, timeout=SECONDS)
        self.errors = errors.splitlines()
        return self.process.returncode


@dataclass
class Stage:
    """An upstream that counts, and gateways before it."""

    directory: Path
    upstream: Simulated
    port: int
    started: list[Running] = field(default_factory=list)

    async def serve(self, *arguments: str, console: bool = False, **more: object) -> Running:
        """Start a gateway; returns when it serves."""
        file = self.directory / "baseload.yaml"
        file.write_text(json.dumps(config(self.directory, self.port, **more)))
        command = [sys.executable, "-m", "baseload", "serve", "-c", str(file), "--json", *arguments]
        command += [] if console else ["--no-console"]
        process = await asyncio.to_thread(
            subprocess.Popen, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running = Running(process, file)
        self.started.append(running)
        text = ""
        assert process.stdout is not None
        while not text.endswith("}\n"):
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, process.stderr.read() if process.stderr else ""
            text += line
        running.url = json.loads(text)["gateway"].removesuffix("/v1")
        return running

    def recorded(self) -> Counter[str]:
        store = open_store(self.directory / "data", read_only=True)
        try:
            return Counter(call.decision.id for call in store.calls())
        finally:
            store.close()

    def left(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "data" / "spool").iterdir())


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    upstream = Simulated("gpt-5-mini", api_pace(0.001, 10_000))
    server = await serve(upstream.handle, "127.0.0.1", 0)
    found = Stage(tmp_path, upstream, server.address[1])
    yield found
    for each in found.started:
        if each.process.poll() is None:
            each.process.kill()
        if each.process.stdout is not None and not each.process.stdout.closed:
            each.process.communicate()
    await server.drain(0.1)


class Load:
    """Askers that ask until told to stop. `answered` are the decisions of whole answers, `failed` what else came."""

    def __init__(self, url: str, askers: int = 8, retries: int = 0) -> None:
        self.answered: list[str] = []
        self.failed: list[str] = []
        self._url = f"{url}/v1"
        self._retries = retries
        self._tasks = [asyncio.create_task(self._ask(number)) for number in range(askers)]
        self._stopping = False

    async def _ask(self, number: int) -> None:
        stream = number % 2 == 0
        async with AsyncOpenAI(base_url=self._url, api_key="k", max_retries=self._retries) as client:
            while not self._stopping:
                try:
                    answer = await client.chat.completions.with_raw_response.create(**QUESTION, stream=stream)
                    if stream:
                        assert [chunk async for chunk in answer.parse()]
                    self.answered.append(answer.headers["x-baseload-decision-id"])
                except OpenAIError as error:
                    self.failed.append(repr(error))
                    await asyncio.sleep(0.02)

    async def reach(self, count: int) -> None:
        wanted = len(self.answered) + count
        deadline = time.monotonic() + SECONDS
        while len(self.answered) < wanted:
            assert time.monotonic() < deadline, self.failed[-3:]
            await asyncio.sleep(0.01)

    async def go_on(self, count: int) -> None:
        """Until so many more are served, or a budget refuses: a quick machine may have spent it all by then."""
        served, failed, deadline = len(self.answered) + count, len(self.failed), time.monotonic() + SECONDS
        while len(self.answered) < served and not any("RateLimitError" in each for each in self.failed[failed:]):
            assert time.monotonic() < deadline, self.failed[-3:]
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)


async def test_two_workers_serve_one_port_and_every_call_is_recorded_once(stage: Stage) -> None:
    gateway = await stage.serve()
    assert len(gateway.workers) == 2
    load = Load(gateway.url)
    await load.reach(200)
    await load.stop()
    health = gateway.get("/healthz").json()
    assert (health["ok"], health["workers"], health["restarts"]) == (True, 2, 0)
    assert health["calls_written"] == len(load.answered)
    assert gateway.get("/readyz").json() == {"ready": True, "reason": ""}
    await gateway.until(lambda: not gateway.get("/healthz").json()["ledger"]["behind_bytes"])
    assert f'outcome="ok"}} {len(load.answered)}' in gateway.get("/metrics").text
    assert await gateway.end() == 0
    assert load.failed == []
    assert stage.recorded() == Counter(load.answered)
    assert stage.left() == []
    assert stage.upstream.count.requests == len(load.answered)


async def test_a_worker_that_is_killed_is_replaced_and_loses_no_answered_call(stage: Stage) -> None:
    gateway = await stage.serve()
    load = Load(gateway.url)
    for _ in range(2):
        await load.reach(50)
        victim = gateway.workers[0]
        os.kill(victim, signal.SIGKILL)
        await gateway.until(lambda victim=victim: victim not in gateway.workers and len(gateway.workers) == 2)
    await load.reach(100)
    await load.stop()
    await gateway.until(lambda: gateway.get("/healthz").json()["workers"] == 2)
    assert gateway.get("/healthz").json()["restarts"] == 2
    assert "baseload_worker_restarts_total 2" in gateway.get("/metrics").text
    assert await gateway.end() == 0
    recorded = stage.recorded()
    assert set(load.answered) <= set(recorded)
    assert set(recorded.values()) == {1}
    assert len(recorded) - len(load.answered) <= 2 * 8
    assert [name for name in stage.left() if not name.endswith(".damaged")] == []


async def test_a_console_that_is_killed_is_replaced(stage: Stage) -> None:
    gateway = await stage.serve(console=True)
    assert "Baseload console" in gateway.get("/llms.txt").text
    (victim,) = gateway.running(b"baseload.console")
    os.kill(victim, signal.SIGKILL)
    await gateway.until(lambda: gateway.get("/llms.txt").status_code == 502)
    await gateway.until(lambda: gateway.get("/llms.txt").status_code == 200)
    assert gateway.get("/healthz").json()["restarts"] == 0
    assert await gateway.end() == 0
    assert any("the console died" in line for line in gateway.errors)


async def test_a_killed_supervisor_takes_its_workers_along_and_loses_nothing(stage: Stage) -> None:
    gateway = await stage.serve()
    workers = gateway.workers
    assert len(workers) == 2
    load = Load(gateway.url)
    await load.reach(60)
    gateway.process.kill()
    await gateway.until(lambda: not any(_command(pid) for pid in workers))
    await load.stop()
    again = await stage.serve()
    assert (await again.end()) == 0
    recorded = stage.recorded()
    assert set(load.answered) <= set(recorded)
    assert set(recorded.values()) == {1}
    assert stage.left() == []


async def test_a_reload_under_load_loses_no_call_and_reaches_every_worker(stage: Stage) -> None:
    gateway = await stage.serve()
    load = Load(gateway.url)
    versions = {gateway.get("/healthz").json()["policy"]}
    for number in range(4):
        await load.reach(40)
        document = config(stage.directory, stage.port)
        document["policy"]["name"] = f"p{number}"
        gateway.say(document)
        if number % 2:
            gateway.process.send_signal(signal.SIGHUP)
        await gateway.until(lambda number=number: gateway.get("/healthz").json()["policy"].startswith(f"p{number}@"))
        versions.add(gateway.get("/healthz").json()["policy"])
    await load.reach(40)
    await load.stop()
    assert load.failed == []
    assert await gateway.end() == 0
    store = open_store(stage.directory / "data", read_only=True)
    policies = {call.decision.policy for call in store.calls()}
    store.close()
    assert policies == versions
    assert stage.recorded() == Counter(load.answered)


async def test_a_bad_configuration_changes_nothing_and_is_told(stage: Stage) -> None:
    gateway = await stage.serve()
    before = gateway.get("/healthz").json()["policy"]
    bad = config(stage.directory, stage.port)
    bad["policy"]["routes"][0]["upstream"] = "nowhere"
    gateway.say(bad)
    await gateway.until(lambda: not gateway.get("/healthz").json()["reload"]["ok"])
    health = gateway.get("/healthz").json()
    assert health["ok"]
    assert health["policy"] == before
    assert "nowhere" in health["reload"]["error"]
    assert "baseload_config_last_reload_successful 0" in gateway.get("/metrics").text
    assert (await gateway.ask()).status_code == 200
    good = config(stage.directory, stage.port, workers=1)
    gateway.say(good)
    await gateway.until(lambda: gateway.get("/healthz").json()["reload"]["ok"])
    assert len(gateway.workers) == 2, "how many workers there are takes a restart"
    assert await gateway.end() == 0
    assert any("workers: a restart is needed" in line for line in gateway.errors)


async def test_upstreams_and_limits_are_exchanged_while_requests_are_under_way(stage: Stage) -> None:
    released, waiting = asyncio.Event(), asyncio.Event()

    async def slow(request: Request, exchange: Exchange) -> None:
        waiting.set()
        await released.wait()
        await stage.upstream.handle(request, exchange)

    server: Server = await serve(slow, "127.0.0.1", 0)
    gateway = await stage.serve(upstreams=[{"name": "api", "base_url": f"http://127.0.0.1:{server.address[1]}/v1"}])
    async with httpx.AsyncClient(timeout=SECONDS) as client:
        asked = asyncio.create_task(client.post(f"{gateway.url}/v1/chat/completions", json=QUESTION))
        await waiting.wait()
        gateway.say(config(stage.directory, stage.port, limits={"body_bytes": 300}))
        at = gateway.get("/healthz").json()["reload"]["at"]
        await gateway.until(lambda: gateway.get("/healthz").json()["reload"]["at"] != at)
        assert (await client.post(f"{gateway.url}/v1/chat/completions", json=QUESTION)).status_code == 200
        async with httpx.AsyncClient(timeout=SECONDS) as fresh:
            long = {**QUESTION, "user": "x" * 400}
            assert (await fresh.post(f"{gateway.url}/v1/chat/completions", json=long)).status_code == 413
        released.set()
        assert (await asked).status_code == 200
    await server.drain(0.1)
    assert await gateway.end() == 0


async def test_on_the_way_out_it_is_not_ready_first_and_streams_end(stage: Stage) -> None:
    released, waiting = asyncio.Event(), asyncio.Event()

    async def slow(request: Request, exchange: Exchange) -> None:
        waiting.set()
        await released.wait()
        await stage.upstream.handle(request, exchange)

    server = await serve(slow, "127.0.0.1", 0)
    gateway = await stage.serve(
        upstreams=[{"name": "api", "base_url": f"http://127.0.0.1:{server.address[1]}/v1"}],
        stop={"grace_seconds": 1.5, "drain_seconds": 20},
    )
    async with httpx.AsyncClient(timeout=SECONDS) as client:
        asked = asyncio.create_task(
            client.post(f"{gateway.url}/v1/chat/completions", json={**QUESTION, "stream": True})
        )
        await waiting.wait()
        gateway.process.send_signal(signal.SIGTERM)
        await gateway.until(lambda: gateway.get("/readyz").status_code == 503)
        assert gateway.get("/readyz").json() == {"ready": False, "reason": "draining"}
        assert gateway.get("/healthz").json()["ok"], "alive, and requests are still taken"

        def refused() -> bool:
            try:
                gateway.get("/healthz")
            except httpx.ConnectError:
                return True
            except httpx.HTTPError:
                return False
            return False

        await gateway.until(refused)
        released.set()
        answer = await asked
        assert answer.status_code == 200
        assert answer.text.endswith("data: [DONE]\n\n")
    _, errors = await asyncio.to_thread(gateway.process.communicate, timeout=SECONDS)
    assert (gateway.process.returncode, "Traceback" in errors) == (0, False)
    await server.drain(0.1)
    assert len(stage.recorded()) == 1


async def test_it_is_not_ready_while_no_upstream_is_usable(stage: Stage) -> None:
    circuit = {"failures": 1, "open_seconds": 60}
    gateway = await stage.serve(
        upstreams=[{"name": "api", "base_url": "http://127.0.0.1:9/v1", "circuit": circuit}], workers=1
    )
    assert gateway.get("/readyz").status_code == 200
    assert (await gateway.ask()).status_code == 502
    assert gateway.get("/readyz").json() == {"ready": False, "reason": "no upstream is usable"}
    assert 'baseload_breaker_state{upstream="api"} 1' in gateway.get("/metrics").text
    assert gateway.get("/healthz").json()["ok"]
    assert await gateway.end() == 0


async def test_a_second_gateway_does_not_slip_in_beside_the_first(stage: Stage) -> None:
    gateway = await stage.serve()
    port = int(gateway.url.rpartition(":")[2])
    with pytest.raises(AddressTaken, match="already in use"), reserved("127.0.0.1", port):
        pass
    with reserved("127.0.0.1", 0) as (host, free), pytest.raises(AddressTaken), reserved(host, free):
        pass
    assert await gateway.end() == 0
    with reserved("127.0.0.1", port):
        pass


async def test_an_admin_has_the_configuration_read_again(stage: Stage) -> None:
    key = "an-admin-key-of-some-length"
    gateway = await stage.serve(admin_key=key)
    document = config(stage.directory, stage.port, admin_key=key)
    document["policy"]["name"] = "other"
    gateway.file.write_text(json.dumps(document))
    answer = await gateway.post("/admin/reload", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    report = answer.json()
    assert report["ok"]
    assert report["policy"].startswith("other@")
    assert report["changed"] == ["policy"]
    gateway.file.write_text("upstreams: 3")
    report = (await gateway.post("/admin/reload", headers={"authorization": f"Bearer {key}"})).json()
    assert (report["ok"], report["policy"].startswith("other@")) == (False, True)
    assert "upstreams" in report["error"]
    assert await gateway.end() == 0


def test_somebody_who_would_share_the_port_is_not_joined() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AddressTaken, match="already in use"), reserved("127.0.0.1", port):
            pass


def test_what_a_running_gateway_cannot_change_keeps_its_value_and_is_named() -> None:
    def read(**more: object) -> Settings:
        return parse_settings(config(Path("/nowhere"), 1, **more), {}, origin="test")

    written = read()
    in_force = msgspec.structs.replace(written, listen="127.0.0.1:8791", workers=4)  # as the command line said
    same, none = keeping_fixed(in_force, read(), written)
    assert (same, none) == (in_force, ())
    now, named = keeping_fixed(in_force, read(listen="0.0.0.0:80", workers=3, limits={"body_bytes": 9}), written)
    assert (now.listen, now.workers, now.limits.body_bytes) == ("127.0.0.1:8791", 4, 9)
    assert named == ("listen", "workers")
    assert changed(in_force, now) == ("limits",)


def test_what_workers_are_told_survives_the_pipe() -> None:
    document = config(Path("/nowhere"), 1)
    document["upstreams"].append({"name": "deepseek", "preset": "deepseek", "api_key": "secret"})
    document["policy"]["routes"].append(
        {
            **document["policy"]["routes"][0],
            "name": "far",
            "upstream": "deepseek",
            "offer": "deepseek/deepseek-v4-flash",
        }
    )
    loaded = load(parse_settings(document, {}, origin="test"), date(2026, 11, 21))
    assert set(loaded.offers) == {"openai/gpt-5-mini", "deepseek/deepseek-v4-flash"}
    line = encoded(loaded)
    assert b"\n" not in line
    assert decoded(line) == loaded
    assert decoded(msgspec.Raw(line)) == loaded
