"""The admin API over real HTTP: who may use it, what it changes, what it never shows."""

from __future__ import annotations

from pathlib import Path

import httpx2 as httpx
import pytest
from tests.gateway.conftest import Bench, Running, question
from tests.gateway.test_keys import make

from baseload.gateway.keyfile import KeyFile

ADMIN_KEY = "an-admin-key-of-some-length"


@pytest.fixture
async def guarded(bench: Bench, tmp_path: Path) -> Running:
    up = await bench.upstream()
    return await bench.gateway(up.url, data_dir=str(tmp_path), admin_key=ADMIN_KEY)


async def call(gateway: Running, method: str, path: str, token: str = ADMIN_KEY, **more: object) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await http.request(method, f"{gateway.url}/admin{path}", headers=headers, **more)


async def chat(gateway: Running, token: str) -> int:
    async with httpx.AsyncClient() as http:
        headers = {"x-api-key": token}
        answer = await http.post(f"{gateway.url}/v1/chat/completions", json=question(), headers=headers)
        return answer.status_code


async def test_the_life_of_a_key(guarded: Running, tmp_path: Path) -> None:
    made = await call(guarded, "POST", "/keys", json={"name": "web", "team": "shop", "models": ["auto"]})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    token = made.json()["token"]
    assert (made.json()["key"]["team"], made.json()["key"]["state"]) == ("shop", "in force")
    assert await chat(guarded, token) == 200
    assert await chat(guarded, "none") == 401

    turned = await call(guarded, "POST", "/keys/web/rotate", json={"grace_hours": 0})
    other = turned.json()["token"]
    assert [await chat(guarded, each) for each in (token, other)] == [401, 200]

    listed = await call(guarded, "GET", "/keys")
    assert [key["name"] for key in listed.json()["keys"]] == ["web"]
    gone = await call(guarded, "DELETE", "/keys/web")
    assert gone.json()["key"]["state"] == "revoked"
    assert await chat(guarded, other) == 401
    for answer in (listed, gone, made, turned):
        assert "sha256" not in answer.text
    assert [key.disabled for key in KeyFile(tmp_path).read()] == [True]


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [("", 401, "no_admin_key"), ("wrong", 401, "not_admin"), (ADMIN_KEY[:-1], 401, "not_admin")],
)
async def test_nobody_else_administers(guarded: Running, token: str, status: int, code: str) -> None:
    for method, path in (("GET", "/keys"), ("POST", "/keys"), ("POST", "/reload"), ("GET", "/config"), ("GET", "")):
        answer = await call(guarded, method, path, token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["remedy"]


async def test_a_clients_key_administers_when_its_scope_says_so(guarded: Running, tmp_path: Path) -> None:
    _, plain = make(tmp_path, name="plain")
    _, scoped = make(tmp_path, name="scoped", scopes=["admin"])
    guarded.gateway.keys.reload()
    assert [(await call(guarded, "GET", "/keys", each)).status_code for each in (plain, scoped)] == [403, 200]
    assert await chat(guarded, scoped) == 403
    assert await chat(guarded, ADMIN_KEY) == 401  # and the admin key is no client's


async def test_without_an_admin_key_nobody_administers(bench: Bench, tmp_path: Path) -> None:
    up = await bench.upstream()
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path))
    for token in ("", "x", "admin"):
        answer = await call(gateway, "GET", "/keys", token)
        assert answer.status_code == 401
    assert "admin_key" in answer.json()["error"]["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/keys", b"{", 400, "cannot be understood"),
        ("POST", "/keys", b"\xff", 400, "cannot be understood"),
        ("POST", "/keys", b"{}", 400, "`name`"),
        ("POST", "/keys", b'{"name":""}', 400, "$.name"),
        ("POST", "/keys", b'{"name":"a","scopes":["all"]}', 400, "$.scopes"),
        ("POST", "/keys", b'{"name":"a","hash":"x"}', 400, "unknown field `hash`"),
        ("POST", "/keys", b'{"name":"there"}', 400, "two keys are called 'there'"),
        ("POST", "/keys/there/rotate", b"", 409, "stands in the configuration"),
        ("DELETE", "/keys/there", b"", 409, "stands in the configuration"),
        ("DELETE", "/keys/nobody", b"", 400, "is called 'nobody'"),
        ("POST", "/keys/nobody/rotate", b'{"grace_hours":-1}', 400, "$.grace_hours"),
        ("PUT", "/keys", b"", 404, "PUT /admin/keys is not possible"),
        ("GET", "/nothing", b"", 404, "is not possible"),
    ],
)
async def test_what_cannot_be_is_said(
    bench: Bench, tmp_path: Path, method: str, path: str, body: bytes, status: int, says: str
) -> None:
    key, _ = make(tmp_path / "elsewhere", name="there")
    up = await bench.upstream()
    gateway = await bench.gateway(up.url, data_dir=str(tmp_path), admin_key=ADMIN_KEY, keys=(key,))
    answer = await call(gateway, method, path, content=body)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


