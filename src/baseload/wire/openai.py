"""OpenAI chat completions: what a request asks, and the same bytes for another model. Pure.

Nothing but what routing needs is decoded. What goes upstream is the client's own bytes with the model name, and where
usage would otherwise not be reported `stream_options.include_usage`, spliced in; unknown fields survive byte for byte.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from baseload.wire import sse
from baseload.wire.answer import Answered, decoded, read_answer, text_length, tokens_in
from baseload.wire.asked import Asked, Operation, labels, tag
from baseload.wire.body import MAX_ENTRIES, check_entries, inner_places, places, read_body, rebuilt, splice
from baseload.wire.body import Fields as FieldValues
from baseload.wire.passage import Fields

TOKENS_PER_IMAGE = 765
"""A 1024 x 1024 image at high detail: 85 + 4 x 170 tokens (OpenAI, vision guide, read 2026-11)."""

Cap = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str


class _Usage(msgspec.Struct):
    include: bool | None = None


class _Body(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    messages: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_completion_tokens: Cap | None = None
    max_tokens: Cap | None = None
    tools: list[msgspec.Raw] | None = None
    functions: list[msgspec.Raw] | None = None
    response_format: _ResponseFormat | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    user: str | None = None
    usage: _Usage | None = None


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"")


_BODY = msgspec.json.Decoder(_Body)
_MESSAGE = msgspec.json.Decoder(_Message)
_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(list[str])
_METADATA = msgspec.json.Decoder(dict[str, str])
_encode = msgspec.json.Encoder().encode
_NOTHING: frozenset[str] = frozenset()
_DROPPED = "metadata: values that are no texts are tags for the gateway alone"


def read(body: bytes) -> Asked:
    """What a request body asks for. Raises BadBody naming the field at fault and the remedy."""
    document, fields = read_body(body, _BODY, remedy="Send one JSON object with `model` and `messages`.")
    if len(document.messages) > MAX_ENTRIES:
        check_entries("messages", document.messages)
    if document.tools is not None or document.functions is not None:
        check_entries("tools", document.tools)
        check_entries("functions", document.functions)
    if document.stream_options is not None:
        inner_places(bytes(fields["stream_options"]))
    pictured = b'"image_url"' in body and b'"image_url"' in bytes(fields["messages"])
    standing, end = places(body, fields)
    tags, metadata = _tags(document, fields) if document.metadata or document.user else ({}, None)
    ours = _not_theirs(fields, metadata)
    if ours:
        body = rebuilt(body, standing, ours)
        left = {name: msgspec.Raw(ours.get(name) or bytes(raw)) for name, raw in fields.items()}
        standing, end = places(body, {name: raw for name, raw in left.items() if ours.get(name, b"") is not None})
    cost_asked = document.usage is not None and bool(document.usage.include)
    usage_asked = document.stream_options is not None and bool(document.stream_options.include_usage)
    return Asked(
        body=body,
        places=standing,
        end=end,
        model=document.model,
        stream=bool(document.stream),
        usage_asked=usage_asked or cost_asked,
        cost_asked=cost_asked,
        dropped=(_DROPPED,) if "metadata" in ours else (),
        output_cap=_cap(document),
        needs=_needs(document, pictured),
        input_tokens=_input_tokens(document, pictured),
        tags=tags,
    )


def rewrite(asked: Asked, model: str) -> bytes:
    """The request for another model name. A stream also asks for its usage; every other byte is the client's own."""
    body, (start, end), name = asked.body, asked.places["model"], _encode(model)
    if asked.stream and (asked.cost_asked or not asked.usage_asked):
        return splice(body, [(start, end, name), _usage_edit(asked)])
    return body[:start] + name + body[end:]


class Passage:
    """A chat completion on its way to an upstream that speaks the same: only the model name changes."""

    path = "/chat/completions"
    headers: Fields = ()
    dropped: tuple[str, ...] = ()

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def body(self, model: str) -> bytes:
        return rewrite(self._asked, model)

    def read(self, answer: bytes) -> Answered | None:
        found = read_answer(answer)
        if "store" in self._asked.places and found is not None and self._stored:
            return msgspec.structs.replace(found, made=sse.name_in(answer))
        return found

    def whole(self, answer: bytes) -> bytes:
        return answer

    def refusal(self, status: int, answer: bytes) -> bytes:
        del status
        return answer

    def stream(self) -> sse.Relay:
        kind = sse.NamedRelay if self._stored else sse.Relay
        return kind(hide_usage=not self._asked.usage_asked)

    @property
    def _stored(self) -> bool:
        """Whether the upstream is to keep a chat completion, which it does when it is told to."""
        start, end = self._asked.places.get("store", (0, 0))
        return self._asked.body[start:end] == b"true" and self._asked.operation is Operation.CHAT


