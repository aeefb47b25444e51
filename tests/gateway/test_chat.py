"""Chat completions through a real gateway to real upstreams: what the client gets, what is metered, what is tried."""

from __future__ import annotations

import asyncio
import gzip
import time

import httpx2 as httpx
import msgspec
import openai
import pytest
from tests.gateway.conftest import (
    DONE,
    JSON,
    SSE,
    Bench,
    ask,
    chunk,
    completion,
    plain,
    question,
    route,
    status,
    usage,
)

from baseload.errors import LedgerUnavailable
from baseload.gateway import chat, meter, relaying, upstream
from baseload.gateway.http import Exchange, Request
from baseload.load.calls import Evidence, Status
from baseload.load.facts import Bucket
from baseload.policy.expect import UNSEEN_OUTPUT_TOKENS
from baseload.settings import Limits, Timeouts
from baseload.usage import Usage

MESSAGES = [{"role": "user", "content": "What is a base load?"}]
REPORTED = Usage(input_tokens=36, cache_read_tokens=64, output_tokens=15, reasoning_tokens=5)
# 36 at 1 USD/Mtok, 64 at 0.10, 20 at 5: 36,000 + 6,400 + 100,000 nano-dollars.
REPORTED_NANOUSD = 142_400
QUICK = Timeouts(connect=0.3, first_byte=0.3, idle=0.3)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


