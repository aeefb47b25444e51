"""Anthropic Messages: what a request asks, and the same bytes for another model. Pure.

Nothing but what routing needs is decoded. What goes upstream is the client's own bytes with the model name spliced in;
unknown fields survive byte for byte. So does counting tokens, which costs nothing and writes nothing.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from baseload.usage import Usage
from baseload.wire.answer import Answered, count_in, counts_in, decoded, fields_in, tokens_in
from baseload.wire.anthropic_answer import Relay, read_answer
from baseload.wire.asked import Asked, Operation, tag
from baseload.wire.body import check_entries, places, read_body, splice
from baseload.wire.passage import Fields

VERSION: Fields = ((b"anthropic-version", b"2023-06-01"),)
"""The version that this file is written for; a client that names its own keeps it."""

TOKENS_PER_IMAGE = 1_600
"""About what an image takes that need not be made smaller: 1.15 megapixels (Anthropic, vision guide, read 2026-11).
A document counts as one image: nobody knows its pages before it is read."""

OWN_SIGNATURE = "baseload"
"""Signs a thinking block that was no Anthropic model's. Anthropic could not verify it, so it is not sent there."""

Cap = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

_FILE = re.compile(rb'"data"[ \t\n\r]*:[ \t\n\r]*"([A-Za-z0-9+/=\\]*)"')
_IMAGE, _DOCUMENT = b'"image"', b'"document"'


class _Typed(msgspec.Struct):
    type: str = ""


class _OutputConfig(msgspec.Struct):
    format: _Typed | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Count(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    messages: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]
    system: str | list[msgspec.Raw] | None = None
    tools: list[msgspec.Raw] | None = None
    output_config: _OutputConfig | None = None
    output_format: _Typed | None = None
    metadata: _Metadata | None = None


class _Body(_Count, kw_only=True):
    max_tokens: Cap
    stream: bool | None = None


class _Signed(msgspec.Struct):
    type: str = ""
    signature: str = ""


_COUNT = msgspec.json.Decoder(_Count)
_BODY = msgspec.json.Decoder(_Body)
_SIGNED = msgspec.json.Decoder(_Signed)
_MESSAGES = msgspec.json.Decoder(list[msgspec.Raw])
_BLOCKS = msgspec.json.Decoder(list[msgspec.Raw])


class _Told(msgspec.Struct):
    input_tokens: int


def read(body: bytes) -> Asked:
    """What the body of POST /v1/messages asks for. Raises BadBody naming the field at fault and the remedy."""
    remedy = "Send one JSON object with `model`, `max_tokens` and `messages`."
    document, fields = read_body(body, _BODY, remedy=remedy)
    return _asked(body, document, fields, Operation.MESSAGES, bool(document.stream), document.max_tokens)


def read_count(body: bytes) -> Asked:
    """What the body of POST /v1/messages/count_tokens asks for. Raises BadBody."""
    document, fields = read_body(body, _COUNT, remedy="Send one JSON object with `model` and `messages`.")
    return _asked(body, document, fields, Operation.COUNT_TOKENS, False, 0)


def told(asked: Asked) -> bytes:
    """Our own estimate of what a request would read, as count_tokens answers it.

    Nobody but an upstream that counts can tell it exactly: whoever sends this says that it is an estimate.
    """
    return msgspec.json.encode(_Told(asked.input_tokens))


class Passage:
    """A message on its way to an upstream that speaks the same: only the model name changes."""

    path = "/messages"
    headers = VERSION
    dropped: tuple[str, ...] = ()

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def body(self, model: str) -> bytes:
        edits = [(*self._asked.places["model"], msgspec.json.encode(model))]
        start, end = self._asked.places["messages"]
        messages = self._asked.body[start:end]
        if b'"%b"' % OWN_SIGNATURE.encode() in messages:
            edits.append((start, end, _without_own_thinking(messages)))
        return splice(self._asked.body, edits)

    def read(self, answer: bytes) -> Answered | None:
        return read_answer(answer)

    def whole(self, answer: bytes) -> bytes:
        return answer

    def refusal(self, status: int, answer: bytes) -> bytes:
        del status
        return answer

    def stream(self) -> Relay:
        return Relay()


class CountPassage(Passage):
    """A question how many tokens a request has, on its way to an upstream that counts. It is free of charge
    (Anthropic, token counting, read 2026-11), so what it consumed is nothing."""

    path = "/messages/count_tokens"

    def read(self, answer: bytes) -> Answered | None:
        return Answered(Usage(), 0) if count_in(counts_in(answer), "input_tokens") is not None else None


def _asked(
    body: bytes,
    document: _Count,
    fields: dict[str, msgspec.Raw],
    operation: Operation,
    stream: bool,
    cap: int,
) -> Asked:
    for name in ("messages", "tools"):
        check_entries(name, getattr(document, name))
    standing, end = places(body, fields)
    tags: dict[str, str] = {}
    if document.metadata is not None and document.metadata.user_id:
        tag("user", document.metadata.user_id, tags)
    messages = bytes(fields["messages"])
    return Asked(
        body=body,
        operation=operation,
        places=standing,
        end=end,
        model=document.model,
        stream=stream,
        usage_asked=True,
        output_cap=cap or None,
        needs=_needs(document, messages),
        input_tokens=_input_tokens(messages, bytes(fields.get("system", b"")), bytes(fields.get("tools", b""))),
        tags=tags,
    )


def _needs(document: _Count, messages: bytes) -> frozenset[str]:
    needs = set()
    if document.tools:
        needs.add("tools")
    config = document.output_config
    formats = (document.output_format, config.format if config is not None else None)
    if any(each is not None and each.type == "json_schema" for each in formats):
        needs.add("json_schema")
    if _IMAGE in messages:
        needs.add("vision")
    return frozenset(needs)


def _input_tokens(messages: bytes, system: bytes, tools: bytes) -> int:
    """From the bytes of what is read, less the files in it, and a flat count for each file."""
    length = len(messages) + len(system) + len(tools)
    files = messages.count(_IMAGE) + messages.count(_DOCUMENT)
    if files:
        length -= sum(len(found[1]) for found in _FILE.finditer(messages))
    return tokens_in(length) + files * TOKENS_PER_IMAGE


def _without_own_thinking(messages: bytes) -> bytes:
    """The messages without the thinking blocks that we signed, and without those that held nothing else."""
    stripped = (_stripped(bytes(each)) for each in _MESSAGES.decode(messages))
    return b"[%b]" % b",".join(each for each in stripped if each)


def _stripped(message: bytes) -> bytes:
    fields = fields_in(message)
    blocks = decoded(_BLOCKS, bytes(fields.get("content", b"")))
    kept = [block for block in blocks or () if not _is_own(bytes(block))]
    if len(kept) == len(blocks or ()):
        return message
    return msgspec.json.encode({**fields, "content": kept}) if kept else b""


def _is_own(block: bytes) -> bool:
    signed = decoded(_SIGNED, block)
    return signed is not None and signed.type == "thinking" and signed.signature == OWN_SIGNATURE
