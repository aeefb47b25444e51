"""One plain request, there and back without a task: `express.py` takes it, and its answer ends it. Acts.

What is under way is told what becomes of its answer in the turn of the event loop that reads it, and of a client that
goes away. It owns a slot, a kept connection, a place among the calls that are under way and what is reserved of
budgets, and gives each back once: here, or in `chat.py` where that has to go on.
"""

from __future__ import annotations

import logging
import time

import msgspec

from baseload.clock import Clock
from baseload.cost.tariffs import Tariff
from baseload.errors import LedgerUnavailable
from baseload.gateway import answers
from baseload.gateway.asking import numbered, steady
from baseload.gateway.budgets import Budgets
from baseload.gateway.chat import Chat, Taken
from baseload.gateway.connection import Connection as UpstreamConnection
from baseload.gateway.encoding import is_plain
from baseload.gateway.head import REQUEST_ID, Headers, Request
from baseload.gateway.hold import Hold
from baseload.gateway.http import Connection, Exchange
from baseload.gateway.ids import new_id
from baseload.gateway.job import Job
from baseload.gateway.lane import Lane
from baseload.gateway.meter import Meter, Record, Try
from baseload.gateway.plan import Plan, Way
from baseload.gateway.state import GatewayState
from baseload.gateway.target import Asking
from baseload.ledger.begun import Place
from baseload.load.calls import Call
from baseload.load.facts import Bucket
from baseload.units import shown_usd
from baseload.usage import Usage
from baseload.wire.asked import Asked
from baseload.wire.passage import Passage

log = logging.getLogger(__name__)

_OK = 200
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Call).decode


class Ground(msgspec.Struct, frozen=True):
    """What every flight leaves from and comes back to."""

    chat: Chat
    state: GatewayState
    meter: Meter
    budgets: Budgets
    clock: Clock


