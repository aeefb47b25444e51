"""A whole chat completion as a response, and the pieces that its stream is made of as well. Pure.

Reasoning that an upstream shows becomes an item with its text; what the model wrote, a message; each call of a tool, an
item of its own. The id of the response is made from the completion's: nobody keeps it, so that nothing can name it.
"""

from __future__ import annotations

import re

import msgspec

from baseload.usage import Usage
from baseload.wire.answer import decoded
from baseload.wire.body import Fields

Item = dict[str, object]

COMPLETED, INCOMPLETE, IN_PROGRESS, FAILED = "completed", "incomplete", "in_progress", "failed"
# Why a chat ended before the model did, in a response's words.
_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ECHOED: dict[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what it says where that was silent."""

_NOTHING = (b"", b"null", b"[]")
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc"}
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
MAX_NAME = 64


class Called(msgspec.Struct):
    """What is called. Some upstreams give the arguments as they are and not as a text."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def text(self) -> str:
        raw = bytes(self.arguments)
        if raw.startswith(b'"'):
            return text_in(self.arguments)
        return raw.decode(errors="replace") if raw != b"null" else ""


class Call(msgspec.Struct):
    """A call of a tool, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Called | None = None


class Written(msgspec.Struct):
    """What a message or a delta holds. Some upstreams call the reasoning `reasoning`."""

    content: msgspec.Raw = msgspec.Raw(b"")
    refusal: msgspec.Raw = msgspec.Raw(b"")
    reasoning_content: msgspec.Raw = msgspec.Raw(b"")
    reasoning: msgspec.Raw = msgspec.Raw(b"")
    tool_calls: msgspec.Raw = msgspec.Raw(b"")

    @property
    def thought(self) -> str:
        return text_in(self.reasoning_content) or text_in(self.reasoning)

    @property
    def calls(self) -> list[Call] | None:
        """The calls of tools; None when they cannot be read."""
        return decoded(_CALLS, bytes(self.tool_calls)) if bytes(self.tool_calls) not in _NOTHING else []


class Choice(msgspec.Struct):
    """A choice of a whole answer (`message`) or of a chunk (`delta`)."""

    message: Written | None = None
    delta: Written | None = None
    finish_reason: str | None = None


class Completion(msgspec.Struct):
    """A whole answer or a chunk."""

    id: msgspec.Raw = msgspec.Raw(b"")
    created: msgspec.Raw = msgspec.Raw(b"")
    model: msgspec.Raw = msgspec.Raw(b"")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")
    choices: msgspec.Raw = msgspec.Raw(b"")

    @property
    def silent(self) -> bool:
        """Whether there is no choice at all, as beside the usage."""
        return bytes(self.choices) in _NOTHING

    @property
    def choice(self) -> Choice | None:
        """The first choice, a response has no second; None when it, or a call in it, cannot be read."""
        raws = decoded(_RAWS, bytes(self.choices))
        found = decoded(_CHOICE, bytes(raws[0])) if raws else None
        written = found and (found.message or found.delta)
        return None if written and written.calls is None else found


class _Part(msgspec.Struct):
    text: str = ""


_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_CALLS = msgspec.json.Decoder(list[Call])
_CHOICE = msgspec.json.Decoder(Choice)
COMPLETION = msgspec.json.Decoder(Completion)
_TEXT = msgspec.json.Decoder(str | list[_Part])
_NAME = msgspec.json.Decoder(str)
_NUMBER = msgspec.json.Decoder(int)


def readable(answer: bytes) -> bool:
    """Whether a completion can be told as a response without losing what was written."""
    completion = decoded(COMPLETION, answer)
    choice = completion.choice if completion is not None else None
    return choice is not None and choice.message is not None


def response(answer: bytes, usage: Usage | None, asked: Fields) -> bytes:
    """A whole completion as a response. `asked`: the fields of the request, of which it repeats some."""
    completion = decoded(COMPLETION, answer) or Completion()
    choice = completion.choice or Choice()
    reason = choice.finish_reason
    made = head(completion, asked)
    items = _items(choice.message or Written(), name_of(completion), status_of(reason))
    return msgspec.json.encode({**made, **outcome(reason, items, usage)})


def name_of(completion: Completion) -> str:
    """What the ids of a response and its items share, from the completion's own."""
    found = _named(completion.id)
    return _UNFIT.sub("", found.removeprefix("chatcmpl-"))[:MAX_NAME] or "0"


def _named(raw: msgspec.Raw) -> str:
    found = decoded(_NAME, bytes(raw))
    return found or ""


def head(completion: Completion, asked: Fields) -> Item:
    """What a response says from its beginning."""
    created = decoded(_NUMBER, bytes(completion.created))
    echoed = {name: asked[name] for name in _ECHOED if bytes(asked.get(name, b"null")) != b"null"}
    tier = completion.service_tier if bytes(completion.service_tier).startswith(b'"') else None
    return {
        "id": f"resp_{name_of(completion)}",
        "object": "response",
        "created_at": created or 0,
        "status": IN_PROGRESS,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": _named(completion.model),
        "output": [],
        "previous_response_id": None,
        "service_tier": tier,
        "store": False,
        "usage": None,
        **_ECHOED,
        **echoed,
    }


def outcome(reason: str | None, items: list[Item], usage: Usage | None) -> Item:
    """What a response says at its end. `reason`: why the chat ended."""
    cut = _CUT.get(reason or "")
    return {
        "status": status_of(reason),
        "incomplete_details": {"reason": cut} if cut else None,
        "output": items,
        "usage": counted(usage) if usage is not None else None,
    }


def status_of(reason: str | None) -> str:
    """The status of a response, and of the item that was under way when it ended."""
    return INCOMPLETE if reason in _CUT else COMPLETED


def counted(usage: Usage) -> Item:
    """Leaves as a response says them: caches inside the input, reasoning inside the output."""
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": written},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def text_in(raw: msgspec.Raw) -> str:
    """A content: a text, or the texts among its parts."""
    found = decoded(_TEXT, bytes(raw)) if bytes(raw) else None
    if found is None or isinstance(found, str):
        return found or ""
    return "".join(part.text for part in found)


def part(kind: str, text: str) -> Item:
    """A part of an item: output_text, refusal or reasoning_text."""
    if kind == "output_text":
        return {"type": kind, "text": text, "annotations": [], "logprobs": []}
    return {"type": kind, "refusal" if kind == "refusal" else "text": text}


def spoken(kind: str, id: str, status: str, parts: list[Item]) -> Item:
    """An item of text: a message, or reasoning."""
    more: Item = {"role": "assistant"} if kind == "message" else {"summary": []}
    return {"type": kind, "id": id, "status": status, "content": parts, **more}


def called(id: str, status: str, call_id: str, name: str, arguments: str) -> Item:
    """An item that calls a function."""
    item: Item = {"type": "function_call", "id": id, "status": status}
    return item | {"call_id": call_id, "name": name, "arguments": arguments}


def item_id(kind: str, name: str, place: int) -> str:
    """The id of the item at a place of the output."""
    return f"{_PREFIXES[kind]}_{name}_{place}"


def call_name(name: str, place: int) -> str:
    """An id for a call that came without one."""
    return f"call_{name}_{place}"


def _items(written: Written, name: str, status: str) -> list[Item]:
    """The items of a whole answer. Only the last can have been cut."""
    items: list[Item] = []
    if thought := written.thought:
        items.append(spoken("reasoning", item_id("reasoning", name, 0), COMPLETED, [part("reasoning_text", thought)]))
    texts = (("output_text", text_in(written.content)), ("refusal", text_in(written.refusal)))
    if parts := [part(kind, text) for kind, text in texts if text]:
        items.append(spoken("message", item_id("message", name, len(items)), COMPLETED, parts))
    for call in written.calls or ():
        function = call.function or Called()
        at = len(items)
        said = (call.id or call_name(name, at), function.name or "", function.text)
        items.append(called(item_id("function_call", name, at), COMPLETED, *said))
    if items:
        items[-1]["status"] = status
    return items
