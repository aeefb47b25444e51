"""What was worked out before is, byte for byte, what is worked out anew: on generated policies, prices and requests.

Both ways run whole, from the client's bytes to the ledger's, with a clock that stands still and without sockets.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from random import Random

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gateway.conftest import ask, completion, offer, question, route, usage
from tests.gateway.ways import whole

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source, Tier
from baseload.gateway.connection import Connection as UpstreamConnection
from baseload.gateway.http import Connection, Server
from baseload.gateway.plan import plan
from baseload.gateway.server import Gateway
from baseload.ledger.begun import Place
from baseload.load.calls import Call
from baseload.load.facts import Bucket, Facts
from baseload.policy.policy import Policy, Route
from baseload.settings import Limits, Settings, Upstream

AT_NS = 1_795_305_600_123_456_789
TOOL = {"type": "function", "function": {"name": "f"}}
_ID = re.compile(rb"\b[0-9a-f]{32}\b")
_TOO_LONG = re.compile(r"needs \d+ tokens")

SOURCE = Source("test", Precedence.YOURS, date(2026, 1, 1), "this file")
rate = st.decimals(0, 200, places=6)
rates = st.builds(
    Rates, input=rate, output=rate | st.none(), cache_read=st.none() | rate, per_request=st.decimals(0, 1, places=9)
)
rows = st.builds(
    PriceRow, rates=rates, tiers=st.lists(st.builds(Tier, st.integers(0, 200), rates), max_size=2).map(tuple)
)
names = st.from_regex(r"[!-~]([ -~]{0,12}[!-~])?", fullmatch=True)
texts = st.text(max_size=12)


@st.composite
def policies(draw: st.DrawFn) -> tuple[Policy, dict[str, Offer]]:
    """Up to four routes to two upstreams, some of them own, limited, abroad or unable, and their prices. Drawn from a
    seed: what hypothesis thinks of first has next to no route that may serve."""
    chance = Random(draw(st.integers(0, 2**64 - 1)))  # noqa: S311
    routes = tuple(
        route(
            chance.randrange(2),
            name=name,
            offer=f"o{number}/real",
            own=chance.random() < 0.2,
            slots=chance.choice((None, None, None, 0, 1, 3)),
            success={Bucket.JUDGMENT: chance.choice((0.0, 0.1, 1 / 3, 0.9, 1.0, chance.random()))},
            context_tokens=chance.choice((None, None, None, chance.randrange(1, 600))),
            capabilities=frozenset(chance.choice(((), ("tools",)))),
            residency=chance.choice(("", "", "", "eu")),
        )
        for number, name in enumerate(draw(st.lists(names, min_size=2, max_size=4, unique=True)))
    )
    offers = {}
    for number in range(len(routes)):
        plainly = Rates(Decimal(chance.randrange(1, 4)), Decimal(chance.randrange(1, 9)) / 2)
        row = PriceRow(plainly) if chance.random() < 0.7 else draw(rows)
        if chance.random() < 0.9:
            offers[f"o{number}/real"] = Offer(f"o{number}", "real", SOURCE, (row,))
    return Policy(routes=routes, aliases={"auto": Bucket.JUDGMENT}, name=draw(names)), offers


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A chat, with whatever a call tells of it."""
    more: dict[str, object] = {}
    if draw(st.booleans()):
        more["metadata"] = draw(st.dictionaries(texts.filter(bool), texts, max_size=3))
    if draw(st.booleans()):
        more["max_tokens"] = draw(st.integers(1, 400))
    if draw(st.integers(0, 3)) == 0:
        more["tools"] = [TOOL]
    if draw(st.booleans()):
        more["user"] = draw(texts)
    more["messages"] = [{"role": "user", "content": draw(st.text(max_size=300))}]
    body = question(model=draw(st.sampled_from(("auto", "auto", "real"))), **more)
    headers = b""
    if draw(st.booleans()):
        headers += b"X-Request-Id: %b\r\n" % draw(names).encode()
    if draw(st.integers(0, 3)) == 0:
        headers += b"X-Baseload-Residency: %b\r\n" % draw(st.sampled_from((b"eu", b"us", b"ch")))
    if draw(st.integers(0, 3)) == 0:
        headers += b"X-Baseload-Tag-App: %b\r\n" % draw(names).encode()
    return ask(body, headers)


counts = st.builds(usage, st.integers(0, 400), st.integers(0, 400))


class Still:
    """A clock that stands still."""

    def time_ns(self) -> int:
        return AT_NS

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@dataclass
class Lines:
    """A spool of bytes: what is recorded should we die, and what was recorded."""

    begun: list[bytes] = field(default_factory=list)
    done: list[bytes] = field(default_factory=list)

    def begin(self, call: Call, _: Place | None = None) -> Place | None:
        return self.keep(call.id, msgspec.json.encode(call))

    def keep(self, _: str, body: bytes) -> Place | None:
        self.begun.append(body)
        return None

    def append(self, call: Call, begun: Place | None = None) -> None:
        self.write(call.id, msgspec.json.encode(call), begun)

    def write(self, _: str, body: bytes, __: Place | None) -> None:
        self.done.append(body)

    def release(self, _: Place) -> None:
        """Nothing was placed."""


