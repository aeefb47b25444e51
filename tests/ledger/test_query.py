"""Totals in SQL are the totals of the calls themselves, to the nano-dollar."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baseload.clock import from_ns
from baseload.errors import BadInput
from baseload.ledger.query import (
    Dispatch,
    Filter,
    Skipped,
    Totals,
    by,
    dispatch,
    latest_run,
    position,
    runs,
    skips,
    totals,
)
from baseload.ledger.query import recorded as recorded_since
from baseload.load.calls import Attempt, Call, Decision, Evidence, Skip, Status
from baseload.load.facts import Bucket
from baseload.policy.decide import FULL
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage
from samples import FAILED, START_NS, attempt, call


@pytest.fixture
def recorded(ledgers):
    """Record calls and hand the store back."""

    def record(*calls: Call):
        store = ledgers.open()
        store.record(calls)
        return store

    return record


def added_up(calls: Iterable[Call], counts: Callable[[Call, Attempt], bool]) -> Totals:
    """The oracle: the same totals, added up in Python over the attempts that count."""
    pairs = [(each, tried) for each in calls for tried in each.attempts if counts(each, tried)]
    tries = [tried for _, tried in pairs]
    arrivals = [each.facts.at_ns for each, _ in pairs]
    return Totals(
        calls=len({each.id for each, _ in pairs}),
        attempts=len(tries),
        failed=sum(tried.status in (Status.FAILED, Status.TIMEOUT) for tried in tries),
        reported=sum(tried.evidence is Evidence.REPORTED for tried in tries),
        unpriced=sum(tried.cost_nanousd is None and tried.evidence is not Evidence.NONE for tried in tries),
        usage=sum((tried.usage for tried in tries), Usage()),
        cost_nanousd=sum(tried.cost_nanousd or 0 for tried in tries),
        own_nanousd=sum(tried.cost_nanousd or 0 for tried in tries if tried.route == "pool"),
        provider_nanousd=sum(tried.provider_nanousd or 0 for tried in tries),
        first_ns=min(arrivals, default=None),
        last_ns=max(arrivals, default=None),
        ended_ns=max((each.ended_ns for each, _ in pairs), default=None),
    )


COUNTS = st.integers(0, 10**15)
TRIES = st.builds(
    attempt,
    route=st.sampled_from(["pool", "api", "other"]),
    status=st.sampled_from(Status),
    evidence=st.sampled_from(Evidence),
    usage=st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, COUNTS)),
    cost=st.none() | COUNTS,
    provider_nanousd=st.none() | COUNTS,
)


@st.composite
def some_calls(draw) -> list[Call]:
    found = []
    for number in range(draw(st.integers(1, 12))):
        tries = [attempt_numbered(place, draw(TRIES)) for place in range(1, draw(st.integers(1, 3)) + 1)]
        seconds, bucket = draw(st.integers(0, 20_000)), draw(st.sampled_from(Bucket))
        found.append(call(f"c{number}", *tries, seconds=seconds, bucket=bucket))
    return found


def attempt_numbered(number: int, tried: Attempt) -> Attempt:
    return Attempt(**{name: getattr(tried, name) for name in Attempt.__struct_fields__} | {"number": number})


@given(some_calls())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_sum_is_the_sum_over_the_calls(ledgers, calls):
    store = ledgers.renew().open()
    store.record(calls)
    assert totals(store) == added_up(calls, lambda *_: True)
    for dimension, key in (
        ("route", lambda _, tried: tried.route),
        ("upstream", lambda _, tried: tried.upstream),
        ("model", lambda _, tried: tried.model),
        ("bucket", lambda each, _: each.facts.bucket.value),
        ("hour", lambda each, _: from_ns(each.facts.at_ns).replace(minute=0, second=0).isoformat()),
        ("minute", lambda each, _: from_ns(each.facts.at_ns).replace(second=0).isoformat()),
    ):
        rows = {row.key: row.totals for row in by(store, dimension)}
        keys = {key(each, tried) for each in calls for tried in each.attempts}
        expected = {
            name: added_up(calls, lambda each, tried, name=name, key=key: key(each, tried) == name) for name in keys
        }
        assert rows == expected
    store.close()


def test_of_nothing_there_is_nothing(recorded):
    store = recorded(call("c"))
    nothing = totals(store, Filter(tags={"run": "none"}))
    assert nothing == added_up([], lambda *_: True)
    assert by(store, "route", Filter(tags={"run": "none"})) == ()


def test_a_call_that_no_route_could_take_is_a_call_of_its_bucket_and_of_no_route(recorded):
    refused = Call(
        id="refused", facts=call("x").facts, decision=call("x").decision, attempts=(), ended_ns=1, status=Status.FAILED
    )
    store = recorded(call("c"), refused)
    assert totals(store).calls == 2
    assert totals(store).attempts == 1
    assert [row.totals.calls for row in by(store, "bucket")] == [2]
    assert [(row.key, row.totals.calls) for row in by(store, "route")] == [("api", 1)]


def test_money_splits_into_own_and_bought_and_the_unpriced_stay_outside(recorded):
    store = recorded(
        call("own", attempt(route="pool", cost=7)),
        call("overflow", FAILED, attempt(2, cost=1_000)),
        call("unknown", attempt(cost=None)),
    )
    found = totals(store)
    assert (found.cost_nanousd, found.own_nanousd, found.bought_nanousd) == (1_007, 7, 1_000)
    assert (found.unpriced, found.failed, found.attempts) == (1, 1, 4)


def test_rows_stand_dearest_first_and_hours_in_time_order(recorded):
    store = recorded(
        call("a", attempt(route="cheap", cost=1), seconds=7_200),
        call("b", attempt(route="dear", cost=9), seconds=0),
        call("c", attempt(route="middle", cost=5), seconds=3_600),
    )
    assert [row.key for row in by(store, "route")] == ["dear", "middle", "cheap"]
    hours = by(store, "hour")
    assert [row.totals.cost_nanousd for row in hours] == [9, 5, 1]
    assert hours[0].key == "2023-11-14T22:00:00+00:00"
    assert from_ns(hours[0].start_ns or 0) == datetime(2023, 11, 14, 22, tzinfo=UTC)


def test_an_unknown_dimension_is_refused_with_those_there_are(recorded):
    with pytest.raises(BadInput, match=r"'colour' is no dimension\. Use one of model, upstream, route, bucket"):
        by(recorded(call("c")), "colour")


def test_the_latest_run_is_the_one_recorded_last_whenever_its_calls_arrived(recorded):
    store = recorded(
        call("a", seconds=100, tags={"run": "one"}),
        call("b", seconds=200, tags={"run": "one"}),
        call("c", seconds=50, tags={"run": "two"}),
        call("d", seconds=900, tags={}),
    )
    assert [(run.tag, run.calls) for run in runs(store)] == [("two", 1), ("one", 2)]
    latest = latest_run(store)
    assert latest is not None
    assert latest.tag == "two"
    assert latest.first_ns == START_NS + 50 * NANOSECONDS_PER_SECOND
    one = runs(store)[1]
    assert (one.last_ns - one.first_ns) == 100 * NANOSECONDS_PER_SECOND


def test_a_ledger_without_runs_has_no_latest_one(recorded):
    assert latest_run(recorded(call("a", tags={}))) is None


def test_the_position_grows_with_every_call_and_shows_what_came_since(recorded):
    store = recorded(call("late", seconds=9), call("early", seconds=1))
    before = position(store)
    store.record([call("late", seconds=9), call("other", tags={"run": "two"}), call("next", seconds=5)])
    assert position(store) >= before + 2
    assert [each.id for _, each in recorded_since(store, 0, before)] == ["late", "early"]
    assert [each.id for _, each in recorded_since(store, before, position(store))] == ["other", "next"]
    one = Filter(tags={"run": "one"})
    assert list(recorded_since(store, before, position(store), one)) == [(position(store), call("next", seconds=5))]


def test_an_empty_ledger_stands_at_zero(recorded):
    assert position(recorded()) == 0


def test_overflow_is_what_found_the_pool_full_and_was_answered_elsewhere(recorded):
    full, ill = Skip("pool", f"{FULL} 8 requests in flight"), Skip("pool", "upstream is unhealthy")
    elsewhere = Skip("dear", f"{FULL} 2 requests in flight")
    store = recorded(
        skipping("own", attempt(route="pool"), elsewhere),
        skipping("overflow", attempt(), full),
        skipping("also full", attempt(), full, ill),
        skipping("ill", attempt(), ill),
        skipping("failed on the pool", attempt(route="pool", status=Status.FAILED)),
    )
    assert dispatch(store, ("pool",)) == Dispatch(calls=5, own=1, overflow=2)
    assert skips(store) == (
        Skipped("pool", full.reason, 2),
        Skipped("pool", ill.reason, 2),
        Skipped("dear", elsewhere.reason, 1),
    )
    assert skips(store, Filter(tags={"run": "none"})) == ()


def skipping(id: str, tried: Attempt, *skipped: Skip) -> Call:
    made = call(id, tried)
    decision = Decision(id=id, policy="p@1", routes=made.decision.routes, skipped=skipped)
    return Call(id=id, facts=made.facts, decision=decision, attempts=made.attempts, ended_ns=made.ended_ns)


def test_questions_of_one_moment_see_the_same_calls(ledgers, recorded):
    store = recorded(call("a"))
    reader = ledgers.open(read_only=True)
    with reader.moment() as moment:
        assert totals(moment).calls == 1
        store.record([call("b")])
        assert totals(moment).calls == 1
    assert totals(reader).calls == 2
    reader.close()
