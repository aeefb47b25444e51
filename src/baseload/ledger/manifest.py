"""What the lake holds, written down: one line for each segment, each bound to the one before by a hash. Acts.

A line is appended, synced and never changed. A segment that others were merged into names them; those are no longer
alive. A last line without its end was never finished, and what it told of is not in the lake.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from baseload.errors import BadInput, LedgerUnavailable

FILE = "manifest.jsonl"
LOCK = "lake.lock"


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment adds up to. Unpriced attempts are in no sum of money."""

    calls: int
    rows: int
    unpriced: int
    tokens: int
    cost_nanousd: int
    provider_nanousd: int


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of the lake: the calls of the UTC hour that began at `hour_ns`.

    `upto` says of each store how far it had been written when it was sealed: what it holds of this hour up to there is
    in this segment or an earlier one. `replaces` are the numbers of segments that were merged into it.
    """

    number: int
    hour_ns: int
    path: str
    sha256: str
    sums: Sums
    upto: dict[str, int]
    previous: str
    replaces: tuple[int, ...] = ()
    digest: str = ""

    def signed(self) -> Segment:
        """With the hash over all of it, and through `previous` over everything before."""
        bare = msgspec.json.encode(msgspec.structs.replace(self, digest=""), order="deterministic")
        return msgspec.structs.replace(self, digest=hashlib.sha256(bare).hexdigest())


class Manifest:
    """The segments of a lake in `folder`, in the order they were written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.torn = b""
        self.segments = list(self._read())

    @property
    def living(self) -> list[Segment]:
        """Segments that were not merged into others."""
        merged = {number for each in self.segments for number in each.replaces}
        return [each for each in self.segments if each.number not in merged]

    @property
    def last(self) -> str:
        return self.segments[-1].digest if self.segments else ""

    def breaks(self) -> list[str]:
        """Where the chain of hashes does not hold."""
        found, previous = [], ""
        for place, each in enumerate(self.segments):
            if each.number != place or each.previous != previous or each.signed().digest != each.digest:
                found.append(f"line {place + 1} of {self.path} was changed, or one before it is missing")
            previous = each.digest
        return found

    def append(self, segment: Segment) -> None:
        """Write one more down. Hold the lake while you do."""
        line = msgspec.json.encode(segment, order="deterministic") + b"\n"
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, os.fstat(fd).st_size - len(self.torn))
            os.lseek(fd, 0, os.SEEK_END)
            if os.write(fd, line) != len(line):
                raise LedgerUnavailable(f"{self.path} could not be written", remedy="Free space on that disk.")
            os.fsync(fd)
        except OSError as error:
            raise LedgerUnavailable(
                f"{self.path} could not be written: {error.strerror}", remedy="Free space on that disk."
            ) from error
        finally:
            os.close(fd)
        self.torn = b""
        self.segments.append(segment)

    def _read(self) -> Iterator[Segment]:
        try:
            *whole, self.torn = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for number, line in enumerate(whole, 1):
            try:
                yield msgspec.json.decode(line, type=Segment)
            except msgspec.MsgspecError as error:
                raise BadInput(
                    f"line {number} of {self.path} is no segment: {error}", remedy="Restore that file from a copy."
                ) from error


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The lake for oneself. Raises LedgerUnavailable when another process writes to it."""
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise LedgerUnavailable(
            f"another process writes to {folder}", remedy="Wait until it has ended, then try again."
        ) from error
    finally:
        os.close(fd)
