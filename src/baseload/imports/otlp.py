"""OTLP in protobuf as the records that OTLP in JSON would be. Acts (reads a stream). Needs the extra `otel`.

A file holds exports one after the other, which protobuf reads as one: a list of resource spans. They are cut out of the
stream one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from baseload.errors import BadConfig
from baseload.imports.records import MOST_LINE, Record, Stream

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

_RESOURCE_SPANS = b"\n"  # field 1, of a length that follows
_MOST_DIGITS = 5
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def is_protobuf(head: bytes) -> bool:
    """Whether a file begins as an export in protobuf does; JSON begins with a brace, whatever spaces it follows. A
    length of 91 or 123 looks like one, but JSON holds no control characters, and spans do."""
    if head[:1] != _RESOURCE_SPANS:
        return False
    return head.lstrip()[:1] not in (b"{", b"[", b"") or _CONTROL.search(head) is not None


def spans_of(stream: Stream) -> Iterator[Record]:
    """Every resource spans of a stream; the number of a record stands for its line."""
    try:
        from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
    except ImportError as error:
        raise BadConfig(
            "spans in protobuf cannot be read without their library",
            remedy="Install it with `pip install 'baseload[otel]'`, or export OTLP as JSON.",
        ) from error
    number = 0
    while mark := stream.read(1):
        number += 1
        size = _varint(stream) if mark == _RESOURCE_SPANS else None
        if size is None or size > MOST_LINE:
            yield Record(number, {}, mark, "no resource spans: what follows cannot be read")
            return
        raw = stream.read(size)
        try:
            found = ResourceSpans.FromString(raw)
        except Exception as error:  # noqa: BLE001  the library's own errors are of no common kind
            yield Record(number, {}, raw, f"no resource spans: {str(error)[:80]}")
            continue
        yield Record(number, _plain(found), raw)


def _varint(stream: Stream) -> int | None:
    """A length, seven bits in a byte; None when there is none."""
    value = 0
    for place in range(_MOST_DIGITS):
        byte = stream.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:
            return value
    return None


def _plain(found: ResourceSpans) -> dict[str, Any]:
    """In the names of OTLP's JSON."""
    return {
        "resource": {"attributes": _attributes(found.resource.attributes)},
        "scopeSpans": [{"spans": [_span(span) for span in scope.spans]} for scope in found.scope_spans],
    }


def _span(span: Any) -> dict[str, Any]:  # noqa: ANN401  generated classes
    return {
        "spanId": span.span_id.hex(),
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "status": {"code": span.status.code},
        "attributes": _attributes(span.attributes),
    }


_KINDS = {
    "string_value": "stringValue",
    "int_value": "intValue",
    "double_value": "doubleValue",
    "bool_value": "boolValue",
}


def _attributes(listed: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    found = []
    for each in listed:
        kind = each.value.WhichOneof("value")
        if kind in _KINDS:
            value = getattr(each.value, kind)
            found.append({"key": each.key, "value": {_KINDS[kind]: _exact(value)}})
    return found


def _exact(value: object) -> object:
    """A double as JSON would write it."""
    return Decimal(repr(value)) if isinstance(value, float) else value
