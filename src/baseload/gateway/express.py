"""The express way: a plain request is answered without a task, by what its kind has in common. Acts.

Most requests are alike: a whole answer is asked for, in a calm moment, and the first route serves it. `Express.take`
does for those what `chat.py` does for any, in one turn of the event loop: it reads, decides, keeps the call, and sends
on a connection that is open. A `Flight` is told of what comes back, and in one more turn reads, prices, writes the call
down and answers. What the ledger and the headers say is the same; only, it was worked out before (`plan.py`).

Whatever is not plain is left to `chat.py`: before anything was done, by declining; and after the request was sent (a
refusal, a broken answer, a count that is missing, a full disk), by `Chat.resume`, which goes on as if it had sent it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import msgspec

from baseload.clock import Clock
from baseload.cost.tariffs import Tariff
from baseload.errors import LedgerUnavailable
from baseload.gateway import answers
from baseload.gateway.asking import BESIDE, Said, facts_of, numbered, said, steady
from baseload.gateway.budgets import Budgets
from baseload.gateway.chat import Chat, Taken
from baseload.gateway.connection import Connection as UpstreamConnection
from baseload.gateway.door import Door
from baseload.gateway.encoding import is_plain
from baseload.gateway.endpoints import ENDPOINTS
from baseload.gateway.head import REQUEST_ID, Headers, Request
from baseload.gateway.http import Connection, Exchange
from baseload.gateway.ids import new_id
from baseload.gateway.job import Job
from baseload.gateway.keys import KeyRing, Unknown
from baseload.gateway.meter import Meter, Record, Try
from baseload.gateway.plan import Plan, Way, plan
from baseload.gateway.state import GatewayState, Snapshot
from baseload.gateway.tagging import NO_TAGS, add_tags
from baseload.gateway.target import Asking, NoRoom
from baseload.ledger.begun import Place
from baseload.load.buckets import BUCKET_TAG, TASK_TAG
from baseload.load.calls import Call
from baseload.load.facts import Bucket, Operation
from baseload.policy.keys import ClientKey, claimed, forbidden
from baseload.units import shown_usd
from baseload.usage import Usage
from baseload.wire.asked import Asked
from baseload.wire.body import BadBody
from baseload.wire.passage import Passage
from baseload.wire.passages import Reader, reader

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024
"""Longer requests take a while anyway."""
MOST_PLANS = 64
"""Kinds of request for which a plan is remembered, for one head."""

LOOK_NS = 50_000_000
"""How long a key that was in force is taken to be: nanoseconds."""

_OPERATIONS = frozenset((Operation.CHAT, Operation.COMPLETIONS, Operation.MESSAGES))
_OK = 200
_UNPRICED = float("inf")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Call).decode

_Kind = tuple[str, str | None, str | None, frozenset[str]]
"""Model, bucket and task as a request's tags say them, needs: what its bucket and its routes depend on."""


class _Lane(msgspec.Struct):
    """What requests with one head have in common under one policy, with one key."""

    snapshot: Snapshot
    door: Door
    keys: object  # that were known then
    key: ClientKey | None
    looked_ns: int  # when it was looked whether that is still in force
    operation: Operation
    read: Reader
    said: Said
    tags: dict[str, str]  # those of the key
    plans: dict[_Kind, Plan | None]


