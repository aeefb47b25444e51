"""Shares of one cap at several workers: nobody passes it, nothing stays reserved, nobody is refused for nothing."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import closing
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.samples import call

from baseload.errors import LedgerUnavailable
from baseload.gateway.share import Share
from baseload.gateway.shares import CLOSE_TICKS, Shares
from baseload.ledger.held import reserved
from baseload.ledger.hot import open_store
from baseload.ledger.leases import Leases
from baseload.load.calls import Charge
from baseload.policy.budget import ALWAYS_NS, Budget, Per, Window

CAP = 2_000
BUDGET = Budget(name="b", per=Per.TOTAL, tokens=CAP)
SPAN = Window(0, ALWAYS_NS)
# What a call needs at the most, what part of it it costs, how long it takes in passes of the loop.
CALL = st.tuples(st.integers(1, 400), st.floats(0, 1), st.integers(0, 3))


class Workers:
    """Several shares of one cap, and the calls that they have let through."""

    def __init__(self, directory: Path, count: int) -> None:
        self.shares = [Shares(directory, "", f"w{number}") for number in range(count)]
        for shares in self.shares:
            shares.round_seconds = 60.0  # this machine may be busy, and a second is the product's patience
        self.calls = 0
        self.spent = 0
        self.under_way = 0
        self.refused: list[int] = []
        self._directory = directory

    def one(self, worker: int) -> Share:
        return self.shares[worker].share(BUDGET, (BUDGET.account, SPAN.start_ns), SPAN, UTC)

    async def ask(self, worker: int, need: int, part: float, passes: int) -> None:
        shares, share = self.shares[worker], self.one(worker)
        wanted = [(share, need)]
        if shares.take(wanted) is not None and await shares.wait(wanted) is not None:
            self.refused.append(need)
            return
        self.under_way += need
        assert self.spent + self.under_way <= CAP
        for _ in range(passes):
            await asyncio.sleep(0)
        cost = int(need * part)
        self.calls += 1
        with closing(open_store(self._directory)) as store:
            store.record([call(f"c{self.calls}", charges=(Charge(*share.place, cost, shares.holder),))])
        self.under_way -= need
        self.spent += cost
        shares.settle([(share, need, cost)], written=True)


async def _serve(directory: Path, asked: list[list[tuple[int, float, int]]]) -> None:
    workers = Workers(directory, 3)
    for wave in asked:
        await asyncio.gather(*(workers.ask(number % 3, *each) for number, each in enumerate(wave)))
    assert [share.reserved for shares in workers.shares for share in shares.open.values()] == [0] * len(
        [share for shares in workers.shares for share in shares.open.values()]
    )
    for _ in range(5):  # seconds in which nobody asks: what lies idle returns
        for shares in workers.shares:
            for task in (shares._running, shares._next):
                if task is not None:  # in a second, a round that was begun has ended
                    await task
            await shares.tick(1)
    left = CAP - workers.spent
    if left:
        await workers.ask(0, left, 1.0, 0)
        assert workers.spent == CAP, "what is left at rest may be spent by anybody"
    for shares in workers.shares:
        await shares.close()
    with closing(open_store(directory)) as store:
        found = Leases(store).standing([(BUDGET.account, 0)]).values()
    assert [(each.charged, each.leased, each.forfeited) for each in found] == [(CAP, 0, 0)]
    assert reserved(directory / "spool") == {}


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(CALL, min_size=1, max_size=12), min_size=1, max_size=4))
def test_the_cap_holds_over_workers_and_is_spent_to_the_end(asked: list[list[tuple[int, float, int]]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_serve(Path(directory), asked))


async def test_the_first_calls_of_a_crowd_are_served_as_far_as_the_money_goes(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 3)
    await asyncio.gather(*(workers.ask(number % 3, 100, 1.0, 2) for number in range(30)))
    assert (workers.spent, len(workers.refused)) == (CAP, 10)
    for shares in workers.shares:
        await shares.close()


async def test_nobody_is_refused_while_there_is_plenty_however_many_come(tmp_path: Path) -> None:
    """A round that others wait for must not take back what the one before has given for a call that is yet to take it:
    a crowd that comes all the time was refused of a cap that was not touched."""
    shares = Shares(tmp_path, "", "w")
    budgets = [Budget(name=name, per=Per.TOTAL, tokens=10**12) for name in ("a", "b")]
    open_ = [shares.share(each, (each.account, SPAN.start_ns), SPAN, UTC) for each in budgets]
    refused: list[Share] = []

    async def client() -> None:
        for number in range(40):
            wanted = [(share, 10**9 + number) for share in open_]
            if shares.take(wanted) is not None and (short := await shares.wait(wanted)) is not None:
                refused.append(short)
                continue
            await asyncio.sleep(0.001)
            shares.settle([(share, need, 0) for share, need in wanted], written=True)

    await asyncio.gather(*(client() for _ in range(32)))
    assert refused == []
    assert all(not share.line and not share.waiting and not share.reserved for share in open_)
    await shares.close()


async def test_a_call_that_leaves_the_line_holds_nothing_back(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 1)
    shares, share = workers.shares[0], workers.one(0)
    waiting = asyncio.create_task(shares.wait([(share, CAP)]))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (share.promised, share.line, share.waiting) == (0, {}, 0)
    await workers.ask(0, CAP, 1.0, 0)
    assert workers.spent == CAP
    await shares.close()


async def test_a_holder_that_was_held_for_dead_begins_anew(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2)
    await workers.ask(0, 100, 1.0, 0)
    with closing(open_store(tmp_path)) as store:
        Leases(store).expire(2**62)
    for _ in range(4):
        await workers.shares[0].tick(1)
    await workers.ask(0, 50, 1.0, 0)
    assert workers.spent == 150
    for shares in workers.shares:
        await shares.close()
    with closing(open_store(tmp_path)) as store:
        [account] = Leases(store).standing([(BUDGET.account, 0)]).values()
    assert account.charged == 150
    assert account.free >= 0


async def test_a_round_that_may_have_happened_is_sent_again_and_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is lost after a commit and before the worker hears of it, twice in a row."""
    workers = Workers(tmp_path, 2)
    await workers.ask(0, 100, 0.5, 0)
    shares, share = workers.shares[0], workers.one(0)
    store = shares.leases()._store
    failures = ["lost", "lost"]

    def lost() -> None:
        if failures:
            raise LedgerUnavailable(failures.pop(), remedy="-")

    monkeypatch.setattr(store, "_check_written", lost)
    had = share.room
    with pytest.raises(LedgerUnavailable):
        await workers.ask(0, 900, 1.0, 0)
    assert shares.trouble == "lost"
    assert share.room <= 0 < had, "what it gave back in that round is not its own while nobody knows"
    with pytest.raises(LedgerUnavailable):
        await workers.ask(0, 900, 1.0, 0)
    await workers.ask(0, 900, 1.0, 0)
    assert not shares.trouble
    with closing(open_store(tmp_path)) as other:
        [account] = Leases(other).standing([(BUDGET.account, 0)]).values()
    assert account.charged == 950
    assert account.leased == share.room + share.reserved
    for _ in range(5):
        for each in workers.shares:
            await each.tick(1)
    await workers.ask(1, CAP - 950, 1.0, 0)
    assert (workers.spent, workers.refused) == (CAP, [])
    for each in workers.shares:
        await each.close()


