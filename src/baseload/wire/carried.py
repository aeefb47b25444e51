"""What can be said to an upstream: itself, or what it serves instead for an operation that is translated. Pure.

The table alone; `passages.py` names who translates.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from baseload.load.facts import Operation
from baseload.wire.passage import Dialect

# (what the client asks, what the upstream speaks): what the upstream must serve for it.
INSTEAD: Mapping[tuple[Operation, Dialect], Operation] = MappingProxyType(
    {
        (Operation.CHAT, Dialect.ANTHROPIC): Operation.MESSAGES,
        (Operation.RESPONSES, Dialect.OPENAI): Operation.CHAT,
        (Operation.RESPONSES, Dialect.ANTHROPIC): Operation.MESSAGES,
        (Operation.MESSAGES, Dialect.OPENAI): Operation.CHAT,
    }
)


def carries(operation: Operation, dialect: Dialect, operations: frozenset[Operation]) -> bool:
    """Whether an operation can be said at all to an upstream that speaks `dialect` and serves `operations`.

    >>> carries(Operation.MESSAGES, Dialect.OPENAI, frozenset({Operation.CHAT}))
    True
    """
    return operation in operations or INSTEAD.get((operation, dialect)) in operations


def unserved(kinds: frozenset[Operation], dialect: Dialect, operations: frozenset[Operation]) -> list[Operation]:
    """Which kinds of operation (`Operation.kind`) can in no way be said to an upstream."""
    asked = [each for each in Operation if each is not Operation.COUNT_TOKENS and carries(each, dialect, operations)]
    return sorted(kinds - {each.kind for each in asked})
