"""What every hot store does, whatever database is below it. Acts.

Recording is idempotent: a call's id is unique for ever, the first call under an id is kept, and another one with other
content is counted and logged. A batch is one transaction: it is in the store whole or not at all.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, inspect, select, tuple_
from sqlalchemy.exc import DataError

from baseload.errors import LedgerUnavailable, NotEnoughData
from baseload.ledger import accounts, removed, rows, tables
from baseload.ledger.held import held_file, read_held
from baseload.ledger.joined import joined
from baseload.ledger.query import EVERYTHING, Answers, Filter, conditions
from baseload.ledger.rows import Values
from baseload.load.calls import Call

log = logging.getLogger(__name__)

# How long a writer or reader waits for another one's lock.
BUSY_SECONDS = 5.0
# Calls in one transaction, and in one page of a reader: enough to amortise either, little enough to hold in memory.
BATCH = 2_000

Pair = tuple[Call, bytes]


class HotStore(ABC):
    """Calls that were metered; its methods may be called from any thread, one write at a time.

    `name` is where they are, without any password. `conflicts` counts calls that came under an id already taken by
    other content.
    """

    def __init__(self, name: str, engine: Engine, *, read_only: bool) -> None:
        self.name = name
        self.read_only = read_only
        self.conflicts = 0
        self._engine = engine

    def record(self, calls: Iterable[Call]) -> int:
        """Write calls down, a batch whole or not at all; returns how many were new.

        Raises BadInput for a figure beyond 2^63 - 1, LedgerUnavailable when the store cannot be written.
        """
        recorded = 0
        remaining = iter(calls)
        while batch := list(islice(remaining, BATCH)):
            fresh, clashes = self.take(batch)
            recorded += fresh
            for clash in clashes:
                log.error("call %s came again with other content; the first one is kept", clash)
        return recorded

    def take(self, batch: Sequence[Call]) -> tuple[int, list[str]]:
        """Write calls down in one transaction; returns how many were new, and the ids that other content has taken."""
        pairs = [(call, rows.document(call)) for call in batch]
        try:
            with self.writing() as connection:
                gone = removed.known(connection, (call.id for call in batch))
                fresh, clashes = self._put(connection, [pair for pair in pairs if pair[0].id not in gone])
                accounts.charge(connection, (call for call, _ in fresh))
        except (OverflowError, DataError):
            for call in batch:
                rows.check(call)
            raise
        self.conflicts += len(clashes)
        return len(fresh), clashes

    def calls(self, where: Filter = EVERYTHING) -> Iterator[Call]:
        """Calls in time order, read page by page, so that a reader that pauses holds nothing open. Those that have left
        the store for a lake are read from there."""
        return joined(self, self._calls, where)

    def _calls(self, where: Filter) -> Iterator[Call]:
        """Calls that are here."""
        table = tables.calls.c
        query = select(table.at_ns, table.id, table.document).where(*conditions(where))
        query = query.order_by(table.at_ns, table.id).limit(BATCH)
        page = self.rows(query)
        while page:
            for row in page:
                yield rows.call_of(row.document)
            page = self.rows(query.where(tuple_(table.at_ns, table.id) > tuple_(page[-1].at_ns, page[-1].id)))

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that calls were recorded under."""
        table, found = tables.calls.c, set[str]()
        for start in range(0, len(ids), BATCH):
            query = select(table.id).where(table.id.in_(ids[start : start + BATCH]))
            found |= {row.id for row in self.rows(query)}
        return found

    def rows(self, query: Select[Any]) -> Sequence[Any]:
        """Every row that a query answers with."""
        with self.moment() as moment:
            return moment.rows(query)

    @contextmanager
    def moment(self) -> Iterator[Answers]:
        """The ledger as it is now: every question put to it inside the block sees the same calls."""
        self._prepare()
        with self._reading() as connection:
            yield _Moment(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes; one at a time, in whatever thread. Raises LedgerUnavailable."""
        self._prepare()
        with self._transaction() as connection:
            yield connection
        self._check_written()

    @contextmanager
    def lending(self) -> Iterator[Connection]:
        """One transaction on the accounts of budgets alone: it need not wait for those who record calls."""
        self._prepare()
        with self._lending() as connection:
            yield connection
        self._check_written()

    def release(self, owner: str, folder: Path) -> None:
        """End what a dead worker had borrowed of budgets, once its calls are recorded. Raises LedgerUnavailable."""
        path = held_file(folder, owner)
        if path.exists():
            left = read_held(path)
            with self.writing() as connection:
                reserved = left.settled(lambda call: bool(_kept(connection, [call])))
                forfeited = accounts.release(connection, owner, reserved, full=left.full)
            if forfeited:
                log.warning("%s died with calls under way: their worst case, %d, is charged", owner, forfeited)
            path.unlink(missing_ok=True)

    @abstractmethod
    def persist(self) -> None:
        """Make what was committed outlast a power cut. Raises LedgerUnavailable."""

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @abstractmethod
    def check_readable(self) -> None:
        """A reader needs a ledger that is there and of this version. Raises NotEnoughData or LedgerUnavailable."""

    @abstractmethod
    def _prepare(self) -> None:
        """Before it is used: the tables are there, for a writer, and nothing stands in the way."""

    @abstractmethod
    def _check_written(self) -> None:
        """After a transaction: it stands where others will read it."""

    @abstractmethod
    def _insert(self, connection: Connection, table: str, columns: Sequence[str], values: list[Values]) -> int:
        """Insert rows that are not there yet; returns how many were not."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Connection]:
        """One transaction, the only one that writes. Raises LedgerUnavailable, or OverflowError or DataError for a
        value that does not fit."""

    def _lending(self) -> AbstractContextManager[Connection]:
        """One transaction that locks by itself the rows that it changes."""
        return self._transaction()

    def _reading(self) -> AbstractContextManager[Connection]:
        """One transaction that sees one state."""
        return self._transaction()

    def _put(self, connection: Connection, pairs: list[Pair]) -> tuple[list[Pair], list[str]]:
        """Nearly always all calls are new: insert them and count. Where one was not, find out which."""
        with connection.begin_nested() as attempt:
            if self._insert_all(connection, pairs) == len(pairs):
                return pairs, []
            attempt.rollback()
        kept = _kept(connection, [call.id for call, _ in pairs])
        fresh, clashes = [], []
        for call, document in pairs:
            first = kept.setdefault(call.id, document)
            if first is document:
                fresh.append((call, document))
            elif first != document:
                clashes.append(call.id)
        self._insert_all(connection, fresh)
        return fresh, clashes

    def _insert_all(self, connection: Connection, pairs: list[Pair]) -> int:
        """Insert calls with their attempts; returns how many calls were not there."""
        new = self._insert(connection, "calls", rows.CALL, [rows.call_row(*pair) for pair in pairs])
        if new == len(pairs):
            parts = [rows.attempt_row(call, attempt) for call, _ in pairs for attempt in call.attempts]
            self._insert(connection, "attempts", rows.ATTEMPT, parts)
        return new

    def _known_version(self, connection: Connection) -> int | None:
        """Of which version the tables are; None when they are new. Raises for those of a newer program."""
        found: int | None = connection.execute(select(func.max(tables.schema.c.version))).scalar()
        if found is not None and found > tables.SCHEMA_VERSION:
            raise LedgerUnavailable(
                f"{self.name} has schema version {found}, this program knows version {tables.SCHEMA_VERSION}",
                remedy="Use the version of baseload that wrote it, or name another ledger.",
            )
        return found

    def _check_tables(self, connection: Connection) -> bool:
        """Whether a reader finds tables; of an older version they are not his to change."""
        if not inspect(connection).has_table(tables.schema.name):
            return False
        found = self._known_version(connection)
        if found is not None and found < tables.SCHEMA_VERSION:
            raise LedgerUnavailable(
                f"{self.name} has schema version {found}, this program reads version {tables.SCHEMA_VERSION}",
                remedy="Bring it up to date, which keeps every call: baseload ledger migrate.",
            )
        return found is not None

    def _unavailable(self, error: Exception, remedy: str) -> LedgerUnavailable:
        reason = str(getattr(error, "orig", None) or error).strip()
        return LedgerUnavailable(
            f"{self.name} cannot be {'read' if self.read_only else 'written'}: {reason}", remedy=remedy
        )

    def _nothing(self, where: str) -> NotEnoughData:
        return NotEnoughData(
            f"there is no ledger in {where}", remedy="Meter some calls first, as `baseload demo` does."
        )


class _Moment:
    """The ledger inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, query: Select[Any]) -> Sequence[Any]:
        return self._connection.execute(query).all()


def _kept(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """The documents already stored under these ids."""
    table = tables.calls.c
    found = connection.execute(select(table.id, table.document).where(table.id.in_(ids)))
    return {row.id: bytes(row.document) for row in found}
