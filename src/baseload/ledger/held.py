"""What a worker has reserved of budgets for calls under way, in a file that outlives it. Acts (shared memory).

    <directory>/spool/<holder>.held     a head, then one record for each account: how much, and whose

Before a call is sent its reservation stands in the file, and it is taken out once the call is in the spool. A worker
that is killed leaves what it had reserved at that moment, and whoever drains its spool knows how much to charge for
calls that nobody wrote down. Writing costs a few stores to memory; no flush is needed, since only a power cut could
lose it.

That a call is written down and that its reservation has ended is one fact: before a call goes to the spool, the head
names it and its records say what will be left of them (`closing`). Of a worker that is killed there, the ledger knows
whether that call was written down, and so which of the two amounts holds.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from baseload.errors import LedgerUnavailable
from baseload.ledger.accounts import Place

RECORD_BYTES = 512
RECORDS = 4_096
_CELL = 8
_CELLS = RECORD_BYTES // _CELL
# The cells of the head, and the text behind them: how long the name of the call is, whether an account found no record.
_LENGTH, _FULL, _TEXT = 0, 1, 4
# The cells of a record behind its amount, and the text behind them: the budget's name.
AFTER, _WINDOW, _NAME_LENGTH = 1, 2, 3
NONE = -1
"""What will be left of a record that no call is about to change."""
_SHARED = _CELLS
_MOST_TEXT = RECORD_BYTES - _TEXT * _CELL


def held_file(folder: Path, holder: str) -> Path:
    """Where it stands, in the folder of the spools."""
    return folder / f"{holder}.held"


class Held:
    """The records of one worker: `take` one for an account, `give` it back when the account is done. What is reserved
    stands in `cells[record]`, and what will be, once the call that is `name`d is written down, in
    `cells[record + AFTER]`. A worker writes down one call at a time."""

    def __init__(self, folder: Path, holder: str) -> None:
        """Raises LedgerUnavailable where the disk has no room for all of it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = held_file(folder, holder)
        size = (2 + RECORDS) * RECORD_BYTES
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # All of its blocks now: a page that finds none on a full disk would kill the process.
            os.posix_fallocate(fd, 0, size)
            self._memory = mmap.mmap(fd, size)
        except OSError as error:
            raise LedgerUnavailable(
                f"{self.path} cannot be made: {error.strerror}", remedy="Free space on that disk; nothing was sent."
            ) from error
        finally:
            os.close(fd)
        self.cells = memoryview(self._memory).cast("q")
        self._free = list(range((RECORDS + 1) * _CELLS, _CELLS, -_CELLS))

    def take(self, place: Place) -> int:
        """A record for an account. When there is none left they share one that nobody reads, and all that is lent of
        such an account counts as reserved."""
        cells = self.cells
        if not self._free:
            cells[_FULL] = 1
            return _SHARED
        record = self._free.pop()
        name = place[0].encode()[:_MOST_TEXT]
        at = (record + _TEXT) * _CELL
        self._memory[at : at + len(name)] = name
        cells[record], cells[record + AFTER], cells[record + _WINDOW] = 0, NONE, place[1]
        cells[record + _NAME_LENGTH] = len(name)  # from here on it is a record
        return record

    def give(self, record: int) -> None:
        """Nothing of an account is reserved any more."""
        if record != _SHARED:
            self.cells[record + _NAME_LENGTH] = self.cells[record] = 0
            self._free.append(record)

    def name(self, call: str) -> None:
        """Which call is about to be written down; none, when it is or could not be."""
        if call:
            data = call.encode()[:_MOST_TEXT]
            self._memory[_TEXT * _CELL : _TEXT * _CELL + len(data)] = data
            self.cells[_LENGTH] = len(data)
        else:
            self.cells[_LENGTH] = 0

    def close(self) -> None:
        """Let go of the memory; the file stays until the holder's spool is drained."""
        self.cells.release()
        self._memory.close()


@dataclass(frozen=True, slots=True)
class Left:
    """What a holder has left: what it had `reserved`, by account; the `call` that it was about to write down, if any,
    and what is reserved `instead` where that is in the ledger. `full`: there were more accounts than records."""

    reserved: dict[Place, int]
    call: str = ""
    instead: dict[Place, int] | None = None
    full: bool = False

    def settled(self, is_recorded: Callable[[str], bool]) -> dict[Place, int]:
        """What is reserved once everything that the holder wrote down is in the ledger."""
        if self.instead is not None and is_recorded(self.call):
            return self.reserved | self.instead
        return self.reserved


def read_held(path: Path) -> Left:
    """What a holder has left; nothing where there is no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Left({})
    if len(data) < RECORD_BYTES:
        return Left({})
    cells = memoryview(data[: len(data) // RECORD_BYTES * RECORD_BYTES]).cast("q")
    found, instead = {}, {}
    for record in range(2 * _CELLS, len(cells), _CELLS):
        length = cells[record + _NAME_LENGTH]
        if 0 < length <= _MOST_TEXT:
            place = (_text(data, record, length), cells[record + _WINDOW])
            found[place] = max(0, cells[record])
            if cells[record + AFTER] != NONE:
                instead[place] = max(0, cells[record + AFTER])
    length = cells[_LENGTH]
    call = _text(data, 0, length) if 0 < length <= _MOST_TEXT else ""
    return Left(found, call, instead if call else None, bool(cells[_FULL]))


def reserved(folder: Path) -> dict[Place, int]:
    """What all holders on this machine have reserved, together."""
    found: dict[Place, int] = {}
    for path in folder.glob("*.held"):
        for place, amount in read_held(path).reserved.items():
            if amount:
                found[place] = found.get(place, 0) + amount
    return found


def _text(data: bytes, at: int, length: int) -> str:
    start = (at + _TEXT) * _CELL
    return data[start : start + length].decode("utf-8", "replace")
