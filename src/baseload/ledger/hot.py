"""The hot store: calls and attempts in SQLite. Acts.

Recording is idempotent: a call's id is unique for ever, the first call under an id is kept, and another one with other
content is counted and logged. Writers take the write lock at once (`BEGIN IMMEDIATE`) and group many calls into one
transaction; readers open the file read-only and block nobody.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, Select, Table, create_engine, event, func, inspect, select, tuple_
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from baseload.errors import LedgerUnavailable, NotEnoughData
from baseload.ledger import rows, tables
from baseload.ledger.query import EVERYTHING, Answers, Filter, conditions
from baseload.load.calls import Call

log = logging.getLogger(__name__)

FILE = "ledger.db"
# How long a writer or reader waits for another one's lock.
BUSY_SECONDS = 5.0
BUSY_PAUSE_SECONDS = 0.01
# Calls in one transaction, and in one page of a reader: enough to amortise either, little enough to hold in memory.
BATCH = 500


class HotStore:
    """Calls in `<directory>/ledger.db`; its methods may be called from any thread, one write at a time.

    `conflicts` counts calls that came under an id already taken by other content.
    """

    def __init__(self, path: Path, *, read_only: bool, busy_seconds: float) -> None:
        self.path = path
        self.read_only = read_only
        self.conflicts = 0
        self._engine = _engine(path, read_only=read_only, busy_seconds=busy_seconds)
        self._inode: int | None = None
        self._log_inode: int | None = None

    def record(self, calls: Iterable[Call]) -> int:
        """Write calls down, a batch whole or not at all; returns how many were new.

        Raises BadInput for a figure beyond 2^63 - 1, LedgerUnavailable when the file cannot be written.
        """
        recorded = 0
        remaining = iter(calls)
        while batch := list(islice(remaining, BATCH)):
            recorded += self._record(batch)
        return recorded

    def calls(self, where: Filter = EVERYTHING) -> Iterator[Call]:
        """Calls in time order, read page by page, so that a reader that pauses holds nothing open."""
        table = tables.calls.c
        query = select(table.at_ns, table.id, table.document).where(*conditions(where))
        query = query.order_by(table.at_ns, table.id).limit(BATCH)
        page = self.rows(query)
        while page:
            for row in page:
                yield rows.call_of(row.document)
            page = self.rows(query.where(tuple_(table.at_ns, table.id) > tuple_(page[-1].at_ns, page[-1].id)))

    def rows(self, query: Select[Any]) -> Sequence[Any]:
        """Every row that a query answers with."""
        with self.moment() as moment:
            return moment.rows(query)

    @contextmanager
    def moment(self) -> Iterator[Answers]:
        """The ledger as it is now: every question put to it inside the block sees the same calls."""
        if self.read_only:
            self._let_go_of_removed_log()
        else:
            self._prepare()
        with self._transaction() as connection:
            yield _Moment(connection)

    def persist(self) -> None:
        """Make what was committed outlast a power cut. Raises LedgerUnavailable."""
        self._let_go_of_removed_log()
        for path in (self._log, self.path):
            try:
                _flush(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._unavailable(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _record(self, batch: list[Call]) -> int:
        """One transaction."""
        self._prepare()
        fresh: list[tuple[Call, bytes]] = []
        clashes: list[str] = []
        with self._transaction() as connection:
            kept = _kept(connection, [call.id for call in batch])
            for call in batch:
                document = rows.document(call)
                first = kept.setdefault(call.id, document)
                if first is document:
                    fresh.append((call, document))
                elif first != document:
                    clashes.append(call.id)
            _insert(connection, tables.calls, [rows.call_row(call, document) for call, document in fresh])
            parts = [rows.attempt_row(call, attempt) for call, _ in fresh for attempt in call.attempts]
            _insert(connection, tables.attempts, parts)
        self._log_inode = self._log_inode or _inode(self._log)
        self._check_in_place()
        self.conflicts += len(clashes)
        for clash in clashes:
            log.error("call %s came again with other content; the first one is kept", clash)
        return len(fresh)

    def _prepare(self) -> None:
        """Create the tables where they are missing, also when the file was removed since they were."""
        if self._inode is not None and self._inode == _inode(self.path):
            self._let_go_of_removed_log()
            return
        self._engine.dispose()
        self._log_inode = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unavailable(error) from error
        with self._transaction() as connection:
            tables.metadata.create_all(connection)
            if not self._known_version(connection):
                connection.execute(insert(tables.schema).values(version=tables.SCHEMA_VERSION))
        self._inode = _inode(self.path)

    def check_readable(self) -> None:
        """A reader needs a ledger that is there and of this version."""
        if not self.path.exists():
            raise self._nothing()
        self._let_go_of_removed_log()
        with self._transaction() as connection:
            if not inspect(connection).has_table(tables.schema.name) or not self._known_version(connection):
                raise self._nothing()

    def _known_version(self, connection: Connection) -> bool:
        """Whether the tables are of this version; False when they are new. Raises for those of a newer program."""
        found = connection.execute(select(func.max(tables.schema.c.version))).scalar()
        if found is not None and found != tables.SCHEMA_VERSION:
            raise LedgerUnavailable(
                f"{self.path} has schema version {found}, this program knows version {tables.SCHEMA_VERSION}",
                remedy="Use the version of baseload that wrote it, or name another folder.",
            )
        return found is not None

    def _check_in_place(self) -> None:
        """What was written to a file that was removed meanwhile, nobody would ever read."""
        if _inode(self.path) != self._inode:
            raise LedgerUnavailable(f"{self.path} was removed while it was written", remedy="Leave the file in place.")

        if _inode(self._log) != self._log_inode:
            raise LedgerUnavailable(f"{self._log} was removed while it was written", remedy="Leave the file in place.")

    @property
    def _log(self) -> Path:
        """The write-ahead log: what is committed and not yet in the file itself."""
        return self.path.with_name(f"{self.path.name}-wal")

    def _let_go_of_removed_log(self) -> None:
        """A log that was removed is seen by those alone who have it open: move it into the file, and open another."""
        known, self._log_inode = self._log_inode, _inode(self._log)
        if known is None or known == self._log_inode:
            return
        try:
            if not self.read_only:
                self._checkpoint()
        finally:
            self._engine.dispose()
            self._log_inode = None

    def _checkpoint(self) -> None:
        """Move what stands in the log into the file."""
        try:
            with closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._unavailable(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One transaction; what the database complains of becomes LedgerUnavailable."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> LedgerUnavailable:
        reason = getattr(error, "orig", None) or error
        return LedgerUnavailable(
            f"{self.path} cannot be {'read' if self.read_only else 'written'}: {reason}",
            remedy="See that the disk has room, the folder is yours and no other program holds the file locked.",
        )

    def _nothing(self) -> NotEnoughData:
        return NotEnoughData(
            f"there is no ledger in {self.path.parent}", remedy="Meter some calls first, as `baseload demo` does."
        )


class _Moment:
    """The ledger inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, query: Select[Any]) -> Sequence[Any]:
        return self._connection.execute(query).all()


