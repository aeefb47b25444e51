"""A cap on several workers that are killed: never passed, spent to the end, and what is charged is what was metered."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.gateway.test_supervisor import QUESTION, Load, Stage, stage

from baseload.gateway.http import Exchange, Request
from baseload.gateway.meter import DIED
from baseload.ledger.accounts import Account, account_of, accounts
from baseload.ledger.hot import HotStore, open_store
from baseload.load.calls import Charge

__all__ = ["stage"]

CAP = 3_000_000
BUDGETS = [
    {"name": "all", "per": "total", "usd": "0.003"},
    {"name": "team", "per": "total", "match": {"team": "web"}, "requests": 40},
]


def in_usd(charge: Charge) -> bool:
    return charge.budget == "all usd/total"


@contextmanager
def ledger(directory: Path) -> Iterator[HotStore]:
    with closing(open_store(directory / "data")) as store:
        yield store


def account(directory: Path, name: str) -> Account:
    with ledger(directory) as store:
        found = store.rows(select(accounts).where(accounts.c.budget == name))
        return account_of(found[0])


def recorded(directory: Path) -> int:
    with ledger(directory) as store:
        return len(list(store.calls()))


async def spend_it_all(load: Load) -> None:
    """Until nobody is served any more, for longer than a worker keeps money that it does not need."""
    before = -1
    while before < len(load.answered):
        before = len(load.answered)
        await asyncio.sleep(5)


async def test_four_workers_spend_a_cap_to_the_end_and_never_pass_it(stage: Stage) -> None:
    gateway = await stage.serve(workers=4, budgets=BUDGETS)
    load = Load(gateway.url, askers=16)
    await load.reach(60)
    for _ in range(2):
        os.kill(gateway.workers[0], signal.SIGKILL)
        await gateway.until(lambda: len(gateway.workers) == 4)
        await load.go_on(20)
    await spend_it_all(load)
    await load.stop()
    for _ in range(3):  # shorter by a few bytes than what the load has asked: one more may fit
        refused = await gateway.ask()
    assert refused.status_code == 429
    assert await gateway.end() == 0
    with ledger(stage.directory) as store:
        calls = list(store.calls())
    found = account(stage.directory, "all usd/total")
    died = [call for call in calls if call.attempts and call.attempts[-1].error == DIED]
    costs = sum(call.cost_nanousd or 0 for call in calls if call not in died)
    assert found.charged == costs == sum(charge.amount for call in calls for charge in call.charges if in_usd(charge))
    assert sum(call.cost_nanousd or 0 for call in died) <= found.forfeited  # each at its worst, instead
    assert found.leased == 0
    assert found.charged + found.forfeited <= CAP
    needed = int(refused.headers["x-baseload-budget-needed"])
    assert found.free < needed  # not one more would have fitted
    each = max(call.cost_nanousd or 0 for call in calls if call not in died)
    assert stage.upstream.count.requests * each <= CAP
    assert {name.rsplit(".", 1)[1] for name in stage.left()} <= {"damaged"}


async def test_what_was_under_way_when_a_worker_died_is_charged_at_its_worst(stage: Stage, tmp_path: Path) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    simulated = stage.upstream.handle

    async def stuck(request: Request, exchange: Exchange) -> None:
        if b"stuck" in request.body:
            started.set()
            await release.wait()
        await simulated(request, exchange)

    from baseload.gateway.http import serve

    server = await serve(stuck, "127.0.0.1", 0)
    stage.port = server.address[1]
    gateway = await stage.serve(workers=2, budgets=BUDGETS)
    try:
        assert (await gateway.ask()).status_code == 200
        waiting = asyncio.create_task(gateway.ask(messages=[{"role": "user", "content": "stuck"}]))
        await asyncio.wait_for(started.wait(), 20)
        workers = gateway.workers
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(Exception):  # noqa: B017,PT011 (whatever a client makes of a connection that dies)
            await waiting
        await gateway.until(lambda: not set(workers) & set(gateway.workers))
        await gateway.until(lambda: account(stage.directory, "all usd/total").forfeited > 0)
        await gateway.until(lambda: recorded(stage.directory) == 2)
    finally:
        release.set()
        await gateway.end()
        await server.drain(0.1)
    found = account(stage.directory, "all usd/total")
    with ledger(stage.directory) as store:
        call, died = sorted(store.calls(), key=lambda each: each.attempts[-1].error)
    assert (died.attempts[-1].error, died.charges) == (DIED, ())
    worst = len(str(QUESTION)) * 250 + 5 * 2_000
    assert found.charged == call.cost_nanousd
    assert found.leased == 0
    assert 5 * 2_000 < found.forfeited <= 2 * worst
