"""An Anthropic message on its way to an upstream that speaks chat completions, and the answer back. Pure.

What has no counterpart there and would change what the answer means is refused (`_REFUSED`); what is harmless is left
out and named (`_HARMLESS`). `message_from_completion.py` brings the answer back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from baseload.wire import message_from_completion as back
from baseload.wire.answer import Answered
from baseload.wire.asked import Asked
from baseload.wire.body import read_body
from baseload.wire.carry import NEUTRAL, Drops, effort_of, sort_out, uncarried
from baseload.wire.message_turns import Block, Turn, messages
from baseload.wire.passage import Fields

MAX_USER = 64
"""The longest `user` that OpenAI takes (Chat completions reference, read 2026-11)."""

_ANTHROPIC_ONLY = "Leave it out, or name a model that an Anthropic upstream serves."
_HARMLESS: Mapping[str, str] = MappingProxyType(
    {
        "top_k": "OpenAI's dialect has no such setting",
        "cache_control": "the upstream caches by itself, if at all",
        "context_management": "the upstream reads the whole conversation",
        "diagnostics": "the upstream gives none",
        "speed": "the upstream has one speed",
    }
)
_REFUSED: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("container", "mcp_servers", "inference_geo", "user_profile_id", "fallbacks"), _ANTHROPIC_ONLY)
)
_CARRIED = frozenset(
    (
        *("model", "messages", "system", "stream", "max_tokens", "stop_sequences", "temperature", "top_p", "tools"),
        *("tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier"),
    )
)
_OF_A_TOOL: Mapping[str, str] = MappingProxyType(
    {
        "cache_control": _HARMLESS["cache_control"],
        "input_examples": "a function has a description and a schema",
        "defer_loading": "every tool is there from the start",
        "allowed_callers": "only the model calls",
        "eager_input_streaming": "the upstream streams arguments as it does",
    }
)
# Names of models that take the cap as `max_completion_tokens` only, and of those that cannot be told how hard to think
# (OpenAI, reasoning guide, read 2026-11). Other upstreams know `max_tokens`.
_THINKERS = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d))")
_THOUGHTLESS = re.compile(r"(?:^|/)(?:gpt-(?:3|4)|chatgpt-4)")
_NULL = msgspec.Raw(b"null")


class _Tool(msgspec.Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = _NULL
    strict: bool | None = None
    cache_control: msgspec.Raw = _NULL
    input_examples: msgspec.Raw = _NULL
    defer_loading: msgspec.Raw = _NULL
    allowed_callers: msgspec.Raw = _NULL
    eager_input_streaming: msgspec.Raw = _NULL


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


class _Format(msgspec.Struct):
    type: str
    schema: msgspec.Raw = _NULL


class _Config(msgspec.Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Body(msgspec.Struct):
    messages: list[Turn]
    max_tokens: int
    system: str | list[Block] | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Config | None = None
    output_format: _Format | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None


_BODY = msgspec.json.Decoder(_Body)


class Passage:
    """A message for an upstream that serves chat completions. Raises BadBody when it cannot be carried.

    What a model does not take is found out by `body`: `dropped` is complete after it.
    """

    path = "/chat/completions"
    headers: Fields = ()

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._drops = Drops()
        self._message, fields = read_body(asked.body, _BODY, remedy="Send one JSON object.")
        sort_out(fields, _CARRIED, _HARMLESS, _REFUSED, self._drops)
        if self._message.max_tokens < 1:
            raise uncarried("max_tokens", "Ask for at least one token.")
        self._plain = _plain(self._message, asked.stream, self._drops)
        self.dropped = self._drops.named

    def body(self, model: str) -> bytes:
        drops = Drops(self._drops)
        cap = "max_completion_tokens" if _THINKERS.search(model) else "max_tokens"
        wanted = {"model": model, **self._plain, cap: self._message.max_tokens}
        if effort := _effort(self._message, model, drops):
            wanted["reasoning_effort"] = effort
        self.dropped = drops.named
        return msgspec.json.encode(wanted)

    def read(self, answer: bytes) -> Answered | None:
        return back.read(answer)

    def whole(self, answer: bytes) -> bytes:
        return back.message(answer, input_tokens=self._asked.input_tokens)

    def refusal(self, status: int, answer: bytes) -> bytes:
        return back.refusal(status, answer)

    def stream(self) -> back.Events:
        return back.Events(input_tokens=self._asked.input_tokens)


def _plain(message: _Body, stream: bool, drops: Drops) -> dict[str, object]:
    """What is the same for every model."""
    body: dict[str, object] = {"messages": messages(message.system, message.messages, drops)}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    for name, value in (
        ("stop", message.stop_sequences),
        ("temperature", message.temperature),
        ("top_p", message.top_p),
    ):
        if value is not None and value != []:
            body[name] = value
    body |= _tools(message, drops) | _format(message)
    if message.metadata is not None and (user := message.metadata.user_id):
        if len(user) <= MAX_USER:
            body["user"] = user
        else:
            drops.add("metadata.user_id", f"longer than {MAX_USER} characters")
    if message.service_tier == "standard_only":
        body["service_tier"] = "default"
    return body


def _format(message: _Body) -> dict[str, object]:
    config = message.output_config
    wanted = message.output_format or (config.format if config is not None else None)
    if wanted is None:
        return {}
    if wanted.type != "json_schema":
        raise uncarried("output_config.format", "Send a json_schema.")
    schema = {"name": "answer", "schema": wanted.schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _tools(message: _Body, drops: Drops) -> dict[str, object]:
    """The tools, and which of them may, must or must not be called."""
    made = [_tool(tool, f"tools[{at}]", drops) for at, tool in enumerate(message.tools or ())]
    if not made:
        return {}
    body: dict[str, object] = {"tools": made}
    if (choice := message.tool_choice) is not None:
        body["tool_choice"] = _choice(choice)
        if choice.disable_parallel_tool_use:
            body["parallel_tool_calls"] = False
    return body


def _choice(choice: _Choice) -> object:
    if choice.type == "tool" and choice.name:
        return {"type": "function", "function": {"name": choice.name}}
    kinds = {"auto": "auto", "any": "required", "none": "none"}
    if choice.type not in kinds:
        raise uncarried("tool_choice", "Send auto, any, none or one tool.")
    return kinds[choice.type]


def _tool(tool: _Tool, where: str, drops: Drops) -> dict[str, object]:
    """A tool of the client's. One that Anthropic itself runs has no counterpart."""
    if tool.type not in (None, "custom"):
        raise uncarried(f"{where}.type", _ANTHROPIC_ONLY)
    for name, why in _OF_A_TOOL.items():
        if bytes(getattr(tool, name)) not in NEUTRAL:
            drops.add(name if name == "cache_control" else f"tools.{name}", why)
    function: dict[str, object] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if bytes(tool.input_schema) != b"null":
        function["parameters"] = tool.input_schema
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _effort(message: _Body, model: str, drops: Drops) -> str:
    """How hard to think, in OpenAI's word; empty when the upstream is to decide."""
    config, thinking = message.output_config, message.thinking
    word = config.effort if config is not None else None
    if thinking is not None and thinking.type == "disabled":
        drops.add("thinking", "whether the upstream's model thinks is its own affair")
        return ""
    if word is None and thinking is not None and thinking.budget_tokens is not None:
        word = effort_of(thinking.budget_tokens)
    if word and _THOUGHTLESS.search(model):
        drops.add("thinking", "the model does not think before it answers")
        return ""
    return word or ""
