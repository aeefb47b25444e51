"""Fallback models come after every route of the model that was asked for; what does not fit goes to a longer one."""

from __future__ import annotations

import msgspec
import pytest
from tests.policy.test_decide import facts, names, route

from baseload.errors import BadConfig
from baseload.load.calls import Decision
from baseload.load.facts import Bucket, Facts
from baseload.policy.decide import State, decide
from baseload.policy.policy import Policy

ROUTES = (
    route("small-1", model="small", context_tokens=1_000),
    route("small-2", model="small", context_tokens=1_000),
    route("mid", model="mid", context_tokens=1_000),
    route("long", model="long", success={"flagship": 0.9, "bandwidth": 0.5}),
)
COSTS = {"small-1": 5, "small-2": 3, "mid": 1, "long": 90}


def decided(asked: Facts, state: State | None = None, **policy: object) -> Decision:
    document = msgspec.convert({"routes": ROUTES, "aliases": {"auto": "judgment"}, **policy}, Policy)
    return decide(asked, document, state or State(), lambda each, _: COSTS[each.name], policy_version="p@1", id="d")


def test_without_fallbacks_a_model_is_all_there_is() -> None:
    assert names(decided(facts(model="small"))) == ["small-2", "small-1"]


def test_fallbacks_come_after_every_route_of_the_model_however_cheap() -> None:
    decision = decided(facts(model="small"), fallbacks={"small": ["mid", "long"]})
    assert names(decision) == ["small-2", "small-1", "mid", "long"]
    assert decision.routes[2].reason.startswith("mid in place of small, should it fail: 1 nano-USD")
    assert decision.skipped == ()


def test_a_fallback_is_in_a_bucket_that_it_serves() -> None:
    decision = decided(facts(model="small", bucket="judgment"), fallbacks={"small": ["long"]})
    assert "90% succeed" in decision.routes[-1].reason


def test_an_alias_can_have_fallbacks_and_be_one() -> None:
    assert names(decided(facts(), fallbacks={"auto": ["long"]})) == ["mid", "small-2", "small-1", "long"]
    assert names(decided(facts(model="long", bucket="flagship"), fallbacks={"long": ["auto"]})) == ["long"]
    served = facts(model="long", bucket="judgment")
    assert names(decided(served, fallbacks={"long": ["auto"]})) == ["mid", "small-2", "small-1"]


def test_a_prompt_that_is_too_long_goes_to_a_longer_model_first() -> None:
    policy = {"fallbacks": {"small": ["mid"]}, "context_fallbacks": {"small": ["long"]}}
    assert names(decided(facts(model="small"), **policy)) == ["small-2", "small-1", "mid"]
    long = decided(facts(model="small", input_tokens=5_000), **policy)
    assert names(long) == ["long"]
    assert long.routes[0].reason.startswith("long in place of small, whose context is too short: ")
    assert [skip.route for skip in long.skipped] == ["small-1", "small-2", "mid"]


def test_hard_constraints_hold_for_fallbacks_too() -> None:
    policy = {"fallbacks": {"small": ["mid", "long"]}}
    assert names(decided(facts(model="small", residency="eu"), **policy)) == []
    assert names(decided(facts(model="small", needs=["vision"]), **policy)) == []
    left = decided(facts(model="small"), State(unhealthy=frozenset({"up-small-1", "up-small-2", "up-mid"})), **policy)
    assert names(left) == ["long"]


@pytest.mark.parametrize("field", ["fallbacks", "context_fallbacks"])
@pytest.mark.parametrize("wrong", [{"smal": ["mid"]}, {"small": ["midd"]}])
def test_a_fallback_of_or_to_nobody_is_refused(field: str, wrong: dict[str, list[str]]) -> None:
    with pytest.raises(BadConfig, match=r"which no route has") as caught:
        decided(facts(), **{field: wrong})
    assert "small" in caught.value.remedy


WAITS: list[tuple[dict[str, object], dict[str, object], State, str | None]] = [
    ({"slots": 4, "wait_seconds": 1}, {}, State(in_flight={"up-x": 4}, waits={"up-x": 0.5}), None),
    ({"slots": 4, "wait_seconds": 1}, {}, State(in_flight={"up-x": 4}, waits={"up-x": 1.5}), "expected in 1.5 s"),
    ({"slots": 4, "wait_seconds": 1}, {}, State(in_flight={"up-x": 3}, waits={"up-x": 1.5}), "expected in 1.5 s"),
    ({"slots": 4}, {}, State(in_flight={"up-x": 3}, waits={"up-x": 0.0}), "full: 4 requests in flight"),
    ({}, {}, State(in_flight={"up-x": 8}, room={"up-x": 8}), "full: 8 requests in flight"),
    ({"slots": 9}, {}, State(in_flight={"up-x": 8}, room={"up-x": 8}), "full: 8 requests in flight"),
    ({"own": True}, {"deadline_seconds": 2}, State(answer_seconds={"up-x": 3}), "would take about 3.0 s"),
    ({"own": True}, {"deadline_seconds": 4}, State(answer_seconds={"up-x": 3}), None),
    ({"own": True}, {"deadline_seconds": 2}, State(), None),
    ({}, {"deadline_seconds": 2}, State(answer_seconds={"up-x": 3}), None),
    (
        {"own": True, "slots": 1, "wait_seconds": 9},
        {"deadline_seconds": 4},
        State(in_flight={"up-x": 1}, waits={"up-x": 2}, answer_seconds={"up-x": 3}),
        "would take about 5.0 s, and the deadline is 4 s",
    ),
]


@pytest.mark.parametrize(("shape", "asked", "state", "says"), WAITS)
def test_a_wait_is_taken_when_it_is_short_enough(
    shape: dict[str, object], asked: dict[str, object], state: State, says: str | None
) -> None:
    policy = Policy(routes=(route("x", **shape),), aliases={"auto": Bucket.JUDGMENT})
    decision = decide(facts(**asked), policy, state, lambda *_: 1, policy_version="p@1", id="d")
    if says is None:
        assert names(decision) == ["x"]
    else:
        assert says in decision.skipped[0].reason
