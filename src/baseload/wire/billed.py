"""What an answer that is of no use says it consumed all the same: it is billed, whoever is asked next. Pure.

A chat without choices, a message without content, or one of a shape that cannot be told in the client's dialect, may
still hold its upstream's own count.
"""

from __future__ import annotations

import msgspec

from baseload.wire import anthropic_answer
from baseload.wire.answer import Answered, decoded, tier_in, tier_in_usage, usage_in, usd_in


class _Document(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")
    type: msgspec.Raw = msgspec.Raw(b"null")


_DOCUMENT = msgspec.json.Decoder(_Document)


def billed(answer: bytes) -> Answered | None:
    """The usage of a whole JSON document, whichever dialect it is in; None where it counts nothing.

    >>> billed(b'{"choices":null,"usage":{"prompt_tokens":3,"completion_tokens":2}}').usage.prompt_tokens
    3
    >>> billed(b'{"error":{"message":"busy"}}') is None
    True
    """
    document = decoded(_DOCUMENT, answer)
    raw = bytes(document.usage) if document is not None else b""
    if document is None or not raw.startswith(b"{"):
        return None
    if bytes(document.type) == b'"message"':
        usage = anthropic_answer.usage_in(raw)
    else:
        usage = usage_in(raw) or usage_in(raw, "input_tokens", "output_tokens")
    if usage is None:
        return None
    return Answered(usage, 0, usd_in(raw), service_tier=tier_in(bytes(document.service_tier)) or tier_in_usage(raw))
