"""The client towards upstreams: pooling, one retry of a stale connection, timeouts apart, no broken answer accepted."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.gateway.conftest import Bench

from baseload.errors import BadConfig
from baseload.gateway import connection, upstream
from baseload.gateway.upstream import AttemptFailed, Client
from baseload.settings import Timeouts

QUICK = Timeouts(connect=0.3, first_byte=0.2, idle=0.2)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server that speaks raw bytes; counts its connections and the requests it read."""

    def __init__(self, speak: Callable[[Peer], Speak]) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.closed = asyncio.Event()
        self._speak = speak(self)
        self._server: asyncio.Server

    async def start(self) -> Peer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._speak(reader, writer)
            if not await reader.read(1):
                self.closed.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed.set()
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def stop(self) -> None:
        self._server.close()


@pytest.fixture
async def meet() -> AsyncIterator[Callable]:
    open_now: list[tuple[Peer, Client]] = []

    async def meet(speak: Callable[[Peer], Speak], timeouts: Timeouts = QUICK) -> tuple[Peer, Client]:
        peer = await Peer(speak).start()
        client = Client(peer.url, timeouts)
        open_now.append((peer, client))
        return peer, client

    yield meet
    for peer, client in open_now:
        client.close()
        peer.stop()
    await asyncio.sleep(0.01)


def answers(*replies: bytes, close: bool = False) -> Callable[[Peer], Speak]:
    """Read a request and give the next of `replies`; then wait for the client, or close."""

    def speak(peer: Peer) -> Speak:
        async def speaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for reply in replies:
                await peer.request(reader)
                writer.write(reply)
                await writer.drain()
            if close:
                writer.close()

        return speaking

    return speak


async def get(client: Client, method: str = "GET") -> tuple[int, bytes]:
    with await client.send(method, "/x", []) as answer:
        return answer.status, await answer.read()


async def test_a_connection_is_used_again(meet) -> None:
    peer, client = await meet(answers(OK, OK, OK))
    for _ in range(3):
        assert await get(client) == (200, b"ok")
    assert (peer.connections, len(peer.requests)) == (1, 3)
    assert peer.requests[0] == f"GET /v1/x HTTP/1.1\r\nhost: {client.authority}\r\n\r\n".encode()


async def test_a_post_says_its_length(meet) -> None:
    peer, client = await meet(answers(OK))
    await get(client, "POST")
    assert b"\r\ncontent-length: 0\r\n" in peer.requests[0]


async def test_informational_answers_are_passed_over(meet) -> None:
    _, client = await meet(answers(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK))
    assert await get(client) == (200, b"ok")


async def test_head_has_no_body_whatever_its_length_says(meet) -> None:
    _, client = await meet(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))
    assert await get(client, "HEAD") == (200, b"")


async def test_an_answer_that_ends_with_its_connection(meet) -> None:
    peer, client = await meet(answers(b"HTTP/1.1 200 OK\r\n\r\nok", close=True))
    for _ in range(2):
        with await client.send("GET", "/x", []) as answer:
            assert answer.until_close
            assert await answer.read() == b"ok"
    assert peer.connections == 2


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"", "closed before the answer"),
        (b"HTTP/1.1 200 O", "closed inside the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "closed inside the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "closed inside the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", "closed inside the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", "not valid HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "not valid HTTP"),
        (b"SSH-2.0-OpenSSH\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", "longer than"),
    ],
)
async def test_a_broken_answer_is_never_a_whole_one(meet, reply: bytes, says: str) -> None:
    _, client = await meet(answers(reply, close=True))
    with pytest.raises(AttemptFailed, match=says) as caught:
        await get(client)
    assert (caught.value.timed_out, caught.value.began) == (False, bool(reply))


async def test_an_answer_to_nothing_ends_the_connection(meet) -> None:
    peer, client = await meet(answers(OK + OK))
    assert await get(client) == (200, b"ok")
    await asyncio.wait_for(peer.closed.wait(), 0.5)


