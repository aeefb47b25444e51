"""One cap for two gateways with a database between them: both are asked at once, one is killed, and the database."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import pytest
from sqlalchemy import select
from tests.gateway.test_supervisor import QUESTION, SECONDS, Load, Running, Stage, stage
from tests.postgres_server import Server

from baseload.gateway.meter import DIED
from baseload.ledger.accounts import Account, account_of, accounts
from baseload.ledger.drain import recover
from baseload.ledger.hot import HotStore, open_store
from baseload.load.calls import Call

__all__ = ["stage"]

CAP = 1_500_000
BUDGETS = [{"name": "all", "per": "total", "usd": "0.0015"}]


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    found.start()
    yield found
    found.close()


@pytest.fixture
async def two(stage: Stage, tmp_path: Path) -> AsyncIterator[list[Stage]]:
    """Two places for gateways, before one upstream."""
    found = [replace(stage, directory=tmp_path / name, started=[]) for name in "ab"]
    for each in found:
        each.directory.mkdir()
    yield found
    for each in found:
        stage.started += each.started


def killed(gateway: Running) -> None:
    """As a machine that loses its power: supervisor and workers at once."""
    for pid in (gateway.process.pid, *gateway.workers):
        os.kill(pid, signal.SIGKILL)
    gateway.process.communicate()


async def spend_it_all(gateway: Running) -> httpx.Response:
    """Ask for as long as somebody is served, and then for longer than a worker keeps money that it does not need."""
    refused = 0
    async with httpx.AsyncClient(timeout=SECONDS) as client:
        while refused < 8:
            asked = (client.post(f"{gateway.url}/v1/chat/completions", json=QUESTION) for _ in range(3))
            answers = await asyncio.gather(*asked)
            if all(each.status_code == 429 for each in answers):
                refused += 1
                await asyncio.sleep(0.5)
            else:
                refused = 0
    return answers[-1]


def balance(store: HotStore) -> tuple[Account, list[Call]]:
    [row] = store.rows(select(accounts).where(accounts.c.budget == "all usd/total"))
    return account_of(row), list(store.calls())


async def test_two_gateways_spend_one_cap_to_the_end_and_never_pass_it(two: list[Stage], server: Server) -> None:
    url = server.database()
    one, other = [await each.serve(workers=2, budgets=BUDGETS, store=url) for each in two]
    loads = [Load(gateway.url, askers=8) for gateway in (one, other)]  # the first requests of both at once
    for load in loads:
        await load.reach(15)
    killed(one)
    await loads[0].stop()
    await loads[1].go_on(5)
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(1)
    await asyncio.to_thread(server.start)
    await loads[1].go_on(5)
    await loads[1].stop()
    with closing(open_store(two[0].directory, url)) as store:  # what the next start of the first one does first
        recover(two[0].directory / "data", store)
    refused = await spend_it_all(other)
    assert await other.end() == 0
    with closing(open_store(two[0].directory, url)) as store:
        found, calls = balance(store)
    died = [call for call in calls if call.attempts and call.attempts[-1].error == DIED]
    charged = [call.cost_nanousd or 0 for call in calls if call not in died]
    assert found.charged == sum(charged) == sum(charge.amount for call in calls for charge in call.charges)
    assert (found.leased, found.forgiven) == (0, 0)
    assert found.charged + found.forfeited <= CAP
    assert sum(call.cost_nanousd or 0 for call in died) <= found.forfeited
    assert two[0].upstream.count.requests * max(charged) <= CAP, "whatever was served, told or not"
    assert found.free < int(refused.headers["x-baseload-budget-needed"]), "not one more would have fitted"
