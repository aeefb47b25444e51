"""Budgets before real sockets: what is reserved before a request is sent, what is charged after, who is refused."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import httpx2 as httpx
import msgspec
import pytest
from anthropic import RateLimitError as ClaudeRateLimitError
from openai import APIStatusError, RateLimitError
from tests.gateway.conftest import (
    Bench,
    Running,
    Script,
    completion,
    plain,
    question,
    route,
    status,
    usage,
)

from baseload.clock import SystemClock
from baseload.errors import BadInput
from baseload.gateway import shares
from baseload.gateway.budget_book import BudgetBook
from baseload.gateway.budgetfile import BudgetFile
from baseload.gateway.http import Exchange, Request
from baseload.ledger.accounts import Account
from baseload.ledger.held import reserved
from baseload.ledger.hot import open_store
from baseload.ledger.leases import Leases
from baseload.load.calls import Status
from baseload.load.facts import Bucket
from baseload.policy.budget import Budget, Mode, Per

# What the scripted upstream says costs 1 USD in, 5 out, 0.10 cached: 36 x 1000 + 64 x 100 + 20 x 5000.
COST = 142_400


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may be busy, and a second is the product's patience with the ledger."""
    monkeypatch.setattr(shares, "ROUND_SECONDS", 20.0)


def budget(**fields: object) -> Budget:
    kind = {} if {"tokens", "requests"} & fields.keys() else {"usd": Decimal(1)}
    return Budget(**({"name": "acme", "per": Per.TOTAL} | kind | fields))


async def post(gateway: Running, **more: object) -> httpx.Response:
    headers = more.pop("headers", {})
    async with httpx.AsyncClient(timeout=20) as http:
        body = question(**({"max_tokens": 20} | more))
        return await http.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers)


def record(bench: Bench, directory: Path) -> None:
    """What the drain does."""
    with closing(open_store(directory)) as store:
        store.record(bench.spool.calls)


def accounts(bench: Bench, directory: Path, *names: str) -> list[Account]:
    """The accounts, once every call is in the ledger."""
    record(bench, directory)
    with closing(open_store(directory)) as store:
        found = Leases(store).standing([(name, 0) for name in names])
        return [found[name, 0] for name in names]


async def at_rest(gateway: Running, bench: Bench, directory: Path, *names: str) -> list[Account]:
    """The same once the gateway has stopped: nothing is reserved or lent any more."""
    await gateway.gateway.stop(0.1)
    found = accounts(bench, directory, *names)
    assert reserved(directory / "spool") == {}
    assert [account.leased for account in found] == [0] * len(found)
    return found


async def test_what_a_call_costs_is_charged_to_every_budget_that_counts_it(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    budgets = (
        budget(),
        budget(name="web", match={"team": "web"}),
        budget(name="shop", match={"team": "shop"}),
        budget(name="tokens", tokens=10_000, match={"upstream": "u0"}),
        budget(name="calls", requests=10, match={"model": "real"}),
    )
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=budgets)
    for team in ("web", "web", "shop"):
        assert (await post(gateway, headers={"x-baseload-tag-team": team})).status_code == 200
    names = ("acme usd/total", "web usd/total", "shop usd/total", "tokens tokens/total", "calls requests/total")
    found = await at_rest(gateway, bench, tmp_path, *names)
    assert [account.charged for account in found] == [3 * COST, 2 * COST, COST, 360, 3]
    assert sum(call.cost_nanousd or 0 for call in bench.spool.calls) == 3 * COST


