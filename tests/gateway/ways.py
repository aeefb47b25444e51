"""Which way requests go through a gateway, what both ways must agree on, and what must be given back at the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff

import msgspec
from tests.gateway.conftest import Bench, Running, ScriptedUpstream, ask, completion, question

from baseload.gateway.http import Connection, Flight, Request
from baseload.load.calls import Call

PLAIN = ["express"]
HANDED_OVER = ["express", "resumed"]
OTHER = ["answered"]

_TIMES = re.compile(r'("\w+_ns":)\d+')
_PLACE = re.compile(r"127\.0\.0\.1:\d+")
_ID = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass
class Told:
    """One answer as a client gets it. `whole` is False where the connection broke inside it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool = True

    def header(self, name: str) -> str:
        return dict(self.headers).get(name, "")


@dataclass
class Watched(Bench):
    """A bench that notes which way every request goes, and looks at the end whether all was given back."""

    running: list[Running] = field(default_factory=list)

    async def watched(self, *urls: str, express: bool = True, **more: object) -> tuple[Running, list[str]]:
        """A gateway, with or without the express way, and the ways that its requests take from then on: `express` was
        taken, `resumed` was handed over after that, `answered` went the other way from the start."""
        running = await self.gateway(*urls, **more)
        self.running.append(running)
        ways: list[str] = []
        server, chat = running.gateway._server, running.gateway._chat
        take, answer, resume = server.express, chat.answer, chat.resume

        def takes(line: Connection, request: Request) -> Flight | None:
            flight = take(line, request)
            if flight is not None:
                ways.append("express")
            return flight

        async def answers(*given: object) -> None:
            ways.append("answered")
            await answer(*given)

        async def resumes(*given: object) -> None:
            ways.append("resumed")
            await resume(*given)

        server.express = takes if express else None
        chat.answer, chat.resume = answers, resumes
        return running, ways

    async def nothing_is_left(self) -> None:
        """Every slot, place, byte of room and connection was given back."""
        for running in self.running:
            await settled(lambda running=running: held(running) == {})
            assert held(running) == {}


def held(running: Running) -> dict[str, object]:
    """What requests hold of a gateway."""
    gateway = running.gateway
    found: dict[str, object] = {"room": gateway._server.room.held}
    for target in gateway._state.targets.by_name.values():
        name = target.upstream.name
        found[f"slots of {name}"] = gateway._state.slots.own(name)
        found[f"under way at {name}"] = target._under_way
        found[f"in flight at {name}"] = sum(replica.in_flight for replica in target.replicas)
        idle = [each for client in target._clients.values() for each in client._idle]
        found[f"heard of idle connections to {name}"] = sum(each.listener is not None for each in idle)
        found[f"idle connections to {name} that are busy"] = sum(each._busy for each in idle)
    return {name: number for name, number in found.items() if number}


async def settled(done: Callable[[], bool], seconds: float = 1.0) -> None:
    """Wait until something holds, so long at the most."""
    for _ in range(int(seconds / 0.005)):
        if done():
            return
        await asyncio.sleep(0.005)


# A client.


