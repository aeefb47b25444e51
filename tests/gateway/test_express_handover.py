"""What turns out not to be plain once it was sent: it ends as it would have on the other way, and nothing is lost."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.gateway.conftest import DONE, ask, chunk, completion, plain, question, route, usage
from tests.gateway.test_keys import AT, At, make
from tests.gateway.ways import (
    HANDED_OVER,
    OTHER,
    PLAIN,
    Watched,
    agree,
    held,
    line_to,
    raw,
    recorded,
    settled,
    warm,
    whole,
)

from baseload.errors import LedgerUnavailable
from baseload.gateway import keys as ring_module
from baseload.gateway import meter
from baseload.gateway.http import PIPELINED, Exchange, Request
from baseload.gateway.keyfile import KeyFile
from baseload.gateway.loaded import Loaded
from baseload.load.calls import Evidence, Status
from baseload.settings import Limits, Timeouts
from baseload.upstreams import Circuit

JSON = b"content-type: application/json\r\n"
QUICK = Timeouts(connect=0.3, first_byte=0.3, idle=0.3)
NO = msgspec.json.encode({"error": {"message": "no", "type": "x", "param": None, "code": None}})
GOOD = whole(completion())
CHUNKED = b"HTTP/1.1 200 OK\r\n%btransfer-encoding: chunked\r\n\r\n" % JSON
OPEN_ENDED = b"HTTP/1.1 200 OK\r\n%bconnection: close\r\n\r\n" % JSON


@pytest.fixture
async def bench() -> AsyncIterator[Watched]:
    async with AsyncExitStack() as stack:
        watched = Watched(stack)
        yield watched
        await watched.nothing_is_left()


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def in_chunks(body: bytes, size: int = 1 << 30) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in pieces(body, size)) + b"0\r\n\r\n"


@dataclass(frozen=True)
class Coming:
    """What comes of the second request, and how that is to end. `ways` are those that it takes; `again` that the
    request is sent once more to the same upstream, or to the next (`served` by u1)."""

    pieces: Sequence[bytes]
    status: int = 200
    ways: Sequence[str] = tuple(HANDED_OVER)
    then: str = "keep"
    pause: float = 0.01
    attempts: int = 1
    timeouts: Timeouts = field(default_factory=Timeouts)
    end: Status = Status.OK


def refused(status: bytes, more: bytes = b"") -> list[bytes]:
    return [whole(NO, JSON + more, status)]


PLAINLY = tuple(PLAIN)
HALF_WAY = {
    "no usage": [whole(completion(usage=None))],
    "no end yet": [OPEN_ENDED + b"{"],
    "a refusal": refused(b"500 Oh"),
}
COMING: dict[str, Coming] = {
    "400": Coming(refused(b"400 Bad Request"), 400, end=Status.REFUSED),
    "400, its body later": Coming(pieces(refused(b"400 Bad Request")[0], 90), 400, end=Status.REFUSED),
    "401": Coming(refused(b"401 Unauthorized"), attempts=2),
    "404": Coming(refused(b"404 Not Found"), 404, end=Status.REFUSED),
    "408": Coming(refused(b"408 Request Timeout"), attempts=2),
    "429": Coming(refused(b"429 Too Many Requests", b"retry-after: 7\r\n"), attempts=2),
    "500": Coming(refused(b"500 Internal Server Error"), attempts=2),
    "503, its body later": Coming(pieces(refused(b"503 Service Unavailable")[0], 90), attempts=2),
    "302": Coming(refused(b"302 Found", b"location: /\r\n"), attempts=2),
    "201": Coming([whole(completion(), JSON, b"201 Created")], 201),
    "204": Coming([b"HTTP/1.1 204 No Content\r\n\r\n"], attempts=2),
    "an empty body": Coming([whole(b"")], attempts=2),
    "no answer": Coming([whole(b'{"detail":"busy"}')], attempts=2),
    "no JSON": Coming([whole(b"<html>")], attempts=2),
    "no usage": Coming([whole(completion("x" * 400, usage=None))]),
    "a count of nothing": Coming([whole(completion("x" * 400, usage=usage(100, 0)))]),
    "an absurd count": Coming([whole(completion(usage=usage(-1, 1 << 62)))]),
    "a cost": Coming([whole(completion(usage={**usage(100, 20), "cost": 0.00012345}))]),
    "a service tier": Coming([whole(completion(service_tier="flex"))]),
    "the default service tier": Coming([whole(completion(service_tier="default"))], ways=PLAINLY),
    "gzip": Coming([whole(gzip.compress(completion(), mtime=0), JSON + b"content-encoding: gzip\r\n")]),
    "a coding nobody knows": Coming([whole(b"??", JSON + b"content-encoding: x\r\n")], attempts=2),
    "identity": Coming([whole(completion(), JSON + b"content-encoding: identity\r\n")], ways=PLAINLY),
    "chunked": Coming([CHUNKED + in_chunks(completion())], ways=PLAINLY),
    "chunked, in pieces": Coming(pieces(CHUNKED + in_chunks(completion(), 50), 40), ways=PLAINLY),
    "head and body apart": Coming([GOOD[:-300], GOOD[-300:]], ways=PLAINLY),
    "byte by byte": Coming(pieces(GOOD, 1), ways=PLAINLY, pause=0.0002),
    "an informational answer first": Coming([b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", GOOD], ways=PLAINLY),
    "more than waits, at once": Coming([whole(completion("x" * 300_000))]),
    "more than waits, in pieces": Coming(pieces(whole(completion("x" * 300_000)), 50_000)),
    "until it closes": Coming([OPEN_ENDED + completion()], then="close"),
    "until it closes, in pieces": Coming([OPEN_ENDED, completion()[:100], completion()[100:]], then="close"),
    "its last one": Coming([whole(completion(), JSON + b"connection: close\r\n")], ways=PLAINLY, then="close"),
    "a stream nobody asked for": Coming(
        [
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            in_chunks(chunk("hello") + chunk(usage=usage(100, 20)) + DONE),
        ]
    ),
    "broken in the middle": Coming([GOOD[:-300]], attempts=2, then="close"),
    "chunks that are none": Coming([CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"], attempts=2),
    "two lengths": Coming([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} "], attempts=2),
    "no HTTP": Coming([b"hello\r\n\r\n"], attempts=2),
    "a head too long": Coming([b"HTTP/1.1 200 OK\r\nx: %b\r\n\r\n" % (b"x" * 70_000)], attempts=2),
    "two answers": Coming([GOOD + GOOD], ways=PLAINLY),
    "closed at once": Coming([], pause=0, then="close", attempts=2),
    "closed late": Coming([b""], pause=0.4, then="close", attempts=2),
    "no first byte": Coming([], then="wait", attempts=2, timeouts=QUICK),
    "nothing after the head": Coming([GOOD[:-300]], then="wait", attempts=2, timeouts=QUICK),
    "a header in two lines": Coming([whole(completion(), JSON + b"openai-x: a\r\n b\r\n")], ways=()),
}


@pytest.mark.parametrize("coming", [pytest.param(each, id=name) for name, each in COMING.items()])
async def test_it_ends_as_on_the_other_way(bench: Watched, coming: Coming) -> None:
    found = []
    for express in (True, False):
        first = await raw(bench, *coming.pieces, then=coming.then, pause=coming.pause)
        second = await bench.upstream()
        running, ways = await bench.watched(first.url, second.url, express=express, timeouts=coming.timeouts)
        line = await warm(running, ways)
        told = [await line.tell(ask(question(), b"X-Request-Id: mine\r\n"))]
        if coming.ways:
            assert ways == (list(coming.ways) if express else OTHER), told
            assert told[0].status == coming.status
            assert len(bench.spool.calls[1].attempts) == coming.attempts
            assert bench.spool.calls[1].status is coming.end
        assert len(bench.spool.calls) == 2
        await settled(lambda running=running: held(running) == {})
        told.append(await line.tell(ask(question(), b"X-Request-Id: mine\r\n")))  # the connection to the client is good
        places = [first.places[1:2], len(set(first.places)) > 1]
        found.append([*recorded(bench, told, second), first.seen[:2], places])
    agree(*found)


async def test_what_was_kept_of_the_first_try_stays_when_the_next_route_serves(bench: Watched) -> None:
    first, second = await raw(bench, *refused(b"500 Oh")), await bench.upstream()
    running, ways = await bench.watched(first.url, second.url)
    line = await warm(running, ways)
    told = await line.tell(ask(question()))
    assert (told.header("x-baseload-route"), ways) == ("r1", HANDED_OVER)
    failed, served = bench.spool.calls[1].attempts
    assert (failed.status, failed.http_status, failed.evidence, failed.number) == (
        Status.FAILED,
        500,
        Evidence.NONE,
        1,
    )
    assert (served.status, served.number, served.upstream) == (Status.OK, 2, "u1")
    one, other = bench.spool.begun[1:]
    assert one.id == other.id == bench.spool.calls[1].id
    assert [attempt.upstream for attempt in one.attempts] == ["u0"]
    assert [(attempt.upstream, attempt.status) for attempt in other.attempts] == [
        ("u0", Status.FAILED),
        ("u1", Status.CUT),
    ]
    assert other.attempts[0] == failed


async def test_an_upstream_that_keeps_failing_is_left_out_by_requests_that_were_handed_over(bench: Watched) -> None:
    first, second = await raw(bench, *refused(b"500 Oh")), await bench.upstream()
    running, ways = await bench.watched(first.url, second.url)
    line = await warm(running, ways)
    routes = []
    for _ in range(8):
        await line.tell(ask(question()))
        routes.append([attempt.upstream for attempt in bench.spool.calls[-1].attempts])
    assert routes[0] == ["u0", "u1"]
    assert routes[-1] == ["u1"]
    assert "u0" in {skip.reason and skip.route.replace("r", "u") for skip in bench.spool.calls[-1].decision.skipped}


class TestClientGone:
    @pytest.mark.parametrize("coming", [[], [GOOD[:-300]], [OPEN_ENDED + b"{"]], ids=["head", "body", "until close"])
    async def test_the_upstream_is_told_and_what_it_did_is_written_down(
        self, bench: Watched, coming: list[bytes]
    ) -> None:
        found = []
        for express in (True, False):
            up = await raw(bench, *coming, then="wait")
            running, ways = await bench.watched(up.url, express=express)
            line = await warm(running, ways)
            line.writer.write(ask(question()))
            await asyncio.wait_for(up.begun.wait(), 1)
            await asyncio.sleep(0.02)
            assert ways[0] == ("express" if express else "answered")
            assert held(running)["room"] > 0
            line.writer.close()
            await asyncio.wait_for(up.left.wait(), 0.5)
            await settled(lambda running=running: held(running) == {})
            assert held(running) == {}
            call = bench.spool.calls[1]
            (attempt,) = call.attempts
            assert call.status is attempt.status is Status.CLIENT_GONE
            assert attempt.evidence is Evidence.ESTIMATED
            assert attempt.usage.input_tokens == call.facts.input_tokens > 0
            assert attempt.cost_nanousd
            found.append(recorded(bench, []))
        agree(*found)

    @pytest.mark.parametrize("coming", HALF_WAY.values(), ids=HALF_WAY)
    async def test_it_leaves_in_the_moment_of_the_hand_over(self, bench: Watched, coming: list[bytes]) -> None:
        up = await raw(bench, *coming, then="wait")
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        (connection,) = running.gateway._server.connections
        go_on, gone = connection.go_on, []

        def leaves(handler: object) -> None:
            go_on(handler)
            gone.append(connection)
            connection.abort()  # the task has a handler now and has not begun

        connection.go_on = leaves
        line.writer.write(ask(question()))
        await settled(lambda: len(bench.spool.calls) > 1 and held(running) == {})
        assert (gone, held(running)) == ([connection], {})
        assert len(bench.spool.calls) == 2
        assert len(bench.spool.calls[1].attempts) == 1
        assert ways in (PLAIN, HANDED_OVER)

    @pytest.mark.parametrize("coming", HALF_WAY.values(), ids=HALF_WAY)
    async def test_it_is_known_to_be_gone_before_the_task_begins(self, bench: Watched, coming: list[bytes]) -> None:
        """The loss of its connection is told between the hand-over and the first step of the task."""
        up = await raw(bench, *coming, then="wait")
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        (connection,) = running.gateway._server.connections
        go_on = connection.go_on

        def leaves(handler: object) -> None:
            go_on(handler)
            connection._transport.abort()
            connection.connection_lost(None)
            connection.connection_lost = lambda _: None

        connection.go_on = leaves
        line.writer.write(ask(question()))
        await settled(lambda: len(bench.spool.calls) > 1 and held(running) == {})
        assert (ways, held(running)) == (PLAIN, {})
        _, call = bench.spool.calls
        assert (call.status, len(call.attempts)) == (Status.CLIENT_GONE, 1)

    async def test_it_leaves_after_a_refusal_came(self, bench: Watched) -> None:
        """A refusal consumed nothing."""
        found = []
        for express in (True, False):
            up = await raw(bench, b"HTTP/1.1 500 Oh\r\ncontent-length: 9\r\n\r\n", then="wait")
            running, ways = await bench.watched(up.url, express=express)
            line = await warm(running, ways)
            line.writer.write(ask(question()))
            await asyncio.wait_for(up.begun.wait(), 1)
            await asyncio.sleep(0.02)
            line.writer.close()
            await asyncio.wait_for(up.left.wait(), 0.5)
            await settled(lambda: len(bench.spool.calls) > 1)
            (attempt,) = bench.spool.calls[1].attempts
            assert (attempt.status, attempt.evidence) == (Status.CLIENT_GONE, Evidence.NONE)
            assert ways == (HANDED_OVER if express else OTHER)
            found.append(recorded(bench, []))
        agree(*found)

    async def test_while_the_ledger_cannot_write_it_waits_to_be_written(self, bench: Watched) -> None:
        up = await raw(bench, then="wait")
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        line.writer.write(ask(question()))
        await settled(lambda: len(up.seen) > 1)
        bench.spool.before = full
        line.writer.close()
        await asyncio.wait_for(up.left.wait(), 0.5)
        await settled(lambda: held(running) == {})
        assert (ways, len(bench.spool.calls), running.gateway.meter.unwritten) == (PLAIN, 1, 1)
        bench.spool.before = lambda: None
        assert running.gateway.meter.catch_up()
        assert bench.spool.calls[1].status is Status.CLIENT_GONE


def full() -> None:
    raise LedgerUnavailable("the disk is full", remedy="Free some.")


class TestLedger:
    async def test_nothing_is_sent_that_cannot_be_kept(self, bench: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        up = await bench.upstream()
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        begin = bench.spool.begin
        monkeypatch.setattr(bench.spool, "begin", lambda *_: full())
        told = await line.tell(ask(question()))
        assert (told.status, len(up.seen), len(bench.spool.calls), ways) == (503, 1, 1, OTHER)
        assert b'"ledger_unavailable"' in told.body
        assert held(running) == {}
        monkeypatch.setattr(bench.spool, "begin", begin)
        monkeypatch.setattr(meter, "PROBE_NS", 0)
        ways.clear()
        assert [(await line.tell(ask(question()))).status for _ in range(2)] == [200, 200]
        assert ways[-1] == "express"

    async def test_an_answer_that_cannot_be_written_down_is_withheld_and_written_later(
        self, bench: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        up = await bench.upstream()
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        bench.spool.before = full
        told = await line.tell(ask(question()))
        assert (told.status, ways, len(bench.spool.calls)) == (503, HANDED_OVER, 1)
        assert b'"ledger_unavailable"' in told.body
        assert b"hello" not in told.body
        assert (running.gateway.meter.unwritten, running.gateway.meter.writable) == (1, False)
        bench.spool.before = lambda: None
        monkeypatch.setattr(meter, "PROBE_NS", 0)
        ways.clear()
        assert [(await line.tell(ask(question()))).status for _ in range(2)] == [200, 200]
        assert ways == [*OTHER, *PLAIN]
        assert [call.attempts[0].cost_nanousd for call in bench.spool.calls] == [142_400] * 4
        assert bench.spool.calls[1].id == bench.spool.begun[1].id

    async def test_a_disk_that_is_full_for_a_moment_costs_nobody_an_answer(self, bench: Watched) -> None:
        up = await bench.upstream()
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        failing = [full]

        def once() -> None:
            if failing:
                failing.pop()()

        bench.spool.before = once
        told = await line.tell(ask(question()))
        assert (told.status, told.body, ways) == (200, completion(), HANDED_OVER)
        assert len(bench.spool.calls) == 2
        assert running.gateway._state.answers._seen  # learned once
        assert {answers for answers, _, _ in running.gateway._state.answers._seen.values()} == {2}


class TestSlots:
    async def test_who_finds_the_slots_full_goes_to_the_next_route(self, bench: Watched) -> None:
        go = asyncio.Event()

        async def waits(request: Request, exchange: Exchange) -> None:
            if len(first.seen) > 1:
                await go.wait()
            await plain(request, exchange)

        first, second = await bench.upstream(waits), await bench.upstream()
        routes = (route(0, own=True, slots=1), route(1))
        running, ways = await bench.watched(first.url, second.url, routes=routes)
        line, other = await warm(running, ways), await line_to(running)
        line.writer.write(ask(question()))
        await first.reached(2)
        assert running.gateway._state.slots.own("u0") == 1
        overflow = await other.tell(ask(question()))
        assert (overflow.header("x-baseload-route"), ways) == ("r1", [*PLAIN, *OTHER])
        (skip,) = bench.spool.calls[1].decision.skipped
        assert skip.reason.startswith("full:")
        go.set()
        assert (await line.told()).header("x-baseload-route") == "r0"
        ways.clear()
        assert ((await other.tell(ask(question()))).header("x-baseload-route"), ways) == ("r0", PLAIN)

    async def test_a_decision_tells_of_another_route_that_is_full(self, bench: Watched) -> None:
        """Although it is not the first one."""
        go = asyncio.Event()

        async def waits(request: Request, exchange: Exchange) -> None:
            if msgspec.json.decode(request.body)["model"] == "slow":
                await go.wait()
            await plain(request, exchange)

        first, second = await bench.upstream(), await bench.upstream(waits)
        routes = (route(0), route(1, slots=1, names=("slow",)), route(1, name="r2", model="slow", success={}))
        running, ways = await bench.watched(first.url, second.url, routes=routes)
        line, other = await warm(running, ways), await line_to(running)
        assert (await line.tell(ask(question()))).header("x-baseload-route") == "r0"
        running.gateway._state.slots.take("u1", None)
        await other.tell(ask(question()))
        running.gateway._state.slots.give("u1")
        assert ways == [*PLAIN, *OTHER]
        assert [skip.route for skip in bench.spool.calls[2].decision.skipped if "full" in skip.reason] == ["r1"]

    async def test_a_slot_is_given_back_by_an_answer_that_was_handed_over(self, bench: Watched) -> None:
        first, second = await raw(bench, *refused(b"500 Oh")), await bench.upstream()
        routes = (route(0, slots=1), route(1, slots=1))
        running, ways = await bench.watched(first.url, second.url, routes=routes)
        line = await warm(running, ways)
        for _ in range(3):
            assert (await line.tell(ask(question()))).header("x-baseload-route") == "r1"
        assert ways[:2] == HANDED_OVER
        assert held(running) == {}


class TestReload:
    async def test_a_policy_that_is_swapped_meanwhile_is_for_the_next(self, bench: Watched) -> None:
        go = asyncio.Event()

        async def waits(request: Request, exchange: Exchange) -> None:
            if len(first.seen) > 1:
                await go.wait()
            await plain(request, exchange)

        first, second = await bench.upstream(waits), await bench.upstream()
        running, ways = await bench.watched(first.url, second.url, routes=(route(0),))
        line, other = await warm(running, ways), await line_to(running)
        before = running.gateway.policy
        line.writer.write(ask(question()))
        await first.reached(2)
        policy = msgspec.structs.replace(running.gateway._settings.policy, routes=(route(1),))
        after = running.gateway.swap(policy)
        late = await other.tell(ask(question()))
        assert (late.header("x-baseload-policy"), late.header("x-baseload-route")) == (after, "r1")
        go.set()
        early = await line.told()
        assert (early.header("x-baseload-policy"), early.header("x-baseload-route")) == (before, "r0")
        assert ways == [*PLAIN, *OTHER]
        ways.clear()
        again = await line.tell(ask(question()))
        assert (again.header("x-baseload-policy"), ways) == (after, PLAIN)
        assert [call.decision.policy for call in bench.spool.calls] == [before, after, before, after]

    @pytest.mark.parametrize("coming", [GOOD, refused(b"500 Oh")[0]], ids=["served", "handed over"])
    async def test_an_upstream_that_goes_meanwhile_ends_what_it_has(self, bench: Watched, coming: bytes) -> None:
        """And one that was handed over goes on with the routes that it had."""
        first, second = await raw(bench, coming, pause=0.1), await bench.upstream()
        running, ways = await bench.watched(first.url, second.url)
        line = await warm(running, ways)
        old = running.gateway._state.targets.by_name["u0"]
        line.writer.write(ask(question()))
        await settled(lambda: len(first.seen) > 1)
        settings = running.gateway._settings
        policy = msgspec.structs.replace(settings.policy, routes=(route(1),))
        changed = msgspec.structs.replace(settings, upstreams=settings.upstreams[1:], policy=policy)
        running.gateway.take(Loaded(settings=changed, offers=dict(running.gateway._state.snapshot.offers)))
        told = await line.told()
        served = coming is GOOD
        assert (told.header("x-baseload-route"), ways) == ("r0" if served else "r1", PLAIN if served else HANDED_OVER)
        await settled(lambda: not old._under_way)
        assert (old._under_way, held(running)) == (0, {})
        ways.clear()
        assert [(await line.tell(ask(question()))).header("x-baseload-route") for _ in range(2)] == ["r1"] * 2
        assert ways[-1] == "express"


class TestKeys:
    @pytest.fixture(autouse=True)
    def looking_always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ring_module, "LOOK_SECONDS", 0.0)

    async def test_a_key_that_is_revoked_between_two_requests(self, bench: Watched, tmp_path: Path) -> None:
        key, token = make(tmp_path)
        running, ways = await bench.watched((await bench.upstream()).url, data_dir=str(tmp_path))
        line, bearer = await line_to(running), b"Authorization: Bearer %b\r\n" % token.encode()
        assert [(await line.tell(ask(question(), bearer))).status for _ in range(3)] == [200] * 3
        assert ways == [*OTHER, *PLAIN, *PLAIN]
        KeyFile(tmp_path).revoke(key.prefix)
        await asyncio.sleep(0.06)
        ways.clear()
        told = await line.tell(ask(question(), bearer))
        assert (told.status, ways, len(bench.spool.calls)) == (401, [], 3)
        assert b"revoked" in told.body

    async def test_a_key_that_expires_between_two_requests(self, bench: Watched, tmp_path: Path) -> None:
        _, token = make(tmp_path, expires=(AT + timedelta(seconds=1)).isoformat())
        running, ways = await bench.watched((await bench.upstream()).url, data_dir=str(tmp_path))
        clock = running.gateway.keys._clock = At(AT)
        line, bearer = await line_to(running), b"Authorization: Bearer %b\r\n" % token.encode()
        assert [(await line.tell(ask(question(), bearer))).status for _ in range(3)] == [200] * 3
        assert ways == [*OTHER, *PLAIN, *PLAIN]
        clock.moment += timedelta(seconds=2)
        await asyncio.sleep(0.06)
        told = await line.tell(ask(question(), bearer))
        assert (told.status, len(bench.spool.calls)) == (401, 3)
        assert b"expired" in told.body

    async def test_keys_that_are_reloaded_with_other_grants(self, bench: Watched, tmp_path: Path) -> None:
        key, token = make(tmp_path, team="a")
        running, ways = await bench.watched((await bench.upstream()).url, keys=(key,))
        line, bearer = await line_to(running), b"Authorization: Bearer %b\r\n" % token.encode()
        for _ in range(2):
            await line.tell(ask(question(), bearer))
        settings = running.gateway._settings
        offers = dict(running.gateway._state.snapshot.offers)
        changed = msgspec.structs.replace(key, team="b")
        running.gateway.take(Loaded(settings=msgspec.structs.replace(settings, keys=(changed,)), offers=offers))
        assert (await line.tell(ask(question(), bearer))).status == 200
        assert [call.facts.tags["team"] for call in bench.spool.calls] == ["a", "a", "b"]
        assert ways == [*OTHER, *PLAIN, *PLAIN]
        limited = msgspec.structs.replace(key, models=("other",))
        running.gateway.take(Loaded(settings=msgspec.structs.replace(settings, keys=(limited,)), offers=offers))
        assert (await line.tell(ask(question(), bearer))).status == 403


class TestConnections:
    async def test_a_server_that_closes_says_so_with_the_answer(self, bench: Watched) -> None:
        up = await raw(bench, GOOD, pause=0.05)
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        line.writer.write(ask(question()))
        await settled(lambda: len(up.seen) > 1)
        running.gateway._server.close()
        told = await line.told()
        assert (told.status, told.header("connection"), ways) == (200, "close", PLAIN)
        assert await asyncio.wait_for(line.reader.read(), 1) == b""

    async def test_answers_keep_the_order_of_pipelined_requests(self, bench: Watched) -> None:
        async def echoes(request: Request, exchange: Exchange) -> None:
            number = msgspec.json.decode(request.body)["seed"]
            await asyncio.sleep(0.002 * (number % 3))
            body = completion(str(number), usage=None if number % 5 == 4 else usage(100, 20))
            await exchange.respond(500 if number % 7 == 6 else 200, [(b"content-type", b"application/json")], body)

        first, second = await bench.upstream(echoes), await bench.upstream(echoes)
        running, ways = await bench.watched(first.url, second.url, every={"circuit": Circuit(failures=1000)})
        line = await line_to(running)
        await line.tell(ask(question(seed=0)))
        ways.clear()
        count = 60
        line.writer.write(b"".join(ask(question(seed=number)) for number in range(count)))
        told = [await line.told() for _ in range(count)]
        assert [answer.status for answer in told] == [502 if number % 7 == 6 else 200 for number in range(count)]
        answers = [(number, answer) for number, answer in enumerate(told) if answer.status == 200]
        texts = [msgspec.json.decode(answer.body)["choices"][0]["message"]["content"] for _, answer in answers]
        assert texts == [str(number) for number, _ in answers]
        assert ways.count("express") > count // 2
        assert "resumed" in ways
        assert len(bench.spool.calls) == count + 1

    async def test_a_client_that_does_not_read_stops_its_own_requests(self, bench: Watched) -> None:
        """Memory stays flat: answers wait for it, and so do requests."""
        body = completion("x" * 50_000)
        up = await raw(bench, whole(body), pause=0)
        running, ways = await bench.watched(up.url)
        line = await warm(running, ways)
        line.reader._transport.pause_reading()
        count = 2_000
        line.writer.write(b"".join(ask(question(seed=number)) for number in range(count)))
        await asyncio.sleep(0.3)
        served = len(up.seen)
        await asyncio.sleep(0.2)
        (connection,) = running.gateway._server.connections
        assert served == len(up.seen) < count, "it went on although nobody reads"
        assert connection._transport.get_write_buffer_size() < 64 * 1024 + 2 * len(body)
        assert set(ways) == {"express"}
        line.reader._transport.resume_reading()
        told = [await line.told() for _ in range(served + 5)]
        assert {(answer.status, len(answer.body)) for answer in told} == {(200, len(body))}
        line.writer.close()

    @pytest.mark.parametrize("express", [True, False])
    async def test_requests_that_wait_for_a_slow_upstream_are_few(self, bench: Watched, express: bool) -> None:
        """However fast a client writes them."""
        up = await raw(bench, GOOD, pause=0.005)
        running, ways = await bench.watched(up.url, express=express)
        line = await warm(running, ways)
        (connection,) = running.gateway._server.connections
        line.writer.write(ask(question()) * 8_000)
        most = 0
        for _ in range(60):
            await asyncio.sleep(0.01)
            most = max(most, len(connection._reader.ready))
        up.pause = 0
        line.writer.transport.abort()
        assert ("express" in ways) == express
        # What one read brings: 256 KiB.
        assert most < PIPELINED + 2 * 256 * 1024 // len(ask(question()))

    @pytest.mark.parametrize(
        "change",
        [
            (b"HTTP/1.1", b"HTTP/1.0"),
            (b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n"),
            (b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"),
            (b"POST", b"HEAD"),
            (b"POST", b"PUT"),
        ],
        ids=["HTTP/1.0", "HTTP/1.0, kept", "close", "HEAD", "PUT"],
    )
    async def test_requests_of_another_kind_are_left_to_the_other_way(
        self, bench: Watched, change: tuple[bytes, bytes]
    ) -> None:
        up = await bench.upstream()
        found = []
        for express in (True, False):
            running, ways = await bench.watched(up.url, express=express)
            line = await warm(running, ways)
            told = await line.tell(ask(question()).replace(*change), bodiless=change[1] == b"HEAD")
            assert "express" not in ways
            assert told.whole
            assert (told.status == 200) == (change[0] != b"POST")
            found.append(recorded(bench, [told], up))
        agree(*found)

    async def test_a_request_in_two_pieces_and_one_that_asks_first(self, bench: Watched) -> None:
        running, ways = await bench.watched((await bench.upstream()).url)
        line = await warm(running, ways)
        message = ask(question())
        for at in (10, len(message) - 5):
            line.writer.write(message[:at])
            await asyncio.sleep(0.02)
            assert (await line.tell(message[at:])).status == 200
        head, _, body = ask(question(), b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        line.writer.write(head + b"\r\n\r\n")
        assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await line.tell(body)).status == 200
        assert ways == PLAIN * 3

    async def test_two_at_once_have_a_connection_each(self, bench: Watched) -> None:
        """The one that finds none goes the other way; then both are kept."""
        up = await raw(bench, GOOD, pause=0.03)
        running, ways = await bench.watched(up.url)
        lines = [await warm(running, ways), await line_to(running)]
        for expected in ([*PLAIN, *OTHER], [*PLAIN, *PLAIN]):
            ways.clear()
            told = await asyncio.gather(*(line.tell(ask(question())) for line in lines))
            assert [answer.status for answer in told] == [200, 200]
            assert ways == expected
        assert up.connections == 2

    async def test_a_limit_on_the_bytes_of_requests_holds(self, bench: Watched) -> None:
        up = await raw(bench, GOOD, pause=0.1)
        most = len(msgspec.json.encode(question())) * 3 // 2
        running, ways = await bench.watched(up.url, limits=Limits(body_bytes=most, bodies_bytes=most))
        line, other = await warm(running, ways), await line_to(running)
        line.writer.write(ask(question()))
        await settled(lambda: len(up.seen) > 1)
        assert ((await other.tell(ask(question()))).status, ways) == (503, PLAIN)
        assert (await line.told()).status == 200
        assert (await line.tell(ask(question()))).status == 200
