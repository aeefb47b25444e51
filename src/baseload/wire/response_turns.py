"""The input items of a response as the messages of a chat completion. Pure.

A response lists what was said, the calls of tools and their results one by one; a chat has one message of the assistant
for what it said and called, and one for each result. A picture in a result follows in a message of the user's: a chat's
tools answer in text.
"""

from __future__ import annotations

import msgspec

from baseload.wire.answer import decoded
from baseload.wire.carry import Drops, uncarried

_NULL = msgspec.Raw(b"null")
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_SEND = "Send messages, function calls and their outputs, or name a model whose upstream serves responses itself."
_SEND_PART = "Send texts, images by URL, files and audio in the request itself."

Part = dict[str, object]
Message = dict[str, object]


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    input_audio: msgspec.Raw = _NULL
    prompt_cache_breakpoint: msgspec.Raw = _NULL


class _Item(msgspec.Struct):
    type: str | None = None
    role: str = ""
    content: msgspec.Raw = _NULL
    phase: msgspec.Raw = _NULL
    call_id: str | None = None
    name: str = ""
    arguments: msgspec.Raw = _NULL
    output: msgspec.Raw = _NULL


_ITEM = msgspec.json.Decoder(_Item)
_CONTENT = msgspec.json.Decoder(str | list[_Part])
_TEXT = msgspec.json.Decoder(str)


def messages(instructions: str | None, given: str | list[msgspec.Raw] | None, drops: Drops) -> list[Message]:
    """The messages of a chat. Raises BadBody on what has no counterpart and must not be lost."""
    said = _Turns(drops)
    if instructions:
        said.say("system", instructions)
    if isinstance(given, str):
        said.say("user", given)
    else:
        for place, raw in enumerate(given or ()):
            said.add(bytes(raw), f"input[{place}]")
    said.show()
    return said.messages


class _Turns:
    """The messages so far."""

    def __init__(self, drops: Drops) -> None:
        self.messages: list[Message] = []
        self._drops = drops
        self._seen: list[Part] = []  # what tools gave back that is no text

    def add(self, raw: bytes, where: str) -> None:
        """One input item."""
        item = decoded(_ITEM, raw)
        if item is None:
            raise uncarried(where, _SEND)
        kind = item.type or ("message" if item.role else "")
        if kind == "function_call_output":
            self._output(item, where)
            return
        if kind == "reasoning":
            self._drops.add("input.reasoning", "only the model that thought it can go on from it")
            return
        self.show()
        if kind == "message" and item.role in _ROLES:
            self._message(item, where)
        elif kind == "function_call":
            self._call(item, where)
        else:
            raise uncarried(f"{where}.type", _SEND)

    def say(self, role: str, content: object) -> None:
        """A message. What the system says at a stretch is one, and so is what the assistant says beside its calls."""
        last = self.messages[-1] if self.messages else {}
        before = last.get("content")
        if role == last.get("role") == "system" and isinstance(before, str) and isinstance(content, str):
            last["content"] = f"{before}\n\n{content}"
        elif role == "assistant" and "tool_calls" in last and before is None:
            last["content"] = content
        else:
            self.messages.append({"role": role, "content": content})

    def show(self) -> None:
        """The pictures that tools gave back, once all of them have answered."""
        if self._seen:
            self.messages.append({"role": "user", "content": self._seen})
            self._seen = []

    def _message(self, item: _Item, where: str) -> None:
        if bytes(item.phase) != b"null":
            self._drops.add("input.phase", "a chat's messages have none")
        self.say(_ROLES[item.role], _joined(self._parts(item.content, f"{where}.content")))

    def _call(self, item: _Item, where: str) -> None:
        """A call of a tool goes with what the assistant said before it."""
        arguments = decoded(_TEXT, bytes(item.arguments))
        if not item.call_id or arguments is None:
            raise uncarried(where, "Send each call with its call_id, name and arguments.")
        call = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": arguments}}
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant", "content": None})
        calls = self.messages[-1].setdefault("tool_calls", [])
        if isinstance(calls, list):
            calls.append(call)

    def _output(self, item: _Item, where: str) -> None:
        if not item.call_id:
            raise uncarried(f"{where}.call_id", "Send each output with the call_id of its call.")
        parts = self._parts(item.output, f"{where}.output")
        texts = [str(part["text"]) for part in parts if part["type"] == "text"]
        self.messages.append({"role": "tool", "tool_call_id": item.call_id, "content": "\n".join(texts)})
        self._seen += [part for part in parts if part["type"] != "text"]

    def _parts(self, raw: msgspec.Raw, where: str) -> list[Part]:
        content = decoded(_CONTENT, bytes(raw))
        if content is None:
            raise uncarried(where, _SEND_PART)
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        return [self._part(part, f"{where}[{at}]") for at, part in enumerate(content)]

    def _part(self, part: _Part, where: str) -> Part:
        if bytes(part.prompt_cache_breakpoint) != b"null":
            self._drops.add("prompt_cache_breakpoint", "the upstream caches by itself, if at all")
        if part.type in ("input_text", "output_text", "text"):
            return {"type": "text", "text": part.text}
        if part.type == "refusal":
            return {"type": "text", "text": part.refusal}
        if part.type == "input_image" and part.image_url:
            image = {"url": part.image_url} | ({"detail": part.detail} if part.detail else {})
            return {"type": "image_url", "image_url": image}
        if part.type == "input_file" and part.file_data:
            file = {"file_data": part.file_data} | ({"filename": part.filename} if part.filename else {})
            return {"type": "file", "file": file}
        if part.type == "input_audio" and bytes(part.input_audio) != b"null":
            return {"type": "input_audio", "input_audio": part.input_audio}
        raise uncarried(where, _SEND_PART)


def _joined(parts: list[Part]) -> object:
    """One text as a text, which every upstream takes; anything more as parts."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts or ""