class TestStale:
    async def test_a_kept_connection_that_had_died_is_replaced_once(self, meet) -> None:
        def speak(peer: Peer) -> Speak:
            async def speaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await peer.request(reader)
                writer.write(OK)
                if peer.connections == 1:
                    await peer.request(reader)  # take the second request, answer nothing, close
                    writer.close()

            return speaking

        peer, client = await meet(speak)
        assert await get(client) == (200, b"ok")
        assert await get(client) == (200, b"ok")
        assert (peer.connections, len(peer.requests)) == (2, 3)

    async def test_not_when_a_byte_of_an_answer_had_come(self, meet) -> None:
        peer, client = await meet(answers(OK, b"HTTP/1.1 2", close=True))
        await get(client)
        with pytest.raises(AttemptFailed):
            await get(client)
        assert peer.connections == 1

    async def test_not_on_a_fresh_connection(self, meet) -> None:
        peer, client = await meet(answers(b"", close=True))
        with pytest.raises(AttemptFailed):
            await get(client)
        assert peer.connections == 1

    async def test_not_when_it_was_slow(self, meet) -> None:
        peer, client = await meet(answers(OK, b""))
        await get(client)
        with pytest.raises(AttemptFailed) as caught:
            await get(client)
        assert caught.value.timed_out
        assert peer.connections == 1