async def test_what_could_not_be_written_down_is_forfeited_once(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 1)
    shares, share = workers.shares[0], workers.one(0)
    assert await shares.wait([(share, 100)]) is None
    ending = [(share, 100, 70)]
    shares.closing("call", ending)
    shares.stay(ending)
    assert reserved(tmp_path / "spool") == {share.place: 100}
    shares.settle(ending, written=False)
    assert reserved(tmp_path / "spool") == {share.place: 70}, "until the ledger knows of it"
    for _ in range(3):
        await shares.tick(1)
    assert reserved(tmp_path / "spool") == {}
    await shares.close()
    with closing(open_store(tmp_path)) as store:
        [account] = Leases(store).standing([(BUDGET.account, 0)]).values()
    assert (account.charged, account.leased, account.forfeited) == (0, 0, 70)


async def test_a_share_that_nobody_uses_is_closed_and_opens_again(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 1)
    await workers.ask(0, 100, 1.0, 0)
    shares, share = workers.shares[0], workers.one(0)
    for _ in range(CLOSE_TICKS + 5):
        for task in (shares._running, shares._next):
            if task is not None:
                await task
        await shares.tick(1)
    assert shares.open == {}
    await workers.ask(0, 100, 1.0, 0)
    assert list(shares.open.values()) == [share]
    assert workers.spent == 200
    await shares.close()


async def _all_at_once(directory: Path, values: int, patience: float) -> tuple[list[Share | None], Shares]:
    budget = Budget(name="each", per=Per.TOTAL, tokens=CAP, each="customer")
    shares = Shares(directory, "", "w")
    shares.round_seconds = patience

    async def ask(value: int) -> Share | None:
        share = shares.share(budget, (budget.account_of(f"c{value}"), SPAN.start_ns), SPAN, UTC)
        return await shares.wait([(share, 7)]) if shares.take([(share, 7)]) is not None else None

    return await asyncio.gather(*(ask(value) for value in range(values))), shares


def test_new_values_that_come_all_at_once_wait_as_long_as_the_ledger_answers(tmp_path):
    """They take longer together than anybody waits for one answer, and none is told that the ledger is gone."""

    async def run() -> None:
        short, shares = await _all_at_once(tmp_path, 2_500, 1.5)
        assert short == [None] * 2_500
        assert {share.reserved for share in shares.open.values()} == {7}
        shares.settle([(share, 7, 0) for share in shares.open.values()], written=True)
        await shares.close()

    asyncio.run(run())
    with closing(open_store(tmp_path)) as store:
        accounts = Leases(store).family("each tokens/total\n", SPAN.start_ns)
    assert len(accounts) == 2_500
    assert {account.leased for account in accounts} == {0}


def test_whoever_waits_hears_of_trouble_of_any_kind(tmp_path):
    (tmp_path / "ledger.db").mkdir()

    async def run() -> None:
        with pytest.raises(LedgerUnavailable):
            await _all_at_once(tmp_path, 200, 30.0)

    asyncio.run(run())
