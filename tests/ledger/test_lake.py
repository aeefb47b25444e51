"""What was sealed is in the lake once, whole, and what is not is named: in a folder, in memory, in a real S3."""

import threading

import pytest
from sqlalchemy import text

from baseload.errors import BadConfig, BaseloadError, LedgerUnavailable
from baseload.ledger.lake import DAY_NS, HOUR_NS, Lake, lake_at
from baseload.ledger.manifest import FOLDER
from baseload.ledger.query import totals
from baseload.ledger.shelf import Folder, shelf_at
from baseload.ledger.verify import broken
from samples import FAILED, START_NS, attempt, call

FAR = START_NS + 1_000 * HOUR_NS
HOUR = 3_600


@pytest.fixture
def store(ledgers):
    return ledgers.open()


@pytest.fixture
def lake(tmp_path):
    return lake_at(tmp_path)


def hours(count: int, each: int = 3):
    return [
        call(f"h{hour}-{number}", FAILED, attempt(2, cost=hour + 1), seconds=hour * HOUR + number)
        for hour in range(count)
        for number in range(each)
    ]


def again(lake):
    return Lake(lake.shelf)


def calls_of(lake, segments):
    hours = {hour for each in segments for hour in range(each.start_ns, each.end_ns, HOUR_NS)}
    return {name for hour in hours for name in lake.ids(segments, hour)}


@pytest.mark.parametrize("where", ["folder", "file", "memory", "s3"])
def test_every_call_is_sealed_once_with_its_sums(store, tmp_path, where, request):
    address = {
        "folder": lambda: str(tmp_path / "it's [a] *?{b} é"),
        "file": lambda: f"{tmp_path.as_uri()}/lake%20file",
        "memory": lambda: f"memory://{tmp_path.name}/a 'b' é",
        "s3": lambda: f"{request.getfixturevalue('bucket')}/it's é",
    }[where]()
    lake = Lake(shelf_at(address))
    store.record(hours(4))
    made = lake.seal(store, FAR)
    assert [each.sums.calls for each in made] == [3] * 4
    assert sum(each.sums.cost_nanousd for each in made) == totals(store).cost_nanousd
    assert calls_of(lake, made) == {each.id for each in store.calls()}
    assert lake.seal(store, FAR) == []
    assert broken(again(lake), store) == []
    assert [merged.sums.calls for merged in lake.compact(FAR)] == [6, 6]
    assert broken(again(lake), store) == []
    assert len(lake.shelf.under("calls")) == 2
    lake.shelf.remove(lake.manifest.living[0].path)
    assert "6 calls are missing" in " ".join(broken(again(lake), store))


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
    (merged,) = lake.compact(START_NS)  # the day is not over
    assert merged.sums.calls == 4
    assert merged.replaces == (0, 2)
    assert len(lake.shelf.under("calls")) == 2
    assert lake.compact(START_NS) == []
    assert lake.seal(store, FAR) == []
    assert broken(again(lake), store) == []


def test_a_call_that_comes_late_to_a_merged_day_is_in_it_once(store, lake):
    store.record(hours(30))
    lake.seal(store, FAR)
    days = lake.compact(FAR)
    assert [each.end_ns - each.start_ns for each in days] == [DAY_NS] * 3
    store.record([call("late", seconds=5)])
    assert [each.sums.calls for each in lake.seal(store, FAR)] == [1]
    assert [each.sums.calls for each in lake.compact(FAR)] == [days[0].sums.calls + 1]
    assert broken(again(lake), store) == []
    assert len({each.id for each in store.calls()}) == sum(each.sums.calls for each in lake.manifest.living)


def test_a_long_hour_is_rolled_up_by_what_is_worth_it(store, lake):
    store.record(
        call(f"c{n}", attempt(cost=n), seconds=n / 4, tags={"team": "ab"[n % 2], "key": str(n)}) for n in range(2_000)
    )
    (made,) = lake.seal(store, FAR)
    assert "team" in made.roll_up.by
    assert "key" not in made.roll_up.by
    assert broken(again(lake), store) == []
    path = lake.shelf.folder / made.roll_up.path
    path.write_bytes(path.read_bytes() + b" ")
    assert f"{path} is not what was sealed" in " ".join(broken(again(lake), store))


def test_calls_of_a_ledger_that_was_lost_are_not_sealed_twice(ledgers, lake):
    first = ledgers.open()
    first.record(hours(1))
    lake.seal(first, FAR)
    second = ledgers.renew().open()
    second.record([*hours(1), call("new", seconds=1)])
    (more,) = lake.seal(second, FAR)
    assert calls_of(lake, [more]) == {"new"}
    assert lake.seal(second, FAR) == []


