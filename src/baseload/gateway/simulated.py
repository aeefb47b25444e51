"""Simulated upstreams: OpenAI chat completions in JSON and SSE over real HTTP, paced by capacity curves. Acts.

They ship with the product so that a demo and the tests need no key and nothing leaves the machine. A word is a token:
the prompt's tokens are the whitespace-separated words of its messages, the answer is exactly `max_tokens` words.
Each keeps its own count of what it served (`GET /count`), against which the ledger is checked.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec

from baseload.capacity.deployment import Deployment
from baseload.gateway.http import Exchange, Request
from baseload.wire.problem import problem

# What an answer is as long as when the client sets no cap.
UNCAPPED_TOKENS = 64
# Real engines send a token an event; a demo at sixty times the speed coalesces them, as engines under load do.
STREAM_EVENTS = 6
WORD = " word"
JSON_HEADERS = [(b"content-type", b"application/json")]
SSE_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a model serves: seconds until it begins to write, and seconds per token with so many in flight."""

    first_token_seconds: float
    step_seconds: Callable[[int], float]


def api_pace(first_token_seconds: float, tokens_per_second: float) -> Pace:
    """A provider with room for everybody: the same pace whatever is in flight."""
    return Pace(first_token_seconds, lambda _: 1 / tokens_per_second)


def pool_pace(deployment: Deployment) -> Pace:
    """An own deployment on its capacity curve, whose rates include the time that prompts take to read."""
    return Pace(0.0, deployment.curve.step_seconds)


class Count(msgspec.Struct):
    """What an upstream says it served: its side of the invoice."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Part(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Body(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """One accepted request: what it reads, what it will write, how long each token takes."""

    id: str
    created: int
    prompt_tokens: int
    completion_tokens: int
    capped: bool
    token_seconds: float
    first_token_seconds: float

    def usage(self, written: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written,
        }


class Simulated:
    """One simulated upstream serving one model. `speed` divides every wait; `max_in_flight` answers 429 beyond it."""

    def __init__(self, model: str, pace: Pace, *, speed: float = 1.0, max_in_flight: int | None = None) -> None:
        self.model = model
        self.count = Count()
        self._pace = pace
        self._speed = speed
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._numbers = itertools.count(1)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        """Serve one request of an OpenAI client."""
        path = request.path
        if request.method == "GET" and path == "/count":
            await exchange.respond(200, JSON_HEADERS, msgspec.json.encode(self.count))
        elif request.method == "GET" and path == "/v1/models":
            card = {"id": self.model, "object": "model", "created": 0, "owned_by": "simulated"}
            await exchange.respond(200, JSON_HEADERS, msgspec.json.encode({"object": "list", "data": [card]}))
        elif request.method == "POST" and path == "/v1/chat/completions":
            await self._chat(request, exchange)
        else:
            await _refuse(exchange, 404, f"no such path {path}")

    async def _chat(self, request: Request, exchange: Exchange) -> None:
        try:
            body = msgspec.json.decode(request.body, type=_Body)
        except msgspec.DecodeError as error:
            await _refuse(exchange, 400, str(error))
            return
        if body.model != self.model:
            await _refuse(exchange, 404, f"this upstream serves {self.model}, not {body.model}")
            return
        if self._max_in_flight is not None and self._in_flight >= self._max_in_flight:
            await _refuse(exchange, 429, f"{self._max_in_flight} requests are in flight")
            return
        self._in_flight += 1
        try:
            job = self._accept(body)
            serve = self._stream if body.stream else self._answer
            await serve(job, body, exchange)
        finally:
            self._in_flight -= 1

    def _accept(self, body: _Body) -> _Job:
        cap = body.max_completion_tokens or body.max_tokens
        prompt = sum(_words(message) for message in body.messages)
        return _Job(
            id=f"chatcmpl-simulated-{self.model}-{next(self._numbers)}",
            created=int(time.time()),
            prompt_tokens=prompt,
            completion_tokens=cap or UNCAPPED_TOKENS,
            capped=cap is not None,
            token_seconds=self._pace.step_seconds(self._in_flight) / self._speed,
            first_token_seconds=self._pace.first_token_seconds / self._speed,
        )

    async def _answer(self, job: _Job, _: _Body, exchange: Exchange) -> None:
        await asyncio.sleep(job.first_token_seconds + job.completion_tokens * job.token_seconds)
        message = {"role": "assistant", "content": (WORD * job.completion_tokens).lstrip(), "refusal": None}
        finish = "length" if job.capped else "stop"
        document = {
            **self._envelope(job, "chat.completion"),
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": job.usage(job.completion_tokens),
        }
        self._book(job, job.completion_tokens)
        await exchange.respond(200, JSON_HEADERS, msgspec.json.encode(document))

    async def _stream(self, job: _Job, body: _Body, exchange: Exchange) -> None:
        written = 0
        try:
            await exchange.start(200, SSE_HEADERS)
            async for tokens in _bursts(job):
                await exchange.send(self._event(job, {"content": WORD * tokens}, None))
                written += tokens
            await exchange.send(self._event(job, {}, "length" if job.capped else "stop"))
            if body.stream_options is not None and body.stream_options.include_usage:
                document = {**self._envelope(job, "chat.completion.chunk"), "choices": [], "usage": job.usage(written)}
                await exchange.send(_data(msgspec.json.encode(document)))
            await exchange.send(_data(b"[DONE]"))
            await exchange.end()
        finally:
            # A client that left is billed for what was written until then, as providers do.
            self._book(job, written)

    def _event(self, job: _Job, delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data(msgspec.json.encode({**self._envelope(job, "chat.completion.chunk"), "choices": [choice]}))

    def _envelope(self, job: _Job, kind: str) -> dict[str, object]:
        return {"id": job.id, "object": kind, "created": job.created, "model": self.model}

    def _book(self, job: _Job, written: int) -> None:
        self.count.requests += 1
        self.count.prompt_tokens += job.prompt_tokens
        self.count.completion_tokens += written


async def _bursts(job: _Job) -> AsyncIterator[int]:
    """Token counts of the stream's events, each after its tokens' time; at most `STREAM_EVENTS` of them."""
    size = -(-job.completion_tokens // STREAM_EVENTS)
    await asyncio.sleep(job.first_token_seconds)
    for start in range(0, job.completion_tokens, size):
        tokens = min(size, job.completion_tokens - start)
        await asyncio.sleep(job.token_seconds * tokens)
        yield tokens


def _words(message: _Message) -> int:
    if message.content is None:
        return 0
    if isinstance(message.content, str):
        return len(message.content.split())
    return sum(len(part.text.split()) for part in message.content)


def _data(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


async def _refuse(exchange: Exchange, status: int, message: str) -> None:
    await exchange.respond(status, JSON_HEADERS, problem(message, code="simulated"))
