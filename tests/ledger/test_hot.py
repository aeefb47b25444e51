"""The hot store keeps every call once, exactly as it was, and says so when it cannot."""

import sqlite3
import subprocess
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baseload.errors import BadInput, LedgerUnavailable, NotEnoughData
from baseload.ledger.hot import BATCH, FILE, open_store
from baseload.ledger.query import Filter, totals
from baseload.load.calls import Attempt, Call, Choice, Decision, Evidence, Skip, Status
from baseload.load.facts import Bucket, Facts
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage
from samples import FAILED, START_NS, attempt, call

COUNTS = st.integers(0, 2**40)
TIMES = st.integers(0, 2**62)
TEXTS = st.text(max_size=8)
USAGES = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, COUNTS))
ATTEMPTS = st.builds(
    Attempt,
    number=st.just(1),
    route=TEXTS,
    upstream=TEXTS,
    model=TEXTS,
    offer=TEXTS,
    started_ns=TIMES,
    ended_ns=TIMES,
    first_byte_ns=st.none() | TIMES,
    http_status=st.none() | st.integers(100, 599),
    status=st.sampled_from(Status),
    usage=USAGES,
    evidence=st.sampled_from(Evidence),
    cost_nanousd=st.none() | COUNTS,
    provider_nanousd=st.none() | COUNTS,
    book=TEXTS,
    error=TEXTS,
)
# A name with a null byte is for SQLite alone, which see below.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
CALLS = st.builds(
    Call,
    id=NAMES,
    facts=st.builds(
        Facts,
        at_ns=TIMES,
        model=TEXTS,
        bucket=st.sampled_from(Bucket),
        input_tokens=COUNTS,
        needs=st.frozensets(TEXTS, max_size=4),
        tags=st.dictionaries(TEXTS, TEXTS, max_size=3),
    ),
    decision=st.builds(
        Decision,
        id=TEXTS,
        policy=TEXTS,
        routes=st.tuples(st.builds(Choice, TEXTS, TEXTS, st.none() | COUNTS)),
        skipped=st.tuples(st.builds(Skip, TEXTS, TEXTS)),
    ),
    attempts=st.tuples() | st.tuples(ATTEMPTS),
    ended_ns=TIMES,
    status=st.sampled_from(Status),
)


@given(st.lists(CALLS, max_size=5, unique_by=lambda each: each.id))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_call_comes_back_equal_in_time_order(ledgers, calls):
    store = ledgers.renew().open()
    assert store.record(calls) == len(calls)
    assert list(store.calls()) == sorted(calls, key=lambda each: (each.facts.at_ns, each.id))
    store.close()


def test_a_reader_pages_through_more_than_one_batch_of_the_same_moment(ledgers):
    store = ledgers.open()
    written = [call(f"c{number:05d}") for number in range(BATCH * 2 + 1)]
    assert store.record(reversed(written)) == len(written)
    assert list(store.calls()) == written
    store.close()


def test_a_call_recorded_again_is_kept_once(ledgers):
    store = ledgers.open()
    assert store.record([call("a"), call("b"), call("a")]) == 2
    assert store.record([call("b"), call("c")]) == 1
    assert totals(store).calls == totals(store).attempts == 3
    assert store.conflicts == 0
    store.close()


@pytest.mark.parametrize("together", [True, False])
def test_the_first_call_under_an_id_is_kept_and_another_one_reported(ledgers, caplog, together):
    store = ledgers.open()
    first, second = call("a", attempt(cost=1)), call("a", attempt(cost=2), FAILED)
    batches = [[first, second]] if together else [[first], [second]]
    assert [store.record(batch) for batch in batches] == ([1] if together else [1, 0])
    assert list(store.calls()) == [first]
    assert totals(store).cost_nanousd == 1
    assert store.conflicts == 1
    assert "call a came again with other content; the first one is kept" in caplog.text
    store.close()


@pytest.mark.parametrize(
    "broken",
    [
        call("big", attempt(cost=2**63)),
        call("big", attempt(usage=Usage(input_tokens=2**70))),
        call("big", at_ns=2**63),
    ],
    ids=["money", "tokens", "time"],
)
def test_a_figure_beyond_the_database_refuses_the_whole_batch(ledgers, broken):
    store = ledgers.open()
    with pytest.raises(BadInput, match=r"call big has .* beyond what a ledger holds"):
        store.record([call("fine"), broken])
    assert list(store.calls()) == []
    assert store.record([call("largest", attempt(cost=2**63 - 1))]) == 1
    assert totals(store).cost_nanousd == 2**63 - 1
    store.close()


def test_the_filter_bounds_time_and_tags(ledgers):
    store = ledgers.open()
    store.record(
        [
            call("a", seconds=0, tags={"run": "one"}),
            call("b", seconds=1, tags={"run": "two", "team": 'it\'s "$.x"'}),
            call("c", seconds=2, tags={"run": "two", "team": "other"}),
        ]
    )
    second = START_NS + NANOSECONDS_PER_SECOND
    cases = {
        "abc": Filter(),
        "bc": Filter(since_ns=second),
        "a": Filter(until_ns=second),
        "": Filter(since_ns=second, until_ns=second),
        "b": Filter(tags={"run": "two", "team": 'it\'s "$.x"'}),
        "c": Filter(tags={"team": "other"}),
    }
    for ids, where in cases.items():
        assert "".join(each.id for each in store.calls(where)) == ids
        assert totals(store, where).calls == len(ids)
    store.close()


