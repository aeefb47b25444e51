"""The same calls, decided again under another policy: what they would have cost. Pure.

Calls arrive at the times at which they arrived. Each takes the first route that `decide` answers with, holds a slot of
its upstream from its own start to its own end, after its turn in the line where the route lets it wait
(`wait_seconds`), and consumes what it consumed. So an own pool that is full overflows here as it does in the gateway.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil

from baseload.audit.pricer import Pricer
from baseload.audit.reprice import answered
from baseload.capacity.offer import OWN
from baseload.catalog.entries import Offer
from baseload.load.calls import Call, Evidence
from baseload.load.facts import Bucket, Facts
from baseload.policy.decide import State, decide
from baseload.policy.expect import AnswerLengths
from baseload.policy.policy import Policy, Route, version
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage

# How long a route would have been busy with a call, in seconds.
ServiceTime = Callable[[Call, Route], float]


@dataclass(frozen=True, slots=True)
class Change:
    """Money of a set of calls now and then, in nano-dollars; None where a call in it has no price.

    `calls` were served now and can be served then: only they are compared. `own` is the part that own capacity
    carries, on the usage basis: its hours are paid either way.
    """

    calls: int
    now_nanousd: int | None
    then_nanousd: int | None
    own_now_nanousd: int
    own_then_nanousd: int

    @property
    def difference_nanousd(self) -> int | None:
        """Then minus now: negative is a saving."""
        if self.now_nanousd is None or self.then_nanousd is None:
            return None
        return self.then_nanousd - self.now_nanousd

    @property
    def bought_difference_nanousd(self) -> int | None:
        """The same for what is bought by the token alone: what the change does to the bills that come in."""
        whole = self.difference_nanousd
        return None if whole is None else whole - (self.own_then_nanousd - self.own_now_nanousd)


@dataclass(frozen=True, slots=True)
class Replay:
    """What another policy would have done with `calls` calls.

    `total` and `by_bucket` compare the calls that the policy would admit. `refused` calls it would not: they cost
    `refused_nanousd` now, which is in no comparison. `moved` calls would be answered by another model or upstream.
    `routes_now` and `routes_then` count admitted calls by route, `unpriced_*` those that have no price.
    """

    policy: str
    calls: int
    refused: int
    refused_nanousd: int | None
    moved: int
    unpriced_now: int
    unpriced_then: int
    total: Change
    by_bucket: Mapping[Bucket, Change]
    routes_now: Mapping[str, int]
    routes_then: Mapping[str, int]

    @property
    def difference_nanousd(self) -> int | None:
        """Then minus now over the admitted calls: negative is a saving."""
        return self.total.difference_nanousd


def replay(
    calls: Iterable[Call], policy: Policy, offers: Mapping[str, Offer], *, service_seconds: ServiceTime | None = None
) -> Replay:
    """Decide every call again. `offers` prices the routes by their offer's key; a key it lacks is unpriced.

    Without `service_seconds` a call holds its slot as long as it was metered to take. A call keeps its bucket: that is
    what the task needs, whatever the policy calls it.
    """
    runner = _Runner(policy, offers, service_seconds)
    for call in sorted(calls, key=lambda call: (call.facts.at_ns, call.id)):
        runner.serve(call)
    return runner.result()


@dataclass(slots=True)
class _Sum:
    """A Change in the making. What has no price is counted, so that the sum is not shown."""

    calls: int = 0
    now: int = 0
    then: int = 0
    own_now: int = 0
    own_then: int = 0
    unpriced_now: int = 0
    unpriced_then: int = 0

    def add(self, now: int | None, then: int | None, own_now: int, own_then: int) -> None:
        self.calls += 1
        self.now += now or 0
        self.then += then or 0
        self.own_now += own_now
        self.own_then += own_then
        self.unpriced_now += now is None
        self.unpriced_then += then is None

    def change(self) -> Change:
        return Change(
            calls=self.calls,
            now_nanousd=None if self.unpriced_now else self.now,
            then_nanousd=None if self.unpriced_then else self.then,
            own_now_nanousd=self.own_now,
            own_then_nanousd=self.own_then,
        )


class _Runner:
    """The gateway's state as it would have been: slots taken, answer lengths seen, money spent."""

    def __init__(self, policy: Policy, offers: Mapping[str, Offer], service_seconds: ServiceTime | None) -> None:
        self._policy = policy
        self._version = version(policy)
        self._routes = {route.name: route for route in policy.routes}
        self._pricers = {route.offer: Pricer(offers[route.offer]) for route in policy.routes if route.offer in offers}
        self._service_seconds = service_seconds
        self._patient = tuple(route for route in policy.routes if route.wait_seconds and route.slots)
        self._slots = _Slots(frozenset(route.upstream for route in self._patient))
        self._answers = _Answers()
        self._total = _Sum()
        self._buckets: dict[Bucket, _Sum] = {}
        self._refused = _Sum()
        self._moved = 0
        self._now: Counter[str] = Counter()
        self._then: Counter[str] = Counter()

    def serve(self, call: Call) -> None:
        """The next call in time."""
        facts = call.facts
        self._slots.free(facts.at_ns)
        self._answers.hear(facts.at_ns)
        state = State(in_flight=self._slots.in_flight, waits=self._waits(facts.at_ns))
        decision = decide(facts, self._policy, state, self._estimate, policy_version=self._version, id=call.id)
        now, own_now = call.cost_nanousd, _own(call)
        if not decision.routes:
            self._refused.add(now, 0, own_now, 0)
            return
        route = self._routes[decision.routes[0].route]
        self._slots.take(route.upstream, self._end(call, route), route.slots, facts.at_ns)
        self._answers.expect(call)
        then = self._price(call, route)
        own_then = (then or 0) if route.offer.startswith(f"{OWN}/") else 0
        for each in (self._total, self._buckets.setdefault(facts.bucket, _Sum())):
            each.add(now, then, own_now, own_then)
        self._count(call, route)

    def _waits(self, at_ns: int) -> dict[str, float]:
        """Seconds until a slot is free, of each upstream where a call has to wait and its route lets it. The gateway
        can only estimate that; here the ends of the calls before are known."""
        return {
            route.upstream: wait / NANOSECONDS_PER_SECOND
            for route in self._patient
            if (wait := self._slots.wait_ns(route.upstream, route.slots, at_ns))
        }

    def result(self) -> Replay:
        """What came of it."""
        return Replay(
            policy=self._version,
            calls=self._total.calls + self._refused.calls,
            refused=self._refused.calls,
            refused_nanousd=self._refused.change().now_nanousd,
            moved=self._moved,
            unpriced_now=self._total.unpriced_now,
            unpriced_then=self._total.unpriced_then,
            total=self._total.change(),
            by_bucket={bucket: self._buckets[bucket].change() for bucket in Bucket if bucket in self._buckets},
            routes_now=dict(self._now.most_common()),
            routes_then=dict(self._then.most_common()),
        )

    def _count(self, call: Call, route: Route) -> None:
        served = call.served
        self._then[route.name] += 1
        self._now[served.route if served is not None else ""] += 1
        if served is None or (served.upstream, served.model) != (route.upstream, route.model):
            self._moved += 1

    def _end(self, call: Call, route: Route) -> int:
        if self._service_seconds is None:
            return call.ended_ns
        return call.facts.at_ns + ceil(self._service_seconds(call, route) * NANOSECONDS_PER_SECOND)

    def _price(self, call: Call, route: Route) -> int | None:
        attempt = answered(call)
        if attempt is None:
            return 0
        pricer = self._pricers.get(route.offer)
        way = None if pricer is None else pricer.served(attempt.service_tier, attempt.offer)
        return None if way is None else way.nanousd(attempt.usage, attempt.started_ns)

    def _estimate(self, route: Route, facts: Facts) -> int | None:
        """What the gateway would have expected at that moment."""
        pricer = self._pricers.get(route.offer)
        if pricer is None:
            return None
        likely = Usage(input_tokens=facts.input_tokens, output_tokens=self._answers.lengths.likely(facts))
        return pricer.nanousd(likely, facts.at_ns)


