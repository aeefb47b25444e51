"""What a request may lose when it changes its dialect, and what both dialects mean by the effort of thinking. Pure.

A field without a counterpart is either harmless, then it is dropped and named, or it changes what the answer means,
then the request cannot go this way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from baseload.wire.body import BadBody, Fields

MAX_NAMED = 16
"""Dropped fields that are named one by one."""

BUDGETS: Mapping[str, int] = MappingProxyType(
    {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
)
"""Tokens of thinking that a word of OpenAI's stands for, where a model wants tokens. 1,024 is the least that Anthropic
takes (Extended thinking, read 2026-11); the steps above are our own choice."""

NEUTRAL = frozenset((b"null", b"false", b"0", b"0.0", b'""', b"[]", b"{}"))
"""Values that ask for nothing."""

_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_NEWEST = (99, 0)
_ADAPTIVE = (4, 6)
_NO_SAMPLING = (4, 7)
_VALUES = frozenset(("enum", "const", "default", "examples"))  # of a schema: what is in them is no schema
_UNFIT = re.compile(r"[^ -~]")


class Drops:
    """The fields that do not come along, and why: named once each, the first MAX_NAMED of them one by one."""

    def __init__(self, before: Drops | None = None) -> None:
        self._why: dict[str, str] = dict(before._why) if before is not None else {}  # noqa: SLF001 - its own kind

    def add(self, name: str, why: str) -> None:
        """A field, printable whatever the client called it."""
        self._why.setdefault(_UNFIT.sub("?", name[:64]), why)

    @property
    def named(self) -> tuple[str, ...]:
        all_named = tuple(f"{name}: {why}" for name, why in self._why.items())
        more = len(all_named) - MAX_NAMED
        return all_named if more <= 0 else (*all_named[:MAX_NAMED], f"and {more} more")


def sort_out(
    fields: Fields, carried: frozenset[str], harmless: Mapping[str, str], refused: Mapping[str, str], drops: Drops
) -> None:
    """Name what is dropped of a body: `harmless` fields, with why, and unknown ones. A value that asks for nothing is
    not worth a word. Raises BadBody on one of the `refused`, whose word is what to do instead."""
    for name, raw in fields.items():
        if name in carried or bytes(raw) in NEUTRAL:
            continue
        if name in refused:
            raise uncarried(name, refused[name])
        drops.add(name, harmless.get(name, "unknown to the upstream's dialect"))


def uncarried(param: str, remedy: str) -> BadBody:
    """This request cannot go to an upstream of that dialect without losing its meaning."""
    message = f"`{param[:64]}` has no counterpart in the dialect of the upstream"
    return BadBody(message, remedy=remedy, param=param[:64], code="not_carried")


def version_of(model: str) -> tuple[int, int] | None:
    """The version in a name of an Anthropic model, far ahead when it names none; None when it is no such model.

    >>> version_of("claude-sonnet-4-5-20250929"), version_of("claude-opus-4-20250514"), version_of("qwen3")
    ((4, 5), (4, 0), None)
    """
    found = _CLAUDE.search(model)
    if found is None:
        return _NEWEST if "claude" in model else None
    return int(found[1]), int(found[2] or 0)


def thinks_by_effort(model: str) -> bool:
    """Whether a model is told how hard to think in words: adaptive thinking, from Claude 4.6 on (Adaptive thinking,
    read 2026-11). Others take a budget of tokens."""
    return (version_of(model) or (0, 0)) >= _ADAPTIVE


def takes_sampling(model: str) -> bool:
    """Whether a model takes temperature, top_p and top_k: from Claude 4.7 on they are an error (Migration guide, read
    2026-11)."""
    return (version_of(model) or (0, 0)) < _NO_SAMPLING


def effort_word(effort: str, model: str) -> str:
    """A word of OpenAI's as Anthropic's `output_config.effort` (low, medium, high, xhigh from Claude 4.7 on, max)."""
    if effort == "xhigh" and takes_sampling(model):
        return "high"
    return "low" if effort == "minimal" else effort


def effort_of(budget: int) -> str:
    """The word of OpenAI's for a budget of tokens: low, medium or high, the words that every such model knows.

    >>> effort_of(1_024), effort_of(8_192), effort_of(60_000)
    ('low', 'medium', 'high')
    """
    return next((word for word in ("low", "medium") if budget <= BUDGETS[word]), "high")


def closed(schema: bytes) -> bytes:
    """A JSON schema in which no object takes more than it names, as Anthropic wants it (Structured outputs, read
    2026-11). What fits it fits the schema that was given. Unchanged when it was so already, or is no JSON.

    >>> closed(b'{"type":"object","properties":{}}')
    b'{"type":"object","properties":{},"additionalProperties":false}'
    """
    try:
        document = msgspec.json.decode(schema)
    except (msgspec.DecodeError, RecursionError):
        return schema
    waiting, changed = [document], False
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            kind = node.get("type")
            if "additionalProperties" not in node and (
                kind == "object" or (isinstance(kind, list) and "object" in kind)
            ):
                node["additionalProperties"] = False
                changed = True
            waiting += [value for name, value in node.items() if name not in _VALUES]
    return msgspec.json.encode(document) if changed else schema


def is_object(raw: bytes) -> bool:
    """Whether a text is one JSON object."""
    try:
        return isinstance(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