class Wire(asyncio.Transport):
    """One end of a connection that leads nowhere: it keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def taken(self) -> bytes:
        found, self.written = self.written, b""
        return found

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It is never full."""

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    close = abort


@contextmanager
def a_gateway(policy: Policy, offers: dict[str, Offer], spool: Lines) -> Iterator[Gateway]:
    """One that listens nowhere, with two upstreams."""
    with tempfile.TemporaryDirectory() as folder:
        upstreams = tuple(Upstream(name=f"u{n}", base_url=f"http://127.0.0.1:{n + 1}/v1") for n in range(2))
        configured = Settings(upstreams=upstreams, policy=policy, data_dir=folder, listen="127.0.0.1:0", hosts=("g",))
        gateway = Gateway(configured, offers, Still(), spool)
        yield gateway
        gateway._stored.close()


@dataclass
class Run:
    """What one way has kept, recorded, sent and said, and how many requests were taken the express way."""

    begun: list[bytes]
    done: list[bytes]
    sent: list[bytes]
    said: list[bytes]
    taken: int


async def run(
    policy: Policy, offers: dict[str, Offer], asked: Sequence[tuple[bytes, dict[str, object]]], *, express: bool
) -> Run:
    """Put the requests, one after the other, each with the counts of its answer."""
    spool, flights = Lines(), []
    with a_gateway(policy, offers, spool) as gateway:
        take = gateway.express.take

        def takes(line: Connection, request: object) -> object:
            flights.append(take(line, request))
            return flights[-1]

        server = Server(gateway.answer, Limits(), asyncio.get_running_loop(), takes if express else None)
        line, client, kept = Connection(server), Wire(), []
        line.connection_made(client)
        for target in gateway._state.targets.by_name.values():
            (to,) = target._clients.values()
            connection, wire = UpstreamConnection(to), Wire()
            connection.connection_made(wire)
            to.keep(connection)
            kept.append((connection, wire))
        sent, said = [], []
        for message, counted in asked:
            line.data_received(message)
            for _ in range(50):
                for connection, wire in kept:
                    if wire.written:
                        sent.append(_ID.sub(b"ID", wire.taken()))
                        connection.data_received(whole(completion(usage=counted)))
                if client.written:
                    break
                await asyncio.sleep(0)
            said.append(re.sub(rb"date: [^\r]*", b"date:", _ID.sub(b"ID", client.taken())))
        server._timer.cancel()
        line.connection_lost(None)
        taken = [_ID.sub(b"ID", each) for each in spool.begun], [_ID.sub(b"ID", each) for each in spool.done]
        return Run(*taken, sent, said, sum(each is not None for each in flights))


def is_plain(begun: bytes) -> bool:
    """Whether a call, as the other way keeps it, should have been taken the express way."""
    call = msgspec.json.decode(begun, type=Call)
    first, (lost,) = call.decision.routes[0], call.attempts
    known = first.expected_nanousd is not None and lost.cost_nanousd is not None
    return known and not any(_TOO_LONG.match(skip.reason) or "full" in skip.reason for skip in call.decision.skipped)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=policies(), asked=st.lists(st.tuples(requests(), counts), min_size=1, max_size=4))
def test_a_filled_plan_is_the_call(
    made: tuple[Policy, dict[str, Offer]], asked: list[tuple[bytes, dict[str, object]]]
) -> None:
    policy, offers = made
    one = asyncio.run(run(policy, offers, asked, express=True))
    other = asyncio.run(run(policy, offers, asked, express=False))
    assert all(one.said)
    assert one.begun == other.begun
    assert one.done == other.done
    assert one.sent == other.sent
    assert one.said == other.said
    assert one.taken == sum(map(is_plain, other.begun))


class TestNoPlan:
    """A name that holds what stands for a blank is written the other way."""

    def facts(self, **more: object) -> Facts:
        return Facts(**{"at_ns": AT_NS, "model": "auto", "bucket": Bucket.JUDGMENT, "input_tokens": 9, **more})

    def snapshot(self, *routes: Route):
        with a_gateway(Policy(routes=routes or (route(0),)), {"u0/real": offer(0)}, Lines()) as gateway:
            return gateway._state.snapshot

    def test_there_is_one(self) -> None:
        found = plan(self.facts(tags={"a": "b"}, request_id="mine", output_cap=3), self.snapshot())
        assert [way.route.name for way in found.ways] == ["r0"]

    def test_for_a_route_that_is_called_like_one(self) -> None:
        assert plan(self.facts(), self.snapshot(route(0, name="blank: the id of a call"))) is None

    def test_where_no_route_may_serve(self) -> None:
        assert plan(self.facts(needs=frozenset({"tools"})), self.snapshot()) is None

    def test_where_a_request_has_a_deadline(self) -> None:
        assert plan(self.facts(deadline_seconds=9.0), self.snapshot()) is None
