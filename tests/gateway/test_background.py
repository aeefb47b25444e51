"""Responses in the background: one call each, with what it consumed, whoever reads it, leaves, stops or dies."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import msgspec
import openai
import pytest
from tests.gateway.conftest import JSON, Bench, Running
from tests.gateway.test_budgets import at_rest, budget

from baseload.errors import LedgerUnavailable
from baseload.gateway import background, unfinished
from baseload.gateway.http import Exchange, Request
from baseload.gateway.simulated import Simulated, api_pace
from baseload.load.calls import Evidence, Status
from baseload.load.facts import Operation
from baseload.usage import Usage

# So slow that nothing is done unless a test says so.
PACE = api_pace(0.0, 0.1)
ASKED = {"model": "auto", "input": "one two three", "max_output_tokens": 30, "background": True}
USED = Usage(input_tokens=3, output_tokens=30)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked by itself, unless a test says so."""
    monkeypatch.setattr(background, "FIRST_SECONDS", 60.0)
    monkeypatch.setattr(background, "LOOK_SECONDS", 0.05)


def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream is asked all the time."""
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(background, "MOST_SECONDS", 0.05)


async def before(bench: Bench, **more: object) -> tuple[Simulated, Running]:
    return await bench.before_simulated(**{"pace": PACE} | more)


def finish(simulated: Simulated) -> None:
    """What the upstream works on is done."""
    for each in simulated._responses.kept.values():
        each.done_at = 0.0


async def written(bench: Bench, count: int = 1) -> None:
    """Wait until so many calls are written down."""
    async with asyncio.timeout(5):
        while len(bench.spool.calls) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def check(bench: Bench, simulated: Simulated) -> None:
    """One call, with what the upstream counted, at its price."""
    (call,) = bench.spool.calls
    assert (call.status, call.usage) == (Status.OK, USED)
    assert [each.evidence for each in call.attempts] == [Evidence.REPORTED]
    assert call.cost_nanousd == 3 * 1_000 + 30 * 5_000
    assert (simulated.count.prompt_tokens, simulated.count.completion_tokens) == (3, 30)


async def test_it_is_metered_when_it_is_read_as_done_and_once(bench: Bench) -> None:
    simulated, gateway = await before(bench)
    client = gateway.client()
    made = await client.responses.create(**ASKED)
    assert (made.status, made.usage) == ("queued", None)
    assert (await client.responses.retrieve(made.id)).status == "in_progress"
    assert bench.spool.calls == [], "nobody knows yet what it consumes"
    assert gateway.gateway.state().unfinished == 1
    finish(simulated)
    bench.spool.before = lambda: seen.append("written")
    seen: list[str] = []
    for _ in range(3):
        found = await client.responses.retrieve(made.id)
        seen.append(found.status)
    assert seen == ["written", "incomplete", "incomplete", "incomplete"], "before the client has it, and never again"
    assert gateway.gateway.state().unfinished == 0
    check(bench, simulated)


async def test_what_nobody_reads_is_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch)
    simulated, gateway = await before(bench)
    await gateway.client().responses.create(**ASKED)
    await asyncio.sleep(0.15)
    assert bench.spool.calls == []
    finish(simulated)
    await written(bench)
    check(bench, simulated)


async def test_readers_and_the_poller_at_once_write_one_call(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch)
    simulated, gateway = await before(bench)
    made = await gateway.client().responses.create(**ASKED)

    async def read() -> None:
        while (await gateway.client().responses.retrieve(made.id)).status == "in_progress":
            pass

    asyncio.get_running_loop().call_later(0.3, finish, simulated)
    await asyncio.gather(*(read() for _ in range(8)))
    await asyncio.sleep(0.15)
    check(bench, simulated)


async def test_a_stream_of_it_is_metered_as_any_other(bench: Bench) -> None:
    simulated, gateway = await before(bench, pace=None)
    events = [each.type async for each in await gateway.client().responses.create(**ASKED, stream=True)]
    assert events[-1] == "response.incomplete"
    check(bench, simulated)
    assert gateway.gateway.state().unfinished == 0


async def test_who_leaves_its_stream_has_it_made_and_metered_all_the_same(bench: Bench) -> None:
    simulated, gateway = await before(bench)
    client = gateway.client()
    stream = await client.responses.create(**ASKED, stream=True)
    first = await anext(aiter(stream))
    await stream.close()
    async with asyncio.timeout(5):
        while not gateway.gateway.state().unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert bench.spool.calls == []
    finish(simulated)
    async for _ in await client.responses.retrieve(first.response.id, stream=True):
        pass
    await written(bench)
    check(bench, simulated)


async def test_what_is_cancelled_is_metered_by_what_is_known(bench: Bench) -> None:
    _, gateway = await before(bench)
    client = gateway.client()
    made = await client.responses.create(**ASKED)
    assert (await client.responses.cancel(made.id)).status == "cancelled"
    (call,) = bench.spool.calls
    assert (call.status, call.attempts[0].evidence) == (Status.CLIENT_GONE, Evidence.ESTIMATED)
    assert call.usage == Usage(input_tokens=call.facts.input_tokens)


async def test_one_that_is_done_is_metered_before_it_is_deleted(bench: Bench) -> None:
    simulated, gateway = await before(bench)
    made = await gateway.client().responses.create(**ASKED)
    finish(simulated)
    await gateway.client().responses.delete(made.id)
    check(bench, simulated)


@pytest.mark.parametrize(
    ("said", "status", "evidence"),
    [
        ((200, b'{"id":"r","status":"failed","output":[],"error":{"message":"no"}}'), Status.FAILED, Evidence.NONE),
        ((404, b'{"error":{"message":"gone"}}'), Status.TIMEOUT, Evidence.ESTIMATED),
        (
            (200, b'{"id":"r","status":"completed","output":[],"usage":{"input_tokens":9,"output_tokens":1}}'),
            Status.OK,
            Evidence.REPORTED,
        ),
    ],
)
async def test_however_it_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, said: tuple[int, bytes], status: Status, evidence: Evidence
) -> None:
    busy(monkeypatch)
    odd = [(500, b"{}"), (200, b"<html>"), (200, b'{"id":"r","status":"in_progress","output":[]}'), said]

    async def script(request: Request, exchange: Exchange) -> None:
        code, body = (200, b'{"id":"r","status":"queued","output":[]}') if request.method == "POST" else odd.pop(0)
        await exchange.respond(code, JSON, body)

    gateway = await bench.gateway((await bench.upstream(script)).url, every={"operations": frozenset(Operation)})
    await gateway.client().responses.create(**ASKED)
    await written(bench)
    (call,) = bench.spool.calls
    assert (call.status, call.attempts[0].evidence) == (status, evidence)
    assert gateway.gateway.state().unfinished == 0
    assert odd == []


async def test_one_that_is_never_done_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch)
    monkeypatch.setattr(background, "GIVEN_UP_NS", 200_000_000)
    _, gateway = await before(bench)
    await gateway.client().responses.create(**ASKED)
    await written(bench)
    (call,) = bench.spool.calls
    assert (call.status, call.attempts[0].evidence) == (Status.TIMEOUT, Evidence.ESTIMATED)
    assert call.attempts[0].error == "it was not done after a day"


class TestOtherProcesses:
    """Gateways on one data_dir, as workers are, and as the one that is started after a crash is."""

    async def another(self, bench: Bench, gateway: Running, **more: object) -> Running:
        settings = gateway.gateway._settings
        first = msgspec.structs.asdict(settings.upstreams[0])
        url, data_dir = first.pop("base_url"), settings.data_dir
        return await bench.gateway(url, routes=settings.policy.routes, upstream=first, data_dir=data_dir, **more)

    async def test_the_next_gateway_goes_on_where_one_stopped(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulated, gateway = await before(bench)
        await gateway.client().responses.create(**ASKED)
        await gateway.gateway.stop(0.1)
        finish(simulated)
        busy(monkeypatch)
        await self.another(bench, gateway)
        await written(bench)
        check(bench, simulated)

    async def test_one_that_dies_leaves_it_to_the_first_who_looks(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(background, "LEASE_SECONDS", 0.2)
        simulated, gateway = await before(bench)
        others = [await self.another(bench, gateway) for _ in range(3)]
        made = await gateway.client().responses.create(**ASKED)
        finish(simulated)
        gateway.gateway.background._task.cancel()  # as good as dead: it renews nothing and asks nobody
        busy(monkeypatch)
        await written(bench)
        assert (await others[0].client().responses.retrieve(made.id)).status == "incomplete"
        await asyncio.sleep(0.3)
        check(bench, simulated)

    async def test_a_reader_elsewhere_disturbs_nobody(self, bench: Bench) -> None:
        simulated, gateway = await before(bench)
        other = await self.another(bench, gateway)
        made = await gateway.client().responses.create(**ASKED)
        finish(simulated)
        assert (await other.client().responses.retrieve(made.id)).status == "incomplete"
        assert bench.spool.calls == []
        await gateway.client().responses.retrieve(made.id)
        check(bench, simulated)


class TestBudgets:
    async def test_it_is_reserved_until_it_is_done_and_then_charged(self, bench: Bench, tmp_path: Path) -> None:
        one = budget(usd=Decimal("0.0005"))
        simulated, gateway = await before(bench, data_dir=str(tmp_path), budgets=(one,))
        client = gateway.client()
        first = await client.responses.create(**ASKED)
        await client.responses.create(**ASKED)
        with pytest.raises(openai.RateLimitError):
            await client.responses.create(**ASKED)
        finish(simulated)
        await client.responses.retrieve(first.id)
        (call,) = [each for each in bench.spool.calls if each.attempts]
        assert [each.amount for each in call.charges] == [call.cost_nanousd]
        (found,) = await at_rest(gateway, bench, tmp_path, "acme usd/total")
        assert found.charged == call.cost_nanousd
        assert found.forfeited >= call.cost_nanousd, "the other one: its worst case, for nobody knows yet"
        assert simulated.count.requests == 2


async def test_where_it_cannot_be_noted_it_is_metered_at_once_by_our_estimate(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / unfinished.UNFINISHED).write_bytes(b"this is no database, and longer than a header of one would be" * 4)
    _, gateway = await before(bench, data_dir=str(tmp_path))
    made = await gateway.client().responses.create(**ASKED)
    assert made.status == "queued"
    (call,) = bench.spool.calls
    assert call.attempts[0].evidence is Evidence.ESTIMATED


async def test_a_ledger_that_cannot_be_written_has_it_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated, gateway = await before(bench)
    made = await gateway.client().responses.create(**ASKED)
    failures = [LedgerUnavailable("full", remedy="x")]

    def full() -> None:
        if failures:
            raise failures.pop()

    bench.spool.before = full
    finish(simulated)
    busy(monkeypatch)
    await gateway.client().responses.retrieve(made.id)
    await written(bench)
    # The meter tries again, and so may whoever takes the answer over: the ledger keeps one call of a name.
    bench.spool.calls[:] = {call.id: call for call in bench.spool.calls}.values()
    check(bench, simulated)
