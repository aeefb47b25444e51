"""How the own pool stood, what was passed over, and what came since: equal to counting the calls themselves."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baseload.ledger.query import (
    Dispatch,
    Filter,
    Skipped,
    dispatch,
    position,
    recorded,
    skips,
    totals,
)
from baseload.load.calls import Skip, Status
from samples import attempt, call

REASONS = ["full: 8 requests in flight", "upstream is unhealthy", "does not serve judgment tasks"]
SKIPS = st.lists(st.builds(Skip, st.sampled_from(["pool", "pool-2", "api"]), st.sampled_from(REASONS)), max_size=3)
TRIES = st.builds(
    attempt, route=st.sampled_from(["pool", "api"]), status=st.sampled_from([Status.OK, Status.FAILED, Status.CUT])
)
CALLS = st.lists(st.tuples(SKIPS, st.lists(TRIES, max_size=2), st.sampled_from(["one", "two"])), max_size=20)
OWN = ("pool", "pool-2")


@pytest.fixture
def store(ledgers):
    found = ledgers.open()
    yield found
    found.close()


def _made(drawn):
    for place, (skipped, tries, run) in enumerate(drawn):
        numbered = [msgspec.structs.replace(tried, number=number) for number, tried in enumerate(tries, 1)]
        made = call(f"c{place}", attempt(), seconds=-place, tags={"run": run})
        decision = msgspec.structs.replace(made.decision, skipped=tuple(skipped))
        yield msgspec.structs.replace(made, decision=decision, attempts=tuple(numbered))


def _own(each):
    answered = [tried for tried in each.attempts if tried.status not in (Status.FAILED, Status.TIMEOUT)]
    return any(tried.offer.startswith("own/") for tried in answered)


def _full(each):
    return any(skip.route in OWN and skip.reason.startswith("full:") for skip in each.decision.skipped)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=CALLS, run=st.sampled_from(["", "one"]))
def test_sql_counts_what_the_calls_say(ledgers, drawn, run):
    store = ledgers.renew().open()
    made = list(_made(drawn))
    store.record(made)
    where = Filter(tags={"run": run} if run else {})
    kept = [each for each in made if not run or each.facts.tags["run"] == run]
    assert dispatch(store, OWN, where) == Dispatch(
        calls=len(kept),
        own=sum(_own(each) for each in kept),
        overflow=sum(_full(each) and not _own(each) for each in kept),
    )
    counted = Counter(pair for each in kept for pair in {(skip.route, skip.reason) for skip in each.decision.skipped})
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    assert skips(store, where) == tuple(Skipped(*pair, count) for pair, count in ordered)
    store.close()


def test_an_empty_ledger_has_no_position_and_no_dispatch(store):
    assert position(store) == 0
    assert dispatch(store, OWN) == Dispatch(0, 0, 0)
    assert skips(store) == ()
    assert list(recorded(store, 0, 100)) == []


def test_without_a_pool_nothing_overflows(store):
    store.record([call("a")])
    assert dispatch(store, ()) == Dispatch(calls=1, own=0, overflow=0)


def test_what_came_since_is_read_in_the_order_of_recording(store):
    """Times run backwards here, as they may in an import: recording decides, and no call is read twice."""
    made = [call(f"c{place}", seconds=-place, tags={"run": "one" if place % 2 else "two"}) for place in range(1_203)]
    store.record(made[:700])
    first = list(recorded(store, 0, position(store)))
    store.record(made)
    rest = list(recorded(store, first[-1][0], position(store)))
    assert [each for _, each in (*first, *rest)] == made
    assert [each.id for _, each in recorded(store, 0, 10)] == [each.id for each in made[:10]]
    only = [each.id for _, each in recorded(store, 0, position(store), Filter(tags={"run": "one"}))]
    assert only == [each.id for each in made[1::2]]


def test_questions_of_one_moment_see_the_same_calls(store, ledgers):
    store.record([call("a")])
    reader = ledgers.open(read_only=True)
    with reader.moment() as moment:
        before = totals(moment)
        store.record([call("b")])
        assert (totals(moment), position(moment)) == (before, 1)
    assert totals(reader).calls == 2
    reader.close()
