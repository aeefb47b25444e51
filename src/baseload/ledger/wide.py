"""A call as the lake keeps it: a row for each attempt with what is known of its call, all in one table. Pure.

`final` is true in one row of each call, its last attempt's (or the only one, of a call that no route could take). So
calls are counted where it is true, and the counts of any grouping add up to all calls. The whole call, as it was
metered, is the `document` of that row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from baseload.ledger import rows
from baseload.ledger.tables import LEAVES
from baseload.load.calls import Call

# Tags that have a column of their own; all of them are in `tags`.
TAGS = ("run", "team", "project", "customer", "feature", "key")

# Columns and their types, in SQL of DuckDB. The names of an attempt's own columns are those of the hot store.
COLUMNS = {
    "id": "VARCHAR",
    "at_ns": "BIGINT",
    "call_ended_ns": "BIGINT",
    "asked_model": "VARCHAR",
    "bucket": "VARCHAR",
    "call_status": "VARCHAR",
    "policy": "VARCHAR",
    "decision": "VARCHAR",
    "skipped": "VARCHAR",
    "tags": "VARCHAR",
    **dict.fromkeys(TAGS, "VARCHAR"),
    "final": "BOOLEAN",
    "number": "BIGINT",
    "route": "VARCHAR",
    "upstream": "VARCHAR",
    "model": "VARCHAR",
    "offer": "VARCHAR",
    "own": "BIGINT",
    "book": "VARCHAR",
    "started_ns": "BIGINT",
    "first_byte_ns": "BIGINT",
    "ended_ns": "BIGINT",
    "http_status": "BIGINT",
    "status": "VARCHAR",
    "evidence": "VARCHAR",
    "cost_nanousd": "BIGINT",
    "provider_nanousd": "BIGINT",
    "error": "VARCHAR",
    "service_tier": "VARCHAR",
    **dict.fromkeys(LEAVES, "BIGINT"),
    "document": "VARCHAR",
}

_encode = msgspec.json.Encoder().encode
# The first columns of a call's row of the hot store, by their names here.
_OF_CALL = ("id", "at_ns", "call_ended_ns", "run", "asked_model", "bucket", "call_status", "policy", "decision")
_OF_ATTEMPT = rows.ATTEMPT[1:]


def values(call: Call, document: bytes | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a call by the names of their columns; a column that is left out is null."""
    of_call: dict[str, Any] = dict(zip(_OF_CALL, rows.call_row(call, b""), strict=False))
    of_call |= {tag: call.facts.tags.get(tag, "") for tag in TAGS}
    if document is not None:
        of_call |= {"tags": _encode(call.facts.tags).decode(), "skipped": _encode(call.decision.skipped).decode()}
    last = {"final": True} if document is None else {"final": True, "document": document.decode()}
    if not call.attempts:
        yield of_call | last
    for number, attempt in enumerate(call.attempts, 1):
        of_attempt = dict(zip(_OF_ATTEMPT, rows.attempt_row(call, attempt)[1:], strict=True))
        yield of_call | of_attempt | (last if number == len(call.attempts) else {"final": False})


def lines(call: Call) -> Iterator[bytes]:
    """The rows of a call, each as a line of JSON."""
    for row in values(call, rows.document(call)):
        yield _encode(row) + b"\n"