async def test_the_refusal_says_what_was_spent_and_what_to_do(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    one = budget(usd=Decimal("0.0004"), per=Per.DAY)
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(one,))
    client = gateway.client()
    ask = client.chat.completions.with_raw_response.create
    assert (await ask(**question(max_tokens=20))).headers["x-baseload-cost-usd"] == "0.0001424"
    record(bench, tmp_path)
    with pytest.raises(RateLimitError) as refused:
        await ask(**question(max_tokens=60))
    error, headers = refused.value.body, refused.value.response.headers
    assert error["code"] == "budget_exceeded"
    assert error["message"].startswith("acme has spent $0.000142 of $0.0004 today and this call could cost $0.000")
    assert error["message"].endswith("send a lower cap on the answer (max_tokens) or wait for 00:00 UTC.")
    assert headers["x-baseload-budget"] == "acme"
    assert headers["x-baseload-budget-limit"] == "400000"
    assert 0 < int(headers["x-baseload-budget-reset-seconds"]) <= 86_400
    assert headers["retry-after"]
    last = bench.spool.calls[-1]
    assert (last.status, last.attempts, last.charges) == (Status.REFUSED, (), ())
    assert [skip.reason[:29] for skip in last.decision.skipped] == ["budget acme has no room for $"]
    with pytest.raises(ClaudeRateLimitError) as claude:
        await gateway.claude().messages.create(
            model="auto", max_tokens=60, messages=[{"role": "user", "content": "What is a base load?"}]
        )
    assert claude.value.body["error"]["type"] == "rate_limit_error"
    assert len(up.seen) == 1


@pytest.mark.parametrize("count", [1, 7])
async def test_many_first_requests_at_once_pass_as_many_as_there_is_room_for(
    bench: Bench, tmp_path: Path, count: int
) -> None:
    async def slow(request: Request, exchange: Exchange) -> None:
        await asyncio.sleep(0.3)
        await plain(request, exchange)

    up = await bench.upstream(slow)
    one = budget(requests=count)
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(one,))
    answers = await asyncio.gather(*(post(gateway) for _ in range(12)))
    assert sorted(each.status_code for each in answers) == [200] * count + [429] * (12 - count)
    assert len(up.seen) == count
    [account] = await at_rest(gateway, bench, tmp_path, "acme requests/total")
    assert account.charged == count


async def test_what_is_reserved_comes_back_and_no_call_is_refused_for_it(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    size = len(msgspec.json.encode(question(max_tokens=20)))
    worst = size * 1_000 + 20 * 5_000 + 8
    one = budget(usd=Decimal(worst + 5 * COST) / 10**9)
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(one,))
    got = []
    for _ in range(8):
        got.append((await post(gateway)).status_code)
        await asyncio.sleep(0)
    assert got == [200] * 6 + [429] * 2
    [account] = await at_rest(gateway, bench, tmp_path, "acme usd/total")
    assert account.charged == 6 * COST


def broken(after: bytes) -> Script:
    async def script(_: Request, exchange: Exchange) -> None:
        await exchange.start(200, [(b"content-type", b"text/event-stream")])
        await exchange.send(after)
        await asyncio.sleep(0.05)
        exchange.abort()

    return script


async def test_tries_are_covered_by_one_reservation_and_each_is_charged(bench: Bench, tmp_path: Path) -> None:
    async def no_answer(_: Request, exchange: Exchange) -> None:
        await exchange.respond(200, [(b"content-type", b"application/json")], completion()[:-9] + b"!")

    first, second = await bench.upstream(status(500)), await bench.upstream(no_answer)
    third = await bench.upstream()
    budgets = (budget(), budget(name="last", match={"upstream": "u2"}), budget(name="calls", requests=1))
    gateway = await bench.gateway(first.url, second.url, third.url, data_dir=str(tmp_path), budgets=budgets)
    assert (await post(gateway)).status_code == 200
    [call] = bench.spool.calls
    assert [attempt.route for attempt in call.attempts] == ["r0", "r1", "r2"]
    found = await at_rest(gateway, bench, tmp_path, "acme usd/total", "last usd/total", "calls requests/total")
    costs = [attempt.cost_nanousd or 0 for attempt in call.attempts]
    assert [account.charged for account in found] == [sum(costs), costs[2], 1]


async def test_a_client_that_leaves_is_charged_what_came(bench: Bench, tmp_path: Path) -> None:
    async def endless(_: Request, exchange: Exchange) -> None:
        await exchange.start(200, [(b"content-type", b"text/event-stream")])
        for _ in range(1_000):
            await exchange.send(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n')
            await asyncio.sleep(0.01)

    up = await bench.upstream(endless)
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(budget(),))
    stream = await gateway.client().chat.completions.create(**question(stream=True, max_tokens=2_000))
    await anext(aiter(stream))
    await stream.close()
    await asyncio.wait_for(up.cancelled.wait(), 5)
    [account] = await at_rest(gateway, bench, tmp_path, "acme usd/total")
    assert account.charged == bench.spool.calls[0].cost_nanousd
    assert account.charged


