"""Who hears of a budget that fills and of GPUs that stand idle, and how a budget is seen and set."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from tests.gateway.conftest import Bench, route
from tests.gateway.test_admin import ADMIN_KEY, call
from tests.gateway.test_budgets import budget, post
from tests.samples import call as made
from typer.testing import CliRunner

from baseload.cli.main import app
from baseload.errors import BadInput
from baseload.gateway.budget_book import BudgetBook
from baseload.gateway.health import Status
from baseload.gateway.http import Exchange, Request, serve
from baseload.gateway.loaded import Loaded
from baseload.gateway.metrics import Metrics
from baseload.gateway.telling import Telling
from baseload.gateway.watch import Watch
from baseload.ledger.hot import open_store
from baseload.load.calls import Charge
from baseload.policy.budget import Per
from baseload.policy.policy import Policy
from baseload.settings import Alerts, Settings, Upstream

NOON = 1_700_049_600 * 10**9  # 2023-11-15 12:00 UTC, the middle of a day
MORNING = NOON - 12 * 3_600 * 10**9


@asynccontextmanager
async def webhook() -> AsyncIterator[tuple[str, list[dict[str, object]]]]:
    """An address that takes alerts, and those that came."""
    came: list[dict[str, object]] = []

    async def take(request: Request, exchange: Exchange) -> None:
        came.append(json.loads(request.body))
        await exchange.respond(204, [], b"")

    server = await serve(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.address[1]}/hook", came
    finally:
        await server.drain(0.1)


def watch(tmp_path: Path, **fields: object) -> tuple[Watch, Telling, Status]:
    values: dict[str, object] = {"upstreams": (Upstream(name="u0", base_url="http://127.0.0.1:9/v1"),)}
    policy = Policy(routes=(route(0),), aliases={})
    settings = Settings(**(values | {"policy": policy, "data_dir": str(tmp_path)} | fields))
    metrics = Metrics()
    telling = Telling(metrics, None)

    async def nobody() -> list[None]:
        return []

    status = Status(Loaded(settings=settings, offers={}), metrics, nobody)
    return Watch(status.loaded, telling, status), telling, status


def spend(tmp_path: Path, amount: int, name: str, account: str = "acme usd/day") -> None:
    store = open_store(tmp_path)
    store.record([made(name, charges=(Charge(account, MORNING, amount, ""),))])
    store.close()


async def test_each_mark_is_told_once_and_the_forecast_first(tmp_path: Path) -> None:
    async with webhook() as (address, came):
        alerts = Alerts(webhook=address)
        budgets = (budget(per=Per.DAY, usd=Decimal(10)),)
        for gateway in range(2):  # another one on the same ledger tells nobody again
            one, _, status = watch(tmp_path, budgets=budgets, alerts=alerts)
            for number, cents in enumerate((200, 210, 100, 400, 400)):
                if gateway == 0:
                    spend(tmp_path, cents * 10**7, f"{number}")
                await one.look(NOON)
                await one.delivered()
            text = status.metrics.text(status.samples([])).decode()
            await one.stop()
    # 20 % at noon, 41, 51, 91, 131; the pace says twice that. What is spent already is no forecast.
    assert [each["about"] for each in came] == [
        "forecast 80",
        "actual 50",
        "forecast 100",
        "actual 80",
        "forecast 120",
        "actual 120",
    ]
    assert came[0]["schema"] == "baseload.alert/1"
    assert "budget acme has spent" in str(came[0]["message"])
    assert 'baseload_budget_limit_usd{budget="acme"} 10.000000000' in text
    assert 'baseload_budget_reserved_usd{budget="acme"} 0.000000000' in text


async def test_gpus_that_serve_nothing_are_told_of_with_what_they_burn(tmp_path: Path) -> None:
    pool = Upstream(
        name="u0",
        base_url="http://127.0.0.1:9/v1",
        kind="own",
        deployment="qwen3-32b-2xh100-vllm0.12",
        usd_per_gpu_hour=Decimal("2.50"),
    )
    async with webhook() as (address, came):
        alerts = Alerts(webhook=address, idle_minutes=30)
        one, telling, _ = watch(tmp_path, upstreams=(pool,), alerts=alerts)
        hour = 3_600 * 10**9
        began = one._began_ns
        for minutes in (29, 31, 90):
            await one.look(began + minutes * hour // 60)
            await one.delivered()
        telling.last_ns["u0"] = began + 2 * hour
        await one.look(began + 2 * hour)
        await one.delivered()
        await one.look(began + 3 * hour)
        await one.delivered()
        await one.stop()
    assert [each["about"] for each in came] == ["idle", "idle"]
    assert "$5.00 an hour, $2.58 so far" in str(came[0]["message"])


async def test_gpus_whose_price_nobody_stated_are_told_of_too(tmp_path: Path) -> None:
    pool = Upstream(name="u0", base_url="http://127.0.0.1:9/v1", kind="own")
    async with webhook() as (address, came):
        one, _, _ = watch(tmp_path, upstreams=(pool,), alerts=Alerts(webhook=address, idle_minutes=30))
        await one.look(one._began_ns + 3_600 * 10**9)
        await one.delivered()
        await one.stop()
    assert "what it costs is not known; state its deployment and usd_per_gpu_hour" in str(came[0]["message"])


async def test_a_mark_that_could_not_be_written_down_is_told_later(tmp_path: Path) -> None:
    """One of two budgets is told of, the other one as soon as the ledger takes it, and each once."""
    async with webhook() as (address, came):
        budgets = (budget(per=Per.DAY, usd=Decimal(10)), budget(name="b", per=Per.DAY, usd=Decimal(10)))
        one, _, _ = watch(tmp_path, budgets=budgets, alerts=Alerts(webhook=address, percents=(50,)))
        spend(tmp_path, 6 * 10**9, "a")
        spend(tmp_path, 6 * 10**9, "b", "b usd/day")
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            full = "create trigger full before insert on budget_alerts when new.budget = 'b usd/day'"
            other.execute(f"{full} begin select raise(abort, 'no room'); end")
            await one.look(NOON)
            await one.delivered()
            other.execute("drop trigger full")
        told = [(each["name"], each["about"]) for each in came]
        await one.look(NOON)
        await one.delivered()
        assert told == [("acme", "actual 50"), ("acme", "forecast 50")][: len(told)]
        assert told
        assert {each["name"] for each in came[len(told) :]} == {"b"}
        await one.stop()


async def test_a_webhook_that_answers_nothing_keeps_nobody_from_looking(tmp_path: Path) -> None:
    """Beside it budgets are looked after as before: their figures are those of now."""

    async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    budgets = (budget(per=Per.DAY, usd=Decimal(10)),)
    one, _, _ = watch(tmp_path, budgets=budgets, alerts=Alerts(webhook=address))
    for name in "ab":
        spend(tmp_path, 5 * 10**9, name)
        async with asyncio.timeout(5):
            await one.look(NOON)
    assert [each.spent for each in one._found] == [10 * 10**9]
    gone.set()
    await one.delivered()
    await one.stop()
    server.close()


async def test_a_webhook_that_is_gone_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spend(tmp_path, 9 * 10**9, "one")
    alerts = Alerts(webhook="http://127.0.0.1:9/")
    one, _, _ = watch(tmp_path, budgets=(budget(per=Per.DAY, usd=Decimal(10)),), alerts=alerts)
    await one.look(NOON)
    await one.delivered()
    await one.stop()
    assert "the webhook could not be reached" in caplog.text


async def test_budgets_by_the_admin_api(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    more = {"data_dir": str(tmp_path), "admin_key": ADMIN_KEY, "budgets": (budget(usd=Decimal(5)),)}
    gateway = await bench.gateway(up.url, **more)
    listed = await call(gateway, "GET", "/budgets")
    assert [(each["name"], each["limit"], each["spent"]) for each in listed.json()["budgets"]] == [("acme", "5", "0")]
    made = await call(gateway, "PUT", "/budgets/web", json={"per": "day", "requests": 0, "match": {"team": "web"}})
    assert made.json()["budget"]["limit"] == 0
    for _ in range(100):
        if (await post(gateway, headers={"x-baseload-tag-team": "web"})).status_code == 429:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("the budget does not hold")
    assert (await call(gateway, "POST", "/budgets/web/reset")).json()["budget"]["spent"] == 0
    assert (await call(gateway, "DELETE", "/budgets/web")).json() == {
        "schema": "baseload.budget/1",
        "budget": None,
        "configured": False,
    }
    wrong = (
        ("GET", "/budgets/nobody", {}, 400),
        ("PUT", "/budgets/x", {"per": "week", "usd": 1}, 400),
        ("PUT", "/budgets/x", {"per": "day", "usd": 1, "zone": "Nowhere"}, 400),
        ("PATCH", "/budgets/acme", {}, 404),
        ("POST", "/budgets/acme/spend", {}, 404),
    )
    for method, path, body, code in wrong:
        answer = await call(gateway, method, path, json=body)
        assert (answer.status_code, bool(answer.json()["error"]["remedy"])) == (code, True)
    assert (await call(gateway, "GET", "/budgets", token="")).status_code == 401


def test_a_reset_begins_anew(tmp_path: Path) -> None:
    spend(tmp_path, 7 * 10**9, "one")
    book = BudgetBook(tmp_path, "", (budget(per=Per.DAY, usd=Decimal(10)),))
    assert book.statuses(NOON, "acme")[0].spent == 7 * 10**9
    assert book.reset("acme", NOON)[0].spent == 0
    spend(tmp_path, 10**9, "two")
    assert book.statuses(NOON)[0].spent == 10**9
    with pytest.raises(BadInput):
        book.remove("acme")


def test_budgets_by_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "baseload.yaml"
    config.write_text(f"data_dir: {tmp_path}/data\nbudgets: [{{name: acme, per: day, usd: 10}}]\n")

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, ["budget", *words, "-c", str(config)], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    assert "$10.00" in run("list")
    assert json.loads(run("set", "acme", "--usd", "2.5", "--mode", "warn", "--json"))["budget"]["limit"] == "2.5"
    assert (
        json.loads(run("set", "acme", "--tokens", "7", "--match", "team=web", "--json"))["budget"]["unit"] == "tokens"
    )
    assert json.loads(run("list", "--json"))["budgets"][0]["mode"] == "warn"
    assert "tokens" in run("show", "acme")
    assert "in force again" in run("remove", "acme")
    assert json.loads(run("reset", "acme", "--json"))["budget"]["limit"] == "10"


def test_nobody_is_told_of_what_the_configuration_cannot_mean() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"webhook": "file:///etc/passwd"}, Alerts)
