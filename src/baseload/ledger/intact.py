"""Whether calls are still what was recorded: in the columns of the hot store, and beside the lake. Acts (reads).

A call stands twice in the hot store, as a document and as figures in columns, and a third time in the lake. Sums are
made of the columns, exports of the documents: when one of them is changed the others tell.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from baseload.clock import from_ns
from baseload.ledger import rows, tables
from baseload.ledger.duck import parquet
from baseload.ledger.lake import HOUR_NS, PAGE
from baseload.ledger.query import Answers

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Calls that a line names; the rest is counted.
NAMED = 3
# What is compared: numbers, and the two words that say whether money is in a sum. A database may hold other texts than
# a document does (no null byte).
_WORDS = ("status", "evidence")
_FIGURES = tuple(
    place
    for place, name in enumerate(rows.ATTEMPT)
    if name in _WORDS or tables.attempts.c[name].type.python_type is int
)


def documents(store: Answers, hour_ns: int, upto: int) -> Iterator[list[tuple[str, str]]]:
    """Calls of an hour up to a position with digests of their documents, as the lake would write them down."""
    table, after = tables.calls.c, 0
    query = select(table.position, table.id, table.document).order_by(table.position).limit(PAGE)
    query = query.where(table.at_ns >= hour_ns, table.at_ns < hour_ns + HOUR_NS, table.position <= upto)
    while page := store.rows(query.where(table.position > after)):
        yield [(row.id, _digest(bytes(row.document))) for row in page]
        after = page[-1].position


def digests_of(connection: DuckDBPyConnection, addresses: Sequence[str], hour_ns: int) -> dict[str, str]:
    """The same of calls in some files of the lake."""
    if not addresses:
        return {}
    sql = f"select id, document from {parquet(addresses)} where final and at_ns >= ? and at_ns < ?"  # noqa: S608
    found: dict[str, str] = {}
    answer = connection.execute(sql, [hour_ns, hour_ns + HOUR_NS])
    while page := answer.fetchmany(PAGE):
        found |= {name: _digest(document.encode()) for name, document in page}
    return found


def altered(store: Answers) -> list[str]:
    """Hours of which calls of the hot store have other figures in their columns than in their documents, in words."""
    found: dict[int, list[str]] = defaultdict(list)
    table, after = tables.calls.c, 0
    query = select(table.position, table.id, table.at_ns, table.ended_ns, table.document)
    query = query.order_by(table.position).limit(PAGE)
    while page := store.rows(query.where(table.position > after)):
        tries = _attempts(store, [row.id for row in page])
        for row in page:
            if not _agrees(row, tries[row.id]):
                found[row.at_ns - row.at_ns % HOUR_NS].append(row.id)
        after = page[-1].position
    return [
        f"{of_hour(hour_ns, len(names))} of the hot store have other figures than they were recorded with: "
        f"{named(names)}"
        for hour_ns, names in sorted(found.items())
    ]


def of_hour(hour_ns: int, calls: int) -> str:
    """Which hour, and how many calls of it."""
    return f"{from_ns(hour_ns):%Y-%m-%d %H:00} UTC: {calls:,} calls"


def named(calls: Sequence[str]) -> str:
    """The first of some calls by their names."""
    return ", ".join(calls[:NAMED]) + (" ..." if len(calls) > NAMED else "")


def _attempts(store: Answers, ids: list[str]) -> dict[str, set[rows.Values]]:
    """The figures of the attempts of some calls."""
    found: dict[str, set[rows.Values]] = defaultdict(set)
    columns = [tables.attempts.c[name] for name in rows.ATTEMPT]
    for row in store.rows(select(*columns).where(tables.attempts.c.call_id.in_(ids))):
        found[row.call_id].add(_figures(row))
    return found


def _agrees(row: Any, tries: set[rows.Values]) -> bool:  # noqa: ANN401 (a row of `calls`)
    try:
        call = rows.call_of(row.document)
    except msgspec.MsgspecError:
        return False
    said = {_figures(rows.attempt_row(call, each)) for each in call.attempts}
    return (call.id, call.facts.at_ns, call.ended_ns) == (row.id, row.at_ns, row.ended_ns) and tries == said


def _figures(row: Sequence[Any]) -> rows.Values:
    return tuple(row[place] for place in _FIGURES)


def _digest(document: bytes) -> str:
    """Of what this version writes of a call: an older one may have written the same call in other bytes."""
    with suppress(msgspec.MsgspecError):
        document = rows.document(rows.call_of(document))
    return hashlib.sha256(document).hexdigest()
