"""The answer to one request, as its handler writes it: a head, and a body whole or in pieces. No socket of its own."""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from baseload.gateway.head import Headers, Request

STATUS_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

_BODILESS = (204, 304)


class Serving(Protocol):
    """The server: whether it takes no more requests, and what day it is, as a header."""

    closing: bool
    date: bytes


class Line(Protocol):
    """The connection to the client. `last`: the answer in the making is the last one on it."""

    gone: bool
    last: bool

    @property
    def server(self) -> Serving: ...

    async def write(self, data: bytes) -> None: ...

    def put(self, data: bytes) -> bool: ...

    async def room(self) -> None: ...

    def abort(self) -> None: ...


class Exchange:
    """The answer to one request: either `respond`, or `start`, `send` as often as needed and `end`, or `abort`."""

    __slots__ = ("_bodiless", "_chunked", "_connection", "_left", "_request", "ended", "started")

    def __init__(self, connection: Line, request: Request) -> None:
        self._connection = connection
        self._request = request
        self._chunked = False
        self._bodiless = False
        self._left: int | None = None  # bytes still owed of a declared content-length
        self.started = False
        self.ended = False

    @property
    def gone(self) -> bool:
        """Whether the client went away (its handler is then being cancelled)."""
        return self._connection.gone

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer in one piece; adds content-length."""
        nothing = status in _BODILESS
        head = self._head(status, headers, b"" if nothing else b"content-length: %d\r\n" % len(body))
        self.started = self.ended = True
        if not self._connection.put(head if nothing or self._request.head.method == "HEAD" else head + body):
            await self._connection.room()

    async def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        """Send the head, and with it the `first` piece of the body, if any. Without a content-length in `headers` the
        body is chunked; on HTTP/1.0 it ends by closing."""
        self._bodiless = self._request.method == "HEAD" or status in _BODILESS
        declared = next((value for name, value in headers if name == b"content-length"), None)
        if declared is not None and not self._bodiless:
            self._left = int(declared)
        elif self._request.http_1_0:
            self._connection.last = True
        else:
            self._chunked = not self._bodiless
        head = self._head(status, headers, b"transfer-encoding: chunked\r\n" if self._chunked else b"")
        self.started = True
        await self._connection.write(head + self._frame(first))

    async def send(self, data: bytes) -> None:
        """Send a piece of the body. Returns when the send buffer has room, so a slow client slows the caller."""
        await self._connection.write(self._frame(data))

    def put(self, data: bytes) -> bool:
        """Send a piece of the body without waiting; False when the send buffer is full: wait for `room`, then."""
        if self._chunked and data:
            return self._connection.put(b"%x\r\n%b\r\n" % (len(data), data))
        return self._connection.put(self._frame(data))

    async def room(self) -> None:
        """Wait while the client leaves too much unread."""
        await self._connection.room()

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece, if any, and the mark that says the body is whole."""
        self.ended = True
        last = self._frame(data)
        if self._left:  # less came than was declared: the client must see that
            self.abort()
        else:
            await self._connection.write(last + b"0\r\n\r\n" if self._chunked else last)

    def abort(self) -> None:
        """Break the connection off, so that the client cannot take what it got for the whole."""
        self.ended = True
        self._connection.abort()

    def _frame(self, data: bytes) -> bytes:
        if not data or self._bodiless:
            return b""
        if self._left is not None:
            self._left -= len(data)
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _head(self, status: int, headers: Headers, framing: bytes) -> bytes:
        connection, request = self._connection, self._request.head
        if connection.server.closing or not request.keep_alive:
            connection.last = True
        lines = [STATUS_LINE.get(status) or b"HTTP/1.1 %d \r\n" % status]
        lines += [b"%b: %b\r\n" % field for field in headers]
        lines.append(connection.server.date)
        if framing:
            lines.append(framing)
        if connection.last:
            lines.append(b"connection: close\r\n")
        elif request.http_1_0:
            lines.append(b"connection: keep-alive\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines):
            raise ValueError("a header of the answer holds a line break")
        return head + b"\r\n"
