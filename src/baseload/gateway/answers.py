"""What a client is told besides the upstream's own answer: whose headers pass, and which are ours. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

from baseload.gateway.endpoints import MESSAGES
from baseload.gateway.head import REQUEST_ID, Headers, Request
from baseload.gateway.http import JSON
from baseload.load.calls import Call, Decision
from baseload.policy.policy import Route
from baseload.units import shown_usd, usd

REQUEST_ID_OF_ANTHROPIC = b"request-id"
UNKNOWN = b"unknown"

MAX_DROPPED = 1_000
"""Characters of what was dropped that a header says; the log says all of it."""

_PASSED = frozenset((b"content-type", b"content-encoding", b"cache-control", b"retry-after", b"retry-after-ms"))
_PASSED |= {REQUEST_ID, REQUEST_ID_OF_ANTHROPIC}
_PASSED_FAMILIES = (b"x-ratelimit-", b"openai-", b"anthropic-ratelimit-")


def passed(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of an upstream's answer that the client gets too."""
    return [field for field in headers if field[0] in _PASSED or field[0].startswith(_PASSED_FAMILIES)]


def passed_lines(headers: Headers, request: Request) -> bytes:
    """`passed`, `identified`, as they are written."""
    lines, named = b"", False
    for name, value in headers:
        if name in _PASSED or name.startswith(_PASSED_FAMILIES):
            lines += b"%b: %b\r\n" % (name, value)
            named = named or name in (REQUEST_ID, REQUEST_ID_OF_ANTHROPIC)
    if named or request.head.path.startswith(MESSAGES):
        return b"".join([b"%b: %b\r\n" % field for field in identified(passed(headers), request)])
    return b"%bx-request-id: %b\r\n" % (lines, request.id)


def translated(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The same for a whole answer that was written anew: it is plain JSON, whatever the upstream's was."""
    return [JSON, *(field for field in passed(headers) if field[0] not in (b"content-type", b"content-encoding"))]


def identified(headers: list[tuple[bytes, bytes]], request: Request) -> list[tuple[bytes, bytes]]:
    """With the id of the request, which the upstream was given too, where the upstream does not name its own."""
    named, found = {name for name, _ in headers}, request.id
    if not found or REQUEST_ID in named:
        return headers
    if REQUEST_ID_OF_ANTHROPIC in named or not request.path.startswith(MESSAGES):
        return [*headers, (REQUEST_ID, found)]
    return [*headers, (REQUEST_ID, found), (REQUEST_ID_OF_ANTHROPIC, found)]


def dropped(fields: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """What of the request had no counterpart at the upstream. Its names come from the client: made fit for a header."""
    if not fields:
        return []
    said = "; ".join(fields)[:MAX_DROPPED].encode("ascii", "replace")
    return [(b"x-baseload-dropped", bytes(byte if 31 < byte < 127 else 63 for byte in said))]


def served_by(route: Route, decision: Decision) -> list[tuple[bytes, bytes]]:
    """Who answered, and which decision sent it there."""
    steady = _who(route.upstream, route.model, route.name, decision.policy)
    return [*steady, (b"x-baseload-decision-id", decision.id.encode())]


def served_by_lines(route: Route, policy: str) -> bytes:
    """The same as it is written, up to what is this decision's own."""
    who = _who(route.upstream, route.model, route.name, policy)
    return b"".join([b"%b: %b\r\n" % field for field in who])


@lru_cache(maxsize=1_024)
def _who(upstream: str, model: str, route: str, policy: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-baseload-upstream", upstream.encode()),
        (b"x-baseload-model", model.encode()),
        (b"x-baseload-route", route.encode()),
        (b"x-baseload-policy", policy.encode()),
    )


def cost_usd(call: Call) -> Decimal | None:
    """What the call cost with all its attempts, in exact USD; None when a price is missing."""
    nanos = call.cost_nanousd
    return None if nanos is None else usd(nanos)


def cost(call: Call) -> tuple[bytes, bytes]:
    """What the call cost with all its attempts, in exact USD; `unknown` when a price is missing."""
    nanos = call.cost_nanousd
    return b"x-baseload-cost-usd", UNKNOWN if nanos is None else shown_usd(nanos).encode()
