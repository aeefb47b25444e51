"""The gateway: CPU per request beside the same engine relaying bytes without reading, deciding or metering.

One upstream process that answers at once, one process under test, the load in this one; 32 connections, a body and an
answer of about 1.2 kB each. The gateway decodes the request, decides over four routes, relays, reads the usage, prices
it and appends the call to its spool. CPU is user plus system time of the process under test, as the kernel counts it.

Then the way of calls into the ledger: a gateway that drains its own spool in a thread, as one process alone does,
beside one whose spool another process drains, as a supervisor does for its workers; and what that process takes.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import uvloop

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.clock import SystemClock
from baseload.gateway.http import Exchange, Request, serve
from baseload.gateway.metrics import Metrics
from baseload.gateway.server import Gateway
from baseload.gateway.upstream import Client
from baseload.ledger.drain import Drain
from baseload.ledger.hot import open_store
from baseload.ledger.spool import Spool
from baseload.load.facts import Bucket
from baseload.policy.policy import Policy, Route
from baseload.settings import Settings, Timeouts, Upstream
from benchmarks.frame import Figure, run

CONNECTIONS = 32
CREW = "bench"
# CPU in half a second of a drain that finds nothing: two ticks of the kernel's clock are more than its looks take.
IDLE_SECONDS = 0.02
TEXT = "word " * 190
QUESTION = msgspec.json.encode(
    {"model": "auto", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 300, "metadata": {"team": "a"}}
)
USAGE = {"prompt_tokens": 190, "completion_tokens": 200, "total_tokens": 390}
ENVELOPE = {"id": "chatcmpl-1", "created": 1_795_000_000, "model": "m"}
MESSAGE = {"role": "assistant", "content": TEXT, "refusal": None}
ANSWER = msgspec.json.encode(
    {
        **ENVELOPE,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }
)
CHUNK = msgspec.json.encode(
    {
        **ENVELOPE,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "word "}, "logprobs": None, "finish_reason": None}],
    }
)
LAST = msgspec.json.encode({**ENVELOPE, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
EVENTS = 100
JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream")]


async def answer(request: Request, exchange: Exchange) -> None:
    """The upstream: a canned answer, or a canned stream with a pause after every event."""
    if b'"stream":true' not in request.body:
        await exchange.respond(200, JSON, ANSWER)
        return
    await exchange.start(200, SSE)
    for _ in range(EVENTS):
        await exchange.send(b"data: " + CHUNK + b"\n\n")
        await asyncio.sleep(0)
    await exchange.send(b"data: " + LAST + b"\n\n")
    await exchange.end(b"data: [DONE]\n\n")


def gateway_before(port: int, spool: Spool) -> Gateway:
    source = Source("bench", Precedence.YOURS, date(2026, 1, 1), "invented for this benchmark")
    rates = Rates(input=Decimal(1), output=Decimal(5), cache_read=Decimal("0.1"))
    offers = {f"acme/m{n}": Offer("acme", f"m{n}", source, (PriceRow(rates),)) for n in range(4)}
    success = {Bucket.JUDGMENT: 0.9}
    routes = tuple(
        Route(name=f"r{n}", upstream=f"u{n}", model=f"m{n}", offer=f"acme/m{n}", success=success, own=n == 0, slots=500)
        for n in range(4)
    )
    upstreams = tuple(Upstream(name=f"u{n}", base_url=f"http://127.0.0.1:{port}/v1", api_key="k") for n in range(4))
    policy = Policy(routes=routes, aliases={"auto": Bucket.JUDGMENT})
    settings = Settings(upstreams=upstreams, policy=policy, listen="127.0.0.1:0")
    return Gateway(settings, offers, SystemClock(), spool)


class Relay:
    """The engine alone: every request goes to the upstream and every answer comes back, unread."""

    def __init__(self, port: int) -> None:
        self._client = Client(f"http://127.0.0.1:{port}", Timeouts())

    async def answer(self, request: Request, exchange: Exchange) -> None:
        with await self._client.send(request.method, request.target, JSON, request.body) as answer:
            if answer.header(b"content-type").startswith(b"text/event-stream"):
                await exchange.start(answer.status, SSE)
                while data := await answer.next():
                    await exchange.send(data)
                await exchange.end()
            else:
                await exchange.respond(answer.status, JSON, await answer.read())


async def _work(part: str, port: int, directory: str) -> None:
    """A child: serve one part, say its port, end with stdin."""
    if part == "drain":
        Drain(Path(directory), open_store(Path(directory)), crew=CREW, tell=Metrics().tell).start()
        bound = 0
    elif part.startswith("gateway"):
        spool = Spool(Path(directory), crew=CREW)
        if part == "gateway that drains":
            Drain(Path(directory), open_store(Path(directory)), spool=spool, crew=CREW, tell=Metrics().tell).start()
        _, bound = await gateway_before(port, spool).start()
    else:
        server = await serve(answer if part == "upstream" else Relay(port).answer, "127.0.0.1", 0)
        bound = server.address[1]
    print(bound, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def _child(part: str, port: int = 0, folder: str = "") -> Iterator[tuple[int, int]]:
    """Process id and port of a part, which keeps its calls in a folder of its own or in one that is given."""
    with tempfile.TemporaryDirectory() as own:
        directory = folder or own
        command = [sys.executable, "-m", "benchmarks.gateway", "--part", part, str(port), directory]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            yield process.pid, int(process.stdout.readline())
            process.stdin.close()


class _Asker(asyncio.Protocol):
    """Sends a request, waits for the end of its answer, sends the next."""

    def __init__(self, left: Iterator[int], message: bytes, end: bytes, done: asyncio.Future) -> None:
        self._left, self._message, self._end, self._done = left, message, end, done

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if next(self._left, None) is None:
            self._transport.close()
        else:
            self._transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        if data.endswith(self._end):
            self._next()

    def connection_lost(self, _: Exception | None) -> None:
        self._done.set_result(None)


async def _load(port: int, requests: int, body: bytes, end: bytes) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n"
    loop, left = asyncio.get_running_loop(), iter(range(requests))
    waits = [loop.create_future() for _ in range(CONNECTIONS)]
    for done in waits:
        asker = _Asker(left, head % len(body) + body, end, done)
        await loop.create_connection(lambda asker=asker: asker, "127.0.0.1", port)
    await asyncio.gather(*waits)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu_per_request(pid: int, port: int, requests: int, body: bytes, end: bytes) -> float:
    before = cpu_seconds(pid)
    uvloop.run(_load(port, requests, body, end))
    return (cpu_seconds(pid) - before) / requests


def measure(quick: bool) -> Iterator[Figure]:
    rounds = 1 if quick else 7
    stream = QUESTION[:-1] + b',"stream":true}'
    work = {
        "one whole answer": (QUESTION, ANSWER[-20:], 2_000 if quick else 10_000),
        f"one stream of {EVENTS} events": (stream, b"0\r\n\r\n", 100 if quick else 400),
    }
    with _child("upstream") as (_, up), _child("gateway", up) as gateway, _child("relay", up) as relay:
        for name, (body, end, requests) in work.items():
            pairs = [
                (_cpu_per_request(*gateway, requests, body, end), _cpu_per_request(*relay, requests, body, end))
                for _ in range(rounds)
            ]
            yield Figure(f"{name}: gateway", statistics.median(ours for ours, _ in pairs) * 1e6, "us CPU", rounds)
            yield Figure(f"{name}: engine alone", statistics.median(bare for _, bare in pairs) * 1e6, "us CPU", rounds)
            ratio = statistics.median(ours / max(bare, 1e-9) for ours, bare in pairs)
            yield Figure(f"{name}: gateway / engine alone", ratio, "ratio", rounds)
        yield from _measure_drain(up, rounds, 2_000 if quick else 10_000)


def _measure_drain(up: int, rounds: int, requests: int) -> Iterator[Figure]:
    """The same load on a gateway that drains and on one that is drained, in turn."""
    ask = (requests, QUESTION, ANSWER[-20:])
    with (
        tempfile.TemporaryDirectory() as folder,
        _child("gateway that drains", up) as both,
        _child("gateway", up, folder) as worker,
        _child("drain", 0, folder) as (drain, _),
    ):
        found = []
        for _ in range(rounds):
            together = _cpu_per_request(*both, *ask)
            before = cpu_seconds(drain)
            alone = _cpu_per_request(*worker, *ask)
            until_idle(drain)
            found.append((together, alone, (cpu_seconds(drain) - before) / requests))
    for place, name in enumerate(("gateway that drains", "gateway that is drained", "its drain, another process")):
        yield Figure(
            f"into the ledger: {name}", statistics.median(each[place] for each in found) * 1e6, "us CPU", rounds
        )
    ratio = statistics.median(alone / max(together, 1e-9) for together, alone, _ in found)
    yield Figure("into the ledger: drained / drains", ratio, "ratio", rounds)


def until_idle(pid: int) -> None:
    """Wait until a process has little more to do than to look whether there is something."""
    before, now = -1.0, cpu_seconds(pid)
    while now - before > IDLE_SECONDS:
        time.sleep(0.5)
        before, now = now, cpu_seconds(pid)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        uvloop.run(_work(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
    else:
        run(__doc__, measure)
