"""What the hot store no longer holds: how many calls of which hour, where they are, and which they were. Acts on a
transaction that is handed in.

Of each call that was taken out a digest of its id stays behind: one that is delivered once more is known for what it
is, and is charged to no budget again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Select, Table, Text, delete, insert, select, update

from baseload.ledger.query import Answers
from baseload.ledger.tables import attempts, calls, metadata

hours = Table(
    "removed_hours",
    metadata,
    Column("hour_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
    Column("lake", Text, nullable=False),
)

names = Table("removed_calls", metadata, Column("digest", LargeBinary(16), primary_key=True), sqlite_with_rowid=False)


def take_out(connection: Connection, hour_ns: int, ids: Sequence[str], lake: str) -> None:
    """Delete calls of an hour, which the lake has, and write down that they were."""
    connection.execute(insert(names), [{"digest": _digest(each)} for each in ids])
    connection.execute(delete(attempts).where(attempts.c.call_id.in_(ids)))
    connection.execute(delete(calls).where(calls.c.id.in_(ids)))
    more = update(hours).where(hours.c.hour_ns == hour_ns).values(calls=hours.c.calls + len(ids))
    if not connection.execute(more).rowcount:
        connection.execute(insert(hours).values(hour_ns=hour_ns, calls=len(ids), lake=lake))


def known(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those of the ids that calls had which were taken out."""
    return _known(lambda query: connection.execute(query).all(), ids)


def told(store: Answers, ids: Iterable[str]) -> set[str]:
    """The same, of a store that is only read."""
    return _known(store.rows, ids)


def _known(rows: Callable[[Select[Any]], Sequence[Any]], ids: Iterable[str]) -> set[str]:
    if not rows(select(hours.c.hour_ns).limit(1)):
        return set()
    digests = {_digest(each): each for each in ids}
    return {digests[bytes(row.digest)] for row in rows(select(names.c.digest).where(names.c.digest.in_(list(digests))))}


def by_hour(store: Answers) -> dict[int, int]:
    """How many calls of which hours were taken out, in order."""
    return {row.hour_ns: row.calls for row in store.rows(select(hours).order_by(hours.c.hour_ns))}


def lakes(store: Answers) -> list[str]:
    """Where the calls are that were taken out."""
    return [row.lake for row in store.rows(select(hours.c.lake).distinct().order_by(hours.c.lake))]


def _digest(id: str) -> bytes:
    return hashlib.sha256(id.encode()).digest()[:16]
