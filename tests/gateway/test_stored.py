"""Where an answer is kept is remembered: over a restart, for its own key alone, within bounds."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import httpx2 as httpx
import openai
import pytest
from tests.gateway.conftest import JSON, Bench

from baseload.gateway import stored
from baseload.gateway.http import Exchange, Request
from baseload.gateway.keyfile import mint
from baseload.gateway.stored import Kept, Kind, Stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "stored.sqlite"


def test_it_is_there_after_a_restart_and_for_another_worker(path: Path) -> None:
    one, other = Stored(path), Stored(path)
    one.remember("resp_1", "u0", "")
    assert other.find("resp_1", "") == Kept("u0")
    one.close()
    other.close()
    assert Stored(path).find("resp_1", "") == Kept("u0")


def test_it_belongs_to_the_key_that_made_it(path: Path) -> None:
    store = Stored(path)
    store.remember("resp_1", "u0", "key-a")
    assert [store.find("resp_1", owner) for owner in ("key-a", "key-b", "")] == [Kept("u0"), None, None]


def test_the_latest_upstream_of_a_name_holds_and_what_is_deleted_is_forgotten(path: Path) -> None:
    store = Stored(path)
    store.remember("resp_1", "u0", "")
    store.remember("resp_1", "u1", "")
    assert store.find("resp_1", "") == Kept("u1")
    store.forget("resp_1")
    assert store.find("resp_1", "") is None


def test_names_come_page_by_page_of_one_key_and_one_kind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Stored(path)
    for number in range(5):
        monkeypatch.setattr(stored.time, "time", lambda number=number: 1_800_000_000.0 + number // 2)
        store.remember(f"c{number}", "u0", "a", kind=Kind.COMPLETION)
    store.remember("other", "u0", "b", kind=Kind.COMPLETION)
    store.remember("resp", "u0", "a")
    names = store.names("a", Kind.COMPLETION, oldest_first=True, most=10)
    assert names == ["c0", "c1", "c2", "c3", "c4"]
    assert store.names("a", Kind.COMPLETION, most=10) == names[::-1]
    assert store.names("a", Kind.COMPLETION, oldest_first=True, after="c1", most=2) == ["c2", "c3"]
    assert store.names("a", Kind.COMPLETION, after="c2", most=2) == ["c1", "c0"]
    assert store.names("b", Kind.COMPLETION, after="c2", most=2) == [], "another key's name is no place to begin"
    assert store.find("resp", "a", Kind.COMPLETION) is None


def test_a_table_of_an_older_version_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("create table kept (name text primary key, upstream text, owner text, at integer)")
        database.execute("insert into kept values ('resp_1', 'u0', '', 1)")
    database.close()
    store = Stored(path)
    assert store.find("resp_1", "", Kind.RESPONSE) == Kept("u0")
    store.remember("conv_1", "u1", "", kind=Kind.CONVERSATION, replica="http://r/v1")
    assert store.find("conv_1", "", Kind.CONVERSATION) == Kept("u1", "http://r/v1")


def test_who_keeps_nothing_has_no_file(path: Path) -> None:
    store = Stored(path)
    assert store.find("resp_1", "") is None
    store.remember("", "u0", "")
    store.remember("x" * 257, "u0", "")
    store.close()
    assert not path.exists()


@pytest.mark.parametrize(("most", "days", "left"), [(2, 30, 2), (100, 0, 0)])
def test_it_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch, most: int, days: int, left: int) -> None:
    monkeypatch.setattr(stored, "MOST", most)
    monkeypatch.setattr(stored, "KEPT_DAYS", days)
    monkeypatch.setattr(stored, "PRUNE_EVERY", 3)
    store = Stored(path)
    for number in range(6):
        monkeypatch.setattr(stored.time, "time", lambda number=number: 1_000_000.0 + number * 10)
        store.remember(f"resp_{number}", "u0", "")
    store.remember("last", "u0", "")
    with sqlite3.connect(path) as database:
        names = [name for (name,) in database.execute("select name from kept order by at, name")]
    database.close()
    assert "last" in names
    assert len(names) <= left + 2
    assert "resp_0" not in names


def test_a_table_that_cannot_be_written_keeps_nobody_from_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "stored.sqlite"
    broken.write_bytes(b"this is no database, and longer than a header of one would be" * 4)
    store = Stored(broken)
    store.remember("resp_1", "u0", "")
    assert store.find("resp_1", "") is None
    store.forget("resp_1")
    assert "cannot be written" in caplog.text
    assert "cannot be read" in caplog.text


async def test_one_key_cannot_reach_what_another_made(bench: Bench) -> None:
    made = {name: mint(at=datetime.now(UTC)) for name in ("a", "b")}
    _, gateway = await bench.before_simulated(keys=tuple(each.key for each in made.values()))
    clients = {name: gateway.client().with_options(api_key=each.token) for name, each in made.items()}
    first = await clients["a"].responses.create(model="auto", input="one two")
    assert (await clients["a"].responses.retrieve(first.id)).id == first.id
    with pytest.raises(openai.NotFoundError):
        await clients["b"].responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError):
        await clients["b"].responses.delete(first.id)
    with pytest.raises(openai.BadRequestError, match="not found"):
        await clients["b"].responses.create(model="auto", input="three", previous_response_id=first.id)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "resp_1", 404),
        ("POST", "resp_1", 405),
        ("GET", "resp_1/cancel", 405),
        ("GET", "resp_1/other", 404),
        ("GET", "..%2Fadmin", 404),
        ("GET", "x" * 300, 404),
    ],
)
async def test_what_is_not_there(bench: Bench, method: str, path: str, status: int) -> None:
    _, gateway = await bench.before_simulated()
    async with httpx.AsyncClient() as client:
        answer = await client.request(method, f"{gateway.url}/v1/responses/{path}")
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_what_the_upstream_says_of_it_passes(bench: Bench) -> None:
    _, gateway = await bench.before_simulated()
    Stored(gateway.gateway._settings.directory / stored.STORED).remember("resp_1", "u0", "")
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{gateway.url}/v1/responses/resp_1")
    assert (answer.status_code, answer.headers["x-baseload-upstream"]) == (404, "u0")


async def test_an_upstream_that_quotes_our_key_does_not_hand_it_on(bench: Bench) -> None:
    async def quotes(request: Request, exchange: Exchange) -> None:
        await exchange.respond(
            409, JSON, b'{"error":{"message":"%b is busy"}}' % (request.header(b"authorization") or b"")
        )

    gateway = await bench.gateway((await bench.upstream(quotes)).url)
    Stored(gateway.gateway._settings.directory / stored.STORED).remember("resp_1", "u0", "")
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{gateway.url}/v1/responses/resp_1")
    assert (answer.status_code, answer.json()["error"]["message"]) == (409, "Bearer *** is busy")