@dataclass
class Line:
    """A client's connection to a gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def tell(self, message: bytes, *, bodiless: bool = False) -> Told:
        """Send a request and read its answer."""
        self.writer.write(message)
        return await self.told(bodiless=bodiless)

    async def told(self, *, bodiless: bool = False) -> Told:
        """Read one answer."""
        return await asyncio.wait_for(self._told(bodiless=bodiless), 5)

    async def _told(self, *, bodiless: bool) -> Told:
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return Told(0, [], b"", whole=False)
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        told = Told(int(first.split()[1]), headers, b"")
        try:
            if bodiless:
                return told
            if told.header("transfer-encoding") == "chunked":
                while size := int(await self.reader.readline(), 16):
                    told.body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            else:
                told.body = await self.reader.readexactly(int(told.header("content-length")))
        except (asyncio.IncompleteReadError, ConnectionResetError, ValueError):
            told.whole = False
        return told


async def line_to(running: Running) -> Line:
    return Line(*await running.connect())


async def warm(running: Running, ways: list[str]) -> Line:
    """A connection over which one request was served, so that one to the upstream is kept; it went the other way."""
    line = await line_to(running)
    told = await line.tell(ask(question()))
    assert (told.status, ways) == (200, OTHER)
    ways.clear()
    return line


# An upstream, byte by byte.


@dataclass
class RawUpstream:
    """Answers the first request plainly, each after it with `pieces`, one turn of the event loop or more apart; then
    does what `then` says: keep (the connection), close, or wait. `seen` are the bodies of all requests, `places` the
    number of the connection that each came on, `left` is set when a client closes."""

    pieces: Sequence[bytes]
    then: str = "keep"
    pause: float = 0.01
    first: bytes = b""
    seen: list[bytes] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    url: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        place = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"content-length: (\d+)", head)[1])
                self.heads.append(head)
                self.seen.append(await reader.readexactly(length))
                self.places.append(place)
                if len(self.seen) == 1 or (self.then == "close" and place > 1):
                    writer.write(self.first or whole(completion()))
                    continue
                for piece in self.pieces:
                    if self.pause:
                        await asyncio.sleep(self.pause)
                    writer.write(piece)
                self.begun.set()
                if self.then == "close":
                    return
                if self.then == "wait":
                    await reader.read(1)
                    return
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            self.left.set()
            writer.close()


async def raw(bench: Bench, *pieces: bytes, **more: object) -> RawUpstream:
    """An upstream that answers with those bytes, from the second request on."""
    upstream = RawUpstream(pieces, **more)
    server = await asyncio.start_server(upstream.handle, "127.0.0.1", 0)
    bench.stack.callback(server.close)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    return upstream


def whole(body: bytes, head: bytes = b"content-type: application/json\r\n", status: bytes = b"200 OK") -> bytes:
    """An answer with a length."""
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, head, len(body), body)


# What both ways must agree on.


def plainly(value: Call | Told | Request) -> object:
    """A call, an answer or what an upstream was sent, without what differs from request to request."""
    if isinstance(value, Call):
        text = _TIMES.sub(r"\1 0", msgspec.json.encode(value, order="sorted").decode())
        return msgspec.json.decode(_unnamed(text))
    if isinstance(value, Told):
        headers = [(name, _unnamed(text)) for name, text in value.headers if name != "date"]
        return value.status, headers, _unnamed(value.body.decode("latin-1")), value.whole
    headers = [(name, _unnamed(text.decode("latin-1"))) for name, text in value.headers]
    return value.method, value.target, headers, value.body


def _unnamed(text: str) -> str:
    return _ID.sub("ID", _PLACE.sub("HOST", text))


def in_order(call: Call) -> bool:
    """Whether the times of a call follow each other."""
    times = [call.facts.at_ns]
    for attempt in call.attempts:
        first = attempt.ended_ns if attempt.first_byte_ns is None else attempt.first_byte_ns
        times += [attempt.started_ns, first, attempt.ended_ns]
    return sorted([*times, call.ended_ns]) == [*times, call.ended_ns]


def agree(one: object, other: object) -> None:
    """Assert that two gateways did the same, and show in what they differ."""
    differing = list(unified_diff(_shown(one), _shown(other), "express", "other", lineterm=""))
    assert not differing, "\n".join(differing)


def _shown(found: object) -> list[str]:
    return msgspec.json.format(msgspec.json.encode(found)).decode().splitlines()


def recorded(bench: Watched, told: list[Told], *upstreams: ScriptedUpstream) -> list[object]:
    """What one gateway has answered, kept, recorded and sent, to be compared; the bench forgets it. The last call may
    be written down after its client has gone."""
    spool = bench.spool
    assert all(in_order(call) for call in spool.calls)
    seen = [request for upstream in upstreams for request in upstream.seen]
    found = [[plainly(each) for each in values] for values in (told, spool.begun, spool.calls, seen)]
    for values in (spool.calls, spool.begun, *(upstream.seen for upstream in upstreams)):
        values.clear()
    return found
