"""The hot store in PostgreSQL, which several gateways may share. Acts. Needs the extra `postgres`.

Writers take one lock of the whole ledger, so that positions are committed in the order they are given and readers who
follow them miss none. No wait is without end: the server gives up a lock or a statement by itself, and where the server
does not answer at all the connection is cut from here.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import BigInteger, Connection, Engine, LargeBinary, Table, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DataError, SQLAlchemyError

from baseload.errors import BadConfig, BadInput
from baseload.ledger import rows, tables
from baseload.ledger.migrations import migrate
from baseload.ledger.store import HotStore

REMEDY = "See that the server runs, lets this user in and answers, then try again: nothing is recorded twice."
# How much longer than for a lock one transaction may take, or one question of a reader.
WRITE_SECONDS, READ_SECONDS = 25.0, 120.0
# The least that libpq waits for a connection.
LEAST_CONNECT_SECONDS = 2
# Any number that other programs in the same database do not use: "baseload" in ASCII.
_LOCK = int.from_bytes(b"baseload")
# A null byte as JSON writes it, behind whole pairs of backslashes. PostgreSQL holds none in a text.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class PostgresStore(HotStore):
    """Calls in the database at `url`."""

    def __init__(self, url: str, *, read_only: bool, busy_seconds: float) -> None:
        where = parse_store(url)
        self._seconds = busy_seconds + (READ_SECONDS if read_only else WRITE_SECONDS)
        engine = _engine(where, self._seconds, busy_seconds, read_only=read_only)
        super().__init__(where.render_as_string(hide_password=True), engine, read_only=read_only)
        self._snapshots = engine.execution_options(isolation_level="REPEATABLE READ")
        self._ready = False

    def persist(self) -> None:
        """Nothing is left to do: a commit is on the server's disk when it is acknowledged (`synchronous_commit`)."""

    def check_readable(self) -> None:
        with self._reading() as connection:
            if not self._check_tables(connection):
                raise self._nothing(self.name)

    def _prepare(self) -> None:
        if self.read_only or self._ready:
            return
        with self._transaction() as connection:
            tables.schema.create(connection, checkfirst=True)
            migrate(connection, self._known_version(connection))
        self._ready = True

    def _check_written(self) -> None:
        """What was committed is there."""

    def _insert(self, connection: Connection, table: str, columns: Sequence[str], values: list[rows.Values]) -> int:
        """One statement for all rows, a list for each column."""
        if not values:
            return 0
        values = [_without_nul(row) if _holds_nul(row) else row for row in values]
        known = tables.metadata.tables[table]
        arrays = ", ".join(f"%s::{_array(known, name)}" for name in columns)
        names = ", ".join(columns)
        # The names are ours, the values are bound.
        sql = f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"  # noqa: S608
        lists = tuple(list(column) for column in zip(*values, strict=True))
        return connection.exec_driver_sql(sql, lists, execution_options={"preserve_rowcount": True}).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._guarded(self._engine) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection

    @contextmanager
    def _lending(self) -> Iterator[Connection]:
        with self._guarded(self._engine) as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._guarded(self._snapshots) as connection:
            yield connection

    @contextmanager
    def _guarded(self, engine: Engine) -> Iterator[Connection]:
        """A transaction that ends, whatever becomes of the server."""
        try:
            with engine.connect() as connection, _cut_after(self._seconds, connection), connection.begin():
                yield connection
        except DataError:
            raise
        except SQLAlchemyError as error:
            self._ready = False  # it may come back as another one
            self._engine.dispose()
            raise self._unavailable(error, REMEDY) from error


def parse_store(url: str) -> URL:
    """Where a store is, as `postgresql://user@host:5432/database`. Raises BadConfig, without telling a password."""
    remedy = "Write it as in store: postgresql://user@host:5432/database; the password may come from PGPASSWORD."
    try:
        found = make_url(url)
    except ArgumentError as error:
        raise BadConfig("store is no address of a database", remedy=remedy) from error
    if found.drivername not in ("postgresql", "postgres"):
        raise BadConfig(f"store begins with {found.drivername}://, which no store of ours has", remedy=remedy)
    return found.set(drivername="postgresql+psycopg")


def _engine(where: URL, seconds: float, busy_seconds: float, *, read_only: bool) -> Engine:
    told = where.query.get("options", "")
    options = [
        *([told] if isinstance(told, str) else told),
        f"-c lock_timeout={int(busy_seconds * 1000)}",
        f"-c statement_timeout={int(seconds * 1000)}",
        f"-c default_transaction_read_only={'on' if read_only else 'off'}",
    ]
    arguments: dict[str, object] = {
        "application_name": "baseload",
        "connect_timeout": max(LEAST_CONNECT_SECONDS, int(busy_seconds)),
        "tcp_user_timeout": int(seconds * 1000),
        "options": " ".join(each for each in options if each),
    }
    try:
        import psycopg
    except ImportError as error:
        raise BadConfig(
            "store is PostgreSQL, and its driver is not installed", remedy="pip install 'baseload[postgres]'"
        ) from error
    return create_engine(where.difference_update_query(["options"]), connect_args=arguments, module=psycopg)


@contextmanager
def _cut_after(seconds: float, connection: Connection) -> Iterator[None]:
    """Shut the connection's socket when its transaction takes too long: a server that is frozen, or beyond a network
    that swallows everything, keeps no timeout of its own."""
    descriptor = connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
    cutter = threading.Timer(seconds, _shut, (copy := os.dup(descriptor),))
    cutter.daemon = True
    cutter.start()
    try:
        yield
    finally:
        cutter.cancel()
        cutter.join()
        with contextlib.suppress(OSError):
            os.close(copy)


def _shut(descriptor: int) -> None:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
        line.shutdown(socket.SHUT_RDWR)


def _array(table: Table, column: str) -> str:
    kind = table.c[column].type
    if isinstance(kind, BigInteger):
        return "bigint[]"
    return "bytea[]" if isinstance(kind, LargeBinary) else "text[]"


def _holds_nul(row: rows.Values) -> bool:
    return any(isinstance(value, str) and ("\0" in value or "\\u0000" in value) for value in row)


def _without_nul(row: rows.Values) -> rows.Values:
    """A text that PostgreSQL can hold; the document keeps what was really there. Raises BadInput for a name."""
    if "\0" in str(row[0]):
        raise BadInput(f"call {row[0]!r} has a null byte in its name", remedy="Give it another name.")
    return tuple(
        _NUL.sub("\\1\ufffd", value.replace("\0", "\ufffd")) if isinstance(value, str) else value for value in row
    )
