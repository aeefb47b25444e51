"""Budgets on the request path: the CPU that reserving and settling take of a request that one budget counts, or three.

The budgets cap USD, tokens and requests on two tags and an upstream; every share has room, as it does but for a moment
before it is filled. What is measured is what a worker does for a request: find the budgets that count it, bound what it
may cost, reserve that, price what it has cost, charge it and settle. In CPU time of the process, on the body of 1 kB of
a chat and beside parsing it with the standard library's json.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import date
from decimal import Decimal

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.clock import SystemClock
from baseload.gateway.budgets import Budgets
from baseload.gateway.head import Head, Request
from baseload.gateway.job import Job
from baseload.gateway.meter import Record
from baseload.gateway.slots import Slots
from baseload.gateway.state import GatewayState, Snapshot
from baseload.gateway.target import Targets
from baseload.load.calls import Attempt, Decision
from baseload.load.facts import Bucket, Facts
from baseload.policy.budget import Budget, Per
from baseload.policy.policy import Policy, Route
from baseload.settings import Settings
from baseload.upstreams import Upstream
from baseload.usage import Usage
from baseload.wire import openai
from benchmarks.frame import Figure, run

BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "word " * 190}], "max_tokens": 200})
ROUTE = Route(name="api", upstream="api", model="large", offer="acme/large", success={Bucket.JUDGMENT: 0.9})
RATES = Rates(input=Decimal(3), output=Decimal(15))
OFFER = Offer("acme", "large", Source("sheet", Precedence.YOURS, date(2026, 1, 1), "invented"), (PriceRow(RATES),))
BUDGETS = (
    Budget(name="acme", per=Per.DAY, usd=Decimal(1_000_000), match={"customer": "acme"}),
    Budget(name="web", per=Per.MONTH, tokens=10**17, match={"team": "web", "customer": "*"}),
    Budget(name="calls", per=Per.HOUR, requests=10**15, match={"upstream": "api"}),
)
EACH = (Budget(name="customers", per=Per.DAY, usd=Decimal(1_000_000), each="customer"),)
UPSTREAM = Upstream(name="api", base_url="http://127.0.0.1:9/v1")
USED = Attempt(
    number=1, route="api", upstream="api", model="large", offer=OFFER.key, started_ns=0, ended_ns=1,
    usage=Usage(input_tokens=240, output_tokens=100), cost_nanousd=2_220_000,
)  # fmt: skip


class Requests:
    """A worker's budgets, and a request that they count."""

    def __init__(self, directory: str, counting: tuple[Budget, ...]) -> None:
        policy, clock = Policy(routes=(ROUTE,)), SystemClock()
        settings = Settings(upstreams=(UPSTREAM,), policy=policy, data_dir=directory, budgets=counting)
        self.budgets = Budgets(settings, clock)
        targets = Targets({"api": UPSTREAM}, clock, Slots())
        self._snapshot: Snapshot = GatewayState(policy, {OFFER.key: OFFER}, clock, targets).snapshot
        self._asked = openai.read(BODY.encode())
        self._tags = {"customer": "acme", "team": "web", "key": "k"}
        self._clock = clock
        self._shares = [share for _, share in ()]

    async def prepare(self) -> None:
        """Every share is open, and has room as if the ledger had lent plenty."""
        job = self._job()
        self.budgets.open(job)
        assert await self.budgets.cover(job, ROUTE)
        assert job.hold is not None
        self._shares = list(job.hold.held)
        for share in self._shares:
            share.room = 10**17

    async def serve(self, times: int) -> None:
        """What so many requests do, one after the other; nothing here waits."""
        job = self._job()
        record, attempts = job.record, [USED]
        for _ in range(times):
            record.attempts = []
            self.budgets.open(job)
            await self.budgets.cover(job, ROUTE)
            hold = job.hold
            assert hold is not None
            record.attempts = attempts
            hold.charges(attempts)
            hold.closing("0123456789abcdef0123456789abcdef")
            hold.settle(written=True)

    async def nothing(self, times: int) -> None:
        """The same loop without budgets."""
        job = self._job()
        record, attempts = job.record, [USED]
        for _ in range(times):
            record.attempts = []
            await _no_wait()
            record.attempts = attempts

    async def close(self) -> None:
        for share in self._shares:
            share.room = 0
        await self.budgets.close()

    def _job(self) -> Job:
        facts = Facts(
            at_ns=self._clock.time_ns(),
            model="auto",
            bucket=Bucket.JUDGMENT,
            input_tokens=250,
            output_cap=200,
            tags=self._tags,
        )
        record = Record(facts, Decision(id="d", policy="p", routes=()), self._snapshot.offers)
        return Job(Request(Head("POST", "/v1/chat/completions", [])), self._asked, self._snapshot, record)


async def _no_wait() -> None:
    return None


async def _parse(times: int) -> None:
    for _ in range(times):
        json.loads(BODY)


async def _us(work: Callable[[int], Awaitable[None]], times: int) -> float:
    started = time.process_time_ns()
    await work(times)
    return (time.process_time_ns() - started) / times / 1_000


async def _measure(directory: str, rounds: int, times: int) -> list[Figure]:
    cases = {"1 budget": BUDGETS[:1], "1 budget for each customer": EACH, "3 budgets": BUDGETS}
    made = {name: Requests(f"{directory}/{number}", each) for number, (name, each) in enumerate(cases.items())}
    for each in made.values():
        await each.prepare()
    found: dict[str, list[float]] = {name: [] for name in made}
    parsed, one = [], made["1 budget"]
    for _ in range(rounds):
        loop = await _us(one.nothing, times)
        for name, requests in made.items():
            found[name].append(await _us(requests.serve, times) - loop)
        parsed.append(await _us(_parse, times))
    for each in made.values():
        await each.close()
    figures = [
        Figure(f"reserve and settle, {name}", statistics.median(took), "us CPU", rounds) for name, took in found.items()
    ]
    figures.append(Figure("json.loads of a 1 kB body", statistics.median(parsed), "us CPU", rounds))
    ratio = statistics.median(took / other for took, other in zip(found["1 budget"], parsed, strict=True))
    return [*figures, Figure("reserve and settle, 1 budget / json.loads of a 1 kB body", ratio, "ratio", rounds)]


def measure(quick: bool) -> Iterator[Figure]:
    rounds, times = (5, 200) if quick else (31, 2_000)
    with tempfile.TemporaryDirectory() as directory:
        yield from asyncio.run(_measure(directory, rounds, times))


if __name__ == "__main__":
    run(__doc__, measure)