def test_what_died_before_it_was_in_the_manifest_is_sealed_again(store, lake):
    store.record(hours(2))
    _, second = lake.seal(store, FAR)
    folder = lake.shelf.folder
    (folder / FOLDER / "00000001.json").unlink()
    (folder / FOLDER / "00000001.json.0a.draft").write_bytes(b"{")
    left = again(lake)
    assert len(left.seal(store, FAR)) == 1
    assert left.compact(START_NS) == []
    assert not (folder / second.path).exists()  # what was never named goes
    assert broken(left, store) == []


def test_what_is_missing_or_changed_is_named(store, lake):
    store.record(hours(4))
    first, second, third, fourth = lake.seal(store, FAR)
    folder = lake.shelf.folder
    (folder / first.path).unlink()
    data = bytearray((folder / second.path).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / second.path).write_bytes(data)
    entry = folder / FOLDER / "00000002.json"
    entry.write_text(entry.read_text().replace(third.sha256, "0" * 64))
    found = "\n".join(broken(again(lake), store))
    assert f"{folder / first.path} cannot be read" in found
    assert f"{folder / second.path} is not what was sealed" in found
    assert "entry 2 of" in found
    assert "3 calls of the hot store are missing: h0-0, h0-1, h0-2" in found
    assert fourth.path not in found
    entry.unlink()
    assert "00000002.json is missing" in "\n".join(broken(again(lake), store))


def test_what_others_put_beside_the_manifest_stops_nobody(store, lake):
    store.record(hours(2))
    lake.seal(store, FAR)
    for name in (".DS_Store", "notes.txt", "00000000.json.bak"):
        (lake.shelf.folder / FOLDER / name).write_text("x")
    assert broken(again(lake), store) == []
    store.record([call("late", attempt(1), seconds=5)])
    assert len(again(lake).seal(store, FAR)) == 1


CHANGES = {
    "UPDATE attempts SET cost_nanousd = 1 WHERE call_id = 'h1-0' AND number = 2": "1 calls of the hot store have other",
    "UPDATE attempts SET evidence = 'none' WHERE call_id = 'h1-0'": "1 calls of the hot store have other figures",
    "DELETE FROM attempts WHERE call_id = 'h1-0' AND number = 1": "1 calls of the hot store have other figures",
    "UPDATE calls SET at_ns = at_ns + 1 WHERE id = 'h2-0'": "1 calls of the hot store have other figures",
    "UPDATE calls SET document = (SELECT document FROM calls WHERE id = 'h0-1') WHERE id = 'h0-2'": "are not what was",
    "DELETE FROM attempts WHERE call_id = 'h0-0'; DELETE FROM calls WHERE id = 'h0-0'": "3 calls were sealed, and",
}


@pytest.mark.parametrize(("sql", "says"), CHANGES.items())
def test_what_was_changed_in_the_hot_store_is_named(store, lake, sql, says):
    store.record(hours(3))
    lake.seal(store, FAR)
    assert broken(again(lake), store) == []
    with store.writing() as connection:
        for each in sql.split("; "):
            connection.execute(text(each))
    assert says in "\n".join(broken(again(lake), store))


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_of_several_that_seal_at_once_each_call_is_in_the_lake_once(store, tmp_path, where, request):
    address = str(tmp_path / "lake") if where == "folder" else request.getfixturevalue("bucket") + "/race"
    store.record(hours(6, each=20))
    raised = []

    def seal():
        try:
            Lake(shelf_at(address)).seal(store, FAR)
        except BaseloadError as error:
            raised.append(error)

    threads = [threading.Thread(target=seal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    lake = Lake(shelf_at(address))
    assert sum(each.sums.calls for each in lake.manifest.living) == 120
    lake.compact(START_NS)
    assert broken(again(lake), store) == []
    assert len(lake.shelf.under("calls")) == 6


def test_an_address_that_nothing_is_known_of_is_refused(tmp_path):
    for address, why in (("nothing://there", "cannot be at nothing://"), ("memory://a/[b]", "character of patterns")):
        with pytest.raises(BadConfig, match=why):
            shelf_at(address)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(LedgerUnavailable, match="cannot be written"):
        Folder(blocked).create("a/b", b"")


def test_a_bucket_that_does_not_answer_is_told(monkeypatch, bucket):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(LedgerUnavailable, match="s3://calls/x cannot be read"):
        Lake(shelf_at("s3://calls/x"))