def open_store(directory: Path, *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS) -> HotStore:
    """The ledger of a folder. Read-only raises NotEnoughData when nothing was ever metered there.

    A writer opens a store that is locked or not yet there as well: `record` says so when it is used.
    """
    store = HotStore(directory / FILE, read_only=read_only, busy_seconds=busy_seconds)
    if read_only:
        store.check_readable()
    return store


def _engine(path: Path, *, read_only: bool, busy_seconds: float) -> Engine:
    location = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"

    def connect() -> sqlite3.Connection:
        # Transactions are begun by hand below; by itself the driver begins them too late to hold the write lock.
        connection = sqlite3.connect(
            location, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            if not read_only:
                _write_ahead(connection, busy_seconds)
            connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    event.listen(engine, "begin", begin)
    return engine


def _write_ahead(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Switch the file to a write-ahead log. Here SQLite does not wait for others who open a new file, so we do."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(BUSY_PAUSE_SECONDS)
        else:
            return


def _kept(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """The documents already stored under these ids."""
    table = tables.calls.c
    found = connection.execute(select(table.id, table.document).where(table.id.in_(ids)))
    return {row.id: row.document for row in found}


def _insert(connection: Connection, table: Table, values: list[rows.Row]) -> None:
    if values:
        connection.execute(insert(table).on_conflict_do_nothing(), values)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
