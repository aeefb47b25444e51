"""What stands under a name, put on the disk; a file that SQLite has open without giving up SQLite's locks on it. Acts.

Closing any descriptor of a file gives up every lock that the process holds on it. Without them the next program that
leaves the ledger takes itself for the last, and removes the write-ahead log and its index under whoever still writes
(https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_). So a descriptor
of ours is kept until the last store of this process has closed its connections.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec


def flush(path: Path) -> None:
    """Put a file on the disk, or the names in a folder. Not for a file that SQLite has locked. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Kept(msgspec.Struct):
    """Our descriptors of the files that a path has named, and how many stores use it."""

    users: int = 0
    descriptors: dict[tuple[int, int], int] = {}


_lock = threading.Lock()
_kept: dict[str, _Kept] = {}


class Flushing:
    """One store's right to flush a file. Close it after the store's connections, in every case."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = os.path.realpath(path)
        self._open = True
        with _lock:
            _kept.setdefault(self._name, _Kept()).users += 1

    def flush(self) -> None:
        """Put the file on the disk. Raises OSError."""
        os.fsync(self._descriptor())

    def close(self) -> None:
        """The last one in this process lets go of the file. Doing it twice is harmless."""
        with _lock:
            kept = _kept[self._name] if self._open else None
            self._open = False
            if kept is None:
                return
            kept.users -= 1
            if not kept.users:
                for descriptor in _kept.pop(self._name).descriptors.values():
                    os.close(descriptor)

    def _descriptor(self) -> int:
        with _lock:
            kept = _kept[self._name]
            found = self._path.stat()
            place = found.st_dev, found.st_ino
            if place not in kept.descriptors:
                kept.descriptors[place] = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            return kept.descriptors[place]
