"""OpenAI Responses: what a request asks, the same bytes for another model, what an answer or its stream says. Pure.

Nothing but what routing needs is decoded, and unknown fields survive byte for byte. The upstream keeps what it answers
unless it is told not to (`store`), so that the next request may name it: `Asked.follows` is such a name, `made` the
name that an answer gives itself.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from baseload.wire import openai, sse
from baseload.wire.answer import Answered, complaint, decoded, text_length, tier_in, tokens_in, usage_in, usd_in
from baseload.wire.asked import Asked, Operation, tag
from baseload.wire.body import check_entries, places, read_body, splice
from baseload.wire.sse import MAX_ID

_FILES = (b'"input_image"', b'"input_file"')
_OPENING = ("response.created", "response.queued", "response.in_progress")
_PENDING = ("queued", "in_progress")
_ENDING = ("response.completed", "response.incomplete", "response.failed")


class _Typed(msgspec.Struct):
    type: str = ""


class _Text(msgspec.Struct):
    format: _Typed | None = None


class _Conversation(msgspec.Struct):
    id: str


class _Body(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    input: str | list[msgspec.Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: openai.Cap | None = None
    tools: list[msgspec.Raw] | None = None
    text: _Text | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    previous_response_id: Annotated[str, msgspec.Meta(max_length=MAX_ID)] | None = None
    conversation: str | _Conversation | None = None
    store: bool | None = None
    background: bool | None = None


class _Item(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"")
    summary: msgspec.Raw = msgspec.Raw(b"")
    arguments: msgspec.Raw = msgspec.Raw(b"")
    output: msgspec.Raw = msgspec.Raw(b"")

    @property
    def length(self) -> int:
        return sum(text_length(bytes(each)) for each in (self.content, self.summary, self.arguments, self.output))


class _Response(msgspec.Struct):
    id: str = ""
    status: str | None = None
    output: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


class _Event(msgspec.Struct):
    type: str = ""
    delta: msgspec.Raw = msgspec.Raw(b"")
    response: msgspec.Raw = msgspec.Raw(b"")


class _Delta(msgspec.Struct, gc=False):
    """The usual event: a piece of what the model writes. It takes one decoding."""

    type: str
    delta: str


_BODY = msgspec.json.Decoder(_Body)
_ITEM = msgspec.json.Decoder(_Item)
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_RESPONSE = msgspec.json.Decoder(_Response)
_EVENT = msgspec.json.Decoder(_Event)
_DELTA = msgspec.json.Decoder(_Delta).decode


def read(body: bytes) -> Asked:
    """What the body of POST /v1/responses asks for. Raises BadBody naming the field at fault and the remedy."""
    document, fields = read_body(body, _BODY, remedy="Send one JSON object with `model` and `input`.")
    if isinstance(document.input, list):
        check_entries("input", document.input)
    check_entries("tools", document.tools)
    standing, end = places(body, fields)
    tags: dict[str, str] = {}
    for name, value in (document.metadata or {}).items():
        tag(name, value, tags)
    if document.user:
        tag("user", document.user, tags)
    return Asked(
        body=body,
        operation=Operation.RESPONSES,
        places=standing,
        end=end,
        model=document.model,
        stream=bool(document.stream),
        usage_asked=True,
        output_cap=document.max_output_tokens,
        needs=_needs(document, bytes(fields.get("input", b""))),
        input_tokens=_input_tokens(document),
        tags=tags,
        follows=_follows(document),
        background=bool(document.background),
    )


class Passage(openai.Passage):
    """A request for a response on its way to an upstream that serves them: only the model name changes."""

    path = "/responses"

    def body(self, model: str) -> bytes:
        return splice(self._asked.body, [(*self._asked.places["model"], msgspec.json.encode(model))])

    def read(self, answer: bytes) -> Answered | None:
        return read_answer(answer, keeps=self._keeps)

    def stream(self) -> Relay:
        return Relay(keeps=self._keeps)

    @property
    def _keeps(self) -> bool:
        """Whether the upstream is to keep its answer, which it does unless told otherwise."""
        start, end = self._asked.places.get("store", (0, 0))
        return self._asked.body[start:end] != b"false"


class Relay(sse.Relay):
    """One streamed response: relayed as it is, read while it passes. Its last event is the one that ends it."""

    def __init__(self, *, keeps: bool) -> None:
        super().__init__(hide_usage=False)
        self._keeps = keeps

    def _read(self, data: bytes) -> bool:
        try:
            said = _DELTA(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_any(data)
        if not said.type.endswith(".delta"):
            return self._read_any(data)
        self.began = True
        self._delivered(len(said.delta))
        return False

    def _read_any(self, data: bytes) -> bool:
        event = decoded(_EVENT, data)
        if event is None:
            self.done = self.done or data == b"[DONE]"
            return False  # not ours to judge
        kind = event.type
        if kind == "error":
            self._fail(complaint(data))
        elif kind in _OPENING or kind in _ENDING:
            self._take(kind, decoded(_RESPONSE, bytes(event.response)) or _Response())
        elif kind:
            self.began = True
            self._delivered(text_length(bytes(event.delta)) if kind.endswith(".delta") else 0)
        return False

    def _take(self, kind: str, response: _Response) -> None:
        """An event about the response as a whole."""
        self.made = _kept(response.id, self._keeps) or self.made
        usage = bytes(response.usage)
        self.usage = usage_in(usage, "input_tokens", "output_tokens") or self.usage
        self.service_tier = tier_in(bytes(response.service_tier)) or self.service_tier
        if (usd := usd_in(usage)) is not None:
            self.provider_usd = usd
        if kind == "response.failed":
            error = bytes(response.error)
            self._fail(complaint(error) if error != b"null" else "")
        elif kind in _ENDING:
            self.began = True
            self.done = True

    def _fail(self, said: str) -> None:
        self.failed = True
        self.complaint = said or self.complaint
        self.done = True


def read_answer(answer: bytes, *, keeps: bool) -> Answered | None:
    """What a whole response consumed and wrote; None when it is none, or one that failed and says no usage."""
    document = decoded(_RESPONSE, answer)
    if document is None or not bytes(document.output).startswith(b"["):
        return None
    raw = bytes(document.usage)
    usage = usage_in(raw, "input_tokens", "output_tokens")
    if usage is None and document.status == "failed":
        return None
    items = [decoded(_ITEM, bytes(each)) for each in decoded(_ITEMS, bytes(document.output)) or ()]
    written = tokens_in(sum(item.length for item in items if item is not None))
    tier = tier_in(bytes(document.service_tier))
    pending = document.status in _PENDING
    return Answered(usage, written, usd_in(raw), _kept(document.id, keeps), tier, pending)


def _kept(name: str, keeps: bool) -> str | None:
    return name if keeps and 0 < len(name) <= MAX_ID else None


def _follows(document: _Body) -> str | None:
    """The kept object that a request builds on: an answer before, or a conversation."""
    conversation = document.conversation
    named = conversation.id if isinstance(conversation, _Conversation) else conversation
    return document.previous_response_id or named or None


def _needs(document: _Body, given: bytes) -> frozenset[str]:
    needs = set()
    if document.tools:
        needs.add("tools")
    if document.text is not None and document.text.format is not None:
        needs |= {document.text.format.type} & {"json_schema", "json_object"}
    if not isinstance(document.input, str) and b'"input_image"' in given:
        needs.add("vision")
    return frozenset(needs)


def _input_tokens(document: _Body) -> int:
    """From the bytes of input, instructions and tools; of an item with files its texts and a flat count per file.

    What an earlier response brings along is not seen here.
    """
    length, files = len((document.instructions or "").encode()), 0
    if isinstance(document.input, str):
        length += len(document.input.encode())
    parts = [*(document.input if isinstance(document.input, list) else ()), *(document.tools or ())]
    for part in parts:
        raw = bytes(part)
        found = sum(raw.count(each) for each in _FILES)
        files += found
        length += _text_in(raw) if found else len(raw)
    return tokens_in(length) + files * openai.TOKENS_PER_IMAGE


def _text_in(raw: bytes) -> int:
    item = decoded(_ITEM, raw)
    return item.length if item is not None else 0
