"""The other process of a long import: it stores what the first one reads. Acts (writes the ledger).

A file of a few thousand calls never starts it. Beyond that one process reads, prices and encodes a batch while the
other writes the one before, so that two cores are used. Batches are stored in the order in which they were given; the
process ends when its stdin does, also where the import was killed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import BinaryIO

import msgspec

from baseload import errors
from baseload.errors import BaseloadError, LedgerUnavailable
from baseload.ledger.hot import open_store
from baseload.ledger.rows import call_of

# Batches on their way: one that is written, and one that waits.
DEEP = 2
Told = tuple[int, int]
"""How many calls were new, and how many came with other content."""
_LENGTH = 8


class _Answer(msgspec.Struct, omit_defaults=True):
    """What became of a batch: numbers, or the error that storing it raised."""

    new: int = 0
    changed: int = 0
    kind: str = ""
    message: str = ""
    remedy: str = ""


class Storing:
    """A process that writes to one ledger. Close it in the end."""

    def __init__(self, directory: Path, url: str) -> None:
        self._under_way = 0
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
            [sys.executable, "-m", __name__, str(directory), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is for the first process, which then ends us in order
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def put(self, documents: Sequence[bytes]) -> Told:
        """Hand a batch over; says what became of batches that are stored by now. Raises what storing them raised."""
        batch = msgspec.msgpack.encode(documents)
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # then there is no answer either
                self._process.stdin.write(len(batch).to_bytes(_LENGTH) + batch)
                self._process.stdin.flush()
        self._under_way += 1
        return self.settled(leave=DEEP)

    def settled(self, leave: int = 0) -> Told:
        """Wait until no more than that many batches are under way."""
        new = changed = 0
        while self._under_way > leave:
            self._under_way -= 1
            told = self._answer()
            new, changed = new + told.new, changed + told.changed
        return new, changed

    def _answer(self) -> _Answer:
        line = b"" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            raise LedgerUnavailable(
                "the process that stores what is imported has died",
                remedy="Import the file again: what is stored already adds nothing.",
            )
        told = msgspec.json.decode(line, type=_Answer)
        if told.kind:
            raise getattr(errors, told.kind, BaseloadError)(told.message, remedy=told.remedy)
        return told

    def close(self) -> None:
        """Let what is under way be stored, and end the process."""
        with suppress(BrokenPipeError):
            self._process.communicate()


def _batches(stream: BinaryIO, into: Queue[bytes]) -> None:
    """Take batches in while another one is stored; an empty one is the end."""
    while (size := stream.read(_LENGTH)) and len(batch := stream.read(int.from_bytes(size))) == int.from_bytes(size):
        into.put(batch)
    into.put(b"")


def _waiting(stream: BinaryIO) -> Iterator[list[bytes]]:
    queue: Queue[bytes] = Queue(maxsize=1)
    Thread(target=_batches, args=(stream, queue), daemon=True).start()
    while batch := queue.get():
        yield msgspec.msgpack.decode(batch, type=list[bytes])


def main(directory: str, url: str) -> None:
    """Store batches from stdin until it ends; a line about each on stdout."""
    store = open_store(Path(directory), url)
    try:
        for documents in _waiting(sys.stdin.buffer):
            try:
                new, clashes = store.take([call_of(each) for each in documents])
                told = _Answer(new=new, changed=len(clashes))
            except BaseloadError as error:
                told = _Answer(kind=type(error).__name__, message=error.message, remedy=error.remedy)
            with suppress(BrokenPipeError):
                sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
                sys.stdout.buffer.flush()
    finally:
        store.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
