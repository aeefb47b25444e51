"""Hard constraints hold whatever the prices; the rest is in order of expected cost per success."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.load.calls import Decision
from baseload.load.facts import Bucket, Facts
from baseload.policy.decide import State, decide
from baseload.policy.policy import Policy, Route

AUTO = {"auto": Bucket.JUDGMENT}


def route(name: str, **changes: object) -> Route:
    base = {"upstream": f"up-{name}", "model": f"model-{name}", "offer": f"acme/{name}", "success": {"judgment": 1}}
    return msgspec.convert({"name": name, **base, **changes}, Route)


def facts(**changes: object) -> Facts:
    base = {"at_ns": 0, "model": "auto", "bucket": "judgment", "input_tokens": 100}
    return msgspec.convert({**base, **changes}, Facts)


def decided(
    asked: Facts, routes: tuple[Route, ...], costs: dict[str, int | None], state: State | None = None
) -> Decision:
    policy = Policy(routes=routes, aliases=AUTO)

    def estimate(candidate: Route, _: Facts) -> int | None:
        return costs[candidate.name]

    return decide(asked, policy, state or State(), estimate, policy_version="p@1", id="d1")


def names(decision: Decision) -> list[str]:
    return [choice.route for choice in decision.routes]


OBSTACLES: dict[str, tuple[dict[str, object], dict[str, object], State, str]] = {
    "residency elsewhere": ({"residency": "eu"}, {"residency": "us"}, State(), "must stay in eu, this route is in us"),
    "residency unstated": ({"residency": "eu"}, {}, State(), "must stay in eu, this route is in an unstated region"),
    "another model": ({"model": "model-y"}, {}, State(), "the request names model-y"),
    "bucket absent": ({"bucket": "flagship"}, {}, State(), "does not serve flagship"),
    "bucket never right": ({}, {"success": {"judgment": 0}}, State(), "does not serve judgment"),
    "capability": ({"needs": ["vision", "tools"]}, {"capabilities": ["tools"]}, State(), "lacks vision"),
    "prompt too long": (
        {"input_tokens": 101},
        {"context_tokens": 100},
        State(),
        "needs 101 tokens of context, has 100",
    ),
    "answer too long": ({"output_cap": 1}, {"context_tokens": 100}, State(), "needs 101 tokens of context, has 100"),
    "unhealthy": ({}, {}, State(unhealthy=frozenset({"up-x"})), "unhealthy"),
    "full": ({}, {"slots": 2}, State(in_flight={"up-x": 2}), "full: 2 requests in flight"),
    "no slots": ({}, {"slots": 0}, State(), "full: 0"),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_each_hard_constraint_rules_a_route_out_and_says_so(case):
    asked, shape, state, says = OBSTACLES[case]
    decision = decided(facts(**asked), (route("x", **shape),), {"x": 1}, state)
    assert decision.routes == ()
    assert says in decision.skipped[0].reason


ADMITTED: dict[str, tuple[dict[str, object], dict[str, object], State]] = {
    "residency kept": ({"residency": "eu"}, {"residency": "eu"}, State()),
    "residency not asked for": ({}, {"residency": "us"}, State()),
    "its own model": ({"model": "model-x"}, {}, State()),
    "capability": ({"needs": ["tools"]}, {"capabilities": ["tools", "vision"]}, State()),
    "context to the brim": ({"output_cap": 50}, {"context_tokens": 150}, State()),
    "one slot left": ({}, {"slots": 2}, State(in_flight={"up-x": 1})),
    "another upstream is full": ({}, {"slots": 1}, State(in_flight={"up-y": 9})),
    "another upstream is unhealthy": ({}, {}, State(unhealthy=frozenset({"up-y"}))),
}


@pytest.mark.parametrize("case", ADMITTED)
def test_what_keeps_every_constraint_is_admitted(case):
    asked, shape, state = ADMITTED[case]
    assert names(decided(facts(**asked), (route("x", **shape),), {"x": 1}, state)) == ["x"]


def test_merit_order_is_own_then_cost_per_success_then_unpriced():
    routes = (
        route("unpriced"),
        route("dear", success={"judgment": 1}),
        route("cheap", success={"judgment": 0.5}),
        route("middling", success={"judgment": 0.9}),
        route("pool", own=True, slots=1),
    )
    costs = {"unpriced": None, "dear": 130, "cheap": 60, "middling": 90, "pool": 500}
    decision = decided(facts(), routes, costs)
    # 90 / 0.9 = 100, 60 / 0.5 = 120, 130 / 1 = 130: the cheapest try is not the cheapest success.
    assert names(decision) == ["pool", "middling", "cheap", "dear", "unpriced"]
    assert [choice.expected_nanousd for choice in decision.routes] == [500, 90, 60, 130, None]


def test_overflow_is_the_next_in_merit_order():
    routes = (route("pool", own=True, slots=2), route("api"))
    costs = {"pool": 1, "api": 1_000}
    for in_flight, expected in [(0, ["pool", "api"]), (1, ["pool", "api"]), (2, ["api"]), (3, ["api"])]:
        assert names(decided(facts(), routes, costs, State(in_flight={"up-pool": in_flight}))) == expected


def test_what_costs_the_same_stays_in_the_order_of_the_policy():
    routes = (route("b"), route("a"), route("c"))
    assert names(decided(facts(), routes, {"a": 7, "b": 7, "c": 7})) == ["b", "a", "c"]


def test_a_decision_names_its_policy_and_itself():
    decision = decided(facts(), (route("x"),), {"x": 1})
    assert (decision.policy, decision.id) == ("p@1", "d1")


REGION = st.sampled_from(["", "eu", "us"])
CAPABILITIES = st.sets(st.sampled_from(["tools", "vision", "json_schema"]), max_size=3)
UPSTREAM = st.sampled_from(["u0", "u1", "u2"])
ROUTES = st.lists(
    st.fixed_dictionaries(
        {
            "upstream": UPSTREAM,
            "model": st.sampled_from(["m0", "m1"]),
            "success": st.dictionaries(
                st.sampled_from(sorted(Bucket)), st.sampled_from([0, 0.25, 0.5, 0.9, 1]), max_size=3
            ),
            "own": st.booleans(),
            "slots": st.none() | st.integers(0, 3),
            "context_tokens": st.none() | st.integers(1, 300),
            "capabilities": CAPABILITIES,
            "residency": REGION,
        }
    ),
    max_size=6,
).map(lambda shapes: tuple(route(f"r{place}", **shape) for place, shape in enumerate(shapes)))
FACTS = st.builds(
    facts,
    model=st.sampled_from(["auto", "m0", "m1", "m9"]),
    bucket=st.sampled_from(sorted(Bucket)),
    input_tokens=st.integers(0, 200),
    output_cap=st.none() | st.integers(0, 200),
    needs=CAPABILITIES,
    residency=REGION,
)
STATES = st.builds(
    State,
    in_flight=st.dictionaries(UPSTREAM, st.integers(0, 4)),
    unhealthy=st.frozensets(UPSTREAM, max_size=2),
)
COSTS = st.lists(st.none() | st.integers(0, 1_000), min_size=6, max_size=6).map(
    lambda costs: {f"r{place}": cost for place, cost in enumerate(costs)}
)


def case(test: Callable[..., None]) -> Callable[..., None]:
    return given(FACTS, ROUTES, STATES, COSTS)(test)


@case
def test_every_route_is_either_chosen_or_skipped_with_a_reason(asked, routes, state, costs):
    decision = decided(asked, routes, costs, state)
    placed = names(decision) + [skip.route for skip in decision.skipped]
    assert sorted(placed) == sorted(each.name for each in routes)
    assert all(each.reason for each in (*decision.routes, *decision.skipped))


@case
def test_no_chosen_route_breaks_a_hard_constraint(asked, routes, state, costs):
    by_name = {each.name: each for each in routes}
    for name in names(decided(asked, routes, costs, state)):
        chosen = by_name[name]
        assert asked.residency in ("", chosen.residency)
        assert asked.model in ("auto", chosen.model)
        assert chosen.success[asked.bucket] > 0
        assert asked.needs <= chosen.capabilities
        assert chosen.context_tokens is None or asked.input_tokens + (asked.output_cap or 0) <= chosen.context_tokens
        assert chosen.upstream not in state.unhealthy
        assert chosen.slots is None or state.in_flight.get(chosen.upstream, 0) < chosen.slots


@case
def test_no_route_is_skipped_that_breaks_none(asked, routes, state, costs):
    """Lifting every constraint, by asking for as little as can be asked in a world without load, admits every route
    that serves the bucket."""
    least = facts(bucket=asked.bucket, input_tokens=0)
    free = tuple(msgspec.structs.replace(each, slots=None) for each in routes)
    serving = {each.name for each in routes if each.success.get(asked.bucket)}
    assert set(names(decided(least, free, costs))) == serving


@case
def test_own_stands_first_and_cost_per_success_never_falls(asked, routes, state, costs):
    by_name = {each.name: each for each in routes}
    chosen = [by_name[name] for name in names(decided(asked, routes, costs, state))]
    assert [each.own for each in chosen] == sorted((each.own for each in chosen), reverse=True)
    bought = [each for each in chosen if not each.own]
    priced = [cost / each.success[asked.bucket] for each in bought if (cost := costs[each.name]) is not None]
    assert priced == sorted(priced)
    assert [costs[each.name] is None for each in bought] == sorted(costs[each.name] is None for each in bought)


@case
def test_the_same_question_has_the_same_answer(asked, routes, state, costs):
    assert decided(asked, routes, costs, state) == decided(asked, routes, costs, state)


@case
def test_a_decision_survives_json(asked, routes, state, costs):
    decision = decided(asked, routes, costs, state)
    assert msgspec.json.decode(msgspec.json.encode(decision), type=Decision) == decision


@case
def test_taking_a_route_away_leaves_the_order_of_the_others(asked, routes, state, costs):
    whole = names(decided(asked, routes, costs, state))
    for gone in whole:
        rest = tuple(each for each in routes if each.name != gone)
        assert names(decided(asked, rest, costs, state)) == [name for name in whole if name != gone]
