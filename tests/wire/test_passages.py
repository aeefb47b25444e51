"""The one table: every operation has a reader and a passage, and what it says it carries it does carry."""

import msgspec
import pytest

from baseload.load.facts import Operation
from baseload.wire.carried import INSTEAD, carries
from baseload.wire.passage import Dialect
from baseload.wire.passages import _OVER, passage, reader

MESSAGES = [{"role": "user", "content": "hi"}]
BODIES = {
    Operation.CHAT: {"messages": MESSAGES},
    Operation.RESPONSES: {"input": "hi"},
    Operation.MESSAGES: {"messages": MESSAGES, "max_tokens": 5},
    Operation.COUNT_TOKENS: {"messages": MESSAGES},
    Operation.COMPLETIONS: {"prompt": "hi"},
    Operation.EMBEDDINGS: {"input": "hi"},
}


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_carried(operation: Operation, dialect: Dialect) -> None:
    asked = reader(operation)(msgspec.json.encode({"model": "m", **BODIES[operation]}))
    assert asked.operation is operation
    for served in Operation:
        found = passage(asked, dialect, frozenset({served}))
        assert (found is not None) is carries(operation, dialect, frozenset({served}))
        assert found is None or found.path.removeprefix("/").split("/")[0] in ("chat", served, "messages")
    own = passage(asked, dialect, frozenset({operation}))
    assert msgspec.json.decode(own.body("other")) == msgspec.json.decode(asked.body) | {"model": "other"}


@pytest.mark.parametrize(
    ("operation", "dialect", "served"),
    [
        (Operation.CHAT, Dialect.ANTHROPIC, Operation.MESSAGES),
        (Operation.RESPONSES, Dialect.ANTHROPIC, Operation.MESSAGES),
        (Operation.RESPONSES, Dialect.OPENAI, Operation.CHAT),
        (Operation.MESSAGES, Dialect.OPENAI, Operation.CHAT),
    ],
)
def test_what_is_translated(operation: Operation, dialect: Dialect, served: Operation) -> None:
    assert carries(operation, dialect, frozenset({served}))


@pytest.mark.parametrize("operation", [Operation.EMBEDDINGS, Operation.COMPLETIONS])
def test_what_has_no_other_way_to_be_said(operation: Operation) -> None:
    assert not carries(operation, Dialect.OPENAI, frozenset(Operation) - {operation})


def test_what_is_said_to_be_carried_has_a_translator() -> None:
    assert set(_OVER) == set(INSTEAD)
