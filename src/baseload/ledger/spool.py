"""The append-only file that makes a call durable before the client has its last byte. Acts.

One worker writes one spool; nobody else writes it. Its files stand in `<directory>/spool`:

    4711-9f3c2a1b.lock            held with flock as long as the worker lives, so a dead worker is known
    4711-9f3c2a1b.00000000.calls  a segment: one line per call, `crc32 json\\n`
    4711-9f3c2a1b.00000001.calls  the next one, begun when the first was full
    4711-9f3c2a1b.begun           calls that were sent and have not ended yet: see `begun.py`

A line is written by one `write`, so it survives any death of the process. `segments.py` reads what stands here.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from baseload.errors import LedgerUnavailable
from baseload.ledger.begun import BegunFile, Place, encoded
from baseload.ledger.flush import flush
from baseload.load.calls import Call

log = logging.getLogger(__name__)

# Big enough that a rotation is rare, small enough that what a restart reads again is read in a fraction of a second.
SEGMENT_BYTES = 8 * 1024 * 1024
# A file may be removed under the pen once, by accident; whoever removes it time and again is told so.
TRIES = 3


def spool_folder(directory: Path) -> Path:
    """Where the spools of a ledger stand."""
    return directory / "spool"


def crew_of_one() -> str:
    """The crew of a process that drains its own spool."""
    return str(os.getpid())


def new_crew() -> str:
    """A name for workers whose spools one drain follows; never used before, in whatever container it runs."""
    return f"{os.getpid()}x{secrets.token_hex(4)}"


def segment_name(owner: str, number: int) -> str:
    """The file name of a worker's segment; names sort in the order they were written."""
    return f"{owner}.{number:08d}.calls"


