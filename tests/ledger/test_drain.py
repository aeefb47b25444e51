"""Every acknowledged call is in the ledger once, whatever dies, locks or vanishes on the way."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from baseload.errors import LedgerUnavailable
from baseload.ledger.drain import Drain, recover
from baseload.ledger.hot import FILE, open_store
from baseload.ledger.segments import Damage, owners, segments
from baseload.ledger.spool import Spool, new_crew, segment_name, spool_folder
from samples import attempt, call

SECONDS = 10.0
# Seconds from a worker's first acknowledgement to its death.
LIVES = (0.0, 0.003, 0.02, 0.07, 0.15)


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path, busy_seconds=0.05)
    yield opened
    opened.close()


def recorded(directory: Path) -> list[str]:
    """Ids in the ledger as another process reads them, in the order of recording."""
    reader = sqlite3.connect(f"{(directory / FILE).as_uri()}?mode=ro", uri=True)
    try:
        return [name for (name,) in reader.execute("SELECT id FROM calls ORDER BY position")]
    finally:
        reader.close()


def left(directory: Path) -> list[str]:
    """What still lies in the spool folder."""
    return sorted(path.name for path in spool_folder(directory).iterdir())


def test_calls_reach_the_ledger_while_they_are_appended(tmp_path, store):
    spool = Spool(tmp_path, segment_bytes=5_000)
    drain = Drain(tmp_path, store, interval_seconds=0.01)
    drain.start()
    names = [f"c{number}" for number in range(200)]
    for name in names:
        spool.append(call(name))
    assert drain.settle(SECONDS)
    assert recorded(tmp_path) == names
    assert drain.recorded == len(names)
    last = segments(spool.folder, spool.owner)[-1].name
    assert left(tmp_path) == [last, f"{spool.owner}.begun", f"{spool.owner}.lock"]
    spool.append(call("last"))
    spool.close()
    drain.stop()
    assert recorded(tmp_path) == [*names, "last"]
    assert left(tmp_path) == []
    assert (drain.lag, drain.last_error) == (0, "")


def test_a_drain_stopped_before_its_spool_is_closed_leaves_it_to_recover(tmp_path, store):
    spool = Spool(tmp_path)
    drain = Drain(tmp_path, store, interval_seconds=0.01)
    drain.start()
    spool.append(call("a"))
    drain.stop()
    spool.append(call("b"))
    assert recorded(tmp_path) == ["a"]
    assert recover(tmp_path, store) == 0
    spool.close()
    assert recover(tmp_path, store) == 1
    assert recorded(tmp_path) == ["a", "b"]
    assert left(tmp_path) == []


@pytest.mark.parametrize("draining", [False, True], ids=["spool only", "draining"])
def test_kill_9_loses_no_acknowledged_call_and_doubles_none(tmp_path, store, draining):
    acknowledged: list[str] = []
    for life, seconds in enumerate(LIVES):
        how = ["draining"] if draining else []
        worker = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "appending.py"), str(tmp_path), f"life{life}", *how],
            stdout=subprocess.PIPE,
        )
        assert worker.stdout is not None
        acknowledged.append(worker.stdout.readline().decode().strip())
        killer = threading.Timer(seconds, worker.send_signal, [signal.SIGKILL])
        killer.start()
        acknowledged += worker.stdout.read().decode().splitlines()
        killer.join()
        assert worker.wait() == -signal.SIGKILL
        worker.stdout.close()
        if life % 2:
            recover(tmp_path, store)
    recover(tmp_path, store)
    found = recorded(tmp_path)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    # A call may have been written without the acknowledgement having come out: at most the last one of each life.
    assert len(set(found) - set(acknowledged)) <= len(LIVES)
    assert len(acknowledged) > 100
    assert [name for name in left(tmp_path) if not name.endswith(".damaged")] == []


def test_a_locked_database_keeps_calls_in_the_spool_until_it_is_free(tmp_path, store, caplog):
    store.record([call("first")])
    spool = Spool(tmp_path, segment_bytes=3_000)
    drain = Drain(tmp_path, store, interval_seconds=0.01)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    drain.start()
    names = [f"c{number}" for number in range(50)]
    for name in names:
        spool.append(call(name))
    assert not drain.settle(0.3)
    assert "database is locked" in drain.last_error
    assert drain.lag > 0
    other.execute("COMMIT")
    other.close()
    assert drain.settle(SECONDS)
    drain.stop()
    assert recorded(tmp_path) == ["first", *names]
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]
    spool.close()


def test_a_ledger_that_cannot_be_created_is_waited_for(tmp_path):
    blocked = tmp_path / "data"
    blocked.write_text("a file stands where the folder should")
    store = open_store(blocked)
    spool = Spool(tmp_path)
    drain = Drain(tmp_path, store, interval_seconds=0.01)
    drain.start()
    spool.append(call("a"))
    deadline = time.monotonic() + SECONDS
    while not drain.last_error and time.monotonic() < deadline:
        time.sleep(0.005)
    assert str(blocked) in drain.last_error
    blocked.unlink()
    assert drain.settle(SECONDS)
    drain.stop()
    spool.close()
    assert recorded(blocked) == ["a"]
    store.close()


def test_a_ledger_removed_meanwhile_is_begun_anew(tmp_path, store):
    spool = Spool(tmp_path)
    drain = Drain(tmp_path, store, interval_seconds=0.01)
    drain.start()
    spool.append(call("a"))
    assert drain.settle(SECONDS)
    for path in tmp_path.glob(f"{FILE}*"):
        path.unlink()
    spool.append(call("b"))
    assert drain.settle(SECONDS)
    drain.stop()
    spool.close()
    assert recorded(tmp_path) == ["b"]


def test_a_drain_leaves_a_living_worker_alone_and_takes_over_when_it_dies(tmp_path, store):
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from samples import call; from baseload.ledger.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1])); spool.append(call('orphan'))\n"
        "print('appended', flush=True); sys.stdin.read()"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"appended\n"
    spool = Spool(tmp_path)
    spool.append(call("mine"))
    drain = Drain(tmp_path, store, interval_seconds=0.01)
    drain.start()
    assert drain.settle(SECONDS)
    assert recorded(tmp_path) == ["mine"]
    worker.kill()
    worker.communicate()
    deadline = time.monotonic() + SECONDS
    while drain.recorded < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    spool.close()
    drain.stop()
    assert recorded(tmp_path) == ["mine", "orphan"]
    assert left(tmp_path) == []


def dead_segment(directory: Path, *names: str) -> Path:
    """The segment of a worker that is dead."""
    spool = Spool(directory)
    for name in names:
        spool.append(call(name))
    spool.close()
    return segments(spool.folder, spool.owner)[0]


def kept(directory: Path) -> list[Damage]:
    files = sorted(spool_folder(directory).glob("*.damaged"))
    return [msgspec.json.decode(path.read_bytes(), type=Damage) for path in files]


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_last_line_is_set_aside_with_its_bytes(tmp_path, store, caplog, cut):
    path = dead_segment(tmp_path, "a", "b", "torn")
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert recover(tmp_path, store) == 2
    assert recorded(tmp_path) == ["a", "b"]
    start = whole[:-1].rindex(b"\n") + 1
    assert kept(tmp_path) == [
        Damage(segment=path.name, offset=start, reason="the line was never finished", data=whole[start:-cut])
    ]
    assert "its bytes are kept in" in caplog.text
    assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"b"', b'"x"'),
        lambda line: b"\xff\r" * (len(line) // 2) + b"\n",
        lambda line: line[:0] + b"\n",
    ],
    ids=["changed", "garbage", "empty"],
)
def test_a_corrupt_line_in_the_middle_is_set_aside_and_the_others_recorded(tmp_path, store, change):
    path = dead_segment(tmp_path, "a", "b", "c")
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = change(lines[1])
    path.write_bytes(lines[0] + damaged + lines[2])
    assert recover(tmp_path, store) == 2
    assert recorded(tmp_path) == ["a", "c"]
    assert kept(tmp_path) == [
        Damage(segment=path.name, offset=len(lines[0]), reason="the checksum does not match", data=damaged)
    ]


def test_a_line_of_another_version_is_kept_for_the_one_that_can_read_it(tmp_path, store):
    from zlib import crc32

    path = dead_segment(tmp_path, "a")
    body = b'{"id": "b", "shape": "of a later day"}'
    with path.open("ab") as file:
        file.write(b"%08x %b\n" % (crc32(body), body))
    assert recover(tmp_path, store) == 1
    (damage,) = kept(tmp_path)
    assert damage.reason.startswith("this version cannot read it")
    assert body in damage.data


def test_a_call_that_the_store_refuses_stops_no_other(tmp_path, store):
    spool = Spool(tmp_path)
    for each in (call("a"), call("absurd", attempt(cost=2**63)), call("b")):
        spool.append(each)
    spool.close()
    assert recover(tmp_path, store) == 2
    assert recorded(tmp_path) == ["a", "b"]
    (damage,) = kept(tmp_path)
    assert damage.reason == f"call absurd has cost_nanousd {2**63}, beyond what a ledger holds"


def test_the_same_damage_met_twice_has_one_file(tmp_path, store):
    """A drain that is killed between setting aside and deleting meets the same line again."""
    path = dead_segment(tmp_path, "a")
    whole = path.read_bytes()
    for _ in range(2):
        path.write_bytes(whole + b"torn")
        recover(tmp_path, store)
    assert len(kept(tmp_path)) == 1
    assert recorded(tmp_path) == ["a"]


def test_recover_reports_a_store_that_cannot_be_written_and_leaves_the_spool(tmp_path):
    path = dead_segment(tmp_path, "a")
    (tmp_path / FILE).mkdir()
    store = open_store(tmp_path)
    with pytest.raises(LedgerUnavailable, match="unable to open database file"):
        recover(tmp_path, store)
    assert path.exists()
    (tmp_path / FILE).rmdir()
    assert recover(tmp_path, store) == 1
    store.close()


def test_two_that_recover_at_once_record_each_call_once(tmp_path):
    for number in range(8):
        dead_segment(tmp_path, f"a{number}", f"b{number}")
    script = (
        "import sys; from pathlib import Path\n"
        "from baseload.ledger.drain import recover; from baseload.ledger.hot import open_store\n"
        "print(recover(Path(sys.argv[1]), open_store(Path(sys.argv[1]))))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env=dict(os.environ))
        for _ in range(2)
    ]
    assert sum(int(each.communicate()[0]) for each in both) == 16
    assert len(recorded(tmp_path)) == 16
    assert left(tmp_path) == []


def test_there_is_nothing_to_recover_where_nothing_was_spooled(tmp_path, store):
    assert owners(spool_folder(tmp_path)) == []
    assert recover(tmp_path, store) == 0


def test_a_segment_without_a_lock_belongs_to_nobody_and_is_drained(tmp_path, store):
    path = dead_segment(tmp_path, "a")
    path.rename(path.with_name(segment_name("1-deadbeef", 0)))
    next(path.parent.glob("*.lock")).unlink()
    assert recover(tmp_path, store) == 1
    assert left(tmp_path) == []


def test_a_data_directory_removed_while_it_is_served_comes_back_whole(tmp_path):
    directory = tmp_path / "data"
    store, spool = open_store(directory, busy_seconds=0.05), Spool(directory)
    drain = Drain(directory, store, spool=spool, interval_seconds=0.01)
    drain.start()
    spool.append(call("before"))
    assert drain.settle(SECONDS)
    shutil.rmtree(directory)
    names = [f"c{number}" for number in range(5)]
    for name in names:
        spool.append(call(name))
    assert drain.settle(SECONDS)
    spool.close()
    drain.stop()
    assert recorded(directory) == names
    assert left(directory) == []
    assert (drain.lag, drain.lost_bytes, drain.last_error) == (0, 0, "")
    store.close()


def test_calls_removed_before_they_were_drained_are_counted_as_lost(tmp_path, store, caplog):
    spool = Spool(tmp_path)
    spool.append(call("gone"))
    size = segments(spool.folder, spool.owner)[0].stat().st_size
    drain = Drain(tmp_path, store, spool=spool, interval_seconds=0.01)
    shutil.rmtree(spool.folder)
    assert drain.lag == size
    drain.start()
    assert not drain.settle(SECONDS)
    spool.append(call("kept"))
    assert drain.settle(SECONDS)
    drain.stop()
    spool.close()
    assert (drain.lag, drain.lost_bytes) == (0, size)
    assert f"before {size} bytes of it were drained" in caplog.text
    assert recorded(tmp_path) == ["kept"]


def test_one_bad_entry_in_the_spool_keeps_no_other_from_being_drained(tmp_path, store):
    bad = spool_folder(tmp_path) / segment_name("1-aaaa", 0)
    bad.mkdir(parents=True)
    dead_segment(tmp_path, "dead")
    spool = Spool(tmp_path)
    drain = Drain(tmp_path, store, spool=spool, interval_seconds=0.01)
    drain.start()
    names = [f"c{number}" for number in range(5)]
    for name in names:
        spool.append(call(name))
        assert drain.settle(1.0)
    deadline = time.monotonic() + SECONDS
    while drain.recorded < 6 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sorted(recorded(tmp_path)) == [*names, "dead"]
    assert "1-aaaa" in drain.last_error
    assert "Is a directory" in drain.last_error
    bad.rmdir()
    spool.close()
    drain.stop()


def test_one_bad_entry_stops_no_recovery(tmp_path, store, caplog):
    (spool_folder(tmp_path) / segment_name("1-aaaa", 0)).mkdir(parents=True)
    dead_segment(tmp_path, "a")
    assert recover(tmp_path, store) == 1
    assert recorded(tmp_path) == ["a"]
    assert "the spool of 1-aaaa" in caplog.text


def appending(directory: Path, prefix: str, *how: str) -> subprocess.Popen[bytes]:
    script = str(Path(__file__).parent / "appending.py")
    return subprocess.Popen([sys.executable, script, str(directory), prefix, *how], stdout=subprocess.PIPE)


def killed(worker: subprocess.Popen[bytes]) -> list[str]:
    """Kill it; what it had acknowledged until then."""
    worker.kill()
    assert worker.stdout is not None
    acknowledged = worker.stdout.read().decode().splitlines()
    worker.wait()
    worker.stdout.close()
    return acknowledged


def test_one_drain_follows_a_crew_of_workers_through_their_deaths(tmp_path, store):
    crew, told = new_crew(), []
    drain = Drain(tmp_path, store, crew=crew, tell=lambda calls: told.extend(each.id for each in calls))
    drain.start()
    workers = [appending(tmp_path, f"w{number}", crew) for number in range(2)]
    deadline = time.monotonic() + SECONDS
    while {name.partition("-")[0] for name in told} < {"w0", "w1"} or drain.recorded < len(told):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert all(worker.poll() is None for worker in workers), "calls of living workers are recorded"
    acknowledged = killed(workers[0])
    workers.append(appending(tmp_path, "w2", crew))
    assert workers[2].stdout is not None
    acknowledged.append(workers[2].stdout.readline().decode().strip())
    acknowledged += killed(workers[1]) + killed(workers[2])
    drain.stop()
    found = recorded(tmp_path)
    assert len(found) == len(set(found)) == drain.recorded
    assert set(acknowledged) <= set(found)
    assert sorted(told) == sorted(found)
    assert (drain.lag, drain.lost_bytes, drain.last_error) == (0, 0, "")
    assert [name for name in left(tmp_path) if not name.endswith(".damaged")] == []


def test_two_crews_leave_each_other_alone(tmp_path, store):
    mine, theirs = Spool(tmp_path, crew="7xaaaa"), Spool(tmp_path, crew="7xbbbb")
    mine.append(call("mine"))
    theirs.append(call("theirs"))
    drain = Drain(tmp_path, store, crew="7xaaaa", interval_seconds=0.01)
    drain.start()
    assert drain.settle(SECONDS)
    mine.close()
    drain.stop()
    assert recorded(tmp_path) == ["mine"]
    theirs.close()
    assert recover(tmp_path, store) == 1


def test_others_are_told_of_calls_while_the_store_cannot_take_them_and_not_again(tmp_path, store, caplog):
    store.record([call("first")])
    crew, told = new_crew(), []
    spools = [Spool(tmp_path, crew=crew, segment_bytes=3_000) for _ in range(2)]
    drain = Drain(
        tmp_path, store, crew=crew, tell=lambda calls: told.extend(each.id for each in calls), interval_seconds=0.01
    )
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    names = [f"c{number}" for number in range(40)]
    for number, name in enumerate(names):
        spools[number % 2].append(call(name))
    drain.start()
    deadline = time.monotonic() + SECONDS
    while len(told) < len(names) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(told) == sorted(names)
    assert drain.recorded == 0
    other.execute("COMMIT")
    other.close()
    assert drain.settle(SECONDS)
    for spool in spools:
        spool.close()
    drain.stop()
    assert sorted(recorded(tmp_path)) == sorted(["first", *names])
    assert len(told) == len(names)


def test_whoever_fails_to_listen_stops_no_call(tmp_path, store, caplog):
    def deaf(_: object) -> None:
        raise ValueError("no")

    spool = Spool(tmp_path)
    spool.append(call("a"))
    drain = Drain(tmp_path, store, spool=spool, tell=deaf, interval_seconds=0.01)
    drain.start()
    assert drain.settle(SECONDS)
    spool.close()
    drain.stop()
    assert recorded(tmp_path) == ["a"]
    assert "could not be told of" in caplog.text


def test_bytes_of_a_crew_that_were_seen_and_removed_are_counted_as_lost(tmp_path, store):
    crew = new_crew()
    spool = Spool(tmp_path, crew=crew)
    spool.append(call("gone"))
    size = segments(spool.folder, spool.owner)[0].stat().st_size
    store.record([call("first")])
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    drain = Drain(tmp_path, store, crew=crew, interval_seconds=0.01)
    drain.start()
    deadline = time.monotonic() + SECONDS
    while not drain.last_error and time.monotonic() < deadline:
        time.sleep(0.005)
    shutil.rmtree(spool.folder)
    other.execute("COMMIT")
    other.close()
    while not drain.lost_bytes and time.monotonic() < deadline:
        time.sleep(0.005)
    assert drain.lost_bytes == size
    spool.append(call("kept"))
    spool.close()
    drain.stop()
    assert recorded(tmp_path) == ["first", "kept"]