class TestWhole:
    @pytest.mark.parametrize("sent", [b"mine", None])
    async def test_a_request_has_an_id_for_client_and_upstream(self, bench: Bench, sent: bytes | None) -> None:
        async def anonymous(_: Request, exchange: Exchange) -> None:
            await exchange.respond(200, JSON, completion())

        up = await bench.upstream(anonymous)
        gateway = await bench.gateway(up.url)
        headers = {} if sent is None else {"x-request-id": sent.decode()}
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question(), headers=headers)
            refused = await client.post(f"{gateway.url}/v1/chat/completions", content=b"{", headers=headers)
        assert answer.headers["x-request-id"].encode() == up.seen[0].header(b"x-request-id")
        assert len(answer.headers["x-request-id"]) == (4 if sent else 32)
        assert refused.headers["x-request-id"] == answer.headers["x-request-id"] or not sent

    async def test_the_client_gets_the_upstreams_bytes_and_our_headers(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question())
        assert answer.status_code == 200
        assert answer.content == completion()
        (call,) = bench.spool.calls
        assert answer.headers["x-baseload-cost-usd"] == "0.0001424"
        assert answer.headers["x-request-id"] == "up-1"
        assert answer.headers["content-type"] == "application/json"
        assert {name: answer.headers[f"x-baseload-{name}"] for name in ("upstream", "model", "route")} == {
            "upstream": "u0",
            "model": "real",
            "route": "r0",
        }
        assert answer.headers["x-baseload-decision-id"] == call.id
        assert answer.headers["x-baseload-policy"] == gateway.gateway.policy

    async def test_the_official_client_and_what_is_metered(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        answer = await gateway.client().chat.completions.create(
            model="auto", messages=MESSAGES, max_tokens=50, user="ann", metadata={"team": "a"}
        )
        assert answer.choices[0].message.content == "hello there"
        assert answer.model == "real-2026-01-01"
        (call,) = bench.spool.calls
        (attempt,) = call.attempts
        assert call.status is Status.OK
        assert attempt.usage == call.usage == REPORTED
        assert attempt.evidence is Evidence.REPORTED
        assert attempt.cost_nanousd == call.cost_nanousd == REPORTED_NANOUSD
        assert attempt.book == "test"
        assert attempt.started_ns <= attempt.first_byte_ns <= attempt.ended_ns <= call.ended_ns
        assert call.facts.tags == {"team": "a", "user": "ann"}
        assert call.facts.output_cap == 50
        assert (call.decision.policy, call.decision.routes[0].route) == (gateway.gateway.policy, "r0")

    async def test_the_upstream_gets_the_clients_bytes_but_for_the_model(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        body = b'{ "x": [1.0, 1e3],\n "model" : "auto", "messages":[{"role":"user","content":"\\u00e9\xc3\xa9"}] }'
        headers = b"Authorization: Bearer secret\r\nX-Request-Id: mine\r\nTraceparent: t\r\nCookie: c\r\n"
        reader, writer = await gateway.connect()
        writer.write(ask(body, headers))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        (seen,) = up.seen
        assert seen.body == body.replace(b'"auto"', b'"real"')
        assert seen.target == "/v1/chat/completions"
        assert seen.header(b"authorization") == b"Bearer key-0"
        assert seen.header(b"accept-encoding") == b"identity"
        assert (seen.header(b"x-request-id"), seen.header(b"traceparent")) == (b"mine", b"t")
        assert seen.header(b"cookie") is None

    async def test_facts_from_headers(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, routes=(route(0, residency="eu"),))
        headers = {
            "x-baseload-bucket": "flagship",
            "x-baseload-residency": "eu",
            "x-baseload-tag-team": "Zürich",
        }
        reader, writer = await gateway.connect()
        writer.write(ask(question(), "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        facts = bench.spool.calls[0].facts
        assert (facts.bucket, facts.residency, facts.tags) == (Bucket.FLAGSHIP, "eu", {"team": "Zürich"})

    async def test_a_model_by_its_own_name_is_served_in_the_bucket_it_serves(self, bench: Bench) -> None:
        up = await bench.upstream()
        routes = (route(0, success={Bucket.BANDWIDTH: 0.9}),)
        gateway = await bench.gateway(up.url, routes=routes)
        await gateway.client().chat.completions.create(model="real", messages=MESSAGES)
        assert bench.spool.calls[0].facts.bucket is Bucket.BANDWIDTH

    async def test_an_answer_that_was_compressed_all_the_same_can_be_read(self, bench: Bench) -> None:
        async def zipped(_: Request, exchange: Exchange) -> None:
            await exchange.respond(200, [*JSON, (b"content-encoding", b"gzip")], gzip.compress(completion()))

        gateway = await bench.gateway((await bench.upstream(zipped)).url)
        answer = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert answer.choices[0].message.content == "hello there"
        assert bench.spool.calls[0].usage == REPORTED

    @pytest.mark.parametrize(
        "answer",
        [
            WHOLE + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
            STREAM + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        ],
        ids=["JSON", "SSE"],
    )
    async def test_what_cannot_be_metered_is_left_to_the_next_route(self, bench: Bench, answer: bytes) -> None:
        second = await bench.upstream()
        gateway = await bench.gateway(await bench.raw_upstream(answer), second.url)
        await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        failed, served = bench.spool.calls[0].attempts
        assert "cannot be metered" in failed.error
        assert (failed.evidence, served.route) == (Evidence.ESTIMATED, "r1")
        assert failed.usage.output_tokens == UNSEEN_OUTPUT_TOKENS  # what broke on its way was written to its end there

    @pytest.mark.parametrize("counts", [{"prompt_tokens": 100}, {"prompt_tokens": 100, "completion_tokens": 0}])
    async def test_a_count_that_knows_nothing_of_the_answer_is_none(self, bench: Bench, counts: dict[str, int]) -> None:
        async def script(_: Request, exchange: Exchange) -> None:
            await exchange.respond(200, JSON, completion("x" * 400, usage=counts))

        gateway = await bench.gateway((await bench.upstream(script)).url)
        await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.evidence, attempt.usage) == (Evidence.ESTIMATED, Usage(input_tokens=100, output_tokens=100))

    @pytest.mark.parametrize("count", ["1" + "0" * 400, "1" + "0" * 19])
    async def test_an_absurd_count_is_none_and_nothing_is_learnt_from_it(
        self, bench: Bench, count: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def script(_: Request, exchange: Exchange) -> None:
            answer = completion("x" * 400, usage={"prompt_tokens": 1, "completion_tokens": 77})
            await exchange.respond(200, JSON, answer.replace(b"77", count.encode()).replace(b's":1,', b's":100,'))

        gateway = await bench.gateway((await bench.upstream(script)).url)
        for _ in range(2):
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert [call.usage for call in bench.spool.calls] == [Usage(input_tokens=100, output_tokens=100)] * 2
        assert bench.spool.calls[1].decision.routes[0].expected_nanousd < 10**7
        assert caplog.text.count("u0/real does not report its usage") == 1

    @pytest.mark.parametrize("said", ["Text/Event-Stream", "text/plain", "application/octet-stream", ""])
    async def test_a_stream_is_one_whatever_its_content_type(self, bench: Bench, said: str) -> None:
        """Clients read a stream that they asked for without a look at its type."""

        async def script(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, [(b"content-type", said.encode())] if said else [])
            await exchange.end(chunk("one") + chunk(usage=usage(100, 20)) + DONE)

        gateway = await bench.gateway((await bench.upstream(script)).url)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question(stream=True))
        assert answer.content == chunk("one") + DONE
        assert bench.spool.calls[0].usage == Usage(input_tokens=100, output_tokens=20)

    async def test_what_follows_an_answer_takes_nothing_from_it(self, bench: Bench) -> None:
        body = completion()
        one = WHOLE + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        gateway = await bench.gateway(await bench.raw_upstream(one + one.replace(b"json", b"xml")))
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question())
        assert (answer.headers["content-type"], answer.content) == ("application/json", body)
        assert len(bench.spool.calls) == 1

    async def test_without_usage_the_answer_is_estimated_and_marked(self, bench: Bench) -> None:
        async def silent(_: Request, exchange: Exchange) -> None:
            await exchange.respond(200, JSON, completion("x" * 400, usage=None))

        gateway = await bench.gateway((await bench.upstream(silent)).url)
        await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        (attempt,) = bench.spool.calls[0].attempts
        assert attempt.evidence is Evidence.ESTIMATED
        assert attempt.usage.output_tokens == 100
        assert attempt.cost_nanousd == attempt.usage.input_tokens * 1_000 + 100 * 5_000

    @pytest.mark.parametrize("stream", [False, True])
    async def test_what_the_provider_says_it_charges_stands_beside(self, bench: Bench, stream: bool) -> None:
        counts = {**usage(100, 20), "cost": 0.00012345}

        async def script(_: Request, exchange: Exchange) -> None:
            if not stream:
                await exchange.respond(200, JSON, completion("x", usage=counts))
                return
            await exchange.start(200, [(b"content-type", b"text/event-stream")])
            await exchange.end(chunk("one") + chunk(usage=counts) + DONE)

        gateway = await bench.gateway((await bench.upstream(script)).url)
        async with httpx.AsyncClient() as client:
            await client.post(f"{gateway.url}/v1/chat/completions", json=question(stream=stream))
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.provider_nanousd, attempt.cost_nanousd) == (123_450, 100 * 1_000 + 20 * 5_000)

    async def test_an_unknown_price_is_unknown_and_never_zero(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, routes=(route(0, offer="nobody/real"),))
        answer = await gateway.client().chat.completions.with_raw_response.create(model="auto", messages=MESSAGES)
        assert answer.headers["x-baseload-cost-usd"] == "unknown"
        assert bench.spool.calls[0].cost_nanousd is None
        assert gateway.gateway.meter.unpriced == 1


class TestStream:
    @pytest.mark.parametrize("asked", [True, False], ids=["usage asked", "usage not asked"])
    async def test_the_official_client_gets_what_the_upstream_sends(self, bench: Bench, asked: bool) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        options = {"stream_options": {"include_usage": True}} if asked else {}
        stream = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True, **options)
        events = [event async for event in stream]
        assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == "hello there"
        assert [event.usage is not None for event in events] == [False, False, True][: 3 if asked else 2]
        assert up.bodies[0]["stream_options"] == {"include_usage": True}
        (call,) = bench.spool.calls
        assert call.usage == REPORTED
        assert call.cost_nanousd == REPORTED_NANOUSD
        assert call.status is Status.OK

    async def test_the_clients_bytes_are_the_upstreams_when_it_asks_for_usage(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        body = question(stream=True, stream_options={"include_usage": True})
        async with httpx.AsyncClient() as client:
            ours = await client.post(f"{gateway.url}/v1/chat/completions", json=body)
            theirs = await client.post(f"{up.url}/chat/completions", json=body)
        assert ours.content == theirs.content
        assert ours.headers["content-type"] == "text/event-stream"
        assert ours.headers["x-baseload-route"] == "r0"

    @pytest.mark.parametrize(
        ("events", "expected"),
        [
            ([chunk("a"), chunk(usage=usage(100, 20)), DONE], Usage(input_tokens=100, output_tokens=20)),
            ([chunk("a"), chunk("b", usage=usage(100, 20)), DONE], Usage(input_tokens=100, output_tokens=20)),
            (
                [chunk("a", usage=usage(100, 1)), chunk("b", usage=usage(100, 2))],
                Usage(input_tokens=100, output_tokens=2),
            ),
            ([chunk("a"), chunk(usage=usage(100, 20))], Usage(input_tokens=100, output_tokens=20)),
        ],
        ids=["own chunk", "with choices", "every chunk, no DONE", "no DONE"],
    )
    async def test_every_shape_of_usage_is_read(self, bench: Bench, events: list[bytes], expected: Usage) -> None:
        async def script(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, SSE)
            for event in events:
                await exchange.send(event)
            await exchange.end()

        gateway = await bench.gateway((await bench.upstream(script)).url)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question(stream=True))
        assert bench.spool.calls[0].usage == expected
        assert bench.spool.calls[0].attempts[0].evidence is Evidence.REPORTED
        hidden = [event for event in events if b'"choices":[],' in event and b"prompt_tokens" in event]
        assert answer.content == b"".join(event for event in events if event not in hidden)

    async def test_the_first_byte_is_the_first_events_not_the_heads(self, bench: Bench) -> None:
        async def script(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, SSE)
            await asyncio.sleep(0.1)
            await exchange.end(chunk("a") + DONE)

        gateway = await bench.gateway((await bench.upstream(script)).url)
        async for _ in await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True):
            pass
        (attempt,) = bench.spool.calls[0].attempts
        assert attempt.first_byte_ns - attempt.started_ns > 90_000_000

    async def test_events_are_relayed_when_they_come(self, bench: Bench) -> None:
        go = asyncio.Event()

        async def script(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, SSE)
            await exchange.send(chunk("first"))
            await go.wait()
            await exchange.end(DONE)

        gateway = await bench.gateway((await bench.upstream(script)).url)
        stream = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
        first = await asyncio.wait_for(anext(aiter(stream)), 1)
        assert first.choices[0].delta.content == "first"
        go.set()
        assert [event async for event in stream] == []

    async def test_a_stream_without_usage_is_estimated_from_what_was_delivered(self, bench: Bench) -> None:
        async def script(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, SSE)
            for _ in range(30):
                await exchange.send(chunk("ab"))
            await exchange.end(DONE)

        gateway = await bench.gateway((await bench.upstream(script)).url)
        async for _ in await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True):
            pass
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.evidence, attempt.usage.output_tokens) == (Evidence.ESTIMATED, 30)


