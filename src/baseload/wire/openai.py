"""OpenAI chat completions: what a request asks, and the same bytes for another model. Pure.

Nothing but what routing needs is decoded. What goes upstream is the client's own bytes with the model name, and where
usage would otherwise not be reported `stream_options.include_usage`, spliced in; unknown fields survive byte for byte.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from baseload.errors import BadInput
from baseload.wire.answer import decoded, text_length, tokens_in

TOKENS_PER_IMAGE = 765
"""A 1024 x 1024 image at high detail: 85 + 4 x 170 tokens (OpenAI, vision guide, read 2026-11)."""

MAX_TAGS = 16
MAX_TAG_NAME = 64
MAX_TAG_VALUE = 512
"""OpenAI's own bounds for `metadata`: 16 pairs, names of 64 and values of 512 characters."""

MAX_FIELDS = 200
MAX_ENTRIES = 10_000
MAX_VALUES = 200_000
"""Fields of a body, entries of its messages or tools, values in all: what one request may cost everybody to read."""

Cap = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class BadBody(BadInput):
    """A request body that cannot be served. `param` is the field at fault, `code` a word to test for."""

    def __init__(self, message: str, *, remedy: str, code: str, param: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.param = param


Places = dict[str, tuple[int, int]]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion request. `input_tokens` is an estimate; `places` says where in `body` each value stands,
    `end` where its closing brace does."""

    body: bytes
    places: Places
    end: int
    model: str
    stream: bool
    usage_asked: bool
    output_cap: int | None
    needs: frozenset[str]
    input_tokens: int
    tags: dict[str, str]


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str


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
    metadata: dict[str, str] | None = None
    user: str | None = None


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"")


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BODY = msgspec.json.Decoder(_Body)
_MESSAGE = msgspec.json.Decoder(_Message)
_KEY = re.compile(rb'[ \t\n\r]*"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\n\r]*:[ \t\n\r]*')
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_AFTER = re.compile(rb"[ \t\n\r]*([,}])")
_GAPS = b" \t\n\r"
_PATH = re.compile(r"(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`|required field `(?P<missing>[^`]*)`)$")


def read(body: bytes) -> Asked:
    """What a request body asks for. Raises BadBody naming the field at fault and the remedy."""
    _check_text(body)
    _check_values(body)
    try:
        fields = _FIELDS.decode(body)
        document = _BODY.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong(error) from error
    except (msgspec.DecodeError, RecursionError) as error:
        remedy = "Send one JSON object with `model` and `messages`."
        raise BadBody(f"The body is not valid JSON: {error}", remedy=remedy, code="bad_json") from error
    _check_sizes(document, fields)
    if document.stream_options is not None:
        _options(bytes(fields["stream_options"]))
    pictured = b'"image_url"' in bytes(fields["messages"])
    places, end = _places(body, fields)
    return Asked(
        body=body,
        places=places,
        end=end,
        model=document.model,
        stream=bool(document.stream),
        usage_asked=document.stream_options is not None and bool(document.stream_options.include_usage),
        output_cap=document.max_completion_tokens or document.max_tokens,
        needs=_needs(document, pictured),
        input_tokens=_input_tokens(document, pictured),
        tags=_tags(document),
    )


def rewrite(asked: Asked, model: str) -> bytes:
    """The request for another model name. A stream also asks for its usage; every other byte is the client's own."""
    edits = [(*asked.places["model"], msgspec.json.encode(model))]
    if asked.stream and not asked.usage_asked:
        edits.append(_usage_edit(asked))
    body = asked.body
    for start, end, text in sorted(edits, reverse=True):
        body = body[:start] + text + body[end:]
    return body


def tag(name: str, value: str, tags: dict[str, str]) -> None:
    """Add one tag within bounds. Raises BadBody when there are too many or one is too long."""
    if len(name) > MAX_TAG_NAME or len(value) > MAX_TAG_VALUE or (len(tags) >= MAX_TAGS and name not in tags):
        raise BadBody(
            f"The tag {name[:MAX_TAG_NAME]!r} is one too many or too long",
            remedy=f"Send at most {MAX_TAGS} tags, names up to {MAX_TAG_NAME} and values up to {MAX_TAG_VALUE} "
            "characters.",
            param="metadata",
            code="too_many_tags",
        )
    tags[name] = value


def _check_text(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        remedy = "Encode the body as UTF-8."
        raise BadBody(f"The body is not UTF-8 at byte {error.start}", remedy=remedy, code="bad_utf8") from error


def _check_values(body: bytes) -> None:
    """Refuse a body of very many values before they are all made. Commas outside of texts tell them, less one."""
    if body.count(b",") < MAX_VALUES:
        return
    values, at = 0, 0
    for text in _STRING.finditer(body):
        values += body.count(b",", at, text.start())
        at = text.end()
        if values > MAX_VALUES:
            break
    if values + body.count(b",", at) > MAX_VALUES:
        raise _too_many("values", MAX_VALUES, None)


def _check_sizes(document: _Body, fields: dict[str, msgspec.Raw]) -> None:
    if len(fields) > MAX_FIELDS:
        raise _too_many("fields", MAX_FIELDS, None)
    lists = {"messages": document.messages, "tools": document.tools, "functions": document.functions}
    for name, entries in lists.items():
        if len(entries or ()) > MAX_ENTRIES:
            raise _too_many(name, MAX_ENTRIES, name)


def _too_many(what: str, limit: int, param: str | None) -> BadBody:
    remedy = f"Send at most {limit:,} {what} in one request."
    return BadBody(f"The body has too many {what}", remedy=remedy, param=param, code="too_many")


def _wrong(error: msgspec.ValidationError) -> BadBody:
    """msgspec's finding, with the field it is about."""
    found = _PATH.search(str(error))
    param = (found["missing"] or found["path"] or None) if found else None
    message = str(error)[: found.start()] if found and found["path"] is not None else str(error)
    if found and found["missing"]:
        return BadBody(f"`{param}` is missing", remedy=f"Send `{param}`.", param=param, code="missing_field")
    place = f"`{param}`: " if param else "The body: "
    return BadBody(place + message, remedy="Mend that field.", param=param, code="wrong_type")


def _places(body: bytes, fields: dict[str, msgspec.Raw]) -> tuple[Places, int]:
    """Where each value of an object stands, and its closing brace. Raises BadBody when a key stands twice.

    A decoded object keeps one value per key. Walked beside the bytes, the first key that is not the object's next, or
    whose value is not the one that was kept, betrays a double: two readers could take different ones.
    """
    places: Places = {}
    at = body.index(b"{") + 1
    for key, raw in fields.items():
        value = bytes(raw)
        start = _after_key(body, at, key)
        end = start + len(value)
        if start < 0 or not body.startswith(value, start):
            raise _doubled(body, at)
        places[key] = (start, end)
        if body.startswith(b",", end):
            at = end + 1
        elif after := _AFTER.match(body, end):
            at = after.end()
        else:
            raise _doubled(body, at)
    if fields and not body.startswith(b"}", at - 1):
        raise _doubled(body, at)
    return places, at - 1


def _after_key(body: bytes, at: int, key: str) -> int:
    """Where the value of `key` starts, when that is the key that stands at `at`; else -1."""
    plain = b'"%b":' % key.encode()
    begin = at + body.startswith(b" ", at)
    if body.startswith(plain, begin):  # as nearly every program writes it: `"key":value, "key": value`
        start = begin + len(plain)
        start += body.startswith(b" ", start)
        if body[start] not in _GAPS:
            return start
    found = _KEY.match(body, at)
    return found.end() if found is not None and _text(found[1]) == key else -1


def _options(raw: bytes) -> Places:
    """The places inside the stream options. Raises BadBody when a key stands twice."""
    return _places(raw, _FIELDS.decode(raw))[0]


def _text(key: bytes) -> str:
    return str(msgspec.json.decode(b'"' + key + b'"')) if b"\\" in key else key.decode()


def _doubled(body: bytes, at: int) -> BadBody:
    found = _KEY.match(body, at)
    param = _text(found[1]) if found else None
    message = f"`{param}` stands twice in one object" if param else "A field stands twice in one object"
    return BadBody(message, remedy="Send each field once.", param=param, code="duplicate_field")


def _usage_edit(asked: Asked) -> tuple[int, int, bytes]:
    """The splice that sets `stream_options.include_usage`: (from, to, text)."""
    wanted = b'{"include_usage":true}'
    if "stream_options" not in asked.places:
        return asked.end, asked.end, b',"stream_options":' + wanted
    start, end = asked.places["stream_options"]
    options = asked.body[start:end]
    places = _options(options) if options.startswith(b"{") else {}
    if not places:
        return start, end, wanted
    if "include_usage" in places:
        inner_start, inner_end = places["include_usage"]
        return start + inner_start, start + inner_end, b"true"
    return start + 1, start + 1, b'"include_usage":true,'


def _needs(document: _Body, pictured: bool) -> frozenset[str]:
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
    parts = [*document.messages, *(document.tools or ()), *(document.functions or ())]
    if not pictured:
        return tokens_in(sum(len(bytes(part)) for part in parts))
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


def _tags(document: _Body) -> dict[str, str]:
    tags: dict[str, str] = {}
    for name, value in (document.metadata or {}).items():
        tag(name, value, tags)
    if document.user:
        tag("user", document.user, tags)
    return tags
