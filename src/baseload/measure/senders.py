"""Traffic from several processes at once: one client process cannot keep the times of a trace at sixty times its speed.
Acts.

Arrivals are dealt out in turn; every sender starts at the same moment. Each ends with its parent: see `child.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import msgspec

from baseload.child import Child, Parent, work_for_parent
from baseload.load.trace import Arrival
from baseload.measure.traffic import Answer, Manner, send

SENDERS = 2
# From "go" to the first request: time for the word to reach every sender.
LEAD_SECONDS = 0.2
REPORT_SECONDS = 0.1


class Orders(msgspec.Struct, frozen=True):
    """What one sender sends: (nanoseconds after the start, input tokens, output tokens) and the manner of each."""

    base_url: str
    speed: float
    arrivals: list[tuple[int, int, int]]
    manners: list[Manner]


class Progress(msgspec.Struct, frozen=True):
    """What one sender has done since it last said so; `late_seconds` is the worst delay of a request it sent."""

    answered: int
    errors: list[str]
    late_seconds: float


def send_from_processes(
    base_url: str,
    arrivals: Sequence[Arrival],
    manners: Sequence[Manner],
    *,
    speed: float,
    on_progress: Callable[[Progress], None],
) -> None:
    """Send every arrival at its time; `on_progress` is called from several threads, one call at a time."""
    one_at_a_time = threading.Lock()

    def listen(child: Child) -> None:
        for line in child.lines():
            progress = msgspec.json.decode(line, type=Progress)
            with one_at_a_time:
                on_progress(progress)

    with ExitStack() as stack:
        children = [
            stack.enter_context(Child("baseload.measure.senders", _dealt(base_url, arrivals, manners, speed, hand)))
            for hand in range(SENDERS)
        ]
        threads = [threading.Thread(target=listen, args=(child,), daemon=True) for child in children]
        starts_at = time.time() + LEAD_SECONDS
        for child, thread in zip(children, threads, strict=True):
            child.tell(starts_at)
            thread.start()
        for thread in threads:
            thread.join()


def _dealt(base_url: str, arrivals: Sequence[Arrival], manners: Sequence[Manner], speed: float, hand: int) -> Orders:
    dealt = [(each.after_ns, each.input_tokens, each.output_tokens) for each in arrivals[hand::SENDERS]]
    return Orders(base_url, speed, dealt, list(manners[hand::SENDERS]))


async def _send(parent: Parent) -> None:
    import asyncio

    orders = msgspec.json.decode(parent.orders, type=Orders)
    arrivals = [Arrival(*each) for each in orders.arrivals]
    answers: list[Answer] = []

    async def report() -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            tell()

    def tell() -> None:
        errors = [answer.error for answer in answers if answer.error]
        late = max((answer.late_seconds for answer in answers), default=0.0)
        parent.report(Progress(len(answers), errors, late))
        answers.clear()

    import openai  # noqa: F401 - it takes half a second: before the start, not in the first request

    parent.say_ready(None)
    word = await parent.told()
    if not word:  # the parent was interrupted before it said go
        return
    starts_at = msgspec.json.decode(word, type=float)
    if arrivals:
        reporting = asyncio.create_task(report())
        orphaned = asyncio.create_task(parent.ended())
        sending = asyncio.create_task(
            send(
                orders.base_url,
                arrivals,
                orders.manners,
                starts_at=starts_at,
                speed=orders.speed,
                on_answer=answers.append,
            )
        )
        await asyncio.wait((sending, orphaned), return_when=asyncio.FIRST_COMPLETED)
        reporting.cancel()
        if not sending.done():
            sending.cancel()
            return
        await sending
    tell()


if __name__ == "__main__":
    work_for_parent(_send)