class TestFallback:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("failing", "expected"),
        [
            (status(500), (Status.FAILED, 500)),
            (status(503), (Status.FAILED, 503)),
            (status(429), (Status.FAILED, 429)),
            (status(408), (Status.TIMEOUT, 408)),
        ],
        ids=["500", "503", "429", "408"],
    )
    async def test_on_an_error_of_the_upstream(self, bench: Bench, failing, expected, stream: bool) -> None:
        first, second = await bench.upstream(failing), await bench.upstream()
        gateway = await bench.gateway(first.url, second.url)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question(stream=stream))
        assert answer.status_code == 200
        assert answer.headers["x-baseload-route"] == "r1"
        (call,) = bench.spool.calls
        failed, served = call.attempts
        assert (failed.status, failed.http_status) == expected
        assert (failed.evidence, failed.usage, failed.number) == (Evidence.NONE, Usage(), 1)
        assert (served.status, served.usage, served.number) == (Status.OK, REPORTED, 2)
        assert call.served is served
        # Priced by the route that served: one dollar dearer in and out.
        assert call.cost_nanousd == 36 * 2_000 + 64 * 100 + 20 * 6_000

    async def test_on_a_refused_connection(self, bench: Bench) -> None:
        second = await bench.upstream()
        gateway = await bench.gateway("http://127.0.0.1:1/v1", second.url)
        await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        failed, _ = bench.spool.calls[0].attempts
        assert (failed.status, failed.http_status, failed.evidence) == (Status.FAILED, None, Evidence.NONE)
        assert "no connection" in failed.error

    async def test_on_a_slow_first_byte(self, bench: Bench) -> None:
        async def slow(_: Request, exchange: Exchange) -> None:
            await asyncio.sleep(30)

        first, second = await bench.upstream(slow), await bench.upstream()
        gateway = await bench.gateway(first.url, second.url, timeouts=QUICK)
        await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        failed, _ = bench.spool.calls[0].attempts
        assert failed.status is Status.TIMEOUT
        await asyncio.wait_for(first.cancelled.wait(), 0.5)

    @pytest.mark.parametrize(
        "answer",
        [
            WHOLE + b"Content-Length: 100\r\n\r\n{",
            WHOLE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            WHOLE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            WHOLE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
            WHOLE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            WHOLE + b'\r\n{"cut',
            STREAM + b"Transfer-Encoding: chunked\r\n\r\n",
            b"",
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        ],
        ids=[
            "cut",
            "cut chunks",
            "bad chunk",
            "two lengths",
            "length and chunks",
            "cut at close",
            "no event",
            "nothing",
            "not HTTP",
            "redirect",
        ],
    )
    async def test_on_a_broken_answer_before_the_client_has_a_byte(self, bench: Bench, answer: bytes) -> None:
        first, second = await bench.raw_upstream(answer), await bench.upstream()
        gateway = await bench.gateway(first, second.url)
        await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        (call,) = bench.spool.calls
        assert [attempt.status for attempt in call.attempts] == [Status.FAILED, Status.OK]

    async def test_when_every_route_fails_the_client_is_told_why(self, bench: Bench) -> None:
        first = await bench.upstream(status(500, "out of memory"))
        gateway = await bench.gateway(first.url, "http://127.0.0.1:1/v1")
        with pytest.raises(openai.InternalServerError) as caught:
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert caught.value.status_code == 502
        assert caught.value.code == "upstreams_failed"
        assert "r0: HTTP 500 out of memory" in str(caught.value)
        assert "r1: 127.0.0.1:1" in str(caught.value) or "r1: no connection to 127.0.0.1:1" in str(caught.value)
        (call,) = bench.spool.calls
        assert (call.status, call.served, call.cost_nanousd) == (Status.FAILED, None, 0)

    async def test_only_timeouts_are_a_504(self, bench: Bench) -> None:
        async def slow(_: Request, exchange: Exchange) -> None:
            await asyncio.sleep(30)

        gateway = await bench.gateway((await bench.upstream(slow)).url, timeouts=QUICK)
        with pytest.raises(openai.InternalServerError) as caught:
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert caught.value.status_code == 504
        assert bench.spool.calls[0].status is Status.TIMEOUT

    async def test_only_rate_limits_are_a_429_with_the_upstreams_patience(self, bench: Bench) -> None:
        limited = await bench.upstream(status(429, "slow down", headers=((b"retry-after", b"7"),)))
        gateway = await bench.gateway(limited.url)
        with pytest.raises(openai.RateLimitError) as caught:
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert caught.value.response.headers["retry-after"] == "7"

    @pytest.mark.parametrize(
        "answer",
        [
            WHOLE + b"Content-Length: 28\r\n\r\n" + b'{"error":{"message":"boom"}}',
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            WHOLE + b"Content-Length: 0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            WHOLE + b"Content-Length: 100007\r\n\r\n" + b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"} ",
            STREAM + b"Content-Length: 0\r\n\r\n",
            STREAM + b"Content-Length: 14\r\n\r\n" + DONE,
            STREAM + b"Content-Length: 46\r\n\r\n" + b'data: {"error":{"message":"overloaded, boom"}}',
        ],
        ids=["error", "page", "empty", "204", "too deep", "empty stream", "DONE alone", "error in the stream"],
    )
    async def test_a_success_without_an_answer_is_a_failure(self, bench: Bench, answer: bytes) -> None:
        second = await bench.upstream()
        gateway = await bench.gateway(await bench.raw_upstream(answer), second.url)
        client = gateway.client()
        for _ in range(4):
            await client.chat.completions.create(model="auto", messages=MESSAGES)
        failed, served = bench.spool.calls[0].attempts
        assert (failed.status, failed.evidence, failed.usage) == (Status.FAILED, Evidence.NONE, Usage())
        assert ("boom" in failed.error) == (b"boom" in answer)
        assert served.status is Status.OK
        assert [len(call.attempts) for call in bench.spool.calls] == [2, 2, 2, 1]

    @pytest.mark.parametrize("code", [401, 402, 403, 407])
    async def test_a_refusal_of_our_key_is_never_the_clients(self, bench: Bench, code: int) -> None:
        locked = await bench.upstream(status(code, "Incorrect API key: sk-secret"))
        gateway = await bench.gateway(locked.url)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question())
        assert answer.status_code == 502
        assert f"HTTP {code} it refuses the gateway's own key" in answer.json()["error"]["message"]
        assert "sk-secret" not in answer.text + bench.spool.calls[0].attempts[0].error

    async def test_an_upstream_that_refuses_our_key_cools(self, bench: Bench) -> None:
        locked, spare = await bench.upstream(status(401)), await bench.upstream()
        gateway = await bench.gateway(locked.url, spare.url)
        for _ in range(5):
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert (len(locked.seen), len(spare.seen)) == (3, 5)

    @pytest.mark.parametrize(
        "body", [b'{"error":{"message":"caf\xe9"}}', b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"]
    )
    async def test_an_error_that_cannot_be_read_is_still_one(self, bench: Bench, body: bytes) -> None:
        async def script(_: Request, exchange: Exchange) -> None:
            await exchange.respond(500, JSON, body)

        gateway = await bench.gateway((await bench.upstream(script)).url, (await bench.upstream()).url)
        await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert [attempt.status for attempt in bench.spool.calls[0].attempts] == [Status.FAILED, Status.OK]

    @pytest.mark.parametrize("code", [500, 400])
    async def test_an_error_that_never_ends_is_not_waited_for(
        self, bench: Bench, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(upstream, "EXCERPT_SECONDS", 0.1)

        async def drips(_: Request, exchange: Exchange) -> None:
            await exchange.start(code, JSON)
            while True:
                await exchange.send(b"x")
                await asyncio.sleep(0.02)

        gateway = await bench.gateway((await bench.upstream(drips)).url, (await bench.upstream()).url)
        began = time.monotonic()
        await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert time.monotonic() - began < 1.0
        assert [attempt.http_status for attempt in bench.spool.calls[0].attempts] == [code, 200]

    async def test_a_long_error_is_read_in_part(self, bench: Bench) -> None:
        gateway = await bench.gateway((await bench.upstream(status(500, "x" * 10_000_000))).url)
        with pytest.raises(openai.InternalServerError):
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert len(bench.spool.calls[0].attempts[0].error) < 400

    async def test_a_kept_connection_that_was_closed_is_an_attempt(self, bench: Bench) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"}]}")
            writer.write(WHOLE + b"Content-Length: %d\r\n\r\n%b" % (len(completion()), completion()))
            await reader.readuntil(b"}]}")  # the second request on this connection is not answered
            writer.close()

        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        bench.stack.callback(server.close)
        gateway = await bench.gateway(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        client = gateway.client()
        for _ in range(2):
            await client.chat.completions.create(model="auto", messages=MESSAGES)
        closed, served = bench.spool.calls[1].attempts
        assert (closed.number, closed.status, closed.evidence) == (1, Status.FAILED, Evidence.NONE)
        assert "kept connection was closed" in closed.error
        assert (served.number, served.status, served.usage) == (2, Status.OK, REPORTED)

    async def test_what_nobody_foresaw_loses_no_call(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: bytes) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(relaying, "plain", broken)
        gateway = await bench.gateway((await bench.upstream()).url)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question())
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        (call,) = bench.spool.calls
        (attempt,) = call.attempts
        assert (call.status, attempt.status, attempt.evidence) == (Status.FAILED, Status.FAILED, Evidence.ESTIMATED)
        assert "a bug" in attempt.error
        assert "a bug" in caplog.text

    @pytest.mark.parametrize("code", [400, 404, 422])
    async def test_the_clients_own_error_is_its_own_and_cools_nothing(self, bench: Bench, code: int) -> None:
        picky, spare = await bench.upstream(status(code, "your fault")), await bench.upstream()
        gateway = await bench.gateway(picky.url, spare.url)
        async with httpx.AsyncClient() as client:
            for _ in range(5):
                answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question())
                assert answer.status_code == code
                assert answer.json()["error"]["message"] == "your fault"
                assert answer.headers["x-baseload-route"] == "r0"
        assert (len(picky.seen), len(spare.seen)) == (5, 0)
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.status, attempt.evidence, attempt.error) == (Status.REFUSED, Evidence.NONE, "your fault")
        assert bench.spool.calls[0].status is Status.REFUSED

    async def test_an_upstream_that_keeps_failing_is_left_out_while_another_serves(self, bench: Bench) -> None:
        first, second = await bench.upstream(status(500)), await bench.upstream()
        gateway = await bench.gateway(first.url, second.url)
        for _ in range(6):
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert (len(first.seen), len(second.seen)) == (3, 6)
        assert bench.spool.calls[-1].decision.skipped[0].reason == "upstream is unhealthy"

    async def test_the_only_upstream_is_tried_even_when_it_keeps_failing(self, bench: Bench) -> None:
        first = await bench.upstream(status(500))
        gateway = await bench.gateway(first.url)
        for _ in range(5):
            with pytest.raises(openai.InternalServerError):
                await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert len(first.seen) == 5


