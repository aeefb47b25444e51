"""A Call as rows of the hot store's tables. Pure."""

from __future__ import annotations

import msgspec

from baseload.capacity.offer import OWN
from baseload.errors import BadInput
from baseload.ledger.tables import LEAVES
from baseload.load.calls import Attempt, Call

# The tag that names a run has a column of its own, because every view of a run filters on it.
RUN = "run"
# The largest integer that the database holds.
LARGEST = 2**63 - 1

Row = dict[str, str | int | bytes | None]

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Call).decode


def document(call: Call) -> bytes:
    """The whole call; the same call is always the same bytes."""
    return _encode(call)


def call_of(stored: bytes) -> Call:
    """The call that a document holds."""
    return _decode(stored)


def call_row(call: Call, stored: bytes) -> Row:
    """The row of a call. Raises BadInput for an integer that the database cannot hold."""
    facts, decision = call.facts, call.decision
    return _checked(
        call,
        {
            "id": call.id,
            "at_ns": facts.at_ns,
            "ended_ns": call.ended_ns,
            "run": facts.tags.get(RUN, ""),
            "model": facts.model,
            "bucket": facts.bucket.value,
            "status": call.status.value,
            "policy": decision.policy,
            "decision": decision.id,
            "skipped": _encode(decision.skipped).decode(),
            "tags": _encode(facts.tags).decode(),
            "document": stored,
        },
    )


def attempt_row(call: Call, attempt: Attempt) -> Row:
    """The row of an attempt. Raises BadInput for an integer that the database cannot hold."""
    leaves: Row = {leaf: getattr(attempt.usage, leaf) for leaf in LEAVES}
    return _checked(
        call,
        leaves
        | {
            "call_id": call.id,
            "number": attempt.number,
            "route": attempt.route,
            "upstream": attempt.upstream,
            "model": attempt.model,
            "offer": attempt.offer,
            "own": int(attempt.offer.startswith(f"{OWN}/")),
            "book": attempt.book,
            "started_ns": attempt.started_ns,
            "first_byte_ns": attempt.first_byte_ns,
            "ended_ns": attempt.ended_ns,
            "http_status": attempt.http_status,
            "status": attempt.status.value,
            "evidence": attempt.evidence.value,
            "cost_nanousd": attempt.cost_nanousd,
            "provider_nanousd": attempt.provider_nanousd,
            "error": attempt.error,
        },
    )


def _checked(call: Call, row: Row) -> Row:
    for column, value in row.items():
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            raise BadInput(
                f"call {call.id} has {column} {value}, beyond what a ledger holds",
                remedy="Mend the record: no count or price is that large.",
            )
    return row
