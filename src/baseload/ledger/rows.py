"""A Call as rows of the hot store's tables. Pure."""

from __future__ import annotations

from operator import attrgetter

import msgspec

from baseload.capacity.offer import OWN
from baseload.errors import BadInput
from baseload.ledger.tables import LEAVES
from baseload.load.calls import Attempt, Call

# The tag that names a run has a column of its own, because every view of a run filters on it.
RUN = "run"
# The largest integer that the database holds.
LARGEST = 2**63 - 1

Values = tuple[str | int | bytes | None, ...]
"""A row, in the order of `CALL` or `ATTEMPT`."""

CALL = (
    *("id", "at_ns", "ended_ns", "run", "model", "bucket", "status", "policy", "decision", "skipped", "tags"),
    "document",
)
ATTEMPT = (
    *("call_id", "number", "route", "upstream", "model", "offer", "own", "book", "started_ns", "first_byte_ns"),
    *("ended_ns", "http_status", "status", "evidence", "cost_nanousd", "provider_nanousd", "error", "service_tier"),
    *LEAVES,
)

_OWN = f"{OWN}/"
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Call).decode
_leaves = attrgetter(*LEAVES)


def document(call: Call) -> bytes:
    """The whole call; the same call is always the same bytes."""
    return _encode(call)


def call_of(stored: bytes) -> Call:
    """The call that a document holds."""
    return _decode(stored)


def call_row(call: Call, stored: bytes) -> Values:
    """The row of a call. What a database may not hold is found by `check`, when it complains."""
    facts, decision = call.facts, call.decision
    return (
        call.id,
        facts.at_ns,
        call.ended_ns,
        facts.tags.get(RUN, ""),
        facts.model,
        facts.bucket._value_,  # `value` is a property in Python: six times as slow, four times a call
        call.status._value_,
        decision.policy,
        decision.id,
        _encode(decision.skipped).decode() if decision.skipped else "[]",
        _encode(facts.tags).decode(),
        stored,
    )


def attempt_row(call: Call, attempt: Attempt) -> Values:
    """The row of an attempt."""
    return (
        call.id,
        attempt.number,
        attempt.route,
        attempt.upstream,
        attempt.model,
        attempt.offer,
        int(attempt.offer.startswith(_OWN)),
        attempt.book,
        attempt.started_ns,
        attempt.first_byte_ns,
        attempt.ended_ns,
        attempt.http_status,
        attempt.status._value_,
        attempt.evidence._value_,
        attempt.cost_nanousd,
        attempt.provider_nanousd,
        attempt.error,
        attempt.service_tier,
        *_leaves(attempt.usage),
    )


def check(call: Call) -> None:
    """Raises BadInput for an integer that no database of ours can hold."""
    _check(call, CALL, call_row(call, b""))
    for attempt in call.attempts:
        _check(call, ATTEMPT, attempt_row(call, attempt))


def _check(call: Call, columns: tuple[str, ...], row: Values) -> None:
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            raise BadInput(
                f"call {call.id} has {column} {value}, beyond what a ledger holds",
                remedy="Mend the record: no count or price is that large.",
            )
