"""A real upstream that does as it is told, and a gateway in front of it, both on loopback sockets."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import msgspec
import pytest
import uvloop
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from baseload.catalog.entries import Offer, Precedence, PriceRow, Processing, Rates, Source, Variant
from baseload.clock import SystemClock
from baseload.gateway.http import Exchange, Request, Server, serve
from baseload.gateway.server import Gateway
from baseload.gateway.simulated import Pace, Simulated, api_pace
from baseload.gateway.slots import Slots
from baseload.ledger.begun import Place
from baseload.load.calls import Call
from baseload.load.facts import Bucket, Operation
from baseload.policy.policy import Policy, Route
from baseload.settings import Limits, Settings, Timeouts, Upstream
from baseload.wire.passage import Dialect

JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream")]
SERVES_ALL = {Bucket.BANDWIDTH: 0.9, Bucket.JUDGMENT: 0.9, Bucket.FLAGSHIP: 0.9}

Script = Callable[[Request, Exchange], Awaitable[None]]


BOTH_LOOPS = ("test_http.py", "test_upstream.py")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], object]]:
    """The product runs on uvloop; both ends of a socket are tested on asyncio's own loop too."""
    factories = {"uvloop": uvloop.new_event_loop}
    return factories | {"asyncio": asyncio.new_event_loop} if item.path.name in BOTH_LOOPS else factories


def chunk(content: str | None = None, **more: object) -> bytes:
    """One event of a streamed answer."""
    choices = [] if content is None else [{"index": 0, "delta": {"content": content}, "finish_reason": None}]
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "real", "choices": choices, **more}
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def usage(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def completion(text: str = "hello there", **more: object) -> bytes:
    """A whole answer, with a field that no schema of ours knows."""
    message = {"role": "assistant", "content": text}
    document = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "real-2026-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage(100, 20, cached=64, reasoning=5),
        "x_unknown": {"kept": [1, 2.50, "ü"]},
        **more,
    }
    return msgspec.json.encode(document)


async def plain(request: Request, exchange: Exchange) -> None:
    """An upstream as it should be: JSON or a stream, usage only when asked for, its own count kept."""
    body = msgspec.json.decode(request.body)
    if not body.get("stream"):
        await exchange.respond(200, [*JSON, (b"x-request-id", b"up-1")], completion())
        return
    await exchange.start(200, SSE)
    for word in ("hello", " there"):
        await exchange.send(chunk(word))
    if (body.get("stream_options") or {}).get("include_usage"):
        await exchange.send(chunk(usage=usage(100, 20, cached=64, reasoning=5)))
    await exchange.end(DONE)


def status(code: int, message: str = "no", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Script:
    """An upstream that always answers with an error."""

    async def script(_: Request, exchange: Exchange) -> None:
        body = msgspec.json.encode({"error": {"message": message, "type": "x", "param": None, "code": None}})
        await exchange.respond(code, [*JSON, *headers], body)

    return script


@dataclass
class ScriptedUpstream:
    """What it was sent, and how many requests were broken off while it worked on them."""

    server: Server
    seen: list[Request] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, request: Request) -> None:
        self.seen.append(request)
        self._more.set()

    async def reached(self, count: int = 1) -> None:
        """Wait until that many requests have come."""
        while len(self.seen) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 2)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.address[1]}/v1"

    @property
    def bodies(self) -> list[dict[str, object]]:
        return [msgspec.json.decode(request.body) for request in self.seen]


