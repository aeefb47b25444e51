"""A request with a cap on its answer that its client did not send. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from baseload.wire.asked import Asked, Operation
from baseload.wire.body import splice
from baseload.wire.passages import reader

# What each dialect calls the cap. Every chat server knows `max_tokens`, and not every one `max_completion_tokens`;
# OpenAI's reasoning models know the latter alone, and they are the dearer mistake.
_FIELDS: Mapping[Operation, str] = MappingProxyType(
    {
        Operation.CHAT: "max_completion_tokens",
        Operation.RESPONSES: "max_output_tokens",
        Operation.MESSAGES: "max_tokens",
        Operation.COMPLETIONS: "max_tokens",
    }
)


def capped(asked: Asked, tokens: int) -> Asked:
    """The same request with a cap; as it was where its endpoint knows none, or it has one."""
    name = _FIELDS.get(asked.operation)
    if name is None or asked.output_cap is not None:
        return asked
    text = b"%d" % tokens
    if name in asked.places:  # null: as if it were not there
        edit = (*asked.places[name], text)
    else:
        edit = (asked.end, asked.end, b',"%b":%b' % (name.encode(), text))
    again = reader(asked.operation)(splice(asked.body, [edit]))
    return msgspec.structs.replace(
        again, dropped=asked.dropped, tags=asked.tags, cost_asked=asked.cost_asked, usage_asked=asked.usage_asked
    )
