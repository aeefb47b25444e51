"""Simulated upstreams: OpenAI's and Anthropic's endpoints over real HTTP, paced by capacity curves. Acts.

They ship with the product so that a demo and the tests need no key and nothing leaves the machine. A word is a token:
the prompt's tokens are the whitespace-separated words of its messages, the answer is exactly `max_tokens` words.
Each keeps its own count of what it served (`GET /count`), against which the ledger is checked, and fails as it is told
(`simulated_faults.py`).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from baseload.capacity.deployment import Deployment
from baseload.gateway import simulated_anthropic, simulated_faults, simulated_openai, simulated_responses
from baseload.gateway.http import Exchange, Request
from baseload.gateway.simulated_faults import Faults
from baseload.gateway.simulated_kept import Shelf
from baseload.gateway.simulated_task import Job, Task

JSON_HEADERS = [(b"content-type", b"application/json")]
SSE_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
CHATS = "/v1/chat/completions"
CONVERSATIONS = "/v1/conversations"
RESPONSES = "/v1/responses"
_Read = TypeVar("_Read")
GARBAGE = b"<html>This is not what you asked for."


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


class Tongue(Protocol):
    """How one endpoint is asked and answers."""

    def read(self, body: bytes) -> Task: ...
    def whole(self, job: Job) -> bytes: ...
    def opening(self, job: Job) -> bytes: ...
    def piece(self, job: Job, text: str) -> bytes: ...
    def closing(self, job: Job, written: int) -> bytes: ...
    def failing(self, message: str) -> bytes: ...


class _No(Exception):
    """A refusal: its status, and what it says."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


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
        self._mark = os.urandom(4).hex()
        self._shelf = Shelf(self._mark)
        self._responses = simulated_responses.Responses(model)
        self._tongues: dict[str, Tongue] = {
            CHATS: simulated_openai.Chat(),
            "/v1/completions": simulated_openai.Completions(),
            RESPONSES: self._responses,
            "/v1/messages": simulated_anthropic.Messages(),
        }

    async def handle(self, request: Request, exchange: Exchange) -> None:
        """Serve one request of an OpenAI or an Anthropic client."""
        try:
            await self._route(request, exchange)
        except _No as no:
            anthropic = request.path.startswith("/v1/messages")
            say = simulated_anthropic.refusal if anthropic else simulated_openai.refusal
            waiting = [(b"retry-after", b"%g" % no.retry_after)] if no.retry_after is not None else []
            await exchange.respond(no.status, [*JSON_HEADERS, *waiting], say(no.status, no.message))

    async def _route(self, request: Request, exchange: Exchange) -> None:
        path = request.path
        if request.method == "GET" and path == "/count":
            await exchange.respond(200, JSON_HEADERS, msgspec.json.encode(self.count))
        elif request.method == "GET" and path in ("/health", "/v1/models"):
            card = {"id": self.model, "object": "model", "created": 0, "owned_by": "simulated"}
            await exchange.respond(200, JSON_HEADERS, msgspec.json.encode({"object": "list", "data": [card]}))
        elif path.startswith(RESPONSES + "/"):
            await self._follow_up(request, exchange)
        elif path.startswith((CHATS + "/", CONVERSATIONS)):
            await self._about_kept(request, exchange)
        elif request.method == "POST" and path in self._tongues:
            await self._write(self._tongues[path], request, exchange)
        elif request.method == "POST" and path in ("/v1/embeddings", "/v1/messages/count_tokens"):
            await self._reckon(request, exchange)
        else:
            raise _No(404, f"no such path {path}")

    async def _write(self, tongue: Tongue, request: Request, exchange: Exchange) -> None:
        """An answer that a model writes."""
        task = _read(tongue.read, request.body)
        number = next(self._numbers)
        faults = self._faults(request, task, number)
        if task.follows is not None and task.follows not in self._responses.kept:
            raise _No(400, f"Previous response with id '{task.follows}' not found.")
        if task.conversation is not None and task.conversation not in self._shelf.conversations:
            raise _No(400, f"Conversation with id '{task.conversation}' not found.")
        self._take()
        try:
            await self._stumble(faults, exchange)
            if exchange.ended:
                return
            job = self._accept(task, number, faults)
            if tongue is self._responses:
                self._responses.keep(job, request.body, _now() + job.seconds if task.background else 0.0)
            elif task.kept:
                self._shelf.keep(tongue.whole(job), request.body)
            if task.background and not task.stream:
                self._book(job, job.completion_tokens)
                await exchange.respond(200, JSON_HEADERS, self._responses.waiting(job))
                return
            await (self._stream if task.stream else self._whole)(tongue, job, faults, exchange)
            if task.conversation is not None:
                self._shelf.add(task.conversation, [{"role": "assistant", "content": job.text}])
        finally:
            self._in_flight -= 1

    async def _reckon(self, request: Request, exchange: Exchange) -> None:
        """An answer without writing: embeddings, or a count of tokens."""
        counting = request.path.endswith("/count_tokens")
        embed = None
        if counting:
            task = _read(simulated_anthropic.counted, request.body)
        else:
            embed, task = _read(simulated_openai.read_embed, request.body)
        number = next(self._numbers)
        faults = self._faults(request, task, number)
        await self._stumble(faults, exchange)
        if exchange.ended:
            return
        job = self._accept(task, number, faults)
        if embed is None:
            body = msgspec.json.encode({"input_tokens": task.prompt_tokens})
        else:
            body = simulated_openai.embeddings(embed, job)
            self._book(job, 0)
        await _send(GARBAGE if faults.garbage else body, faults, exchange)

    async def _follow_up(self, request: Request, exchange: Exchange) -> None:
        """What is asked about a response that was made."""
        name, _, rest = request.path.removeprefix(RESPONSES + "/").partition("/")
        kept = self._responses.kept.get(name)
        if kept is None:
            raise _No(404, f"Response with id '{name}' not found.")
        if (request.method, rest) == ("POST", "cancel") and _now() < kept.done_at and not kept.cancelled:
            kept.cancelled = True
            self.count.completion_tokens -= kept.job.completion_tokens
        if (request.method, rest) == ("GET", "") and "stream=true" in request.target:
            await self._again(kept.job, kept.done_at, exchange)
        elif (request.method, rest) in (("GET", ""), ("POST", "cancel")):
            await exchange.respond(200, JSON_HEADERS, self._responses.document(kept, _now()))
        elif (request.method, rest) == ("GET", "input_items"):
            await exchange.respond(200, JSON_HEADERS, self._responses.inputs(kept))
        elif (request.method, rest) == ("DELETE", ""):
            del self._responses.kept[name]
            gone = {"id": name, "object": "response.deleted", "deleted": True}
            await exchange.respond(200, JSON_HEADERS, msgspec.json.encode(gone))
        else:
            raise _No(404, f"no such path {request.path}")

    async def _again(self, job: Job, done_at: float, exchange: Exchange) -> None:
        """The stream of a response that was made, or is being made."""
        await asyncio.sleep(max(0.0, done_at - _now()))
        await exchange.start(200, SSE_HEADERS)
        await exchange.send(self._responses.opening(job))
        for piece, _ in job.pieces:
            await exchange.send(self._responses.piece(job, piece))
        await exchange.end(self._responses.closing(job, job.completion_tokens))

    async def _about_kept(self, request: Request, exchange: Exchange) -> None:
        """What is asked about stored chat completions and conversations."""
        root = CONVERSATIONS if request.path.startswith(CONVERSATIONS) else CHATS
        say = self._shelf.of_conversations if root == CONVERSATIONS else self._shelf.of_completions
        parts = [part for part in request.path.removeprefix(root).split("/") if part]
        found = _read(lambda body: say(request.method, parts, body), request.body)
        if found is None:
            raise _No(404, f"no such object {request.path}")
        await exchange.respond(200, JSON_HEADERS, msgspec.json.encode(found))

    def _faults(self, request: Request, task: Task, number: int) -> Faults:
        """What is to go wrong, by the header or behind the model's name."""
        model, _, named = task.model.partition("+")
        header = request.header(simulated_faults.HEADER) or b""
        if model != self.model:
            raise _No(404, f"this upstream serves {self.model}, not {model}")
        try:
            return simulated_faults.read(f"{named},{header.decode('latin-1')}", number)
        except ValueError as error:
            raise _No(400, str(error)) from error

    def _take(self) -> None:
        if self._max_in_flight is not None and self._in_flight >= self._max_in_flight:
            raise _No(429, f"{self._max_in_flight} requests are in flight")
        self._in_flight += 1

    async def _stumble(self, faults: Faults, exchange: Exchange) -> None:
        """What goes wrong before an answer begins."""
        if faults.slow_seconds:
            await asyncio.sleep(faults.slow_seconds)
        if faults.hang_after == 0:
            await asyncio.Event().wait()
        if faults.reset:
            exchange.abort()
        elif faults.status is not None:
            raise _No(faults.status, f"simulated {faults.status}", faults.retry_after)

    def _accept(self, task: Task, number: int, faults: Faults) -> Job:
        return Job(
            task=task,
            number=number,
            created=int(time.time()),
            token_seconds=self._pace.step_seconds(max(1, self._in_flight)) / self._speed,
            first_token_seconds=self._pace.first_token_seconds / self._speed,
            reports=not faults.no_usage,
            mark=self._mark,
        )

    async def _whole(self, tongue: Tongue, job: Job, faults: Faults, exchange: Exchange) -> None:
        await asyncio.sleep(job.seconds)
        body = GARBAGE if faults.garbage else tongue.whole(job)
        if faults.error:
            body = simulated_openai.refusal(500, "simulated error")
        else:
            self._book(job, job.completion_tokens)
        await _send(body, faults, exchange)

    async def _stream(self, tongue: Tongue, job: Job, faults: Faults, exchange: Exchange) -> None:
        written = 0
        try:
            await exchange.start(200, SSE_HEADERS)
            await exchange.send(tongue.opening(job))
            sent = 0
            async for piece, tokens in _bursts(job):
                if faults.cut_after == sent:
                    exchange.abort()
                    return
                if faults.hang_after == sent:
                    await asyncio.Event().wait()
                if faults.error and sent:
                    await exchange.end(tongue.failing("simulated error"))
                    return
                await exchange.send(simulated_openai.data(GARBAGE) if faults.garbage else tongue.piece(job, piece))
                written += tokens
                sent += 1
            await exchange.end(tongue.closing(job, written))
        finally:
            # A client that left is billed for what was written until then, as providers do; in the background for all.
            self._book(job, job.completion_tokens if job.task.background else written)

    def _book(self, job: Job, written: int) -> None:
        self.count.requests += 1
        self.count.prompt_tokens += job.prompt_tokens
        self.count.completion_tokens += written


async def _send(body: bytes, faults: Faults, exchange: Exchange) -> None:
    """A whole answer, or the half of it."""
    if faults.cut_after is None:
        await exchange.respond(200, JSON_HEADERS, body)
        return
    await exchange.start(200, [*JSON_HEADERS, (b"content-length", b"%d" % len(body))])
    await exchange.send(body[: len(body) // 2])
    exchange.abort()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _read(read: Callable[[bytes], _Read], body: bytes) -> _Read:
    try:
        return read(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _No(400, str(error)) from error


async def _bursts(job: Job) -> AsyncIterator[tuple[str, int]]:
    """The pieces of a stream, each after its tokens' time."""
    await asyncio.sleep(job.first_token_seconds)
    for piece, tokens in job.pieces:
        await asyncio.sleep(job.token_seconds * tokens)
        yield piece, tokens