async def test_a_model_without_a_price_is_refused_and_says_why(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    unpriced = (route(0, offer="nobody/knows"),)
    gateway = await bench.gateway(up.url, routes=unpriced, data_dir=str(tmp_path), budgets=(budget(),))
    with pytest.raises(APIStatusError) as refused:
        await gateway.client().chat.completions.create(**question())
    assert (refused.value.status_code, refused.value.body["code"]) == (403, "unpriced_under_budget")
    assert up.seen == []
    lax = await bench.gateway(up.url, routes=unpriced, budgets=(budget(unpriced="serve"),))
    assert (await post(lax)).status_code == 200


async def test_an_outage_is_told_as_one_although_a_budget_keeps_from_the_next_route(
    bench: Bench, tmp_path: Path
) -> None:
    """The 403 of an unpriced route would be final for a client; the failure before it is worth another try."""
    failing, other = await bench.upstream(status(500)), await bench.upstream()
    routes = (route(0), route(1, offer="nobody/knows"))
    gateway = await bench.gateway(failing.url, other.url, routes=routes, data_dir=str(tmp_path), budgets=(budget(),))
    answer = await post(gateway)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstreams_failed")
    assert "r1: budget acme caps USD, and no price is known." in answer.json()["error"]["message"]
    assert other.seen == []
    assert [call.status for call in bench.spool.calls] == [Status.FAILED]


async def test_a_cap_on_one_upstream_sends_requests_to_the_next(bench: Bench, tmp_path: Path) -> None:
    ups = [await bench.upstream(), await bench.upstream()]
    one = budget(requests=1, match={"upstream": "u0"})
    gateway = await bench.gateway(*(up.url for up in ups), data_dir=str(tmp_path), budgets=(one,))
    answers = [await post(gateway) for _ in range(3)]
    assert [each.headers["x-baseload-route"] for each in answers] == ["r0", "r1", "r1"]


async def test_a_downgrade_takes_a_cheaper_bucket_and_the_decision_says_so(bench: Bench, tmp_path: Path) -> None:
    ups = [await bench.upstream(), await bench.upstream()]
    routes = (
        route(0, success={Bucket.BANDWIDTH: 0.9}),
        route(1, offer="u1/real", model="large", success={Bucket.JUDGMENT: 0.9}),
    )
    one = budget(requests=1, match={"bucket": "judgment"}, mode=Mode.DOWNGRADE)
    gateway = await bench.gateway(*(up.url for up in ups), routes=routes, data_dir=str(tmp_path), budgets=(one,))
    answers = [await post(gateway) for _ in range(2)]
    assert [each.headers["x-baseload-route"] for each in answers] == ["r1", "r0"]
    decision = bench.spool.calls[-1].decision
    assert decision.routes[-1].reason.startswith("downgraded: budget acme has no room for 1 request; ")
    assert [skip.route for skip in decision.skipped] == ["r1"]
    assert bench.spool.calls[-1].facts.bucket is Bucket.JUDGMENT
    pinned = await post(gateway, model="large")
    assert (pinned.status_code, pinned.json()["error"]["code"]) == (429, "budget_exceeded")


async def test_a_downgrade_may_name_a_model(bench: Bench, tmp_path: Path) -> None:
    ups = [await bench.upstream(), await bench.upstream()]
    routes = (route(0, model="small"), route(1, offer="u1/real", model="large"))
    one = budget(requests=1, match={"model": "large"}, mode=Mode.DOWNGRADE, instead="small")
    gateway = await bench.gateway(*(up.url for up in ups), routes=routes, data_dir=str(tmp_path), budgets=(one,))
    answers = [await post(gateway, model="large") for _ in range(2)]
    assert [each.headers["x-baseload-model"] for each in answers] == ["large", "small"]


async def test_a_warning_serves_and_says_so(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(budget(requests=1, mode=Mode.WARN),))
    answers = [await post(gateway) for _ in range(3)]
    assert [each.status_code for each in answers] == [200] * 3
    assert answers[2].headers["x-baseload-budget-warning"] == "acme is spent"
    [account] = await at_rest(gateway, bench, tmp_path, "acme requests/total")
    assert (account.charged, account.free) == (3, -2)


async def test_a_budgets_cap_on_answers_goes_upstream(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(budget(output_tokens=50),))
    answer = await post(gateway, max_tokens=None)
    assert answer.headers["x-baseload-output-cap"] == "50"
    assert "x-baseload-output-cap" not in (await post(gateway)).headers
    assert [body.get("max_completion_tokens") for body in up.bodies] == [50, None]
    assert bench.spool.calls[0].facts.output_cap == 50


async def test_what_cost_more_than_its_worst_case_is_charged_in_full(bench: Bench, tmp_path: Path) -> None:
    async def wordy(_: Request, exchange: Exchange) -> None:
        text = completion(usage=usage(1_000_000, 1_000_000))
        await exchange.respond(200, [(b"content-type", b"application/json")], text)

    up = await bench.upstream(wordy)
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(budget(),))
    assert [(await post(gateway)).status_code for _ in range(2)] == [200, 429]
    [account] = await at_rest(gateway, bench, tmp_path, "acme usd/total")
    assert account.charged == 6 * 10**9


