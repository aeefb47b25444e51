"""From the spools into the hot store, once. Acts.

A `Drain` follows the spools of its crew while they are written, its own process's or those of several workers, and
takes over what dead workers left. A segment is deleted when every line of it is in the store, flushed to the disk, or
set aside. The store may be locked, full or gone: then the spool keeps everything and the drain tries again.

What else wants to know of calls (metrics, spans, the access log) is told here, so that it costs a worker nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from baseload.errors import BadInput, LedgerUnavailable
from baseload.ledger.begun import begun_path, read_begun
from baseload.ledger.hot import HotStore
from baseload.ledger.segments import Line, claimed, owners, read, segments, set_aside, torn
from baseload.ledger.spool import Spool, crew_of_one, spool_folder
from baseload.load.calls import Call

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0
# Different troubles that `last_error` names.
MOST_TOLD = 3

Tell = Callable[[Sequence[Call]], None]
"""Takes calls as they are read from a spool, whether or not the store can be written: each once while nobody dies, at
least once whatever happens."""


class Drain:
    """A background thread from the spool to the store.

    `recorded` counts calls that were new to the store, `damaged` lines that were set aside, `lost_bytes` what was
    removed from the folder before it was drained; `last_error` is empty while all is well. It follows the spools of its
    `crew`, by default this process's. Name this process's `spool`, so that what it wrote is counted even where the
    folder was taken away; without it, bytes count that were seen there.
    """

    def __init__(
        self,
        directory: Path,
        store: HotStore,
        *,
        spool: Spool | None = None,
        crew: str = "",
        tell: Tell | None = None,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self.recorded = 0
        self.lost_bytes = 0
        self.last_error = ""
        self._spool = spool
        self._complaints: dict[str, _Complaint] = {}
        self._store_failed = False
        self._folder = spool_folder(directory)
        self._mine = f"{crew or crew_of_one()}-"
        self._seen: dict[str, int] = {}  # bytes seen in each segment of a crew whose spools are in other processes
        self._interval = interval_seconds
        self._transfer = _Transfer(self._folder, store, spool, tell)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-drain", daemon=True)

    @property
    def damaged(self) -> int:
        return self._transfer.damaged

    @property
    def lag(self) -> int:
        """Bytes in the spools of the crew that are not in the store yet."""
        sizes = dict(self._spool.written) if self._spool is not None else self._sizes()
        return sum(max(0, size - self._transfer.positions.get(name, 0)) for name, size in sizes.items())

    def _sizes(self) -> dict[str, int]:
        """Bytes in each segment of the crew that stands in the folder."""
        mine = [owner for owner in owners(self._folder) if owner.startswith(self._mine)]
        return {path.name: _size(path) for owner in mine for path in segments(self._folder, owner)}

    def start(self) -> None:
        """Begin to drain."""
        self._thread.start()

    def settle(self, timeout_seconds: float) -> bool:
        """Wait until everything appended so far is in the store; False when the time is over first, or it was lost."""
        deadline = time.monotonic() + timeout_seconds
        lost = self.lost_bytes
        while self.lag:
            if time.monotonic() >= deadline:
                return False
            time.sleep(self._interval / 4)
        return self.lost_bytes == lost

    def stop(self) -> None:
        """Drain what is there, then end. Close the spool first and nothing is left of it in the folder."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.lag:
            log.warning("%d bytes stay in %s for the next start: %s", self.lag, self._folder, self.last_error)

    def _run(self) -> None:
        wait = self._interval
        while not self._stopping.wait(wait):
            wait = self._interval if self._try() else min(wait * 2, LONGEST_WAIT_SECONDS)
        self._try()

    def _try(self) -> bool:
        """One pass; False when it should wait longer for the next one."""
        try:
            return self._pass()
        except OSError as error:
            self._tell(f"{self._folder} cannot be read: {error}")
            return False

    def _pass(self) -> bool:
        """Look at every spool once, the crew's first; False when the store or one of the crew's spools is in trouble.

        What is wrong with one worker's files keeps no other's from being drained: it is told in `last_error`, and tried
        again now and then.
        """
        self._store_failed = False
        if self._spool is None:
            self._seen |= self._sizes()
        complaints: dict[str, _Complaint] = {}
        found = sorted(owners(self._folder), key=lambda owner: not owner.startswith(self._mine))
        for owner in found:
            known = self._complaints.get(owner)
            mine = owner.startswith(self._mine)
            if known is not None and not mine and time.monotonic() < known.again:
                complaints[owner] = known
                continue
            if self._store_failed:
                if mine:
                    self._transfer.tell_rest(owner)
                continue
            reason = self._visit(owner, mine=mine)
            if reason:
                complaints[owner] = _Complaint(reason, time.monotonic() + LONGEST_WAIT_SECONDS)
        self._count_lost()
        self._complaints = complaints
        self._tell("; ".join(list(dict.fromkeys(each.reason for each in complaints.values()))[:MOST_TOLD]))
        return not self._store_failed and not any(owner.startswith(self._mine) for owner in complaints)

    def _visit(self, owner: str, *, mine: bool) -> str:
        """Drain one worker's spool; returns what stood in the way, or nothing."""
        try:
            with claimed(self._folder, owner) as dead:
                if dead:
                    self.recorded += self._transfer.finish(owner)
                elif mine:
                    self.recorded += self._transfer.follow(owner)
        except LedgerUnavailable as error:
            self._store_failed = True
            if mine:
                self._transfer.tell_rest(owner)
            return str(error)
        except OSError as error:
            return f"the spool of {owner} cannot be read: {error}"
        except Exception as error:  # the edge of the thread: it must outlive what nobody foresaw
            log.exception("draining %s failed", self._folder)
            return repr(error)
        return ""

    def _count_lost(self) -> None:
        """Find segments that were removed with calls in them that the store does not hold."""
        written = self._spool.written if self._spool is not None else self._seen
        for name in self._transfer.completed:
            written.pop(name, None)
        self._transfer.completed.clear()
        for name, size in dict(written).items():
            if (self._folder / name).exists():
                continue
            gone = max(0, size - self._transfer.positions.pop(name, 0))
            written.pop(name, None)
            self.lost_bytes += gone
            if gone:
                log.error("%s was removed before %d bytes of it were drained: those calls are lost", name, gone)

    def _tell(self, reason: str) -> None:
        if reason and reason != self.last_error:
            log.warning("calls stay in %s until this is mended: %s", self._folder, reason)
        self.last_error = reason


