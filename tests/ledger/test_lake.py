"""What was sealed is in the lake once, whole, and what is not is named."""

import pytest

from baseload.errors import LedgerUnavailable
from baseload.ledger.lake import HOUR_NS, Lake
from baseload.ledger.manifest import FILE, Manifest, held
from baseload.ledger.query import totals
from baseload.ledger.verify import broken
from samples import FAILED, START_NS, attempt, call

FAR = START_NS + 1_000 * HOUR_NS
HOUR = 3_600


@pytest.fixture
def store(ledgers):
    return ledgers.open()


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def hours(count: int, each: int = 3):
    return [
        call(f"h{hour}-{number}", FAILED, attempt(2, cost=hour + 1), seconds=hour * HOUR + number)
        for hour in range(count)
        for number in range(each)
    ]


def test_every_call_is_sealed_once_with_its_sums(store, lake):
    store.record(hours(4))
    made = lake.seal(store, FAR)
    assert [each.sums.calls for each in made] == [3] * 4
    assert sum(each.sums.cost_nanousd for each in made) == totals(store).cost_nanousd
    assert lake.ids(made) == {each.id for each in store.calls()}
    assert lake.seal(store, FAR) == []
    assert broken(lake, store) == []
    assert [path.name for path in lake.folder.rglob("*.draft")] == []


def test_an_hour_that_is_not_over_waits(store, lake):
    store.record(hours(2))
    assert len(lake.seal(store, START_NS + HOUR_NS)) == 1
    assert len(lake.seal(store, FAR)) == 1


def test_what_comes_late_is_another_segment_until_they_are_merged(store, lake):
    store.record(hours(2))
    lake.seal(store, FAR)
    store.record([call("late", seconds=5), call("h0-0", FAILED, attempt(2, cost=1))])
    (late,) = lake.seal(store, FAR)
    assert late.sums.calls == 1
    (merged,) = lake.compact()
    assert merged.sums.calls == 4
    assert merged.replaces == (0, 2)
    assert len(list(lake.folder.rglob("*.parquet"))) == 2
    assert lake.compact() == []
    assert lake.seal(store, FAR) == []
    assert broken(Lake(lake.folder.parent), store) == []


def test_calls_of_a_ledger_that_was_lost_are_not_sealed_twice(ledgers, lake):
    first = ledgers.open()
    first.record(hours(1))
    lake.seal(first, FAR)
    second = ledgers.renew().open()
    second.record([*hours(1), call("new", seconds=1)])
    (more,) = lake.seal(second, FAR)
    assert lake.ids([more]) == {"new"}


def test_a_torn_end_of_the_manifest_is_told_and_sealed_again(store, lake):
    store.record(hours(2))
    lake.seal(store, FAR)
    path = lake.folder / FILE
    path.write_bytes(path.read_bytes()[:-20])
    again = Lake(lake.folder.parent)
    assert "never finished" in " ".join(broken(again, store))
    assert len(again.seal(store, FAR)) == 1
    assert broken(again, store) == []
    assert len(Manifest(lake.folder).segments) == 2


def test_what_is_missing_or_changed_is_named(store, lake):
    store.record(hours(3))
    first, second, third = lake.seal(store, FAR)
    lake.file(first).unlink()
    data = bytearray(lake.file(second).read_bytes())
    data[len(data) // 2] ^= 1
    lake.file(second).write_bytes(data)
    path = lake.folder / FILE
    path.write_text(path.read_text().replace(third.sha256, "0" * 64))
    found = "\n".join(broken(Lake(lake.folder.parent), store))
    assert f"{lake.file(first)} cannot be read" in found
    assert f"{lake.file(second)} is not what was sealed" in found
    assert "line 3 of" in found
    assert "3 calls of the hot store are missing: h0-0, h0-1, h0-2" in found


def test_a_folder_may_be_called_anything(store, tmp_path):
    odd = tmp_path / "it's [a] *?{b} é"
    store.record([*hours(1), call("late", seconds=5)])
    lake = Lake(odd)
    (made,) = lake.seal(store, FAR)
    store.record([call("later", seconds=6)])
    lake.seal(store, FAR)
    assert lake.compact()[0].sums.calls == 5
    assert broken(Lake(odd), store) == []
    assert made.sums.calls == 4


def test_one_process_writes_at_a_time(store, lake):
    store.record(hours(1))
    with held(lake.folder), pytest.raises(LedgerUnavailable, match="another process writes"):
        lake.seal(store, FAR)
