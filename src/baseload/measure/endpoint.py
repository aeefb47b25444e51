"""A client that costs little: HTTP/1.1 to one endpoint, each piece of an answer stamped as it comes. Acts.

The official client spends more on a chunk than an engine on its token, and would measure itself. Here a connection
carries one request at a time, is kept for the next, and llhttp does the parsing.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httptools

from baseload.errors import BadInput, UpstreamUnreachable

CONNECT_SECONDS = 10.0
# A refusal is read to here; what is longer is a page, not a message.
REFUSAL_BYTES = 64 * 1024
OK = 200

OnPiece = Callable[[bytes, float], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """How a request ended: its status, and the body of a plain answer or a refusal; `connect_seconds` where a
    connection had to be opened first."""

    status: int
    body: bytes
    connect_seconds: float


class Broken(Exception):
    """The other side went away before the answer was whole; `began` when some of it had come."""

    def __init__(self, *, began: bool) -> None:
        super().__init__("the connection was closed in the middle of an answer" if began else "no answer came")
        self.began = began


class _Connection(asyncio.Protocol):
    """One connection; `ask` one request after another."""

    def __init__(self) -> None:
        self.open = True
        self.status = 0
        self.body = bytearray()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._ended: asyncio.Future[None] | None = None
        self._on_piece: OnPiece | None = None
        self._at = 0.0

    async def ask(self, request: bytes, on_piece: OnPiece | None) -> None:
        self._ended = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._on_piece, self.status = on_piece, 0
        self.body.clear()
        if self._transport is None or not self.open:
            raise Broken(began=False)
        self._transport.write(request)
        try:
            await self._ended
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport, as the loop promises

    def data_received(self, data: bytes) -> None:
        self._at = time.perf_counter()
        if self._parser is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(Broken(began=True))
            self.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.open = False
        self._end(Broken(began=self.status > 0))

    def on_status(self, _: bytes) -> None:
        if self._parser is not None:
            self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self._on_piece is not None and self.status == OK:
            self._on_piece(body, self._at)
        elif len(self.body) < REFUSAL_BYTES or self._on_piece is None:
            self.body += body

    def on_headers_complete(self) -> None:
        self.status = self.status or (self._parser.get_status_code() if self._parser else 0)

    def on_message_complete(self) -> None:
        if self._parser is not None and not self._parser.should_keep_alive():
            self.close()
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._ended is None or self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


class Endpoint:
    """An OpenAI-compatible address. `url` ends where its paths begin (`/v1` is added to a bare host)."""

    def __init__(self, url: str, key: str = "") -> None:
        self._split = _address(url)
        self._tls = ssl.create_default_context() if self._split.scheme == "https" else None
        self._idle: list[_Connection] = []
        self._key = key
        host = self._split.hostname or ""
        self.host = host
        self._port = self._split.port or (443 if self._tls else 80)
        shown = f"[{host}]" if ":" in host else host
        self._netloc = shown if self._split.port is None else f"{shown}:{self._split.port}"
        self.path = self._split.path.rstrip("/") or "/v1"
        self.url = f"{self._split.scheme}://{self._netloc}{self.path}"

    async def get(self, path: str) -> Reply:
        """A plain answer of a path below the host. Raises UpstreamUnreachable."""
        return await self._send(self._head("GET", path) + b"\r\n", None)

    async def post(self, path: str, body: bytes, on_piece: OnPiece) -> Reply:
        """Post JSON to a path below the endpoint; pieces of a good answer are handed out as they come.

        Raises UpstreamUnreachable when no connection is made, and Broken when one ends too early.
        """
        head = self._head("POST", self.path + path)
        fields = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        return await self._send(head + fields + body, on_piece)

    def close(self) -> None:
        for each in self._idle:
            each.close()
        self._idle.clear()

    def _head(self, method: str, path: str) -> bytes:
        key = f"authorization: Bearer {self._key}\r\n" if self._key else ""
        return f"{method} {path} HTTP/1.1\r\nhost: {self._netloc}\r\nuser-agent: baseload-measure\r\n{key}".encode()

    async def _send(self, request: bytes, on_piece: OnPiece | None) -> Reply:
        while self._idle:
            kept = self._idle.pop()
            if not kept.open:
                continue
            try:
                await kept.ask(request, on_piece)
            except Broken as error:
                if error.began:
                    raise
                continue  # it had gone cold while it waited: ask again on another
            return self._replied(kept, 0.0)
        began = time.perf_counter()
        fresh = await self._connect()
        connected = time.perf_counter() - began
        await fresh.ask(request, on_piece)
        return self._replied(fresh, connected)

    def _replied(self, connection: _Connection, connect_seconds: float) -> Reply:
        reply = Reply(connection.status, bytes(connection.body), connect_seconds)
        if connection.open:
            self._idle.append(connection)
        return reply

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(_Connection, self.host, self._port, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            raise UpstreamUnreachable(
                f"nothing answers at {self.url}: {error or 'no connection in time'}",
                remedy="Start the server, or name its address as in http://127.0.0.1:8000/v1.",
            ) from error
        return connection


def _address(url: str) -> SplitResult:
    """A checked address. Raises BadInput."""
    try:
        split = urlsplit(url)
        fine = split.scheme in {"http", "https"} and bool(split.hostname) and (split.port is None or split.port > 0)
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable() or " " in url:
        raise BadInput(f"{url[:80]!r} is no address", remedy="Write it as in http://127.0.0.1:8000/v1.")
    if split.username or split.password or split.query or split.fragment:
        raise BadInput(
            "the address holds a user, a query or a fragment",
            remedy="Give the address alone, and a key with --key-env.",
        )
    return split
