"""Which routes may serve a request, and in what order. Pure: the same facts, policy and state give the same answer.

Hard constraints filter first. What is left is ordered by expected cost per success: own capacity at its marginal cost
(zero) while it has a free slot, then everything else by price over success rate. The caller walks the list, so
overflow is not a special case: the own pool is first until it is full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from baseload.load.calls import Choice, Decision, Skip
from baseload.load.facts import Bucket, Facts
from baseload.policy.policy import Policy, Route
from baseload.policy.sieve import Sieve, Sifted

# How the reason begins when a route has no free slot: what makes a call an overflow.
FULL = "full:"
# How it begins when the prompt, or the answer that may follow, is too long for a route.
TOO_LONG = "needs"
UNHEALTHY = "upstream is unhealthy"
LATE = "would take"
# What the gateway knows about price at decision time: (route, facts) -> expected nano-dollars, None if unpriced.
Estimate = Callable[[Route, Facts], int | None]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What changes from request to request, by upstream: requests in flight, which are not healthy, how many requests
    those with replicas take at once (`room`), seconds until a slot is likely to be free where one has to wait (`waits`)
    and seconds that an answer takes lately."""

    in_flight: Mapping[str, int] = msgspec.field(default_factory=dict)
    unhealthy: frozenset[str] = frozenset()
    room: Mapping[str, int] = msgspec.field(default_factory=dict)
    waits: Mapping[str, float] = msgspec.field(default_factory=dict)
    answer_seconds: Mapping[str, float] = msgspec.field(default_factory=dict)


def decide(
    facts: Facts,
    policy: Policy,
    state: State,
    estimate: Estimate,
    *,
    policy_version: str,
    id: str,
    sieve: Sieve | None = None,
) -> Decision:
    """Order every admissible route by expected cost per success and give each one, and each one skipped, a reason.

    Routes of the models that the policy names as fallbacks come after all of those. A `sieve` of the same policy that
    is handed in from decision to decision saves what does not change; it changes no answer.
    """
    sieve = sieve or Sieve(policy)
    choices, skipped = _ordered(facts, sieve, state, estimate)
    if policy.fallbacks or policy.context_fallbacks:
        choices, skipped = _fall_back(facts, policy, sieve, state, estimate, choices, skipped)
    return Decision(id=id, policy=policy_version, routes=tuple(choices), skipped=tuple(skipped))


def _ordered(facts: Facts, sieve: Sieve, state: State, estimate: Estimate) -> tuple[list[Choice], list[Skip]]:
    """The admissible routes of the model that is asked for, best first, and the others."""
    skipped: list[Skip] = []
    ranked: list[tuple[float, int, Choice]] = []
    calm = not (state.unhealthy or state.room or facts.deadline_seconds is not None)
    for place, sifted in enumerate(sieve(facts)):
        if sifted.skip is not None:
            skipped.append(sifted.skip)
            continue
        obstacle = None if calm and sifted.free else _obstacle(sifted.route, facts, state)
        if obstacle is not None:
            skipped.append(Skip(sifted.route.name, obstacle))
            continue
        rank, choice = weigh(sifted, facts, state, estimate)
        ranked.append((rank, place, choice))
    ranked.sort()  # no two have one place
    return [choice for _, _, choice in ranked], skipped


def _fall_back(
    facts: Facts,
    policy: Policy,
    sieve: Sieve,
    state: State,
    estimate: Estimate,
    choices: list[Choice],
    skipped: list[Skip],
) -> tuple[list[Choice], list[Skip]]:
    """The same with the routes of each fallback model after those of the model that is asked for, in the policy's
    order; models for longer prompts first, when this one fits none of its own."""
    too_long = not choices and any(skip.reason.startswith(TOO_LONG) for skip in skipped)
    longer = policy.context_fallbacks.get(facts.model, ()) if too_long else ()
    taken = {choice.route for choice in choices}
    found = list(choices)
    for model in (*longer, *policy.fallbacks.get(facts.model, ())):
        more, _ = _ordered(asked_as(facts, model, policy), sieve, state, estimate)
        because = "whose context is too short" if model in longer else "should it fail"
        why = f"{model} in place of {facts.model}, {because}"
        found += [
            Choice(each.route, f"{why}: {each.reason}", each.expected_nanousd)
            for each in more
            if each.route not in taken
        ]
        taken |= {each.route for each in more}
    return found, [skip for skip in skipped if skip.route not in taken]


def asked_as(facts: Facts, model: str, policy: Policy) -> Facts:
    """The same request for another model, in the bucket that it serves best when it does not serve this one."""
    shares: dict[Bucket, float] = {}
    for route in policy.routes:
        if route.is_named(model):
            shares |= {bucket: max(share, shares.get(bucket, 0.0)) for bucket, share in route.success.items()}
    bucket = facts.bucket
    if model not in policy.aliases and not shares.get(bucket) and shares:
        bucket = max(shares, key=lambda each: shares[each])
    return msgspec.structs.replace(facts, model=model, bucket=bucket)


def _obstacle(route: Route, facts: Facts, state: State) -> str | None:
    """What rules out at this moment a route that may serve such requests, None when it is admissible."""
    if route.context_tokens is not None:
        wanted = (facts.longest_tokens or facts.input_tokens) + (facts.output_cap or 0)
        if wanted > route.context_tokens:
            return f"{TOO_LONG} {wanted} tokens of context, has {route.context_tokens}"
    if route.upstream in state.unhealthy:
        return UNHEALTHY
    if route.slots is None and not state.room and facts.deadline_seconds is None:
        return None
    return _no_time(route, facts, state)


def _no_time(route: Route, facts: Facts, state: State) -> str | None:
    """Why a slot, or the answer of an own pool, would come too late; None when it would not."""
    slots, room, wait = route.slots, state.room.get(route.upstream), state.waits.get(route.upstream)
    if room is not None and (slots is None or room < slots):
        slots = room
    if slots is not None and (wait is not None or state.in_flight.get(route.upstream, 0) >= slots):
        if wait is None or not route.wait_seconds:
            return f"{FULL} {slots} requests in flight"
        if wait > route.wait_seconds:
            return f"{FULL} {slots} requests in flight, and a slot is expected in {wait:.1f} s"
    if facts.deadline_seconds is not None and route.own:
        takes = (wait or 0.0) + state.answer_seconds.get(route.upstream, 0.0)
        if takes > facts.deadline_seconds:
            return f"{LATE} about {takes:.1f} s, and the deadline is {facts.deadline_seconds:g} s"
    return None


def weigh(sifted: Sifted, facts: Facts, state: State, estimate: Estimate) -> tuple[float, Choice]:
    """The rank (expected nano-dollars per success; unpriced last) and the reason that explains it."""
    route = sifted.route
    expected = estimate(route, facts)
    if route.own:
        wait = state.waits.get(route.upstream)
        slot = "a free slot" if wait is None else f"a slot in about {wait:.1f} s"
        return 0.0, Choice(route.name, f"own capacity with {slot}: its hours are paid for", expected)
    if expected is None:
        return float("inf"), Choice(route.name, f"no price is known for {route.offer}: last resort", None)
    return expected / sifted.success, Choice(route.name, f"{expected} nano-USD expected, {sifted.succeed}", expected)
