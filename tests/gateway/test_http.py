"""The server on real sockets: order, keep-alive, HTTP/1.0, deadlines, backpressure, disconnects, drain."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable

import pytest

from baseload.gateway import http
from baseload.gateway.http import Exchange, Request, Server, serve
from baseload.settings import Limits

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
IMPATIENT = Limits(head_seconds=0.2, body_seconds=0.2)


class Place:
    """A server and what its handler saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.cancelled = asyncio.Event()
        self.go = asyncio.Event()
        self.sent = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.server: Server

    async def handle(self, request: Request, exchange: Exchange) -> None:
        self.seen.append(request.path)
        try:
            await getattr(self, "serve_" + request.path[1:])(request, exchange)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def serve_echo(self, request: Request, exchange: Exchange) -> None:
        await exchange.respond(200, [(b"x-a", b"b")], request.body)

    async def serve_slow(self, _: Request, exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await exchange.respond(200, [], b"slow")

    async def serve_stream(self, _: Request, exchange: Exchange) -> None:
        await exchange.start(200, [(b"content-type", b"text/plain")], b"one")
        for part in (b"", b"two"):
            assert exchange.put(part)
            await exchange.room()
            await asyncio.sleep(0)
        await exchange.end(b"three")

    async def serve_sized(self, _: Request, exchange: Exchange) -> None:
        await exchange.start(200, [(b"content-length", b"6")])
        await exchange.send(b"abc")
        await exchange.end(b"def")

    async def serve_short(self, _: Request, exchange: Exchange) -> None:
        await exchange.start(200, [(b"content-length", b"6")])
        await exchange.end(b"abc")

    async def serve_wait(self, _: Request, exchange: Exchange) -> None:
        await self.go.wait()
        await exchange.respond(200, [], b"done")

    async def serve_firehose(self, _: Request, exchange: Exchange) -> None:
        await exchange.start(200, [])
        while self.sent < 10_000:
            await exchange.send(b"x" * 32_768)
            self.sent += 1

    async def serve_fail(self, _: Request, __: Exchange) -> None:
        raise KeyError("a bug")

    async def serve_fail_late(self, _: Request, exchange: Exchange) -> None:
        await exchange.start(200, [])
        await exchange.send(b"abc")
        raise KeyError("a bug")

    async def serve_nothing(self, _: Request, __: Exchange) -> None:
        return

    async def serve_split(self, _: Request, exchange: Exchange) -> None:
        await exchange.respond(200, [(b"x-a", b"b\r\nSet-Cookie: evil")], b"")

    async def serve_no_content(self, _: Request, exchange: Exchange) -> None:
        await exchange.respond(204, [], b"")


@pytest.fixture
async def place() -> AsyncIterator[Callable]:
    places: list[Place] = []

    async def open_place(limits: Limits | None = None) -> Place:
        made = Place()
        made.server = await serve(made.handle, "127.0.0.1", 0, limits)
        places.append(made)
        return made

    yield open_place
    for made in places:
        for writer in made.writers:
            writer.transport.abort()
        await made.server.drain(0.05)
    await asyncio.sleep(0.01)


async def talk(place: Place, *parts: bytes, pause: float = 0.0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*place.server.address)
    place.writers.append(writer)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause)
    return reader, writer


async def until(reader: asyncio.StreamReader, mark: bytes) -> bytes:
    return await asyncio.wait_for(reader.readuntil(mark), 1)


async def whole(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(-1), 3)