def test_a_reader_opens_nothing_that_is_not_there(tmp_path):
    with pytest.raises(NotEnoughData, match="there is no ledger in"):
        open_store(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILE).touch()
    with pytest.raises(NotEnoughData, match="there is no ledger in"):
        open_store(tmp_path, read_only=True)


def test_a_file_that_is_no_ledger_is_named(tmp_path):
    (tmp_path / FILE).write_bytes(b"this is not a database, it only stands where one should" * 100)
    with pytest.raises(LedgerUnavailable, match=r"ledger\.db cannot be read: file is not a database"):
        open_store(tmp_path, read_only=True)


def test_a_ledger_of_a_newer_version_is_refused(tmp_path):
    store = open_store(tmp_path)
    store.record([call("a")])
    store.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE ledger_schema SET version = 99")
    database.close()
    for read_only in (True, False):
        with pytest.raises(LedgerUnavailable, match="schema version 99, this program knows version 3"):
            open_store(tmp_path, read_only=read_only).record([call("b")])


def test_a_reader_in_the_middle_of_its_pages_blocks_no_writer(ledgers):
    store = ledgers.open(busy_seconds=0.1)
    store.record(call(f"c{number}", seconds=number) for number in range(BATCH + 1))
    reader = ledgers.open(read_only=True)
    pages = reader.calls()
    next(pages)
    assert store.record([call("later", seconds=10**6)]) == 1
    assert [each.id for each in pages][-1] == "later"
    reader.close()
    store.close()


def test_a_read_only_store_writes_nothing(ledgers):
    store = ledgers.open()
    store.record([call("a")])
    reader = ledgers.open(read_only=True)
    with pytest.raises(LedgerUnavailable, match=r"readonly database|read-only transaction"):
        reader.record([call("b")])
    assert totals(reader).calls == 1
    reader.close()
    store.close()


def test_a_locked_database_says_who_could_not_write(tmp_path):
    store = open_store(tmp_path, busy_seconds=0.05)
    store.record([call("a")])
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerUnavailable, match="cannot be written: database is locked"):
        store.record([call("b")])
    other.execute("COMMIT")
    other.close()
    assert store.record([call("b")]) == 1
    store.close()


def test_a_file_removed_under_the_store_is_made_anew_and_written(tmp_path):
    store = open_store(tmp_path)
    store.record([call("a")])
    for path in tmp_path.iterdir():
        path.unlink()
    assert store.record([call("b")]) == 1
    reader = open_store(tmp_path, read_only=True)
    assert [each.id for each in reader.calls()] == ["b"]
    reader.close()
    store.close()


@pytest.mark.parametrize("reading", [False, True], ids=["written alone", "read meanwhile"])
def test_a_write_ahead_log_removed_under_the_store_loses_nothing(tmp_path, reading):
    store = open_store(tmp_path)
    store.record([call("a")])
    reader = open_store(tmp_path, read_only=True)
    if reading:
        assert totals(reader).calls == 1
    for name in ("b", "c"):
        (tmp_path / f"{FILE}-wal").unlink()
        assert store.record([call(name)]) == 1
    other = open_store(tmp_path, read_only=True)
    for each in (reader, other, store):
        assert [found.id for found in each.calls()] == ["a", "b", "c"]
        each.close()


def test_stores_that_write_the_same_calls_at_once_count_each_new_one_once(ledgers):
    batches = [[call(f"c{number}-{place}") for place in range(5)] for number in range(40)]
    stores = [ledgers.open() for _ in range(4)]
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda store=store: counts.extend(store.record(batch) for batch in batches))
        for store in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == len(stores) * len(batches)
    assert sum(counts) == totals(stores[0]).calls == sum(map(len, batches))
    for store in stores:
        store.close()


VISITOR = """
import sys
from contextlib import closing
from pathlib import Path
from baseload.ledger.hot import open_store
with closing(open_store(Path(sys.argv[1]))) as store, store.writing():
    pass
"""


@pytest.mark.parametrize("others", [0, 1])
def test_another_program_that_comes_and_goes_leaves_the_log_that_is_in_use(tmp_path, others):
    """Closing any descriptor of a file gives up all locks of a process on it: SQLite's that say that the log is in use
    too, and then the next program that leaves takes the log and its index along."""
    store = open_store(tmp_path)
    store.record([call("c0", attempt())])
    store.persist()
    for number in range(others):
        other = open_store(tmp_path, read_only=True)
        totals(other)
        other.persist()
        other.close()
        store.record([call(f"more{number}", attempt())])
    before = [(tmp_path / f"{FILE}{end}").stat().st_ino for end in ("-wal", "-shm")]
    subprocess.run([sys.executable, "-c", VISITOR, str(tmp_path)], check=True, timeout=60)
    assert [(tmp_path / f"{FILE}{end}").stat().st_ino for end in ("-wal", "-shm")] == before
    store.record([call("c1", attempt())])
    store.persist()
    assert totals(store).calls == 2 + others
    store.close()
    assert not (tmp_path / f"{FILE}-wal").exists()


def test_a_damaged_file_says_so_and_what_to_do(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    store = open_store(tmp_path)
    with pytest.raises(LedgerUnavailable) as caught:
        store.record([call("c0", attempt())])
    assert "move the file into another folder" in caught.value.remedy
    store.close()
