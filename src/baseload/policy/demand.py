"""What bounds a request, read from its bytes: before any price, and without a tokenizer. Pure.

A token has at least one byte, so the bytes of the body bound the tokens of what it holds. What it only names (an image
by its address, a file or a conversation that the provider keeps, what a hosted tool reads) has a bound of its own.
"""

from __future__ import annotations

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
)
_ENTRIES = msgspec.json.Decoder(list[msgspec.Raw])
MOST_ANSWERS = 10**6


def demand_of(asked: Asked) -> Demand:
    """The bounds of a request. Whatever is found where it means nothing only makes them wider."""
    body = asked.body
    images = 0
    for mark in _IMAGES:
        images += body.count(mark)
    beyond = asked.follows is not None
    for mark in _BEYOND:
        if mark in body and not (images and mark == _ADDRESS):  # an image's address is no document's
            beyond = True
    cap = 0 if asked.operation is Operation.EMBEDDINGS else asked.output_cap
    return Demand(len(body), images, _answers(asked), cap, beyond)


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
