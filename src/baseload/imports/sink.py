"""Where an import goes: into a ledger's folder, or nowhere on a dry run. Acts (writes the ledger)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from sqlalchemy import select

from baseload.errors import NotEnoughData
from baseload.imports.storing import Storing
from baseload.ledger import removed
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.rows import document
from baseload.ledger.statements import Statements
from baseload.ledger.tables import calls as table
from baseload.load.calls import Call
from baseload.load.statements import Statement

# Calls in a batch for which a process of its own is worth its start, about a third of a second.
APART = 5_000


class _Seen:
    """The ids that stood in the file so far, in a temporary file that nobody sees: a log may hold more than memory."""

    def __init__(self) -> None:
        self._ids = sqlite3.connect("", isolation_level=None)
        self._ids.execute("pragma journal_mode=off")
        self._ids.execute("pragma synchronous=off")
        self._ids.execute("create table seen (id text primary key) without rowid")

    def add(self, ids: Sequence[str]) -> int:
        """How many were there before."""
        before = self._ids.total_changes
        self._ids.execute("begin")
        self._ids.executemany("insert or ignore into seen values (?)", [(each,) for each in ids])
        self._ids.execute("commit")
        return len(ids) - (self._ids.total_changes - before)

    def close(self) -> None:
        self._ids.close()


def _new(store: HotStore, batch: Sequence[Call]) -> tuple[list[Call], int]:
    """The calls that would be new to a store, and how many it holds with other content."""
    rows = store.rows(select(table.c.id, table.c.document).where(table.c.id.in_([call.id for call in batch])))
    kept = {row.id: row.document for row in rows}
    gone = removed.told(store, (call.id for call in batch))
    fresh = {call.id: call for call in batch if call.id not in kept and call.id not in gone}
    changed = sum(call.id in kept and kept[call.id] != document(call) for call in batch)
    return list(fresh.values()), changed


class Ledger:
    """A ledger that takes what is imported. Use it as a context manager.

    From the first batch of `apart` calls on another process stores them."""

    def __init__(self, directory: Path, url: str = "", *, apart: int = APART) -> None:
        self._place = directory, url
        self._apart = apart
        self._store = open_store(directory, url)
        self._storing: Storing | None = None
        self._statements = Statements(directory)
        self._seen = _Seen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._storing is not None:
            self._storing.close()
        self._store.close()
        self._statements.close()
        self._seen.close()

    def calls(self, batch: Sequence[Call]) -> tuple[int, int]:
        if self._storing is None and len(batch) < self._apart:
            fresh, clashes = self._store.take(batch)
            return fresh, len(clashes)
        if self._storing is None:
            self._storing = Storing(*self._place)
        return self._storing.put([document(call) for call in batch])

    def settled(self) -> tuple[int, int]:
        return (0, 0) if self._storing is None else self._storing.settled()

    def statements(self, batch: Sequence[Statement]) -> tuple[int, int]:
        return self._statements.record(batch)

    def seen(self, ids: Sequence[str]) -> int:
        return self._seen.add(ids)


class DryRun:
    """Says what a ledger would take, and writes nothing: no ledger comes to be where none was."""

    def __init__(self, directory: Path, url: str = "") -> None:
        self._store: HotStore | None = None
        try:
            self._store = open_store(directory, url, read_only=True)
        except NotEnoughData:
            self._store = None
        self._statements = Statements(directory, read_only=True)
        self._seen = _Seen()
        self._taken = _Seen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._store is not None:
            self._store.close()
        self._statements.close()
        self._seen.close()
        self._taken.close()

    def settled(self) -> tuple[int, int]:
        return 0, 0

    def calls(self, batch: Sequence[Call]) -> tuple[int, int]:
        fresh, changed = (list(batch), 0) if self._store is None else _new(self._store, batch)
        return len(fresh) - self._taken.add([call.id for call in fresh]), changed

    def statements(self, batch: Sequence[Statement]) -> tuple[int, int]:
        fresh, changed = self._statements.known(batch)
        return fresh, changed

    def seen(self, ids: Sequence[str]) -> int:
        return self._seen.add(ids)
