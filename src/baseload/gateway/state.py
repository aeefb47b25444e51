"""What the gateway knows at a moment: the policy in force, requests in flight, failing upstreams, likely costs. Acts.

One `Snapshot` is taken per request and swapped whole, so a request never sees half of two policies. Slots are counted
here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from baseload.catalog.entries import Offer, Rates
from baseload.clock import Clock, from_ns
from baseload.load.facts import Facts
from baseload.policy.decide import State
from baseload.policy.expect import AnswerLengths
from baseload.policy.policy import Policy, Route, version
from baseload.units import NANOSECONDS_PER_SECOND, PICO_PER_NANO, SECONDS_PER_MINUTE, nanousd, pico_per_token

FAILURES_TO_COOL = 3
"""Failures in a row (5xx, timeout, no connection; never a client's own 4xx) after which an upstream is left out ..."""
COOL_SECONDS = 5
"""... for this long, as long as another route can serve the request."""

_MINUTE_NS = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND

# (prompt longer than, pico-USD per input token, per output token, nano-USD per request), the steepest tier first.
_Prices = tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A policy with its version, and the offers that price its routes. `prices` caches each offer's rates by minute."""

    policy: Policy
    version: str
    offers: Mapping[str, Offer]
    routes: Mapping[str, Route]
    models: frozenset[str]
    prices: dict[str, tuple[int, _Prices | None]] = field(default_factory=dict)


class GatewayState:
    """The mutable heart, used from one event loop."""

    def __init__(self, policy: Policy, offers: Mapping[str, Offer], clock: Clock) -> None:
        self.in_flight: dict[str, int] = {}
        self._clock = clock
        self.answers = AnswerLengths()
        self._failures: dict[str, int] = {}
        self._cold: dict[str, int] = {}  # upstream -> ns until which it is left out
        self.snapshot = _snapshot(policy, offers)

    def swap(self, policy: Policy, offers: Mapping[str, Offer] | None = None) -> str:
        """Put another policy in force for every request that comes from now on; returns its version."""
        self.snapshot = _snapshot(policy, self.snapshot.offers if offers is None else offers)
        return self.snapshot.version

    def observed(self) -> State:
        """What `decide` needs to know of this moment."""
        return State(in_flight=self.in_flight, unhealthy=self._unhealthy())

    def reserve(self, route: Route) -> bool:
        """Take one slot of a route's upstream; False when it is full. Every True is paired with a `release`."""
        busy = self.in_flight.get(route.upstream, 0)
        if route.slots is not None and busy >= route.slots:
            return False
        self.in_flight[route.upstream] = busy + 1
        return True

    def release(self, route: Route) -> None:
        """Give the slot back."""
        self.in_flight[route.upstream] -= 1

    def failed(self, upstream: str) -> None:
        """An upstream gave no answer, or a 5xx."""
        count = self._failures.get(upstream, 0) + 1
        self._failures[upstream] = count
        if count >= FAILURES_TO_COOL:
            self._cold[upstream] = self._clock.time_ns() + COOL_SECONDS * NANOSECONDS_PER_SECOND

    def answered(self, upstream: str) -> None:
        """An upstream answered, if only to refuse."""
        if self._failures.pop(upstream, 0):
            self._cold.pop(upstream, None)

    def estimate(self, snapshot: Snapshot, route: Route, facts: Facts) -> int | None:
        """Nano-dollars a request is likely to cost on a route; None when its offer has no price.

        `cost.tokens.price` in integers, with rates looked up once a minute: within one nano-dollar of it.
        """
        minute = facts.at_ns // _MINUTE_NS
        cached = snapshot.prices.get(route.offer)
        if cached is None or cached[0] != minute:
            cached = (minute, _prices(snapshot.offers.get(route.offer), facts.at_ns))
            snapshot.prices[route.offer] = cached
        for above, per_input, per_output, per_request in cached[1] or ():
            if facts.input_tokens > above:
                pico = facts.input_tokens * per_input + self.answers.likely(facts) * per_output
                return (pico + PICO_PER_NANO // 2) // PICO_PER_NANO + per_request
        return None

    def _unhealthy(self) -> frozenset[str]:
        if not self._cold:
            return frozenset()
        now = self._clock.time_ns()
        return frozenset(upstream for upstream, until in self._cold.items() if until > now)


def _snapshot(policy: Policy, offers: Mapping[str, Offer]) -> Snapshot:
    routes = {route.name: route for route in policy.routes}
    return Snapshot(policy, version(policy), offers, routes, frozenset(policy.models))


def _prices(offer: Offer | None, at_ns: int) -> _Prices | None:
    """The rates of an offer that hold at a moment, by prompt length; None when it has none, or no whole ones."""
    row = offer.row(from_ns(at_ns)) if offer is not None else None
    if row is None:
        return None
    tiers = sorted(row.tiers, key=lambda tier: -tier.above_prompt_tokens)
    steps = [(tier.above_prompt_tokens, tier.rates) for tier in tiers] + [(-1, row.rates)]
    prices = [_step(above, rates) for above, rates in steps]
    return tuple(step for step in prices if step is not None) if None not in prices else None


def _step(above: int, rates: Rates) -> tuple[int, int, int, int] | None:
    if rates.input is None or rates.output is None:
        return None
    return above, pico_per_token(rates.input), pico_per_token(rates.output), nanousd(rates.per_request)
