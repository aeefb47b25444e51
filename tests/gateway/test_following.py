"""Stored chat completions and conversations, with the official client: to the upstream or replica that made them."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2 as httpx
import msgspec
import openai
import pytest
from openai import AsyncOpenAI
from tests.gateway.conftest import JSON, SSE, Bench, Running, chunk, route

from baseload.gateway.http import Exchange, Request
from baseload.gateway.keyfile import mint
from baseload.load.facts import Operation
from baseload.policy.keys import Scope
from baseload.upstreams import Pool

MESSAGES = [{"role": "user", "content": "What is a base load?"}]
EVERYTHING = {"operations": frozenset(Operation)}


async def store(client: AsyncOpenAI, **more: object) -> str:
    answer = await client.chat.completions.create(**{"model": "auto", "messages": MESSAGES, "store": True, **more})
    return answer.id


async def two_upstreams(bench: Bench, **more: object) -> Running:
    """Two that serve everything: `real` is the first one's, `other` the second one's, in another region."""
    urls = [(await bench.simulated())[1] for _ in range(2)]
    first, second = {"judgment": 1.0}, {"flagship": 1.0}
    routes = (route(0, residency="eu", success=first), route(1, names=("other",), residency="us", success=second))
    return await bench.gateway(*urls, routes=routes, every=EVERYTHING, **more)


class TestCompletions:
    async def test_one_is_read_changed_and_deleted_where_it_was_made(self, bench: Bench) -> None:
        gateway = await two_upstreams(bench)
        client = gateway.client()
        names = [
            await store(client),
            await store(client, model="other", extra_headers={"x-baseload-bucket": "flagship"}),
        ]
        assert [call.attempts[0].upstream for call in bench.spool.calls] == ["u0", "u1"]
        for number, name in enumerate(names):
            found = await client.chat.completions.with_raw_response.retrieve(name)
            assert found.headers["x-baseload-upstream"] == f"u{number}"
            changed = await client.chat.completions.update(name, metadata={"case": "x"})
            assert (changed.id, changed.metadata) == (name, {"case": "x"})
            (message,) = (await client.chat.completions.messages.list(name)).data
            assert message.content == "What is a base load?"
            assert (await client.chat.completions.delete(name)).deleted
            with pytest.raises(openai.NotFoundError, match="made through it"):
                await client.chat.completions.retrieve(name)
        assert len(bench.spool.calls) == 2, "only what a model wrote is a call"

    async def test_a_stream_is_kept_and_what_is_not_to_be_stored_is_not(self, bench: Bench) -> None:
        async def stored(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, SSE)
            await exchange.send(chunk("hello", id="chatcmpl-7"))
            await exchange.end(b"data: [DONE]\n\n")

        gateway = await bench.gateway((await bench.upstream(stored)).url)
        client = gateway.client()
        for keeps in (False, True):
            with pytest.raises(openai.NotFoundError, match="made through it"):
                await client.chat.completions.retrieve("chatcmpl-7")
            async for _ in await client.chat.completions.create(
                model="auto", messages=MESSAGES, stream=True, store=keeps
            ):
                pass
        found = await client.chat.completions.with_raw_response.retrieve("chatcmpl-7")
        assert found.headers["x-baseload-upstream"] == "u0"

    async def test_the_list_holds_those_of_ones_own_key_over_all_upstreams(self, bench: Bench) -> None:
        keys = {name: mint(at=datetime.now(UTC)) for name in ("a", "b")}
        gateway = await two_upstreams(bench, keys=tuple(each.key for each in keys.values()))
        client, other = (gateway.client().with_options(api_key=each.token) for each in keys.values())
        names = [
            await store(client, metadata={"n": "0"}),
            await store(client, model="other"),
            await store(client, metadata={"n": "2"}),
        ]
        foreign = await store(other)
        assert sorted(each.id for each in (await client.chat.completions.list()).data) == sorted(names)
        assert [each.id for each in (await other.chat.completions.list()).data] == [foreign]
        paged = [each.id async for each in client.chat.completions.list(limit=1, order="desc")]
        assert sorted(paged) == sorted(names)
        assert paged[::-1] == [each.id async for each in client.chat.completions.list(limit=2)]
        chosen = [each.id async for each in client.chat.completions.list(metadata={"n": "2"})]
        assert chosen == [names[2]]
        assert [each.id async for each in client.chat.completions.list(model="nothing")] == []
        await client.chat.completions.delete(names[0])
        assert len((await client.chat.completions.list()).data) == 2
        with pytest.raises(openai.BadRequestError, match="1 to 100"):
            await client.chat.completions.list(limit=101)

    async def test_what_an_upstream_has_lost_is_listed_no_more(self, bench: Bench) -> None:
        simulated, gateway = await bench.before_simulated()
        client = gateway.client()
        names = [await store(client) for _ in range(2)]
        del simulated._shelf.completions[names[0]]
        for _ in range(2):
            assert [each.id for each in (await client.chat.completions.list()).data] == names[1:]

    async def test_a_replica_of_a_pool_is_asked_for_what_it_made(self, bench: Bench) -> None:
        urls = [(await bench.simulated())[1] for _ in range(3)]
        changes = {"base_url": "", "replicas": tuple(urls), "pool": Pool(health_seconds=0, prefix_bytes=0)}
        gateway = await bench.gateway("http://unused/v1", upstream=changes | EVERYTHING)
        client, target = gateway.client(), gateway.gateway._state.targets.by_name["u0"]
        made = {}
        for url in urls:  # each in turn is the only one that takes requests
            for each in urls:
                target.drain(each, on=each != url)
            made[url] = await store(client), (await client.responses.create(model="auto", input="one")).id
        for url in urls:
            target.drain(url, on=False)
        for name, response in made.values():
            assert (await client.chat.completions.retrieve(name)).id == name
            assert (await client.responses.retrieve(response)).id == response
            after = await client.responses.create(model="auto", input="two", previous_response_id=response)
            assert after.previous_response_id == response
        target.replicas.pop()
        with pytest.raises(openai.InternalServerError, match="no longer one"):
            await client.chat.completions.retrieve(made[urls[2]][0])


class TestConversations:
    async def test_everything_once(self, bench: Bench) -> None:
        gateway = await two_upstreams(bench)
        client = gateway.client()
        item = {"type": "message", "role": "user", "content": "Hello."}
        made = await client.conversations.create(metadata={"topic": "load"}, items=[item])
        found = await client.conversations.retrieve(made.id)
        assert found.metadata == {"topic": "load"}
        assert (await client.conversations.update(made.id, metadata={"topic": "x"})).metadata == {"topic": "x"}
        added = await client.conversations.items.create(made.id, items=[item])
        one = await client.conversations.items.retrieve(added.data[0].id, conversation_id=made.id)
        assert one.id == added.data[0].id
        answer = await client.responses.create(model="auto", input="Go on.", conversation=made.id)
        assert answer.output_text
        assert bench.spool.calls[-1].facts.keeper == "u0"
        items = [each async for each in client.conversations.items.list(made.id)]
        assert len(items) == 3
        await client.conversations.items.delete(one.id, conversation_id=made.id)
        assert (await client.conversations.retrieve(made.id)).id == made.id, "only an item was deleted"
        assert (await client.conversations.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.conversations.retrieve(made.id)
        assert len(bench.spool.calls) == 1

    @pytest.mark.parametrize(
        ("headers", "upstream"),
        [
            ({}, "u0"),
            ({"x-baseload-model": "other"}, "u1"),
            ({"x-baseload-residency": "us"}, "u1"),
            ({"x-baseload-model": "auto:flagship"}, "u1"),
        ],
    )
    async def test_it_is_made_where_it_may_be(self, bench: Bench, headers: dict[str, str], upstream: str) -> None:
        gateway = await two_upstreams(bench, aliases={"auto": "judgment", "auto:flagship": "flagship"})
        made = await gateway.client().conversations.with_raw_response.create(extra_headers=headers)
        assert made.headers["x-baseload-upstream"] == upstream

    async def test_where_nobody_may_keep_it_it_is_refused(self, bench: Bench) -> None:
        gateway = await two_upstreams(bench)
        with pytest.raises(openai.BadRequestError, match="No route's upstream"):
            await gateway.client().conversations.create(extra_headers={"x-baseload-residency": "mars"})
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await gateway.client().conversations.create(extra_headers={"x-baseload-model": "nobody"})
        _, chats = await bench.before_simulated("chats")
        with pytest.raises(openai.BadRequestError, match="No route's upstream"):
            await chats.client().conversations.create()

    async def test_one_that_fails_is_passed_by(self, bench: Bench) -> None:
        gateway = await two_upstreams(bench)
        target = gateway.gateway._state.targets.by_name["u0"]
        client = next(iter(target._clients.values()))
        client._port = 1  # nobody listens there
        client.close()
        made = await gateway.client().conversations.with_raw_response.create()
        assert made.headers["x-baseload-upstream"] == "u1"


class TestKeys:
    async def test_to_another_key_it_does_not_exist(self, bench: Bench) -> None:
        keys = [mint(at=datetime.now(UTC)) for _ in range(2)]
        gateway = await two_upstreams(bench, keys=tuple(each.key for each in keys))
        ours, theirs = (gateway.client().with_options(api_key=each.token) for each in keys)
        completion, conversation = await store(ours), (await ours.conversations.create()).id
        for ask in (
            theirs.chat.completions.retrieve(completion),
            theirs.chat.completions.update(completion, metadata={}),
            theirs.chat.completions.delete(completion),
            theirs.chat.completions.messages.list(completion),
            theirs.conversations.retrieve(conversation),
            theirs.conversations.delete(conversation),
            theirs.conversations.items.list(conversation),
        ):
            with pytest.raises(openai.NotFoundError):
                await ask
        with pytest.raises(openai.BadRequestError, match="not found"):
            await theirs.responses.create(model="auto", input="x", conversation=conversation)
        assert (await ours.conversations.retrieve(conversation)).id == conversation

    async def test_regions_and_scopes_hold_for_what_is_kept_too(self, bench: Bench) -> None:
        made = mint(at=datetime.now(UTC))
        gateway = await two_upstreams(bench, keys=(made.key,))
        client = gateway.client().with_options(api_key=made.token)
        name = await store(client)
        with pytest.raises(openai.PermissionDeniedError, match="u0 keeps this in eu"):
            await client.chat.completions.retrieve(name, extra_headers={"x-baseload-residency": "us"})
        assert await client.chat.completions.retrieve(name, extra_headers={"x-baseload-residency": "eu"})
        for region, names in (("us", []), ("eu", [name])):
            listed = await client.chat.completions.list(extra_headers={"x-baseload-residency": region})
            assert [each.id for each in listed.data] == names
        ring = gateway.gateway.keys
        for changes in ({"residency": frozenset({"us"})}, {"scopes": frozenset({Scope.EMBEDDINGS})}):
            changed = msgspec.structs.replace(made.key, **changes)
            ring.reload(msgspec.structs.replace(gateway.gateway._settings, keys=(changed,)))
            with pytest.raises(openai.PermissionDeniedError):
                await client.chat.completions.retrieve(name)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "chat/completions/x", 404),
        ("PUT", "chat/completions/x", 405),
        ("GET", "chat/completions/x/other", 404),
        ("GET", "chat/completions/x/messages/y", 404),
        ("GET", "conversations", 405),
        ("GET", "conversations/x", 404),
        ("PATCH", "conversations/x/items/y", 405),
        ("GET", "conversations/x/items/y/z", 404),
        ("GET", "conversations/..%2F..%2Fadmin", 404),
        ("GET", "chat/completions?limit=0", 400),
        ("GET", "chat/completions?order=up", 400),
    ],
)
async def test_what_is_not_there(bench: Bench, method: str, path: str, status: int) -> None:
    _, gateway = await bench.before_simulated()
    async with httpx.AsyncClient() as client:
        answer = await client.request(method, f"{gateway.url}/v1/{path}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, "invalid_request_error")


async def test_a_conversation_whose_answer_is_none_is_passed_as_it_is(bench: Bench) -> None:
    async def odd(request: Request, exchange: Exchange) -> None:
        await exchange.respond(
            200 if request.body else 400, JSON, b'{"id": ["' + (request.header(b"x") or b"") + b'"]}'
        )

    gateway = await bench.gateway((await bench.upstream(odd)).url, upstream=EVERYTHING)
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{gateway.url}/v1/conversations", json={})
    assert (answer.status_code, answer.text) == (200, '{"id": [""]}')