async def test_an_answer_in_one_piece_keeps_the_connection(place) -> None:
    here = await place()
    reader, writer = await talk(here, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    answer = await until(reader, b"abc")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nx-a: b\r\ndate: ")
    assert b"content-length: 3\r\n" in answer
    assert b"connection" not in answer
    writer.write(GET % b"/stream")
    assert (await until(reader, b"0\r\n\r\n")).endswith(b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")


async def test_a_declared_length_is_kept(place) -> None:
    here = await place()
    reader, _ = await talk(here, GET % b"/sized")
    assert b"transfer-encoding" not in await until(reader, b"\r\n\r\nabcdef")
    reader, _ = await talk(here, GET % b"/short")
    with pytest.raises(ConnectionResetError):
        await whole(reader)


@pytest.mark.parametrize(
    ("request_bytes", "end"),
    [
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"connection: close\r\n\r\n"),
        (b"GET /echo HTTP/1.0\r\n\r\n", b"connection: close\r\n\r\n"),
        (b"GET /stream HTTP/1.0\r\n\r\n", b"connection: close\r\n\r\nonetwothree"),
        (b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"connection: close\r\n\r\nonetwothree"),
        (b"HEAD /sized HTTP/1.0\r\n\r\n", b"connection: close\r\n\r\n"),
    ],
)
async def test_what_ends_with_the_connection(place, request_bytes: bytes, end: bytes) -> None:
    reader, _ = await talk(await place(), request_bytes)
    assert (await whole(reader)).endswith(end)


async def test_http_1_0_may_keep_the_connection(place) -> None:
    ask = b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    reader, writer = await talk(await place(), ask)
    assert b"connection: keep-alive\r\n" in await until(reader, b"\r\n\r\n")
    writer.write(ask)
    await until(reader, b"\r\n\r\n")


async def test_head_and_204_have_no_body(place) -> None:
    here = await place()
    head = b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n"
    reader, _ = await talk(here, head % b"/slow", head % b"/stream", GET % b"/no_content", GET % b"/slow")
    assert b"content-length: 4\r\n" in await until(reader, b"\r\n\r\n")
    assert b"chunked" not in await until(reader, b"\r\n\r\n")
    assert b"content-length" not in await until(reader, b"\r\n\r\n")
    assert (await until(reader, b"slow")).startswith(b"HTTP/1.1 200")


async def test_pipelined_requests_are_answered_in_order(place) -> None:
    here = await place()
    reader, _ = await talk(here, (GET % b"/slow" + GET % b"/echo" + GET % b"/stream") * 20)
    for _ in range(20):
        assert (await until(reader, b"slow")).count(b"HTTP/1.1 200") == 1
        assert b"x-a: b" in await until(reader, b"\r\n\r\n")
        assert (await until(reader, b"0\r\n\r\n")).count(b"HTTP/1.1 200") == 1
    assert here.seen == ["/slow", "/echo", "/stream"] * 20


async def test_a_refusal_waits_for_the_answers_before_it(place) -> None:
    reader, _ = await talk(await place(), GET % b"/slow" + b"BAD\r\n\r\n")
    answer = await whole(reader)
    assert answer.index(b"slow") < answer.index(b"HTTP/1.1 400")
    assert b'"type":"invalid_request_error"' in answer


async def test_a_refusal_is_not_lost_when_the_client_goes_on_sending(place) -> None:
    here = await place(Limits(body_bytes=1000))
    reader, writer = await talk(here, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")
    writer.write(b"x" * 9_000_000)
    assert (await whole(reader)).startswith(b"HTTP/1.1 413 ")
    assert here.seen == []


class TestContinue:
    ASK = b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"

    async def test_the_body_is_asked_for(self, place) -> None:
        reader, writer = await talk(await place(), self.ASK % 3)
        assert await until(reader, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await until(reader, b"abc")).startswith(b"HTTP/1.1 200")

    async def test_a_body_over_the_limit_is_not(self, place) -> None:
        reader, _ = await talk(await place(Limits(body_bytes=2)), self.ASK % 3)
        assert (await whole(reader)).startswith(b"HTTP/1.1 413 ")

    async def test_a_client_that_does_not_wait_is_not_asked(self, place) -> None:
        reader, _ = await talk(await place(), self.ASK % 3 + b"abc")
        assert (await until(reader, b"abc")).startswith(b"HTTP/1.1 200")

    async def test_not_in_the_middle_of_an_earlier_answer(self, place) -> None:
        reader, writer = await talk(await place(), GET % b"/slow" + self.ASK % 3)
        assert (await until(reader, b"slow")).startswith(b"HTTP/1.1 200")
        assert await until(reader, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        await until(reader, b"abc")


class TestDeadlines:
    @pytest.mark.parametrize(
        ("begun", "answered"),
        [
            (b"", b""),
            (b"GET /echo HTTP/1.1\r\nHo", b"HTTP/1.1 408 "),
            (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na", b"HTTP/1.1 408 "),
        ],
        ids=["nothing", "head", "body"],
    )
    async def test_what_does_not_come_ends(self, place, begun: bytes, answered: bytes) -> None:
        here = await place(IMPATIENT)
        began = time.monotonic()
        reader, _ = await talk(here, begun)
        assert (await whole(reader)).startswith(answered)
        assert 0.15 < time.monotonic() - began < 0.6
        assert here.seen == []

    async def test_a_head_that_trickles_ends_and_a_body_that_moves_does_not(self, place) -> None:
        here = await place(IMPATIENT)
        slow_head, _ = await talk(here, *[b"GET /echo"[n : n + 1] for n in range(9)], pause=0.05)
        assert (await whole(slow_head)).startswith(b"HTTP/1.1 408 ")
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
        reader, _ = await talk(here, head, *[b"x"] * 9, pause=0.05)
        assert (await until(reader, b"xxxxxxxxx")).startswith(b"HTTP/1.1 200")

    async def test_a_handler_may_take_longer(self, place) -> None:
        here = await place(IMPATIENT)
        reader, _ = await talk(here, GET % b"/wait")
        await asyncio.sleep(0.5)
        here.go.set()
        await until(reader, b"done")

    async def test_an_idle_connection_ends(self, place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "KEEP_ALIVE_SECONDS", 0.3)
        reader, _ = await talk(await place(IMPATIENT), GET % b"/echo")
        began = time.monotonic()
        await whole(reader)
        assert 0.25 < time.monotonic() - began < 0.7

    async def test_a_client_that_reads_nothing_ends(self, place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "UNREAD_SECONDS", 0.3)
        here = await place(IMPATIENT)
        reader, writer = await talk(here, b"")
        reader._transport.pause_reading()
        writer.write(GET % b"/firehose")
        await asyncio.wait_for(here.cancelled.wait(), 1)


async def test_a_slow_reader_slows_the_handler(place) -> None:
    here = await place()
    reader, writer = await talk(here, b"")
    reader._transport.pause_reading()
    writer.write(GET % b"/firehose")
    await asyncio.sleep(0.3)
    before = here.sent
    await asyncio.sleep(0.1)
    assert here.sent == before
    assert here.sent * 32_768 < 16 * 1024 * 1024
    reader._transport.resume_reading()
    for _ in range(200):
        await reader.read(1 << 20)
    assert here.sent > before


@pytest.mark.parametrize("how", ["close", "abort", "half"])
async def test_a_client_that_goes_away_cancels_its_handler(place, how: str) -> None:
    here = await place()
    _, writer = await talk(here, GET % b"/wait", pause=0.02)
    {"close": writer.close, "abort": writer.transport.abort, "half": writer.write_eof}[how]()
    await asyncio.wait_for(here.cancelled.wait(), 0.1)


class TestFailures:
    async def test_a_bug_before_the_answer_is_a_500(self, place, caplog: pytest.LogCaptureFixture) -> None:
        here = await place()
        reader, _ = await talk(here, GET % b"/fail" + GET % b"/echo")
        assert b'"code":"internal_error"' in await until(reader, b"}}")
        assert b"HTTP/1.1 200" in await until(reader, b"\r\n\r\n")
        assert "KeyError: 'a bug'" in caplog.text

    @pytest.mark.parametrize("path", [b"/nothing", b"/split"])
    async def test_no_answer_or_a_split_one_is_a_500(
        self, place, path: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, _ = await talk(await place(), GET % path)

        answer = await until(reader, b"}}")
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"evil" not in answer
        assert "unexpected failure" in caplog.text

    async def test_a_bug_after_the_first_byte_breaks_the_answer(self, place, caplog: pytest.LogCaptureFixture) -> None:
        reader, _ = await talk(await place(), GET % b"/fail_late")
        with pytest.raises(ConnectionResetError):
            await whole(reader)
        assert "unexpected failure" in caplog.text


class TestDrain:
    async def test_answers_under_way_end_and_say_close(self, place) -> None:
        here = await place()
        busy, _ = await talk(here, GET % b"/wait", pause=0.02)
        idle, _ = await talk(here, GET % b"/echo")
        await until(idle, b"\r\n\r\n")
        draining = asyncio.create_task(here.server.drain(2))
        assert await whole(idle) == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*here.server.address)
        here.go.set()
        assert b"connection: close\r\n" in await whole(busy)
        assert await draining is True

    async def test_what_takes_too_long_is_broken_off(self, place, caplog: pytest.LogCaptureFixture) -> None:
        here = await place()
        reader, _ = await talk(here, GET % b"/wait", pause=0.02)
        assert await here.server.drain(0.05) is False
        with pytest.raises(ConnectionResetError):
            await whole(reader)
        await asyncio.wait_for(here.cancelled.wait(), 0.1)
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_bodies_that_wait_for_their_turn_are_not_read_without_end(place) -> None:
    go = asyncio.Event()

    async def waits(_: Request, exchange: Exchange) -> None:
        await go.wait()
        await exchange.respond(200, [], b"")

    server = await serve(waits, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.address[1])
    size = 400_000
    writer.write((b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size) * 12)
    await asyncio.sleep(0.2)
    (connection,) = server.connections
    assert connection._reader.waiting_bytes < 2_000_000
    go.set()
    for _ in range(12):
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 1)
    writer.close()
    await server.drain(0.1)


async def test_a_taken_port_says_so(place) -> None:
    here = await place()
    with pytest.raises(OSError, match="in use"):
        await serve(here.handle, *here.server.address)


async def test_a_body_whose_client_is_gone_before_its_handler_began_is_let_go() -> None:
    place = Place()
    place.server = await serve(place.handle, "127.0.0.1", 0)
    post = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    for asked in (1, 2, 3):
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*place.server.address)
            for _ in range(asked - 1):
                writer.write(post)
                await reader.readuntil(b"abc")
            writer.write(post)
            writer.transport.abort()
    await place.server.drain(1.0)
    assert place.server.room.held == 0
