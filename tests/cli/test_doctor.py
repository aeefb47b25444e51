"""`baseload doctor` on real files, ports and upstreams."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from baseload.cli.doctor_checks import Check, of_place
from baseload.cli.doctor_reach import reach
from baseload.cli.main import main
from baseload.configuration import parse_settings
from baseload.gateway.http import Exchange, Request, Server, serve
from baseload.gateway.keyfile import KeyFile
from baseload.gateway.simulated import Simulated, api_pace
from baseload.settings import Settings

KEY = "sk-a-key-in-plain-0123456789"
ROUTE = {"name": "r", "upstream": "a", "model": "m", "offer": "openai/gpt-5-mini", "success": {"judgment": 0.9}}


def settings(tmp_path: Path, *upstreams: dict, **more: object) -> Settings:
    document = {
        "listen": "127.0.0.1:0",
        "data_dir": str(tmp_path / "data"),
        "upstreams": list(upstreams) or [{"name": "a", "base_url": "http://127.0.0.1:9/v1"}],
        "policy": {"routes": [ROUTE]},
        **more,
    }
    return parse_settings(document, {}, origin="here.yaml")


@pytest.fixture
def baseload(monkeypatch, capsys):
    def run(*words: object):
        monkeypatch.setattr(sys, "argv", ["baseload", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def write(tmp_path: Path, **more: object) -> Path:
    path = tmp_path / "baseload.yaml"
    upstream = {"name": "a", "base_url": "http://127.0.0.1:9/v1"}
    document = {
        "listen": "127.0.0.1:0",
        "data_dir": str(tmp_path),
        "upstreams": [upstream],
        "policy": {"routes": [ROUTE]},
    }
    path.write_text(json.dumps(document | more))
    return path


def test_a_sound_place_is_all_ok(tmp_path: Path, baseload):
    code, out, err = baseload("doctor", "--config", write(tmp_path), "--offline")
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines() if line and not line.startswith(" ")][:-1] == [
        ["ok", each] for each in ("python", "config", "prices", "keys", "data_dir", "clock", "port", "console")
    ]
    assert "8 checks: 0 failed, 0 warnings" in out
    document = json.loads(baseload("doctor", "--config", write(tmp_path), "--offline", "--json")[1])
    assert (document["schema"], document["ok"]) == ("baseload.doctor/1", True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no"),
        ("upstreams: [", "is not YAML"),
        ("upstreams: []\npolicy: {routes: []}", "has no route"),
        (
            "upstreams: [{name: a, base_url: 'http://x', api_key: '${NOT_SET_ANYWHERE}'}]\npolicy: {routes: []}",
            "is not set",
        ),
    ],
)
def test_a_configuration_that_cannot_serve_ends_with_3(tmp_path: Path, baseload, text, says):
    path = tmp_path / "baseload.yaml"
    if text is not None:
        path.write_text(text)
    code, out, _ = baseload("doctor", "--config", path, "--offline")
    assert code == 3
    assert says in out
    assert "next: " in out
    assert json.loads(baseload("doctor", "--config", path, "--offline", "--json")[1])["ok"] is False


def found(checks, what: str) -> list[Check]:
    return [check for check in checks if check.what == what]


class TestThisMachine:
    def test_a_route_without_a_price(self, tmp_path: Path):
        route = {**ROUTE, "offer": "nobody/knows"}
        (check,) = found(of_place(settings(tmp_path, policy={"routes": [route]}), write(tmp_path)), "prices")
        assert (check.status, "nobody/knows" in check.found) == ("warn", True)

    @pytest.mark.parametrize(
        ("more", "status", "says"),
        [
            ({}, "ok", "nobody else can reach it"),
            ({"listen": "0.0.0.0:0"}, "fail", "no key is defined"),
            ({"listen": "0.0.0.0:0", "open": True}, "warn", "open to everybody"),
        ],
    )
    def test_who_is_let_in(self, tmp_path: Path, more: dict, status: str, says: str):
        (check,) = found(of_place(settings(tmp_path, **more), write(tmp_path)), "keys")
        assert (check.status, says in check.found) == (status, True)

    def test_keys_that_others_can_read_and_keys_that_are_gone(self, tmp_path: Path):
        from tests.gateway.test_keys import make

        made = settings(tmp_path)
        make(made.directory, name="web")
        assert [check.status for check in found(of_place(made, write(tmp_path)), "keys")] == ["ok"]
        KeyFile(made.directory).path.chmod(0o644)
        assert [check.status for check in found(of_place(made, write(tmp_path)), "keys")] == ["ok", "warn"]
        KeyFile(made.directory).revoke("web")
        assert [check.status for check in found(of_place(made, write(tmp_path)), "keys")] == ["fail"]
        KeyFile(made.directory).path.write_text("{")
        assert [check.status for check in found(of_place(made, write(tmp_path)), "keys")] == ["fail"]

    @pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, True)])
    def test_a_key_in_plain_in_a_file_for_all(self, tmp_path: Path, mode: int, warned: bool):
        config = write(tmp_path, upstreams=[{"name": "a", "base_url": "http://h/v1", "api_key": KEY}])
        config.chmod(mode)
        made = settings(tmp_path, {"name": "a", "base_url": "http://h/v1", "api_key": KEY})
        checks = found(of_place(made, config), "secrets")
        assert [check.status for check in checks] == ["warn"] * warned
        assert KEY not in repr(checks)

    def test_a_data_dir_that_cannot_be_written(self, tmp_path: Path):
        (tmp_path / "file").write_text("")
        made = settings(tmp_path, data_dir=str(tmp_path / "file" / "data"))
        (check,) = found(of_place(made, write(tmp_path)), "data_dir")
        assert check.status == "fail"

    def test_a_port_that_is_taken(self, tmp_path: Path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            made = settings(tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}")
            (check,) = found(of_place(made, write(tmp_path)), "port")
        assert (check.status, "something listens" in check.found) == ("warn", True)


def answering(status: int, *headers: tuple[bytes, bytes]) -> Callable[[Request, Exchange], Awaitable[None]]:
    async def handle(request: Request, exchange: Exchange) -> None:
        seen.append(request)
        await exchange.respond(status, list(headers), b"{}")

    seen: list[Request] = []
    handle.seen = seen
    return handle


async def at(handler) -> tuple[str, Server]:
    server = await serve(handler, "127.0.0.1", 0)
    return f"http://127.0.0.1:{server.address[1]}/v1", server


async def asked(tmp_path: Path, handler, **upstream: object) -> list[Check]:
    url, server = await at(handler)
    try:
        made = settings(tmp_path, {"name": "a", "base_url": url, **upstream})
        return await asyncio.to_thread(reach, made, 2.0)
    finally:
        await server.drain(0.05)


class TestUpstreams:
    async def test_one_that_answers(self, tmp_path: Path):
        (check,) = await asked(tmp_path, Simulated("m", api_pace(0.0, 1e6)).handle)
        assert (check.status, check.found.endswith(" answers")) == ("ok", True)

    @pytest.mark.parametrize(
        ("status", "verdict", "says"),
        [
            (200, "ok", "takes the key"),
            (401, "fail", "refuses the key"),
            (403, "fail", "refuses the key"),
            (404, "ok", "the key was not checked"),
            (429, "warn", "HTTP 429"),
            (503, "warn", "HTTP 503"),
            (302, "warn", "HTTP 302"),
        ],
    )
    async def test_what_it_says_of_the_key(self, tmp_path: Path, status: int, verdict: str, says: str):
        handler = answering(status)
        (check,) = await asked(tmp_path, handler, api_key=KEY)
        assert (check.status, says in check.found) == (verdict, True)
        assert dict(handler.seen[0].headers)[b"authorization"] == b"Bearer " + KEY.encode()
        assert (handler.seen[0].method, handler.seen[0].path, handler.seen[0].body) == ("GET", "/v1/models", b"")
        assert KEY not in check.found + check.remedy

    async def test_every_key_and_every_replica_is_asked(self, tmp_path: Path):
        handler = answering(200)
        url, server = await at(handler)
        other, second = await at(handler)
        keys = [{"key": "one-key-of-two"}, {"key": "two-key-of-two"}]
        made = settings(tmp_path, {"name": "a", "replicas": [url, other], "api_keys": keys})
        checks = await asyncio.to_thread(reach, made, 2.0)
        assert len(checks) == len(handler.seen) == 4
        assert "with key 2 of 2" in checks[-1].found
        for each in (server, second):
            await each.drain(0.05)

    async def test_anthropic_is_asked_as_it_wants_to_be(self, tmp_path: Path):
        handler = answering(200)
        await asked(tmp_path, handler, api_key=KEY, dialect="anthropic", auth="x-api-key")
        headers = dict(handler.seen[0].headers)
        assert (headers[b"x-api-key"], headers[b"anthropic-version"]) == (KEY.encode(), b"2023-06-01")

    async def test_clocks_that_differ(self, tmp_path: Path):
        async def late(request: Request, exchange: Exchange) -> None:
            server.date = b"date: Fri, 20 Nov 2020 10:00:00 GMT\r\n"
            await exchange.respond(200, [], b"{}")

        url, server = await at(late)
        made = settings(tmp_path, {"name": "a", "base_url": url})
        checks = await asyncio.to_thread(reach, made, 2.0)
        assert [check.status for check in checks] == ["ok", "warn"]
        assert "apart from ours" in checks[1].found
        await server.drain(0.05)

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("http://127.0.0.1:1/v1", "no connection"),
            ("http://bad..name/v1", "no address is known"),
        ],
    )
    def test_one_that_is_not_there(self, tmp_path: Path, url: str, says: str):
        (check,) = reach(settings(tmp_path, {"name": "a", "base_url": url}), 2.0)
        assert (check.status, says in check.found) == ("fail", True)
        assert check.remedy

    async def test_one_that_speaks_no_tls(self, tmp_path: Path):
        url, server = await at(answering(200))
        made = settings(tmp_path, {"name": "a", "base_url": url.replace("http://", "https://")})
        (check,) = await asyncio.to_thread(reach, made, 2.0)
        assert (check.status, "certificate" in check.remedy) == ("fail", True)
        await server.drain(0.05)

    async def test_one_that_never_answers(self, tmp_path: Path):
        async def hang(*_: object) -> None:
            await asyncio.sleep(30)

        url, server = await at(hang)
        made = settings(tmp_path, {"name": "a", "base_url": url})
        (check,) = await asyncio.to_thread(reach, made, 0.1)
        assert check.status == "fail"
        await server.drain(0.0)


def test_it_says_whom_it_will_ask(tmp_path: Path, baseload):
    code, out, err = baseload("doctor", "--config", write(tmp_path))
    assert "connecting to http://127.0.0.1:9/v1" in err
    assert code == 3
    assert "no connection" in out
