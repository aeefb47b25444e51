"""What a worker has reserved of budgets for calls under way, in a file that outlives it. Acts (shared memory).

    <directory>/spool/<holder>.held     one record for each account: how much, and whose

Before a call is sent its reservation stands in the file, and it is taken out once the call is in the spool. A worker
that is killed leaves what it had reserved at that moment, and whoever drains its spool knows how much to charge for
calls that nobody wrote down. Writing costs a store to memory; no flush is needed, since only a power cut could lose
it.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from baseload.ledger.accounts import Place

RECORD_BYTES = 256
RECORDS = 1_024
_HEAD = struct.Struct("<qqq")  # how much, when the window began, the length of the budget's name
_AMOUNT = struct.Struct("<q")


def held_file(folder: Path, holder: str) -> Path:
    """Where it stands, in the folder of the spools."""
    return folder / f"{holder}.held"


class Held:
    """The records of one worker. `take` one for an account, write its amount, `give` it back when the account is done;
    where every record is taken, amounts are not kept."""

    def __init__(self, folder: Path, holder: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = held_file(folder, holder)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, RECORDS * RECORD_BYTES)
            self._memory = mmap.mmap(fd, RECORDS * RECORD_BYTES)
        finally:
            os.close(fd)
        self._free = list(range(RECORDS - 1, -1, -1))

    def take(self, place: Place) -> int:
        """A record for an account, -1 when there is none left."""
        if not self._free:
            return -1
        record = self._free.pop()
        name = place[0].encode()
        at = record * RECORD_BYTES
        self._memory[at + _HEAD.size : at + _HEAD.size + len(name)] = name
        _HEAD.pack_into(self._memory, at, 0, place[1], len(name))
        return record

    def write(self, record: int, amount: int) -> None:
        """Keep how much of an account is reserved."""
        if record >= 0:
            _AMOUNT.pack_into(self._memory, record * RECORD_BYTES, amount)

    def give(self, record: int) -> None:
        """Nothing of an account is reserved any more."""
        if record >= 0:
            _HEAD.pack_into(self._memory, record * RECORD_BYTES, 0, 0, 0)
            self._free.append(record)

    def close(self) -> None:
        """Let go of the memory; the file stays until the holder's spool is drained."""
        self._memory.close()


def read_held(path: Path) -> dict[Place, int]:
    """What a holder has reserved; nothing where there is no file."""
    try:
        return {place: amount for place, amount in _records(path.read_bytes()) if amount > 0}
    except FileNotFoundError:
        return {}


def reserved(folder: Path) -> dict[Place, int]:
    """What all holders on this machine have reserved, together."""
    found: dict[Place, int] = {}
    for path in folder.glob("*.held"):
        for place, amount in read_held(path).items():
            found[place] = found.get(place, 0) + amount
    return found


def _records(data: bytes) -> Iterator[tuple[Place, int]]:
    for at in range(0, len(data) - RECORD_BYTES + 1, RECORD_BYTES):
        amount, window_ns, length = _HEAD.unpack_from(data, at)
        if 0 < length <= RECORD_BYTES - _HEAD.size:
            name = data[at + _HEAD.size : at + _HEAD.size + length].decode("utf-8", "replace")
            yield (name, window_ns), amount