class TestCut:
    @pytest.mark.parametrize(
        "tail",
        [b"", b"zz\r\n", b"5\r\nab"],
        ids=["closed between chunks", "bad chunk", "closed in a chunk"],
    )
    async def test_a_stream_that_breaks_is_broken_for_the_client_and_estimated(self, bench: Bench, tail: bytes) -> None:
        event = chunk("one") + chunk("two")
        head = STREAM + b"Transfer-Encoding: chunked\r\n\r\n"
        first = await bench.raw_upstream(head + b"%x\r\n%b\r\n" % (len(event), event) + tail)
        second = await bench.upstream()
        gateway = await bench.gateway(first, second.url)
        got, error = await read_until_broken(f"{gateway.url}/v1/chat/completions")
        assert got == event
        assert error
        (call,) = bench.spool.calls
        (attempt,) = call.attempts
        assert call.status is attempt.status is Status.CUT
        assert (attempt.evidence, attempt.usage.output_tokens) == (Evidence.ESTIMATED, 2)
        assert attempt.usage.input_tokens > 0
        assert second.seen == []

    async def test_a_stream_that_ends_by_closing_is_whole_only_when_it_says_done(self, bench: Bench) -> None:
        head = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        whole = await bench.raw_upstream(head + chunk("one") + DONE)
        gateway = await bench.gateway(whole)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", json=question(stream=True))
            assert answer.content == chunk("one") + DONE
            cut = await bench.gateway(await bench.raw_upstream(head + chunk("one")))
            with pytest.raises(httpx.HTTPError):
                await client.post(f"{cut.url}/v1/chat/completions", json=question(stream=True))
        assert [call.status for call in bench.spool.calls] == [Status.OK, Status.CUT]

    async def test_a_stream_that_stalls(self, bench: Bench) -> None:
        async def script(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, SSE)
            await exchange.send(chunk("one"))
            await asyncio.sleep(30)

        gateway = await bench.gateway((await bench.upstream(script)).url, timeouts=QUICK)
        began = time.monotonic()
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.HTTPError):
                await client.post(f"{gateway.url}/v1/chat/completions", json=question(stream=True))
        assert time.monotonic() - began < 1.0
        assert bench.spool.calls[0].status is Status.CUT

    async def test_http_1_0_sees_a_reset_instead_of_a_clean_end(self, bench: Bench) -> None:
        head = STREAM + b"Transfer-Encoding: chunked\r\n\r\n"
        event = chunk("one")
        gateway = await bench.gateway(await bench.raw_upstream(head + b"%x\r\n%b\r\n" % (len(event), event)))
        reader, writer = await gateway.connect()
        writer.write(ask(question(stream=True)).replace(b"HTTP/1.1", b"HTTP/1.0"))
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)


