"""Who reads what a client asks, and which passage carries it to an upstream: the one table. Pure.

An upstream that serves an operation itself gets the client's own bytes (`_NATIVE`). For one that does not, `carried.py`
says what it must serve instead, and `_OVER` who translates, by the upstream's dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from baseload.wire import (
    anthropic,
    chat_to_messages,
    completions,
    embeddings,
    messages_to_chat,
    openai,
    responses,
    responses_to_chat,
)
from baseload.wire.asked import Asked, Operation
from baseload.wire.carried import INSTEAD
from baseload.wire.passage import Dialect, Passage

Reader = Callable[[bytes], Asked]
Maker = Callable[[Asked], Passage]
Translator = Callable[[Asked, int], Passage]
"""Some dialects say in an answer when it was made (seconds since the epoch), which others leave out."""

_READERS: Mapping[Operation, Reader] = MappingProxyType(
    {
        Operation.CHAT: openai.read,
        Operation.RESPONSES: responses.read,
        Operation.MESSAGES: anthropic.read,
        Operation.COUNT_TOKENS: anthropic.read_count,
        Operation.COMPLETIONS: completions.read,
        Operation.EMBEDDINGS: embeddings.read,
    }
)

_NATIVE: Mapping[Operation, Maker] = MappingProxyType(
    {
        Operation.CHAT: openai.Passage,
        Operation.RESPONSES: responses.Passage,
        Operation.MESSAGES: anthropic.Passage,
        Operation.COUNT_TOKENS: anthropic.CountPassage,
        Operation.COMPLETIONS: completions.Passage,
        Operation.EMBEDDINGS: embeddings.Passage,
    }
)


def _chat_to_messages(asked: Asked, created: int) -> Passage:
    return chat_to_messages.Passage(asked, created=created)


def _messages_to_chat(asked: Asked, _: int) -> Passage:
    return messages_to_chat.Passage(asked)


def _responses_to_chat(asked: Asked, _: int) -> Passage:
    return responses_to_chat.Passage(asked)


def _responses_to_messages(asked: Asked, created: int) -> Passage:
    return responses_to_chat.Passage(asked, partial(chat_to_messages.Passage, created=created))


# (what the client asks, what the upstream speaks): who translates it to what `carried.INSTEAD` says.
_OVER: Mapping[tuple[Operation, Dialect], Translator] = MappingProxyType(
    {
        (Operation.CHAT, Dialect.ANTHROPIC): _chat_to_messages,
        (Operation.RESPONSES, Dialect.OPENAI): _responses_to_chat,
        (Operation.RESPONSES, Dialect.ANTHROPIC): _responses_to_messages,
        (Operation.MESSAGES, Dialect.OPENAI): _messages_to_chat,
    }
)


def reader(operation: Operation) -> Reader:
    """The function that reads a request of an operation."""
    return _READERS[operation]


def native(operation: Operation) -> Maker:
    """The passage of an operation to an upstream that serves it itself."""
    return _NATIVE[operation]


def passage(asked: Asked, dialect: Dialect, operations: frozenset[Operation], created: int = 0) -> Passage | None:
    """How a request gets to an upstream that speaks `dialect` and serves `operations`; None when it cannot. `created`
    are seconds since the epoch, for answers that say when they were made.

    Raises BadBody when the request holds something that must not be lost and has no counterpart there.
    """
    asks = asked.operation
    if asks in operations:
        return _NATIVE[asks](asked)
    translates = INSTEAD.get((asks, dialect)) in operations
    return _OVER[asks, dialect](asked, created) if translates else None
