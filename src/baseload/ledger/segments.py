"""Reading spools: whose they are, which worker is dead, what their lines say. Acts (reads, sets damage aside).

A complete line ends with a newline and matches its checksum. What does not is never skipped in silence: it is written
to a `.damaged` file of its own beside the segment, with the reason, before the segment may go.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import msgspec

from baseload.load.calls import Call

log = logging.getLogger(__name__)

# Bytes read at a time; a longer line is read whole all the same.
PIECE_BYTES = 1024 * 1024
_CHECKSUM = 9  # eight hexadecimal digits and a space

_decode = msgspec.json.Decoder(Call).decode


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a segment that are no call, where they stood and why. `data` is base64 in the file."""

    segment: str
    offset: int
    reason: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One complete line at `offset`: its call, or the reason why there is none."""

    offset: int
    data: bytes
    call: Call | None
    reason: str = ""


def owners(folder: Path) -> list[str]:
    """Every worker that left a lock, a segment or calls under way, in a fixed order."""
    try:
        names = [path.name for path in folder.iterdir() if path.suffix in (".lock", ".calls", ".begun")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted({name.split(".")[0] for name in names} - {""})


def segments(folder: Path, owner: str) -> list[Path]:
    """A worker's segments, oldest first. Each but the last one is complete for ever."""
    return sorted(folder.glob(f"{owner}.*.calls"))


@contextmanager
def claimed(folder: Path, owner: str) -> Iterator[bool]:
    """Whether the worker is dead. While it is True, no other process can claim the same spool."""
    fd = os.open(folder / f"{owner}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def read(path: Path, offset: int) -> list[Line]:
    """Complete lines from `offset` on, about a megabyte of them; none when there is no complete line (yet)."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(PIECE_BYTES)
        while b"\n" not in data and (more := file.read(PIECE_BYTES)):
            data += more
    lines = []
    for body in data.split(b"\n")[:-1]:
        line = body + b"\n"
        lines.append(_line(offset, line))
        offset += len(line)
    return lines


def torn(path: Path, offset: int) -> Line | None:
    """What stands after the last complete line of a segment that nobody will write to again."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    return Line(offset, data, None, "the line was never finished") if data else None


def set_aside(path: Path, line: Line, reason: str) -> Path:
    """Keep a line that is no call in a file of its own; the same line has the same file, however often it is read."""
    target = path.with_name(f"{path.stem}.{line.offset}.damaged")
    damage = Damage(segment=path.name, offset=line.offset, reason=reason, data=line.data)
    draft = target.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(damage) + b"\n")
    draft.replace(target)
    log.error("%s at byte %d holds no call (%s); its bytes are kept in %s", path, line.offset, reason, target)
    return target


def _line(offset: int, data: bytes) -> Line:
    body = data[_CHECKSUM:-1]
    if data[:_CHECKSUM] != b"%08x " % crc32(body):
        return Line(offset, data, None, "the checksum does not match")
    try:
        return Line(offset, data, _decode(body))
    except msgspec.MsgspecError as error:
        return Line(offset, data, None, f"this version cannot read it: {error}")
