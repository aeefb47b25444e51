"""Spans of calls arrive at a receiver on a real socket, joined to the client's trace and to the upstream's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.gateway.conftest import Bench, ScriptedUpstream, plain, status

from baseload.configuration import parse_settings
from baseload.gateway.http import Exchange, Request, Server, serve
from baseload.gateway.run import Serving, serving
from baseload.gateway.spans import Spans
from baseload.gateway.tracing import outgoing, read_trace, sampled, span_id, trace_id
from baseload.load.calls import Status
from baseload.settings import Otel, Settings
from samples import FAILED, call

SECONDS = 20.0
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@dataclass
class Receiver:
    """An OTLP/HTTP endpoint."""

    server: Server
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[bytes, bytes]] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.address[1]}/v1/traces"

    async def reach(self, count: int) -> list[Span]:
        deadline = time.monotonic() + SECONDS
        while len(self.spans) < count:
            assert time.monotonic() < deadline, self.spans
            await asyncio.sleep(0.02)
        return self.spans


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async def collect(request: Request, exchange: Exchange) -> None:
        assert request.path == "/v1/traces"
        received = ExportTraceServiceRequest.FromString(request.body)
        found.headers.append(dict(request.headers))
        for resource in received.resource_spans:
            found.services |= {each.value.string_value for each in resource.resource.attributes}
            found.spans += [span for scope in resource.scope_spans for span in scope.spans]
        await exchange.respond(200, [(b"content-type", b"application/x-protobuf")], b"")

    server = await serve(collect, "127.0.0.1", 0)
    found = Receiver(server)
    yield found
    await server.drain(0.1)


def attributes(span: Span) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def settings(tmp_path: Path, receiver: Receiver, *upstreams: ScriptedUpstream) -> Settings:
    success = {"judgment": 0.9}
    document = {
        "listen": "127.0.0.1:0",
        "data_dir": str(tmp_path),
        "otel": {"endpoint": receiver.endpoint, "headers": {"x-api-key": "a-secret"}, "service": "gate"},
        "upstreams": [{"name": f"u{n}", "base_url": each.url} for n, each in enumerate(upstreams)],
        "policy": {
            "aliases": {"auto": "judgment"},
            "routes": [
                {"name": f"r{n}", "upstream": f"u{n}", "model": "real", "offer": f"u{n}/real", "success": success}
                for n, _ in enumerate(upstreams)
            ],
        },
    }
    return parse_settings(document, {}, origin="test")


def client_of(served: Serving, key: str = "k") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0)


async def test_one_span_a_call_one_below_it_for_each_attempt(tmp_path: Path, bench: Bench, receiver: Receiver) -> None:
    down, up = await bench.upstream(status(500)), await bench.upstream(plain)
    question = {"model": "auto", "messages": [{"role": "user", "content": "a private question"}], "max_tokens": 9}
    async with serving(settings(tmp_path, receiver, down, up)) as served, client_of(served, "client-key") as client:
        answer = await client.chat.completions.with_raw_response.create(
            **question, extra_headers={"traceparent": TRACEPARENT, "tracestate": "a=b", "x-request-id": "mine"}
        )
        spans = await receiver.reach(3)
    by_name = {(span.name, attributes(span).get("baseload.attempt")): span for span in spans}
    root, first, second = by_name["chat auto", None], by_name["chat real", 1], by_name["chat real", 2]
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert root.parent_span_id.hex() == PARENT
    assert first.parent_span_id == second.parent_span_id == root.span_id
    assert (
        root.start_time_unix_nano <= first.start_time_unix_nano <= second.end_time_unix_nano <= root.end_time_unix_nano
    )
    assert (root.kind, first.kind) == (Span.SpanKind.SPAN_KIND_SERVER, Span.SpanKind.SPAN_KIND_CLIENT)
    for each, span in ((down, first), (up, second)):
        (sent,) = [value for name, value in each.seen[0].headers if name == b"traceparent"]
        assert sent == f"00-{TRACE}-{span.span_id.hex()}-01".encode()
        assert (b"tracestate", b"a=b") in each.seen[0].headers
    about = attributes(root)
    assert about["baseload.call.id"] == answer.headers["x-baseload-decision-id"]
    assert about["baseload.request.id"] == "mine"
    assert about["gen_ai.operation.name"] == "chat"
    assert about["gen_ai.provider.name"] == "u1"
    assert (about["gen_ai.request.model"], about["gen_ai.response.model"]) == ("auto", "real")
    assert about["gen_ai.request.max_tokens"] == 9
    assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"]) == (100, 20)
    assert about["gen_ai.usage.cache_read.input_tokens"] == 64
    assert about["gen_ai.usage.reasoning.output_tokens"] == 5
    assert attributes(first)["error.type"] == "500"
    assert first.status.code == 2
    assert "error.type" not in attributes(second)
    assert receiver.services >= {"gate"}
    assert receiver.headers[0][b"x-api-key"] == b"a-secret"
    told = "".join(str(span) for span in spans)
    assert "private" not in told
    assert "client-key" not in told


async def test_a_client_that_traces_nothing_gets_no_spans_and_one_without_a_trace_its_own(
    tmp_path: Path, bench: Bench, receiver: Receiver
) -> None:
    up = await bench.upstream(plain)
    question = {"model": "auto", "messages": [{"role": "user", "content": "?"}]}
    async with serving(settings(tmp_path, receiver, up)) as served, client_of(served) as client:
        unsampled = {"traceparent": TRACEPARENT[:-1] + "0"}
        await client.chat.completions.create(**question, extra_headers=unsampled)
        answer = await client.chat.completions.with_raw_response.create(**question)
    spans = await receiver.reach(2)
    assert {span.trace_id.hex() for span in spans} == {answer.headers["x-baseload-decision-id"]}
    assert next(value for name, value in up.seen[0].headers if name == b"traceparent").endswith(b"-00")


async def test_an_endpoint_that_is_gone_costs_no_call(tmp_path: Path, bench: Bench, receiver: Receiver) -> None:
    up = await bench.upstream(plain)
    gone = settings(tmp_path, receiver, up)
    await receiver.server.drain(0.1)
    async with serving(gone) as served, client_of(served) as client:
        await client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "?"}])
    assert len(up.seen) == 1


async def test_embeddings_and_failures_have_names_of_their_own(receiver: Receiver) -> None:
    spans = Spans(Otel(endpoint=receiver.endpoint))
    spans.tell([call("a", operation="embeddings"), call("b", FAILED, status=Status.FAILED)])
    await asyncio.to_thread(spans.close)
    assert sorted(span.name for span in receiver.spans) == [
        "chat api-model", "chat auto", "embeddings api-model", "embeddings auto",
    ]  # fmt: skip
    errors = {span.name: attributes(span).get("error.type") for span in receiver.spans}
    assert (errors["chat api-model"], errors["chat auto"]) == ("503", "failed")


def test_a_trace_is_read_strictly_and_goes_on() -> None:
    assert read_trace(TRACEPARENT.encode()) == f"{TRACE}-{PARENT}-01"
    assert read_trace(TRACEPARENT.encode() + b"-later") == f"{TRACE}-{PARENT}-01"
    for bad in (
        b"",
        b"00-x",
        b"ff" + TRACEPARENT[2:].encode(),
        TRACEPARENT.upper().encode(),
        TRACEPARENT[:-1].encode(),
    ):
        assert read_trace(bad) == ""
    here = "0000018c" + "a" * 24
    assert outgoing(here, "", 1) == f"00-{here}-{span_id(here, 1)}-01".encode()
    assert read_trace(outgoing("anything else", "", 1))
    assert trace_id(here, f"{TRACE}-{PARENT}-00") == TRACE
    assert sampled(f"{TRACE}-{PARENT}-03")
    assert not sampled(f"{TRACE}-{PARENT}-02")
    assert len({span_id(here, number) for number in range(50)}) == 50
