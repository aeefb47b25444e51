"""A long run of everything that goes wrong: does a gateway that is asked for half an hour hold what it held at first?

`baseload serve` with two workers, keys off, prices and the ledger on, before upstreams that answer well and such that
fail (500, 429, reset, cut, hang, garbage, no usage, an error); clients that send what cannot be understood, and that
leave before the answer or inside of it; kept objects that are read and deleted, responses in the background. Every kind
of request comes in turn, 24 at a time and 150 a second at the most.

Memory is what the kernel counts as resident of each process, open files those of `/proc`. What the ledger holds at the
end is counted against what was asked: a call for every request that was understood, and no call twice.

`--minutes N` in place of 30.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from baseload.gateway.upstream import Answer, AttemptFailed, Client
from baseload.ledger.hot import FILE
from baseload.settings import Timeouts
from benchmarks.frame import Figure, run
from benchmarks.peers import free_port
from benchmarks.proxies import process, tree

MINUTES = 30.0
AT_ONCE, PER_SECOND = 24, 150
SAMPLES = 60
"""How often memory is looked at, over the whole run."""
WORKERS = 2
# By model: what its upstream does wrong (the header `x-simulate`). The route after it answers well.
FAULTS = {
    "failing": "500",
    "busy": "429=1",
    "reset": "reset",
    "cut": "cut=2",
    "hanging": "hang",
    "garbage": "garbage",
    "silent": "no-usage",
    "erring": "error",
}
TEXT = "word " * 200
JSON = [(b"content-type", b"application/json")]


@dataclass
class _Load:
    """What is asked, and what came of it."""

    port: int
    until: float
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    calls: int = 0  # requests that were understood: each must be a call
    responses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        patient = Timeouts(connect=5.0, first_byte=30.0, idle=30.0)
        self.client = Client(f"http://127.0.0.1:{self.port}", patient)

    def sent(self) -> None:
        """A request that is understood is on its way: it must be a call."""
        self.calls += 1

    async def post(self, path: str, body: dict[str, object], read: Callable[[Answer], Awaitable[object]]) -> object:
        """One request of a client; `read` takes of its answer what it likes."""
        try:
            sending = self.client.send("POST", path, JSON, msgspec.json.encode(body), on_sent=self.sent)
            with await sending as answer:
                self.answered[answer.status] += 1
                return await read(answer)
        except AttemptFailed:
            self.answered[0] += 1
            return b""

    async def follow(self, method: str, path: str) -> None:
        with contextlib.suppress(AttemptFailed), await self.client.send(method, path, []) as answer:
            await answer.read()


async def _whole(answer: Answer) -> bytes:
    return await answer.read()


async def _first(answer: Answer) -> bytes:
    """A client that leaves inside of an answer."""
    await answer.next()
    raise AttemptFailed("enough")


def _chat(model: str, **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": TEXT}], "max_tokens": 20, **more}


async def _plain(load: _Load, model: str, number: int) -> None:
    await load.post("/v1/chat/completions", _chat(model, stream=number % 2 == 0), _whole)


async def _leaving(load: _Load, _: str, number: int) -> None:
    await load.post("/v1/chat/completions", _chat("slow", stream=True, metadata={"n": str(number)}), _first)


async def _gone(load: _Load, _: str, __: int) -> None:
    """A client that leaves before there is an answer."""
    asking = asyncio.create_task(load.post("/v1/chat/completions", _chat("slow"), _whole))
    await asyncio.sleep(0.02)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking


async def _refused(load: _Load, _: str, number: int) -> None:
    """What is not understood is no call, but for the upstream's own no."""
    bodies = (b"{", b'{"model": "nobody", "messages": [{}]}', b'{"model": "auto"}')
    sending = load.client.send("POST", "/v1/chat/completions", JSON, bodies[number % 3])
    with contextlib.suppress(AttemptFailed), await sending as answer:
        load.answered[answer.status] += 1
        await answer.read()


async def _translated(load: _Load, _: str, number: int) -> None:
    body = {"model": "auto", "max_tokens": 20, "messages": [{"role": "user", "content": TEXT}]}
    await load.post("/v1/messages", body | {"stream": number % 2 == 0}, _whole)


async def _kept(load: _Load, _: str, number: int) -> None:
    body = {"model": "real", "input": TEXT, "max_output_tokens": 20, "background": number % 2 == 0}
    made = await load.post("/v1/responses", body, _whole)
    with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
        name = msgspec.json.decode(made)["id"]
        await load.follow("GET", f"/v1/responses/{name}")
        await load.follow("DELETE", f"/v1/responses/{name}")


async def _embedded(load: _Load, _: str, __: int) -> None:
    await load.post("/v1/embeddings", {"model": "real", "input": [TEXT, "two"]}, _whole)


KINDS = {
    "well": (_plain, "auto"),
    **{name: (_plain, name) for name in FAULTS},
    "left inside": (_leaving, ""),
    "left before": (_gone, ""),
    "not understood": (_refused, ""),
    "translated": (_translated, ""),
    "kept, background": (_kept, ""),
    "embeddings": (_embedded, ""),
}