async def read_until_broken(url: str) -> tuple[bytes, str]:
    """What a streaming client got, and the error that ended it."""
    got = b""
    async with httpx.AsyncClient() as client:
        try:
            async with client.stream("POST", url, json=question(stream=True)) as answer:
                async for data in answer.aiter_raw():
                    got += data
        except httpx.HTTPError as error:
            return got, repr(error)
    return got, ""


class TestClientGone:
    @pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
    async def test_the_upstream_is_aborted_at_once_and_what_it_did_is_metered(self, bench: Bench, stream: bool) -> None:
        async def slow(_: Request, exchange: Exchange) -> None:
            if stream:
                await exchange.start(200, SSE)
                await exchange.send(chunk("one"))
            await asyncio.sleep(30)

        up = await bench.upstream(slow)
        gateway = await bench.gateway(up.url)
        _, writer = await gateway.connect()
        writer.write(ask(question(stream=stream)))
        await up.reached()
        await asyncio.sleep(0.05)
        writer.close()
        began = time.monotonic()
        await asyncio.wait_for(up.cancelled.wait(), 0.5)
        assert time.monotonic() - began < 0.1
        await asyncio.sleep(0.01)
        (call,) = bench.spool.calls
        (attempt,) = call.attempts
        assert call.status is attempt.status is Status.CLIENT_GONE
        assert attempt.evidence is Evidence.ESTIMATED
        assert attempt.usage.input_tokens == call.facts.input_tokens > 0
        assert attempt.usage.output_tokens == int(stream)
        assert attempt.cost_nanousd > 0

    @pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
    async def test_where_a_route_drains_the_upstream_is_read_to_its_count(self, bench: Bench, stream: bool) -> None:
        go = asyncio.Event()

        async def slow(request: Request, exchange: Exchange) -> None:
            if not stream:
                await go.wait()
                await plain(request, exchange)
                return
            await exchange.start(200, SSE)
            await exchange.send(chunk("hello"))
            await go.wait()
            await exchange.send(chunk(" there") + chunk(usage=usage(100, 20, cached=64, reasoning=5)))
            await exchange.end(DONE)

        up = await bench.upstream(slow)
        gateway = await bench.gateway(up.url, routes=(route(0, on_client_gone="drain"),))
        _, writer = await gateway.connect()
        writer.write(ask(question(stream=stream)))
        await up.reached()
        writer.close()
        await asyncio.sleep(0.1)
        assert not up.cancelled.is_set()
        assert await health(gateway.url) == {"u0": 1}
        go.set()
        await asyncio.sleep(0.1)
        (call,) = bench.spool.calls
        (attempt,) = call.attempts
        assert call.status is attempt.status is Status.CLIENT_GONE
        assert (attempt.evidence, attempt.usage) == (Evidence.REPORTED, REPORTED)
        assert await health(gateway.url) == {}

    async def test_draining_is_bounded(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        async def endless(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, SSE)
            while True:
                await exchange.send(chunk("x"))
                await asyncio.sleep(0.01)

        monkeypatch.setattr(chat, "DRAIN_SECONDS", 0.1)
        up = await bench.upstream(endless)
        gateway = await bench.gateway(up.url, routes=(route(0, on_client_gone="drain"),))
        reader, writer = await gateway.connect()
        writer.write(ask(question(stream=True)))
        await reader.readuntil(b"data")
        writer.close()
        await asyncio.wait_for(up.cancelled.wait(), 1)
        await asyncio.sleep(0.02)
        (call,) = bench.spool.calls
        assert (call.status, call.attempts[0].evidence) == (Status.CLIENT_GONE, Evidence.ESTIMATED)
        assert call.attempts[0].usage.output_tokens > 1

    @pytest.mark.parametrize("then", ["an error", "a cut"])
    async def test_what_breaks_while_it_is_drained_is_tried_nowhere_else(self, bench: Bench, then: str) -> None:
        go = asyncio.Event()

        async def breaks(request: Request, exchange: Exchange) -> None:
            await go.wait()
            if then == "an error":
                await status(500)(request, exchange)
            else:
                exchange.abort()

        up, spare = await bench.upstream(breaks), await bench.upstream()
        gateway = await bench.gateway(up.url, spare.url, routes=(route(0, on_client_gone="drain"), route(1)))
        _, writer = await gateway.connect()
        writer.write(ask(question()))
        await up.reached()
        writer.close()
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.sleep(0.1)
        (call,) = bench.spool.calls
        assert (call.status, len(call.attempts), spare.seen) == (Status.CLIENT_GONE, 1, [])

    async def test_while_an_error_is_read_nothing_is_billed(self, bench: Bench) -> None:
        async def slow(_: Request, exchange: Exchange) -> None:
            await exchange.start(500, JSON)
            await exchange.send(b"{")
            await asyncio.sleep(30)

        up = await bench.upstream(slow)
        gateway = await bench.gateway(up.url)
        _, writer = await gateway.connect()
        writer.write(ask(question()))
        await up.reached()
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.wait_for(up.cancelled.wait(), 0.5)
        await asyncio.sleep(0.01)
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.status, attempt.evidence, attempt.cost_nanousd) == (Status.CLIENT_GONE, Evidence.NONE, None)

    async def test_slots_come_back(self, bench: Bench) -> None:
        async def slow(_: Request, exchange: Exchange) -> None:
            await asyncio.sleep(30)

        up = await bench.upstream(slow)
        gateway = await bench.gateway(up.url, routes=(route(0, slots=2),))
        writers = [(await gateway.connect())[1] for _ in range(2)]
        for writer in writers:
            writer.write(ask(question()))
        await up.reached(2)
        assert await health(gateway.url) == {"u0": 2}
        for writer in writers:
            writer.close()
        await asyncio.wait_for(up.cancelled.wait(), 0.5)
        await asyncio.sleep(0.02)
        assert await health(gateway.url) == {}