class _Slots:
    """Requests in flight by upstream, those that stand in line for a slot among them; of `patient` upstreams their ends
    are kept in order."""

    def __init__(self, patient: frozenset[str]) -> None:
        self.in_flight: dict[str, int] = {}
        self._ends: list[tuple[int, str]] = []
        self._lines: dict[str, list[int]] = {upstream: [] for upstream in patient}

    def take(self, upstream: str, end_ns: int, slots: int | None, at_ns: int) -> None:
        """One more, which ends later by as long as it waits for its slot."""
        end_ns += self.wait_ns(upstream, slots, at_ns)
        self.in_flight[upstream] = self.in_flight.get(upstream, 0) + 1
        heapq.heappush(self._ends, (end_ns, upstream))
        if upstream in self._lines:
            insort(self._lines[upstream], end_ns)

    def wait_ns(self, upstream: str, slots: int | None, at_ns: int) -> int:
        """How long until a slot is free for one more; 0 when one is, or nobody waits there."""
        ends = self._lines.get(upstream)
        if not ends or slots is None or len(ends) < slots:
            return 0
        return max(0, ends[len(ends) - slots] - at_ns)

    def free(self, at_ns: int) -> None:
        """Give back the slots of everything that ended by now."""
        while self._ends and self._ends[0][0] <= at_ns:
            end_ns, upstream = heapq.heappop(self._ends)
            self.in_flight[upstream] -= 1
            if upstream in self._lines:
                self._lines[upstream].remove(end_ns)


@dataclass(slots=True)
class _Answers:
    """How long answers were, by bucket, as far as they had come by a moment."""

    lengths: AnswerLengths = field(default_factory=AnswerLengths)
    coming: list[tuple[int, Bucket, int]] = field(default_factory=list)

    def expect(self, call: Call) -> None:
        """An answer that will be known when the call ends. Only what an upstream itself reported is learnt from."""
        served = call.served
        if served is not None and served.evidence is Evidence.REPORTED:
            heapq.heappush(self.coming, (call.ended_ns, call.facts.bucket, served.usage.completion_tokens))

    def hear(self, at_ns: int) -> None:
        while self.coming and self.coming[0][0] <= at_ns:
            _, bucket, tokens = heapq.heappop(self.coming)
            self.lengths.learn(bucket, tokens)


def _own(call: Call) -> int:
    """What own capacity carried of a call."""
    return sum(attempt.cost_nanousd or 0 for attempt in call.attempts if attempt.offer.startswith(f"{OWN}/"))
