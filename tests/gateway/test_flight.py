"""Requests that leave the express way early, or do not fit the plan that others of their kind have."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import httpx2 as httpx
import msgspec
import pytest
from tests.gateway.conftest import JSON, Bench, Running, completion, question, route

from baseload.errors import BadConfig
from baseload.gateway import express
from baseload.gateway.express import Express
from baseload.gateway.flight import Flight
from baseload.gateway.http import Connection, Exchange, Request
from baseload.gateway.plan import plan
from baseload.ledger.held import reserved
from baseload.load.facts import Operation
from baseload.policy.budget import Budget, Per

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ALL = frozenset((Operation.CHAT, Operation.COMPLETIONS))


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Which way each request went: True for the express way."""
    found: list[bool] = []
    take = Express.take

    def noted(self: Express, line: Connection, request: Request) -> Flight | None:
        flight = take(self, line, request)
        found.append(flight is not None)
        return flight

    monkeypatch.setattr(Express, "take", noted)
    return found


async def post(gateway: Running, body: object, path: str = CHAT, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20) as http:
        return await http.post(f"{gateway.url}{path}", json=body, headers=headers)


async def test_a_request_that_finds_no_connection_has_one_name(bench: Bench, ways: list[bool]) -> None:
    up = await bench.upstream(completed)
    gateway = await bench.gateway(up.url)
    first = await post(gateway, question())
    assert ways == [False]
    assert first.headers["x-request-id"] == first.headers["x-baseload-decision-id"] == bench.spool.calls[0].id
    assert up.seen[0].header(b"x-request-id") == bench.spool.calls[0].id.encode()


async def test_the_longest_of_several_prompts_is_each_requests_own(bench: Bench, ways: list[bool]) -> None:
    up = await bench.upstream(completed)
    gateway = await bench.gateway(up.url, routes=(route(0, operations=ALL),), upstream={"operations": ALL})
    for prompt in ("1234", ["1234", "123456789012"], ["12345678", "1234"], "1234"):
        assert (await post(gateway, {"model": "auto", "prompt": prompt}, COMPLETIONS)).status_code == 200
    assert [call.facts.longest_tokens for call in bench.spool.calls] == [0, 3, 2, 0]
    assert ways == [False, False, False, True]


async def test_what_is_reserved_returns_when_a_slot_cannot_be_counted(
    bench: Bench, ways: list[bool], tmp_path: Path
) -> None:
    up = await bench.upstream(completed)
    one = Budget(name="acme", per=Per.TOTAL, usd=Decimal(1))
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(one,))
    await post(gateway, question(max_tokens=20))
    state = gateway.gateway._state
    takes, state.takes = state.takes, refuses  # type: ignore[method-assign, assignment]
    await post(gateway, question(max_tokens=20))
    state.takes = takes  # type: ignore[method-assign]
    await gateway.gateway.stop(0.1)
    assert ways == [False, False]
    assert reserved(tmp_path / "spool") == {}


def refuses(*_: object) -> bool:
    raise BadConfig("no column is left", remedy="Start again.")


async def completed(request: Request, exchange: Exchange) -> None:
    """An upstream that names no request itself, and answers both endpoints alike."""
    del request
    await exchange.respond(200, JSON, completion())


async def test_requests_that_differ_in_their_heads_share_a_plan(
    bench: Bench, ways: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(express, "plan", lambda facts, snapshot: made.append(facts) or plan(facts, snapshot))
    up = await bench.upstream(completed)
    gateway = await bench.gateway(up.url)
    traces = [f"00-{n:032x}-{n:016x}-01" for n in range(1, 9)]
    for n, trace in enumerate(traces):
        headers = {"traceparent": trace, "x-request-id": f'%d"{n}'} if n % 3 else {"x-request-id": f"{n}%b"}
        assert (await post(gateway, question(metadata={"task": f"none-{n}"}), **headers)).status_code == 200
    assert ways == [False] + [True] * 7
    assert len(made) == 1
    facts = [call.facts for call in bench.spool.calls]
    assert [each.request_id for each in facts] == [f'%d"{n}' if n % 3 else f"{n}%b" for n in range(8)]
    assert [bool(each.trace) for each in facts] == [bool(n % 3) for n in range(8)]
    assert len({each.trace for each in facts if each.trace}) == 5
    assert [call.facts for call in bench.spool.begun] == facts


async def test_a_plan_does_not_outlive_its_policy(bench: Bench, ways: list[bool]) -> None:
    up = await bench.upstream(completed)
    gateway = await bench.gateway(up.url)
    policy = gateway.gateway._state.snapshot.policy
    for version in (policy, msgspec.structs.replace(policy, name="other")):
        gateway.gateway.swap(version)
        for agent in ("one", "two"):
            await post(gateway, question(), **{"user-agent": agent})
    assert ways == [False, True, True, True]
    assert [call.decision.policy for call in bench.spool.calls[:2]] == [bench.spool.calls[0].decision.policy] * 2
    assert {call.decision.policy for call in bench.spool.calls[2:]} == {gateway.gateway.policy}
    assert bench.spool.calls[0].decision.policy != gateway.gateway.policy