class Express:
    """Takes plain requests, for whoever serves the others."""

    def __init__(
        self, chat: Chat, state: GatewayState, meter: Meter, clock: Clock, budgets: Budgets, keys: KeyRing, door: Door
    ) -> None:
        self.chat = chat
        self.state = state
        self.meter = meter
        self.clock = clock
        self.door = door
        self._budgets = budgets
        self._keys = keys

    def take(self, line: Connection, request: Request) -> Flight | None:
        """Send a request on its way and say who answers it; None, and nothing was done, where it is not plain."""
        try:
            return self._take(line, request)
        except (BadBody, LedgerUnavailable, NoRoom):  # whoever serves it next finds that, too, and says so
            return None
        except Exception:  # nothing is lost yet: the other way is still there
            log.exception("a request could not be taken the express way")
            return None

    def _take(self, line: Connection, request: Request) -> Flight | None:
        if self._budgets.on or self.chat.traces or not self.meter.writable or len(request.body) > MOST_BYTES:
            return None
        at_ns = self.clock.time_ns()
        lane = self._lane(request, at_ns)
        if lane is None:
            return None
        asked = lane.read(request.body)
        if asked.stream or asked.cost_asked or asked.dropped:
            return None
        if lane.key is not None and lane.key.models and not BESIDE.isdisjoint(asked.places):
            return None
        tags = asked.tags
        if lane.said.tags is not NO_TAGS:
            add_tags(lane.said.tags, tags)
        kind = (asked.model, tags.get(BUCKET_TAG), tags.get(TASK_TAG), asked.needs)
        found = lane.plans.get(kind, kind)
        known = self._plan(lane, kind, asked, at_ns) if isinstance(found, tuple) else found
        if known is None or not self.state.is_calm(at_ns):
            return None
        flight = Flight(self, line, request, lane, asked)
        if lane.tags:
            tags |= lane.tags
        return flight if flight.leaves(known, at_ns, tags) else None

    def _lane(self, request: Request, at_ns: int) -> _Lane | None:
        """What the head of a request says, as it was found before; None when it is not plain."""
        head, snapshot, door = request.head, self.state.snapshot, self.door
        lane: _Lane | None = head.known.get("lane")
        if lane is not None and lane.snapshot is snapshot and lane.keys is self._keys.entries and lane.door is door:
            if 0 <= at_ns - lane.looked_ns < LOOK_NS:
                return lane
            if self._keys.caller(request) is lane.key:
                lane.looked_ns = at_ns
                return lane
        operation = ENDPOINTS.get(head.path)
        if operation not in _OPERATIONS or head.method != "POST" or head.http_1_0 or not head.keep_alive:
            return None
        key = self._keys.caller(request)
        if isinstance(key, Unknown) or door.obstacle(request) is not None or not request.body:
            return None
        headers = said(head)
        if headers.cost_asked or headers.deadline_seconds is not None:
            return None
        tags = dict(key.all_tags) if key is not None else {}
        lane = _Lane(snapshot, door, self._keys.entries, key, at_ns, operation, reader(operation), headers, tags, {})
        head.known["lane"] = lane
        return lane

    def _plan(self, lane: _Lane, kind: _Kind, asked: Asked, at_ns: int) -> Plan | None:
        """The plan for requests like this one, from now on."""
        found, snapshot, key = None, lane.snapshot, lane.key
        facts = facts_of(asked, lane.said, snapshot.policy, at_ns, snapshot.defaults.get(asked.model))
        if facts.model in snapshot.models and (key is None or forbidden(key, facts) is None):
            found = plan(claimed(facts, key) if key is not None else facts, snapshot)
        if len(lane.plans) >= MOST_PLANS:
            lane.plans.clear()
        lane.plans[kind] = found
        return found


