"""Overflow: an own pool of 4 slots and 1 s an answer, offered 1.25 to 3 times what it can carry, beside the ideal.

Requests come at random (open loop, Poisson, three seeds per load) for 30 s. The own pool can carry 4 answers a second;
what comes beyond that has to be bought. How busy the pool was is the share of its slots' time within those 30 s, from
the first second, when it is still empty, to the last. The gateway may let a request wait 2 s for a slot
(`wait_seconds`), so that some are carried when the 30 s are over.

With `--litellm PATH`, the Python interpreter of an environment in which LiteLLM is installed, its proxy serves the same
arrivals as well: one worker, 4 requests at a time, the API as fallback, settings as its documentation gives them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from baseload.clock import SystemClock
from baseload.gateway.http import Exchange, Request, Server, serve
from baseload.gateway.server import Gateway
from baseload.ledger.spool import Spool
from baseload.load.facts import Bucket
from baseload.policy.policy import Policy, Route
from baseload.settings import Settings, Timeouts, Upstream
from benchmarks.frame import Figure, run

SLOTS = 4
SERVICE_SECONDS = 1.0
WAIT_SECONDS = 2.0
SECONDS, QUICK_SECONDS = 30.0, 5.0
LOADS, QUICK_LOADS = (1.25, 1.5, 2.0, 3.0), (3.0,)
ROUNDS = 3
WARM_SECONDS = 40.0
"""How long LiteLLM may take to start."""
BODY = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "word " * 100}]})
USAGE = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
ANSWER = msgspec.json.encode(
    {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [MESSAGE], "usage": USAGE}
)
JSON = [(b"content-type", b"application/json")]


@dataclass
class Counted:
    """An upstream that answers after a while and counts what it served; beyond `slots` it refuses."""

    seconds: float
    slots: int | None = None
    served: int = 0
    busy: int = 0
    times: list[tuple[float, float]] = field(default_factory=list)

    async def handle(self, _: Request, exchange: Exchange) -> None:
        if self.slots is not None and self.busy >= self.slots:
            await exchange.respond(429, JSON, b'{"error":{"message":"full"}}')
            return
        self.busy += 1
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.busy -= 1
            self.times.append((began, asyncio.get_running_loop().time()))
        self.served += 1
        await exchange.respond(200, JSON, ANSWER)

    def busy_seconds(self, start: float, end: float) -> float:
        """Time of its slots that was used between two moments."""
        return sum(max(0.0, min(end, to) - max(start, since)) for since, to in self.times)


@dataclass(frozen=True)
class Outcome:
    """What became of one load."""

    offered: int
    own: int
    api: int
    failed: int
    busy: float
    seconds: float

    @property
    def capacity(self) -> float:
        """The calls that a pool of this size carries in that time."""
        return self.seconds * SLOTS / SERVICE_SECONDS

    @property
    def ideal_api(self) -> float:
        """The calls that none could have carried."""
        return max(1.0, self.offered - self.capacity)


def arrivals(per_second: float, seconds: float, seed: int) -> list[float]:
    """Moments of a Poisson process."""
    draw, at, found = random.Random(seed), 0.0, []
    while (at := at + draw.expovariate(per_second)) < seconds:
        found.append(at)
    return found


async def _post(port: int) -> bool:
    """One request on a connection of its own; whether it was served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
    writer.write(
        head
        + b"content-type: application/json\r\nauthorization: Bearer sk-x\r\ncontent-length: %d\r\n\r\n" % len(BODY)
        + BODY
    )
    try:
        return b" 200 " in await reader.readline()
    finally:
        await reader.read()
        writer.close()


async def _offer(port: int, moments: list[float]) -> int:
    """Send every request at its moment, whatever became of those before; how many failed."""
    loop = asyncio.get_running_loop()
    began, tasks = loop.time(), []
    for moment in moments:
        await asyncio.sleep(max(0.0, began + moment - loop.time()))
        tasks.append(asyncio.create_task(_post(port)))
    return sum(not served for served in await asyncio.gather(*tasks))


@asynccontextmanager
async def _upstreams() -> AsyncIterator[tuple[Counted, Counted, list[int]]]:
    """The own pool, the API, and their ports."""
    own, api = Counted(SERVICE_SECONDS, SLOTS), Counted(0.05)
    servers: list[Server] = [await serve(each.handle, "127.0.0.1", 0) for each in (own, api)]
    try:
        yield own, api, [server.address[1] for server in servers]
    finally:
        for server in servers:
            server.close()


