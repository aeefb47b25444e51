"""The same calls under another policy: pools fill and empty as they did, and money changes by exactly what moved."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.audit.replay import replay
from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.load.calls import Call, Status
from baseload.load.facts import Bucket
from baseload.policy.policy import Policy, Route, version
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage
from samples import FAILED, START_NS, attempt, call

SOURCE = Source(book="a book", precedence=Precedence.MARKET, as_of=date(2026, 11, 1), reference="typed")
EVERY = dict.fromkeys(Bucket, 1.0)
USAGE = Usage(input_tokens=100, output_tokens=20)


def offer(key: str, usd_in: str | None, usd_out: str | None) -> Offer:
    provider, model = key.split("/")
    figures = [None if figure is None else Decimal(figure) for figure in (usd_in, usd_out)]
    return Offer(provider, model, SOURCE, (PriceRow(Rates(*figures)),))


OFFERS = {
    each.key: each
    for each in (
        offer("acme/dear", "10", "50"),
        offer("acme/cheap", "1", "5"),
        offer("acme/long-answers", "0.5", "20"),
        offer("own/pool", "0.1", "0.3"),
        offer("acme/half", "1", None),
    )
}
# 100 in and 20 out, in nano-dollars.
DEAR, CHEAP, POOL = 2_000_000, 200_000, 16_000


def route(name: str, key: str = "", **fields: object) -> Route:
    given: dict[str, object] = {
        "name": name,
        "upstream": name,
        "model": f"{name}-model",
        "offer": key or f"acme/{name}",
        "success": EVERY,
    }
    return Route(**(given | fields))


def policy(*routes: Route) -> Policy:
    return Policy(routes=routes, aliases={"auto": Bucket.JUDGMENT})


def metered(id: str, on: str = "dear", cost: int | None = DEAR, *, lasts: float = 1, **fields: object) -> Call:
    """A call as the ledger holds it: served by one route, `lasts` seconds long."""
    seconds = fields.get("seconds", 0)
    end = START_NS + int((seconds + lasts) * NANOSECONDS_PER_SECOND)
    made = call(id, attempt(route=on, cost=cost, usage=USAGE), **fields)
    return Call(id=id, facts=made.facts, decision=made.decision, attempts=made.attempts, ended_ns=end)


POOL_ROUTE = route("pool", "own/pool", own=True, slots=2)


def test_the_same_policy_changes_nothing():
    calls = [metered(f"c{number}", seconds=number) for number in range(10)]
    found = replay(calls, policy(route("dear")), OFFERS)
    assert found.policy == version(policy(route("dear")))
    assert (found.calls, found.refused, found.moved) == (10, 0, 0)
    assert found.total.now_nanousd == found.total.then_nanousd == 10 * DEAR
    assert found.difference_nanousd == 0
    assert found.routes_now == found.routes_then == {"dear": 10}


def test_a_cheaper_route_saves_exactly_the_difference_of_the_prices():
    calls = [metered("a", bucket=Bucket.BANDWIDTH), metered("b"), metered("c")]
    only_small = route("cheap", success={Bucket.BANDWIDTH: 1.0})
    found = replay(calls, policy(route("dear"), only_small), OFFERS)
    assert found.difference_nanousd == CHEAP - DEAR
    assert {bucket: change.difference_nanousd for bucket, change in found.by_bucket.items()} == {
        Bucket.BANDWIDTH: CHEAP - DEAR,
        Bucket.JUDGMENT: 0,
    }
    assert (found.moved, found.routes_then) == (1, {"dear": 2, "cheap": 1})


def test_a_full_pool_overflows_and_an_ended_call_makes_room():
    calls = [
        metered("1", seconds=0, lasts=10),
        metered("2", seconds=1, lasts=2),
        metered("full", seconds=2),
        metered("room", seconds=3, lasts=5),
        metered("full again", seconds=4),
    ]
    found = replay(reversed(calls), policy(POOL_ROUTE, route("cheap")), OFFERS)
    assert found.routes_then == {"pool": 3, "cheap": 2}
    assert found.total.then_nanousd == 3 * POOL + 2 * CHEAP
    assert (found.total.own_now_nanousd, found.total.own_then_nanousd) == (0, 3 * POOL)


def test_a_call_waits_for_a_slot_as_long_as_its_route_lets_it():
    calls = [metered(f"c{number}", seconds=0.001 * number, lasts=4) for number in range(7)]
    routes = {wait: replay(calls, policy(_patient(wait), route("cheap")), OFFERS).routes_then for wait in (0, 3, 5, 9)}
    assert routes[0] == routes[3] == {"pool": 2, "cheap": 5}
    assert routes[5] == {"pool": 4, "cheap": 3}, "two wait for four seconds; the next would for eight"
    assert routes[9] == {"pool": 6, "cheap": 1}


def _patient(wait_seconds: float) -> Route:
    return route("pool", "own/pool", own=True, slots=2, wait_seconds=wait_seconds)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=30), st.integers(1, 4))
@settings(deadline=None)
def test_with_a_patient_route_a_pool_carries_no_less_and_with_endless_patience_everything(spans, slots):
    calls = [metered(f"c{number}", seconds=at, lasts=lasts) for number, (at, lasts) in enumerate(spans)]
    pools = [route("pool", "own/pool", own=True, slots=slots, wait_seconds=wait) for wait in (0, 3_600)]
    hasty, patient = (replay(calls, policy(pool, route("cheap")), OFFERS).routes_then for pool in pools)
    assert patient.get("pool", 0) == len(calls) >= hasty.get("pool", 0)


def test_a_slower_pool_holds_its_slots_longer():
    calls = [metered(f"c{number}", seconds=number, lasts=0.5) for number in range(6)]
    quick = replay(calls, policy(POOL_ROUTE, route("cheap")), OFFERS)
    slow = replay(
        calls, policy(POOL_ROUTE, route("cheap")), OFFERS, service_seconds=lambda _, to: 3.0 if to.own else 0.1
    )
    assert quick.routes_then == {"pool": 6}
    assert slow.routes_then == {"pool": 4, "cheap": 2}


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=30), st.integers(0, 4))
@settings(deadline=None)
def test_the_pool_never_holds_more_than_its_slots_and_nothing_overflows_while_one_is_free(spans, slots):
    calls = [metered(f"c{n:02d}", seconds=start, lasts=length) for n, (start, length) in enumerate(spans)]
    found = replay(calls, policy(route("pool", "own/pool", own=True, slots=slots), route("cheap")), OFFERS)
    # The oracle keeps the ends of what it admitted in a plain list.
    ends: list[int] = []
    admitted = 0
    for start, length in sorted(spans, key=lambda span: span[0]):
        ends = [end for end in ends if end > start]
        if len(ends) < slots:
            ends.append(start + length)
            admitted += 1
    assert found.routes_then.get("pool", 0) == admitted
    assert sum(found.routes_then.values()) == len(calls)


def test_a_call_that_no_route_admits_is_set_apart_from_the_comparison():
    calls = [metered("kept"), metered("lost", residency="eu"), metered("lost too", model="unheard-of")]
    found = replay(calls, policy(route("cheap")), OFFERS)
    assert (found.calls, found.refused, found.refused_nanousd) == (3, 2, 2 * DEAR)
    assert found.total.calls == 1
    assert found.difference_nanousd == CHEAP - DEAR


@pytest.mark.parametrize(
    ("calls", "routes", "now", "then", "unpriced"),
    [
        ([metered("a"), metered("b", cost=None)], [route("cheap")], None, 2 * CHEAP, (1, 0)),
        ([metered("a"), metered("b")], [route("half")], 2 * DEAR, None, (0, 2)),
        ([metered("a")], [route("nowhere")], DEAR, None, (0, 1)),
    ],
    ids=["unpriced now", "half a price then", "no offer then"],
)
def test_what_has_no_price_makes_the_sum_unknown_not_smaller(calls, routes, now, then, unpriced):
    found = replay(calls, policy(*routes), OFFERS)
    assert (found.total.now_nanousd, found.total.then_nanousd) == (now, then)
    assert found.difference_nanousd is None
    assert (found.unpriced_now, found.unpriced_then) == unpriced


def test_failed_attempts_cost_what_they_cost_now_and_are_not_made_again():
    tried = attempt(1, route="dear", cost=500, status=Status.TIMEOUT)
    each = call("c", tried, attempt(2, route="cheap", cost=CHEAP, usage=USAGE))
    found = replay([each], policy(route("cheap")), OFFERS)
    assert (found.total.now_nanousd, found.total.then_nanousd) == (CHEAP + 500, CHEAP)
    assert found.moved == 0


def test_a_call_that_consumed_nothing_costs_nothing_anywhere():
    found = replay([call("c", FAILED)], policy(route("dear")), OFFERS)
    assert (found.total.now_nanousd, found.total.then_nanousd, found.moved) == (0, 0, 1)
    assert found.routes_now == {"": 1}


def test_merit_order_follows_the_answers_seen_so_far():
    """Per call of 100 tokens in, `cheap` (1/5) beats `long-answers` (0.5/20) once answers turn out to be short."""
    calls = [metered(f"c{number}", seconds=2 * number) for number in range(3)]
    short = [
        Call(
            id=each.id,
            facts=each.facts,
            decision=each.decision,
            attempts=(attempt(usage=Usage(input_tokens=100, output_tokens=1)),),
            ended_ns=each.ended_ns,
        )
        for each in calls
    ]
    found = replay(short, policy(route("cheap"), route("long-answers")), OFFERS)
    assert found.routes_then == {"long-answers": 2, "cheap": 1}


def test_of_no_calls_nothing_changes():
    found = replay([], policy(route("cheap")), OFFERS)
    assert (found.calls, found.difference_nanousd, found.by_bucket, found.routes_then) == (0, 0, {}, {})
