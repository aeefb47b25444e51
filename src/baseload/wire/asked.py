"""What a client asks of us, whichever endpoint and dialect it speaks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from baseload.load.facts import Operation
from baseload.wire.body import BadBody, Places

__all__ = ["Asked", "Operation", "labels", "tag"]

MAX_TAGS = 16
MAX_TAG_NAME = 64
MAX_TAG_VALUE = 512
"""OpenAI's own bounds for `metadata`: 16 pairs, names of 64 and values of 512 characters. A request's `user` stands
beside them."""
USER = "user"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `input_tokens` is an estimate; `places` says where in `body` each value stands, `end` where its
    closing brace does. `cost_asked`: the answer is to say what it cost. `dropped` names what was for the gateway alone
    or for nobody, and is not in `body`. `follows` names what an upstream keeps and this request builds on: only that
    upstream can serve it. `background`: the upstream is to answer at once and work on after that.
    `longest_tokens` is the longest of several inputs that are read one by one, 0 where all of it is read together."""

    body: bytes
    operation: Operation = Operation.CHAT
    places: Places
    end: int
    model: str
    stream: bool
    usage_asked: bool
    output_cap: int | None
    needs: frozenset[str]
    input_tokens: int
    tags: dict[str, str]
    cost_asked: bool = False
    dropped: tuple[str, ...] = ()
    follows: str | None = None
    background: bool = False
    longest_tokens: int = 0


def labels(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Tags that have no name of their own, as LiteLLM's are: a name before a colon where there is one, else `true`.

    >>> list(labels(["team:search", " production "]))
    [('team', 'search'), ('production', 'true')]
    """
    for text in texts:
        name, _, value = text.strip().partition(":")
        if name:
            yield name.strip(), value.strip() or "true"


def tag(name: str, value: str, tags: dict[str, str]) -> None:
    """Add one tag within bounds. Raises BadBody when there are too many or one is too long."""
    full = name != USER and name not in tags and len(tags) - (USER in tags) >= MAX_TAGS
    if full or len(name) > MAX_TAG_NAME or len(value) > MAX_TAG_VALUE:
        raise BadBody(
            f"The tag {name[:MAX_TAG_NAME]!r} is one too many or too long",
            remedy=f"Send at most {MAX_TAGS} tags, names up to {MAX_TAG_NAME} and values up to {MAX_TAG_VALUE} "
            "characters.",
            param="metadata",
            code="too_many_tags",
        )
    tags[name] = value
