"""The worker processes of a supervisor: started, asked, told, started again when one dies. Acts.

Each worker has a place. When the process in it dies another takes the place, after a pause that grows while they keep
dying young.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence

import msgspec

from baseload.child import Child
from baseload.errors import BaseloadError, ChildFailed
from baseload.gateway.health import WorkerState
from baseload.gateway.worker import Commit, Order, Orders, Prepare, Reply, ShowConsole, Stop, Tell

log = logging.getLogger(__name__)

MODULE = "baseload.gateway.worker"
TELL_SECONDS = 2.0
"""A worker that does not say within this how it is counts as silent."""
PREPARE_SECONDS = 20.0
AFTER_DRAIN_SECONDS = 5.0
PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
OLD_SECONDS = 30.0
"""A worker that lived this long died of something else than its start."""


class Place:
    """One worker's place, and the process in it."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.gone = asyncio.Event()
        self.last: WorkerState | None = None  # what the process in it said last
        self._questions: dict[int, asyncio.Future[Reply | None]] = {}
        self._loop = asyncio.get_running_loop()

    def taken_by(self, child: Child) -> None:
        """Another process works here now."""
        self.child, self.last = child, None
        self.gone = asyncio.Event()
        threading.Thread(target=self._listen, args=(child, self.gone), name="worker-replies", daemon=True).start()

    async def ask(self, order: Order, seconds: float) -> Reply | None:
        """Give an order and wait for its reply; None when none comes in time or the worker dies."""
        child = self.child
        if child is None or self.gone.is_set():
            return None
        reply: asyncio.Future[Reply | None] = self._loop.create_future()
        self._questions[order.number] = reply
        try:
            async with asyncio.timeout(seconds):
                # In a thread: the pipe of a worker that does not read is full at some time.
                await asyncio.to_thread(child.tell, order)
                return await reply
        except TimeoutError:
            return None
        finally:
            self._questions.pop(order.number, None)

    def _listen(self, child: Child, gone: asyncio.Event) -> None:
        """The thread that hears a worker, until it ends."""
        read = msgspec.json.Decoder(Reply).decode
        try:
            for line in child.lines():
                self._loop.call_soon_threadsafe(self._hear, read(line))
            self._loop.call_soon_threadsafe(self._ended, gone)
        except (RuntimeError, ValueError):  # the loop or the pipe was closed: we are at an end ourselves
            return

    def _hear(self, reply: Reply) -> None:
        question = self._questions.get(reply.number)
        if question is not None and not question.done():
            question.set_result(reply)

    def _ended(self, gone: asyncio.Event) -> None:
        gone.set()
        for question in self._questions.values():
            if not question.done():
                question.set_result(None)


class Crew:
    """Every worker. `orders` says what a new one is started with; `died` hears of each that ends unasked, with what it
    had last said."""

    def __init__(self, count: int, orders: Callable[[], Orders], died: Callable[[WorkerState | None], None]) -> None:
        self._orders = orders
        self._died = died
        self._places = [Place() for _ in range(count)]
        self._keepers: list[asyncio.Task[None]] = []
        self._numbers = itertools.count(1)
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Start all of them. Raises the error of one that cannot start, and leaves none behind."""
        try:
            await self._fill_all()
        except BaseException:
            await self._end(self._places)
            raise
        self._keepers = [asyncio.create_task(self._keep(place)) for place in self._places]

    async def ask(self) -> list[WorkerState | None]:
        """What each worker says of itself."""
        replies = await asyncio.gather(
            *(place.ask(Tell(number=next(self._numbers)), TELL_SECONDS) for place in self._places)
        )
        for place, reply in zip(self._places, replies, strict=True):
            place.last = reply.state if reply is not None else place.last
        return [reply.state if reply is not None else None for reply in replies]

    async def take(self, loaded: bytes, commit: Callable[[], None]) -> None:
        """Have all workers serve with something else, or none: each makes ready, then each is told. `commit` is called
        in between, after which a worker that starts serves with it too. Raises ChildFailed."""
        async with self._changing:
            number = next(self._numbers)
            prepare = Prepare(number=number, loaded=msgspec.Raw(loaded))
            living = [place for place in self._places if place.child is not None and not place.gone.is_set()]
            for place, reply in zip(living, await self._told(living, prepare), strict=True):
                if reply is None and not place.gone.is_set():  # one that died starts again, with what is in force then
                    raise ChildFailed("a worker does not answer", remedy="Wait for it, or restart the gateway.")
                if reply is not None and reply.failed:
                    raise ChildFailed(reply.failed, remedy=reply.remedy)
            commit()
            for place, reply in zip(living, await self._told(living, Commit(number=number)), strict=True):
                if reply is None or reply.failed:
                    self._kill(place, "did not take the configuration that it was ready for")

    async def show_console(self, socket: str) -> None:
        """Have all workers forward to another console."""
        await self._told(self._places, ShowConsole(number=next(self._numbers), socket=socket))

    async def stop(self, drain_seconds: float) -> None:
        """Let requests under way end everywhere, then end the processes."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        order = Stop(number=next(self._numbers), drain_seconds=drain_seconds)
        replies = await self._told(self._places, order, drain_seconds + AFTER_DRAIN_SECONDS)
        for place, reply in zip(self._places, replies, strict=True):
            if reply is None:
                self._kill(place, "did not stop in time")
        await self._end(self._places)

    async def _told(
        self, places: Sequence[Place], order: Order, seconds: float = PREPARE_SECONDS
    ) -> list[Reply | None]:
        return await asyncio.gather(*(place.ask(order, seconds) for place in places))

    async def _fill_all(self) -> None:
        """Start a process in every place, side by side; then raise the first error there was."""
        starting = [asyncio.to_thread(Child, MODULE, self._orders()) for _ in self._places]
        started = await asyncio.gather(*starting, return_exceptions=True)
        for place, child in zip(self._places, started, strict=True):
            if isinstance(child, Child):
                place.taken_by(child)
        for child in started:
            if isinstance(child, BaseException):
                raise child

    async def _fill(self, place: Place) -> None:
        """Start a process in a place. Nothing is changed meanwhile, so that it cannot begin with what is no more."""
        async with self._changing:
            place.taken_by(await asyncio.to_thread(Child, MODULE, self._orders()))

    async def _keep(self, place: Place) -> None:
        """See that somebody works in a place."""
        loop, pause = asyncio.get_running_loop(), PAUSE_SECONDS
        since = loop.time()
        while True:
            await place.gone.wait()
            pause = PAUSE_SECONDS if loop.time() - since > OLD_SECONDS else min(pause * 2, LONGEST_PAUSE_SECONDS)
            log.error("a worker died; another takes its place in %.1f s", pause)
            self._died(place.last)
            await self._end([place])
            await asyncio.sleep(pause)
            since = loop.time()
            try:
                await self._fill(place)
            except BaseloadError as error:
                log.error("a worker does not start: %s", error)

    def _kill(self, place: Place, why: str) -> None:
        """End a process that does not do what it is told; what it wrote is in its spool."""
        if place.child is not None and place.child.alive:
            log.error("worker %d %s and is killed", place.child.pid, why)
            os.kill(place.child.pid, signal.SIGKILL)

    async def _end(self, places: Sequence[Place]) -> None:
        children = [place.child for place in places if place.child is not None]
        for place in places:
            place.child = None
        await asyncio.gather(*(asyncio.to_thread(child.stop) for child in children))
