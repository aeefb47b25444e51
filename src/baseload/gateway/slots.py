"""Requests in flight by name: in this process, and with a `Table` in every worker on the machine. Acts (shared memory).

A limit on an own pool is a limit on the pool, however many workers send to it. Each worker owns a row of the table and
writes nothing else; the sum over the rows is what is in flight. Taking a slot is a look at the sum and a write to the
row, under a file lock that the kernel takes back from whoever dies. A row belongs to whoever holds the lock of its
file: one whose owner is dead counts no more.

    <folder>/table      the header (what each column counts), then a row of counters for each worker
    <folder>/000.lock   held with flock by the worker that owns row 0, as long as it lives
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from baseload.errors import BadConfig

ROWS = 64
"""Workers that can share one table."""
COLUMNS = 512
"""Names that can be counted in it: upstreams, and replicas of pools."""
RECLAIM_SECONDS = 0.1
"""How often, when all is taken, it is asked whether the owner of a row has died."""

_MAGIC = b"baseload slots 1"
_CELL = 8
_NAMES = 64  # bytes before the names: the magic, then how many rows were ever owned
_ROWS_AT = _NAMES + COLUMNS * _CELL
_SIZE = _ROWS_AT + ROWS * COLUMNS * _CELL
_ROWS_USED = len(_MAGIC) // _CELL  # these two count cells
_FIRST = _ROWS_AT // _CELL


class Slots:
    """What is in flight. Without a table it is a dictionary; with one, `take` holds over every worker."""

    def __init__(self, table: Table | None = None) -> None:
        self._own: dict[str, int] = {}
        self._table = table

    @property
    def shared(self) -> bool:
        """Whether a slot may become free that nobody here gave back."""
        return self._table is not None

    def take(self, name: str, limit: int | None) -> bool:
        """One more in flight, unless `limit` are already. Every True is paired with a `give`."""
        if self._table is not None:
            return self._table.take(name, limit)
        own = self._own.get(name, 0)
        if limit is not None and own >= limit:
            return False
        self._own[name] = own + 1
        return True

    def give(self, name: str) -> None:
        """One less in flight."""
        if self._table is not None:
            self._table.give(name)
        else:
            self._own[name] -= 1

    def own(self, name: str) -> int:
        """In flight now, of this process."""
        return self._own.get(name, 0) if self._table is None else self._table.own(name)

    def busy(self, name: str) -> int:
        """In flight now, everywhere."""
        return self._own.get(name, 0) if self._table is None else self._table.busy(name)

    @property
    def in_flight(self) -> Mapping[str, int]:
        """In flight now by name, everywhere: it changes as requests come and go."""
        return self._own if self._table is None else _InFlight(self._table)

    def close(self) -> None:
        """Give the row back: what it counted is in flight no more."""
        if self._table is not None:
            self._table.close()


class _InFlight(Mapping[str, int]):
    """What a table counts, looked up when it is asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __getitem__(self, name: str) -> int:
        return self._table.busy(name)

    def get(self, name: str, _: object = None) -> int:
        """Every name has a count. `Mapping.get` asks for it in three calls."""
        return self._table.busy(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.names)

    def __len__(self) -> int:
        return len(self._table.names)


class _Places(dict[str, tuple[int, int]]):
    """Cells by name; one that is asked for the first time is made."""

    def __init__(self, make: Callable[[str], tuple[int, int]]) -> None:
        self._make = make

    def __missing__(self, name: str) -> tuple[int, int]:
        place = self[name] = self._make(name)
        return place


