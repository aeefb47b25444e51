"""A chat completion on its way to an upstream that speaks Anthropic Messages, and the answer back. Pure.

What has no counterpart there and would change what the answer means is refused (`_REFUSED`); what is harmless is left
out and named (`_HARMLESS`). `completion_from_message.py` brings the answer back.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from baseload.wire import completion_from_message as back
from baseload.wire.answer import Answered, fields_in
from baseload.wire.anthropic import VERSION
from baseload.wire.asked import Asked
from baseload.wire.body import read_body
from baseload.wire.carry import (
    BUDGETS,
    Drops,
    closed,
    effort_word,
    sort_out,
    takes_sampling,
    thinks_by_effort,
    uncarried,
)
from baseload.wire.chat_turns import Message, Turns, turns

DEFAULT_MAX_TOKENS = 8_192
"""Anthropic wants a cap with every request. This is sent where the client names none; what was cut by it says so with
finish_reason `length`. Every model on sale since 2024-10 can write as much."""

LEAST_BUDGET = 1_024
"""The least budget of thinking that Anthropic takes (Extended thinking, read 2026-11)."""

_TOOLS = "Send tools of type function in `tools`."
_HARMLESS: Mapping[str, str] = MappingProxyType(
    {
        "seed": "Anthropic draws without a seed",
        "presence_penalty": "Anthropic has no penalties",
        "frequency_penalty": "Anthropic has no penalties",
        "metadata": "Anthropic keeps only a user_id; the gateway's ledger keeps the tags",
        "prediction": "Anthropic takes no predicted output",
        "verbosity": "Anthropic has no such setting",
        "store": "Anthropic stores no completions",
        "prompt_cache_key": "Anthropic caches where cache_control stands",
        "prompt_cache_options": "Anthropic caches where cache_control stands",
        "prompt_cache_retention": "Anthropic caches where cache_control stands",
    }
)
_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "n": "Send one request for each answer.",
        "logprobs": "Leave out `logprobs`, or name a model that another upstream serves.",
        "top_logprobs": "Leave out `top_logprobs`, or name a model that another upstream serves.",
        "logit_bias": "Leave out `logit_bias`, or name a model that another upstream serves.",
        "audio": "Ask for text.",
        "functions": _TOOLS,
        "function_call": _TOOLS,
        "web_search_options": _TOOLS,
        "moderation": "Leave out `moderation`, or name a model that another upstream serves.",
    }
)
_CARRIED = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature"),
        *("top_p", "top_k", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format", "modalities"),
        *("reasoning_effort", "thinking", "user", "safety_identifier", "service_tier", "cache_control"),
    )
)
_TIERS = {"auto": "auto", "default": "standard_only"}
_NO_THOUGHT = {"type": "disabled"}
_NULL = msgspec.Raw(b"null")


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = _NULL
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None
    cache_control: msgspec.Raw = _NULL


class _Allowed(msgspec.Struct):
    mode: str
    tools: list[_Tool]


class _Choice(msgspec.Struct):
    type: str
    function: _Function | None = None
    allowed_tools: _Allowed | None = None


class _Schema(msgspec.Struct):
    schema: msgspec.Raw = _NULL


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


class _Body(msgspec.Struct):
    messages: list[Message]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    thinking: _Thinking | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    modalities: list[str] | None = None
    cache_control: msgspec.Raw = _NULL


_BODY = msgspec.json.Decoder(_Body)


class Passage:
    """A chat completion for an Anthropic upstream. Raises BadBody when it cannot be carried.

    What a model does not take is found out by `body`: `dropped` is complete after it.
    """

    path = "/messages"
    headers = VERSION

    def __init__(self, asked: Asked, *, created: int = 0) -> None:
        """`created`: the second, since 1970, that the answer says it was made in."""
        self._asked = asked
        self._created = created
        self._drops = Drops()
        self._chat, fields = read_body(asked.body, _BODY, remedy="Send one JSON object.")
        ones = {name: raw for name, raw in fields.items() if (name, bytes(raw)) != ("n", b"1")}
        sort_out(ones, _CARRIED, _HARMLESS, _REFUSED, self._drops)
        if set(self._chat.modalities or ()) - {"text"}:
            raise uncarried("modalities", "Ask for text.")
        self._turns = turns(self._chat.messages, self._drops)
        self._plain = _plain(self._chat, self._turns, asked.stream, self._drops)
        self.dropped = self._drops.named

    def body(self, model: str) -> bytes:
        drops = Drops(self._drops)
        wanted = _thinking(self._chat, model, self._turns, drops)
        wanted |= _sampling(self._chat, model, wanted.get("thinking", _NO_THOUGHT) != _NO_THOUGHT, drops)
        config = {**_config(self._plain), **_config(wanted)}
        wanted = {"model": model, **self._plain, **wanted} | ({"output_config": config} if config else {})
        self.dropped = drops.named
        return msgspec.json.encode(wanted)

    def read(self, answer: bytes) -> Answered | None:
        return back.read(answer)

    def whole(self, answer: bytes) -> bytes:
        return back.completion(answer, created=self._created)

    def refusal(self, status: int, answer: bytes) -> bytes:
        return back.refusal(status, answer)

    def stream(self) -> back.Chunks:
        return back.Chunks(usage_asked=self._asked.usage_asked, created=self._created)


def _plain(chat: _Body, said: Turns, stream: bool, drops: Drops) -> dict[str, object]:
    """What is the same for every model."""
    body: dict[str, object] = {"messages": said.messages}
    if said.system:
        body["system"] = said.system
    if stream:
        body["stream"] = True
    stops = [chat.stop] if isinstance(chat.stop, str) else chat.stop or []
    if any(not stop.strip() for stop in stops):
        raise uncarried("stop", "Send stop texts that are not only white space, which Anthropic does not take.")
    if stops:
        body["stop_sequences"] = stops
    body |= _tools(chat)
    if (user := chat.safety_identifier or chat.user) is not None:
        body["metadata"] = {"user_id": user}
    if chat.response_format is not None:
        body |= _format(chat.response_format, drops)
    if chat.service_tier in _TIERS:
        body["service_tier"] = _TIERS[chat.service_tier]
    elif chat.service_tier is not None:
        drops.add("service_tier", "Anthropic has no such tier")
    if bytes(chat.cache_control) != b"null":
        body["cache_control"] = chat.cache_control
    return body


def _config(body: Mapping[str, object]) -> dict[str, object]:
    config = body.get("output_config")
    return config if isinstance(config, dict) else {}


def _format(wanted: _Format, drops: Drops) -> dict[str, object]:
    """Structured outputs (Anthropic, read 2026-11): the schema goes over, its objects closed. There is no plain JSON
    mode."""
    if wanted.type == "text":
        return {}
    if wanted.type != "json_schema" or wanted.json_schema is None or bytes(wanted.json_schema.schema) == b"null":
        raise uncarried("response_format", "Send a json_schema, which Anthropic takes, or name another model.")
    given = bytes(wanted.json_schema.schema)
    schema = closed(given)
    if schema != given:
        drops.add("response_format", "objects take only the properties that they name")
    return {"output_config": {"format": {"type": "json_schema", "schema": msgspec.Raw(schema)}}}


# Tools.


def _tools(chat: _Body) -> dict[str, object]:
    """The tools, and which of them may, must or must not be called."""
    tools = chat.tools or []
    choice, allowed = _choice(chat.tool_choice)
    made = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]
    if allowed is not None:
        made = [tool for tool in made if tool["name"] in allowed]
    if not made:
        return {}
    if chat.parallel_tool_calls is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return {"tools": made} | ({"tool_choice": choice} if choice else {})


def _choice(choice: str | _Choice | None) -> tuple[dict[str, object], frozenset[str] | None]:
    """Anthropic's choice, empty when none is made, and the names of the allowed tools, None when all are."""
    if choice is None:
        return {}, None
    if isinstance(choice, str):
        kinds = {"auto": "auto", "required": "any", "none": "none"}
        if choice not in kinds:
            raise uncarried("tool_choice", "Send auto, required, none or one function.")
        return {"type": kinds[choice]}, None
    if choice.type == "function" and choice.function is not None:
        return {"type": "tool", "name": choice.function.name}, None
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        names = frozenset(each.function.name for each in choice.allowed_tools.tools if each.function is not None)
        return _choice(choice.allowed_tools.mode)[0], names
    raise uncarried("tool_choice", "Send auto, required, none or one function.")


