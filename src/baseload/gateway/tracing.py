"""W3C trace context: the client's trace goes on through the gateway. Pure.

A call's spans have names that follow from its id, so that the header of an attempt can be written when it starts and
its span when the call is drained, by another process. A call that comes without a trace has its own id as trace id.
"""

from __future__ import annotations

import hashlib
import re

TRACEPARENT = b"traceparent"

# version, trace id, parent id, flags; all zeros are no id, and version ff is none.
_SHAPE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


def read_trace(header: bytes) -> str:
    """A traceparent as `trace-parent-flags`, or nothing when it is none.

    >>> read_trace(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    >>> read_trace(b"00-00000000000000000000000000000000-b7ad6b7169203331-01")
    ''
    """
    found = _SHAPE.fullmatch(header.decode("latin-1"))
    return "-".join(found.groups()) if found else ""


def trace_id(call: str, trace: str) -> str:
    """The trace that a call is part of: its client's, or one of its own."""
    if trace:
        return trace.partition("-")[0]
    return call if re.fullmatch(r"(?!0{32})[0-9a-f]{32}", call) else _digest(call, 16)


def span_id(call: str, number: int = 0) -> str:
    """The span of a call, or of its attempt of that number."""
    return _digest(f"{call}/{number}", 8)


def sampled(trace: str) -> bool:
    """Whether the client wants the spans of this call; one that says nothing does."""
    return not trace or int(trace[-2:], 16) & 1 == 1


def outgoing(call: str, trace: str, number: int) -> bytes:
    """The header that makes what an upstream does part of an attempt's span."""
    return f"00-{trace_id(call, trace)}-{span_id(call, number)}-{'01' if sampled(trace) else '00'}".encode()


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()