class TestTimeouts:
    async def test_to_the_first_byte(self, meet) -> None:
        peer, client = await meet(answers(b""))
        began = time.monotonic()
        with pytest.raises(AttemptFailed, match=r"no first byte of an answer within 0\.2 s") as caught:
            await get(client)
        assert caught.value.timed_out
        assert 0.15 < time.monotonic() - began < 0.4
        await asyncio.wait_for(peer.closed.wait(), 0.5)

    async def test_between_bytes(self, meet) -> None:
        _, client = await meet(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"))
        with pytest.raises(AttemptFailed, match=r"no byte of an answer within 0\.2 s") as caught:
            await get(client)
        assert (caught.value.timed_out, caught.value.began) == (True, True)

    async def test_a_head_alone_is_no_first_byte(self, meet) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
        _, client = await meet(answers(head), Timeouts(connect=0.3, first_byte=0.4, idle=0.1))
        began = time.monotonic()
        with pytest.raises(AttemptFailed, match=r"no first byte of an answer within 0\.4 s"):
            await get(client)
        assert time.monotonic() - began > 0.3

    async def test_a_slow_stream_that_moves_is_no_timeout(self, meet) -> None:
        def speak(peer: Peer) -> Speak:
            async def speaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await peer.request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                for _ in range(5):
                    await asyncio.sleep(0.1)
                    writer.write(b"x")

            return speaking

        _, client = await meet(speak)
        assert await get(client) == (200, b"xxxxx")

    async def test_to_connect(self) -> None:
        # A listening socket whose backlog is full accepts no more connections, so a connect hangs.
        import socket

        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(full.getsockname())
            client = Client(f"http://127.0.0.1:{full.getsockname()[1]}", QUICK)
            with pytest.raises(AttemptFailed, match=r"within 0\.3 s") as caught:
                await get(client)
            assert caught.value.timed_out
            for each in waiting:
                each.close()
            client.close()


async def test_nobody_listens() -> None:
    with pytest.raises(AttemptFailed, match=r"no connection to 127\.0\.0\.1:1") as caught:
        await get(Client("http://127.0.0.1:1", QUICK))
    assert not caught.value.timed_out


async def test_letting_go_of_an_unfinished_answer_closes_its_connection(meet) -> None:
    peer, client = await meet(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok"))
    answer = await client.send("GET", "/x", [])
    assert await answer.next() == b"ok"
    answer.let_go()
    await asyncio.wait_for(peer.closed.wait(), 0.1)


async def test_a_cancelled_wait_closes_the_connection_at_once(meet) -> None:
    peer, client = await meet(answers(b""), Timeouts())
    task = asyncio.create_task(get(client))
    await asyncio.sleep(0.05)
    assert peer.requests
    task.cancel()
    await asyncio.wait_for(peer.closed.wait(), 0.1)


async def test_an_answer_that_lacks_only_its_end_mark_keeps_its_connection(meet) -> None:
    def speak(peer: Peer) -> Speak:
        async def speaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(2):
                await peer.request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
                await asyncio.sleep(0.05)
                writer.write(b"0\r\n\r\n")

        return speaking

    peer, client = await meet(speak)
    for _ in range(2):
        with await client.send("GET", "/x", []) as answer:
            assert await answer.next() == b"ok"
        await asyncio.sleep(0.1)
    assert peer.connections == 1


async def test_an_end_mark_that_never_comes_is_not_waited_for_long(meet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TAIL_SECONDS", 0.1)
    peer, client = await meet(answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), Timeouts())
    with await client.send("GET", "/x", []) as answer:
        assert await answer.next() == b"ok"
    await asyncio.wait_for(peer.closed.wait(), 1.5)


async def test_a_slow_reader_stops_the_socket(meet) -> None:
    sent = 0

    def speak(peer: Peer) -> Speak:
        async def speaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await peer.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
            while sent < 50_000_000:
                writer.write(b"x" * 100_000)
                await writer.drain()
                sent += 100_000

        return speaking

    _, client = await meet(speak)
    with await client.send("GET", "/x", []) as answer:
        await asyncio.sleep(0.5)  # longer than the idle timeout: it is the reader who is slow, not the upstream
        assert sent < 16_000_000
        assert len(await answer.read()) == 50_000_000


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def one_by_one(*pieces: bytes, close: bool = False) -> Callable[[Peer], Speak]:
    """Read requests, and to each write the pieces with a pause before every one; then wait for the client, or close."""

    def speak(peer: Peer) -> Speak:
        async def speaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(2 - close):
                await peer.request(reader)
                for piece in pieces:
                    await asyncio.sleep(0.01)
                    writer.write(piece)
            if close:
                writer.close()

        return speaking

    return speak


class TestPump:
    """A body that is handed over in the turn of the event loop that reads it."""

    async def test_every_piece_in_order_then_the_end(self, meet) -> None:
        peer, client = await meet(
            one_by_one(CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n1\r\nc\r\n", b"2\r\nd", b"e\r\n0\r\n\r\n")
        )
        for _ in range(2):
            came: list[bytes] = []
            with await client.send("GET", "/x", []) as answer:
                assert await answer.pump(lambda data, came=came: not came.append(data))
            assert came == [b"a", b"bc", b"d", b"e"]
        assert peer.connections == 1

    async def test_what_comes_while_nobody_pumps_waits_for_the_next_call(self, meet) -> None:
        _, client = await meet(one_by_one(CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n0\r\n\r\n"))
        came: list[bytes] = []
        with await client.send("GET", "/x", []) as answer:
            assert not await answer.pump(lambda data: came.append(data) is not None)
            await asyncio.sleep(0.05)
            assert came == [b"a"]
            assert not await answer.pump(lambda data: came.append(data) is not None)
            assert await answer.pump(lambda data: came.append(data) is not None)
        assert came == [b"a", b"bc"]

    async def test_a_sink_that_takes_no_more_stops_the_socket(self, meet) -> None:
        sent = taken = 0

        def speak(peer: Peer) -> Speak:
            async def speaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal sent
                await peer.request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
                while sent < 50_000_000:
                    writer.write(b"x" * 100_000)
                    await writer.drain()
                    sent += 100_000

            return speaking

        def sink(data: bytes) -> bool:
            nonlocal taken
            taken += len(data)
            return taken % 3 != 0  # it says so every now and then

        _, client = await meet(speak)
        with await client.send("GET", "/x", []) as answer:
            assert not await answer.pump(lambda _: False)
            await asyncio.sleep(0.3)  # longer than the idle timeout: it is the reader who is slow, not the upstream
            assert sent < 16_000_000
            before = sent
            while not await answer.pump(sink):
                pass
        assert before < sent == 50_000_000

    async def test_what_the_sink_raises_is_raised_by_who_pumps(self, meet) -> None:
        def sink(data: bytes) -> bool:
            raise LookupError(data)

        peer, client = await meet(one_by_one(CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n"))
        with pytest.raises(LookupError, match="a"), await client.send("GET", "/x", []) as answer:
            await answer.pump(sink)
        await asyncio.wait_for(peer.closed.wait(), 0.5)

    @pytest.mark.parametrize(
        ("tail", "says"), [(b"", "closed inside the answer"), (b"1\r\nb\r\nzz\r\n", "not valid HTTP")]
    )
    async def test_a_break_comes_after_what_had_come(self, meet, tail: bytes, says: str) -> None:
        _, client = await meet(one_by_one(CHUNKED, b"1\r\na\r\n", tail, close=True))
        came: list[bytes] = []
        with await client.send("GET", "/x", []) as answer, pytest.raises(AttemptFailed, match=says):
            await answer.pump(lambda data: not came.append(data))
        assert b"".join(came) == (b"ab" if tail else b"a")

    async def test_an_answer_that_ends_by_closing(self, meet) -> None:
        _, client = await meet(one_by_one(b"HTTP/1.1 200 OK\r\n\r\n", b"a", b"b", close=True))
        came: list[bytes] = []
        with await client.send("GET", "/x", []) as answer:
            assert await answer.pump(lambda data: not came.append(data))
        assert came == [b"a", b"b"]

    async def test_silence(self, meet) -> None:
        _, client = await meet(one_by_one(CHUNKED, b"1\r\na\r\n"))
        answer = await client.send("GET", "/x", [])
        with pytest.raises(AttemptFailed, match=r"no byte of an answer within 0\.2 s"), answer:
            await answer.pump(lambda _: True)

    async def test_a_head_alone_is_no_first_byte(self, meet) -> None:
        _, client = await meet(one_by_one(CHUNKED, b"1\r\n"), Timeouts(connect=0.3, first_byte=0.4, idle=0.1))
        began = time.monotonic()
        answer = await client.send("GET", "/x", [])
        with pytest.raises(AttemptFailed, match=r"no first byte of an answer within 0\.4 s"), answer:
            await answer.pump(lambda _: True)
        assert time.monotonic() - began > 0.3


async def test_an_answer_too_long_to_hold(meet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "ANSWER_BYTES", 10)
    _, client = await meet(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 20))
    with pytest.raises(AttemptFailed, match="longer than 10 bytes"):
        await get(client)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/v1",
        "api.example.com",
        "http://",
        "",
        "http://x/a b",
        "http://x/\u4e2d",
        "http://[::1",
        "http://x:99999/v1",
    ],
)
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(BadConfig):
        Client(url, QUICK)


@pytest.fixture
def certified(tmp_path) -> tuple[Path, Path]:
    """A certificate for localhost that nobody has signed, and its key."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*new, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.mark.parametrize("trusted", ["by the machine", "by ca_file", ""])
async def test_tls_is_verified(certified, monkeypatch: pytest.MonkeyPatch, bench: Bench, trusted: str) -> None:
    certificate, key = certified
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    if trusted == "by the machine":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    bench.stack.callback(server.close)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    client = Client(url, Timeouts(), ca_file=str(certificate) if trusted == "by ca_file" else "")
    if trusted:
        assert await get(client) == (200, b"ok")
    else:
        with pytest.raises(AttemptFailed, match=r"(?i)certificate verify failed"):
            await get(client)
    client.close()


@pytest.mark.parametrize("holds", [None, "no certificate"])
def test_a_ca_file_that_is_none_is_refused_at_the_start(tmp_path: Path, holds: str | None) -> None:
    path = tmp_path / "ca.pem"
    if holds is not None:
        path.write_text(holds)
    with pytest.raises(BadConfig, match=r"ca\.pem"):
        Client("https://localhost:1", Timeouts(), ca_file=str(path))


async def test_a_deadline_ends_an_attempt_however_long_its_timeouts(meet) -> None:
    def speak(peer: Peer) -> Speak:
        async def speaking(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await peer.request(reader)

        return speaking

    peer, client = await meet(speak, Timeouts())
    with pytest.raises(AttemptFailed, match="before the request's deadline") as caught:
        await client.send("POST", "/x", [], within=0.05)
    assert caught.value.timed_out
    await asyncio.wait_for(peer.closed.wait(), 2)
