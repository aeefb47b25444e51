"""A strict HTTP/1.1 server on asyncio: a Handler gets each Request with an Exchange to answer it. Acts.

`request.py` reads the bytes. Here a connection answers what was read, one request after the other; keeps deadlines;
stops a handler that writes faster than its client reads; and cancels the handler whose client went away. What an
`Express` takes needs no handler and no task: a `Flight` answers it in whatever turn of the event loop has the answer.
Made to run on uvloop; runs on asyncio's own loop too.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Protocol, cast

from baseload.gateway.endpoints import dialect_of
from baseload.gateway.exchange import STATUS_LINE, Exchange
from baseload.gateway.request import Headers, Heads, Phase, Refusal, Request, RequestReader, Room
from baseload.settings import Limits
from baseload.wire.problem import problem_in

__all__ = ["Exchange", "Handler", "Headers", "Request", "Server", "serve", "serve_unix"]

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75.0
"""How long an idle connection is kept for its next request."""
UNREAD_SECONDS = 60.0
"""How long a client may leave a full send buffer unread before it counts as gone."""
LINGER_SECONDS = 2.0
"""How long bytes after a refusal are read and thrown away, so that a reset does not overtake the refusal."""
PIPELINED = 16
"""Requests that may wait on one connection before reading from it stops."""
PIPELINED_BYTES = 1024 * 1024
"""Bytes of their bodies that may."""
SEND_BUFFER_BYTES = 64 * 1024

JSON = (b"content-type", b"application/json")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FOREVER = float("inf")
_BETWEEN = Phase.BETWEEN
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Handler = Callable[[Request, Exchange], Awaitable[None]]


class Flight(Protocol):
    """A request that is being answered without a task."""

    def left(self) -> None:
        """Its client went away. Never raises."""


Express = Callable[["Connection", Request], Flight | None]
"""Takes a request to answer it without a task, by `Connection.answer` or, where that turns out to be too little, with
`go_on`. None, and nothing was done, where it is one for the handler. Never raises."""


class Connection(asyncio.Protocol):
    """One client connection: one handler at a time, answers in the order of the requests."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.gone = False
        self.last = False  # the answer in the making is the last one on this connection
        self.deadline = _FOREVER
        self._loop = server.loop
        self._reader = RequestReader(server.limits, server.room, server.heads)
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None  # answers one request after the other
        self._busy = False
        self._handed: Request | None = None  # a request in hand that no task has begun to answer
        self._flight: Flight | None = None  # who answers it without one
        self._more: asyncio.Future[Handler] | None = None  # what the task waits for while it has none
        self._unread = False  # the answer was given, and the next one waits until there is room for it
        self._room: asyncio.Future[None] | None = None
        self._full = False
        self._held = False  # nothing is read: too much waits
        self._lingering = False
        self._begun = 0

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not subclasses
        self._transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
        self.server.connections.add(self)
        self.deadline = self._loop.time() + self.server.limits.head_seconds

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        self._reader.close()
        if self._flight is not None:
            self._flight.left()
            self._flight = None
        if self._handed is not None:
            self.server.room.give(len(self._handed.body))
        if self._room is not None and not self._room.done():  # a handler that outlives its client writes to nobody
            self._room.set_result(None)
        if self._task is not None:
            self._task.cancel()
        self.server.forget(self)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        reader.feed(data)
        taken = reader.ready and not self._busy and reader.phase is _BETWEEN  # by `_next`, which sets the deadline
        if not (taken or self._full or self._lingering):
            self._set_deadline()
        if not self._busy:
            self._next()
        elif self._waits_too_much():
            self._held = True
            self._transport.pause_reading()
            if reader.phase is Phase.BODY and not self._full:
                self.deadline = _FOREVER  # it is we who do not read

    def pause_writing(self) -> None:
        self._full = True
        self.deadline = self._loop.time() + UNREAD_SECONDS

    def resume_writing(self) -> None:
        self._full = False
        self._set_deadline()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._unread:
            self._unread = self._busy = False
            self._answered()

    # What a Flight asks of it.

    def answer(self, data: bytes) -> None:
        """The whole answer to the request in hand, head and all."""
        request, self._handed, self._flight = self._handed, None, None
        if request is not None:
            self.server.room.give(len(request.body))
        self._transport.write(data)
        if self._full:
            self._unread = True
        else:
            self._busy = False
            self._answered()

    def go_on(self, handler: Handler) -> None:
        """Answer the request in hand in a task after all. Until that has begun, the flight is told of a client that
        goes away."""
        if self._more is not None:
            self._more.set_result(handler)
            self._more = None
        else:
            self._task = self._loop.create_task(self._answer_all(handler))

    # What an Exchange and the Server ask of it.

    async def write(self, data: bytes) -> None:
        """Hand bytes to the transport; waits while the client leaves too much unread."""
        if not self.put(data):
            await self.room()

    def put(self, data: bytes) -> bool:
        """Hand bytes to the transport; whether it would take more."""
        if self.gone or not data:
            return True
        self._transport.write(data)
        return not self._full

    async def room(self) -> None:
        """Wait while the client leaves too much unread."""
        if self._full and not self.gone:
            self._room = self._loop.create_future()
            await self._room

    def abort(self) -> None:
        """Break off with a reset: of a body that ends with the close, only that says it is not whole."""
        if not self.gone:
            raw = self._transport.get_extra_info("socket")
            if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    def expire(self) -> None:
        """The deadline passed: a slow head or body is answered 408, anything else is closed."""
        self.deadline = _FOREVER
        phase = self._reader.phase
        if self._full:
            self.abort()
        elif self._lingering or phase is Phase.BETWEEN:
            self._transport.close()
        else:
            message = f"The {phase.name.lower()} of the request did not arrive in time. Send it again, faster."
            self._reader.refuse(408, message, "timeout")
            if not self._busy:
                self._next()

    def close_if_idle(self) -> None:
        """Close when no request is being read or answered."""
        if not self._busy and self._reader.phase is Phase.BETWEEN and not self._lingering:
            self._transport.close()

    # Deadlines and order.

    def _set_deadline(self) -> None:
        """A head must be whole in time from its first byte; a body must only not stall."""
        phase, limits, now = self._reader.phase, self.server.limits, self._loop.time()
        if phase is Phase.BODY:
            self.deadline = now + limits.body_seconds
        elif phase is Phase.HEAD:
            if self._begun != self._reader.begun:
                self.deadline = now + limits.head_seconds
        elif self._begun or self._reader.begun:
            self.deadline = _FOREVER if self._busy else now + KEEP_ALIVE_SECONDS
        self._begun = self._reader.begun

    def _next(self) -> None:
        """Answer what is ready; with nothing ready, ask for the body that waits to be asked for, or rest."""
        reader = self._reader
        if self.gone or self._lingering:
            return
        if not reader.ready:
            if reader.wants_continue:
                reader.wants_continue = False
                self._transport.write(_CONTINUE)
            elif self.server.closing and reader.phase is Phase.BETWEEN:
                self._transport.close()
            return
        item = reader.ready.popleft()
        if isinstance(item, Refusal):
            self._refuse(item)
        else:
            if reader.phase is _BETWEEN:
                self.deadline = _FOREVER
            self._busy, self._handed = True, item
            self._flight = self.server.express(self, item) if self.server.express is not None else None
            if self._flight is None:
                self.go_on(self.server.handler)

    def _refuse(self, refusal: Refusal) -> None:
        """Say no and send our FIN, then drop what the client still sends, for a little while."""
        body = problem_in(dialect_of(refusal.path), refusal.status, refusal.message, code=refusal.code)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
            head = b"retry-after: 1\r\n" + head
        self._transport.write(STATUS_LINE[refusal.status] + self.server.date + head + body)
        self._lingering = True
        self.deadline = self._loop.time() + LINGER_SECONDS
        self._transport.write_eof()

    async def _answer_all(self, handler: Handler) -> None:
        """Answer a request, and every one that comes after it: a task for each would cost more than its switches."""
        while True:
            request, self._handed, self._flight = self._handed, None, None
            if request is not None:
                await self._answer(request, handler)
            if self.gone:
                return
            self._more = more = self._loop.create_future()
            self._answered()
            handler = await more

    async def _answer(self, request: Request, handler: Handler) -> None:
        exchange = Exchange(self, request)
        try:
            await handler(request, exchange)
            if not exchange.ended:
                raise RuntimeError("the handler returned without ending its answer")
        except Exception:  # the outermost edge of a request
            log.exception("unexpected failure while answering %s %s", request.method, request.path)
            await self._apologise(request.path, exchange)
        finally:
            self._busy = False
            self.server.room.give(len(request.body))

    def _answered(self) -> None:
        """What comes after an answer: the next request, or nothing more."""
        if self.last:
            self._transport.close()
            return
        if self._held and not (self._reader.ready and self._waits_too_much()):
            self._held = False
            self._transport.resume_reading()
        self._set_deadline()
        self._next()

    def _waits_too_much(self) -> bool:
        return len(self._reader.ready) > PIPELINED or self._reader.waiting_bytes > PIPELINED_BYTES

    async def _apologise(self, path: str, exchange: Exchange) -> None:
        if exchange.started:
            exchange.abort()
        else:
            message = "The gateway failed in a way it should not have. Its log says how; please report it."
            body = problem_in(dialect_of(path), 500, message, code="internal_error")
            await exchange.respond(500, [JSON], body)


