"""What bounds a request, read from its bytes: before any price, and without a tokenizer. Pure.

A token has at least one byte, so the bytes of the body bound the tokens of what it holds. What it only names (an image
by its address, a file or a conversation that the provider keeps, what a hosted tool reads) has a bound of its own.
"""

from __future__ import annotations

import re

import msgspec

from baseload.policy.budget import Demand
from baseload.wire.asked import Asked, Operation

_IMAGES = (b'"image_url"', b'"input_image"', b'"image"')
_ADDRESS = b'"url"'
_BEYOND = (
    _ADDRESS,
    b'"file_id"',
    b'"file_url"',
    b'"container"',
    b'"conversation"',
    b'"web_search',
    b'"file_search',
    b'"code_interpreter',
    b'"code_execution',
    b'"web_fetch',
    b'"mcp',
    b'"computer',
    b'"input_audio"',
    b'"audio_url"',
    b'"video_url"',
)
_FIELDS = frozenset(("container", "conversation", "web_search_options", "mcp_servers", "plugins"))
"""Fields of a body by which it reads what is not in it."""
_TYPE = re.compile(rb'"type"[ \t\r\n]*:[ \t\r\n]*"([^"]*)"')
_PLAIN = frozenset(
    b"text input_text output_text refusal message function function_call function_call_output tool_use tool_result "
    b"thinking redacted_thinking reasoning summary_text ephemeral enabled disabled adaptive auto any none tool "
    b"json_object json_schema object array string number integer boolean null custom grammar".split()
)
"""Types of parts, tools and schemas that hold what they mean."""
_FLAT = (Operation.CHAT, Operation.MESSAGES)
"""A body of these whose only list is that of its messages has texts and nothing else."""
_ESCAPED = re.compile(rb"\\u00[2-7]")
_ENTRIES = msgspec.json.Decoder(list[msgspec.Raw])
MOST_ANSWERS = 10**6


def demand_of(asked: Asked) -> Demand:
    """The bounds of a request. Whatever is found where it means nothing only makes them wider."""
    body, places = asked.body, asked.places
    images, beyond = 0, asked.follows is not None or not _FIELDS.isdisjoint(places)
    if (asked.operation not in _FLAT or body.count(b"[") > 1) and _names_more(body):
        images, more = _marks(body)
        beyond = beyond or more
    if asked.operation is Operation.RESPONSES and "prompt" in places:  # a prompt that the provider keeps
        beyond = True
    cap = 0 if asked.operation is Operation.EMBEDDINGS else asked.output_cap
    answers = 1
    if "n" in places or "best_of" in places or asked.operation is Operation.COMPLETIONS:
        answers = _answers(asked)
    tier = _tier(asked) if "service_tier" in places or "speed" in places else ""
    return Demand(len(body), images, answers, cap, beyond, tier)


def _names_more(body: bytes) -> bool:
    """Whether a body may name what is not in it: in a part or a tool of a type that is not known to be plain."""
    if b'"type"' in body and not _PLAIN.issuperset(_TYPE.findall(body)):
        return True
    # Some engines take an image without a type; and a letter may be written as its number.
    return b'_url"' in body or (b"\\" in body and b"\\u00" in body and _ESCAPED.search(body) is not None)


def _marks(body: bytes) -> tuple[int, bool]:
    """How many images a body names at the most, and whether it reads what is not in it."""
    if b"\\u00" in body:  # a letter may be written as its number
        body = msgspec.json.encode(msgspec.json.decode(body))
    images = sum(body.count(mark) for mark in _IMAGES)
    # An image's address is no document's.
    return images, any(mark in body for mark in _BEYOND if not (images and mark == _ADDRESS))


def _tier(asked: Asked) -> str:
    """How a request asks to be processed: `speed` and `service_tier` name it; what is no text asks for nothing."""
    for name in ("speed", "service_tier"):
        if name in asked.places:
            start, end = asked.places[name]
            found = msgspec.json.decode(asked.body[start:end])
            if isinstance(found, str):
                return found
    return ""


def _answers(asked: Asked) -> int:
    """How many answers may be written: `n`, or `best_of` candidates when those are more, for each prompt."""
    each = max(_number(asked, "n"), _number(asked, "best_of"))
    prompts = 1
    if asked.operation is Operation.COMPLETIONS and "prompt" in asked.places:
        start, end = asked.places["prompt"]
        if asked.body.startswith(b"[", start):
            entries = _ENTRIES.decode(asked.body[start:end])
            prompts = 1 if entries and bytes(entries[0])[:1].isdigit() else max(1, len(entries))
    return min(each * prompts, MOST_ANSWERS)


def _number(asked: Asked, name: str) -> int:
    """A field that counts; 1 where it is absent or none. What is no number the upstream refuses."""
    if name not in asked.places:
        return 1
    start, end = asked.places[name]
    try:
        found = msgspec.json.decode(asked.body[start:end], type=int | float | None, strict=True)
    except msgspec.DecodeError:
        return 1
    return max(1, int(min(found, MOST_ANSWERS))) if found else 1