async def _ask(load: _Load, numbers: Iterator[int]) -> None:
    loop, kinds = asyncio.get_running_loop(), list(KINDS.items())
    while loop.time() < load.until:
        number = next(numbers)
        name, (kind, model) = kinds[number % len(kinds)]
        load.asked[name] += 1
        due = loop.time() + AT_ONCE / PER_SECOND
        await kind(load, model, number // len(kinds))
        await asyncio.sleep(max(0.0, due - loop.time()))


@dataclass
class _Seen:
    """What a process held, sample by sample."""

    name: str
    pid: int
    megabytes: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)  # requests asked until then

    def look(self, asked: int) -> None:
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        self.megabytes.append(next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1_024)
        self.files.append(sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()))
        self.at.append(asked)

    def figures(self) -> Iterator[Figure]:
        """The second sixth beside the last: by the first, libraries are loaded and pools are filled."""
        part = max(1, len(self.megabytes) // 6)
        early, late = (statistics.median(each) for each in (self.megabytes[part : 2 * part], self.megabytes[-part:]))
        files = [statistics.median(each) for each in (self.files[part : 2 * part], self.files[-part:])]
        asked = max(1, self.at[-1] - self.at[min(part, len(self.at) - 1)])
        yield Figure(f"{self.name}: memory early", early, "MB", part)
        yield Figure(f"{self.name}: memory late", late, "MB", part)
        yield Figure(f"{self.name}: memory late / early", late / early, "ratio", part)
        grown = max((late - early) * 1_024 * 1_024 / asked, 1e-9)
        yield Figure(f"{self.name}: growth for each request", grown, "bytes", part)
        yield Figure(f"{self.name}: open files late / early", files[1] / files[0], "ratio", part)


async def _soak(port: int, seconds: float, seen: list[_Seen]) -> _Load:
    loop = asyncio.get_running_loop()
    load, numbers = _Load(port, loop.time() + seconds), itertools.count()
    asking = [asyncio.create_task(_ask(load, numbers)) for _ in range(AT_ONCE)]
    pause = seconds / SAMPLES
    while loop.time() < load.until - pause / 2:
        await asyncio.sleep(pause)
        for each in seen:
            each.look(load.asked.total())
        sys.stderr.write(".")
        sys.stderr.flush()
    await asyncio.gather(*asking)
    load.client.close()
    sys.stderr.write("\n")
    return load


def _configuration(up: int, port: int, folder: str) -> dict[str, object]:
    url, operations = f"http://127.0.0.1:{up}/v1", ["chat", "responses", "embeddings"]
    upstreams: list[dict[str, object]] = [{"name": "well", "base_url": url, "operations": operations}]
    upstreams += [
        {"name": name, "base_url": url, "headers": {"x-simulate": fault}, "timeouts": {"first_byte": 0.3, "idle": 0.3}}
        for name, fault in FAULTS.items()
    ]
    upstreams.append({"name": "slow", "base_url": url, "headers": {"x-simulate": "slow=0.1"}})
    first = {"name": "well", "upstream": "well", "model": "real", "operations": ["chat", "embeddings"]}
    routes: list[dict[str, object]] = [first | {"success": {"judgment": 0.9}}]
    routes += [
        {"name": name, "upstream": name, "model": "real", "names": [name], "success": {"bandwidth": 1}}
        for name in (*FAULTS, "slow")
    ]
    return {
        "listen": f"127.0.0.1:{port}",
        "data_dir": folder,
        "workers": WORKERS,
        "upstreams": upstreams,
        "prices": [{"offer": "acme/real", "input": 1, "output": 5}],
        "policy": {
            "routes": [each | {"offer": "acme/real"} for each in routes],
            "aliases": {"auto": "judgment"},
            "default_bucket": "judgment",
            "fallbacks": {name: ["auto"] for name in FAULTS},
        },
    }


def _workers(supervisor: int) -> list[_Seen]:
    """The gateway's processes by what they do."""
    pids = tree(supervisor)
    workers = [pid for pid in pids if b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [_Seen("supervisor", supervisor), *(_Seen(f"worker {n}", pid) for n, pid in enumerate(workers, 1))]


def measure(quick: bool, minutes: float = MINUTES) -> Iterator[Figure]:
    seconds = 2.0 if quick else minutes * 60
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        upstream = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak", "--upstream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        stack.callback(upstream.wait)
        stack.callback(upstream.stdin.close)
        up, port = int(upstream.stdout.readline()), free_port()
        config = Path(folder) / "baseload.yaml"
        config.write_bytes(msgspec.json.encode(_configuration(up, port, folder)))
        command = [sys.executable, "-m", "baseload", "serve", "--config", str(config), "--no-console"]
        with process(command, port, folder) as supervisor:
            time.sleep(2.0)  # the port is open before the workers have their last word
            seen = _workers(supervisor)
            load = uvloop.run(_soak(port, seconds, seen))
            time.sleep(1.0 if quick else 15.0)  # what is under way ends, what is in the background is asked for
            os.kill(supervisor, signal.SIGTERM)
            os.waitpid(supervisor, 0)
        yield from _figures(load, seen, Path(folder), seconds)


def _figures(load: _Load, seen: list[_Seen], folder: Path, seconds: float) -> Iterator[Figure]:
    yield Figure("requests", load.asked.total(), "in all", 1)
    yield Figure("requests a second", load.asked.total() / seconds, "per s", 1)
    with contextlib.closing(sqlite3.connect(folder / FILE)) as ledger:
        (calls,) = ledger.execute("select count(*) from calls").fetchone()
    yield Figure("calls in the ledger / requests understood", calls / load.calls, "ratio", 1)
    good = sum(count for status, count in load.answered.items() if 200 <= status < 300)
    yield Figure("answered well", good / max(1, load.answered.total()), "ratio", 1)
    for each in seen:
        yield from each.figures()


async def _be_upstream() -> None:
    from baseload.gateway.http import serve
    from baseload.gateway.simulated import Simulated, api_pace

    simulated = Simulated("real", api_pace(0.001, 20_000.0))
    server = await serve(simulated.handle, "127.0.0.1", 0)
    print(server.address[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--upstream"]:
        uvloop.run(_be_upstream())
    else:
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("--minutes", type=float, default=MINUTES)
        asked, sys.argv[1:] = parser.parse_known_args()
        run(__doc__, lambda quick: measure(quick, asked.minutes))
