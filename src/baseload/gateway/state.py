"""What the gateway knows at a moment: the policy in force, requests in flight, failing upstreams, likely costs. Acts.

One `Snapshot` is taken per request and swapped whole, so a request never sees half of two configurations. Slots are
taken and given back here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from baseload.catalog.entries import Offer
from baseload.clock import Clock
from baseload.cost.tariffs import Tariffs
from baseload.gateway.asking import default_bucket
from baseload.gateway.target import Target, Targets
from baseload.gateway.waiting import Lines, Service
from baseload.load.facts import Bucket, Facts
from baseload.policy.decide import Estimate, State
from baseload.policy.expect import AnswerLengths
from baseload.policy.policy import Policy, Route, version
from baseload.policy.sieve import Sieve

UNUSUAL = 3
"""How many times as long as usual is a failure when a request's deadline comes first ..."""
UNUSUAL_SECONDS = 10.0
"""... and how long it is where nobody knows what is usual."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A policy with its version, the offers that price its routes and the upstreams they go to.

    `limited` are the upstreams whose replicas have so many slots each, `watched` those
    whose engines say what waits in them, `patient` the routes where a request may wait for a slot. The `sieve`
    remembers which routes may serve what; `defaults` are the buckets, by model, of requests that say nothing of their
    task.
    """

    policy: Policy
    version: str
    offers: Mapping[str, Offer]
    routes: Mapping[str, Route]
    models: frozenset[str]
    targets: Mapping[str, Target]
    limited: tuple[str, ...]
    watched: tuple[str, ...]
    patient: tuple[Route, ...]
    sieve: Sieve
    defaults: Mapping[str, Bucket]


