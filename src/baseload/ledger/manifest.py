"""What the lake holds, written down: one small file for each segment, each bound to the one before by a hash. Acts.

Entries are numbered, and nothing is changed that was written. Who writes entry 17 is the only one who does: so of two
that seal at once, one is told to look again. A segment that others were merged into names them; those are no longer
alive. An entry without a file says how far a store was read where it had nothing new, or what is there no more.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from baseload.errors import BadInput
from baseload.ledger.shelf import Shelf

FOLDER = "manifest"
_ENTRY = re.compile(r"[0-9]{8}\.json")


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment adds up to. Unpriced attempts are in no sum of money."""

    calls: int
    rows: int
    unpriced: int
    tokens: int
    cost_nanousd: int
    provider_nanousd: int


NOTHING = Sums(calls=0, rows=0, unpriced=0, tokens=0, cost_nanousd=0, provider_nanousd=0)


class RollUp(msgspec.Struct, frozen=True, kw_only=True):
    """A second file with the sums of a segment by quarter of an hour and these dimensions."""

    path: str
    sha256: str
    by: tuple[str, ...]


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of the lake: calls that arrived from `start_ns` to before `end_ns`, whole hours of UTC.

    `upto` says of a store how far it had been written when it was sealed: what it holds of that hour up to there is in
    this segment or an earlier one. `replaces` are the numbers of segments that were merged into it. Without a
    `path` there is no file.
    """

    number: int
    start_ns: int
    end_ns: int
    path: str
    sha256: str
    sums: Sums
    upto: dict[str, int]
    previous: str
    replaces: tuple[int, ...] = ()
    roll_up: RollUp | None = None
    digest: str = ""

    @property
    def paths(self) -> list[str]:
        """The files of it."""
        return [path for path in (self.path, self.roll_up.path if self.roll_up is not None else "") if path]

    def signed(self) -> Segment:
        """With the hash over all of it, and through `previous` over everything before."""
        bare = msgspec.json.encode(msgspec.structs.replace(self, digest=""), order="deterministic")
        return msgspec.structs.replace(self, digest=hashlib.sha256(bare).hexdigest())


class Manifest:
    """The segments of a lake, in the order they were written."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.segments: list[Segment] = []
        self.gaps: list[str] = []
        self.refresh()

    @property
    def living(self) -> list[Segment]:
        """Segments that have a file and were not merged into others."""
        gone = {number for each in self.segments for number in each.replaces}
        return [each for each in self.segments if each.path and each.number not in gone]

    @property
    def number(self) -> int:
        """Of the next entry."""
        return self.segments[-1].number + 1 if self.segments else 0

    @property
    def last(self) -> str:
        return self.segments[-1].digest if self.segments else ""

    def holding(self, hour_ns: int) -> list[Segment]:
        """Living segments that hold something of the hour that began then."""
        return [each for each in self.living if each.start_ns <= hour_ns < each.end_ns]

    def sealed(self, store: str) -> dict[int, int]:
        """Up to which position of a store each hour was read, whatever became of the files since."""
        found: dict[int, int] = {}
        for each in self.segments:
            if store in each.upto:
                found[each.start_ns] = max(found.get(each.start_ns, 0), each.upto[store])
        return found

    @property
    def removed(self) -> int:
        """Before which moment everything was taken away, a long time after it was sealed; 0 when nothing was."""
        return max((each.end_ns for each in self.segments if each.replaces and not each.path), default=0)

    def breaks(self) -> list[str]:
        """Where the chain of hashes does not hold."""
        found, previous = list(self.gaps), ""
        for each in self.segments:
            if each.previous != previous or each.signed().digest != each.digest:
                found.append(
                    f"entry {each.number} of {self.shelf.name}/{FOLDER} was changed, or one before it is missing"
                )
            previous = each.digest
        return found

    def append(self, segment: Segment) -> bool:
        """Write one more down; False when another process has written that entry meanwhile: then look again."""
        data = msgspec.json.format(msgspec.json.encode(segment, order="deterministic"), indent=1) + b"\n"
        if not self.shelf.create(f"{FOLDER}/{_name(segment.number)}", data):
            return False
        self.segments.append(segment)
        return True

    def refresh(self) -> None:
        """Read what was written since; what somebody else put there is no entry. Raises BadInput for one that cannot be
        read, LedgerUnavailable."""
        known = {_name(each.number) for each in self.segments}
        there = (name for name in self.shelf.names(FOLDER) if _ENTRY.fullmatch(name))
        fresh = [name for name in there if name not in known]
        for name, data in zip(fresh, self.shelf.read([f"{FOLDER}/{name}" for name in fresh]), strict=True):
            try:
                self.segments.append(msgspec.json.decode(data, type=Segment))
            except msgspec.MsgspecError as error:
                raise BadInput(
                    f"{self.shelf.name}/{FOLDER}/{name} is no entry: {error}", remedy="Restore that file from a copy."
                ) from error
        last = self.segments[-1].number if self.segments else -1
        self.gaps = [
            f"{self.shelf.name}/{FOLDER}/{_name(number)} is missing, with all that it names"
            for number in sorted(set(range(last + 1)) - {each.number for each in self.segments})
        ]


def _name(number: int) -> str:
    return f"{number:08d}.json"
