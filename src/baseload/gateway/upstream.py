"""A lean HTTP/1.1 client for one upstream: keep-alive pool, separate timeouts, no tolerance for a broken answer. Acts.

An answer that is truncated, badly chunked or has two lengths is an error, never a clean end. When the reader of an
answer is slow the socket is not read either, so memory stays flat. Letting go of an unfinished answer closes its
connection at once, which is what tells a model server to stop generating.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

from baseload.errors import BadConfig
from baseload.gateway.connection import GONE, AttemptFailed, Connection, Sink
from baseload.gateway.encoding import is_plain, plain
from baseload.gateway.request import Headers
from baseload.settings import Timeouts

__all__ = ["Answer", "AttemptFailed", "Client", "DeadlinePassed", "written"]

ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer that is read whole."""
EXCERPT_BYTES = 64 * 1024
EXCERPT_SECONDS = 2.0
"""How much of an error's body is read, and for how long."""
STALE_SECONDS = 0.25
"""A kept connection that is closed within this time of a request had been given up before the request came."""
TICK_SECONDS = 0.001
"""What the event loop counts in: a timer of what is left of a deadline may end this much before it."""


class DeadlinePassed(AttemptFailed):
    """The request's own deadline came before an answer began, after so many `seconds`."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message, timed_out=True)
        self.seconds = seconds


class Answer:
    """One answer of an upstream: head at once, body as it comes. Use as a context manager, which lets go of it."""

    def __init__(self, connection: Connection) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self.until_close = connection.until_close  # nothing but the close of the connection says that it is whole
        self.on_let_go: Callable[[], None] | None = None  # called once, when whoever reads it is done
        self.hidden = b""  # our key there: an error that quotes it is not passed on with it
        self.replica = ""  # which server of a pool it is from, by its base URL
        self._connection = connection

    def header(self, name: bytes) -> bytes:
        """The first field of that (lower-case) name, empty when there is none."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""

    async def next(self) -> bytes:
        """What has come of the body since the last time, at least one byte; empty at its clean end.

        Raises AttemptFailed when the answer breaks or stalls.
        """
        return await self._connection.next()

    async def pump(self, sink: Sink) -> bool:
        """Hand what comes of the body to `sink` in the turn of the event loop that reads it: True at its clean end,
        False when the sink takes no more; what comes then waits, up to a limit, for the next call.

        Raises AttemptFailed when the answer breaks or stalls, and whatever the sink raises.
        """
        return await self._connection.pump(sink)

    async def read(self) -> bytes:
        """The rest of the body, whole."""
        whole = self._connection.rest()
        if whole is None:
            parts: list[bytes] = []
            size = 0
            while size <= ANSWER_BYTES and (part := await self._connection.next()):
                parts.append(part)
                size += len(part)
            whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if len(whole) > ANSWER_BYTES:
            raise AttemptFailed(f"the answer is longer than {ANSWER_BYTES} bytes", began=True)
        return whole

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

    def unpacked(self, body: bytes) -> bytes:
        """What an error says, our key hidden: in a body that came packed it can only be found so. Empty where that
        cannot be read; the same object where nothing is changed."""
        coding = self.header(b"content-encoding")
        return self._hide(body if is_plain(coding) else plain(body, coding) or b"")

    def _hide(self, found: bytes | bytearray) -> bytes:
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
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
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
        sized, bodiless = bool(body) or method not in ("GET", "HEAD"), method == "HEAD"
        message = written(self.opening(method, path, headers, host), body, sized=sized)
        return await self.send_message(message, bodiless=bodiless, within=within, on_sent=on_sent, on_again=on_again)

    def opening(self, method: str, path: str, headers: Headers, host: bytes = b"") -> bytes:
        """How a request to this server begins: all of its head but the length, and without its last line's end."""
        lines = [f"{method} {self.prefix}{path} HTTP/1.1\r\nhost: ".encode("latin-1"), host or self.authority.encode()]
        lines += [b"\r\n%b: %b" % field for field in headers]
        return b"".join(lines)

    def send_message(
        self,
        message: bytes,
        *,
        bodiless: bool = False,
        within: float | None = None,
        on_sent: Callable[[], None] = lambda: None,
        on_again: Callable[[], None] = lambda: None,
    ) -> Coroutine[Any, Any, Answer]:
        """`send` for a request that is written already; `bodiless` says that its answer has no body."""
        sending = self._exchange(message, bodiless, on_sent, on_again)
        return sending if within is None else self._within(sending, within)

    async def _within(self, sending: Coroutine[Any, Any, Answer], within: float) -> Answer:
        if within < TICK_SECONDS:
            sending.close()
            raise DeadlinePassed(f"{self.authority}: the request's deadline had passed before it was sent", 0.0)
        try:
            async with asyncio.timeout(within):
                return await sending
        except TimeoutError as error:
            where = f"{self.authority}: no answer began before the request's deadline, {within:.3g} s later"
            raise DeadlinePassed(where, within) from error

    async def _exchange(
        self, message: bytes, bodiless: bool, on_sent: Callable[[], None], on_again: Callable[[], None]
    ) -> Answer:
        """Send a request on a kept connection, or when there is none or it turns out to be stale on a fresh one."""
        kept = self.take()
        if kept is None:
            return await self._afresh(message, bodiless, on_sent)
        on_sent()
        kept.ask(message, bodiless=bodiless)
        return await self.follow(kept, time.monotonic(), message, bodiless, on_sent, on_again)

    async def follow(
        self,
        kept: Connection,
        sent_at: float,
        message: bytes,
        bodiless: bool,
        on_sent: Callable[[], None],
        on_again: Callable[[], None],
    ) -> Answer:
        """The answer to a request that is on its way on a kept connection since `sent_at` (`time.monotonic`). Raises
        AttemptFailed; `send` says when it is sent once more."""
        try:
            await kept.head()
            return Answer(kept)
        except AttemptFailed as failure:
            late = time.monotonic() - sent_at > STALE_SECONDS
            if failure.began or failure.timed_out or late:
                raise
        on_again()
        return await self._afresh(message, bodiless, on_sent)

    async def _afresh(self, message: bytes, bodiless: bool, on_sent: Callable[[], None]) -> Answer:
        """Send a request on a connection of its own."""
        fresh = await self._connect()
        on_sent()
        fresh.ask(message, bodiless=bodiless)
        await fresh.head()
        return Answer(fresh)

    def close(self) -> None:
        """Close every connection, busy or not, and open no other."""
        self._closed = True
        for connection in tuple(self._open):
            connection.give_up()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def keep(self, connection: Connection) -> None:
        """A connection is free for the next request."""
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """A connection was lost."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def take(self) -> Connection | None:
        """The most recently used free connection."""
        while self._idle:
            connection = self._idle.pop()
            if not (connection.lost or connection.closing):
                return connection
        return None

    async def _connect(self) -> Connection:
        if self._closed:
            raise AttemptFailed(f"no connection to {self.authority}: {GONE}")
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

    async def _open_connection(self, loop: asyncio.AbstractEventLoop) -> Connection:
        if self._unix is not None:
            _, connection = await loop.create_unix_connection(lambda: Connection(self), str(self._unix))
        else:
            _, connection = await loop.create_connection(
                lambda: Connection(self), self._host, self._port, ssl=self._tls
            )
        return connection

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all connections; it stops when there are none."""
        now = loop.time()
        for connection in [each for each in self._open if each.deadline < now]:
            connection.expire()
        self._timer = loop.call_later(self._beat, self._sweep, loop) if self._open else None


def written(opening: bytes, body: bytes, more: Headers = (), *, sized: bool = True) -> bytes:
    """A whole request: how it begins (`Client.opening`), headers of its own, its length where it has one, its body."""
    for field in more:
        opening += b"\r\n%b: %b" % field
    if sized:
        return b"%b\r\ncontent-length: %d\r\n\r\n%b" % (opening, len(body), body)
    return b"%b\r\n\r\n%b" % (opening, body)


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
