"""Replay arrivals against an OpenAI-compatible endpoint with the official openai client. Acts.

Open loop: every request is sent at its own time, whether earlier ones were answered or not, so that a slow endpoint
meets the load that really came. `speed` divides the time between arrivals.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from baseload.load.trace import Arrival
from baseload.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from openai import AsyncOpenAI

WORD = "word "
# More requests than this in flight is a stalled endpoint; the next ones wait instead of piling up sockets.
MOST_IN_FLIGHT = 512
# The client looks through its whole connection pool for every request: many small pools cost much less than one big.
CLIENTS = 16
TIMEOUT_SECONDS = 120.0


class Manner(msgspec.Struct, frozen=True):
    """How one request is asked: the model, streamed or not, and headers such as its bucket and tags."""

    model: str
    stream: bool
    headers: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client saw of one request: tokens as it was told them, the decision that served it, or the error.

    `late_seconds` after its time it was sent: a machine that cannot keep the pace of a trace bends its shape.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    decision_id: str = ""
    upstream: str = ""
    error: str = ""
    late_seconds: float = 0.0


async def send(
    base_url: str,
    arrivals: Sequence[Arrival],
    manners: Sequence[Manner],
    *,
    starts_at: float,
    speed: float,
    on_answer: Callable[[Answer], None],
) -> None:
    """Send every arrival at its time after `starts_at` (seconds since the epoch) and report each answer as it comes;
    returns when all have ended."""
    from openai import AsyncOpenAI

    longest = max(arrival.input_tokens for arrival in arrivals)
    text = WORD * longest
    gate = asyncio.Semaphore(MOST_IN_FLIGHT)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                AsyncOpenAI(base_url=base_url, api_key="none-needed", max_retries=0, timeout=TIMEOUT_SECONDS)
            )
            for _ in range(CLIENTS)
        ]

        async def one(client: AsyncOpenAI, arrival: Arrival, how: Manner, due: float) -> None:
            late = loop.time() - due
            try:
                answer = await _ask(client, text[: arrival.input_tokens * len(WORD)], arrival.output_tokens, how)
            finally:
                gate.release()
            on_answer(replace(answer, late_seconds=late))

        started = loop.time() + starts_at - time.time()
        async with asyncio.TaskGroup() as group:
            for index, arrival in enumerate(arrivals):
                due = started + arrival.after_ns / NANOSECONDS_PER_SECOND / speed
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await gate.acquire()
                group.create_task(one(clients[index % CLIENTS], arrival, manners[index], due))


async def _ask(client: AsyncOpenAI, prompt: str, output_tokens: int, how: Manner) -> Answer:
    from openai import OpenAIError

    try:
        return await (_streamed if how.stream else _whole)(client, prompt, output_tokens, how)
    except OpenAIError as error:
        return Answer(error=f"{type(error).__name__}: {error}")


async def _whole(client: AsyncOpenAI, prompt: str, output_tokens: int, how: Manner) -> Answer:
    raw = await client.chat.completions.with_raw_response.create(
        model=how.model,
        messages=[{"role": "user", "content": prompt}],
        max_tokens=output_tokens,
        extra_headers=how.headers,
    )
    usage = raw.parse().usage
    if usage is None:
        return Answer(error="the answer has no usage")
    return Answer(
        usage.prompt_tokens,
        usage.completion_tokens,
        raw.headers.get("x-baseload-decision-id", ""),
        raw.headers.get("x-baseload-upstream", ""),
    )


async def _streamed(client: AsyncOpenAI, prompt: str, output_tokens: int, how: Manner) -> Answer:
    stream = await client.chat.completions.create(
        model=how.model,
        messages=[{"role": "user", "content": prompt}],
        max_tokens=output_tokens,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=how.headers,
    )
    usage = None
    async for chunk in stream:
        usage = chunk.usage or usage
    headers = stream.response.headers
    if usage is None:
        return Answer(error="the stream has no usage")
    return Answer(
        usage.prompt_tokens,
        usage.completion_tokens,
        headers.get("x-baseload-decision-id", ""),
        headers.get("x-baseload-upstream", ""),
    )
