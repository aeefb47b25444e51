"""What providers state, kept beside the calls: `statements.db`. Acts.

Nothing is updated in place. A line that is stated anew with other figures is a row of its own, and the one recorded
last is what the provider says now: also where it says what it said before it said something else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

import msgspec

from baseload.errors import LedgerUnavailable
from baseload.load.statements import Statement

FILE = "statements.db"
BATCH = 1_000
BUSY_SECONDS = 5.0
VERSION = 1

_TABLE = """
create table if not exists statements (
  position integer primary key,
  id text not null unique,
  line text not null,
  source text not null,
  provider text not null,
  kind text not null,
  start_ns integer not null,
  end_ns integer not null,
  document blob not null
)
"""
_INDEX = "create index if not exists statements_by_line on statements (line, position)"
_NOW = """
select document from statements
where position in (select max(position) from statements where start_ns < ? and end_ns > ? group by line)
order by start_ns, position
"""
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Statement).decode
_EVER = 2**63 - 1


class Statements:
    """The statements of a ledger's folder; usable as a context manager."""

    def __init__(self, directory: Path, *, read_only: bool = False) -> None:
        self.path = directory / FILE
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def record(self, statements: Iterable[Statement]) -> tuple[int, int]:
        """Write them down; returns how many are new, and how many of those say other figures of a known line."""
        fresh = changed = 0
        every = list(statements)
        last = _last(every)
        for start in range(0, len(every), BATCH):
            new, other = self._record(every[start : start + BATCH], last)
            fresh, changed = fresh + new, changed + other
        return fresh, changed

    def known(self, statements: Sequence[Statement]) -> tuple[int, int]:
        """How many would be new, and how many of those would say other figures of a known line."""
        connection = self._open()
        if connection is None:
            return len({each.id for each in statements}), 0
        fresh = changed = 0
        last = _last(statements)
        with self._told():
            for each in {statement.id: statement for statement in statements}.values():
                known = _has(connection, "id", each.id)
                if not known or _is_said_again(connection, each, last):
                    fresh += 1
                    changed += _has(connection, "line", each.line)
        return fresh, changed

    def read(self, since_ns: int = -_EVER, until_ns: int = _EVER) -> Iterator[Statement]:
        """What providers say now of every line that touches the span, in time order."""
        connection = self._open()
        if connection is None:
            return
        with self._told():
            for (document,) in connection.execute(_NOW, (until_ns, since_ns)):
                yield _decode(document)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _record(self, batch: list[Statement], last: Mapping[str, str]) -> tuple[int, int]:
        connection = self._open()
        if connection is None:
            raise LedgerUnavailable(f"{self.path} is open for reading alone", remedy="Open it for writing.")
        fresh = changed = 0
        with self._told(), closing(connection.cursor()) as cursor:
            cursor.execute("begin immediate")
            try:
                for each in batch:
                    other = _has(connection, "line", each.line)
                    cursor.execute("insert or ignore into statements values (null, ?, ?, ?, ?, ?, ?, ?, ?)", _row(each))
                    new = cursor.rowcount
                    if not new and _is_said_again(connection, each, last):
                        again = (
                            "insert into statements values (null, ? || '.' || (select max(position) from statements)"
                        )
                        cursor.execute(f"{again}, ?, ?, ?, ?, ?, ?, ?)", _row(each))
                        new = 1
                    fresh += new
                    changed += new if other else 0
            except BaseException:
                cursor.execute("rollback")
                raise
            cursor.execute("commit")
        return fresh, changed

    def _open(self) -> sqlite3.Connection | None:
        """The file; None when it is read and not there."""
        if self._connection is None:
            if self._read_only and not self.path.exists():
                return None
            with self._told():
                if not self._read_only:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                location = f"{self.path.absolute().as_uri()}?mode={'ro' if self._read_only else 'rwc'}"
                connection = sqlite3.connect(location, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
                try:
                    self._check(connection)
                except BaseException:
                    connection.close()
                    raise
                self._connection = connection
        return self._connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """A file of this version, with its table."""
        (found,) = connection.execute("pragma user_version").fetchone()
        if found not in (0, VERSION):
            raise LedgerUnavailable(
                f"{self.path} has version {found}, this program knows version {VERSION}",
                remedy="Use the version of baseload that wrote it, or name another folder.",
            )
        if not self._read_only:
            connection.execute("pragma journal_mode=wal")
            connection.execute(_TABLE)
            connection.execute(_INDEX)
            connection.execute(f"pragma user_version={VERSION}")

    def _told(self) -> _Told:
        return _Told(self.path)


class _Told:
    """What the database complains of becomes LedgerUnavailable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error | OSError):
            raise LedgerUnavailable(
                f"{self._path} cannot be used: {error}",
                remedy="See that the disk has room, the folder is yours and no other program holds the file locked.",
            ) from error


def _has(connection: sqlite3.Connection, column: str, value: str) -> bool:
    query = {
        "id": "select 1 from statements where id = ? limit 1",
        "line": "select 1 from statements where line = ? limit 1",
    }[column]
    return connection.execute(query, (value,)).fetchone() is not None


def _last(statements: Sequence[Statement]) -> dict[str, str]:
    """What a report says of each line in the end."""
    return {each.line: each.id for each in statements}


def _is_said_again(connection: sqlite3.Connection, each: Statement, last: Mapping[str, str]) -> bool:
    """Whether a line that is known was another one since, and the report ends with this one."""
    if last[each.line] != each.id:
        return False
    query = "select document from statements where line = ? order by position desc limit 1"
    found = connection.execute(query, (each.line,)).fetchone()
    return found is not None and bytes(found[0]) != _encode(each)


def _row(each: Statement) -> tuple[str | int | bytes, ...]:
    return (
        each.id,
        each.line,
        each.source,
        each.provider,
        each.kind.value,
        each.start_ns,
        each.end_ns,
        _encode(each),
    )
