"""One answer over hot store and lake: the same whatever was sealed, and the same as the calls add up to."""

from collections import defaultdict
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baseload.clock import from_ns, to_ns
from baseload.errors import BadInput, NotEnoughData
from baseload.ledger.ask import Question, ask
from baseload.ledger.lake import HOUR_NS, lake_at
from baseload.load.calls import Evidence
from samples import FAILED, START_NS, attempt, call

FAR = START_NS + 10_000 * HOUR_NS
TEAMS = st.sampled_from(["red", "blue", "x\"'\\ é"])
CALLS = st.lists(
    st.tuples(
        TEAMS,
        st.lists(
            st.builds(
                attempt,
                route=st.sampled_from(["api", "pool"]),
                cost=st.none() | st.integers(0, 2**60),
                evidence=st.sampled_from(Evidence),
            ),
            max_size=2,
        ),
        st.integers(0, 40 * 3_600),
    ),
    max_size=12,
)


def expected(calls, keys):
    """The oracle: calls and money by Python."""
    found = defaultdict(lambda: [0, 0])
    for each in calls:
        tries = each.attempts or (None,)
        for tried in tries:
            sums = found[keys(each, tried)]
            sums[0] += tried is tries[-1]
            sums[1] += (tried.cost_nanousd or 0) if tried else 0
    return {key: tuple(sums) for key, sums in found.items()}


def answered(question, lake, store):
    return {
        line.keys: (line.counts["calls"], line.counts["cost_nanousd"]) for line in ask(question, lake_at(lake), store)
    }


@given(CALLS, st.integers(0, 12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_answer_is_the_sum_of_the_calls_wherever_they_are(ledgers, drawn, sealed):
    store, directory = ledgers.renew().open(), ledgers.directory
    calls = [
        call(
            f"c{place}",
            *[attempt(number, **_fields(tried)) for number, tried in enumerate(tries, 1)],
            seconds=seconds,
            tags={"team": team},
        )
        for place, (team, tries, seconds) in enumerate(drawn)
    ]
    store.record(calls[:sealed])
    lake_at(directory).seal(store, FAR)
    store.record(calls)
    question = Question(by=("team", "model"))
    assert answered(question, directory, store) == expected(
        calls, lambda each, tried: (each.facts.tags["team"], tried.model if tried else "")
    )
    zone = ZoneInfo("Australia/Lord_Howe")  # half an hour of summer time

    def day(each, _):
        at = from_ns(each.facts.at_ns).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return (at.strftime("%Y-%m-%d"),)

    days = answered(Question(by=("day",), zone=zone.key), directory, store)
    assert {(key[:10],): sums for (key,), sums in days.items()} == expected(calls, day)


def _fields(tried):
    return {"route": tried.route, "cost": tried.cost_nanousd, "evidence": tried.evidence}


def test_days_on_which_clocks_change_have_23_and_25_hours(ledgers):
    store, zone = ledgers.open(), ZoneInfo("Europe/Berlin")
    for day, hours in ((datetime(2026, 3, 29, tzinfo=zone), 23), (datetime(2026, 10, 25, tzinfo=zone), 25)):
        first = to_ns(day)
        store.record(call(f"{day:%m%d}-{n}", seconds=(first - START_NS) // 10**9 + n * 3_600) for n in range(26))
        lake_at(ledgers.directory).seal(store, FAR + 10**18)
        until = to_ns(day.replace(day=day.day + 1))
        found = ask(Question(by=("day",), zone=zone.key, since_ns=first), lake_at(ledgers.directory), store)
        assert found[0].counts["calls"] == hours
        each_hour = Question(by=("hour",), zone=zone.key, since_ns=first, until_ns=until)
        assert [line.counts["calls"] for line in ask(each_hour, lake_at(ledgers.directory), store)] == [1] * hours


def test_hours_that_a_clock_shows_twice_are_in_the_order_of_time(ledgers):
    store, berlin = ledgers.open(), ZoneInfo("Europe/Berlin")
    first = int(datetime(2026, 10, 25, 1, tzinfo=berlin).timestamp()) - START_NS // 10**9
    store.record([call(f"c{hour}", attempt(1), seconds=first + hour * 3_600) for hour in range(4)])
    found = [line.keys[0] for line in ask(Question(by=("hour",), zone=berlin.key), lake_at(ledgers.directory), store)]
    assert [each[11:] for each in found] == ["01:00:00+02", "02:00:00+02", "02:00:00+01", "03:00:00+01"]


def test_bounds_and_values_are_the_same_in_the_lake_and_beside_it(ledgers):
    store = ledgers.open()
    store.record(call(f"c{n}", attempt(cost=10**n), seconds=n * 1_800, tags={"team": "ab"[n % 2]}) for n in range(6))
    lake = lake_at(ledgers.directory)
    since, until = START_NS + 1_800 * 10**9, START_NS + 5 * 1_800 * 10**9
    questions = [Question(since_ns=since, until_ns=until), Question(by=("team",), where={"team": "b"}, since_ns=since)]
    before = [ask(question, lake, store) for question in questions]
    lake.seal(store, FAR)
    assert [ask(question, lake_at(ledgers.directory), store) for question in questions] == before
    assert [ask(question, lake_at(ledgers.directory), None) for question in questions] == before
    assert [line.counts["cost_nanousd"] for line in before[0]] == [11_110]
    assert [(line.keys, line.counts["cost_nanousd"]) for line in before[1]] == [(("b",), 101_010)]


def test_a_failed_try_counts_and_its_call_is_of_the_last_one(ledgers):
    store = ledgers.open()
    store.record([call("a", FAILED, attempt(2, route="pool", cost=None))])
    found = {line.keys[0]: line.counts for line in ask(Question(by=("upstream",)), lake_at(ledgers.directory), store)}
    assert (found["api"]["calls"], found["api"]["failed"], found["api"]["attempts"]) == (0, 1, 1)
    assert (found["pool"]["calls"], found["pool"]["unpriced"], found["pool"]["cost_nanousd"]) == (1, 1, 0)


@pytest.mark.parametrize(
    "fields", [{"by": ("nothing",)}, {"by": ("team", "team")}, {"zone": "Mars/Base"}, {"where": {"day": "x"}}]
)
def test_what_cannot_be_asked_is_refused(fields):
    with pytest.raises(BadInput):
        Question(**fields)


def test_where_there_is_nothing_nothing_is_answered(tmp_path):
    with pytest.raises(NotEnoughData, match="there is no ledger"):
        ask(Question(), lake_at(tmp_path), None)
