"""The turns of an Anthropic message as the messages of a chat completion. Pure.

A user's turn may hold the results of tools; a chat has a message for each, and they come before what the user says
besides. A picture in a result follows in the user's own message: a chat's tools answer in text.
"""

from __future__ import annotations

import msgspec

from baseload.wire.anthropic import OWN_SIGNATURE
from baseload.wire.carry import Drops, uncarried

_NULL = msgspec.Raw(b"null")
_SEND_TEXT = "Send text, images, tool calls and their results, or name a model that an Anthropic upstream serves."

Part = dict[str, object]


class _Source(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""


class Block(msgspec.Struct):
    """One block of a turn, or of the system prompt, or of a tool's result."""

    type: str
    text: str = ""
    source: _Source | None = None
    title: str | None = None
    context: str | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str = ""
    content: str | list[Block] | None = None
    is_error: bool = False
    thinking: str = ""
    signature: str = ""
    cache_control: msgspec.Raw = _NULL
    citations: msgspec.Raw = _NULL


class Turn(msgspec.Struct):
    """One turn."""

    role: str
    content: str | list[Block]


def messages(system: str | list[Block] | None, turns: list[Turn], drops: Drops) -> list[Part]:
    """The messages of a chat. Raises BadBody on what has no counterpart and must not be lost."""
    found: list[Part] = []
    if system:
        found.append({"role": "system", "content": _joined(_parts(system, "system", drops))})
    for place, turn in enumerate(turns):
        where = f"messages[{place}].content"
        if turn.role == "user":
            found += _user(turn, where, drops)
        elif turn.role == "assistant":
            found.append(_assistant(turn, where, drops))
        elif turn.role == "system":
            found.append({"role": "system", "content": _joined(_parts(turn.content, where, drops))})
        else:
            raise uncarried(f"messages[{place}].role", "Send turns of user and assistant.")
    return found


def _user(turn: Turn, where: str, drops: Drops) -> list[Part]:
    """The results of tools, then what the user says besides."""
    if isinstance(turn.content, str):
        return [{"role": "user", "content": turn.content}]
    results: list[Part] = []
    parts: list[Part] = []
    for at, block in enumerate(turn.content):
        if block.type == "tool_result":
            result, seen = _result(block, f"{where}[{at}]", drops)
            results.append(result)
            parts += seen
        else:
            parts.append(_part(block, f"{where}[{at}]", drops))
    if parts or not results:
        results.append({"role": "user", "content": _joined(parts)})
    return results


def _result(block: Block, where: str, drops: Drops) -> tuple[Part, list[Part]]:
    """The message of a tool, and the pictures that are in it."""
    _note(block, drops)
    if block.is_error:
        drops.add("messages.content.is_error", "a tool's answer in a chat is its text alone")
    parts = _parts(block.content or "", f"{where}.content", drops)
    texts = [str(part["text"]) for part in parts if part["type"] == "text"]
    message: Part = {"role": "tool", "tool_call_id": block.tool_use_id, "content": "\n".join(texts)}
    return message, [part for part in parts if part["type"] != "text"]


def _assistant(turn: Turn, where: str, drops: Drops) -> Part:
    if isinstance(turn.content, str):
        return {"role": "assistant", "content": turn.content}
    texts: list[Part] = []
    thoughts: list[str] = []
    calls: list[Part] = []
    for at, block in enumerate(turn.content):
        if block.type == "tool_use":
            calls.append(_call(block))
        elif block.type == "thinking" and block.signature == OWN_SIGNATURE:
            thoughts.append(block.thinking)
        elif block.type in ("thinking", "redacted_thinking"):
            drops.add("messages.content.thinking", "only the model that signed it can read it")
        else:
            texts.append(_part(block, f"{where}[{at}]", drops))
    message: Part = {"role": "assistant", "content": _joined(texts) if texts else None}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    elif not texts:
        message["content"] = ""
    return message


def _call(block: Block) -> Part:
    """A call of a tool. Its input is the client's own bytes, as a text."""
    arguments = bytes(block.input).decode()
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _joined(parts: list[Part]) -> str | list[Part]:
    """One text as a text, which every upstream takes; anything more as parts."""
    if not parts:
        return ""
    return str(parts[0]["text"]) if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _parts(content: str | list[Block], where: str, drops: Drops) -> list[Part]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_part(block, f"{where}[{at}]", drops) for at, block in enumerate(content)]


def _part(block: Block, where: str, drops: Drops) -> Part:
    _note(block, drops)
    source = block.source
    if block.type == "text":
        return {"type": "text", "text": block.text}
    if block.type == "image" and source is not None and source.type in ("base64", "url"):
        return {"type": "image_url", "image_url": {"url": source.url or _data_url(source)}}
    if block.type == "document" and source is not None:
        return _document(block, source, where, drops)
    raise uncarried(f"{where}.type", _SEND_TEXT)


def _document(block: Block, source: _Source, where: str, drops: Drops) -> Part:
    if source.type == "text":
        about = [each for each in (block.title, block.context) if each]
        return {"type": "text", "text": "\n".join((*about, source.data))}
    if source.type != "base64":
        raise uncarried(f"{where}.source", "Send the document itself, in base64 or as text.")
    if block.context:
        drops.add("messages.content.context", "a file in a chat has a name and nothing else")
    file = {"filename": block.title or "document.pdf", "file_data": _data_url(source)}
    return {"type": "file", "file": file}


def _data_url(source: _Source) -> str:
    return f"data:{source.media_type};base64,{source.data}"


def _note(block: Block, drops: Drops) -> None:
    """Name what a block says besides."""
    if bytes(block.cache_control) != b"null":
        drops.add("cache_control", "the upstream caches by itself, if at all")
    if bytes(block.citations) not in (b"null", b"[]", b'{"enabled":false}'):
        drops.add("citations", "a chat completion has none")
