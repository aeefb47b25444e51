"""Calls under way outlive their worker: each is recorded once, as its end or else as the estimate that it left."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.errors import LedgerUnavailable
from baseload.ledger.begun import BLOCK_BYTES, FIRST_BYTES, BegunFile, begun_path, encoded, half_of, read_begun
from baseload.ledger.drain import recover
from baseload.ledger.held import Held
from baseload.ledger.hot import open_store
from baseload.ledger.spool import Spool, spool_folder
from baseload.load.calls import Evidence, Status
from samples import attempt, call

GUESS = attempt(evidence=Evidence.ESTIMATED, error="a guess")


@pytest.fixture
def store(tmp_path):
    found = open_store(tmp_path)
    yield found
    found.close()


def recorded(directory: Path) -> dict[str, str]:
    """The calls of the ledger, and what their last attempts say."""
    reader = open_store(directory, read_only=True)
    try:
        return {each.id: each.attempts[-1].error for each in reader.calls()}
    finally:
        reader.close()


def left(path: Path) -> list[str]:
    return sorted(line.call.id for line in read_begun(path) if line.call is not None)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3 * BLOCK_BYTES), st.booleans()), max_size=40))
def test_what_was_put_and_not_taken_out_is_what_is_left(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("begun")
    file, places = BegunFile(folder, "w"), {}
    for number, length, ends in steps:
        name = f"c{number}"
        if name in places and ends:
            file.take_out(places.pop(name))
        elif name not in places:
            places[name] = file.put(call(name, GUESS, tags={"long": "x" * length}))
        assert left(begun_path(folder, "w")) == sorted(places)
    file.close()


def test_places_are_used_again(tmp_path):
    file = BegunFile(tmp_path, "w")
    for number in range(100):
        file.take_out(file.put(call(f"c{number}")))
    assert begun_path(tmp_path, "w").stat().st_size == FIRST_BYTES < 100 * BLOCK_BYTES
    file.close()


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_half_a_call_counts_as_nothing(tmp_path, cut):
    file = BegunFile(tmp_path, "w")
    file.put(call("whole"))
    file.put(call("torn"))
    file.close()
    path = begun_path(tmp_path, "w")
    written = path.read_bytes().rstrip(b"\0")
    path.write_bytes(written[:-cut].ljust(FIRST_BYTES, b"\0"))
    assert left(path) == ["whole"]


def test_a_worker_that_dies_leaves_each_call_once(tmp_path, store):
    script = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from samples import FAILED, attempt, call; from baseload.ledger.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1])); guess = attempt(error='a guess')\n"
        "spool.append(call('ended'), spool.begin(call('ended', guess)))\n"
        "spool.begin(call('under way', guess))\n"
        "spool.begin(call('second try', FAILED, guess), spool.begin(call('second try', guess)))\n"
        "spool.begin(call('both', guess)); spool.append(call('both'))\n"  # killed between the two
        "os.kill(os.getpid(), 9)"
    )
    tests = str(Path(__file__).parent.parent)
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path), tests], check=False).returncode == -9
    told: list[str] = []
    assert recover(tmp_path, store, lambda calls: told.extend(each.id for each in calls)) == 4
    wanted = {"ended": "", "both": "", "under way": "a guess", "second try": "a guess"}
    assert recorded(tmp_path) == wanted
    assert sorted(told) == sorted(wanted)
    assert list(spool_folder(tmp_path).iterdir()) == []
    assert recover(tmp_path, store) == 0


def test_what_another_version_left_is_set_aside(tmp_path, store):
    spool = Spool(tmp_path)
    spool.begin(call("under way"))
    path = begun_path(spool.folder, spool.owner)
    spool.close()
    body = b'{"id":7}'
    data = path.read_bytes()
    from baseload.ledger.begun import _HEAD, _MARK, crc32

    path.write_bytes(data[:BLOCK_BYTES] + _HEAD.pack(_MARK, len(body), crc32(body)) + body)
    assert recover(tmp_path, store) == 1
    assert recorded(tmp_path) == {"under way": ""}
    [damaged] = spool_folder(tmp_path).iterdir()
    assert msgspec.json.decode(damaged.read_bytes())["offset"] == BLOCK_BYTES


def test_reservations_take_all_their_room_at_once(tmp_path):
    """A page of a sparse file that finds no block on a full disk ends the process with SIGBUS."""
    held = Held(tmp_path, "w")
    assert held.path.stat().st_blocks * 512 >= held.path.stat().st_size
    held.close()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BLOCK_BYTES, limits[1]))
    try:
        with pytest.raises(LedgerUnavailable, match="cannot be made"):
            Held(tmp_path, "another")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_without_room_nothing_is_kept_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("baseload.ledger.begun.FIRST_BYTES", BLOCK_BYTES)
    spool = Spool(tmp_path)
    spool.begin(call("first"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BLOCK_BYTES + 100, limits[1]))
    try:
        with pytest.raises(LedgerUnavailable, match="second could not be kept"):
            spool.begin(call("second"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    spool.begin(call("third"))
    assert left(begun_path(spool.folder, spool.owner)) == ["first", "third"]
    spool.close()


def test_a_call_of_which_half_is_written_reads_the_same():
    before = call("a", GUESS, tags={"team": "x"})
    after = msgspec.structs.replace(before, attempts=(*before.attempts, GUESS), status=Status.CUT)
    other = msgspec.structs.replace(after, facts=msgspec.structs.replace(after.facts, model="other"))
    for each in (before, after, other):
        assert encoded(each, half_of(before)) == msgspec.json.encode(each)


def test_what_somebody_else_records_is_not_recorded_as_lost(tmp_path, store):
    spool = Spool(tmp_path)
    spool.release(spool.begin(call("handed over")))
    spool.begin(call("under way"))
    spool.close()
    recover(tmp_path, store)
    assert list(recorded(tmp_path)) == ["under way"]