class Flight:
    """One plain request on its way. It is told what becomes of its answer, and of a client that goes away."""

    __slots__ = (
        "_asked",
        "_asking",
        "_at_ns",
        "_bucket",
        "_ended_ns",
        "_express",
        "_first_ns",
        "_kept",
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
    _words: tuple[bytes, int, int, bytes, bytes, bytes, bytes]

    def __init__(self, express: Express, line: Connection, request: Request, lane: _Lane, asked: Asked) -> None:
        self._express = express
        self._line = line
        self._request = request
        self._lane = lane
        self._asked = asked
        self._first_ns: int | None = None

    # There.

    def leaves(self, plan: Plan, at_ns: int, tags: dict[str, str]) -> bool:
        """Choose a route, take its slot, keep the call and send it; False, and nothing was done, where that is not
        plain. Raises LedgerUnavailable and NoRoom, and nothing was done."""
        express, asked, request, snapshot = self._express, self._asked, self._request, self._lane.snapshot
        state, read, cap = express.state, asked.input_tokens, asked.output_cap
        if plan.context_tokens is not None and read + (cap or 0) > plan.context_tokens:
            return False
        likely = state.answers.within(plan.bucket, cap)
        ranked = _ranked(plan, state.tariffs.of_all(snapshot.offers, at_ns), read, likely)
        if not ranked:
            return False
        _, _, way, _, tariff = ranked[0]
        route = way.route
        if way.passage is None or (len(plan.slotted) > way.slotted and _any_full(plan.slotted, way, state)):
            return False
        usage = Usage(input_tokens=read, output_tokens=likely)
        cost = tariff.nanousd(usage) if tariff is not None else None
        if tariff is None or cost is None:
            return False
        request.name = name = new_id(at_ns)
        named = self._named = name.encode()
        request.id = request.id or named
        choices = ranked[0][3] if len(ranked) == 1 else b",".join([each[3] for each in ranked])
        self._words = words = (
            named,
            at_ns,
            read,
            b',"output_cap":%d' % cap if cap is not None else b"",
            b',"tags":%b' % _encode(tags) if tags else b"",
            named,
            choices,
        )
        self._kept = way.sent % (*words, at_ns, at_ns, _encode(usage), cost, at_ns)
        self._at_ns, self._way, self._tariff, self._bucket = at_ns, way, tariff, plan.bucket
        over = self._over = way.passage(asked)
        body = over.body(route.model)
        return state.takes(route, way.target) and self._goes(body)

    def _goes(self, body: bytes) -> bool:
        """Keep the call and send it, on a slot that is taken; else give that back."""
        express, way, request, lane, over = self._express, self._way, self._request, self._lane, self._over
        target, asking = way.target, None
        try:
            asking = target.kept(self._asked)
            if asking is not None:
                self._place = express.meter.keep(request.name, self._kept)
                asking.connection.listener = self.moved
                headers = steady(request.head, over.headers) if over.headers else lane.said.along
                more = numbered(request) if lane.said.traced else [(REQUEST_ID, request.id)]
                target.ask(asking, over.path, headers, body, more, request.head.known)
        except BaseException:
            if asking is not None:
                target.unused(asking)
            express.state.give(lane.snapshot, way.route, None)
            raise
        if asking is None:
            express.state.give(lane.snapshot, way.route, None)
            return False
        self._asking = asking
        return True

    # And back.

    def moved(self) -> None:
        """Something came of the answer, or it broke."""
        connection = self._asking.connection
        if connection.has_head:
            if self._first_ns is None:
                self._first_ns = self._express.clock.time_ns()
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
        express, asking, way = self._express, self._asking, self._way
        asking.connection.listener = None
        try:
            taken = self._taken()
            express.chat.ending.abandoned(taken.job, taken.attempt)
        except Exception:  # the slot and the connection must not be lost as well
            log.exception("a call that its client has left could not be written down")
        way.target.done(asking, whole=False)
        express.state.give(self._lane.snapshot, way.route, None)

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
        try:
            self._delivered(body, cost)
        except Exception:  # the call is written down: all that is left is to let go
            log.exception("an answer could not be delivered")
            self._line.abort()
        return True

    def _written(self, body: bytes) -> int | None:
        """Write the call down; what it costs in nano-dollars, None where its answer is not plain. Raises
        LedgerUnavailable."""
        express = self._express
        found = self._over.read(body)
        if found is None or found.usage is None or found.made is not None or found.pending:
            return None
        usage, tokens = found.usage, found.usage.output_tokens + found.usage.reasoning_tokens
        if found.provider_usd is not None or found.service_tier or (found.written_tokens and not tokens):
            return None
        cost = self._tariff.nanousd(usage)
        if cost is None:
            return None
        ended = self._ended_ns = express.clock.time_ns()
        line = self._way.done % (*self._words, self._at_ns, ended, self._first_ns, _encode(usage), cost, ended)
        express.meter.write_down(self._request.name, line, self._place)
        express.state.answers.learn(self._bucket, tokens)
        return cost

    def _delivered(self, body: bytes, cost: int) -> None:
        """Give back the slot and the connection, and the client its answer."""
        way, line, asking = self._way, self._line, self._asking
        theirs = answers.passed_lines(asking.connection.headers, self._request)
        asking.connection.listener = None
        way.target.done(asking, whole=True)
        self._express.state.served(way.route, way.target, time.monotonic() - asking.at, self._ended_ns)
        server = line.server
        ending = b""
        if server.closing:
            line.last, ending = True, b"connection: close\r\n"
        line.answer(
            b"HTTP/1.1 200 OK\r\n%b%bx-baseload-decision-id: %b\r\nx-baseload-cost-usd: %b\r\n%bcontent-length: %d\r\n"
            b"%b\r\n%b"
            % (theirs, way.lines, self._named, shown_usd(cost).encode(), server.date, len(body), ending, body)
        )

    async def _resume(self, _: Request, exchange: Exchange) -> None:
        await self._express.chat.resume(self._taken(), exchange)

    def _taken(self) -> Taken:
        """The request as `chat.py` would have it by now."""
        lane, request = self._lane, self._request
        call = _decode(self._kept)
        record = Record(call.facts, call.decision, lane.snapshot.offers, self._asked.body, begun=self._place)
        owner = lane.key.prefix if lane.key is not None else ""
        job = Job(request, self._asked, lane.snapshot, record, owner=owner)
        attempt = Try(self._way.route, 1, self._at_ns, sent=True, first_byte_ns=self._first_ns)
        job.attempt = attempt
        connection = self._asking.connection
        if connection.has_head:
            attempt.http_status = connection.status
        return Taken(job, attempt, self._over, asking=self._asking)


_Ranked = tuple[float, int, Way, bytes, Tariff | None]


def _ranked(plan: Plan, tariffs: Mapping[str, Tariff | None], read: int, written: int) -> list[_Ranked]:
    """The ways of a plan in merit order, each with its choice in the decision as JSON: what `decide` says of them.
    Nothing where an offer has other prices within this minute."""
    ranked: list[_Ranked] = []
    for place, way in enumerate(plan.ways):
        offer = way.route.offer
        tariff = tariffs.get(offer)
        if tariff is None and way.offered and offer not in tariffs:
            return []
        expected = tariff.expected(read, written) if tariff is not None else None
        if way.own:
            choice = way.unpriced if expected is None else way.priced % expected
            ranked.append((0.0, place, way, choice, tariff))
        elif expected is None:
            ranked.append((_UNPRICED, place, way, way.unpriced, None))
        else:
            ranked.append((expected / way.success, place, way, way.priced % (expected, expected), tariff))
    ranked.sort()
    return ranked


def _any_full(slotted: tuple[Way, ...], chosen: Way, state: GatewayState) -> bool:
    """Whether a route other than the chosen one has no free slot: the decision says so."""
    in_flight = state.in_flight
    return any(way is not chosen and in_flight.get(way.route.upstream, 0) >= (way.route.slots or 0) for way in slotted)


def _is_plain(headers: Headers) -> bool:
    """Whether a body under these headers is what its bytes are, and no stream."""
    for name, value in headers:
        if name == b"content-type":
            if value[:17].lower() == b"text/event-stream":
                return False
        elif name == b"content-encoding" and not is_plain(value):
            return False
    return True