class Flight:
    """One plain request on its way."""

    __slots__ = (
        "_asked",
        "_asking",
        "_at_ns",
        "_bucket",
        "_ended_ns",
        "_first_ns",
        "_ground",
        "_hold",
        "_kept",
        "_landed",
        "_lane",
        "_line",
        "_named",
        "_over",
        "_place",
        "_request",
        "_tariff",
        "_way",
        "_words",
    )

    _asking: Asking
    _at_ns: int
    _bucket: Bucket
    _ended_ns: int
    _kept: bytes
    _named: bytes
    _over: Passage
    _place: Place | None
    _tariff: Tariff
    _way: Way
    _words: tuple[bytes, bytes, int, bytes, bytes, bytes, bytes, bytes]

    def __init__(self, ground: Ground, line: Connection, request: Request, lane: Lane, asked: Asked) -> None:
        self._ground = ground
        self._line = line
        self._request = request
        self._lane = lane
        self._asked = asked
        self._first_ns: int | None = None
        self._landed = False
        self._hold: Hold | None = None

    # There.

    def leaves(self, plan: Plan, at_ns: int) -> bool:
        """Choose a route, reserve, take a slot, keep the call and send it; False, and nothing was done, where that is
        not plain. Raises LedgerUnavailable and NoRoom, and nothing was done."""
        ground, asked, request, snapshot = self._ground, self._asked, self._request, self._lane.snapshot
        state, read, cap, tags = ground.state, asked.input_tokens, asked.output_cap, asked.tags
        if plan.context_tokens is not None and read + (cap or 0) > plan.context_tokens:
            return False
        likely = state.answers.within(plan.bucket, cap)
        ranked = plan.ranked(state.tariffs.of_all(snapshot.offers, at_ns), read, likely)
        if not ranked:
            return False
        _, _, way, choice, tariff = ranked[0]
        if way.passage is None or tariff is None:
            return False
        for other in plan.slotted:
            if other is not way and state.is_full(snapshot, other.route):  # the decision says so
                return False
        cost = tariff.of(read, likely)
        if cost is None:
            return False
        request.name = name = new_id(at_ns)
        named = self._named = name.encode()
        if not request.id:
            request.id = named
        at = b"%d" % at_ns
        self._words = words = (
            named,
            at,
            read,
            b',"output_cap":%d' % cap if cap is not None else b"",
            b',"tags":%b' % _encode(tags) if tags else b"",
            self._lane.named,
            named,
            choice if len(ranked) == 1 else b",".join([each[3] for each in ranked]),
        )
        usage = _encode(Usage(input_tokens=read, output_tokens=likely))
        self._kept = way.sent % (*words, at, at, usage, cost, at)
        self._at_ns, self._way, self._tariff, self._bucket = at_ns, way, tariff, plan.bucket
        over = self._over = way.passage(asked)
        body = over.body(way.route.model)
        if ground.budgets.on and not self._reserves(plan):
            return False
        taken = False
        try:
            taken = state.takes(snapshot, way.route, way.target)
        finally:
            if not taken:
                self._unreserve()
        return taken and self._goes(body)

    def _reserves(self, plan: Plan) -> bool:
        """Reserve what this may cost; False, and nothing was reserved, where that takes more than a look."""
        asked, snapshot = self._asked, self._lane.snapshot
        read, cap = asked.input_tokens, asked.output_cap
        facts = msgspec.structs.replace(
            plan.facts, at_ns=self._at_ns, input_tokens=read, output_cap=cap, tags=asked.tags
        )
        self._hold = hold = self._ground.budgets.hold(facts, asked, snapshot)
        return self._ground.budgets.covers(hold, snapshot, self._way.route)

    def _unreserve(self) -> None:
        if self._hold is not None:
            self._hold.settle(written=True)

    def _goes(self, body: bytes) -> bool:
        """Keep the call and send it, on a slot that is taken; else give back what was taken for it."""
        ground, way, request, lane, over = self._ground, self._way, self._request, self._lane, self._over
        target, asking, place = way.target, None, None
        try:
            asking = target.kept(self._asked)
            if asking is not None:
                place = self._place = ground.meter.keep(request.name, self._kept)
                asking.connection.listener = self.moved
                headers = steady(request.head, over.headers) if over.headers else lane.said.along
                more = numbered(request) if lane.said.traced else ((REQUEST_ID, request.id),)
                target.ask(asking, over.path, headers, body, more, request.head.known)
                self._asking = asking
                return True
        except BaseException:
            self._stays(asking, place)
            raise
        self._stays(None, None)
        return False

    def _stays(self, asking: Asking | None, place: Place | None) -> None:
        """Nothing was sent after all."""
        if asking is not None:
            self._way.target.unused(asking)
        if place is not None:
            self._ground.meter.release(place)
        self._ground.state.give(self._lane.snapshot, self._way.route, None)
        self._unreserve()

    # And back.

    def moved(self) -> None:
        """Something came of the answer, or it broke."""
        connection = self._asking.connection
        if connection.has_head:
            if self._first_ns is None:
                self._first_ns = self._ground.clock.time_ns()
            if connection.status == _OK and _is_plain(connection.headers):
                if not connection.ended and connection.waits:
                    return
                if not connection.until_close and self._answers(connection):
                    return
        elif connection.waits:
            return
        connection.listener = None
        self._line.go_on(self._resume)

    def left(self) -> None:
        """The client went away: the upstream is told, and what it did until then is written down."""
        if self._landed:
            return
        asking, way = self._asking, self._way
        asking.connection.listener = None
        try:
            taken = self._taken()
            self._ground.chat.ending.abandoned(taken.job, taken.attempt)
        except Exception:  # the slot and the connection must not be lost as well
            log.exception("a call that its client has left could not be written down")
        way.target.done(asking, whole=False)
        self._ground.state.give(self._lane.snapshot, way.route, None)

    def _answers(self, connection: UpstreamConnection) -> bool:
        """Answer with what came; False, and nothing was done, where that is not plain."""
        body, cost = connection.rest(), None
        if body is None:
            return False
        try:
            cost = self._written(body)
        except LedgerUnavailable:  # whoever goes on finds that, too, and says so
            pass
        except Exception:  # the other way is still there
            log.exception("an answer could not be given the express way")
        if cost is None:
            connection.put_back(body)
            return False
        answer = None
        try:
            answer = self._answer(body, cost)
        except Exception:  # the call is written down: all that is left is to let go
            log.exception("an answer could not be delivered")
        self._lands()
        if answer is None:
            self._line.abort()
        else:
            self._line.answer(answer)
        return True

    def _written(self, body: bytes) -> int | None:
        """Write the call down; what it costs in nano-dollars, None where its answer is not plain. Raises
        LedgerUnavailable."""
        ground, way, hold = self._ground, self._way, self._hold
        found = self._over.read(body)
        if found is None or found.usage is None or found.made is not None or found.pending:
            return None
        usage, tokens = found.usage, found.usage.output_tokens + found.usage.reasoning_tokens
        if found.provider_usd is not None or found.service_tier or (found.written_tokens and not tokens):
            return None
        cost = self._tariff.nanousd(usage)
        if cost is None:
            return None
        self._ended_ns = ended_ns = ground.clock.time_ns()
        ended = b"%d" % ended_ns
        words = (*self._words, self._words[1], ended, self._first_ns, _encode(usage), cost, ended)
        if hold is None or not hold.held:
            ground.meter.write_down(self._request.name, way.done % words, self._place, hold)
        else:
            charges = hold.charges((msgspec.structs.replace(way.attempt, usage=usage, cost_nanousd=cost),))
            line = b'%b,"charges":%b}' % ((way.done % words)[:-1], _encode(charges)) if charges else way.done % words
            ground.meter.write_down(self._request.name, line, self._place, hold)
        ground.state.answers.learn(self._bucket, tokens)
        return cost

    def _answer(self, body: bytes, cost: int) -> bytes:
        """What the client gets."""
        way, line = self._way, self._line
        theirs = answers.passed_lines(self._asking.connection.headers, self._request)
        if self._hold is not None and self._hold.headers:
            theirs += b"".join([b"%b: %b\r\n" % field for field in self._hold.headers])
        server = line.server
        ending = b""
        if server.closing:
            line.last, ending = True, b"connection: close\r\n"
        return (
            b"HTTP/1.1 200 OK\r\n%b%bx-baseload-decision-id: %b\r\nx-baseload-cost-usd: %b\r\n%bcontent-length: %d\r\n"
            b"%b\r\n%b"
            % (theirs, way.lines, self._named, shown_usd(cost).encode(), server.date, len(body), ending, body)
        )

    def _lands(self) -> None:
        """Give back the slot and the connection after a good answer."""
        way, asking = self._way, self._asking
        self._landed = True
        asking.connection.listener = None
        way.target.done(asking, whole=True)
        self._ground.state.served(way.route, way.target, time.monotonic() - asking.at, self._ended_ns)

    async def _resume(self, _: Request, exchange: Exchange) -> None:
        await self._ground.chat.resume(self._taken(), exchange)

    def _taken(self) -> Taken:
        """The request as `chat.py` would have it by now."""
        lane, connection = self._lane, self._asking.connection
        call = _decode(self._kept)
        record = Record(call.facts, call.decision, lane.snapshot.offers, self._asked.body, begun=self._place)
        owner = lane.key.prefix if lane.key is not None else ""
        attempt = Try(self._way.route, 1, self._at_ns, sent=True, first_byte_ns=self._first_ns)
        if connection.has_head:
            attempt.http_status = connection.status
        job = Job(self._request, self._asked, lane.snapshot, record, owner=owner, attempt=attempt, hold=self._hold)
        return Taken(job, attempt, self._over, asking=self._asking)


def _is_plain(headers: Headers) -> bool:
    """Whether a body under these headers is what its bytes are, and no stream."""
    for name, value in headers:
        if name == b"content-type":
            if value[:17].lower() == b"text/event-stream":
                return False
        elif name == b"content-encoding" and not is_plain(value):
            return False
    return True