class GatewayState:
    """The mutable heart, used from one event loop."""

    def __init__(self, policy: Policy, offers: Mapping[str, Offer], clock: Clock, targets: Targets) -> None:
        self._clock = clock
        self.answers = AnswerLengths()
        self.tariffs = Tariffs()
        self.targets = targets
        self.slots = targets.slots
        self.lines = Lines(self.slots)
        self.service = Service()
        self._in_flight = self.slots.in_flight
        self._each: tuple[Target, ...] = ()
        self._calm: State | None = None  # what is observed as long as nothing fails, where that is always the same
        self.snapshot = self._snapshot(policy, offers)

    def swap(self, policy: Policy, offers: Mapping[str, Offer] | None = None) -> str:
        """Put another policy, and the targets as they are now, in force for every request that comes from now on;
        returns its version."""
        self.snapshot = self._snapshot(policy, self.snapshot.offers if offers is None else offers)
        return self.snapshot.version

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Requests in flight by upstream, of every worker."""
        return self._in_flight

    def observed(self) -> State:
        """What `decide` needs to know of this moment."""
        unhealthy = self.targets.unhealthy(self._clock.time_ns())
        if not unhealthy and self._calm is not None:
            return self._calm
        return State(
            in_flight=self._in_flight,
            unhealthy=unhealthy,
            room=self._room(),
            waits=self._waits() if self.snapshot.patient else {},
            answer_seconds=self._answer_seconds() if self.snapshot.watched else self.service.all,
        )

    def is_calm(self, at_ns: int) -> bool:
        """Whether no upstream is left out."""
        for target in self._each:
            if target.troubled:
                return not self.targets.unhealthy(at_ns)
        return True

    def is_full(self, snapshot: Snapshot, route: Route) -> bool:
        """Whether a request would have to wait for a slot of a route's upstream."""
        limit = self._limit(snapshot, route)
        if limit is None:
            return False
        return self.slots.busy(route.upstream) >= limit or self._has_line(route)

    def takes(self, snapshot: Snapshot, route: Route, target: Target) -> bool:
        """`take` without a wait."""
        if self._has_line(route) or not self.lines.take(route.upstream, self._limit(snapshot, route)):
            return False
        if target.troubled:
            target.begins()
        return True

    async def take(self, snapshot: Snapshot, route: Route, left: float | None) -> bool:
        """Take one slot of a route's upstream, after a wait where the route allows one and it is likely to be enough;
        False when there is none. `left` are the seconds until the request's deadline. Every True is paired with a
        `give`."""
        limit = self._limit(snapshot, route)
        if not self.lines.take(route.upstream, limit):
            longest = route.wait_seconds if left is None else min(route.wait_seconds, left)
            if not limit or longest <= 0 or self._expected_wait(snapshot, route, limit) > longest:
                return False
            if not await self.lines.wait(route.upstream, limit, longest):
                return False
        snapshot.targets[route.upstream].begins()
        return True

    def served(self, route: Route, target: Target, seconds: float, now_ns: int) -> None:
        """`answered` and `give` after a good answer."""
        target.breaker.answered(now_ns)
        target.breaker.ends()
        self.service.learn(route.upstream, seconds)
        self.lines.give(route.upstream)

    def give(self, snapshot: Snapshot, route: Route, served_seconds: float | None) -> None:
        """Give the slot back. `served_seconds` is how long a good answer took, None when there was none."""
        if served_seconds is not None:
            self.service.learn(route.upstream, served_seconds)
        snapshot.targets[route.upstream].ends()
        self.lines.give(route.upstream)

    def failed(self, upstream: str) -> None:
        """An upstream gave no answer, or a 5xx."""
        if upstream in self.snapshot.targets:
            self.snapshot.targets[upstream].failed()

    def too_late(self, upstream: str, seconds: float) -> None:
        """An attempt was given up after so long because its client would wait no longer. Only where that is far longer
        than usual has the upstream failed: else a client in a hurry could have it left out for everybody."""
        usual = self.service.seconds(upstream)
        if seconds >= (UNUSUAL_SECONDS if usual is None else UNUSUAL * usual):
            self.failed(upstream)

    def answered(self, upstream: str) -> None:
        """An upstream answered, if only to refuse."""
        if upstream in self.snapshot.targets:
            self.snapshot.targets[upstream].answered()

    def _snapshot(self, policy: Policy, offers: Mapping[str, Offer]) -> Snapshot:
        limited = tuple(name for name, each in self.targets.by_name.items() if each.room() is not None)
        watched = tuple(name for name, each in self.targets.by_name.items() if each.upstream.pool.metrics_seconds)
        patient = tuple(route for route in policy.routes if route.wait_seconds)
        plain = not (limited or watched or patient)
        self._calm = State(in_flight=self._in_flight, answer_seconds=self.service.all) if plain else None
        self._each = tuple(self.targets.by_name.values())
        return Snapshot(
            policy=policy,
            version=version(policy),
            offers=offers,
            routes={route.name: route for route in policy.routes},
            models=frozenset(policy.models),
            targets=self.targets.by_name,
            limited=limited,
            watched=watched,
            patient=patient,
            sieve=Sieve(policy),
            defaults={model: default_bucket(model, policy) for model in policy.models},
        )

    def _room(self) -> Mapping[str, int]:
        """How many requests each upstream with a limit of its own takes at once."""
        targets = self.snapshot.targets
        return {name: room for name in self.snapshot.limited if (room := targets[name].room()) is not None}

    def _answer_seconds(self) -> Mapping[str, float]:
        """How long an answer is likely to take, with what waits inside the engines that say so."""
        found = dict(self.service.all)
        for name in self.snapshot.watched:
            if name in found:
                target = self.snapshot.targets[name]
                found[name] *= 1 + target.waiting / max(1, target.running)
        return found

    def _limit(self, snapshot: Snapshot, route: Route) -> int | None:
        """The most requests in flight at a route's upstream: what the route says, or its replicas when that is less."""
        if route.upstream not in snapshot.limited:
            return route.slots
        room = snapshot.targets[route.upstream].room()
        if route.slots is None or room is None:
            return room if route.slots is None else route.slots
        return min(route.slots, room)

    def _has_line(self, route: Route) -> bool:
        return route.wait_seconds > 0 and self.lines.length(route.upstream) > 0

    def _waits(self) -> Mapping[str, float]:
        """Seconds until a slot is likely to be free, of each upstream where one has to wait."""
        found = {}
        for route in self.snapshot.patient:
            limit = self._limit(self.snapshot, route)
            if limit and (self.lines.length(route.upstream) or self.slots.busy(route.upstream) >= limit):
                found[route.upstream] = self._expected_wait(self.snapshot, route, limit)
        return found

    def _expected_wait(self, snapshot: Snapshot, route: Route, limit: int) -> float:
        """Seconds until those before and then this request have a slot: one becomes free every `limit`th part of the
        time that an answer takes. Nothing before the first answer, when nobody can know."""
        seconds = self.service.seconds(route.upstream) or 0.0
        return (self.lines.length(route.upstream) + snapshot.targets[route.upstream].waiting + 1) * seconds / limit

    def estimates(self, snapshot: Snapshot, of: Facts) -> Estimate:
        """Nano-dollars that a request is likely to cost on a route; None when its offer has no price. Prepared for one
        request: good for others of the same moment."""
        offers, tariffs, likely = snapshot.offers, self.tariffs, self.answers.likely
        held, tokens = tariffs.of_all(offers, of.at_ns), likely(of)

        def estimate(route: Route, facts: Facts) -> int | None:
            name = route.offer
            if name in held:
                tariff = held[name]
            else:
                tariff = tariffs.at(name, offers[name], of.at_ns) if name in offers else None
            if tariff is None:
                return None
            return tariff.expected(facts.input_tokens, tokens if facts is of else likely(facts))

        return estimate
