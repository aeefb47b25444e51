"""What plain requests of one kind have in common, worked out once: their routes, and how their calls are written. Pure.

Very many requests differ in nothing but their text: the same head, model, bucket and needs, in a calm moment of the
same policy. A `Plan` holds everything else: what `decide` says of each route, where it goes, and the JSON of a call on
it with blanks for times, tokens, money and tags. It is made by what serves any request (`decide.weigh`, the types of a
call), with numbers in the blanks that stand nowhere else; where that does not come out even there is no plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from baseload.cost.tariffs import Tariff
from baseload.gateway.answers import served_by_lines
from baseload.gateway.meter import DIED
from baseload.gateway.state import Snapshot
from baseload.gateway.target import Target
from baseload.ledger.forms import form
from baseload.load.calls import Attempt, Call, Choice, Decision, Evidence, Status
from baseload.load.facts import Bucket, Facts
from baseload.policy.decide import State, weigh
from baseload.policy.policy import Route
from baseload.policy.sieve import Sifted
from baseload.usage import Usage
from baseload.wire.passages import Maker, native

# What stands for a blank. A name that a client or a configuration gives may hold one: then there is no plan.
_ID = "blank: the id of a call"
_AT, _STARTED, _FIRST, _ENDED, _LAST = (8_999_999_999_999_999_000 + n for n in range(5))
_READ, _CAP, _COST, _USAGE = (8_888_888_888_888_888_000 + n for n in range(4))
_EXPECTED = 8_777_777_777_777_777_000
_TAGS = {"blank: tags": ""}
_REQUEST, _TRACE = "blank: its client's name for it", "blank: the trace it is part of"
_ROUTE = Choice("blank: a route", "", None)

_NOTHING = State()
_LAST_RESORT = float("inf")


def _text(value: object) -> bytes:
    return msgspec.json.encode(value)


_ASKED = (
    (_ID.encode(), b"%b", 2),
    (_text(_AT), b"%b", 1),
    (_text(_READ), b"%d", 1),
    (b',"output_cap":' + _text(_CAP), b"%b", 1),
    (b',"tags":' + _text(_TAGS), b"%b", 1),
    (b',"request_id":%b,"trace":%b' % (_text(_REQUEST), _text(_TRACE)), b"%b", 1),
    (_text(_ROUTE), b"%b", 1),
)
_SENT = ((_text(_STARTED), b"%b", 3), (_text(Usage(input_tokens=_USAGE)), b"%b", 1), (_text(_COST), b"%d", 1))
_DONE = (
    (_text(_STARTED), b"%b", 1),
    (_text(_FIRST), b"%d", 1),
    (_text(_ENDED), b"%b", 1),
    (_text(_LAST), b"%b", 1),
    (_text(Usage(input_tokens=_USAGE)), b"%b", 1),
    (_text(_COST), b"%d", 1),
)


class Way(msgspec.Struct, frozen=True):
    """One route of a plan. `priced` is its choice in a decision, with a blank for its expected cost, `unpriced`
    where nobody knows that. `sent` and `done` are calls with one attempt on it: under way, as it is to be recorded
    should we die, and served. `lines` are the headers that say who answered. `passage` carries requests there; None
    where the upstream does not speak as the client does, or somebody has to read on for a client that has gone.
    `attempt` is the one of `done`, `offered` says that there is an offer, whether it has a price or not.
    """

    route: Route
    target: Target
    offer: str
    own: bool
    success: float
    priced: bytes
    unpriced: bytes
    sent: bytes
    done: bytes
    lines: bytes
    passage: Maker | None
    attempt: Attempt
    offered: bool


class Plan(msgspec.Struct, frozen=True):
    """The `ways` of one kind of request, all in one `bucket`, in the order of the policy; those that are `slotted`;
    the least `context_tokens` of any, None when nothing limits them; and the `facts` of one such request."""

    facts: Facts
    bucket: Bucket
    ways: tuple[Way, ...]
    context_tokens: int | None
    slotted: tuple[Way, ...]

    def ranked(self, tariffs: Mapping[str, Tariff | None], read: int, written: int) -> list[Ranked]:
        """The ways in merit order, each with its choice in the decision as JSON: what `decide` says of requests that
        read and write so many tokens. Nothing where an offer has other prices within this minute."""
        ranked: list[Ranked] = []
        for place, way in enumerate(self.ways):
            tariff = tariffs.get(way.offer)
            if tariff is None and way.offered and way.offer not in tariffs:
                return []
            expected = tariff.expected(read, written) if tariff is not None else None
            if way.own:
                choice = way.unpriced if expected is None else way.priced % expected
                ranked.append((0.0, place, way, choice, tariff))
            elif expected is None:
                ranked.append((_LAST_RESORT, place, way, way.unpriced, None))
            else:
                ranked.append((expected / way.success, place, way, way.priced % (expected, expected), tariff))
        ranked.sort()  # no two have one place
        return ranked


Ranked = tuple[float, int, Way, bytes, Tariff | None]
"""Expected nano-dollars for each success, place in the policy, and what is ranked by them."""


def named(request_id: str, trace: str) -> bytes:
    """The names that clients give to a request, as they stand in a call.

    >>> named("a", ""), named("", "")
    (b',"request_id":"a"', b'')
    """
    one = b',"request_id":' + _text(request_id) if request_id else b""
    return one + b',"trace":' + _text(trace) if trace else one


def plan(facts: Facts, snapshot: Snapshot) -> Plan | None:
    """The plan for requests like this one; None where they need a closer look each time."""
    policy = snapshot.policy
    if facts.model in policy.fallbacks or facts.model in policy.context_fallbacks or facts.deadline_seconds is not None:
        return None
    sifted = snapshot.sieve(facts)
    skipped = tuple(each.skip for each in sifted if each.skip is not None)
    blank = msgspec.structs.replace(
        facts, at_ns=_AT, input_tokens=_READ, output_cap=_CAP, tags=_TAGS, request_id=_REQUEST, trace=_TRACE
    )
    decision = Decision(id=_ID, policy=snapshot.version, routes=(_ROUTE,), skipped=skipped)
    ways = [_way(each, blank, decision, snapshot) for each in sifted if each.skip is None]
    found = tuple(way for way in ways if way is not None)
    if not found or len(found) < len(ways):
        return None
    contexts = [way.route.context_tokens for way in found if way.route.context_tokens is not None]
    slotted = tuple(way for way in found if way.route.slots is not None or way.route.upstream in snapshot.limited)
    return Plan(facts, facts.bucket, found, min(contexts, default=None), slotted)


def _way(sifted: Sifted, facts: Facts, decision: Decision, snapshot: Snapshot) -> Way | None:
    route = sifted.route
    target = snapshot.targets[route.upstream]
    _, priced = weigh(sifted, facts, _NOTHING, lambda _, __: _EXPECTED)
    _, unpriced = weigh(sifted, facts, _NOTHING, lambda _, __: None)
    blanks = 1 if route.own else 2
    direct = facts.operation in target.upstream.serves and route.on_client_gone == "abort"
    offer = snapshot.offers.get(route.offer)
    lost = Attempt(
        number=1,
        route=route.name,
        upstream=route.upstream,
        model=route.model,
        offer=route.offer,
        started_ns=_STARTED,
        ended_ns=_STARTED,
        status=Status.CUT,
        usage=Usage(input_tokens=_USAGE),
        evidence=Evidence.ESTIMATED,
        cost_nanousd=_COST,
        book=offer.source.book if offer is not None else "",
        error=DIED,
    )
    good = msgspec.structs.replace(
        lost,
        ended_ns=_ENDED,
        first_byte_ns=_FIRST,
        http_status=HTTPStatus.OK,
        status=Status.OK,
        evidence=Evidence.REPORTED,
        error="",
    )
    call = Call(id=_ID, facts=facts, decision=decision, attempts=(lost,), ended_ns=_STARTED, status=Status.CUT)
    choice = form(priced, ((_text(_EXPECTED), b"%d", blanks),))
    sent = form(call, (*_ASKED, *_SENT))
    served = Call(id=_ID, facts=facts, decision=decision, attempts=(good,), ended_ns=_LAST)
    done = form(served, (*_ASKED, *_DONE))
    if choice is None or sent is None or done is None:
        return None
    return Way(
        route=route,
        target=target,
        offer=route.offer,
        own=route.own,
        success=sifted.success,
        priced=choice,
        unpriced=_text(unpriced),
        sent=sent,
        done=done,
        lines=served_by_lines(route, snapshot.version),
        attempt=good,
        passage=native(facts.operation) if direct else None,
        offered=offer is not None,
    )