def _tool(tool: _Tool, where: str) -> dict[str, object]:
    function = tool.function
    if tool.type != "function" or function is None:
        raise uncarried(f"{where}.type", _TOOLS)
    schema = fields_in(bytes(function.parameters))
    made: dict[str, object] = {
        "name": function.name,
        "input_schema": function.parameters if "type" in schema else {"type": "object", **schema},
    }
    if function.description:
        made["description"] = function.description
    if function.strict:
        made["strict"] = True
    if bytes(tool.cache_control) != b"null":
        made["cache_control"] = tool.cache_control
    return made


# What depends on the model.


def _thinking(chat: _Body, model: str, said: Turns, drops: Drops) -> dict[str, object]:
    """The cap, and how to think: in the client's own `thinking`, by effort, or by a budget that leaves room below the
    cap. Without a cap of the client's the default stands beside the budget."""
    cap = chat.max_completion_tokens or chat.max_tokens
    if chat.thinking is not None:
        spare = chat.thinking.budget_tokens or 0
        return {"max_tokens": cap or DEFAULT_MAX_TOKENS + spare, "thinking": _set(chat.thinking)}
    effort = chat.reasoning_effort
    plain: dict[str, object] = {"max_tokens": cap or DEFAULT_MAX_TOKENS}
    if effort is None:
        return plain
    if effort == "none":
        return plain | {"thinking": _NO_THOUGHT}
    if effort not in BUDGETS:
        raise uncarried("reasoning_effort", "Send none, minimal, low, medium, high, xhigh or max.")
    forced = _forces(chat)
    if thinks_by_effort(model):
        config: dict[str, object] = {"output_config": {"effort": effort_word(effort, model)}}
        return plain | config | ({} if forced else {"thinking": {"type": "adaptive"}})
    budget = min(BUDGETS[effort], (cap or DEFAULT_MAX_TOKENS + BUDGETS[effort]) - 1)
    if forced or said.unsigned or budget < LEAST_BUDGET:
        drops.add("reasoning_effort", _why_not(forced, said.unsigned))
        return plain
    thinking = {"type": "enabled", "budget_tokens": budget}
    return {"max_tokens": cap or DEFAULT_MAX_TOKENS + budget, "thinking": thinking}


