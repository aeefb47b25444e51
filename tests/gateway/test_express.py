"""The express way gives what the other way gives: the same call, kept and recorded, the same bytes there and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gateway.conftest import Script, ask, completion, offer, plain, question, route, usage
from tests.gateway.ways import OTHER, PLAIN, Watched, agree, line_to, recorded, warm

from baseload.catalog.entries import Offer, PriceRow, Rates, Tier
from baseload.gateway.express import MOST_PLANS
from baseload.gateway.http import Exchange, Request
from baseload.gateway.keyfile import mint
from baseload.load.facts import Bucket, Operation
from baseload.policy.keys import ClientKey
from baseload.upstreams import Key
from baseload.wire.passage import Dialect


@pytest.fixture
async def bench() -> AsyncIterator[Watched]:
    async with AsyncExitStack() as stack:
        watched = Watched(stack)
        yield watched
        await watched.nothing_is_left()


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
ABLE = {"capabilities": frozenset({"tools", "json_schema", "json_object", "vision"})}
COMPLETES = {"operations": frozenset({Operation.COMPLETIONS})}
ANTHROPIC = {"dialect": Dialect.ANTHROPIC, "operations": frozenset({Operation.MESSAGES})}
CHATS = frozenset({Operation.CHAT})
MESSAGE = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "What is a base load?"}]}
MINTED = mint(at=datetime(2026, 11, 21, tzinfo=UTC))


def key(**fields: object) -> dict[str, Any]:
    """Settings with one client key."""
    return {"keys": (msgspec.convert(msgspec.to_builtins(MINTED.key) | {"name": "web", **fields}, ClientKey),)}


BEARER = b"Authorization: Bearer %b\r\n" % MINTED.token.encode()


async def completes(_: Request, exchange: Exchange) -> None:
    """A text completion."""
    document = {"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "x"}], "usage": usage(9, 3)}
    await exchange.respond(200, [(b"content-type", b"application/json")], msgspec.json.encode(document))


async def speaks(_: Request, exchange: Exchange) -> None:
    """A message of Anthropic's."""
    document = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "hello"}],
        "model": "real",
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 5},
    }
    headers = [(b"content-type", b"application/json"), (b"request-id", b"up-1")]
    await exchange.respond(200, headers, msgspec.json.encode(document))


async def says_much(_: Request, exchange: Exchange) -> None:
    """Headers that pass and headers that do not."""
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"x-ratelimit-remaining-requests", b"7"),
        (b"openai-processing-ms", b"12"),
        (b"set-cookie", b"a=b"),
        (b"server", b"them"),
    ]
    await exchange.respond(200, headers, completion())