class Table:
    """One worker's view of the shared counters. Raises BadConfig when there is no row or column left."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._fd = os.open(folder / "table", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._places = _Places(self._new_place)
        self._reclaimed_at = 0.0
        with self._locked():
            self._lock, self.row = self._own_row()
            self._map = self._mapped()
            self._cells = memoryview(self._map).cast("q")
            self._cells[_ROWS_USED] = max(self._cells[_ROWS_USED], self.row + 1)
            self._clear(self.row)

    def take(self, name: str, limit: int | None) -> bool:
        """Count one more, unless the sum is at its limit."""
        at, first = self._places[name]
        # Each worker that looks at this very moment may add one that we do not see. With room for all of them there is
        # nothing to agree on; the lock is for the last slots.
        cells = self._cells
        rows = cells[_ROWS_USED]
        if limit is None or sum(cells[first : first + rows * COLUMNS : COLUMNS]) + 2 * rows <= limit:
            cells[at] += 1
            return True
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # as in `_locked`, on every request
        try:
            if self._sum(first) < limit or (self._reclaim() and self._sum(first) < limit):
                self._cells[at] += 1
                return True
            return False
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def give(self, name: str) -> None:
        """Count one less."""
        self._cells[self._places[name][0]] -= 1

    def own(self, name: str) -> int:
        """What this worker has counted."""
        return self._cells[self._places[name][0]]

    def busy(self, name: str) -> int:
        """The sum over all workers."""
        return self._sum(self._places[name][1])

    def _sum(self, first: int) -> int:
        cells = self._cells
        return sum(cells[first : first + cells[_ROWS_USED] * COLUMNS : COLUMNS])

    @property
    def names(self) -> tuple[str, ...]:
        """What this worker has counted or asked for."""
        return tuple(self._places)

    def close(self) -> None:
        """Free the row for another worker."""
        if self._fd < 0:
            return
        self._clear(self.row)
        self._cells.release()
        self._map.close()
        os.close(self._lock)
        os.close(self._fd)
        self._fd = self._lock = -1

    def _own_row(self) -> tuple[int, int]:
        """The lock of the first row that no living worker owns, and which that is."""
        for row in range(ROWS):
            lock = self._try(row)
            if lock >= 0:
                return lock, row
        raise BadConfig(
            f"{ROWS} workers already share {self._folder}", remedy="Run fewer workers, or give them another data_dir."
        )

    def _try(self, row: int) -> int:
        """The lock of a row, -1 when somebody holds it."""
        lock = os.open(self._folder / f"{row:03}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return -1
        return lock

    def _mapped(self) -> mmap.mmap:
        """The table in memory, made anew when it is not one of ours (an older version, a damaged file)."""
        good = os.fstat(self._fd).st_size == _SIZE and os.pread(self._fd, len(_MAGIC), 0) == _MAGIC
        if not good:
            os.ftruncate(self._fd, 0)
            os.posix_fallocate(self._fd, 0, _SIZE)  # a page without a block kills who writes to it
            os.pwrite(self._fd, _MAGIC, 0)
        return mmap.mmap(self._fd, _SIZE)

    def _reclaim(self) -> bool:
        """Zero the rows whose owners died; whether there was one. Held off when it was tried a moment ago."""
        now = time.monotonic()
        if now - self._reclaimed_at < RECLAIM_SECONDS:
            return False
        self._reclaimed_at = now
        found = False
        for row in range(self._cells[_ROWS_USED]):
            if row == self.row or not any(self._cells[_cell(row, 0) : _cell(row + 1, 0)]):
                continue
            lock = self._try(row)
            if lock >= 0:
                self._clear(row)
                os.close(lock)
                found = True
        return found

    def _clear(self, row: int) -> None:
        for at in range(_cell(row, 0), _cell(row + 1, 0)):
            self._cells[at] = 0

    def _new_place(self, name: str) -> tuple[int, int]:
        """The cell of a name in our row, and in the first one."""
        with self._locked():
            column = self._new_column(name)
        return _cell(self.row, column), _cell(0, column)

    def _new_column(self, name: str) -> int:
        """The column of a name: the one that another worker chose, else the first that nobody uses."""
        digest = int.from_bytes(blake2b(name.encode(), digest_size=_CELL).digest(), "big", signed=True) or 1
        first = _NAMES // _CELL
        for column in range(COLUMNS):
            found = self._cells[first + column]
            if found in (0, digest):
                self._cells[first + column] = digest
                return column
        raise BadConfig(
            f"more than {COLUMNS} upstreams and replicas were counted in {self._folder}",
            remedy="Stop every worker, remove that folder and start again.",
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else takes a slot meanwhile. The kernel frees the lock of whoever dies with it."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)


def _cell(row: int, column: int) -> int:
    return _FIRST + row * COLUMNS + column
