"""What the comparison of proxies sends, and to whom: an upstream that paces its streams, and three kinds of load.

The upstream stamps each event of a stream with the machine's monotonic clock as it writes it, and the load takes the
difference as it reads it, so that a proxy's part is what it adds to the same without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httptools

CONNECTIONS = 32
PATIENCE_SECONDS = 5.0
"""How long answers are waited for that never came."""
EVENTS_PER_SECOND = 20
_SLOTS = 50  # the streams of one tick of a millisecond, of the fifty between two events of a stream
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n"
_STREAM = _HEAD % (b"text/event-stream", b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n")
_MODEL = b'{"object":"list","data":[{"id":"auto","object":"model","created":1,"owned_by":"bench"}]}'
_SAID = {
    path: _HEAD % (b"application/json", b"content-length: %d\r\n" % len(body)) + body
    for path, body in {b"/v1/models": _MODEL, b"/health": b"{}"}.items()
}
_NOTHING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
_STAMP = re.compile(rb'"content":"t(\d{16})"')


class _Upstream(asyncio.Protocol):
    """Answers at once, or hands the connection to the wheel that paces its stream."""

    def __init__(self, answer: bytes, begin: Callable[[asyncio.Transport], None]) -> None:
        self._answer = _HEAD % (b"application/json", b"content-length: %d\r\n" % len(answer)) + answer
        self._begin = begin
        self._parser = httptools.HttpRequestParser(self)
        self._body = self._asked = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._asked = url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":  # what routers ask of a server before they send it anything
            self._transport.write(_SAID.get(self._asked, _NOTHING))
            return
        streams, self._body = b'"stream":true' in self._body.replace(b" ", b""), b""
        if streams:
            self._transport.write(_STREAM)
            self._begin(self._transport)
        else:
            self._transport.write(self._answer)


class _Wheel:
    """Writes an event to a fiftieth of the streams every millisecond, so that they do not come in one burst."""

    def __init__(self, event: bytes, last: bytes, seconds: float) -> None:
        self._event, self._last = event, last
        self._events = int(seconds * EVENTS_PER_SECOND)
        self._streams: list[list[list]] = [[] for _ in range(_SLOTS)]
        self._begun = 0

    def begin(self, transport: asyncio.Transport) -> None:
        self._streams[self._begun % _SLOTS].append([transport, self._events])
        self._begun += 1

    async def turn(self) -> None:
        loop, tick = asyncio.get_running_loop(), 0
        began = loop.time()
        while True:
            tick += 1
            await asyncio.sleep(max(0.0, began + tick / (_SLOTS * EVENTS_PER_SECOND) - loop.time()))
            slot = self._streams[tick % _SLOTS]
            for stream in slot:
                transport, left = stream
                event = b"data: " + self._event.replace(b"word ", b"t%016d" % time.monotonic_ns()) + b"\n\n"
                if left == 0:
                    event = b"data: " + self._last + b"\n\ndata: [DONE]\n\n"
                transport.write(b"%x\r\n%b\r\n" % (len(event), event) + (b"0\r\n\r\n" if left == 0 else b""))
                stream[1] -= 1
            slot[:] = [stream for stream in slot if stream[1] >= 0 and not stream[0].is_closing()]


async def upstream(answer: bytes, event: bytes, last: bytes, seconds: float) -> int:
    """Start an upstream in this process; its port."""
    loop, wheel = asyncio.get_running_loop(), _Wheel(event, last, seconds)
    server = await loop.create_server(lambda: _Upstream(answer, wheel.begin), "127.0.0.1", 0, backlog=2048)
    upstream.turning = loop.create_task(wheel.turn())  # the loop holds tasks but weakly
    return server.sockets[0].getsockname()[1]


class _Asker(asyncio.Protocol):
    """One connection: says when an answer has come, and hands on the body of a stream."""

    def __init__(self, answered: Callable[[_Asker], None], read: Callable[[bytes], None] = lambda _: None) -> None:
        self._answered, self.on_body = answered, read
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 200:
            raise RuntimeError(f"HTTP {self._parser.get_status_code()}")
        self._answered(self)


def message(body: bytes, headers: bytes = b"", path: bytes = b"/v1/chat/completions") -> bytes:
    """A request as it goes over the wire."""
    head = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n" % path
    return head + headers + b"content-length: %d\r\n\r\n" % len(body) + body


async def _connect(port: int, make: Callable[[], _Asker], count: int) -> list[_Asker]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(make, "127.0.0.1", port))[1] for _ in range(count)]


async def saturate(port: int, request: bytes, seconds: float) -> float:
    """Every connection asks as soon as it has its answer; answers per second."""
    until, answers = time.monotonic() + seconds, 0
    done = asyncio.get_running_loop().create_future()

    def answered(asker: _Asker) -> None:
        nonlocal answers, busy
        answers += 1
        if time.monotonic() < until:
            asker.transport.write(request)
            return
        busy -= 1
        if not busy:
            done.set_result(None)

    askers = await _connect(port, lambda: _Asker(answered), CONNECTIONS)
    busy, began = len(askers), time.monotonic()
    for asker in askers:
        asker.transport.write(request)
    with contextlib.suppress(TimeoutError):  # one that loses a connection, or an answer, has that many fewer
        await asyncio.wait_for(done, seconds + PATIENCE_SECONDS)
    took = seconds if done.cancelled() else time.monotonic() - began
    for asker in askers:
        asker.transport.close()
    return answers / took


async def at_rate(port: int, request: bytes, per_second: float, seconds: float) -> list[float]:
    """Ask at a fixed rate, whatever became of those before; seconds from each question to the end of its answer."""
    found, waiting, now = [], [], time.monotonic
    done = asyncio.Event()
    total = int(per_second * seconds)
    due: dict[_Asker, float] = {}

    def answered(asker: _Asker) -> None:
        found.append(now() - due[asker])
        if len(found) == total:
            done.set()
        if waiting:
            due[asker] = waiting.pop(0)
            asker.transport.write(request)
        else:
            free.append(asker)

    free = await _connect(port, lambda: _Asker(answered), 2 * CONNECTIONS)
    askers, began = tuple(free), now()
    for place in range(total):
        moment = began + place / per_second
        if (pause := moment - now()) > 0:
            await asyncio.sleep(pause)
        if free:
            asker = free.pop()
            due[asker] = now()
            asker.transport.write(request)
        else:
            waiting.append(now())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    for asker in askers:
        asker.transport.close()
    return found


@dataclass
class Streamed:
    """What came of many streams at once: seconds that each event took, streams that did not end, events that lack."""

    seconds: list[float] = field(default_factory=list)
    broken: int = 0
    lacking: int = 0


async def stream(port: int, request: bytes, streams: int, seconds: float, halfway: Callable[[], None]) -> Streamed:
    """Many streams at once, begun within a second; `halfway` is called while all run."""
    found, ended, done = Streamed(), 0, asyncio.Event()

    def read(data: bytes) -> None:
        now = time.monotonic_ns()
        found.seconds += [(now - int(stamp)) / 1e9 for stamp in _STAMP.findall(data)]

    def answered(_: _Asker) -> None:
        nonlocal ended
        ended += 1
        if ended == streams:
            done.set()

    askers = []
    for _ in range(streams):
        askers += await _connect(port, lambda: _Asker(answered, read), 1)
        askers[-1].transport.write(request)
        await asyncio.sleep(min(0.001, 1 / streams))
    await asyncio.sleep(seconds / 2)
    halfway()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), 2 * seconds + 10)
    for asker in askers:
        asker.transport.close()
    found.broken = streams - ended
    found.lacking = streams * int(seconds * EVENTS_PER_SECOND) - len(found.seconds)
    return found


def percentile(found: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(found)[min(len(found) - 1, int(share * len(found)))]


def spread(found: list[float]) -> Iterator[tuple[str, float]]:
    """The median and the 99th percentile."""
    yield "p50", percentile(found, 0.5)
    yield "p99", percentile(found, 0.99)
