"""One replica of a serving engine, step by step and request by request: slow and obvious. Pure.

It says what the engine in `engine.py` must answer; a test holds the two equal on generated cases. Each turn of the loop
is one step of the engine: take in what has come, drop what does not fit, read prompts, write one token for each decode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from baseload.capacity.steptime import StepTime, step_seconds


@dataclass(slots=True)
class Request:
    """Tokens of a prompt, of which `cached` lie in a prefix cache, and tokens to be written. The engine's times."""

    arrival: float
    prompt: int
    output: int
    cached: int = 0
    made: int = 0
    first: float | None = None
    finish: float | None = None

    @property
    def context(self) -> int:
        """Tokens that lie in memory while its next token is written."""
        return self.prompt + self.made


@dataclass(slots=True)
class Account:
    """What happened; `ends` is when each step ended."""

    busy: float = 0.0
    read: int = 0
    written: int = 0
    preemptions: int = 0
    ends: list[float] = field(default_factory=list)


def steps(step: StepTime, requests: Sequence[Request]) -> Account:
    """Serve requests in the order of their arrival until the last is finished; fills `first` and `finish` of each.

    Requests whose prompt and answer exceed the memory must have been refused before.
    """
    account = Account()
    coming, waiting = deque(requests), deque[Request]()
    decodes: list[Request] = []  # in the order of their admission, as `reading`
    reading: list[tuple[Request, int]] = []  # a prompt that was begun, and the tokens of it that are read
    now = 0.0
    while coming or waiting or decodes or reading:
        if not (waiting or decodes or reading):
            now = max(now, coming[0].arrival)
        while coming and coming[0].arrival <= now:
            waiting.append(coming.popleft())
        _preempt(step, decodes, reading, waiting, account)
        chunks = _prompts(step, decodes, reading, waiting)
        writing = decodes if step.mixed or not chunks else []
        now = _run(step, writing, chunks, now, account)
        _write(writing, now, account)
        decodes[:] = [each for each in decodes if each.finish is None]
        reading[:] = _read(chunks, decodes, now, account)
        account.ends.append(now)
    return account


def _preempt(
    step: StepTime,
    decodes: list[Request],
    reading: list[tuple[Request, int]],
    waiting: deque[Request],
    account: Account,
) -> None:
    """Send the last admitted back to the head of the queue, to be read again, until the rest fits into memory."""
    while sum(each.context for each in [*decodes, *(one for one, _ in reading)]) > step.kv_tokens:
        last = reading.pop()[0] if reading else decodes.pop()
        waiting.appendleft(last)
        account.preemptions += 1


def _prompts(
    step: StepTime, decodes: list[Request], reading: list[tuple[Request, int]], waiting: deque[Request]
) -> list[tuple[Request, int, int]]:
    """The pieces of prompts that this step reads: request, tokens read before, tokens now. Admits from the queue."""
    budget = step.step_tokens - (len(decodes) if step.mixed else 0)
    chunks = []
    for request, done in reading:
        size = min(request.context - done, budget)
        chunks.append((request, done, size))
        budget -= size
    while waiting and budget > 0 and len(decodes) + len(chunks) < step.most_requests:
        request = waiting[0]
        held = sum(each.context for each in decodes) + sum(each.context for each, _, _ in chunks)
        if held + request.context > step.kv_tokens:
            break
        left = request.context - request.cached
        if not step.mixed and chunks and left > budget:
            break
        size = min(left, budget) if step.mixed else left
        chunks.append((waiting.popleft(), request.cached, size))
        budget -= size
    return chunks


def _run(
    step: StepTime, writing: list[Request], chunks: list[tuple[Request, int, int]], now: float, account: Account
) -> float:
    """The time at which the step ends."""
    contexts = sum(each.context for each in writing)
    pairs = sum(size * (done + size / 2) for _, done, size in chunks)
    prompt = sum(size for _, _, size in chunks)
    took = step_seconds(step, len(writing), contexts, prompt, pairs)
    account.busy += took
    account.read += prompt
    return now + took


def _write(writing: list[Request], now: float, account: Account) -> None:
    for each in writing:
        each.made += 1
        account.written += 1
        if each.made == each.output:
            each.finish = now


def _read(
    chunks: list[tuple[Request, int, int]], decodes: list[Request], now: float, account: Account
) -> list[tuple[Request, int]]:
    """A prompt that is read whole has its next token; the others stay to be read on."""
    left = []
    for request, done, size in chunks:
        if done + size < request.context:
            left.append((request, done + size))
            continue
        request.made += 1
        account.written += 1
        if request.first is None:
            request.first = now
        if request.made == request.output:
            request.finish = now
        else:
            decodes.append(request)
    return left