def _forces(chat: _Body) -> bool:
    """Whether a tool must be called. Anthropic does not think then."""
    return bool(chat.tools) and _choice(chat.tool_choice)[0].get("type") in ("any", "tool")


def _why_not(forced: bool, unsigned: bool) -> str:
    if forced:
        return "Anthropic does not think where a tool must be called"
    if unsigned:
        return "the thinking_blocks of the last tool calls did not come back"
    return f"the cap leaves no room for {LEAST_BUDGET} tokens of thinking"


def _set(thinking: _Thinking) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(thinking).items() if value is not None}


def _sampling(chat: _Body, model: str, thinks: bool, drops: Drops) -> dict[str, object]:
    """Temperature from 0 to 1, or else top_p: newer models take only one of them, the newest none (Migration guide,
    read 2026-11). With thinking there is no choice either. 1, the default of both dialects, need not be sent."""
    given = {"temperature": chat.temperature, "top_p": chat.top_p, "top_k": chat.top_k}
    wanted = {name: value for name, value in given.items() if value is not None and (name == "top_k" or value != 1)}
    if thinks or not takes_sampling(model):
        for name in wanted:
            drops.add(name, "not taken while thinking" if takes_sampling(model) else "the model takes no sampling")
        return {}
    if (heat := wanted.get("temperature", 0)) > 1:
        drops.add("temperature", "above 1, where Anthropic's scale ends: 1 sent")
        wanted["temperature"] = min(heat, 1)
    if "temperature" in wanted and wanted.pop("top_p", None) is not None:
        drops.add("top_p", "Anthropic takes temperature or top_p, not both")
    return dict(wanted)
