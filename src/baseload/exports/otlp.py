"""Calls as OTLP spans in JSON lines: the very spans that the gateway sends, out of the ledger. Acts on nothing.

One line is one export of a call and its attempts, so a collector's file receiver reads it. Names, ids and what is left
out are those of `gateway/spans.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from baseload import __version__
from baseload.gateway.spans import OPERATIONS, Value, about_attempt, about_call, error_type
from baseload.gateway.tracing import span_id, trace_id
from baseload.load.calls import Call

Span = dict[str, Any]
About = dict[str, Value]
Times = tuple[int, int]

_SERVER, _CLIENT = 2, 3
_FAILED = 2


def lines(calls: Iterable[Call], service: str = "baseload") -> Iterator[bytes]:
    """Each call as one line of OTLP JSON."""
    resource = {"attributes": _attributes({"service.name": service})}
    scope = {"name": "baseload", "version": __version__}
    for call in calls:
        spans = list(_spans(call))
        document = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
        yield msgspec.json.encode(document) + b"\n"


def _spans(call: Call) -> Iterator[Span]:
    trace, root = trace_id(call.id, call.facts.trace), span_id(call.id)
    parent = call.facts.trace.split("-")[1] if call.facts.trace else ""
    operation = OPERATIONS.get(call.facts.operation, "chat")

    def span(name: str, own: str, above: str, kind: int, about: About, times: Times, error: str) -> Span:
        found: Span = {
            "traceId": trace,
            "spanId": own,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": str(times[0]),
            "endTimeUnixNano": str(times[1]),
            "attributes": _attributes(about | ({"error.type": error} if error else {})),
            "status": {"code": _FAILED} if error else {},
        }
        return found | ({"parentSpanId": above} if above else {})

    times = call.facts.at_ns, call.ended_ns
    error = error_type(call.status, None)
    yield span(f"{operation} {call.facts.model}", root, parent, _SERVER, about_call(call, operation), times, error)
    for each in call.attempts:
        about, times = about_attempt(call, each, operation), (each.started_ns, each.ended_ns)
        error = error_type(each.status, each.http_status)
        own = span_id(call.id, each.number)
        yield span(f"{operation} {each.model}", own, root, _CLIENT, about, times, error)


def _attributes(about: dict[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in about.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_value(each) for each in value]}}
