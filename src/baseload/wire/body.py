"""A JSON request body from anybody, read without decoding more than is needed. Pure.

What goes upstream is the client's own bytes with a few values spliced in: `places` finds where each value stands,
`splice` puts others there, and every other byte survives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from baseload.errors import BadInput

MAX_FIELDS = 200
MAX_ENTRIES = 10_000
MAX_VALUES = 200_000
"""Fields of a body, entries of its messages or tools, values in all: what one request may cost everybody to read."""


_Document = TypeVar("_Document")
Fields = dict[str, msgspec.Raw]
"""The values of an object, undecoded."""
Places = dict[str, tuple[int, int]]
"""Where in a body the value of each field stands: from, to."""

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEY = re.compile(rb'[ \t\n\r]*"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\n\r]*:[ \t\n\r]*')
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_AFTER = re.compile(rb"[ \t\n\r]*([,}])")
_GAPS = b" \t\n\r"
_PATH = re.compile(r"(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`|required field `(?P<missing>[^`]*)`)$")


class BadBody(BadInput):
    """A request body that cannot be served. `param` is the field at fault, `code` a word to test for."""

    def __init__(self, message: str, *, remedy: str, code: str, param: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.param = param


def read_body(body: bytes, decoder: msgspec.json.Decoder[_Document], *, remedy: str) -> tuple[_Document, Fields]:
    """A body as a document and as its fields, undecoded. Raises BadBody naming the field at fault and the remedy."""
    if not body.isascii():
        _check_text(body)
    if len(body) >= MAX_VALUES:
        _check_values(body)
    try:
        fields = _FIELDS.decode(body)
        document = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong(error) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody(f"The body is not valid JSON: {error}", remedy=remedy, code="bad_json") from error
    if len(fields) > MAX_FIELDS:
        raise _too_many("fields", MAX_FIELDS, None)
    return document, fields


def check_entries(name: str, entries: list[msgspec.Raw] | None) -> None:
    """Refuse a field of very many entries."""
    if len(entries or ()) > MAX_ENTRIES:
        raise _too_many(name, MAX_ENTRIES, name)


def splice(body: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    """A body with each (from, to, text) put in its place; they must not overlap.

    >>> splice(b'{"model":"a"}', [(9, 12, b'"b"')])
    b'{"model":"b"}'
    """
    for start, end, text in sorted(edits, reverse=True):
        body = body[:start] + text + body[end:]
    return body


def rebuilt(body: bytes, places: Places, changes: Mapping[str, bytes | None]) -> bytes:
    """A body with the values of some fields changed, and without those whose change is None.

    >>> rebuilt(b'{"a":1, "b":2,"c":3}', {"a": (5, 6), "b": (12, 13), "c": (18, 19)}, {"a": None, "c": b"4"})
    b'{ "b":2,"c":4}'
    """
    kept, at = [], body.index(b"{") + 1
    for name, (start, end) in places.items():
        change = changes.get(name, body[start:end])
        if change is not None:
            kept.append(body[at:start] + change)
        at = body.find(b",", end) + 1
    return b"{" + b",".join(kept) + b"}"


def inner_places(raw: bytes) -> Places:
    """The places inside an object. Raises BadBody when a key stands twice."""
    return places(raw, _FIELDS.decode(raw))[0]


def places(body: bytes, fields: Fields) -> tuple[Places, int]:
    """Where each value of an object stands, and its closing brace. Raises BadBody when a key stands twice.

    A decoded object keeps one value per key. Walked beside the bytes, the first key that is not the object's next, or
    whose value is not the one that was kept, betrays a double: two readers could take different ones.
    """
    found = _compact_places(body, fields)
    if found is not None:
        return found, len(body) - 1
    found = {}
    at = body.index(b"{") + 1
    for key, raw in fields.items():
        value, plain = bytes(raw), b'"%b":' % key.encode()
        start = at + len(plain)
        if not (body.startswith(plain, at) and body.startswith(value, start)):  # else as most programs write it
            start = _after_key(body, at, key)
            if start < 0 or not body.startswith(value, start):
                raise _doubled(body, at)
        end = start + len(value)
        found[key] = (start, end)
        if body.startswith(b",", end):
            at = end + 1
        elif after := _AFTER.match(body, end):
            at = after.end()
        else:
            raise _doubled(body, at)
    if fields and not body.startswith(b"}", at - 1):
        raise _doubled(body, at)
    return found, at - 1


def _compact_places(body: bytes, fields: Fields) -> Places | None:
    """The same for an object without a byte that it could do without, as OpenAI's clients write it; else None. Its
    keys and values with four bytes for each field (`"":,`) and one more are then just as long as it is: a double, a gap
    or an escape in a key makes it longer."""
    found: Places = {}
    at = 1
    for key, raw in fields.items():
        start = at + len(key) + 3
        at = start + memoryview(raw).nbytes + 1
        found[key] = (start, at - 1)
    fits = at == len(body) and bool(found)
    return found if fits and (body.isascii() or "".join(found).isascii()) else None


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


def _text(key: bytes) -> str:
    return str(msgspec.json.decode(b'"' + key + b'"')) if b"\\" in key else key.decode()


def _doubled(body: bytes, at: int) -> BadBody:
    found = _KEY.match(body, at)
    param = _text(found[1]) if found else None
    message = f"`{param}` stands twice in one object" if param else "A field stands twice in one object"
    return BadBody(message, remedy="Send each field once.", param=param, code="duplicate_field")
