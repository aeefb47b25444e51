"""Calls that were sent and are not written down yet, in a file that outlives their worker. Acts (a file).

    <directory>/spool/<owner>.begun     each call as it is to be recorded when its worker dies now

Before anything of a call goes to an upstream it stands here, with what it is likely to consume as an estimate; once its
end is in the spool it is taken out. A worker that is killed leaves what was under way, and whoever drains its spool
records it: what an upstream bills is never without a call. Both are one write to memory of the kernel; no flush is
needed, since only a power cut could lose it, and no call to the kernel either: the file is mapped.

A call stands in one or more blocks, in a place of a size that is a power of two, behind a head of 16 bytes: a mark, the
length and the CRC of its JSON. The mark holds zero bytes, as no JSON does; a place that is free has another.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from baseload.ledger.segments import Line
from baseload.load.calls import Attempt, Call, Charge, Decision, Status
from baseload.load.facts import Facts

BLOCK_BYTES = 2_048
FIRST_BYTES = 64 * BLOCK_BYTES
"""What the file is long from the first call on; it doubles when that is too little."""
_MARK = b"\0BEGUN\0\1"
_MARK_BYTES = len(_MARK)
_FREE = bytes(_MARK_BYTES)
_HEAD = struct.Struct("<8sII")

_decode = msgspec.json.Decoder(Call).decode


class Place(msgspec.Struct, frozen=True):
    """Where a call stands: in which file, at which byte, in a place for how many bytes; and its half that does not
    change until it ends, where that is written already."""

    file: BegunFile
    at: int
    size: int
    half: Half | None = None


class Half(msgspec.Struct, frozen=True):
    """Facts and decision of a call, as they are and as JSON."""

    facts: Facts
    decision: Decision
    facts_json: msgspec.Raw
    decision_json: msgspec.Raw


class _Written(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A `Call` of which half is written already."""

    id: str
    facts: msgspec.Raw
    decision: msgspec.Raw
    attempts: tuple[Attempt, ...]
    ended_ns: int
    status: Status = Status.OK
    charges: tuple[Charge, ...] = ()


_encode = msgspec.json.Encoder().encode


def half_of(call: Call) -> Half:
    """The half of a call that does not change until it ends."""
    facts, decision = msgspec.Raw(_encode(call.facts)), msgspec.Raw(_encode(call.decision))
    return Half(call.facts, call.decision, facts, decision)


def encoded(call: Call, half: Half | None) -> bytes:
    """A call as JSON; of `half`, where that is still its half, the JSON that there is."""
    if half is None or half.facts is not call.facts or half.decision is not call.decision:
        return _encode(call)
    return _encode(
        _Written(
            id=call.id,
            facts=half.facts_json,
            decision=half.decision_json,
            attempts=call.attempts,
            ended_ns=call.ended_ns,
            status=call.status,
            charges=call.charges,
        )
    )


def begun_path(folder: Path, owner: str) -> Path:
    """Where they stand, in the folder of the spools."""
    return folder / f"{owner}.begun"


class BegunFile:
    """The calls of one worker that are under way. Its methods raise OSError."""

    def __init__(self, folder: Path, owner: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(begun_path(folder, owner), flags, 0o600)
        self._map: mmap.mmap | None = None
        self._bytes = 0
        self._end = 0
        self._free: defaultdict[int, list[int]] = defaultdict(list)

    def put(self, call: Call) -> Place:
        """Keep a call: the whole of it, or nothing."""
        half = half_of(call)
        return self.keep(encoded(call, half), half)

    def keep(self, body: bytes, half: Half | None = None) -> Place:
        """Keep a call that is JSON already."""
        data = _HEAD.pack(_MARK, len(body), crc32(body)) + body
        size = BLOCK_BYTES
        while size < len(data):
            size *= 2
        free = self._free[size]
        if not free:
            self._grow(self._end + size)
            free.append(self._end)
            self._end += size
        at, memory = free.pop(), self._map or self._memory
        memory[at : at + len(data)] = data  # half of it, when we die here, counts as nothing
        return Place(self, at, size, half)

    def take_out(self, place: Place) -> None:
        """A call is written down."""
        memory = self._map or self._memory
        memory[place.at : place.at + _MARK_BYTES] = _FREE
        self._free[place.size].append(place.at)

    def close(self) -> None:
        """Let go of the file; it stays until the worker's spool is drained."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        if self._map is not None:
            self._map.close()
        self._map = None

    @property
    def _memory(self) -> mmap.mmap:
        if self._map is None:
            raise OSError(errno.EBADF, "the file is closed")
        return self._map

    def _grow(self, size: int) -> None:
        """Room for so many bytes, on the disk too: memory without a place there would kill us when it is written."""
        if size <= self._bytes:
            return
        if self._fd < 0:
            raise OSError(errno.EBADF, "the file is closed")
        size = max(size, FIRST_BYTES, 2 * self._bytes)
        os.posix_fallocate(self._fd, 0, size)
        self._map, self._bytes = mmap.mmap(self._fd, size), size


def read_begun(path: Path) -> list[Line]:
    """What a worker has left, each call as it was last kept, and what this version cannot read; nothing where there is
    no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    found: dict[str, Line] = {}
    for line in _lines(data):
        name = line.call.id if line.call is not None else str(line.offset)
        if name not in found or _tries(line) > _tries(found[name]):
            found[name] = line
    return list(found.values())


def _tries(line: Line) -> int:
    return len(line.call.attempts) if line.call is not None else 0


def _lines(data: bytes) -> Iterator[Line]:
    for at in range(0, len(data) - _HEAD.size, BLOCK_BYTES):
        mark, length, checksum = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        # Half of a call was never sent: it is whole before anything is.
        if mark != _MARK or crc32(body) != checksum:
            continue
        try:
            yield Line(at, body, _decode(body))
        except msgspec.MsgspecError as error:
            yield Line(at, body, None, f"this version cannot read it: {error}")
