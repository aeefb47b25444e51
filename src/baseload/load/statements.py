"""What a provider states of a span of time: tokens used, or money billed, in one sum. A pure value.

A statement is an aggregate and never pretends to be calls: it has no arrival, no latency and no outcome, so it can bill
and be reconciled, and says nothing of peaks or concurrency.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from hashlib import sha256

import msgspec

from baseload.usage import Usage


class Kind(StrEnum):
    """What a statement sums up."""

    USAGE = "usage"  # tokens and requests
    COST = "cost"  # money: what an invoice is made of


class Statement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a provider's usage or cost report, from `start_ns` to before `end_ns` (nanoseconds since the epoch).

    Empty texts are dimensions that the report was not grouped by. `requests` None: the report does not count them.
    `usd` is exact and signed (a credit is negative), None on a line that states no money. `item` is the report's own
    words for the line, `processing` its tier (`batch`, `flex`, `priority`).
    """

    source: str
    provider: str
    kind: Kind
    start_ns: int
    end_ns: int
    model: str = ""
    project: str = ""
    key: str = ""
    user: str = ""
    processing: str = ""
    item: str = ""
    requests: int | None = None
    usage: Usage = Usage()
    usd: Decimal | None = None

    @property
    def line(self) -> str:
        """The same line of the same report has the same name, whatever its figures are by now."""
        told = (
            self.source,
            self.provider,
            self.kind.value,
            str(self.start_ns),
            str(self.end_ns),
            self.model,
            self.project,
            self.key,
            self.user,
            self.processing,
            self.item,
        )
        return _digest("\x1f".join(told).encode())

    @property
    def id(self) -> str:
        """The line with its figures: a report that was taken again unchanged says nothing new."""
        return f"{self.line}-{_digest(_encode(self))[:16]}"


_encode = msgspec.json.Encoder(order="deterministic").encode


def _digest(told: bytes) -> str:
    return sha256(told).hexdigest()[:32]
