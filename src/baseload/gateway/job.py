"""One request on its way through the gateway: what was asked, what was decided, how far it has come. A plain record."""

from __future__ import annotations

from dataclasses import dataclass, field

from baseload.gateway.meter import Record, Try
from baseload.gateway.request import Request
from baseload.gateway.state import Snapshot
from baseload.load.facts import Facts
from baseload.wire.asked import Asked
from baseload.wire.body import BadBody
from baseload.wire.passage import Passage, Stream


@dataclass(slots=True)
class Job:
    """One request on its way."""

    request: Request
    asked: Asked
    snapshot: Snapshot
    record: Record
    full: list[str] = field(default_factory=list)
    unfit: list[tuple[str, BadBody | None]] = field(default_factory=list)  # routes that cannot carry it, and why
    retry_after: bytes = b""
    attempt: Try | None = None  # the one under way, or the last
    over: Passage | None = None  # how it gets to that upstream
    relay: Stream | None = None  # what it delivered of a stream
    written: bool = False

    @property
    def facts(self) -> Facts:
        return self.record.facts
