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
from baseload.gateway.door import Door
from baseload.gateway.encoding import is_plain
from baseload.gateway.endpoints import ENDPOINTS
from baseload.gateway.exchange import STATUS_LINE
from baseload.gateway.head import Headers, Request
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
from baseload.wire.passages import Reader, passage, reader

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024
"""Longer requests take a while anyway."""
MOST_PLANS = 64
"""Kinds of request for which a plan is remembered, for one head."""

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
    key: ClientKey | None
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
        lane = self._lane(request)
        if lane is None or self._budgets.on or self.chat.traces or not self.meter.writable:
            return None
        at_ns = self.clock.time_ns()
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

    def _lane(self, request: Request) -> _Lane | None:
        """What the head of a request says, as it was found before; None when it is not plain."""
        head, snapshot, door = request.head, self.state.snapshot, self.door
        lane: _Lane | None = head.known.get("lane")
        key = self._keys.caller(request)
        if lane is not None and lane.snapshot is snapshot and lane.key is key and lane.door is door:
            return lane if len(request.body) <= MOST_BYTES else None
        operation = ENDPOINTS.get(head.path)
        if operation not in _OPERATIONS or head.method != "POST" or head.http_1_0 or not head.keep_alive:
            return None
        if isinstance(key, Unknown) or door.obstacle(request) is not None or not request.body:
            return None
        headers = said(head)
        if headers.cost_asked or headers.deadline_seconds is not None:
            return None
        tags = dict(key.all_tags) if key is not None else {}
        lane = _Lane(snapshot, door, key, operation, reader(operation), headers, tags, {})
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

    _asking: Asking
    _bucket: Bucket
    _kept: bytes
    _named: bytes
    _over: Passage
    _place: Place | None
    _started_ns: int
    _way: Way
    _words: tuple[object, ...]

    __slots__ = (
        "_asked",
        "_asking",
        "_bucket",
        "_express",
        "_first_ns",
        "_kept",
        "_lane",
        "_line",
        "_named",
        "_over",
        "_place",
        "_request",
        "_started_ns",
        "_way",
        "_words",
    )

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
        way = ranked[0][2]
        if not way.plain or (plan.slotted and _any_full(plan.slotted, way, state)):
            return False
        usage = Usage(input_tokens=read, output_tokens=likely)
        cost = express.meter.price(way.route.offer, snapshot.offers, at_ns, usage)
        over = passage(asked, way.target.upstream.dialect, way.target.upstream.serves)
        if cost is None or over is None:
            return False
        request.name = name = new_id(at_ns)
        named = self._named = name.encode()
        request.id = request.id or named
        self._words = (
            named,
            at_ns,
            read,
            b"" if cap is None else b',"output_cap":%d' % cap,
            b',"tags":%b' % _encode(tags) if tags else b"",
            named,
            b",".join([each[3] for each in ranked]),
        )
        started = self._started_ns = express.clock.time_ns()
        self._kept = way.sent % (*self._words, started, started, _encode(usage), cost, started)
        self._way, self._over, self._bucket = way, over, plan.bucket
        return state.takes(snapshot, way.route) and self._goes(over.body(way.route.model))

    def _goes(self, body: bytes) -> bool:
        """Keep the call and send it, on a slot that is taken; else give that back."""
        express, way, request, asking = self._express, self._way, self._request, None
        try:
            asking = way.target.kept(self._asked)
            if asking is not None:
                self._place = express.meter.keep(request.name, self._kept)
                headers = steady(request.head, self._over.headers)
                asking.connection.listener = self.moved
                way.target.ask(asking, self._over.path, headers, body, numbered(request), request.head.known)
        except BaseException:
            if asking is not None:
                way.target.unused(asking)
            express.state.give(self._lane.snapshot, way.route, None)
            raise
        if asking is None:
            express.state.give(self._lane.snapshot, way.route, None)
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
                body = connection.rest()
                if body is None and connection.waits:
                    return
                if body is not None and self._answers(body):
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

    def _answers(self, body: bytes) -> bool:
        """Answer with what came; False, and nothing was done, where that is not plain."""
        cost = None
        try:
            cost = self._written(body)
        except LedgerUnavailable:  # whoever goes on finds that, too, and says so
            pass
        except Exception:  # the other way is still there
            log.exception("an answer could not be given the express way")
        if cost is None:
            self._asking.connection.put_back(body)
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
        express, way = self._express, self._way
        found = self._over.read(body)
        if found is None or found.usage is None or found.made is not None or found.pending:
            return None
        usage = found.usage
        if (
            found.provider_usd is not None
            or found.service_tier
            or (found.written_tokens and not usage.completion_tokens)
        ):
            return None
        cost = express.meter.price(way.route.offer, self._lane.snapshot.offers, self._started_ns, usage)
        if cost is None:
            return None
        ended = express.clock.time_ns()
        line = way.done % (*self._words, self._started_ns, ended, self._first_ns, _encode(usage), cost, ended)
        express.meter.write_down(self._request.name, line, self._place)
        express.state.answers.learn(self._bucket, usage.completion_tokens)
        return cost

    def _delivered(self, body: bytes, cost: int) -> None:
        """Give back the slot and the connection, and the client its answer."""
        state, way, line, request = self._express.state, self._way, self._line, self._request
        connection = self._asking.connection
        theirs = answers.identified(answers.passed(connection.headers), request)
        connection.listener = None
        way.target.done(self._asking, whole=True)
        state.answered(way.route.upstream)
        state.give(self._lane.snapshot, way.route, time.monotonic() - self._asking.at)
        closing = line.server.closing
        line.last = line.last or closing
        head = b"%b%b%bx-baseload-decision-id: %b\r\nx-baseload-cost-usd: %b\r\n%bcontent-length: %d\r\n%b\r\n" % (
            STATUS_LINE[_OK],
            b"".join([b"%b: %b\r\n" % field for field in theirs]),
            way.lines,
            self._named,
            shown_usd(cost).encode(),
            line.server.date,
            len(body),
            b"connection: close\r\n" if closing else b"",
        )
        line.answer(head + body)

    async def _resume(self, _: Request, exchange: Exchange) -> None:
        await self._express.chat.resume(self._taken(), exchange)

    def _taken(self) -> Taken:
        """The request as `chat.py` would have it by now."""
        lane, request = self._lane, self._request
        call = _decode(self._kept)
        record = Record(call.facts, call.decision, lane.snapshot.offers, self._asked.body, begun=self._place)
        owner = lane.key.prefix if lane.key is not None else ""
        job = Job(request, self._asked, lane.snapshot, record, owner=owner)
        attempt = Try(self._way.route, 1, self._started_ns, sent=True, first_byte_ns=self._first_ns)
        job.attempt = attempt
        connection = self._asking.connection
        if connection.has_head:
            attempt.http_status = connection.status
        return Taken(job, attempt, self._over, asking=self._asking)


def _ranked(
    plan: Plan, tariffs: Mapping[str, Tariff | None], read: int, written: int
) -> list[tuple[float, int, Way, bytes]]:
    """The ways of a plan in merit order, each with its choice in the decision as JSON: what `decide` says of them.
    Nothing where an offer has other prices within this minute."""
    ranked: list[tuple[float, int, Way, bytes]] = []
    for place, way in enumerate(plan.ways):
        route = way.route
        tariff = tariffs.get(route.offer)
        if tariff is None and way.offered and route.offer not in tariffs:
            return []
        expected = tariff.expected(read, written) if tariff is not None else None
        if expected is None:
            ranked.append((0.0 if route.own else _UNPRICED, place, way, way.unpriced))
        elif route.own:
            ranked.append((0.0, place, way, way.priced % expected))
        else:
            ranked.append((expected / way.success, place, way, way.priced % (expected, expected)))
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
