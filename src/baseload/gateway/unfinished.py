"""Answers that an upstream still works on, in a table that outlives whoever waits for them. Acts (SQLite).

    <data_dir>/background.sqlite    one row for each, in a write-ahead log; gone when its call is written down

A row belongs to one worker at a time, by a lease that it renews while it lives. What the lease of a dead worker held is
taken over by another one, or by the gateway that is started next. A row holds what a call holds until then, so no word
of a prompt and no key.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from baseload.gateway.meter import Try
from baseload.gateway.small_database import opened
from baseload.load.calls import Attempt, Decision
from baseload.load.facts import Facts
from baseload.policy.policy import Route

log = logging.getLogger(__name__)

UNFINISHED = "background.sqlite"
"""Its name in `data_dir`."""
MOST = 100
"""Rows that are taken over at a time."""

_TABLE = """
create table if not exists unfinished (
    name text primary key, holder text not null, until real not null, document blob not null
) without rowid;
"""


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """One answer that is being made: its `name` at the `upstream` (and `replica` of a pool), and the call so far."""

    name: str
    upstream: str
    replica: str
    facts: Facts
    decision: Decision
    attempts: tuple[Attempt, ...]
    route: Route
    number: int
    started_ns: int
    first_byte_ns: int | None
    http_status: int | None

    @property
    def attempt(self) -> Try:
        """The attempt that is under way."""
        return Try(
            self.route,
            self.number,
            self.started_ns,
            sent=True,
            first_byte_ns=self.first_byte_ns,
            http_status=self.http_status,
        )


class UnfinishedTable:
    """The table, as one worker (`holder`) sees it. Opened by the first use: who asks for nothing has no file."""

    def __init__(self, path: Path, holder: str) -> None:
        self._path = path
        self._holder = holder
        self._database: sqlite3.Connection | None = None

    def put(self, found: Unfinished, seconds: float) -> bool:
        """Note an answer, as ours for so long; False when that cannot be written."""
        row = (found.name, self._holder, time.time() + seconds, msgspec.json.encode(found))
        try:
            self._open().execute("insert or replace into unfinished values (?, ?, ?, ?)", row)
        except (sqlite3.Error, OSError) as error:
            log.error("%s: what %s works on cannot be written down: %s", self._path, found.upstream, error)
            return False
        return True

    def renew(self, seconds: float) -> None:
        """Ours are ours for so long from now."""
        with suppress(sqlite3.Error, OSError):
            query = "update unfinished set until = ? where holder = ?"
            self._open().execute(query, (time.time() + seconds, self._holder))

    def take_over(self, seconds: float) -> list[Unfinished]:
        """Those that nobody holds any more: they are ours now, for so long."""
        if not self._path.exists():
            return []
        now = time.time()
        taken = []
        try:
            database = self._open()
            query = "select name, document, until from unfinished where until < ? limit ?"
            for name, document, until in database.execute(query, (now, MOST)).fetchall():
                claim = "update unfinished set holder = ?, until = ? where name = ? and until = ?"
                if database.execute(claim, (self._holder, now + seconds, name, until)).rowcount:
                    taken.append(msgspec.json.decode(document, type=Unfinished))
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            log.warning("%s: what nobody waits for cannot be taken over: %s", self._path, error)
        return taken

    def drop(self, name: str) -> None:
        """Its call is written down."""
        with suppress(sqlite3.Error, OSError):
            self._open().execute("delete from unfinished where name = ?", (name,))

    def leave(self, name: str) -> None:
        """It is nobody's: whoever looks next takes it over."""
        with suppress(sqlite3.Error, OSError):
            self._open().execute("update unfinished set until = 0 where name = ?", (name,))

    def close(self) -> None:
        """Leave ours to whoever comes next."""
        if self._database is not None:
            self.renew(-1.0)
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = opened(self._path, _TABLE)
        return self._database