@dataclass(frozen=True, slots=True)
class _Complaint:
    """Why a worker's spool could not be drained, and when (monotonic seconds) it is tried again."""

    reason: str
    again: float


def recover(directory: Path, store: HotStore, tell: Tell | None = None) -> int:
    """Drain what dead workers left and delete it; returns how many calls were new to the store.

    What cannot be read is logged and left. Raises LedgerUnavailable, and leaves what is not drained yet, when the store
    cannot be written.
    """
    folder = spool_folder(directory)
    transfer = _Transfer(folder, store, None, tell)
    recorded = 0
    for owner in owners(folder):
        try:
            with claimed(folder, owner) as dead:
                recorded += transfer.finish(owner) if dead else 0
        except OSError as error:
            log.error("the spool of %s in %s cannot be read: %s", owner, folder, error)
    if recorded:
        log.info("%d calls of workers that had died were recorded from %s", recorded, folder)
    return recorded


class _Transfer:
    """Moves lines; `positions` says how much of each segment is in the store, `completed` which ones were deleted."""

    def __init__(self, folder: Path, store: HotStore, spool: Spool | None, tell: Tell | None = None) -> None:
        self.positions: dict[str, int] = {}
        self.completed: list[str] = []
        self.damaged = 0
        self._told: dict[str, int] = {}  # how much of each segment others have been told of
        self._tell = tell
        self._spool = spool
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
        self._store.release(owner, self._folder)  # first: it asks the ledger which calls were written down
        recorded += self._finish_begun(owner)
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
        if self._spool is not None:
            self._spool.forget(path.name)
        self.positions.pop(path.name, None)
        self._told.pop(path.name, None)
        self.completed.append(path.name)
        return recorded

    def _finish_begun(self, owner: str) -> int:
        """Record what a dead worker had sent and not written down, as the estimate that it left. Returns new calls."""
        path = begun_path(self._folder, owner)
        lines = read_begun(path)
        known = self._store.known([line.call.id for line in lines if line.call is not None])
        lost = [line for line in lines if line.call is None or line.call.id not in known]
        recorded = self._store_lines(path, lost)
        if recorded:
            log.warning("%s died with %d calls under way: each is recorded as an estimate", owner, recorded)
            self._store.persist()
            self._tell_safely([line.call for line in lost if line.call is not None])
        path.unlink(missing_ok=True)
        return recorded

    def tell_rest(self, owner: str) -> None:
        """Tell of what a worker has written while the store cannot take it."""
        if self._tell is not None:
            for path in segments(self._folder, owner):
                while lines := read(path, self._told.get(path.name, 0)):
                    self._tell_new(path, lines)

    def _drain(self, path: Path) -> int:
        recorded = 0
        while lines := read(path, self.positions.get(path.name, 0)):
            self._tell_new(path, lines)
            recorded += self._store_lines(path, lines)
            self.positions[path.name] = _end(lines)
        return recorded

    def _tell_new(self, path: Path, lines: list[Line]) -> None:
        """Tell of the lines that were not told of yet."""
        told = self._told.get(path.name, 0)
        self._told[path.name] = max(told, _end(lines))
        self._tell_safely([line.call for line in lines if line.call is not None and line.offset >= told])

    def _tell_safely(self, calls: list[Call]) -> None:
        """Whoever listens must not stop the drain."""
        if self._tell is None:
            return
        try:
            self._tell(calls)
        except Exception:  # the edge to others: calls are recorded whatever becomes of them there
            log.exception("%d calls were recorded, but could not be told of", len(calls))

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


def _end(lines: list[Line]) -> int:
    return lines[-1].offset + len(lines[-1].data)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
