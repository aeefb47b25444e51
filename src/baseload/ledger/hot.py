"""The hot store in SQLite, beside the gateway. Acts.

Writers take the write lock at once (`BEGIN IMMEDIATE`) and group many calls into one transaction; readers open the file
read-only and block nobody.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from baseload.errors import LedgerUnavailable
from baseload.ledger import rows, tables
from baseload.ledger.flush import Flushing, flush
from baseload.ledger.migrations import migrate
from baseload.ledger.store import BATCH, BUSY_SECONDS, HotStore

__all__ = ["BATCH", "BUSY_SECONDS", "FILE", "HotStore", "SqliteStore", "open_store"]

FILE = "ledger.db"
BUSY_PAUSE_SECONDS = 0.01
_PRAGMAS = (
    # A commit needs no sync of its own: `persist` syncs before the spool lets go of what it holds.
    "synchronous=NORMAL",
    # Names are random, so a batch touches pages all over their index: 32 MB of log, not 4, are written back at a time,
    # and a page that many batches touch is written once for all of them. The log is that long on the disk.
    "wal_autocheckpoint=8000",
    # Kibibytes of pages in memory, for the same index.
    "cache_size=-65536",
)
REMEDY = "See that the disk has room, the folder is yours and no other program holds the file locked."
DAMAGED_REMEDY = (
    "The file is damaged: stop the gateway and move the file into another folder. A new one is begun, and calls that"
    " wait in the spool go into it; `baseload export csv --ledger FOLDER` reads what is whole in the old one."
)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteStore(HotStore):
    """Calls in `<directory>/ledger.db`."""

    def __init__(self, path: Path, *, read_only: bool, busy_seconds: float) -> None:
        engine = _engine(path, read_only=read_only, busy_seconds=busy_seconds)
        super().__init__(str(path), engine, read_only=read_only)
        self.path = path
        self._flushing = Flushing(path)
        self._inode: int | None = None
        self._log_inode: int | None = None

    def persist(self) -> None:
        self._let_go_of_removed_log()
        for put in (self._flush_log, self._flushing.flush):
            try:
                put()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._unavailable(error, _remedy(error)) from error

    def close(self) -> None:
        super().close()
        self._flushing.close()

    def check_readable(self) -> None:
        if not self.path.exists():
            raise self._nothing(str(self.path.parent))
        self._let_go_of_removed_log()
        with self._transaction() as connection:
            if not self._check_tables(connection):
                raise self._nothing(str(self.path.parent))

    def _prepare(self) -> None:
        """Create the tables where they are missing, also when the file was removed since they were."""
        if self.read_only or (self._inode is not None and self._inode == _inode(self.path)):
            self._let_go_of_removed_log()
            return
        self._engine.dispose()
        self._log_inode = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unavailable(error, _remedy(error)) from error
        with self._transaction() as connection:
            tables.schema.create(connection, checkfirst=True)
            migrate(connection, self._known_version(connection))
        self._inode = _inode(self.path)

    def _insert(self, connection: Connection, table: str, columns: Sequence[str], values: list[rows.Values]) -> int:
        if not values:
            return 0
        marks = ", ".join("?" * len(columns))
        # The names are ours, the values are bound.
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
        return connection.exec_driver_sql(sql, values, execution_options={"preserve_rowcount": True}).rowcount

    def _check_written(self) -> None:
        """What was written to a file that was removed meanwhile, nobody would ever read."""
        self._log_inode = self._log_inode or _inode(self._log)
        for path, inode in ((self.path, self._inode), (self._log, self._log_inode)):
            if _inode(path) != inode:
                raise LedgerUnavailable(f"{path} was removed while it was written", remedy="Leave the file in place.")

    @property
    def _log(self) -> Path:
        """The write-ahead log: what is committed and not yet in the file itself."""
        return self.path.with_name(f"{self.path.name}-wal")

    def _flush_log(self) -> None:
        """SQLite has no lock on the log itself, so a descriptor of it may be closed."""
        flush(self._log)

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
            raise self._unavailable(error, _remedy(error)) from error

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """What the database complains of becomes LedgerUnavailable."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._unavailable(error, _remedy(error)) from error


def open_store(
    directory: Path, url: str = "", *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS
) -> HotStore:
    """The ledger of a folder, or in the database at `url`. Read-only raises NotEnoughData when nothing was ever metered
    there.

    A writer opens a store that is locked, gone or not yet there as well: `record` says so when it is used.
    """
    store: HotStore
    if url:
        from baseload.ledger.postgres import PostgresStore

        store = PostgresStore(url, read_only=read_only, busy_seconds=busy_seconds)
    else:
        store = SqliteStore(directory / FILE, read_only=read_only, busy_seconds=busy_seconds)
    if read_only:
        try:
            store.check_readable()
        except BaseException:
            store.close()
            raise
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
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
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


def _remedy(error: Exception) -> str:
    """What to do about an error of SQLite or of the disk."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return REMEDY if code is None or code & 0xFF not in _DAMAGED else DAMAGED_REMEDY


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
