"""One connection to an upstream: one request at a time, its answer strictly parsed, its silence timed. Acts.

An answer that is truncated, badly chunked or has two lengths is an error, never a clean end. When the reader of an
answer is slow the socket is not read either, so memory stays flat. `upstream.py` pools these.

An answer is taken in one of three ways: `next` waits for what comes; `pump` hands each piece to a function in the very
turn of the event loop that reads it, which saves a stream a task switch for every event; and a `listener` is told there
of whatever becomes of the answer, so that a whole one needs no task at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Protocol, cast

import httptools

from baseload.errors import BaseloadError
from baseload.settings import Timeouts

HEAD_BYTES = 64 * 1024
IDLE_SECONDS = 30.0
"""How long a connection is kept for the next request."""
BUFFER_BYTES = 64 * 1024
"""Bytes of an answer that may wait for their reader before the socket is no longer read."""
TAIL_SECONDS = 1.0
"""How long an answer whose reader has all it needs may take to end, for its connection to be used again."""

GONE = "the gateway has closed its connections there"

Sink = Callable[[bytes], bool]
"""Takes what came of a body, at least one byte, and says whether it takes more at once."""

_FOREVER = float("inf")
_FINAL = 200
_SWITCHING = 101
_BODILESS = (204, 304)


class AttemptFailed(BaseloadError):
    """An upstream gave no whole answer. `timed_out`: it was too slow; `began`: bytes of an answer had come."""

    exit_code = 5

    def __init__(self, message: str, *, timed_out: bool = False, began: bool = False) -> None:
        super().__init__(message, remedy="See the upstream's own log, or its timeouts in the configuration.")
        self.timed_out = timed_out
        self.began = began


class Owner(Protocol):
    """Whose connections they are: what it says of all of them, and what each tells it."""

    authority: str
    timeouts: Timeouts

    def keep(self, connection: Connection) -> None:
        """It is free for the next request."""

    def forget(self, connection: Connection) -> None:
        """It was lost."""


class Connection(asyncio.Protocol):
    """One connection to an upstream: one request at a time."""

    __slots__ = (
        "_began",
        "_bodiless",
        "_buffered",
        "_busy",
        "_failure",
        "_has_body",
        "_head_bytes",
        "_loop",
        "_parser",
        "_parts",
        "_paused",
        "_reusable",
        "_sink",
        "_transport",
        "_unread",
        "_waiter",
        "client",
        "deadline",
        "ended",
        "has_head",
        "headers",
        "listener",
        "lost",
        "on_body",
        "status",
        "until_close",
    )

    def __init__(self, client: Owner) -> None:
        self.client = client
        self.lost = False
        self.deadline = _FOREVER
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.listener: Callable[[], None] | None = None  # told of all that comes, and of the end, in place of a waiter
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._failure: AttemptFailed | None = None
        self._sink: Sink | None = None
        self._parts: list[bytes] = []
        self.on_body = self._parts.append  # the parser's callback, for every piece of a body
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._buffered = 0
        self._paused = False
        self._busy = False
        self._began = False
        self._head_bytes = 0
        self.has_head = False
        self._has_body = False
        self.ended = False
        self.until_close = False
        self._bodiless = False
        self._reusable = True
        self._unread = False  # let go before its end: what still comes is dropped

    # What the client and its answers ask of it.

    @property
    def closing(self) -> bool:
        return self.lost or self._transport.is_closing()

    def ask(self, message: bytes, *, bodiless: bool = False) -> None:
        """Send a request; `head` waits for the head of its answer, or a listener does."""
        self._busy, self._bodiless = True, bodiless
        self._began = self.has_head = self._has_body = self.ended = self.until_close = self._unread = False
        self._failure = None
        self._parts.clear()
        self._buffered = self._head_bytes = 0
        self._transport.write(message)
        self.deadline = self._loop.time() + self.client.timeouts.first_byte

    async def head(self) -> None:
        """Wait for the head of the answer. Raises AttemptFailed."""
        try:
            while not self.has_head:
                await self._wait()
        except BaseException as error:
            if isinstance(error, AttemptFailed) and self.has_head:
                return  # it broke after its head, and in the same piece: whoever reads on finds that
            self.abort()
            raise

    @property
    def waits(self) -> bool:
        """Whether no more is known of an answer than that it is to come, or that its body does and is small so far."""
        return self._failure is None and not (self.ended or self._paused or self.until_close or self.lost)

    async def next(self) -> bytes:
        """What has come since the last time; empty at the clean end. Raises AttemptFailed."""
        while not self._parts:
            if self.ended:
                return b""
            await self._wait()
        return self._taken()

    def rest(self) -> bytes | None:
        """What waits of a body that has come to its end; None while there may be more."""
        if not (self.ended and self._parts):
            return None
        return self._parts.pop() if len(self._parts) == 1 and not self._paused else self._taken()

    def put_back(self, body: bytes) -> None:
        """What `rest` gave waits again."""
        self._parts.append(body)

    async def pump(self, sink: Sink) -> bool:
        """Hand over what has come, and what comes as it comes, until the clean end: True. False when the sink takes no
        more; what comes then waits for the next call. Raises AttemptFailed, and what the sink raises."""
        while True:
            if self._parts and not sink(self._taken()):
                return False
            if self.ended:
                return True
            self._sink = sink
            try:
                await self._wait()
                if self._sink is None:
                    return False
            finally:
                self._sink = None

    def _taken(self) -> bytes:
        """All that waits, taken out."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._buffered = 0
        if self._paused:
            self._paused = False
            self.deadline = self._loop.time() + self.client.timeouts.idle
            self._transport.resume_reading()
        return data

    def let_go(self, *, whole: bool) -> None:
        if not self._busy:
            return
        if self.ended:
            self._release()
        elif whole and not self.lost and not self._paused:
            self._unread = True
            self.deadline = self._loop.time() + TAIL_SECONDS
        else:
            self.abort()

    def expire(self) -> None:
        """The deadline passed."""
        if self._busy and not self._unread:
            timeouts = self.client.timeouts
            what, limit = ("byte", timeouts.idle) if self._has_body else ("first byte", timeouts.first_byte)
            self._fail(f"no {what} of an answer within {limit:g} s", timed_out=True)
        self.abort()

    def give_up(self) -> None:
        """Close it, also where an answer is under way: its time is over, as when it is too slow."""
        if self._busy and not self.ended:
            self._fail(GONE, timed_out=True)
        self.abort()

    def abort(self) -> None:
        self._reusable = self._busy = False
        self.deadline = _FOREVER
        self._transport.abort()

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not subclasses

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._parser = None
        self.client.forget(self)
        if not self._busy or self.ended:
            return
        if self.until_close and self.has_head and exc is None:
            self.on_message_complete()
            self._wake()
        else:
            self._fail(f"the connection closed {'inside' if self._began else 'before'} the answer")

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        if not self._busy:  # nothing was asked
            self.abort()
            return
        self._began = True
        if not self.has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            if not self.ended:
                self._fail(f"the answer is not valid HTTP: {error.__context__ or error}")
                self._transport.abort()
        if not self.has_head and self._head_bytes > HEAD_BYTES:
            self._fail(f"the answer is not valid HTTP: its head is longer than {HEAD_BYTES} bytes")
            self._transport.abort()
        if self._sink is not None:
            self._hand_over(self._sink)
        elif self.ended and self.listener is not None:
            self.listener()
        else:
            self._keep(len(data))

    def _hand_over(self, sink: Sink) -> None:
        """Give the sink what came. What it raises is for whoever pumps, and none of the event loop's business."""
        parts = self._parts
        if parts:
            self._has_body = True
            try:
                if not sink(parts.pop() if len(parts) == 1 else self._taken()):
                    self._sink = None
            except Exception as error:  # noqa: BLE001
                self._sink = None
                if self._waiter is not None and not self._waiter.done():
                    self._waiter.set_exception(error)
        if self._sink is None or self.ended:
            self._moved()
            self._wake()
        elif self._has_body:
            self.deadline = self._loop.time() + self.client.timeouts.idle

    def _moved(self) -> None:
        """Something came: the next has its time from now on."""
        if self.ended:
            self.deadline = _FOREVER
        elif self._has_body:  # a head alone, sent before the model has begun, does not stop the first timeout
            self.deadline = self._loop.time() + self.client.timeouts.idle

    def _keep(self, size: int) -> None:
        """What came, `size` bytes as they were sent, waits for its reader, who is told."""
        if self._unread:
            self._parts.clear()
            if self.ended:
                self.deadline = _FOREVER
                self._release()
            return
        if self._parts:
            self._has_body = True
            self._buffered += size
        self._moved()
        if self._buffered > BUFFER_BYTES and not self._paused and not self.ended:
            self._paused = True
            self.deadline = _FOREVER  # it is the reader who is slow
            self._transport.pause_reading()
        self._wake()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        if self.ended:  # an answer to a request that was never sent
            raise ValueError("more than one answer came")
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._parser is None:
            return
        self.status = self._parser.get_status_code()
        if self.status == _SWITCHING:
            raise ValueError("it switches protocols")
        if self.status < _FINAL:
            return
        lengths, codings = [], []
        for name, value in self.headers:
            if name == b"content-length":
                lengths.append(value)
            elif name == b"transfer-encoding":
                codings.append(value)
        if self._head_bytes > HEAD_BYTES and sum(map(len, chain.from_iterable(self.headers))) > HEAD_BYTES:
            raise ValueError(f"its head is longer than {HEAD_BYTES} bytes")
        if codings and (codings != [b"chunked"] or lengths):
            raise ValueError("its length is not plain")
        self.until_close = not lengths and not codings and self.status not in _BODILESS and not self._bodiless
        self._reusable = self._parser.should_keep_alive() and not self.until_close
        self.has_head = True
        if self._bodiless:  # the parser cannot know that no body follows a HEAD
            self.ended = True
            self._reusable = False

    def on_message_complete(self) -> None:
        if self.has_head:
            self.ended = True

    # Waiting.

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.lost:
            raise AttemptFailed("the connection closed before the answer")
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._failure is not None and not self._parts:
            raise self._failure

    def _wake(self) -> None:
        if self.listener is not None:
            self.listener()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, message: str, *, timed_out: bool = False) -> None:
        if self._failure is None:
            where = f"{self.client.authority}: {message}"
            self._failure = AttemptFailed(where, timed_out=timed_out, began=self._began)
        self._wake()

    def _release(self) -> None:
        """The answer has ended and its reader is done."""
        self._busy = False
        if self._reusable and not self.lost:
            self.deadline = self._loop.time() + IDLE_SECONDS
            self.client.keep(self)
        else:
            self.abort()
