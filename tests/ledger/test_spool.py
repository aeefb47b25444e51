"""What was appended survives the death of its writer; what could not be written leaves nothing behind."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from baseload.errors import LedgerUnavailable
from baseload.ledger.segments import claimed, owners, read, segments
from baseload.ledger.spool import Spool, spool_folder
from samples import call


def spooled(directory: Path) -> list[str]:
    """The ids that stand in the spools of a folder, in order."""
    folder = spool_folder(directory)
    lines = [line for owner in owners(folder) for path in segments(folder, owner) for line in everything(path)]
    assert all(line.call is not None for line in lines)
    return [line.call.id for line in lines if line.call is not None]


def everything(path: Path):
    offset = 0
    while lines := read(path, offset):
        yield from lines
        offset = lines[-1].offset + len(lines[-1].data)


def test_what_was_appended_is_read_back_whole(tmp_path):
    spool = Spool(tmp_path)
    written = [call(f"c{number}", tags={"team": "naïve\n\r,\x00"}) for number in range(3)]
    for each in written:
        spool.append(each)
    (path,) = segments(spool.folder, spool.owner)
    assert [line.call for line in read(path, 0)] == written


def test_a_full_segment_is_followed_by_another_in_order(tmp_path):
    spool = Spool(tmp_path, segment_bytes=2_000)
    names = [f"c{number}" for number in range(20)]
    for name in names:
        spool.append(call(name))
    files = segments(spool.folder, spool.owner)
    assert len(files) > 5
    assert all(path.stat().st_size <= 2_000 for path in files)
    assert spooled(tmp_path) == names


def test_a_call_longer_than_a_segment_is_written_whole(tmp_path):
    spool = Spool(tmp_path, segment_bytes=100)
    spool.append(call("long", tags={"note": "x" * 3_000_000}))
    spool.append(call("short"))
    spool.append(call("shorter"))
    assert spooled(tmp_path) == ["long", "short", "shorter"]
    assert len(segments(spool.folder, spool.owner)) == 3


def test_a_living_worker_is_known_from_a_closed_one(tmp_path):
    spool = Spool(tmp_path)
    with claimed(spool.folder, spool.owner) as dead:
        assert not dead
    spool.close()
    with claimed(spool.folder, spool.owner) as dead:
        assert dead


def test_a_worker_is_dead_once_killed_and_everything_it_acknowledged_is_there(tmp_path):
    worker = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "appending.py"), str(tmp_path), "w"], stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    acknowledged = [worker.stdout.readline() for _ in range(50)]
    folder = spool_folder(tmp_path)
    (owner,) = owners(folder)
    with claimed(folder, owner) as dead:
        assert not dead
    worker.send_signal(signal.SIGKILL)
    acknowledged += worker.communicate()[0].splitlines()
    with claimed(folder, owner) as dead:
        assert dead
    names = spooled(tmp_path)
    assert names[: len(acknowledged)] == [line.strip().decode() for line in acknowledged]
    assert len(names) <= len(acknowledged) + 1


@pytest.mark.parametrize("fsync", [False, True])
def test_a_disk_that_fills_refuses_the_call_and_leaves_no_half_of_it(tmp_path, fsync):
    """A limit on the size of files stands for the full disk: the kernel writes what fits, then says no."""
    spool = Spool(tmp_path, fsync=fsync)
    spool.append(call("before"))
    (path,) = segments(spool.folder, spool.owner)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        with pytest.raises(LedgerUnavailable, match=r"only 100 of \d+ bytes of call refused .*Free space"):
            spool.append(call("refused"))
        assert path.stat().st_size == size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        with pytest.raises(LedgerUnavailable, match=os.strerror(errno.EFBIG)):
            spool.append(call("refused too"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert path.stat().st_size == size
    spool.append(call("after"))
    assert spooled(tmp_path) == ["before", "after"]


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LedgerUnavailable, match=r"cannot open a spool in .*taken"):
        Spool(tmp_path / "taken")


def test_a_closed_spool_takes_no_more_calls(tmp_path):
    spool = Spool(tmp_path)
    spool.append(call("c"))
    spool.close()
    spool.close()
    with pytest.raises(LedgerUnavailable, match="the spool is closed"):
        spool.append(call("too late"))
    assert spooled(tmp_path) == ["c"]


@pytest.mark.parametrize("removed", ["segment", "spool", "data", "renamed"])
def test_a_folder_taken_away_is_made_anew_with_every_call_that_follows(tmp_path, caplog, removed):
    directory = tmp_path / "data"
    spool = Spool(directory)
    spool.append(call("before"))
    first = spool.owner
    match removed:
        case "segment":
            next(spool.folder.glob("*.calls")).unlink()
        case "spool":
            shutil.rmtree(spool.folder)
        case "data":
            shutil.rmtree(directory)
        case "renamed":
            directory.rename(tmp_path / "old")
    names = [f"c{number}" for number in range(5)]
    for name in names:
        spool.append(call(name))
    assert spooled(directory) == names
    assert "begins another" in caplog.text
    assert (spool.owner == first) is (removed == "segment")
    with claimed(spool.folder, spool.owner) as dead:
        assert not dead


def test_a_folder_that_cannot_come_back_refuses_the_call_until_it_can(tmp_path):
    directory = tmp_path / "data"
    spool = Spool(directory)
    shutil.rmtree(directory)
    directory.write_text("a file stands in its place")
    for name in ("refused", "refused too"):
        with pytest.raises(LedgerUnavailable, match=f"call {name} could not be written to .*data"):
            spool.append(call(name))
    directory.unlink()
    spool.append(call("after"))
    assert spooled(directory) == ["after"]