@asynccontextmanager
async def _baseload(ports: list[int]) -> AsyncIterator[int]:
    """Our gateway before the two; its port."""
    success = {Bucket.JUDGMENT: 1.0}
    own, api = ("own", "api")
    routes = (
        Route(
            name=own,
            upstream=own,
            model="m",
            offer="own/m",
            success=success,
            own=True,
            slots=SLOTS,
            wait_seconds=WAIT_SECONDS,
        ),
        Route(name=api, upstream=api, model="m", offer="api/m", success=success),
    )
    urls = dict(zip((own, api), ports, strict=True))
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            upstreams=tuple(
                Upstream(name=name, base_url=f"http://127.0.0.1:{port}/v1", timeouts=Timeouts())
                for name, port in urls.items()
            ),
            policy=Policy(routes=routes),
            listen="127.0.0.1:0",
            data_dir=directory,
        )
        gateway = Gateway(settings, {}, SystemClock(), Spool(Path(directory)))
        _, port = await gateway.start()
        try:
            yield port
        finally:
            await gateway.stop(1.0)


LITELLM = """
model_list:
  - model_name: m
    litellm_params:
      {{model: openai/m, api_base: "http://127.0.0.1:{own}/v1", api_key: x, max_parallel_requests: {slots}}}
  - model_name: api
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{api}/v1", api_key: x}}
router_settings: {{fallbacks: [{{m: [api]}}], num_retries: 0}}
litellm_settings: {{num_retries: 0, request_timeout: 60}}
"""


@asynccontextmanager
async def _litellm(python: str, ports: list[int]) -> AsyncIterator[int]:
    """LiteLLM's proxy before the two, with one worker; its port."""
    with tempfile.TemporaryDirectory() as directory, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config = Path(directory) / "config.yaml"
        config.write_text(LITELLM.format(own=ports[0], api=ports[1], slots=SLOTS))
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": "sk-x"}
        command = [
            str(Path(python).parent / "litellm"),
            "--config",
            str(config),
            "--port",
            str(port),
            "--num_workers",
            "1",
        ]
        log = (Path(directory) / "log").open("wb")
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=directory) as process:  # noqa: ASYNC220
            try:
                await _up(port)
                yield port
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
        log.close()


async def _up(port: int) -> None:
    """Wait until somebody answers there."""
    async with asyncio.timeout(WARM_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.2)


async def _measured(python: str | None, load: float, seconds: float, seed: int) -> Outcome:
    moments = arrivals(load * SLOTS / SERVICE_SECONDS, seconds, seed)
    async with _upstreams() as (own, api, ports):
        gateway = _baseload(ports) if python is None else _litellm(python, ports)
        async with gateway as port:
            if python is not None:  # its first requests import what it needs
                await asyncio.gather(*(_post(port) for _ in range(2)))
                own.served = api.served = 0
            began = asyncio.get_running_loop().time()
            failed = await _offer(port, moments)
    busy = own.busy_seconds(began, began + seconds) / (SLOTS * seconds)
    return Outcome(len(moments), own.served, api.served, failed, busy, seconds)


def _figures(who: str, load: float, found: list[Outcome]) -> Iterator[Figure]:
    name, rounds = f"{who}, {load:g} x capacity", len(found)

    def figure(what: str, unit: str, value: Callable[[Outcome], float]) -> Figure:
        return Figure(f"{name}: {what}", statistics.median(map(value, found)), unit, rounds)

    yield figure("requests offered", "calls", lambda each: each.offered)
    yield figure("carried by the own pool", "calls", lambda each: each.own)
    yield figure("bought from the API", "calls", lambda each: each.api)
    yield figure("carried / capacity", "ratio", lambda each: each.own / each.capacity)
    yield figure("own pool busy / its slots' time", "ratio", lambda each: each.busy)
    yield figure("bought / had to be bought", "ratio", lambda each: each.api / each.ideal_api)
    yield figure("answered / offered", "ratio", lambda each: 1 - each.failed / each.offered)


def measure(quick: bool, litellm: str | None = None) -> Iterator[Figure]:
    seconds, loads, rounds = (QUICK_SECONDS, QUICK_LOADS, 1) if quick else (SECONDS, LOADS, ROUNDS)
    for load in loads:
        for who, python in (("baseload", None), *((("litellm", litellm),) if litellm else ())):
            yield from _figures(
                who, load, [uvloop.run(_measured(python, load, seconds, seed)) for seed in range(rounds)]
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--litellm")
    asked, sys.argv[1:] = parser.parse_known_args()
    run(__doc__, lambda quick: measure(quick, asked.litellm))