async def health(url: str) -> dict[str, int]:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{url}/healthz")).json()["in_flight"]


class TestOverflow:
    async def test_the_own_pool_first_until_it_is_full_then_the_next_route(self, bench: Bench) -> None:
        go = asyncio.Event()

        async def waits(request: Request, exchange: Exchange) -> None:
            await go.wait()
            await plain(request, exchange)

        pool, api = await bench.upstream(waits), await bench.upstream()
        gateway = await bench.gateway(pool.url, api.url, routes=(route(0, own=True, slots=2), route(1)))
        client = gateway.client()
        tasks = [asyncio.create_task(client.chat.completions.create(model="auto", messages=MESSAGES)) for _ in range(5)]
        await pool.reached(2)
        await api.reached(3)
        go.set()
        await asyncio.gather(*tasks)
        assert (len(pool.seen), len(api.seen)) == (2, 3)
        assert sorted(call.served.route for call in bench.spool.calls) == ["r0", "r0", "r1", "r1", "r1"]

    async def test_a_full_gateway_says_so_and_that_is_metered(self, bench: Bench) -> None:
        async def waits(_: Request, exchange: Exchange) -> None:
            await asyncio.sleep(30)

        pool = await bench.upstream(waits)
        gateway = await bench.gateway(pool.url, routes=(route(0, own=True, slots=1),))
        _, writer = await gateway.connect()
        writer.write(ask(question()))
        await pool.reached()
        with pytest.raises(openai.InternalServerError) as caught:
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert (caught.value.status_code, caught.value.code) == (503, "no_capacity")
        assert "full: 1 requests in flight" in str(caught.value)
        assert (bench.spool.calls[0].status, bench.spool.calls[0].attempts) == (Status.FAILED, ())


