"""What of a decision does not change from moment to moment: which routes may serve requests of a kind at all. Pure.

Residency, model, operation, bucket and capabilities are the same for very many requests, so a `Sieve` remembers what it
found. The length of a prompt, free slots, failing upstreams and deadlines are asked anew each time: `decide.py`.
"""

from __future__ import annotations

import msgspec

from baseload.load.calls import Skip
from baseload.load.facts import Facts
from baseload.policy.policy import Policy, Route

MOST = 256
"""Kinds of request that are remembered of one policy."""


class Sifted(msgspec.Struct, frozen=True, gc=False):
    """One route for a kind of request: what rules it out for good, None when nothing does. `success` is its share
    in the bucket, `succeed` the words for that; `free` that nothing about it limits how much is asked of it."""

    route: Route
    skip: Skip | None
    success: float = 0.0
    succeed: str = ""
    free: bool = False


class Sieve:
    """The routes of one policy, in its order, for any request."""

    __slots__ = ("_found", "_policy", "_regions")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._regions = {"", *(route.residency for route in policy.routes)}
        self._found: dict[object, tuple[Sifted, ...]] = {}

    def __call__(self, facts: Facts) -> tuple[Sifted, ...]:
        kind = (
            facts.model,
            facts.bucket,
            facts.operation,
            facts.needs,
            facts.residency,
            facts.residencies,
            facts.keeper,
        )
        found = self._found.get(kind)
        if found is None:
            found = tuple(_sifted(route, facts, self._policy) for route in self._policy.routes)
            if facts.residency in self._regions:  # else a client wrote it: not worth remembering
                if len(self._found) >= MOST:
                    self._found.clear()
                self._found[kind] = found
        return found


def _sifted(route: Route, facts: Facts, policy: Policy) -> Sifted:
    obstacle = _obstacle(route, facts, policy)
    if obstacle is not None:
        return Sifted(route, Skip(route.name, obstacle))
    success = route.success[facts.bucket]
    free = route.context_tokens is None and route.slots is None
    return Sifted(route, None, success, f"{success:.0%} succeed", free)


def _obstacle(route: Route, facts: Facts, policy: Policy) -> str | None:
    """The first hard constraint that rules a route out for good, None when there is none."""
    if facts.residency and route.residency != facts.residency:
        return f"data must stay in {facts.residency}, this route is in {route.residency or 'an unstated region'}"
    if facts.residencies and route.residency not in facts.residencies:
        allowed = ", ".join(sorted(facts.residencies))
        return f"its key keeps data in {allowed}, this route is in {route.residency or 'an unstated region'}"
    if facts.model not in policy.aliases and not route.is_named(facts.model):
        return f"the request names {facts.model}"
    if facts.keeper and route.upstream != facts.keeper:
        return f"what the request builds on is kept by {facts.keeper}"
    if facts.operation.kind not in route.operations:
        return f"does not serve {facts.operation}"
    if not route.success.get(facts.bucket):
        return f"does not serve {facts.bucket} tasks"
    missing = facts.needs - route.capabilities
    return f"lacks {', '.join(sorted(missing))}" if missing else None
