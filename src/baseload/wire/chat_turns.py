"""The messages of a chat completion as the turns of an Anthropic message. Pure.

System and developer messages go to the front, where Anthropic reads them; the results of tools become part of the
user's turn, and neighbours of one role become one turn, as Anthropic wants them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from baseload.wire.body import BadBody
from baseload.wire.carry import Drops, is_object, uncarried

_NULL = msgspec.Raw(b"null")
_BASE64 = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[\w.+-]+)*;base64,")
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_SEND_TEXT = "Send text or an image, or name a model that an upstream of this dialect serves."

Block = dict[str, object]


class _Link(msgspec.Struct):
    url: str
    detail: str | None = None


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: _Link | str | None = None
    file: _File | None = None
    cache_control: msgspec.Raw = _NULL


class _Called(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    type: str = "function"
    function: _Called | None = None


class _Thought(msgspec.Struct):
    """A block of thinking, as our own answers give it."""

    type: str
    thinking: str = ""
    signature: str = ""
    data: str = ""


class Message(msgspec.Struct):
    """One message of a chat."""

    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[_Thought] | None = None
    function_call: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL
    cache_control: msgspec.Raw = _NULL


class Turns(msgspec.Struct):
    """What Anthropic reads. `unsigned`: the assistant's last calls came without the thinking that led to them."""

    system: list[Block]
    messages: list[Block]
    unsigned: bool


def turns(messages: list[Message], drops: Drops) -> Turns:
    """The turns of a chat. Raises BadBody on what has no counterpart and must not be lost."""
    system: list[Block] = []
    found: list[tuple[str, list[Block]]] = []
    unsigned = False
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if message.name:
            drops.add("messages.name", "Anthropic's messages have no names")
        if message.role in ("system", "developer"):
            if found:
                drops.add("messages.role", "system messages moved to the front")
            system += _blocks(message, where, drops)
            continue
        role, blocks = _turn(message, where, drops)
        if message.role == "user":
            unsigned = False
        elif message.role == "assistant":
            unsigned = bool(message.tool_calls) and not message.thinking_blocks
        if found and found[-1][0] == role:
            found[-1][1].extend(blocks)
        elif blocks:
            found.append((role, blocks))
    if not found:
        raise uncarried("messages", "Send at least one message of a user.")
    return Turns(system, [{"role": role, "content": blocks} for role, blocks in found], unsigned)


def tool_id(id: str) -> str:
    """The id of a call in the characters that Anthropic takes; the same for the call and for its result.

    >>> tool_id("call_1"), tool_id("functions.get:0")
    ('call_1', 'functions_2Eget_3A0')
    """
    return _UNFIT.sub(lambda found: f"_{ord(found[0]):02X}", id)


def _turn(message: Message, where: str, drops: Drops) -> tuple[str, list[Block]]:
    """The role and the blocks of one message."""
    if message.role == "user":
        return "user", list(_blocks(message, where, drops))
    if message.role == "tool":
        return "user", [_result(message, where, drops)]
    if message.role == "assistant":
        return "assistant", _assistant(message, where, drops)
    raise uncarried(f"{where}.role", "Send messages of system, developer, user, assistant and tool.")


def _assistant(message: Message, where: str, drops: Drops) -> list[Block]:
    for name in ("function_call", "audio"):
        if bytes(getattr(message, name)) != b"null":
            raise uncarried(f"{where}.{name}", "Send `tool_calls` and text.")
    blocks = [_thought(each) for each in message.thinking_blocks or ()]
    if message.reasoning_content and not message.thinking_blocks:
        drops.add("messages.reasoning_content", "Anthropic takes thinking back only as signed thinking_blocks")
    blocks += _blocks(message, where, drops)
    if message.refusal:
        blocks.append({"type": "text", "text": message.refusal})
    return blocks + [_use(call, f"{where}.tool_calls[{at}]") for at, call in enumerate(message.tool_calls or ())]


def _thought(thought: _Thought) -> Block:
    if thought.type == "redacted_thinking":
        return {"type": "redacted_thinking", "data": thought.data}
    return {"type": "thinking", "thinking": thought.thinking, "signature": thought.signature}


def _use(call: _Call, where: str) -> Block:
    """A call of a tool. Its arguments are the model's own text; they go over byte for byte."""
    if call.type != "function" or call.function is None:
        raise uncarried(f"{where}.type", "Call tools of type function.")
    arguments = call.function.arguments.encode() if call.function.arguments.strip() else b"{}"
    if not is_object(arguments):
        raise BadBody(
            f"`{where}.function.arguments` is not one JSON object, which Anthropic wants",
            remedy="Send the arguments as the model wrote them, or leave out a call that was cut off.",
            param=f"{where}.function.arguments",
            code="not_carried",
        )
    name = call.function.name
    return {"type": "tool_use", "id": tool_id(call.id), "name": name, "input": msgspec.Raw(arguments)}


def _result(message: Message, where: str, drops: Drops) -> Block:
    if not message.tool_call_id:
        raise uncarried(f"{where}.tool_call_id", "Say which call a tool message answers.")
    blocks = list(_blocks(message, where, drops))
    result: Block = {"type": "tool_result", "tool_use_id": tool_id(message.tool_call_id)}
    if cached := [block.pop("cache_control") for block in blocks if "cache_control" in block]:
        result["cache_control"] = cached[-1]
    return result | ({"content": blocks} if blocks else {})


def _blocks(message: Message, where: str, drops: Drops) -> Iterator[Block]:
    """The content of a message. Anthropic takes no empty text, so there is none."""
    content = message.content
    parts = [_Part(type="text", text=content)] if isinstance(content, str) else content or []
    whole = bytes(message.cache_control)
    for at, part in enumerate(parts):
        block = _block(part, f"{where}.content[{at}]", drops)
        if block is None:
            continue
        control = bytes(part.cache_control)
        if control == b"null" and at == len(parts) - 1:
            control = whole
        yield block if control == b"null" else block | {"cache_control": msgspec.Raw(control)}


def _block(part: _Part, where: str, drops: Drops) -> Block | None:
    if part.type in ("text", "refusal"):
        text = part.text or part.refusal
        return {"type": "text", "text": text} if text else None
    if part.type == "image_url" and part.image_url is not None:
        return _image(part.image_url, where, drops)
    if part.type == "file" and part.file is not None and part.file.file_data:
        return _document(part.file, where)
    raise uncarried(f"{where}.type", _SEND_TEXT)


def _image(link: _Link | str, where: str, drops: Drops) -> Block:
    url, detail = (link, None) if isinstance(link, str) else (link.url, link.detail)
    source = _source(url)
    if source is None and url.startswith("data:"):
        raise uncarried(f"{where}.image_url", "Send a data: URL in base64.")
    if detail not in (None, "auto"):
        drops.add("messages.content.image_url.detail", "Anthropic sizes images itself")
    return {"type": "image", "source": source or {"type": "url", "url": url}}


def _document(file: _File, where: str) -> Block:
    source = _source(file.file_data or "")
    if source is None or source["media_type"] != "application/pdf":
        raise uncarried(f"{where}.file", "Send a PDF as a data: URL in base64.")
    block: Block = {"type": "document", "source": source}
    return block | ({"title": file.filename} if file.filename else {})


def _source(url: str) -> Block | None:
    """A data: URL as Anthropic's source; None when it is another kind of address."""
    found = _BASE64.match(url)
    return {"type": "base64", "media_type": found[1], "data": url[found.end() :]} if found else None
