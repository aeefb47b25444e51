"""What leaves the hot store is in the lake for certain, is read from there, and is known when it comes again."""

import pytest

from baseload.errors import BadConfig, LedgerUnavailable
from baseload.ledger import removed
from baseload.ledger.ask import Question, ask
from baseload.ledger.lake import DAY_NS, Lake, lake_at
from baseload.ledger.query import Filter, position
from baseload.ledger.retention import trimmed
from baseload.ledger.verify import broken
from baseload.load.calls import Charge
from samples import START_NS, attempt, call

NOW = START_NS - START_NS % DAY_NS + 6 * DAY_NS
HOUR = 3_600
MONTH = Charge("team", START_NS - START_NS % DAY_NS, 5, "w-1")


def metered(count=8, every=16 * HOUR):
    """Five days of calls."""
    return [
        call(f"c{n:02d}", attempt(cost=n), seconds=n * every, tags={"run": "one", "team": "ab"[n % 2]})
        for n in range(count)
    ]


@pytest.fixture
def store(ledgers):
    found = ledgers.open()
    found.record(metered())
    return found


@pytest.fixture
def lake(ledgers):
    return lake_at(ledgers.directory)


def hot(store):
    return [row.id for row in store.rows(removed.calls.select().order_by(removed.calls.c.at_ns))]


def test_nothing_is_lost_and_nothing_is_counted_twice(store, lake, ledgers):
    calls, question = metered(), Question(by=("team", "day"))
    before = ask(question, lake, store)
    lake.seal(store, NOW)
    last = position(store)
    gone = trimmed(store, lake, NOW, hot_days=3, lake_days=None)
    assert 0 < gone.hot < len(calls)
    assert hot(store) == [each.id for each in calls[gone.hot :]]
    assert list(store.calls()) == calls
    assert ask(question, Lake(lake.shelf), store) == before
    assert broken(Lake(lake.shelf), store) == []
    assert position(store) == last
    since, until = calls[2].facts.at_ns, calls[-2].facts.at_ns
    wanted = Filter(since_ns=since, until_ns=until, tags={"run": "one", "team": "a"})
    assert list(store.calls(wanted)) == [each for each in calls[2:-2] if each.facts.tags["team"] == "a"]
    again = ledgers.open()
    late, newest = call("late", seconds=5), call("newest", seconds=10**6)
    assert again.record([*calls, late, newest]) == 2  # what left is known, what is new is new
    assert list(again.calls()) == [calls[0], late, *calls[1:], newest]
    assert trimmed(store, lake, NOW, hot_days=3, lake_days=None).hot == 0  # it is not sealed yet
    lake.seal(store, NOW)
    assert trimmed(store, lake, NOW, hot_days=3, lake_days=None).hot == 1
    assert ask(Question(), Lake(lake.shelf), store)[0].counts["calls"] == len(calls) + 2


def test_the_newest_call_stays(store, lake):
    lake.seal(store, NOW)
    assert trimmed(store, lake, NOW + 100 * DAY_NS, hot_days=2, lake_days=None).hot == 7
    assert hot(store) == ["c07"]


def test_what_is_not_in_the_lake_for_certain_stays(store, lake):
    assert trimmed(store, lake, NOW, hot_days=2, lake_days=None).hot == 0
    made = lake.seal(store, NOW)
    path = lake.shelf.folder / made[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(LedgerUnavailable, match="is not what was sealed"):
        trimmed(store, lake, NOW, hot_days=2, lake_days=None)
    assert len(hot(store)) == 8
    path.write_bytes(whole)
    trimmed(store, lake, NOW, hot_days=2, lake_days=None)
    (lake.shelf.folder / "manifest" / f"{made[-1].number:08d}.json").unlink()
    (lake.shelf.folder / "manifest" / f"{made[0].number:08d}.json").unlink()
    assert "1 calls left the hot store, and the lake was given 0" in " ".join(broken(Lake(lake.shelf), store))


def test_calls_that_left_for_one_lake_are_not_looked_for_in_another(store, lake, tmp_path):
    lake.seal(store, NOW)
    trimmed(store, lake, NOW, hot_days=2, lake_days=None)
    other = lake_at(tmp_path / "other")
    with pytest.raises(BadConfig, match="were moved to the lake at"):
        trimmed(store, other, NOW, hot_days=2, lake_days=None)
    for segment in lake.manifest.living:
        lake.shelf.remove(segment.path)
    with pytest.raises(LedgerUnavailable):
        list(store.calls())


def test_a_lake_is_trimmed_too_and_stays_whole(store, lake):
    lake.seal(store, NOW)
    lake.compact(NOW)
    gone = trimmed(store, lake, NOW, hot_days=2, lake_days=4)
    kept = [each for each in metered() if each.facts.at_ns >= NOW - 4 * DAY_NS]
    assert gone.lake == 8 - len(kept)
    assert list(store.calls()) == kept
    assert ask(Question(), Lake(lake.shelf), store)[0].counts["calls"] == len(kept)
    assert broken(Lake(lake.shelf), store) == []
    assert lake.seal(store, NOW) == []
    assert len(lake.shelf.under("calls")) == len(lake.manifest.living)


def test_a_call_that_left_and_comes_again_is_charged_once(ledgers, lake):
    store = ledgers.open()
    charged = [call("c", charges=(MONTH,)), call("newest", seconds=HOUR)]
    store.record(charged)
    lake.seal(store, NOW)
    assert trimmed(store, lake, NOW, hot_days=2, lake_days=None).hot == 1
    store.record(charged)
    from baseload.ledger.accounts import accounts

    assert [row.charged for row in store.rows(accounts.select())] == [5]


def test_calls_that_leave_while_they_are_read_are_told_of(store, lake):
    lake.seal(store, NOW)
    reading = store.calls()
    next(reading)
    trimmed(store, lake, NOW, hot_days=2, lake_days=None)
    with pytest.raises(LedgerUnavailable, match="while they were read"):
        list(reading)
    assert list(store.calls()) == metered()
