"""A lean HTTP/1.1 client for one upstream: keep-alive pool, separate timeouts, no tolerance for a broken answer. Acts.

An answer that is truncated, badly chunked or has two lengths is an error, never a clean end. When the reader of an
answer is slow the socket is not read either, so memory stays flat. Letting go of an unfinished answer closes its
connection at once, which is what tells a model server to stop generating.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from urllib.parse import SplitResult, urlsplit

import httptools

from baseload.errors import BadConfig, BaseloadError
from baseload.gateway.request import Headers
from baseload.settings import Timeouts

ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer that is read whole."""
HEAD_BYTES = 64 * 1024
BUFFER_BYTES = 64 * 1024
"""Bytes of an answer that may wait for their reader before the socket is no longer read."""
IDLE_SECONDS = 30.0
"""How long a connection is kept for the next request."""
EXCERPT_BYTES = 64 * 1024
EXCERPT_SECONDS = 2.0
"""How much of an error's body is read, and for how long."""
STALE_SECONDS = 0.25
"""A kept connection that is closed within this time of a request had been given up before the request came."""
TAIL_SECONDS = 1.0
"""How long an answer whose reader has all it needs may take to end, for its connection to be used again."""

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


class DeadlinePassed(AttemptFailed):
    """The request's own deadline came before an answer began, after so many `seconds`."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message, timed_out=True)
        self.seconds = seconds


class Answer:
    """One answer of an upstream: head at once, body as it comes. Use as a context manager, which lets go of it."""

    def __init__(self, connection: _Connection) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self.until_close = connection.until_close  # nothing but the close of the connection says that it is whole
        self.on_let_go: Callable[[], None] | None = None  # called once, when whoever reads it is done
        self.hidden = b""  # our key there: an error that quotes it is not passed on with it
        self.replica = ""  # which server of a pool it is from, by its base URL
        self._connection = connection

    def header(self, name: bytes) -> bytes:
        """The first field of that (lower-case) name, empty when there is none."""
        return next((value for key, value in self.headers if key == name), b"")

    async def next(self) -> bytes:
        """What has come of the body since the last time, at least one byte; empty at its clean end.

        Raises AttemptFailed when the answer breaks or stalls.
        """
        return await self._connection.next()

    async def read(self) -> bytes:
        """The rest of the body, whole."""
        parts: list[bytes] = []
        size = 0
        while part := await self._connection.next():
            parts.append(part)
            size += len(part)
            if size > ANSWER_BYTES:
                raise AttemptFailed(f"the answer is longer than {ANSWER_BYTES} bytes", began=True)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def excerpt(self) -> tuple[bytes, bool]:
        """The beginning of the body of an error, and whether that is all of it. Never raises AttemptFailed."""
        found = bytearray()
        try:
            async with asyncio.timeout(EXCERPT_SECONDS):
                while part := await self._connection.next():
                    found += part
                    if len(found) > EXCERPT_BYTES:
                        return self._hide(found[:EXCERPT_BYTES]), False
        except (AttemptFailed, TimeoutError):
            return self._hide(found), False
        return self._hide(found), True

    def _hide(self, found: bytearray) -> bytes:
        return bytes(found.replace(self.hidden, b"***") if self.hidden else found)

    def let_go(self, *, whole: bool = False) -> None:
        """Give the connection back when the answer has ended, else close it. `whole`: the reader has all it needs, so a
        connection whose answer only lacks its end mark is worth a short wait."""
        self._connection.let_go(whole=whole)
        if self.on_let_go is not None:
            self.on_let_go()
            self.on_let_go = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.let_go(whole=kind is None)


class Client:
    """Sends requests to one server, over TCP, TLS or (with `unix`) a socket file. Certificates are always checked:
    against the machine's own authorities, or those in `ca_file`."""

    def __init__(self, base_url: str, timeouts: Timeouts, *, unix: Path | None = None, ca_file: str = "") -> None:
        url, port = _parsed(base_url)
        self.timeouts = timeouts
        self.prefix = url.path.rstrip("/")
        self.authority = url.netloc.rpartition("@")[2]
        self._host = url.hostname or ""
        self._tls = _tls(ca_file) if url.scheme == "https" else None
        self._port = port or (443 if self._tls else 80)
        self._unix = unix
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._beat = max(0.01, min(0.5, timeouts.first_byte / 10, timeouts.idle / 10))

    async def send(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes = b"",
        *,
        host: bytes = b"",
        within: float | None = None,
        on_sent: Callable[[], None] = lambda: None,
        on_again: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send a request and wait for the head of its answer; `on_sent` is called once a connection stands and the
        request is on its way. With `within`, all of that may take no more than so many seconds, whatever the timeouts
        say. Raises AttemptFailed.

        A kept connection may be closed by the upstream just while the request travels. When it was closed at once and
        not one byte of an answer came, `on_again` is called and the request sent once more on a fresh connection. That
        is right for a chat completion although it is a POST: it changes nothing at the upstream, and a server that
        closes an idle connection has not begun the work.
        """
        lines = [f"{method} {self.prefix}{path} HTTP/1.1\r\nhost: ".encode("latin-1"), host or self.authority.encode()]
        lines += [b"\r\n%b: %b" % field for field in headers]
        if body or method not in ("GET", "HEAD"):
            lines.append(b"\r\ncontent-length: %d" % len(body))
        lines += (b"\r\n\r\n", body)
        message = b"".join(lines)
        bodiless = method == "HEAD"
        if within is None:
            return await self._exchange(message, bodiless, on_sent, on_again)
        try:
            async with asyncio.timeout(within):
                return await self._exchange(message, bodiless, on_sent, on_again)
        except TimeoutError as error:
            where = f"{self.authority}: no answer began before the request's deadline, {within:.3g} s later"
            raise DeadlinePassed(where, within) from error

    async def _exchange(
        self, message: bytes, bodiless: bool, on_sent: Callable[[], None], on_again: Callable[[], None]
    ) -> Answer:
        """Send a request on a kept connection, or when there is none or it turns out to be stale on a fresh one."""
        kept = self._take()
        if kept is not None:
            sent_at = asyncio.get_running_loop().time()
            try:
                on_sent()
                return await kept.exchange(message, bodiless=bodiless)
            except AttemptFailed as failure:
                late = asyncio.get_running_loop().time() - sent_at > STALE_SECONDS
                if failure.began or failure.timed_out or late:
                    raise
            on_again()
        fresh = await self._connect()
        on_sent()
        return await fresh.exchange(message, bodiless=bodiless)

    def close(self) -> None:
        """Close every connection, busy or not."""
        for connection in tuple(self._open):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def keep(self, connection: _Connection) -> None:
        """A connection is free for the next request."""
        connection.deadline = asyncio.get_running_loop().time() + IDLE_SECONDS
        self._idle.append(connection)

    def forget(self, connection: _Connection) -> None:
        """A connection was lost."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _take(self) -> _Connection | None:
        """The most recently used free connection."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closing:
                return connection
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeouts.connect):
                connection = await self._open_connection(loop)
        except TimeoutError as error:
            limit = self.timeouts.connect
            raise AttemptFailed(f"no connection to {self.authority} within {limit:g} s", timed_out=True) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that no name server can be asked for
            raise AttemptFailed(f"no connection to {self.authority}: {error}") from error
        self._open.add(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._beat, self._sweep, loop)
        return connection

    async def _open_connection(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        if self._unix is not None:
            _, connection = await loop.create_unix_connection(lambda: _Connection(self), str(self._unix))
        else:
            _, connection = await loop.create_connection(
                lambda: _Connection(self), self._host, self._port, ssl=self._tls
            )
        return connection

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all connections; it stops when there are none."""
        now = loop.time()
        for connection in [each for each in self._open if each.deadline < now]:
            connection.expire()
        self._timer = loop.call_later(self._beat, self._sweep, loop) if self._open else None


class _Connection(asyncio.Protocol):
    """One connection to an upstream: one request at a time."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lost = False
        self.deadline = _FOREVER
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._failure: AttemptFailed | None = None
        self._parts: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._busy = False
        self._began = False
        self._head_bytes = 0
        self._has_head = False
        self._has_body = False
        self._ended = False
        self.until_close = False
        self._bodiless = False
        self._reusable = True
        self._unread = False  # let go before its end: what still comes is dropped

    # What the Client and the Answer ask of it.

    @property
    def closing(self) -> bool:
        return self.lost or self._transport.is_closing()

    async def exchange(self, message: bytes, *, bodiless: bool) -> Answer:
        """Send a request, wait for the head."""
        self._busy, self._bodiless = True, bodiless
        self._began = self._has_head = self._has_body = self._ended = self.until_close = self._unread = False
        self._failure = None
        self._parts.clear()
        self._buffered = self._head_bytes = 0
        self._transport.write(message)
        self.deadline = self._loop.time() + self.client.timeouts.first_byte
        try:
            while not self._has_head:
                await self._wait()
        except BaseException:
            self.abort()
            raise
        return Answer(self)

    async def next(self) -> bytes:
        while not self._parts:
            if self._ended:
                return b""
            await self._wait()
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
        if self._ended:
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
        if not self._busy or self._ended:
            return
        if self.until_close and self._has_head and exc is None:
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
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            if not self._ended:
                self._fail(f"the answer is not valid HTTP: {error.__context__ or error}")
                self._transport.abort()
        if not self._has_head and self._head_bytes > HEAD_BYTES:
            self._fail(f"the answer is not valid HTTP: its head is longer than {HEAD_BYTES} bytes")
            self._transport.abort()
        self._after_data()

    def _after_data(self) -> None:
        if self._ended:
            self.deadline = _FOREVER
            if self._unread:
                self._release()
        elif not self._unread:
            if self._has_body:  # a head alone, sent before the model has begun, does not stop the first timeout
                self.deadline = self._loop.time() + self.client.timeouts.idle
            if self._buffered > BUFFER_BYTES and not self._paused:
                self._paused = True
                self.deadline = _FOREVER  # it is the reader who is slow
                self._transport.pause_reading()
        self._wake()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        self.headers = []
        if self._ended:  # an answer to a request that was never sent
            raise ValueError("more than one answer came")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._parser is None:
            return
        self.status = self._parser.get_status_code()
        if self.status == _SWITCHING:
            raise ValueError("it switches protocols")
        if self.status < _FINAL:
            return
        if sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            raise ValueError(f"its head is longer than {HEAD_BYTES} bytes")
        lengths = [value for name, value in self.headers if name == b"content-length"]
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or lengths):
            raise ValueError("its length is not plain")
        self.until_close = not lengths and not codings and self.status not in _BODILESS and not self._bodiless
        self._reusable = self._parser.should_keep_alive() and not self.until_close
        self._has_head = True
        if self._bodiless:  # the parser cannot know that no body follows a HEAD
            self._ended = True
            self._reusable = False

    def on_body(self, body: bytes) -> None:
        if not self._unread and self._has_head:
            self._has_body = True
            self._parts.append(body)
            self._buffered += len(body)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._ended = True

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
        if self._waiter is not None and not self._waiter.done():
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
            self.client.keep(self)
        else:
            self.abort()


def _tls(ca_file: str) -> ssl.SSLContext:
    """What certificates are checked against. Raises BadConfig."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        remedy = "Name a file of PEM certificates that can be read."
        raise BadConfig(f"ca_file {ca_file}: {error}", remedy=remedy) from error


def _parsed(base_url: str) -> tuple[SplitResult, int | None]:
    """A base URL and its port. Raises BadConfig."""
    try:
        url = urlsplit(base_url)
        plain = url.scheme in ("http", "https") and bool(url.hostname)
        port = url.port
    except ValueError:
        plain = False
    if not plain or not all("!" <= character <= "~" for character in base_url):
        remedy = "Write it as in https://api.example.com/v1, in ASCII and without spaces (%20 stands for one)."
        raise BadConfig(f"{base_url!r} is not the base URL of an upstream", remedy=remedy)
    return url, port
