"""Nothing that is written or shown holds a key, a prompt or an answer: everything there is, searched."""

from __future__ import annotations

import gzip
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2 as httpx
import msgspec
import pytest
from tests.gateway.conftest import JSON, SSE, Bench, ScriptedUpstream, chunk, completion
from tests.gateway.test_keys import make

from baseload.cli.main import main
from baseload.configuration import parse_settings, read_settings
from baseload.gateway.http import Exchange, Headers, Request
from baseload.gateway.run import Serving, serving
from baseload.settings import Settings

PROVIDER_KEY = "sk-provider-0a1b2c3d4e5f-secret"
ADMIN_KEY = "admin-6f7e8d9c0b1a-secret"
PROMPT = "My card number is 4111-1111-1111-1111 and my name is Ada"
ANSWER = "Dear Ada, your secret answer is forty-two"


async def indiscreet(request: Request, exchange: Exchange) -> None:
    """An upstream that does as the prompt's last word says, and repeats in its errors whatever it was sent."""
    body = msgspec.json.decode(request.body)
    prompt = body["messages"][-1]["content"]
    authorization = next(value for name, value in request.headers if name == b"authorization").decode()
    error = msgspec.json.encode({"error": {"message": f"{authorization} sent: {prompt}", "type": "x", "code": "y"}})
    word = prompt.rpartition(" ")[2]
    packed = [*JSON, (b"content-encoding", b"gzip")]
    odd = {"model": "m", "message": {"role": "assistant", "content": ANSWER}, "done": True}
    whole: dict[str, tuple[int, Headers, bytes]] = {
        "refuse": (400, JSON, error),
        "packed": (400, packed, gzip.compress(error)),
        "packed-fail": (500, packed, gzip.compress(error)),
        "fail": (500, JSON, error),
        "plain": (503, [(b"content-type", b"text/plain")], f"{authorization} {prompt}".encode()),
        "nothing": (200, JSON, error),
        "shape": (200, JSON, msgspec.json.encode(odd)),  # an answer, in a shape of its own
        "text": (200, JSON, ANSWER.encode()),
    }
    match word:
        case _ if word in whole:
            await exchange.respond(*whole[word])
        case "break":
            await exchange.start(200, SSE)
            await exchange.send(chunk(ANSWER))
            await exchange.send(b"data: " + error + b"\n\n")
            await exchange.end()
        case _ if body.get("stream"):
            await exchange.start(200, SSE)
            await exchange.send(chunk(ANSWER))
            await exchange.end(b"data: [DONE]\n\n")
        case _:
            await exchange.respond(200, JSON, completion(ANSWER))


DOCUMENT = """
listen: 127.0.0.1:0
data_dir: {data}
admin_key: {admin}
log: {{level: debug}}
upstreams: [{{name: a, base_url: "{url}", api_key: {key}}}]
policy: {{routes: [{{name: r, upstream: a, model: m, offer: openai/gpt-5-mini, success: {{judgment: 1}}}}]}}
"""


@pytest.fixture
async def upstream(bench: Bench) -> ScriptedUpstream:
    return await bench.upstream(indiscreet)


@pytest.fixture
def config(tmp_path: Path, upstream: ScriptedUpstream) -> Path:
    path = tmp_path / "baseload.yaml"
    path.write_text(DOCUMENT.format(data=tmp_path / "data", admin=ADMIN_KEY, url=upstream.url, key=PROVIDER_KEY))
    return path


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Serving]:
    async with serving(settings) as running:
        yield running


async def ask(gateway: str, token: str, **more: object) -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}], **more}
    async with httpx.AsyncClient() as http:
        return await http.post(
            f"{gateway}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {token}"}
        )


async def use(url: str, token: str, shown: list[str]) -> list[str]:
    """Everything that a gateway can be asked for; returns every secret that came up on the way."""
    turns = ["", "refuse", "packed", "packed-fail", "fail", "plain", "nothing", "shape", "text", "break"]
    for turn in turns:
        messages = [{"role": "user", "content": f"{PROMPT} {turn}".strip()}]
        for stream in (False, True):
            answer = await ask(url, token, messages=messages, stream=stream)
            shown.append(repr(answer.headers))
            if turn in (
                "packed-fail",
                "fail",
                "plain",
                "nothing",
                "shape",
                "text",
            ):  # what the gateway itself says of a failure
                shown.append(answer.text)
            if turn != "break":  # events of a stream pass as they are
                assert PROVIDER_KEY not in answer.text
    wrong = token[:-4] + "0000"
    shown.append((await ask(url, wrong)).text)
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(headers=admin) as http:
        made = await http.post(f"{url}/admin/keys", json={"name": "made"})
        turned = await http.post(f"{url}/admin/keys/made/rotate")
        for path in ("/healthz", "/readyz", "/metrics", "/admin/keys", "/admin/config", "/v1/models"):
            found = await http.get(url + path)
            shown.append(found.text + repr(found.headers))
        shown.append((await http.get(f"{url}/admin/keys", headers={"authorization": f"Bearer {wrong}"})).text)
    return [wrong, made.json()["token"], turned.json()["token"]]


async def test_nothing_that_is_written_or_shown_holds_a_secret(
    tmp_path: Path, config: Path, upstream: ScriptedUpstream, caplog, capfd, monkeypatch
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = read_settings(config, {})
    _, token = make(settings.directory, name="web")
    shown: list[str] = [repr(settings)]
    async with served(settings) as running:
        secrets = [token, *await use(running.url, token, shown)]
    for words in (("key", "list"), ("key", "show", "web"), ("doctor", "--offline"), ("config", "show")):
        monkeypatch.setattr(sys, "argv", ["baseload", *words, "--config", str(config)])
        main_or_exit()
    said = capfd.readouterr()
    shown += [caplog.text, said.out, said.err]
    written = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert {"ledger.db", "keys.json"} <= {path.name for path in written}
    ledger = b"".join(written.values())
    assert b'"model":"auto"' in ledger  # the calls are there, and what is searched is where they stand

    secrets = [PROVIDER_KEY, ADMIN_KEY, *(each.rpartition("-")[2] for each in secrets)]
    texts = [PROMPT, "4111-1111", "my name is Ada", ANSWER, "forty-two"]
    for forbidden in (*secrets, *texts):
        assert [path.name for path, data in written.items() if forbidden.encode() in data] == [], forbidden
        assert [text[:200] for text in shown if forbidden in text] == [], forbidden
    assert len(upstream.seen) >= 12


def main_or_exit() -> None:
    with suppress(SystemExit):
        main()


def test_the_search_would_find_them(tmp_path: Path) -> None:
    settings = parse_settings(
        {"upstreams": [], "policy": {"routes": []}, "admin_key": ADMIN_KEY, "data_dir": str(tmp_path)}, {}, origin="x"
    )
    assert settings.admin_key == ADMIN_KEY
    assert ADMIN_KEY not in repr(settings)