async def test_the_configuration_is_shown_without_its_secrets(guarded: Running) -> None:
    answer = await call(guarded, "GET", "/config")
    shown = answer.json()["config"]
    assert (shown["admin_key"], shown["upstreams"][0]["api_key"]) == ("***", "***")
    assert shown["upstreams"][0]["name"] == "u0"
    assert ADMIN_KEY not in answer.text
    assert "key-0" not in answer.text


async def test_reload_reads_the_keys_and_calls_the_hook(guarded: Running, tmp_path: Path) -> None:
    make(tmp_path)
    assert (await call(guarded, "POST", "/reload")).json()["keys"] == 1
    called = []

    async def reload() -> object:
        called.append(1)
        return {"schema": "baseload.reload/1", "took": ["policy"]}

    guarded.gateway.admin.reload = reload
    assert (await call(guarded, "POST", "/reload")).json()["took"] == ["policy"]
    assert called == [1]


class TestConsole:
    """Who sees the console: a page on a unix socket stands for it."""

    @pytest.fixture
    async def page(self, bench: Bench, tmp_path: Path) -> Path:
        from baseload.gateway.http import serve_unix

        async def show(_: object, exchange) -> None:
            await exchange.respond(200, [], b"the console")

        server = await serve_unix(show, tmp_path / "console.sock")
        bench.stack.push_async_callback(server.drain, 0.05)
        return tmp_path / "console.sock"

    async def gateway(self, bench: Bench, page: Path, **more: object) -> Running:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, **more)
        gateway.gateway.show_console(page)
        return gateway

    @pytest.mark.parametrize("more", [{}, {"listen": "0.0.0.0:0", "open": True}])
    async def test_on_this_machine_or_where_all_is_open_everybody(self, bench: Bench, page: Path, more: dict) -> None:
        gateway = await self.gateway(bench, page, **more)
        async with httpx.AsyncClient() as http:
            assert (await http.get(gateway.url)).text == "the console"

    async def test_elsewhere_whoever_has_the_admin_key(self, bench: Bench, page: Path, tmp_path: Path) -> None:
        _, client = make(tmp_path, name="client")
        _, admin = make(tmp_path, name="admin", scopes=["admin"])
        gateway = await self.gateway(bench, page, listen="0.0.0.0:0", data_dir=str(tmp_path), admin_key=ADMIN_KEY)
        async with httpx.AsyncClient() as http:
            refused = [await http.get(gateway.url, auth=auth) for auth in (None, ("me", client), ("me", "x"), ("", ""))]
            assert [answer.status_code for answer in refused] == [401] * 4
            assert refused[0].headers["www-authenticate"].startswith("Basic ")
            bad = await http.get(gateway.url, headers={"authorization": "Basic %%%"})
            assert bad.status_code == 401
            for auth in (("me", ADMIN_KEY), ("", admin)):
                assert (await http.get(gateway.url, auth=auth)).text == "the console"
            bearer = await http.get(gateway.url, headers={"authorization": f"Bearer {ADMIN_KEY}"})
            assert bearer.status_code == 200
