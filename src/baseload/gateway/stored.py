"""Which upstream keeps which answer, so that what follows up on one reaches the upstream that made it. Acts (SQLite).

One small table in `data_dir`, shared by every worker and read again after a restart (docs/decisions/013). It holds no
word of an answer: its name, its upstream and replica, the key it belongs to, and when. A write is one insert into a
write-ahead log without a sync: what a power cut may cost is a name, never money.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from baseload.gateway.small_database import opened
from baseload.units import HOURS_PER_DAY, SECONDS_PER_HOUR

log = logging.getLogger(__name__)

STORED = "stored.sqlite"
"""Its name in `data_dir`."""
KEPT_DAYS = 30
"""OpenAI keeps a response for 30 days (its guide "Conversation state", read 2026-11)."""
MOST = 1_000_000
"""Names that are remembered; the oldest go first."""
PRUNE_EVERY = 1_000
MAX_ID = 256

_TABLE = """
create table if not exists kept (
    name text primary key, upstream text not null, owner text not null, at integer not null,
    replica text not null default '', kind text not null default 'response'
) without rowid;
create index if not exists kept_at on kept (at);
"""
# Columns that tables of an older version lack.
_LATER = {"replica": "text not null default ''", "kind": "text not null default 'response'"}


class Kind(StrEnum):
    """What is kept."""

    RESPONSE = "response"
    COMPLETION = "completion"
    CONVERSATION = "conversation"


class Kept(NamedTuple):
    """Who keeps an object: an upstream, and of a pool the replica by its base URL, else empty."""

    upstream: str
    replica: str = ""


class Stored:
    """The names of kept answers. Opened by the first use: who keeps nothing has no file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._written = 0

    def remember(self, name: str, upstream: str, owner: str, *, kind: Kind = Kind.RESPONSE, replica: str = "") -> None:
        """An upstream keeps an object of that name, made for the key `owner`. When that cannot be written down it is
        served all the same; who asks for it later is told that nobody knows it."""
        if not 0 < len(name) <= MAX_ID:
            return
        try:
            database = self._open()
            row = (name, upstream, owner, int(time.time()), replica, kind.value)
            database.execute(
                "insert or replace into kept (name, upstream, owner, at, replica, kind) values (?, ?, ?, ?, ?, ?)", row
            )
            self._written += 1
            if self._written % PRUNE_EVERY == 1:
                self._prune(database)
        except (sqlite3.Error, OSError) as error:
            log.warning("where %s keeps an answer cannot be written to %s: %s", upstream, self._path, error)

    def find(self, name: str, owner: str, kind: Kind | None = None) -> Kept | None:
        """Who keeps an object (of any kind when none is named), None when nobody here made it for that key."""
        query = "select upstream, replica from kept where name = ? and owner = ? and kind = coalesce(?, kind)"
        rows = self._rows(query, (name, owner, kind.value if kind is not None else None))
        return Kept(*rows[0]) if rows else None

    def names(self, owner: str, kind: Kind, *, after: str = "", oldest_first: bool = False, most: int) -> list[str]:
        """The names of a key's objects of one kind in the order in which they were made, those that come `after` one
        of them when it is known."""
        way, beyond = ("asc", ">") if oldest_first else ("desc", "<")
        query = f"""
            select name from kept where owner = ? and kind = ? and (
                ? = '' or (at, name) {beyond} (select at, name from kept where name = ? and owner = ?)
            ) order by at {way}, name {way} limit ?"""  # noqa: S608 (nothing in it is a client's)
        return [name for (name,) in self._rows(query, (owner, kind.value, after, after, owner, most))]

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[str, ...]]:
        """What a query finds; nothing where there is no table, or none that can be read."""
        if not self._path.exists():
            return []
        try:
            return self._open().execute(query, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            log.warning("which upstream keeps an answer cannot be read from %s: %s", self._path, error)
            return []

    def forget(self, name: str) -> None:
        """An answer was deleted."""
        with suppress(sqlite3.Error, OSError):
            self._open().execute("delete from kept where name = ?", (name,))

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            database = opened(self._path, _TABLE)
            found = {row[1] for row in database.execute("pragma table_info(kept)")}
            for name in _LATER.keys() - found:
                with suppress(sqlite3.OperationalError):  # another worker was first
                    database.execute(f"alter table kept add column {name} {_LATER[name]}")
            self._database = database
        return self._database

    def _prune(self, database: sqlite3.Connection) -> None:
        since = int(time.time()) - KEPT_DAYS * HOURS_PER_DAY * SECONDS_PER_HOUR
        database.execute("delete from kept where at < ?", (since,))
        oldest = database.execute("select at from kept order by at desc limit 1 offset ?", (MOST,)).fetchone()
        if oldest is not None:
            database.execute("delete from kept where at <= ?", oldest)