class Server:
    """A listening server. Once `closing`, every answer in the making is the last one of its connection."""

    def __init__(
        self, handler: Handler, limits: Limits, loop: asyncio.AbstractEventLoop, express: Express | None = None
    ) -> None:
        self.handler = handler
        self.express = express
        self.room = Room(limits.bodies_bytes)
        self.heads = Heads()
        self.limits = limits
        self.loop = loop
        self.closing = False
        self.connections: set[Connection] = set()
        self.date = b""
        self.address: tuple[str, int] = ("", 0)  # what was bound; port 0 asks for a free one
        self._listening: asyncio.Server | None = None
        self._empty = asyncio.Event()
        self._beat = min(1.0, limits.head_seconds / 4, limits.body_seconds / 4)
        self._timer: asyncio.TimerHandle = loop.call_later(self._beat, self._sweep)
        self._stamp()

    async def listen(self, host: str, port: int, *, share: bool = False) -> None:
        """Bind. With `share`, others of this user may listen there too, and the kernel spreads connections over all.
        Raises OSError when the address is taken."""
        make = self.loop.create_server
        self._listening = await make(lambda: Connection(self), host, port, backlog=1024, reuse_port=share or None)
        self.address = self._listening.sockets[0].getsockname()[:2]

    async def listen_unix(self, path: Path) -> None:
        """Bind to a unix socket. Raises OSError."""
        self._listening = await self.loop.create_unix_server(lambda: Connection(self), str(path))

    def close(self) -> None:
        """Stop accepting and close idle connections; answers in the making go on."""
        self.closing = True
        if self._listening is not None:
            self._listening.close()
        for connection in tuple(self.connections):
            connection.close_if_idle()
        if not self.connections:
            self._empty.set()

    async def drain(self, seconds: float) -> bool:
        """Close, then wait for the answers in the making. What is left after `seconds` is broken off: False."""
        self.close()
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            for connection in tuple(self.connections):
                connection.abort()
            await self._empty.wait()
            return False
        finally:
            self._timer.cancel()
        return True

    def forget(self, connection: Connection) -> None:
        """A connection was lost."""
        self.connections.discard(connection)
        if self.closing and not self.connections:
            self._empty.set()

    def _sweep(self) -> None:
        """One timer for all connections: deadlines to a quarter of the shortest limit, and the Date header."""
        now = self.loop.time()
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.expire()
        self._stamp()
        self._timer = self.loop.call_later(self._beat, self._sweep)

    def _stamp(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()


async def serve(
    handler: Handler,
    host: str,
    port: int,
    limits: Limits | None = None,
    *,
    share: bool = False,
    express: Express | None = None,
) -> Server:
    """Listen on host:port (0 asks for a free port) and hand every request that `express` does not take to `handler`.
    Raises OSError when taken."""
    server = Server(handler, limits or Limits(), asyncio.get_running_loop(), express)
    await server.listen(host, port, share=share)
    return server


async def serve_unix(handler: Handler, path: Path) -> Server:
    """Listen on a unix socket. Raises OSError."""
    server = Server(handler, Limits(), asyncio.get_running_loop())
    await server.listen_unix(path)
    return server
