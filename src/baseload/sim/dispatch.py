"""Which routes a simulated request takes: `policy.decide` itself, or the same answer from what does not change. Pure.

Of everything that `decide` weighs only the tokens of the prompt, the requests in flight and the health of upstreams
differ between requests of one kind. So routes are filtered once for a kind; for a request it remains to look at the
slots and to compare prices.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from baseload.load.facts import Facts
from baseload.policy.decide import State, decide
from baseload.policy.policy import Policy, Route, version
from baseload.sim.supplies import Price
from baseload.usage import Usage

if TYPE_CHECKING:
    from baseload.sim.replica import Counts

Slots = Mapping[str, int | None]
"""Requests that may be in flight by route, where that is not what the policy says."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A route that may serve a kind of request, its place in the policy, and the share of tries that succeed."""

    route: Route
    place: int
    success: float


class Dispatcher:
    """Routes in merit order for one request after the other. `likely` is how long an answer is expected to be, in
    tokens; `exact` asks `decide` every time."""

    def __init__(
        self, policy: Policy, kinds: Sequence[Facts], prices: Mapping[str, Price], likely: int, *, exact: bool = False
    ) -> None:
        self.exact = exact
        self.in_flight: dict[str, int] = {}
        self._policy, self._kinds, self._prices, self._likely = policy, kinds, prices, likely
        self._version = version(policy)
        self._candidates = [self._admissible(kind) for kind in kinds]
        self._ends: list[tuple[float, str]] = []

    def admits(self, route: Route) -> Counts:
        """For each kind of request 1 where a route may serve it, else 0."""
        names = [{each.route.name for each in candidates} for candidates in self._candidates]
        return np.array([route.name in each for each in names], np.int32)

    def order(
        self, kind: int, at_ns: int, prompt: int, slots: Slots, down: frozenset[str], *, own: bool = True
    ) -> tuple[str, ...]:
        """The names of the routes that may serve a request now, best first; `own` ones only where asked for."""
        if self.exact:
            return self._decided(kind, at_ns, prompt, slots, down)
        ranked = []
        for each in self._candidates[kind]:
            route = each.route
            if route.own and not own:
                continue
            if route.context_tokens is not None and prompt + (self._kinds[kind].output_cap or 0) > route.context_tokens:
                continue
            most = slots.get(route.name, route.slots)
            if route.upstream in down or (most is not None and self.in_flight.get(route.upstream, 0) >= most):
                continue
            ranked.append((0.0 if route.own else self._rank(each, kind, at_ns, prompt), each.place, route.name))
        ranked.sort()
        return tuple(name for _, _, name in ranked)

    def take(self, route: Route, until: float) -> None:
        """A request is in flight on an upstream up to a time."""
        self.in_flight[route.upstream] = self.in_flight.get(route.upstream, 0) + 1
        heapq.heappush(self._ends, (until, route.upstream))

    def free(self, now: float) -> None:
        """What has ended by now is in flight no more."""
        while self._ends and self._ends[0][0] <= now:
            self.in_flight[heapq.heappop(self._ends)[1]] -= 1

    def _admissible(self, facts: Facts) -> tuple[_Candidate, ...]:
        """The routes that may serve such requests at all: asked of `decide`, when nothing is in flight."""
        open_routes = tuple(
            msgspec.structs.replace(route, slots=None, context_tokens=None) for route in self._policy.routes
        )
        policy = msgspec.structs.replace(self._policy, routes=open_routes)
        found = decide(facts, policy, State(), _unknown, policy_version="", id="")
        names = {each.route for each in found.routes}
        return tuple(
            _Candidate(route, place, route.success[facts.bucket])
            for place, route in enumerate(self._policy.routes)
            if route.name in names
        )

    def _rank(self, each: _Candidate, kind: int, at_ns: int, prompt: int) -> float:
        expected = self._expected(each.route, self._kinds[kind], at_ns, prompt)
        return float("inf") if expected is None else expected / each.success

    def _expected(self, route: Route, facts: Facts, at_ns: int, prompt: int) -> int | None:
        """What the gateway would expect it to cost, in nano-dollars."""
        price = self._prices.get(route.upstream)
        cap = facts.output_cap
        tokens = self._likely if cap is None else min(self._likely, cap)
        return None if price is None else price(Usage(input_tokens=prompt, output_tokens=tokens), at_ns)

    def _decided(self, kind: int, at_ns: int, prompt: int, slots: Slots, down: frozenset[str]) -> tuple[str, ...]:
        """The same from `decide` itself."""
        facts = msgspec.structs.replace(self._kinds[kind], at_ns=at_ns, input_tokens=prompt)
        routes = tuple(
            msgspec.structs.replace(route, slots=slots[route.name]) if route.name in slots else route
            for route in self._policy.routes
        )
        decision = decide(
            facts,
            msgspec.structs.replace(self._policy, routes=routes),
            State(in_flight=self.in_flight, unhealthy=down),
            lambda route, facts: self._expected(route, facts, facts.at_ns, facts.input_tokens),
            policy_version=self._version,
            id="simulated",
        )
        return tuple(choice.route for choice in decision.routes)


def _unknown(_route: Route, _facts: Facts) -> int | None:
    return None
