"""A sieve that is kept from decision to decision changes none of them."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.test_decide import COSTS, FACTS, ROUTES, STATES, facts, route

from baseload.load.facts import Operation
from baseload.policy.decide import decide
from baseload.policy.policy import Policy
from baseload.policy.sieve import MOST, Sieve

KINDS = st.builds(
    msgspec.structs.replace,
    FACTS,
    operation=st.sampled_from(Operation),
    keeper=st.sampled_from(("", "up-0", "up-1")),
    residencies=st.sampled_from((frozenset(), frozenset({"eu"}), frozenset({"eu", "us"}))),
    deadline_seconds=st.none() | st.just(1.0),
)


@given(st.lists(st.tuples(KINDS, STATES), min_size=2, max_size=6), ROUTES, COSTS, st.booleans())
def test_a_kept_sieve_decides_like_a_new_one(asked, routes, costs, fall_back: bool) -> None:
    others = {"auto": tuple(each.model for each in routes)} if fall_back else {}
    policy = Policy(routes=routes, fallbacks=others, context_fallbacks=others)
    kept = Sieve(policy)
    for facts_, state in asked:
        decided = [
            decide(facts_, policy, state, lambda each, _: costs[each.name], policy_version="p", id="d", sieve=sieve)
            for sieve in (kept, None)
        ]
        assert decided[0] == decided[1]


def test_what_clients_write_does_not_fill_it() -> None:
    sieve = Sieve(Policy(routes=(route("x", residency="eu"),)))
    for place in range(2 * MOST):
        (found,) = sieve(facts(residency=f"nowhere-{place}"))
        assert found.skip is not None
        sieve(facts(needs=[f"need-{place}"]))
    assert len(sieve._found) <= MOST
    assert not any("nowhere" in str(kind) for kind in sieve._found)