def _cap(document: _Body) -> int | None:
    """The cap on the answer. Where two are given, which of them an upstream heeds is its own affair: at most both."""
    one, other = document.max_completion_tokens, document.max_tokens
    return one if other is None else other if one is None else max(one, other)


def _usage_edit(asked: Asked) -> tuple[int, int, bytes]:
    """The splice that sets `stream_options.include_usage`: (from, to, text)."""
    wanted = b'{"include_usage":true}'
    if "stream_options" not in asked.places:
        return asked.end, asked.end, b',"stream_options":' + wanted
    start, end = asked.places["stream_options"]
    options = asked.body[start:end]
    inside = inner_places(options) if options.startswith(b"{") else {}
    if not inside:
        return start, end, wanted
    if "include_usage" in inside:
        inner_start, inner_end = inside["include_usage"]
        return start + inner_start, start + inner_end, b"true"
    return start + 1, start + 1, b'"include_usage":true,'


def _needs(document: _Body, pictured: bool) -> frozenset[str]:
    if not (document.tools or document.functions or document.response_format or pictured):
        return _NOTHING
    needs = set()
    if document.tools or document.functions:
        needs.add("tools")
    if document.response_format is not None and document.response_format.type in ("json_schema", "json_object"):
        needs.add(document.response_format.type)
    if pictured:
        needs.add("vision")
    return frozenset(needs)


def _input_tokens(document: _Body, pictured: bool) -> int:
    """From the bytes of messages and tools; of a message with images its texts and a flat count per image."""
    parts = document.messages
    if document.tools or document.functions:
        parts = [*parts, *(document.tools or ()), *(document.functions or ())]
    if not pictured:
        length = 0
        for part in parts:
            length += memoryview(part).nbytes
        return tokens_in(length)
    text, images = 0, 0
    for part in parts:
        raw = bytes(part)
        found = raw.count(b'"image_url"')
        images += raw.count(b'"type":"image_url"') or (found + 1) // 2
        text += _text_in(raw) if found else len(raw)
    return tokens_in(text) + images * TOKENS_PER_IMAGE


def _text_in(raw: bytes) -> int:
    """Characters of the text parts of one message. What else is in it is the upstream's to judge."""
    message = decoded(_MESSAGE, raw)
    return text_length(bytes(message.content)) if message is not None else 0


def _not_theirs(fields: FieldValues, metadata: bytes | None) -> dict[str, bytes | None]:
    """What of a body is meant for the gateway and would be refused by a strict upstream: OpenRouter's `usage`, and
    values of `metadata` that are no texts, as LiteLLM's clients send them. By field, what stays of it."""
    found: dict[str, bytes | None] = {"usage": None} if "usage" in fields else {}
    if metadata is not None:
        found["metadata"] = metadata or None
    return found


def _tags(document: _Body, fields: FieldValues) -> tuple[dict[str, str], bytes | None]:
    """The tags of a body, and what stays of its metadata for an upstream: None when that is all of it."""
    tags: dict[str, str] = {}
    stays = None
    if document.metadata:
        texts = decoded(_METADATA, fields["metadata"])
        if texts is not None:
            for name, text in texts.items():
                tag(name, text, tags)
        else:
            stays = _mixed_tags(document.metadata, tags)
    if document.user:
        tag("user", document.user, tags)
    return tags, stays


def _mixed_tags(metadata: FieldValues, tags: dict[str, str]) -> bytes | None:
    """Add to the tags those of a metadata whose values are not all texts; what stays of it for an upstream."""
    for name, raw in metadata.items():
        text = decoded(_TEXT, bytes(raw))
        if text is not None:
            tag(name, text, tags)
        elif name == "tags":
            texts = decoded(_TEXTS, bytes(raw))
            for label, value in labels(texts if texts is not None else []):
                tag(label, value, tags)
    plain = {name: raw for name, raw in metadata.items() if bytes(raw).startswith(b'"')}
    return None if len(plain) == len(metadata) else _encode(plain) if plain else b""
