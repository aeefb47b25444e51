"""A child process that never outlives its parent. Acts.

The parent writes one JSON line of orders to the child's stdin and reads one JSON line back when the child is ready. The
child works until its stdin ends, which happens when the parent closes it and also when the parent is killed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Self

import msgspec

from baseload.errors import BaseloadError, ChildFailed

STOP_SECONDS = 30.0
# Bytes of orders: a whole trace to be sent fits.
LONGEST_LINE = 1 << 28


class _Answer(msgspec.Struct, omit_defaults=True):
    """The child's one line: what it says when ready, or why it will never be."""

    ready: Any = None
    failed: str = ""
    remedy: str = ""


class Child:
    """`python -m module`, given its orders. `ready` is what it answered. Leave the `with` block and it is gone."""

    def __init__(self, module: str, orders: object) -> None:
        self.name = module
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is for the parent, which then ends us in order
        )
        self.ready: Any = self._begin(orders)

    def _begin(self, orders: object) -> object:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ChildFailed(f"{self.name} has no pipe", remedy="Start it again.")
        try:
            stdin.write(msgspec.json.encode(orders) + b"\n")
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = b""
        except BaseException:
            self.stop()
            raise
        if not answer:
            self.stop()
            raise ChildFailed(f"{self.name} did not start", remedy="Its own message stands above.")
        said = msgspec.json.decode(answer, type=_Answer)
        if said.failed:
            self.stop()
            raise ChildFailed(said.failed, remedy=said.remedy)
        return said.ready

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def tell(self, message: object) -> None:
        """Send one more JSON line. A child that has died hears nothing, and `lines` ends."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(msgspec.json.encode(message) + b"\n")
                self._process.stdin.flush()

    def lines(self) -> Iterator[bytes]:
        """What the child reports after it said ready, line by line until it ends."""
        if self._process.stdout is not None:
            yield from self._process.stdout

    def stop(self) -> None:
        """Let the child finish what it is doing and wait for it; kill it when that takes too long."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # the child went first, with our line unread
                    pipe.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Parent:
    """The child's side: read the orders, say ready, wait for the end."""

    def __init__(self, stdin: asyncio.StreamReader, orders: bytes) -> None:
        self._stdin = stdin
        self.orders = orders

    @classmethod
    async def listen(cls) -> Parent:
        """Take over stdin and read the orders from it."""
        stdin = asyncio.StreamReader(limit=LONGEST_LINE)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        return cls(stdin, await stdin.readline())

    def say_ready(self, answer: object) -> None:
        """Tell the parent that work can begin."""
        self.report(_Answer(ready=answer))

    def say_failed(self, error: BaseloadError) -> None:
        """Tell the parent why work cannot begin; it raises the same message and remedy."""
        self.report(_Answer(failed=error.message, remedy=error.remedy))

    def report(self, message: object) -> None:
        """Send the parent one JSON line. One that has gone hears nothing; `ended` is how its child learns that."""
        with suppress(BrokenPipeError):
            os.write(sys.stdout.fileno(), msgspec.json.encode(message) + b"\n")

    async def told(self) -> bytes:
        """The next line from the parent; empty when it has gone."""
        return await self._stdin.readline()

    async def ended(self) -> None:
        """Return when the parent closed the pipe or died."""
        await self._stdin.read()


def work_for_parent(work: Callable[[Parent], Awaitable[None]]) -> None:
    """The whole life of a child: take the orders, do the work, hand an error that ends it to the parent."""
    import uvloop

    async def life() -> None:
        parent = await Parent.listen()
        if not parent.orders:  # it was interrupted before it could give any
            return
        try:
            await work(parent)
        except BaseloadError as error:
            parent.say_failed(error)

    uvloop.run(life())