class TestRefused:
    @pytest.mark.parametrize(
        ("body", "param", "code", "says"),
        [
            (b"{", None, "bad_json", "not valid JSON"),
            (b'{"model":"auto","messages":[\xff]}', None, "bad_utf8", "UTF-8"),
            (b"[1]", None, "wrong_type", "Expected `object`"),
            (b'{"messages":[1]}', "model", "missing_field", "Send `model`"),
            (b'{"model":"auto"}', "messages", "missing_field", "Send `messages`"),
            (b'{"model":"auto","messages":[1],"stream":"yes"}', "stream", "wrong_type", "Expected `bool"),
            (b'{"model":"auto","model":"real","messages":[1]}', "model", "duplicate_field", "stands twice"),
            (
                b'{"model":"auto","messages":[1],"metadata":{"k":"' + b"v" * 513 + b'"}}',
                "metadata",
                "too_many_tags",
                "512",
            ),
            (b'{"model":"auto","messages":[1],"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}", None, "bad_json", "JSON"),
        ],
    )
    async def test_a_body_that_cannot_be_served(self, bench: Bench, body: bytes, param, code: str, says: str) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}/v1/chat/completions", content=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
        assert (error["param"], error["code"]) == (param, code)
        assert says in error["message"]
        assert (up.seen, bench.spool.calls) == ([], [])

    async def test_a_body_over_the_limit(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, limits=Limits(body_bytes=1000))
        with pytest.raises(openai.APIStatusError) as caught:
            await gateway.client().chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "x" * 2000}]
            )
        assert (caught.value.status_code, caught.value.code) == (413, "body_too_large")
        assert "limits.body_bytes" in str(caught.value)
        assert up.seen == []

    async def test_a_model_nobody_knows(self, bench: Bench) -> None:
        gateway = await bench.gateway((await bench.upstream()).url)
        with pytest.raises(openai.NotFoundError) as caught:
            await gateway.client().chat.completions.create(model="gpt-9", messages=MESSAGES)
        assert caught.value.code == "model_not_found"
        assert "auto, real" in str(caught.value)

    @pytest.mark.parametrize(
        ("headers", "more", "says"),
        [
            ({"x-baseload-residency": "eu"}, {}, "r0: data must stay in eu"),
            ({}, {"tools": [{"type": "function", "function": {"name": "f"}}]}, "r0: lacks tools"),
            ({"x-baseload-bucket": "genius"}, {}, "Use one of bandwidth, judgment, flagship, trivial"),
        ],
        ids=["residency", "tools", "bucket"],
    )
    async def test_no_route_may_serve(self, bench: Bench, headers, more, says: str) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        with pytest.raises(openai.BadRequestError) as caught:
            await gateway.client().chat.completions.create(
                model="auto", messages=MESSAGES, extra_headers=headers, **more
            )
        assert says in str(caught.value)
        assert up.seen == []


