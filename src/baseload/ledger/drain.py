"""From the spools into the hot store, once. Acts.

A `Drain` follows the spool of its own process while it is written, and takes over what dead workers left. A segment is
deleted when every line of it is in the store, flushed to the disk, or set aside. The store may be locked, full or gone:
then the spool keeps everything and the drain tries again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from baseload.errors import BadInput, LedgerUnavailable
from baseload.ledger.hot import HotStore
from baseload.ledger.segments import Line, claimed, owners, read, segments, set_aside, torn
from baseload.ledger.spool import spool_folder

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0


class Drain:
    """A background thread from the spool to the store.

    `recorded` counts calls that were new to the store, `damaged` lines that were set aside, `last_error` is empty while
    all is well.
    """

    def __init__(self, directory: Path, store: HotStore, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self.recorded = 0
        self.last_error = ""
        self._folder = spool_folder(directory)
        self._mine = f"{os.getpid()}-"
        self._interval = interval_seconds
        self._transfer = _Transfer(self._folder, store)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-drain", daemon=True)

    @property
    def damaged(self) -> int:
        return self._transfer.damaged

    @property
    def lag(self) -> int:
        """Bytes in this process's spool that are not in the store yet."""
        mine = [path for owner in owners(self._folder) if owner.startswith(self._mine) for path in self._of(owner)]
        return sum(max(0, _size(path) - self._transfer.positions.get(path.name, 0)) for path in mine)

    def start(self) -> None:
        """Begin to drain."""
        self._thread.start()

    def settle(self, timeout_seconds: float) -> bool:
        """Wait until everything appended so far is in the store; False when the time is over first."""
        deadline = time.monotonic() + timeout_seconds
        while self.lag:
            if time.monotonic() >= deadline:
                return False
            time.sleep(self._interval / 4)
        return True

    def stop(self) -> None:
        """Drain what is there, then end. Close the spool first and nothing is left of it in the folder."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.lag:
            log.warning("%d bytes stay in %s for the next start: %s", self.lag, self._folder, self.last_error)

    def _of(self, owner: str) -> list[Path]:
        return segments(self._folder, owner)

    def _run(self) -> None:
        wait = self._interval
        while not self._stopping.wait(wait):
            wait = self._interval if self._pass() else min(wait * 2, LONGEST_WAIT_SECONDS)
        self._pass()

    def _pass(self) -> bool:
        """Look at every spool once; False, with `last_error` set, when something stood in the way."""
        try:
            for owner in owners(self._folder):
                with claimed(self._folder, owner) as dead:
                    if dead:
                        self.recorded += self._transfer.finish(owner)
                    elif owner.startswith(self._mine):
                        self.recorded += self._transfer.follow(owner)
        except (LedgerUnavailable, OSError) as error:
            self._complain(str(error))
        except Exception as error:  # the edge of the thread: it must outlive what nobody foresaw
            log.exception("draining %s failed", self._folder)
            self.last_error = repr(error)
        else:
            self.last_error = ""
        return not self.last_error

    def _complain(self, reason: str) -> None:
        if reason != self.last_error:
            log.warning("calls stay in %s until the ledger can be written: %s", self._folder, reason)
        self.last_error = reason


def recover(directory: Path, store: HotStore) -> int:
    """Drain what dead workers left and delete it; returns how many calls were new to the store.

    Raises LedgerUnavailable, and leaves what is not drained yet, when the store cannot be written.
    """
    folder = spool_folder(directory)
    transfer = _Transfer(folder, store)
    recorded = 0
    for owner in owners(folder):
        with claimed(folder, owner) as dead:
            recorded += transfer.finish(owner) if dead else 0
    if recorded:
        log.info("%d calls of workers that had died were recorded from %s", recorded, folder)
    return recorded


class _Transfer:
    """Moves lines; `positions` says how much of each segment is in the store."""

    def __init__(self, folder: Path, store: HotStore) -> None:
        self.positions: dict[str, int] = {}
        self.damaged = 0
        self._folder = folder
        self._store = store

    def follow(self, owner: str) -> int:
        """Drain what a living worker has written, and delete the segments that it has filled. Returns new calls."""
        written = segments(self._folder, owner)
        recorded = sum(self._complete(path) for path in written[:-1])
        return recorded + sum(self._drain(path) for path in written[-1:])

    def finish(self, owner: str) -> int:
        """Drain everything a dead worker has left, and delete it. Returns new calls. Claim the owner first."""
        recorded = sum(self._complete(path) for path in segments(self._folder, owner))
        (self._folder / f"{owner}.lock").unlink(missing_ok=True)
        return recorded

    def _complete(self, path: Path) -> int:
        """Drain a segment that nobody writes to any more, its torn end too, and delete it."""
        recorded = self._drain(path)
        rest = torn(path, self.positions.get(path.name, 0))
        if rest is not None:
            self._set_aside(path, rest, rest.reason)
        self._store.persist()
        path.unlink(missing_ok=True)
        self.positions.pop(path.name, None)
        return recorded

    def _drain(self, path: Path) -> int:
        recorded = 0
        while lines := read(path, self.positions.get(path.name, 0)):
            recorded += self._store_lines(path, lines)
            self.positions[path.name] = lines[-1].offset + len(lines[-1].data)
        return recorded

    def _store_lines(self, path: Path, lines: list[Line]) -> int:
        try:
            recorded = self._store.record(line.call for line in lines if line.call is not None)
        except BadInput:
            recorded = sum(self._store_one(path, line) for line in lines)
        for line in lines:
            if line.call is None:
                self._set_aside(path, line, line.reason)
        return recorded

    def _store_one(self, path: Path, line: Line) -> int:
        """A batch held a call that the store refuses: find out which."""
        if line.call is None:
            return 0
        try:
            return self._store.record([line.call])
        except BadInput as error:
            self._set_aside(path, line, error.message)
            return 0

    def _set_aside(self, path: Path, line: Line, reason: str) -> None:
        set_aside(path, line, reason)
        self.damaged += 1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
