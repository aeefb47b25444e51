"""What a call cost, put into the `usage` of its answer where a client asked for that: `usage.cost`, in USD. Pure.

OpenRouter's clients know the field (its "Usage Accounting", read 2026-11). The price of a streamed answer is known only
once the upstream has counted, so `LastCount` keeps back the event that counts until the call is written down.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from baseload.wire.answer import decoded
from baseload.wire.body import BadBody, Fields, places

_FIELDS = msgspec.json.Decoder(Fields)
_DATA = re.compile(rb"(?m)^data: ?(?=\{)(?P<payload>.*)$")
_COUNTS = b'"usage":'
_WHERE = ("usage", "response", "message")
"""Where a document says what it consumed: itself, or the response or message inside of an event."""


def with_cost(document: bytes, cost: Decimal | None) -> bytes:
    """A JSON answer, or the payload of an event, whose usage says what it cost; null where a price is not known. The
    bytes as they are where it has no usage.

    >>> with_cost(b'{"usage":{"prompt_tokens":3}}', Decimal("0.0042"))
    b'{"usage":{"cost":0.0042,"prompt_tokens":3}}'
    """
    fields = decoded(_FIELDS, document)
    if fields is None:
        return document
    for name in _WHERE:
        raw = bytes(fields.get(name, b""))
        if not raw.startswith(b"{"):
            continue
        new = _costed(raw, cost) if name == "usage" else with_cost(raw, cost)
        if new != raw:
            try:
                start, end = places(document, fields)[0][name]
            except (BadBody, ValueError):  # a key stands twice: not ours to judge
                return document
            return document[:start] + new + document[end:]
    return document


def events_with_cost(events: bytes, cost: Decimal | None) -> bytes:
    """The last events of a stream, of which the last that counts says what the call cost."""
    found = [match for match in _DATA.finditer(events) if _COUNTS in match["payload"]]
    if not found:
        return events
    start, end = found[-1].span("payload")
    return events[:start] + with_cost(events[start:end], cost) + events[end:]


class LastCount:
    """Keeps back the last event of a stream where it counts: what comes after it shows whether it was the last."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, events: bytes) -> bytes:
        """Of whole events, those that may be relayed now."""
        if not events:
            return events
        events, self.held = self.held + events, b""
        last = _last_event(events)
        if _COUNTS in events[last:]:
            events, self.held = events[:last], events[last:]
        return events


def _last_event(events: bytes) -> int:
    """Where the last of whole events begins."""
    ends = ((b"\n\n", 2), (b"\r\n\r\n", 4))
    found = [(events.rfind(mark, 0, -length), length) for mark, length in ends]
    return max(at + length if at >= 0 else 0 for at, length in found)


def _costed(usage: bytes, cost: Decimal | None) -> bytes:
    """A usage object with the cost, in place of one that the provider said."""
    said = b"null" if cost is None else f"{cost:f}".encode()
    fields = decoded(_FIELDS, usage) or {}
    kept = [b"%b:%b" % (msgspec.json.encode(name), bytes(raw)) for name, raw in fields.items() if name != "cost"]
    return b"{%b}" % b",".join([b'"cost":' + said, *kept])
