"""The tags that a request's headers carry: ours, and those of gateways that an application came from. No I/O.

| header | tags | whose |
|---|---|---|
| `x-baseload-tag-<name>` | `<name>` | ours |
| `x-litellm-tags: a,team:b` | `a` (`true`), `team` (`b`) | LiteLLM |
| `x-litellm-customer-id`, `x-litellm-end-user-id` | `customer` | LiteLLM |
| `x-litellm-spend-logs-metadata` (JSON) | its texts and numbers | LiteLLM |
| `helicone-user-id` | `user` | Helicone |
| `helicone-session-id`, `helicone-session-name` | `session`, `session-name` | Helicone |
| `helicone-property-<name>` | `<name>` | Helicone |
| `x-portkey-metadata` (JSON) | its texts and numbers, `_user` as `user` | Portkey |
| `x-portkey-trace-id` | `trace` | Portkey |

(docs.litellm.ai/docs/proxy/request_headers, docs.helicone.ai/helicone-headers/header-directory,
portkey.ai/docs/api-reference/headers; read 2026-11.) Ours beyond the bounds of a tag are refused, as in the body. Those
of others were not written for us: a long value is cut, what is too many or no JSON is left out, and nothing that the
body or a header of ours says is changed by them. None of these headers goes upstream, nor do the keys for those others
(`helicone-auth`, `x-portkey-api-key` ...): `asking.along` names what does.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from baseload.gateway.head import Headers
from baseload.wire.asked import MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS, labels, tag

OURS = b"x-baseload-tag-"
PROPERTY = b"helicone-property-"
_FAMILIES = (b"x-litellm-", b"helicone-", b"x-portkey-")
_PLAIN = {
    b"x-litellm-customer-id": "customer",
    b"x-litellm-end-user-id": "customer",
    b"helicone-user-id": "user",
    b"helicone-session-id": "session",
    b"helicone-session-name": "session-name",
    b"x-portkey-trace-id": "trace",
}
_LABELS = b"x-litellm-tags"
_OBJECTS = (b"x-litellm-spend-logs-metadata", b"x-portkey-metadata")
_RENAMED = {"_user": "user"}

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder(str | int | float | bool)


class HeaderTags(msgspec.Struct, frozen=True):
    """Names and values: ours, and those that were written for other gateways."""

    ours: tuple[tuple[str, str], ...]
    theirs: tuple[tuple[str, str], ...]


NO_TAGS = HeaderTags((), ())


def read_tags(headers: Headers) -> HeaderTags:
    """The tags among some headers; NO_TAGS when there are none."""
    ours: list[tuple[str, str]] = []
    theirs: list[tuple[str, str]] = []
    for name, value in headers:
        if name.startswith(OURS):
            ours.append((as_text(name[len(OURS) :]), as_text(value)))
        elif name.startswith(_FAMILIES):
            theirs += _read(name, as_text(value))
    return HeaderTags(tuple(ours), tuple(theirs)) if ours or theirs else NO_TAGS


def add_tags(found: HeaderTags, tags: dict[str, str]) -> None:
    """Add to the tags of a body those of the headers. Raises BadBody when one of ours is too long or too many."""
    for name, value in found.ours:
        tag(name, value, tags)
    for name, value in found.theirs:
        if name and len(name) <= MAX_TAG_NAME and len(tags) < MAX_TAGS:
            tags.setdefault(name, value[:MAX_TAG_VALUE])


def as_text(value: bytes) -> str:
    """A header as text: UTF-8 as today's programs send it, else Latin-1 as HTTP once said."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _read(name: bytes, text: str) -> Iterator[tuple[str, str]]:
    if name in _PLAIN:
        yield _PLAIN[name], text
    elif name.startswith(PROPERTY):
        yield as_text(name[len(PROPERTY) :]), text
    elif name == _LABELS:
        yield from labels(text.split(","))
    elif name in _OBJECTS:
        yield from _values(text)


def _values(text: str) -> Iterator[tuple[str, str]]:
    """The plain values of a JSON object; none when it is no object."""
    try:
        fields = _OBJECT.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return
    for name, raw in fields.items():
        try:
            value = _VALUE.decode(raw)
        except msgspec.DecodeError:
            continue
        yield _RENAMED.get(name, name), value if isinstance(value, str) else bytes(raw).decode()
