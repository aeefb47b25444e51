"""A request for a response on its way to an upstream that serves chats only, and the answer back. Pure.

What has no counterpart there and would change what the answer means is refused (`_REFUSED`); what is harmless is left
out and named (`_HARMLESS`). From the chat on, a passage for chats carries it, whatever dialect the upstream speaks.
`response_from_completion.py` and, streamed, `response_events.py` bring the answer back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from baseload.wire import openai
from baseload.wire import passage as wire
from baseload.wire import response_from_completion as back
from baseload.wire.answer import Answered
from baseload.wire.asked import Asked
from baseload.wire.body import BadBody, Fields, read_body
from baseload.wire.carry import NEUTRAL, Drops, sort_out, uncarried
from baseload.wire.response_events import Events
from baseload.wire.response_turns import messages

_NATIVE = "Leave it out, or name a model whose upstream serves responses itself."
_SEND_ALL = "Send the whole conversation in `input`: the upstream keeps none."
_FUNCTIONS = "Send tools of type function, or name a model whose upstream serves responses itself."
_HARMLESS: Mapping[str, str] = MappingProxyType(
    {
        "include": "the upstream runs no tools and hides no reasoning",
        "max_tool_calls": "the upstream runs no tools",
        "truncation": "the upstream refuses what is too long for it",
        "context_management": "the upstream reads the whole conversation",
        "image": "the upstream sees images as they are",
        "stream_options": "the stream is as the upstream sends it",
    }
)
_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "previous_response_id": _SEND_ALL,
        "conversation": _SEND_ALL,
        "background": "Wait for the answer, or name a model whose upstream serves responses itself.",
        "prompt": "Send the text of the prompt in `instructions` and `input`.",
        "top_logprobs": _NATIVE,
        "moderation": _NATIVE,
    }
)
_VERBATIM = (
    *("temperature", "top_p", "parallel_tool_calls", "metadata", "user", "safety_identifier", "service_tier"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
)
_CARRIED = frozenset(
    (
        *_VERBATIM,
        *("model", "input", "instructions", "stream", "max_output_tokens", "tools", "tool_choice", "text", "reasoning"),
        *("store",),
    )
)
_LOGPROBS = "message.output_text.logprobs"
_NULL = msgspec.Raw(b"null")

InnerMaker = Callable[[Asked], wire.Passage]


class _Tool(msgspec.Struct):
    type: str
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = _NULL
    strict: bool | None = None
    defer_loading: msgspec.Raw = _NULL
    allowed_callers: msgspec.Raw = _NULL
    output_schema: msgspec.Raw = _NULL


class _Choice(msgspec.Struct):
    type: str
    name: str = ""
    mode: str = "auto"
    tools: list[_Tool] = []


class _Format(msgspec.Struct):
    type: str
    name: str = ""
    description: str | None = None
    schema: msgspec.Raw = _NULL
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: msgspec.Raw = _NULL
    generate_summary: msgspec.Raw = _NULL
    context: msgspec.Raw = _NULL
    mode: msgspec.Raw = _NULL


class _Body(msgspec.Struct):
    model: str
    input: str | list[msgspec.Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None
    store: bool | None = None


_BODY = msgspec.json.Decoder(_Body)


class Passage:
    """A response for an upstream that serves chats. `inner` makes the passage that carries a chat there.

    Raises BadBody when it cannot be carried. What a model does not take is found out by `body`: `dropped` is complete
    after it.
    """

    def __init__(self, asked: Asked, inner: InnerMaker = openai.Passage) -> None:
        document, fields = read_body(asked.body, _BODY, remedy="Send one JSON object.")
        drops = Drops()
        sort_out(fields, _CARRIED, _HARMLESS, _REFUSED, drops)
        if _LOGPROBS in (document.include or ()):
            raise uncarried("include", _NATIVE)
        if document.store is not False:
            drops.add("store", "the answer is not kept, so that previous_response_id cannot name it")
        chat = msgspec.json.encode(_chat(document, fields, drops))
        self._inner = inner(openai.read(chat))
        self._own = drops.named
        self._fields = fields
        self.path = self._inner.path
        self.headers = self._inner.headers
        self.dropped = (*self._own, *self._inner.dropped)

    def body(self, model: str) -> bytes:
        body = self._inner.body(model)
        self.dropped = (*self._own, *self._inner.dropped)
        return body

    def read(self, answer: bytes) -> Answered | None:
        found = self._inner.read(answer)
        return found if found is not None and back.readable(self._inner.whole(answer)) else None

    def whole(self, answer: bytes) -> bytes:
        found = self._inner.read(answer)
        usage = found.usage if found is not None else None
        return back.response(self._inner.whole(answer), usage, self._fields)

    def refusal(self, status: int, answer: bytes) -> bytes:
        return self._inner.refusal(status, answer)

    def stream(self) -> Events:
        return Events(self._inner.stream(), self._fields)


def _chat(document: _Body, fields: Fields, drops: Drops) -> dict[str, object]:
    """The chat that asks for the same."""
    said = messages(document.instructions, document.input, drops)
    if not said:
        raise BadBody("`input` is missing", remedy="Send `input`.", param="input", code="missing_field")
    chat: dict[str, object] = {"model": document.model, "messages": said}
    chat |= {name: fields[name] for name in _VERBATIM if bytes(fields.get(name, b"null")) != b"null"}
    if document.stream:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    if document.max_output_tokens is not None:
        chat["max_completion_tokens"] = document.max_output_tokens
    chat |= _tools(document, drops) | _text(document.text)
    if (reasoning := document.reasoning) is not None:
        if reasoning.effort is not None:
            chat["reasoning_effort"] = reasoning.effort
        for name in ("summary", "generate_summary", "context", "mode"):
            if bytes(getattr(reasoning, name)) not in NEUTRAL:
                drops.add(f"reasoning.{name}", "the upstream shows its reasoning as it does")
    return chat


def _tools(document: _Body, drops: Drops) -> dict[str, object]:
    """The tools, and which of them may, must or must not be called."""
    tools = document.tools or []
    made = {at: _tool(tool, f"tools[{at}]", drops) for at, tool in enumerate(tools)}
    choice = document.tool_choice
    if not made or choice is None:
        return {"tools": list(made.values())} if made else {}
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise uncarried("tool_choice", _FUNCTIONS)
        return {"tools": list(made.values()), "tool_choice": choice}
    if choice.type == "allowed_tools":
        allowed = {tool.name for tool in choice.tools if tool.type == "function"}
        kept = [each for at, each in made.items() if tools[at].name in allowed]
        if len(kept) < len(choice.tools) or not kept:
            raise uncarried("tool_choice.tools", _FUNCTIONS)
        return {"tools": kept, "tool_choice": choice.mode}
    if choice.type != "function" or not choice.name:
        raise uncarried("tool_choice.type", _FUNCTIONS)
    forced = {"type": "function", "function": {"name": choice.name}}
    return {"tools": list(made.values()), "tool_choice": forced}


def _tool(tool: _Tool, where: str, drops: Drops) -> dict[str, object]:
    """A function. A tool that OpenAI itself runs has no counterpart."""
    if tool.type != "function":
        raise uncarried(f"{where}.type", _FUNCTIONS)
    for name in ("defer_loading", "allowed_callers", "output_schema"):
        if bytes(getattr(tool, name)) not in NEUTRAL:
            drops.add(f"tools.{name}", "a chat's functions have a description and a schema")
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if bytes(tool.parameters) != b"null":
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _text(text: _Text | None) -> dict[str, object]:
    """The format of the answer, and how much it says."""
    if text is None:
        return {}
    body: dict[str, object] = {"verbosity": text.verbosity} if text.verbosity is not None else {}
    wanted = text.format
    if wanted is None or wanted.type == "text":
        return body
    if wanted.type == "json_object":
        return body | {"response_format": {"type": "json_object"}}
    if wanted.type != "json_schema":
        raise uncarried("text.format.type", "Send text, json_object or json_schema.")
    schema: dict[str, object] = {"name": wanted.name, "schema": wanted.schema}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return body | {"response_format": {"type": "json_schema", "json_schema": schema}}
