"""Who reads what a client asks, and which passage carries it to an upstream: the one table. Pure.

An upstream that serves an operation itself gets the client's own bytes (`_NATIVE`). For one that does not, `_OVER`
names what it must serve instead and who translates, by the upstream's dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from baseload.wire import openai
from baseload.wire.asked import Asked, Operation
from baseload.wire.passage import Dialect, Passage

Reader = Callable[[bytes], Asked]
Maker = Callable[[Asked], Passage]

_READERS: Mapping[Operation, Reader] = MappingProxyType(
    {
        Operation.CHAT: openai.read,
    }
)

_NATIVE: Mapping[Operation, Maker] = MappingProxyType(
    {
        Operation.CHAT: openai.Passage,
    }
)

# (what the client asks, what the upstream speaks): what the upstream must serve for it, and the translation.
_OVER: Mapping[tuple[Operation, Dialect], tuple[Operation, Maker]] = MappingProxyType({})


OPERATIONS = frozenset(_READERS)
"""What clients may ask for."""


def reader(operation: Operation) -> Reader:
    """The function that reads a request of an operation."""
    return _READERS[operation]


def passage(asked: Asked, dialect: Dialect, operations: frozenset[Operation]) -> Passage | None:
    """How a request gets to an upstream that speaks `dialect` and serves `operations`; None when it cannot.

    Raises BadBody when the request holds something that must not be lost and has no counterpart there.
    """
    asks = asked.operation
    if asks in operations:
        maker = _NATIVE.get(asks)
        return maker(asked) if maker is not None else None
    needed, maker = _OVER.get((asks, dialect), (None, None))
    return maker(asked) if maker is not None and needed in operations else None