async def test_without_the_ledger_a_gateway_spends_what_it_has_and_then_says_so(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    budgets = (budget(requests=1_000, match={"team": "web"}), budget(name="lax", requests=1_000, unknown="serve"))
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=budgets)
    web = {"x-baseload-tag-team": "web"}
    assert (await post(gateway, headers=web)).status_code == 200
    await asyncio.sleep(0.1)  # until the share is filled
    gateway.gateway._budgets._shares.round_seconds = 1.0
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        first = [(await post(gateway, headers=web)).status_code for _ in range(3)]
        assert first == [200] * 3
        rest = [await post(gateway, headers=web) for _ in range(16)]
        assert [each.status_code for each in rest][-1] == 503
        assert rest[-1].json()["error"]["code"] == "budget_unknown"
        assert (await post(gateway)).status_code == 200
        other.execute("ROLLBACK")
    for _ in range(100):
        if (await post(gateway, headers=web)).status_code == 200:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("it does not recover")


async def test_a_call_that_could_not_be_written_down_is_spent_all_the_same(bench: Bench, tmp_path: Path) -> None:
    from baseload.errors import LedgerUnavailable

    def full() -> None:
        raise LedgerUnavailable("full", remedy="-")

    up = await bench.upstream()
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(budget(),))
    bench.spool.before = full
    assert (await post(gateway)).status_code == 503
    [account] = await at_rest(gateway, bench, tmp_path, "acme usd/total")
    assert (account.charged, account.forfeited) == (0, COST)


class Tomorrow(SystemClock):
    def time_ns(self) -> int:
        return super().time_ns() + 86_400 * 10**9


async def test_a_new_day_has_room_again(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(budget(requests=1, per=Per.DAY),))
    assert (await post(gateway)).status_code == 200
    gateway.gateway._chat._clock = gateway.gateway._budgets._clock = Tomorrow()
    assert [(await post(gateway)).status_code for _ in range(2)] == [200, 429]
    await gateway.gateway._budgets._shares.tick(Tomorrow().time_ns())
    assert len(gateway.gateway._budgets._shares.open) == 1  # and yesterday's share went back


async def test_a_budget_set_at_run_time_counts_within_a_second_or_two(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path))
    assert (await post(gateway)).status_code == 200
    book = BudgetBook(tmp_path, "", ())
    book.set("acme", {"per": "total", "requests": 0})
    for _ in range(100):
        if (await post(gateway)).status_code == 429:
            break
        await asyncio.sleep(0.1)
    book.set("acme", {"requests": 9})
    for _ in range(100):
        if (await post(gateway)).status_code == 200:
            break
        await asyncio.sleep(0.1)
    book.remove("acme")