class TestPolicySwap:
    async def test_requests_under_way_keep_their_policy_and_new_ones_get_the_new(self, bench: Bench) -> None:
        go = asyncio.Event()

        async def waits(request: Request, exchange: Exchange) -> None:
            await go.wait()
            await plain(request, exchange)

        first, second = await bench.upstream(waits), await bench.upstream()
        gateway = await bench.gateway(first.url, second.url, routes=(route(0),))
        before = gateway.gateway.policy
        client = gateway.client()
        early = asyncio.create_task(client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES))
        await first.reached()
        policy = msgspec.structs.replace(gateway.gateway._settings.policy, routes=(route(1),))
        after = gateway.gateway.swap(policy)
        late = await client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES)
        go.set()
        assert (late.headers["x-baseload-policy"], late.headers["x-baseload-route"]) == (after, "r1")
        assert ((await early).headers["x-baseload-policy"], (await early).headers["x-baseload-route"]) == (before, "r0")
        assert before != after


class TestDurable:
    @pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
    async def test_a_call_is_written_before_the_client_has_its_last_byte(self, bench: Bench, stream: bool) -> None:
        gateway = await bench.gateway((await bench.upstream()).url)
        got = bytearray()
        at_append: list[bytes] = []
        bench.spool.before = lambda: at_append.append(bytes(got))
        reader, writer = await gateway.connect()
        writer.write(ask(question(stream=stream)))
        while not got.endswith(b"0\r\n\r\n" if stream else completion()):
            got += await asyncio.wait_for(reader.read(65536), 1)
        assert len(bench.spool.calls) == 1
        assert b"[DONE]" not in at_append[0]
        assert (b"hello" in at_append[0]) <= stream
        assert stream == (b"[DONE]" in got)

    @pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
    async def test_without_a_ledger_nobody_gets_an_answer_for_nothing(
        self, bench: Bench, stream: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full() -> None:
            raise LedgerUnavailable("the disk is full", remedy="Free some.")

        gateway = await bench.gateway((await bench.upstream()).url)
        bench.spool.before = full
        async with httpx.AsyncClient() as client:
            url = f"{gateway.url}/v1/chat/completions"
            if stream:
                with pytest.raises(httpx.HTTPError):
                    await client.post(url, json=question(stream=True))
            else:
                answer = await client.post(url, json=question())
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ledger_unavailable")
                assert b"hello" not in answer.content
            sick = await client.get(f"{gateway.url}/healthz")
            assert (sick.status_code, sick.json()["calls_unwritten"]) == (503, 1)
            bench.spool.before = lambda: None
            monkeypatch.setattr(meter, "PROBE_NS", 0)
            assert (await client.post(url, json=question())).status_code == 200
            assert (await client.get(f"{gateway.url}/healthz")).status_code == 200

    async def test_while_nothing_can_be_written_nothing_is_asked_of_an_upstream(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full() -> None:
            raise LedgerUnavailable("the disk is full", remedy="Free some.")

        monkeypatch.setattr(meter, "PROBE_NS", 300_000_000)
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        bench.spool.before = full
        async with httpx.AsyncClient() as client:
            url = f"{gateway.url}/v1/chat/completions"
            answers = [await client.post(url, json=question()) for _ in range(5)]
            assert [answer.status_code for answer in answers] == [503] * 5
            assert "refused, not lost" in answers[1].json()["error"]["message"]
            assert len(up.seen) == 1
            await asyncio.sleep(0.3)
            await asyncio.gather(*(client.post(url, json=question()) for _ in range(5)))
            assert len(up.seen) == 1  # what waits to be written down is tried first
            bench.spool.before = lambda: None
            await asyncio.sleep(0.3)
            assert [(await client.post(url, json=question())).status_code for _ in range(3)] == [200] * 3
        assert [call.attempts[0].cost_nanousd for call in bench.spool.calls] == [142_400] * 4  # the withheld one too


async def test_a_slow_reader_stops_the_upstream_and_memory_stays_flat(bench: Bench) -> None:
    event = chunk("x" * 16_000)
    sent = 0

    async def firehose(_: Request, exchange: Exchange) -> None:
        nonlocal sent
        await exchange.start(200, SSE)
        while sent < 400 * 1024 * 1024 // len(event):
            await exchange.send(event)
            sent += 1
        await exchange.end(DONE)

    gateway = await bench.gateway((await bench.upstream(firehose)).url)
    reader, writer = await gateway.connect()
    reader._transport.pause_reading()
    writer.write(ask(question(stream=True)))
    await asyncio.sleep(0.5)
    before = sent
    await asyncio.sleep(0.3)
    assert before == sent, "the upstream went on although nobody reads"
    # Kernel socket buffers on both hops, our two 64 KB buffers, one read each: all that may be under way.
    assert sent * len(event) < 24 * 1024 * 1024