@dataclass(frozen=True)
class Shape:
    """A request, and the gateway and upstreams that it meets."""

    body: Mapping[str, Any] | bytes = field(default_factory=question)
    headers: bytes = b""
    path: bytes = b"/v1/chat/completions"
    script: Script = plain
    upstreams: int = 1
    gateway: Mapping[str, Any] = field(default_factory=dict)
    offers: Mapping[str, Any] | None = None

    @property
    def message(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else dict(self.body)
        return ask(body, self.headers, self.path)


def tags(*lines: str) -> Shape:
    return Shape(question(metadata={"team": "a"}), "".join(f"{line}\r\n" for line in lines).encode())


def tiered() -> Offer:
    """An offer whose price falls off a cliff, and that charges each request."""
    cheap = Rates(input=Decimal(1), output=Decimal(5), per_request=Decimal("0.001"))
    dear = Rates(input=Decimal(3), output=Decimal("7.25"), cache_read=Decimal("0.3"), reasoning=Decimal(9))
    first = offer(0)
    return Offer("u0", "real", first.source, (PriceRow(cheap, tiers=(Tier(5, dear), Tier(90, cheap))),))


def unpriced() -> Offer:
    """An offer with no price for what is written."""
    first = offer(0)
    return Offer("u0", "real", first.source, (PriceRow(Rates(input=Decimal(1), output=None)),))


SHAPES: dict[str, Shape] = {
    "plain": Shape(),
    "metadata": Shape(question(metadata={"team": "a", "run": "7 %d %% \u00fc"})),
    "user": Shape(question(user="ann", metadata={"user": "bob"})),
    "bucket and task": Shape(question(metadata={"bucket": "flagship", "task": "classify"})),
    "task": Shape(question(metadata={"task": "classify"})),
    "our header tags": tags("X-Baseload-Tag-Team: b", "X-Baseload-Tag-Run: 100%", "X-Baseload-Tag-Task: classify"),
    "bucket header": tags("X-Baseload-Bucket: bandwidth"),
    "tags of LiteLLM": tags("x-litellm-tags: a,team:b", 'x-litellm-spend-logs-metadata: {"cost":3,"n":"x"}'),
    "tags of Helicone": tags("Helicone-User-Id: ann", "Helicone-Property-App: shop", "Helicone-Session-Id: s"),
    "tags of Portkey": tags('x-portkey-metadata: {"_user":"ann","env":"prod","ok":true}', "x-portkey-trace-id: t"),
    "as many tags as may be": Shape(
        question(metadata={f"t{n}": "v" for n in range(15)}), b"X-Baseload-Tag-Last: 1\r\nx-litellm-tags: b,c,d\r\n"
    ),
    "caps": Shape(question(max_tokens=7, max_completion_tokens=9)),
    "tools": Shape(question(tools=[TOOL]), gateway={"routes": (route(0, **ABLE),)}),
    "a schema": Shape(question(response_format=SCHEMA), gateway={"routes": (route(0, **ABLE),)}),
    "an image": Shape(
        question(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]),
        gateway={"routes": (route(0, **ABLE),)},
    ),
    "only one of two is able": Shape(
        question(tools=[TOOL]), upstreams=2, gateway={"routes": (route(0), route(1, **ABLE))}
    ),
    "three routes": Shape(upstreams=3),
    "own with slots": Shape(
        upstreams=3, gateway={"routes": (route(0), route(1, slots=2), route(2, own=True, slots=1))}
    ),
    "where it may wait for a slot": Shape(gateway={"routes": (route(0, slots=1, wait_seconds=1.0),)}),
    "own and free of limits": Shape(upstreams=2, gateway={"routes": (route(0), route(1, own=True))}),
    "the unpriced last": Shape(
        upstreams=3, gateway={"routes": (route(0, offer="nobody/real"), route(1), route(2, offer="no/one"))}
    ),
    "shares of success": Shape(
        upstreams=2,
        gateway={
            "routes": (
                route(0, success={Bucket.JUDGMENT: 0.1, Bucket.FLAGSHIP: 1 / 3}),
                route(1, success={Bucket.JUDGMENT: 0.95}),
            )
        },
    ),
    "a context that is enough": Shape(question(max_tokens=80), gateway={"routes": (route(0, context_tokens=100),)}),
    "tiers": Shape(offers={"u0/real": tiered()}),
    "tiers, a long prompt": Shape(
        question(messages=[{"role": "user", "content": "long " * 200}]), offers={"u0/real": tiered()}
    ),
    "percent signs in names": Shape(
        gateway={"routes": (route(0, name="r%d 100%", names=("auto%s",)),), "aliases": {"auto": Bucket.JUDGMENT}}
    ),
    "a key": Shape(
        question(metadata={"team": "mine", "key": "mine", "run": "7"}),
        BEARER,
        gateway=key(team="shop", project="p1", customer="c1", tags={"feature": "search", "a": "%b"}),
    ),
    "a key of models and scopes": Shape(
        headers=BEARER, gateway=key(models=["au*"], scopes=["chat"], expires="2099-01-01T00:00:00Z")
    ),
    "a key of regions": Shape(
        headers=BEARER,
        upstreams=2,
        gateway={"routes": (route(0, residency="us"), route(1, residency="eu")), **key(residency=["eu", "ch"])},
    ),
    "residency": Shape(
        headers=b"X-Baseload-Residency: eu\r\n",
        upstreams=2,
        gateway={"routes": (route(0), route(1, residency="eu"))},
    ),
    "x-request-id": Shape(headers=b"X-Request-Id: mine \xc3\xbc 5%d\r\n"),
    "traceparent": Shape(headers=b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"),
    "a trace that is none": Shape(headers=b"Traceparent: t\r\nTracestate: a=1\r\n"),
    "headers that go along": Shape(
        headers=b"User-Agent: me/1\r\nIdempotency-Key: k\r\nOpenAI-Beta: x\r\nCookie: c\r\nAccept: */*\r\n"
    ),
    "an upstream's own headers": Shape(
        headers=b"User-Agent: me/1\r\nX-Request-Id: mine\r\n",
        gateway={"upstream": {"headers": {"User-Agent": "us", "X-Extra": "1", "x-request-id": "ours"}}},
    ),
    "headers that pass": Shape(script=says_much),
    "not ASCII": Shape(question(messages=[{"role": "user", "content": "Grundlast? \u00fc \U0001f50b"}], user="\u00e4")),
    "spaced": Shape(b'{ "x": [1.0, 1e3],\n "model" : "auto", "messages":[ {"role":"user","content":"\\u00e9"}] }\n'),
    "unknown fields": Shape(question(x={"y": [1, 2.50, None]}, seed=3, n=1, store=False)),
    "its own model": Shape(question(model="real"), gateway={"routes": (route(0, success={Bucket.FLAGSHIP: 0.5}),)}),
    "named by hand": Shape(question(model="mine"), gateway={"routes": (route(0, names=("mine",)),)}),
    "a completion": Shape(
        {"model": "auto", "prompt": "Once", "max_tokens": 5, "user": "ann"},
        path=b"/v1/completions",
        script=completes,
        gateway={"routes": (route(0, **COMPLETES),), "upstream": {"operations": frozenset(Operation)}},
    ),
    "a message": Shape(
        dict(MESSAGE, metadata={"user_id": "ann"}),
        b"anthropic-version: 2023-06-01\r\nanthropic-beta: b\r\n",
        b"/v1/messages",
        speaks,
        gateway={"upstream": ANTHROPIC},
    ),
    "a message with no version": Shape(MESSAGE, path=b"/v1/messages", script=speaks, gateway={"upstream": ANTHROPIC}),
    "several keys there": Shape(gateway={"upstream": {"api_key": "", "api_keys": (Key(key="k-1"), Key(key="k-2"))}}),
    "a query": Shape(path=b"/v1/chat/completions?api-version=1"),
}


async def both(bench: Watched, shape: Shape) -> list[Any]:
    """What came of three requests of that shape on each way. The first one opens the connection."""
    upstreams = [await bench.upstream(shape.script) for _ in range(shape.upstreams)]
    found = []
    for express in (True, False):
        running, ways = await bench.watched(*(each.url for each in upstreams), express=express, **shape.gateway)
        if shape.offers is not None:
            running.gateway.swap(running.gateway._settings.policy, shape.offers)
        line = await line_to(running)
        told = [await line.tell(shape.message) for _ in range(3)]
        expected = OTHER + PLAIN * 2 if express else OTHER * 3
        assert ways == expected, told[-1]
        found.append(recorded(bench, told[1:], *upstreams))
    return found


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_both_ways_agree(bench: Watched, shape: Shape) -> None:
    one, other = await both(bench, shape)
    told, begun, calls, seen = one
    assert [status for status, *_ in told] == [200, 200]
    assert len(begun) == len(calls) == len(seen) == 3
    agree(one, other)


DECLINED: dict[str, Shape] = {
    "a stream": Shape(question(stream=True)),
    "usage in its dialect": Shape(question(usage={"include": True})),
    "its cost is asked for": Shape(headers=b"X-Baseload-Usage-Cost: true\r\n"),
    "a deadline": Shape(headers=b"X-Baseload-Deadline-Seconds: 30\r\n"),
    "a deadline of the policy": Shape(gateway={"policy": {"deadline_seconds": 30.0}}),
    "a fallback": Shape(
        upstreams=2,
        gateway={
            "routes": (route(0), route(1, model="other")),
            "policy": {"fallbacks": {"auto": ("other",)}},
        },
    ),
    "it is read to its end": Shape(gateway={"routes": (route(0, on_client_gone="drain"),)}),
    "a price nobody knows": Shape(gateway={"routes": (route(0, offer="nobody/real"),)}),
    "half a price": Shape(offers={"u0/real": unpriced()}),
    "a translation": Shape(MESSAGE, path=b"/v1/messages", gateway={"upstream": {"operations": CHATS}}),
    "what another reads as tags": Shape(question(metadata={"team": "a", "n": 3})),
    "a context too short for one": Shape(
        question(max_tokens=90), upstreams=2, gateway={"routes": (route(0, context_tokens=20), route(1))}
    ),
    "tags too many": Shape(question(metadata={f"t{n}": "v" for n in range(40)})),
    "a model nobody knows": Shape(question(model="nobody")),
    "no JSON": Shape(b"{"),
    "no body": Shape(b""),
    "a key that is not known": Shape(headers=b"Authorization: Bearer bl-00000000-no\r\n", gateway=key()),
    "a model that the key may not name": Shape(headers=BEARER, gateway=key(models=["other"])),
    "a model beside that it may not name": Shape(question(models=["secret"]), BEARER, gateway=key(models=["auto"])),
    "an endpoint that it may not use": Shape(headers=BEARER, gateway=key(scopes=["embeddings"])),
    "a region that it may not name": Shape(
        headers=BEARER + b"X-Baseload-Residency: us\r\n", gateway=key(residency=["eu"])
    ),
    "no bucket": Shape(headers=b"X-Baseload-Bucket: genius\r\n"),
}


class TestKinds:
    """Requests that share a head, and differ in what a plan must not mix up."""

    async def follow_each_other(self, bench: Watched, shapes: list[Shape], lane: str = "", **gateway: object) -> None:
        """Send these one after the other, twice, on each way: as many kinds as there are, and each in its turn. `lane`
        are those that are plain, `x` for each; all are where it says nothing."""
        up = await bench.upstream(shapes[0].script)
        found = []
        for express in (True, False):
            running, ways = await bench.watched(up.url, express=express, **gateway)
            line = await line_to(running)
            told = [await line.tell(shape.message) for shape in [shapes[0], *shapes, *shapes]]
            plain = [express and each == "x" for each in (lane or "x" * len(shapes)) * 2]
            assert ways == [*OTHER, *((PLAIN if each else OTHER)[0] for each in plain)]
            found.append(recorded(bench, told[1:], up))
        agree(*found)

    async def test_tags_caps_buckets_and_lengths(self, bench: Watched) -> None:
        bodies = [
            question(),
            question(metadata={"team": "a"}),
            question(max_tokens=5),
            question(metadata={"task": "classify"}),
            question(metadata={"bucket": "flagship"}, user="ann"),
            question(model="real"),
            question(tools=[TOOL]),
            question(messages=[{"role": "user", "content": "long " * 100}], max_tokens=9),
        ]
        await self.follow_each_other(bench, [Shape(body) for body in bodies], routes=(route(0, **ABLE),))

    async def test_several_prompts_at_once(self, bench: Watched) -> None:
        bodies = [{"model": "auto", "prompt": prompt} for prompt in (["one", "two two two"], "one", ["one", "x" * 99])]
        await self.follow_each_other(
            bench,
            [Shape(body, path=b"/v1/completions", script=completes) for body in bodies],
            "-x-",  # how long the longest of several is says each time whether they fit
            routes=(route(0, **COMPLETES),),
            upstream={"operations": frozenset(Operation)},
        )

    async def test_more_kinds_than_are_remembered(self, bench: Watched) -> None:
        up = await bench.upstream()
        called = tuple(f"m{n}" for n in range(MOST_PLANS + 9))
        running, ways = await bench.watched(up.url, routes=(route(0, names=called),))
        line = await warm(running, ways)
        for _ in range(2):
            for name in called:
                assert (await line.tell(ask(question(model=name, user=f"u{name}")))).status == 200
                call = bench.spool.calls[-1]
                assert (call.facts.model, call.facts.tags) == (name, {"user": f"u{name}"})
        assert set(ways) == {"express"}


class TestIds:
    async def test_a_request_that_names_none_is_called_by_its_decision(self, bench: Watched) -> None:
        async def anonymous(_: Request, exchange: Exchange) -> None:
            await exchange.respond(200, [(b"content-type", b"application/json")], completion())

        up = await bench.upstream(anonymous)
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        told = await line.tell(ask(question()))
        assert ways == PLAIN
        ids = {told.header("x-request-id"), told.header("x-baseload-decision-id"), bench.spool.calls[1].id}
        assert ids == {bench.spool.begun[1].id} == {up.seen[1].header(b"x-request-id").decode()}

    async def test_one_that_is_declined_late_as_well(self, bench: Watched) -> None:
        """No connection is kept yet."""

        async def anonymous(_: Request, exchange: Exchange) -> None:
            await exchange.respond(200, [(b"content-type", b"application/json")], completion())

        up = await bench.upstream(anonymous)
        running, ways = await bench.watched(up.url)
        told = await (await line_to(running)).tell(ask(question()))
        assert ways == OTHER
        ids = {told.header("x-request-id"), up.seen[0].header(b"x-request-id").decode()}
        assert ids == {told.header("x-baseload-decision-id")} == {bench.spool.calls[0].id}


@pytest.mark.parametrize("shape", DECLINED.values(), ids=DECLINED)
async def test_what_is_not_plain_is_left_to_the_other_way(bench: Watched, shape: Shape) -> None:
    message, upstreams = shape.message, [await bench.upstream(shape.script) for _ in range(shape.upstreams)]
    found = []
    for express in (True, False):
        running, ways = await bench.watched(*(each.url for each in upstreams), express=express, **shape.gateway)
        if shape.offers is not None:
            running.gateway.swap(running.gateway._settings.policy, shape.offers)
        line = await line_to(running)
        told = [await line.tell(message) for _ in range(3)]
        assert "express" not in ways
        assert len(ways) == 3 or told[0].status == 401
        found.append(recorded(bench, told, *upstreams))
    agree(*found)