class ListSpool:
    """A spool that keeps calls in memory; each `append` first calls `before`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.begun: list[Call] = []
        self.before: Callable[[], None] = lambda: None

    def begin(self, call: Call, _: Place | None = None) -> Place | None:
        self.begun.append(call)
        return None

    def keep(self, _: str, body: bytes) -> Place | None:
        return self.begin(msgspec.json.decode(body, type=Call))

    def release(self, _: Place) -> None:
        """Nothing was placed."""

    def append(self, call: Call, _: Place | None = None) -> None:
        self.before()
        self.calls.append(call)

    def write(self, _: str, body: bytes, begun: Place | None) -> None:
        self.append(msgspec.json.decode(body, type=Call), begun)


@dataclass
class Bench:
    """Starts upstreams and gateways and stops them again."""

    stack: AsyncExitStack
    spool: ListSpool = field(default_factory=ListSpool)

    async def upstream(self, script: Script = plain) -> ScriptedUpstream:
        async def handler(request: Request, exchange: Exchange) -> None:
            upstream.note(request)
            try:
                await script(request, exchange)
            except asyncio.CancelledError:
                upstream.cancelled.set()
                raise

        upstream = ScriptedUpstream(await serve(handler, "127.0.0.1", 0))
        self.stack.push_async_callback(upstream.server.drain, 0.05)
        return upstream

    async def raw_upstream(self, answer: bytes, *, then: str = "close") -> str:
        """An upstream that answers any request with these bytes, then closes, resets or waits."""

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.01)
            writer.write(answer)
            await writer.drain()
            if then == "wait":
                await asyncio.sleep(30)
            writer.close()

        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        self.stack.callback(server.close)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    async def gateway(
        self,
        *urls: str,
        routes: tuple[Route, ...] = (),
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        aliases: dict[str, Bucket] | None = None,
        upstream: Mapping[str, object] | None = None,
        every: Mapping[str, object] | None = None,
        policy: Mapping[str, object] | None = None,
        slots: Slots | None = None,
        **more: object,
    ) -> Running:
        """A gateway before upstreams `u0`, `u1`, ...; without `routes`, one route to each in that order of price;
        `upstream` are settings of the first of them, `every` of each, `policy` of the policy, `more` further settings;
        `slots` are those that other workers count in, too."""
        upstreams = tuple(
            Upstream(name=f"u{n}", base_url=url, api_key=f"key-{n}", timeouts=timeouts or Timeouts())
            for n, url in enumerate(urls)
        )
        if every is not None:
            upstreams = tuple(msgspec.structs.replace(each, **every) for each in upstreams)
        if upstream is not None:
            upstreams = (msgspec.structs.replace(upstreams[0], **upstream), *upstreams[1:])
        document = Policy(
            routes=routes or tuple(route(n) for n in range(len(urls))),
            aliases={"auto": Bucket.JUDGMENT} if aliases is None else aliases,
            name="test",
            **(policy or {}),
        )
        if "data_dir" not in more:
            more["data_dir"] = self.stack.enter_context(tempfile.TemporaryDirectory())
        place = {"listen": "127.0.0.1:0", "hosts": ("g", "a"), "limits": limits or Limits()}
        settings = Settings(upstreams=upstreams, policy=document, **(place | more))
        gateway = Gateway(
            settings, {f"u{n}/real": offer(n) for n in range(len(urls))}, SystemClock(), self.spool, slots=slots
        )
        _, port = await gateway.start()
        self.stack.push_async_callback(gateway.stop, 0.05)
        return Running(gateway, port, self)

    async def before_simulated(
        self,
        serves: str = "everything",
        *,
        simulate: str = "",
        changes: Mapping[str, object] | None = None,
        pace: Pace | None = None,
        **more: object,
    ) -> tuple[Simulated, Running]:
        """A gateway before a simulated upstream that serves, natively, a set of `SERVES`, with faults that hold for
        every request. `changes` are to its route."""
        dialect, operations = SERVES[serves]
        simulated, url = await self.simulated(pace)
        headers = {"x-simulate": simulate} if simulate else {}
        settings = {"dialect": dialect, "operations": operations, "headers": headers}
        able = {"tools", "json_schema", "json_object", "vision"}
        able = {
            "capabilities": frozenset(able),
            "operations": frozenset(each.kind for each in Operation),
            **(changes or {}),
        }
        return simulated, await self.gateway(url, routes=(route(0, **able),), upstream=settings, **more)

    async def simulated(self, pace: Pace | None = None) -> tuple[Simulated, str]:
        """A simulated upstream, at once unless it has a pace, and its base URL."""
        simulated = Simulated("real", pace or api_pace(0.0, 1e9))
        server = await serve(simulated.handle, "127.0.0.1", 0)
        self.stack.push_async_callback(server.drain, 0.05)
        return simulated, f"http://127.0.0.1:{server.address[1]}/v1"


SERVES = {
    "everything": (Dialect.OPENAI, frozenset(Operation)),
    "OpenAI": (Dialect.OPENAI, frozenset(Operation) - {Operation.MESSAGES, Operation.COUNT_TOKENS}),
    "chats": (Dialect.OPENAI, frozenset({Operation.CHAT})),
    "Anthropic": (Dialect.ANTHROPIC, frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS})),
}
"""What upstreams serve without translation."""


@dataclass
class Running:
    """A gateway that answers."""

    gateway: Gateway
    port: int
    bench: Bench

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> AsyncOpenAI:
        client = AsyncOpenAI(base_url=f"{self.url}/v1", api_key="client-key", max_retries=0)
        self.bench.stack.push_async_callback(client.close)
        return client

    def claude(self) -> AsyncAnthropic:
        client = AsyncAnthropic(base_url=self.url, api_key="client-key", max_retries=0)
        self.bench.stack.push_async_callback(client.close)
        return client

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.bench.stack.callback(writer.close)
        return reader, writer


def route(number: int, **changes: object) -> Route:
    """A route to upstream `u<number>`; the higher the number, the dearer."""
    values = {
        "name": f"r{number}",
        "upstream": f"u{number}",
        "model": "real",
        "offer": f"u{number}/real",
        "success": SERVES_ALL,
    }
    return Route(**{**values, **changes})


def offer(number: int) -> Offer:
    """1 USD in, 5 out, 0.10 for cached input, per million tokens; each further upstream costs one dollar more. Flex is
    half of that, and there is no other way of processing."""
    rates = Rates(input=Decimal(1 + number), output=Decimal(5 + number), cache_read=Decimal("0.1"))
    half = Rates(input=Decimal(1 + number) / 2, output=Decimal(5 + number) / 2, cache_read=Decimal("0.05"))
    source = Source("test", Precedence.YOURS, date(2026, 1, 1), "this file")
    flex = Variant(Processing.FLEX, (PriceRow(half),))
    return Offer(f"u{number}", "real", source, (PriceRow(rates),), variants=(flex,))


def ask(body: dict[str, object] | bytes, headers: bytes = b"", path: bytes = b"/v1/chat/completions") -> bytes:
    """A request as bytes."""
    payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
    head = b"POST %b HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n%b\r\n" % (path, len(payload), headers)
    return head + payload


def question(**more: object) -> dict[str, object]:
    return {"model": "auto", "messages": [{"role": "user", "content": "What is a base load?"}], **more}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(stack)