class Spool:
    """One worker's spool. `append` is for one thread at a time; after a fork, open a new one.

    With `fsync` a call also survives a power cut once `append` returns. `written` says how many bytes of calls stand in
    each segment that was not drained yet, by its file name. A folder that is taken away meanwhile is made anew, under
    another owner. Its owners are called by `crew`, by which one drain knows the spools of several workers; by this
    process's number without one.
    """

    def __init__(
        self, directory: Path, *, crew: str = "", fsync: bool = False, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.folder = spool_folder(directory)
        self._crew = crew or crew_of_one()
        self.owner = ""
        self.written: dict[str, int] = {}
        self._fsync = fsync
        self._segment_bytes = segment_bytes
        self._next = 0
        self._size = 0
        self._name = self._path = ""  # of the current segment
        self._fd = self._lock = -1
        self._begun: list[BegunFile] = []  # the last one is written to; calls that stand in others may be under way
        try:
            self._take()
            self._rotate()
        except OSError as error:
            raise self._unavailable(f"cannot open a spool in {self.folder}: {error.strerror}") from error

    def begin(self, call: Call, before: Place | None = None) -> Place:
        """Keep a call that is about to be sent, as it is to be recorded when this process dies; `before` is where it
        stood before it was sent somewhere else. Raises LedgerUnavailable."""
        try:
            place = self._begun[-1].put(call)
        except OSError as error:
            raise self._unavailable(f"call {call.id} could not be kept in {self.folder}: {error.strerror}") from error
        if before is not None:
            self._take_out(before)
        return place

    def keep(self, call: str, body: bytes) -> Place:
        """`begin` for a call of that id that is JSON already."""
        try:
            return self._begun[-1].keep(body)
        except OSError as error:
            raise self._unavailable(f"call {call} could not be kept in {self.folder}: {error.strerror}") from error

    def release(self, begun: Place) -> None:
        """A call that is under way is no longer ours to record."""
        self._take_out(begun)

    def append(self, call: Call, begun: Place | None = None) -> None:
        """Write one call down with one `write`, after which it is under way no more. Raises LedgerUnavailable, and then
        leaves no half of it behind."""
        self.write(call.id, encoded(call, begun.half if begun is not None else None), begun)

    def write(self, call: str, body: bytes, begun: Place | None) -> None:
        """`append` for a call of that id that is JSON already."""
        self._append(call, b"%08x %b\n" % (crc32(body), body))
        if begun is not None:
            try:  # noqa: SIM105 (half the time of a `suppress`, on every request)
                begun.file.take_out(begun)
            except OSError:  # whoever finds it there finds it in the ledger as well
                pass

    def _append(self, call: str, line: bytes) -> None:
        for _ in range(TRIES):
            self._write(call, line)
            # Asked after the write: a file that went before it would have taken the call along in silence.
            if _stands(self._opened, self._path):
                self._size += len(line)
                self.written[self._name] = self._size
                return
            log.error("%s was removed while it was written; the spool begins another", self._path)
            os.close(self._fd)
            self._fd = -1
        raise self._unavailable(f"call {call} could not be written: {self.folder} is removed again and again")

    def _take_out(self, place: Place) -> None:
        with suppress(OSError):  # whoever finds it there finds it in the ledger as well
            place.file.take_out(place)

    def forget(self, segment: str) -> None:
        """A segment was drained and deleted, or is lost."""
        self.written.pop(segment, None)

    def _write(self, name: str, line: bytes) -> None:
        """The whole line at the end of the current segment, or of the next one; or nothing."""
        try:
            if self._fd < 0 or (self._size and self._size + len(line) > self._segment_bytes):
                self._rotate()
            written = os.write(self._fd, line)
            if written == len(line) and self._fsync:
                os.fsync(self._fd)
        except OSError as error:
            self._undo()
            raise self._unavailable(f"call {name} could not be written to {self.folder}: {error.strerror}") from error
        if written != len(line):
            self._undo()
            raise self._unavailable(f"only {written} of {len(line)} bytes of call {name} fit into {self.folder}")

    def close(self) -> None:
        """Let go of the spool; what it holds is drained by whoever looks next."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1
        for file in self._begun:
            file.close()

    def _take(self) -> None:
        """Make the folder and hold a lock in it, under a name that was never used."""
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = f"{self._crew}-{secrets.token_hex(4)}"
        lock = _hold(self.folder, owner)
        self._begun.append(BegunFile(self.folder, owner))
        if self._lock >= 0:
            os.close(self._lock)
        self.owner, self._lock, self._next = owner, lock, 0

    def _rotate(self) -> None:
        """Begin the next segment."""
        if self._lock < 0:
            raise OSError(errno.EBADF, "the spool is closed")
        if not _stands(os.fstat(self._lock), f"{self.folder}/{self.owner}.lock"):
            self._take()
        name = segment_name(self.owner, self._next)
        path = self.folder / name
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._path, self._name, self._size, self._next = fd, str(path), name, 0, self._next + 1
        self._opened = os.fstat(fd)
        if self._fsync:
            flush(self.folder)  # the new file's name, as durable as its content

    def _undo(self) -> None:
        """Cut a half-written line off. Where even that fails, the next call begins another segment."""
        if self._fd < 0:
            return
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            os.close(self._fd)
            self._fd = -1

    def _unavailable(self, message: str) -> LedgerUnavailable:
        return LedgerUnavailable(
            message, remedy="Free space on that disk or make it writable; until then calls are refused, not lost."
        )


def _hold(folder: Path, owner: str) -> int:
    """Create the lock file, already locked when it becomes visible under its name, so it is never taken for dead."""
    path = folder / f".{owner}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    path.rename(folder / f"{owner}.lock")
    return fd


def _stands(opened: os.stat_result, path: str) -> bool:
    """Whether the file that was opened still stands under its name. About a microsecond, on every request."""
    try:
        found = os.stat(path)  # noqa: PTH116 (Path.stat takes twice as long)
    except OSError:
        return False
    return found.st_ino == opened.st_ino and found.st_dev == opened.st_dev