async def test_each_customer_has_a_cap_of_its_own_and_the_rest_share_one(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    one = budget(requests=2, each="customer", values=2)
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(one,))

    async def ask(customer: str, times: int) -> list[int]:
        headers = {"x-baseload-tag-customer": customer} if customer else {}
        return [(await post(gateway, headers=headers)).status_code for _ in range(times)]

    assert await ask("acme", 3) == [200, 200, 429]
    refused = await post(gateway, headers={"x-baseload-tag-customer": "acme"})
    assert refused.json()["error"]["message"].startswith("acme[acme] has spent ")
    assert await ask("web", 1) == [200]
    assert await ask("third", 1) + await ask("fourth", 2) + await ask("third", 1) == [200, 200, 429, 429]
    assert await ask("", 4) == [200] * 4, "a request without the tag is not counted"
    assert await ask("web", 2) == [200, 429]
    names = [one.account_of(value) for value in ("acme", "web", None)]
    found = await at_rest(gateway, bench, tmp_path, *names)
    assert [account.charged for account in found] == [2, 2, 2]
    book = BudgetBook(tmp_path, "", (one,))
    shown = {each.title: each.spent for each in book.statuses(1)}
    assert shown == {"acme[acme]": 2, "acme[web]": 2, "acme[(others)]": 2}
    assert {each.title: each.spent for each in book.reset("acme", 1, "web")}["acme[web]"] == 0
    with pytest.raises(BadInput):
        book.reset("acme", 1, "nobody")
    with pytest.raises(BadInput) as wrong:
        book.set("other", {"per": "dayz", "requests": 1})
    assert "minute, hour, day, month, total" in wrong.value.remedy
    figures = book.statuses(1)[0].shown(1)
    assert sum(int(str(figures[name])) for name in ("spent", "lent", "free")) == int(str(figures["limit"]))


async def test_a_service_tier_without_a_price_is_no_way_around_a_cap(bench: Bench, tmp_path: Path) -> None:
    async def dear(_: Request, exchange: Exchange) -> None:
        body = msgspec.json.decode(completion()) | {"service_tier": "gold"}
        await exchange.respond(200, [(b"content-type", b"application/json")], msgspec.json.encode(body))

    up = await bench.upstream(dear)
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), budgets=(budget(),))
    assert (await post(gateway, service_tier="gold")).status_code == 403
    assert up.seen == []
    assert (await post(gateway)).status_code == 200
    [call] = [each for each in bench.spool.calls if each.attempts]
    assert call.cost_nanousd is None
    size = len(msgspec.json.encode(question(max_tokens=20)))
    [account] = await at_rest(gateway, bench, tmp_path, "acme usd/total")
    assert account.charged >= size * 1_000 + 20 * 5_000, "it counts as its worst case"


def test_a_cap_set_at_one_gateway_holds_at_the_other(tmp_path: Path) -> None:
    """Two gateways with a ledger between them; here both in one folder, but for their copies."""
    book = BudgetBook(tmp_path, "", ())
    book.set("acme", {"per": "total", "requests": 3})
    first = BudgetFile(tmp_path).read()
    (tmp_path / "budgets.json").unlink()  # another machine has none
    assert BudgetBook(tmp_path, "", ()).budgets == first
    assert not BudgetFile(tmp_path).keep((), 1), "what is as new already stays"
    book.set("web", {"per": "day", "usd": "1"})
    assert [each.name for each in BudgetFile(tmp_path).read()] == ["acme", "web"]


def test_budgets_of_an_older_copy_count_until_somebody_sets_one(tmp_path: Path) -> None:
    (tmp_path / "budgets.json").write_text(
        '{"schema": "baseload.budgets/1", "budgets": [{"name": "old", "per": "day", "usd": "1"}]}'
    )
    book = BudgetBook(tmp_path, "", ())
    assert [each.name for each in book.budgets] == ["old"]
    book.set("new", {"per": "day", "usd": "1"})
    assert [each.name for each in book.budgets] == ["old", "new"]
