"""One address: models, health, unknown paths and methods, and everything else to the console."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import httpx2 as httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.gateway.conftest import Bench, Running, ask, plain, question, route

from baseload.errors import AddressTaken, BadConfig
from baseload.gateway.server import Gateway
from baseload.load.facts import Bucket, Operation
from baseload.policy.policy import AUTO, Policy
from baseload.settings import Limits


@pytest.fixture
async def gateway(bench: Bench) -> Running:
    up = await bench.upstream()
    return await bench.gateway(up.url, routes=(route(0, context_tokens=8000), route(0, name="again", offer="x/y")))


async def get(url: str, method: str = "GET", **more: object) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.request(method, url, **more)


class TestModels:
    async def test_the_official_client_lists_them(self, gateway: Running) -> None:
        listed = await gateway.client().models.list()
        assert [model.id for model in listed.data] == ["auto", "real"]
        alias, model = (each.model_dump() for each in listed.data)
        assert (alias["owned_by"], alias["bucket"]) == ("baseload", "judgment")
        assert (model["owned_by"], model["context_tokens"], model["routes"]) == ("u0", 8000, ["r0", "again"])
        assert model["usd_per_mtok"] == {"input": 1, "output": 5, "book": "test"}

    @pytest.mark.parametrize(
        ("serves", "operations"),
        [
            ("everything", list(Operation)),
            ("chats", ["chat", "responses", "messages", "count_tokens"]),
            ("Anthropic", ["chat", "responses", "messages", "count_tokens"]),
        ],
    )
    async def test_anthropics_client_lists_them_too(self, bench: Bench, serves: str, operations: list[str]) -> None:
        _, gateway = await bench.before_simulated(serves, changes={"context_tokens": 8000})
        listed = await gateway.claude().models.list()
        assert [(model.id, model.type, model.display_name) for model in listed.data] == [
            ("auto", "model", "auto"),
            ("real", "model", "real"),
        ]
        alias, model = (each.model_dump() for each in listed.data)
        assert (alias["bucket"], alias["operations"]) == ("judgment", operations)
        assert (model["max_input_tokens"], model["operations"]) == (8000, operations)
        assert model["usd_per_mtok"] == {"input": 1, "output": 5, "book": "test"}
        assert (await gateway.claude().models.retrieve("real")).id == "real"
        with pytest.raises(anthropic.NotFoundError):
            await gateway.claude().models.retrieve("gpt-9")
        found = (await gateway.client().models.retrieve("real")).model_dump()
        assert (found["operations"], "tools" in found["capabilities"]) == (operations, True)

    async def test_one_of_them(self, gateway: Running) -> None:
        assert (await gateway.client().models.retrieve("real")).id == "real"
        answer = await get(f"{gateway.url}/v1/models/gpt-9")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")

    async def test_a_name_with_a_slash_or_a_space(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, routes=(route(0, model="a/b c"),))
        assert (await get(f"{gateway.url}/v1/models/a/b%20c")).json()["id"] == "a/b c"

    async def test_the_virtual_models_and_names_of_ones_own(self, bench: Bench) -> None:
        up = await bench.upstream()
        routes = (route(0, names=("chat-large",), success={"bandwidth": 1.0}),)
        gateway = await bench.gateway(up.url, routes=routes, aliases=dict(AUTO))
        client = gateway.client()
        listed = {model.id: model.model_dump() for model in (await client.models.list()).data}
        assert [*listed] == ["auto:economy", "real", "chat-large"], "what no route serves is not offered"
        assert listed["auto:economy"]["bucket"] == "bandwidth"
        assert listed["chat-large"]["routes"] == ["r0"]
        for name in ("auto:economy", "chat-large"):
            await client.chat.completions.create(model=name, messages=question()["messages"])
        assert [body["model"] for body in up.bodies] == ["real", "real"]
        assert [call.facts.bucket for call in bench.spool.calls] == ["bandwidth", "bandwidth"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403), ("", 403), (None, 415), ("own", 415)],
)
async def test_a_page_of_another_site_may_not_spend(gateway: Running, origin: str | None, status: int) -> None:
    # What a browser sends for a cross-site form or fetch without asking first: a plain text body, and its origin.
    host = gateway.url.removeprefix("http://")
    headers = {"content-type": "text/plain"} | (
        {} if origin is None else {"origin": origin.replace("own", f"http://{host}")}
    )
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question(), headers=headers)
    assert answer.status_code == status
    assert gateway.gateway.meter.written == 0


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/vnd.api+json", 200),
        (None, 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_a_body_says_that_it_is_json(gateway: Running, kind: str | None, status: int) -> None:
    reader, writer = await gateway.connect()
    writer.write(ask(question(), b"" if kind is None else f"Content-Type: {kind}\r\n".encode()))
    assert (await reader.readline()).split()[1] == b"%d" % status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8790", 200),
        ("LOCALHOST", 200),
        ("[::1]:8790", 200),
        ("g", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/healthz"])
async def test_only_its_own_names_are_answered(gateway: Running, host: str, path: str, status: int) -> None:
    answer = await get(gateway.url + path, headers={"host": host})
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "unknown_host"


async def test_all_bodies_together_are_bounded(bench: Bench) -> None:
    go = asyncio.Event()

    async def waits(request, exchange) -> None:
        await go.wait()
        await plain(request, exchange)

    up = await bench.upstream(waits)
    gateway = await bench.gateway(up.url, limits=Limits(body_bytes=3_000, bodies_bytes=4_000))
    body = question(padding="x" * 2_000)
    held, more = await gateway.connect(), await gateway.connect()
    held[1].write(ask(body))
    await up.reached()
    more[1].write(ask(body, path=b"/v1/messages"))
    refused = await more[0].read(-1)
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1\r\n" in refused
    assert b'{"type":"error","error":{"type":"api_error"' in refused
    go.set()
    assert (await held[0].readline()).startswith(b"HTTP/1.1 200")
    again = await gateway.connect()
    again[1].write(ask(body))
    assert (await again[0].readline()).startswith(b"HTTP/1.1 200")
    half = await gateway.connect()
    half[1].write(ask(body)[:-100])
    await asyncio.sleep(0.05)
    assert gateway.gateway._server.room.held > 1_000
    half[1].close()
    await asyncio.sleep(0.05)
    assert gateway.gateway._server.room.held == 0


async def test_the_list_of_models_holds_what_some_route_serves(bench: Bench) -> None:
    up = await bench.upstream()
    served, off = {Bucket.JUDGMENT: 0.9}, {Bucket.BANDWIDTH: 0.0}
    routes = (route(0, success=served), route(0, name="off", model="off", success=off))
    aliases = {"auto": Bucket.JUDGMENT, "auto:flagship": Bucket.FLAGSHIP, "auto:economy": Bucket.BANDWIDTH}
    gateway = await bench.gateway(up.url, routes=routes, aliases=aliases)
    assert [each.id for each in (await gateway.client().models.list()).data] == ["auto", "real"]
    assert (await get(f"{gateway.url}/v1/models/auto:flagship")).status_code == 404


async def test_health(gateway: Running, bench: Bench) -> None:
    await gateway.client().chat.completions.create(model="auto", messages=question()["messages"])
    answer = await get(f"{gateway.url}/healthz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ok": True,
        "policy": gateway.gateway.policy,
        "spool": "ok",
        "ledger": {},
        "in_flight": {},
        "calls_written": 1,
        "calls_unwritten": 0,
        "unpriced": 0,
        "unfinished": 0,
        "workers": 1,
        "restarts": 0,
        "reload": answer.json()["reload"],
    }
    assert answer.json()["reload"]["ok"] is True


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "says"),
    [
        ("GET", "/v1/responses", 405, "method_not_allowed", "Send POST"),
        ("DELETE", "/v1/chat/completions", 405, "method_not_allowed", "Send POST"),
        ("POST", "/v1/models", 405, "method_not_allowed", "Send GET"),
        ("POST", "/healthz", 405, "method_not_allowed", "Send GET"),
        ("POST", "/v1/audio/speech", 404, "unknown_path", "/v1/chat/completions"),
        ("GET", "/v1", 404, "unknown_path", "/v1/chat/completions"),
        ("GET", "/", 404, "unknown_path", "the console is off"),
        ("GET", "/v1models", 404, "unknown_path", "the console is off"),
    ],
)
async def test_what_is_not_served(gateway: Running, method: str, path: str, status: int, code: str, says: str) -> None:
    answer = await get(gateway.url + path, method)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert says in answer.json()["error"]["message"]


async def test_a_taken_port(bench: Bench, gateway: Running) -> None:
    import msgspec

    from baseload.clock import SystemClock

    settings = msgspec.structs.replace(gateway.gateway._settings, listen=f"127.0.0.1:{gateway.port}")
    with pytest.raises(AddressTaken, match="already in use") as caught:
        await Gateway(settings, {}, SystemClock(), bench.spool).start()
    assert (caught.value.exit_code, "listen" in caught.value.remedy) == (1, True)


def test_a_policy_that_names_an_unknown_upstream_is_not_put_in_force(gateway: Running) -> None:
    before = gateway.gateway.policy
    with pytest.raises(BadConfig, match="u9"):
        gateway.gateway.swap(Policy(routes=(route(9),)))
    assert gateway.gateway.policy == before


async def test_stop_lets_answers_under_way_end(bench: Bench) -> None:
    async def slow(request, exchange) -> None:
        await asyncio.sleep(0.1)
        await plain(request, exchange)

    up = await bench.upstream(slow)
    gateway = await bench.gateway(up.url)
    reader, writer = await gateway.connect()
    writer.write(ask(question()))
    await up.reached()
    await gateway.gateway.stop()
    assert b"HTTP/1.1 200" in await reader.read(-1)
    assert len(bench.spool.calls) == 1


class TestConsole:
    @pytest.fixture
    async def console(self, gateway: Running, tmp_path: Path) -> AsyncIterator[Running]:
        """A Starlette application on a unix socket, as the console is."""

        async def show(request: Request) -> Response:
            body = await request.body()
            seen = {"path": request.url.path, "query": request.url.query, "body": body.decode()}
            headers = {"x-host": request.headers["host"], "set-cookie": "a=b"}
            return JSONResponse({**seen, "te": request.headers.get("te")}, headers=headers)

        async def stream(_: Request) -> Response:
            async def parts() -> AsyncIterator[str]:
                for number in range(3):
                    yield f"data: {number}\n\n"
                    await asyncio.sleep(0.01)

            return StreamingResponse(parts(), media_type="text/event-stream")

        async def forever(_: Request) -> Response:
            async def parts() -> AsyncIterator[bytes]:
                try:
                    while True:
                        yield b"x"
                        await asyncio.sleep(0.01)
                finally:
                    self.left.set()

            return StreamingResponse(parts())

        self.left = asyncio.Event()
        routes = [
            Route("/stream", stream),
            Route("/forever", forever),
            Route("/empty", lambda _: Response(status_code=204)),
            Route("/{rest:path}", show, methods=["GET", "POST"]),
        ]
        socket = tmp_path / "console.sock"
        config = uvicorn.Config(Starlette(routes=routes), uds=str(socket), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None
        task = asyncio.create_task(server._serve())
        for _ in range(300):
            await asyncio.sleep(0 if server.started else 0.01)
        gateway.gateway.show_console(socket)
        yield gateway
        server.should_exit = True
        await task

    async def test_whole_answers(self, console: Running) -> None:
        answer = await get(f"{console.url}/decide?x=1", "POST", content=b"hello", headers={"te": "trailers"})
        assert answer.json() == {"path": "/decide", "query": "x=1", "body": "hello", "te": None}
        assert answer.headers["x-host"] == f"127.0.0.1:{console.port}"
        assert answer.headers["set-cookie"] == "a=b"
        assert len(answer.headers.get_list("content-length")) == 1
        assert len(answer.headers.get_list("date")) == 1

    async def test_streams_heads_and_empty_answers(self, console: Running) -> None:
        assert (await get(f"{console.url}/stream")).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        head = await get(f"{console.url}/", "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert (await get(f"{console.url}/empty")).status_code == 204

    async def test_the_data_plane_stays_ours(self, console: Running) -> None:
        assert (await get(f"{console.url}/v1/nope")).status_code == 404
        assert (await get(f"{console.url}/healthz")).json()["ok"] is True

    async def test_a_reader_that_leaves_ends_its_stream(self, console: Running) -> None:
        reader, writer = await console.connect()
        writer.write(b"GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"x")
        writer.close()
        await asyncio.wait_for(self.left.wait(), 1)

    async def test_a_console_that_is_gone(self, gateway: Running, tmp_path: Path) -> None:
        gateway.gateway.show_console(tmp_path / "nobody.sock")
        answer = await get(f"{gateway.url}/")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "no_console")
