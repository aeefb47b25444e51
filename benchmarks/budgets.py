"""Budgets on the request path: what reserving and settling cost a request that three budgets count.

The budgets cap USD, tokens and requests on two tags and an upstream; every share has room, as it does but for a moment
before it is filled. Measured beside parsing the 1 kB body of the request with the standard library's json.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from decimal import Decimal

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.clock import SystemClock
from baseload.gateway.budgets import Budgets
from baseload.gateway.head import Head, Request
from baseload.gateway.job import Job
from baseload.gateway.meter import Record
from baseload.gateway.slots import Slots
from baseload.gateway.state import GatewayState
from baseload.gateway.target import Targets
from baseload.load.calls import Attempt, Decision
from baseload.load.facts import Bucket, Facts
from baseload.policy.budget import Budget, Per
from baseload.policy.policy import Policy, Route
from baseload.settings import Settings
from baseload.upstreams import Upstream
from baseload.usage import Usage
from baseload.wire import openai
from benchmarks.frame import Figure, beside, run

BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "word " * 190}], "max_tokens": 200})
ROUTE = Route(name="api", upstream="api", model="large", offer="acme/large", success={Bucket.JUDGMENT: 0.9})
RATES = Rates(input=Decimal(3), output=Decimal(15))
OFFER = Offer("acme", "large", Source("sheet", Precedence.YOURS, date(2026, 1, 1), "invented"), (PriceRow(RATES),))
BUDGETS = (
    Budget(name="acme", per=Per.DAY, usd=Decimal(1_000_000), match={"customer": "acme"}),
    Budget(name="web", per=Per.MONTH, tokens=10**17, match={"team": "web", "customer": "*"}),
    Budget(name="calls", per=Per.HOUR, requests=10**15, match={"upstream": "api"}),
)


async def _measure(directory: str, rounds: int, times: int) -> list[Figure]:
    upstream = Upstream(name="api", base_url="http://127.0.0.1:9/v1")
    policy = Policy(routes=(ROUTE,))
    settings = Settings(upstreams=(upstream,), policy=policy, data_dir=directory, budgets=BUDGETS)
    clock = SystemClock()
    budgets = Budgets(settings, clock)
    targets = Targets({"api": upstream}, clock, Slots())
    snapshot = GatewayState(policy, {OFFER.key: OFFER}, clock, targets).snapshot
    asked = openai.read(BODY.encode())
    facts = Facts(
        at_ns=clock.time_ns(),
        model="auto",
        bucket=Bucket.JUDGMENT,
        input_tokens=250,
        output_cap=200,
        tags={"customer": "acme", "team": "web", "key": "k"},
    )
    used = Usage(input_tokens=240, output_tokens=100)
    ended = Attempt(
        number=1, route="api", upstream="api", model="large", offer=OFFER.key, started_ns=0, ended_ns=1,
        usage=used, cost_nanousd=2_220_000,
    )  # fmt: skip
    record = Record(facts, Decision(id="d", policy="p", routes=()), snapshot.offers)
    job = Job(Request(Head("POST", "/v1/chat/completions", [])), asked, snapshot, record)

    def parse() -> object:
        return json.loads(BODY)

    def one() -> None:
        """What a request does: `cover` never waits here, so it is driven by hand."""
        job.hold, record.attempts = None, []
        budgets.open(job)
        hold = job.hold
        assert hold is not None
        with suppress(StopIteration):
            budgets.cover(job, ROUTE).send(None)
        record.attempts = [ended]
        hold.charges(record.attempts)
        hold.settle(written=True)

    budgets.open(job)
    assert await budgets.cover(job, ROUTE)
    shares = tuple(job.hold.held) if job.hold is not None else ()
    for share in shares:  # as if the ledger had lent plenty
        share.room = 10**17
    found = beside(
        "reserve and settle, 3 budgets",
        one,
        "json.loads of a 1 kB body",
        parse,
        rounds=rounds,
        times=times,
    )
    for share in shares:
        share.room = 0
    await budgets.close()
    return found


def measure(quick: bool) -> Iterator[Figure]:
    rounds, times = (5, 200) if quick else (31, 5_000)
    with tempfile.TemporaryDirectory() as directory:
        yield from asyncio.run(_measure(directory, rounds, times))


if __name__ == "__main__":
    run(__doc__, measure)
