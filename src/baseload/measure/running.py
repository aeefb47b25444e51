"""A load kept on an endpoint: so many requests in flight, or so many a second, within bounds. Acts.

A run ends when its steady part is long enough and both halves of it agree, or when a bound is reached: requests,
tokens, seconds, money, errors, or the word to stop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from baseload.measure.asking import TOO_MANY, Asker, Sample
from baseload.measure.levels import Level, inside, is_steady, level, window
from baseload.units import NANO_PER_USD

LOOK_SECONDS = 0.05
# A steady part holds at least so many answers, and so many for each sender.
LEAST_ANSWERS, ANSWERS_PER_SENDER = 16, 3
# More errors than this share of at least so many answers, and the run is over.
ERROR_SHARE, ERRORS_BEFORE = 0.2, 5
# Senders of one level do not begin at once; they are spread over one request, and never over more than this.
LONGEST_STAGGER = 5.0

Price = Callable[[int, int], int]
"""What a request costs in nano-dollars, from its tokens in and out."""


def unpaid(_input: int, _output: int) -> int:
    """What a request costs on a machine that is paid by the hour."""
    return 0


@dataclass(slots=True)
class Bounds:
    """What a measurement may use in all, and what it has used. `None` is no bound."""

    requests: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    usd: Decimal | None = None
    price: Price = unpaid
    began: float = field(default_factory=time.perf_counter)
    used_requests: int = 0
    used_tokens: int = 0
    spent_nanousd: int = 0
    _held_tokens: int = 0
    _held_nanousd: int = 0
    stopped: str = ""

    def take(self, input_tokens: int, output_tokens: int) -> bool:
        """Hold the worst that a request may use; False, with the reason in `stopped`, where a bound forbids it."""
        tokens, cost = input_tokens + output_tokens, self.price(input_tokens, output_tokens)
        reason = ""
        if self.requests is not None and self.used_requests >= self.requests:
            reason = f"{self.requests:,} requests, as bounded"
        elif self.tokens is not None and self.used_tokens + self._held_tokens + tokens > self.tokens:
            reason = f"{self.tokens:,} tokens, as bounded"
        elif self.usd is not None and self.spent_nanousd + self._held_nanousd + cost > self.usd * NANO_PER_USD:
            reason = f"{self.usd} USD, as bounded"
        elif self.late:
            reason = f"{self.seconds:g} seconds, as bounded"
        self.stopped = self.stopped or reason
        if self.stopped:
            return False
        self.used_requests += 1
        self._held_tokens += tokens
        self._held_nanousd += cost
        return True

    def settle(self, input_tokens: int, output_tokens: int, sample: Sample) -> None:
        """Put what a request used in the place of what was held for it. An answer cut short counts as held."""
        held = input_tokens + output_tokens, self.price(input_tokens, output_tokens)
        self._held_tokens -= held[0]
        self._held_nanousd -= held[1]
        told = sample.input_tokens + sample.output_tokens
        unsure = not told and not sample.error.isdigit()
        self.used_tokens += held[0] if unsure else told
        self.spent_nanousd += (
            held[1] if unsure else self.price(sample.input_tokens, sample.output_tokens) if told else 0
        )

    @property
    def late(self) -> bool:
        return self.seconds is not None and time.perf_counter() - self.began >= self.seconds


class Run:
    """One level: `asker` asks lengths from an endless iterator."""

    def __init__(self, asker: Asker, lengths: Iterator[tuple[int, int]], bounds: Bounds, stop: asyncio.Event) -> None:
        self._asker = asker
        self._lengths = lengths
        self._bounds = bounds
        self._stop = stop
        self._ended = asyncio.Event()
        self._in_work: set[asyncio.Task[None]] = set()
        self.samples: list[Sample] = []
        self.refused = False
        self._lateness: list[float] = []
        self._unfinished: dict[int, float] = {}
        self._fault: BaseException | None = None
        self._note = ""

    async def closed(self, senders: int, *, seconds: float, expected: float) -> Level | None:
        """Keep `senders` requests in flight, for `seconds` at most. `expected` is how long a request takes, about."""
        apart = min(expected, LONGEST_STAGGER) / senders

        async def sender(number: int) -> None:
            await self._wait(apart * number)
            while not self._over:
                await self._one(*next(self._lengths))

        return await self._work([sender(each) for each in range(senders)], senders, seconds, None)

    async def opened(self, times: Iterator[float], *, rate: float, seconds: float, most: int) -> Level | None:
        """Send at given times, for `seconds`, whether earlier ones were answered or not; `most` in flight."""
        gate = asyncio.Semaphore(most)
        began = time.perf_counter()

        async def one() -> None:
            try:
                await self._one(*next(self._lengths))
            finally:
                gate.release()

        async def arrivals() -> None:
            for at in times:
                if at >= seconds:
                    return
                await self._wait(began + at - time.perf_counter())
                if gate.locked():
                    self._note = f"{most} requests were in flight and the next ones waited: offer less"
                await gate.acquire()
                if self._over:
                    return
                self._lateness.append(time.perf_counter() - began - at)
                self._spawn(one())

        return await self._work([arrivals()], 0, seconds, rate)

    @property
    def _over(self) -> bool:
        return self._ended.is_set() or self._stop.is_set() or bool(self._bounds.stopped)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
            except TimeoutError:
                return

    async def _one(self, input_tokens: int, output_tokens: int) -> None:
        if not self._bounds.take(input_tokens, output_tokens):
            return
        number = self._bounds.used_requests
        self._unfinished[number] = time.perf_counter()
        sample = await self._asker.ask(input_tokens, output_tokens)
        del self._unfinished[number]
        self._bounds.settle(input_tokens, output_tokens, sample)
        self.samples.append(sample)
        self._judge(sample)

    def _judge(self, sample: Sample) -> None:
        """End the run where the endpoint refuses, or fails too often."""
        failed = sum(1 for each in self.samples if each.error)
        if sample.error == TOO_MANY:
            self.refused = True
            self._ended.set()
        elif failed >= ERRORS_BEFORE and failed > ERROR_SHARE * len(self.samples):
            self._note = f"ended early: {failed} of {len(self.samples)} requests failed"
            self._ended.set()

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._in_work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()
            self._ended.set()

    async def _work(self, workers: list[object], senders: int, seconds: float, rate: float | None) -> Level | None:
        began, worked = time.perf_counter(), time.process_time()
        for each in workers:
            self._spawn(each)
        while self._in_work and not self._over:
            looked = time.perf_counter()
            await asyncio.wait(self._in_work, timeout=LOOK_SECONDS, return_when=asyncio.ALL_COMPLETED)
            now = time.perf_counter()
            if self._in_work:
                self._lateness.append(max(0.0, now - looked - LOOK_SECONDS))
            if now - began > seconds or self._bounds.late or (senders and self._enough(senders, now)):
                break
        closing = time.perf_counter()
        self._ended.set()
        await self._finish()
        if self._fault is not None:
            raise self._fault
        closing = min([closing, *self._unfinished.values()])  # what was cut off is in no sample
        busy = (time.process_time() - worked) / max(time.perf_counter() - began, 1e-9)
        late = sorted(self._lateness)[len(self._lateness) // 2] if self._lateness else 0.0
        return level(self.samples, in_flight=senders, closing=closing, busy=busy, late=late, rate=rate, note=self._note)

    def _enough(self, senders: int, now: float) -> bool:
        """Whether the steady part is long enough and even."""
        start, _ = window(self.samples, senders, now)
        answered = sum(1 for each in self.samples if each.ended > start)
        if start >= now or answered < max(LEAST_ANSWERS, ANSWERS_PER_SENDER * senders):
            return False
        # What is still being written is not in the samples yet: look at the part that is complete.
        complete = max(start, now - max(each.ended - each.started for each in self.samples))
        return (
            complete > start
            and inside(self.samples, start, complete)[2] > 0
            and is_steady(self.samples, start, complete)
        )

    async def _finish(self) -> None:
        """Let what is in flight end, so that its tokens are counted; on the word to stop, leave it."""
        while self._in_work:
            if self._stop.is_set():
                for task in self._in_work:
                    task.cancel()
            await asyncio.wait(self._in_work, timeout=LOOK_SECONDS)
