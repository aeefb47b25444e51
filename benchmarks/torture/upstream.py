"""A simulated upstream in a process of its own, which keeps its own durable count. Acts.

    python -m benchmarks.torture.upstream NAME MODEL INPUT OUTPUT SEED FILE PORT

It serves as the simulated upstreams of the product do, and appends a line to FILE for each answer that it would bill:
whose request, tokens read and written, nano-dollars at its own price (INPUT and OUTPUT are nano-dollars a token). What
goes wrong with a request follows from the seed, the request's id and how often that came here. `POST /storm` makes it
refuse a share of all requests for a while.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import uvloop

from baseload.gateway.http import Exchange, Request, serve
from baseload.gateway.simulated import Simulated, api_pace
from baseload.gateway.simulated_task import Job

NAME_HEADER = b"x-request-id"
# Of a hundred requests so many go wrong by themselves, in these ways.
FAULTS = {
    "cut": 2, "cut=1": 2, "cut=3": 2, "reset": 2, "500": 1, "503": 1, "429": 1, "400": 1, "no-usage": 2, "error": 1,
    "hang": 1, "hang=2": 1, "slow=0.3": 2,
}  # fmt: skip
STORM = ("500", "503", "429=0.05", "529", "reset")


class Billed(msgspec.Struct, frozen=True):
    """One answer, as this upstream would put it on the invoice. `at` is in seconds since the epoch."""

    request: str
    prompt: int
    completion: int
    nanousd: int
    at: float


class Storm(msgspec.Struct, frozen=True):
    """Refuse that share of requests for so long."""

    seconds: float
    share: float


class Counting(Simulated):
    """Bills by the request's id."""

    def __init__(self, name: str, model: str, prices: tuple[int, int], seed: int, file: Path) -> None:
        super().__init__(model, api_pace(0.05, 250))
        self._name, self._prices, self._seed = name, prices, seed
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._asked = contextvars.ContextVar("asked", default="")
        self._seen: Counter[str] = Counter()
        self._storm, self._until = Storm(0, 0), 0.0

    async def handle(self, request: Request, exchange: Exchange) -> None:
        if request.path == "/storm":
            self._storm = msgspec.json.decode(request.body, type=Storm)
            self._until = time.monotonic() + self._storm.seconds
            await exchange.respond(200, [], b"")
            return
        asked = (request.header(NAME_HEADER) or b"").decode()
        self._seen[asked] += 1
        self._asked.set(asked)
        fault = self._fault(asked)
        if fault:
            request.headers.append((b"x-simulate", fault.encode()))
        await super().handle(request, exchange)

    def _fault(self, asked: str) -> str:
        chance = random.Random(f"{self._seed}/{self._name}/{asked}/{self._seen[asked]}")
        if time.monotonic() < self._until and chance.random() < self._storm.share:
            return chance.choice(STORM)
        ways = [*FAULTS, ""]
        return chance.choices(ways, [*FAULTS.values(), 100 - sum(FAULTS.values())])[0]

    def _book(self, job: Job, written: int) -> None:
        super()._book(job, written)
        cost = job.prompt_tokens * self._prices[0] + written * self._prices[1]
        line = Billed(self._asked.get(), job.prompt_tokens, written, cost, time.time())
        os.write(self._file, msgspec.json.encode(line) + b"\n")


def billed(file: Path) -> list[Billed]:
    """What an upstream has written down."""
    return [msgspec.json.decode(line, type=Billed) for line in file.read_bytes().splitlines()]


async def _serve(name: str, model: str, prices: tuple[int, int], seed: int, file: Path, port: int) -> None:
    server = await serve(Counting(name, model, prices, seed, file).handle, "127.0.0.1", port)
    print(server.address[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    which, serves, paid_in, paid_out, number, place, bound = sys.argv[1:]
    uvloop.run(_serve(which, serves, (int(paid_in), int(paid_out)), int(number), Path(place), int(bound)))
