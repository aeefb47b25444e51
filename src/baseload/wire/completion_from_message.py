"""An Anthropic message as a chat completion: whole, as an error, as a stream of chunks. Pure.

Thinking becomes `reasoning_content`, and beside it `thinking_blocks` with their signatures: an assistant message that
is sent back with them thinks on where it stopped. A stream that ends without its end ends in an error, never cleanly.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from baseload.usage import Usage
from baseload.wire.answer import Answered, complaint, decoded
from baseload.wire.anthropic_answer import Event, Reader, read_answer, usage_in
from baseload.wire.events import LATE_LINE_FEED, Splitter, payload
from baseload.wire.problem import problem

MAX_KEPT = 1_000_000
"""Characters of one block of thinking that are kept until its signature comes. A longer one streams on unsigned."""

_STOPS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_KINDS = {"api_error": "server_error", "overloaded_error": "server_error", "timeout_error": "server_error"}
_TOO_LONG = ("prompt is too long", "exceed context limit")
_DONE = b"data: [DONE]\n\n"
_PING = b": ping\n\n"
_EMPTY = (b"", b"null", b"{}")


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    partial_json: str = ""


class _Details(msgspec.Struct):
    explanation: str | None = None


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_details: _Details | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _Fault(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Error(msgspec.Struct):
    error: _Fault


_BLOCK = msgspec.json.Decoder(_Block)
_MESSAGE = msgspec.json.Decoder(_Message)
_DELTA = msgspec.json.Decoder(_Delta)
_ERROR = msgspec.json.Decoder(_Error)


def read(answer: bytes) -> Answered | None:
    """What a whole answer consumed and wrote; None when it is none that can be told as a chat completion."""
    message = decoded(_MESSAGE, answer)
    return read_answer(answer) if message is not None and message.content is not None else None


def completion(answer: bytes, *, created: int = 0) -> bytes:
    """A whole message as a chat completion; one that cannot be read, as an error."""
    message = decoded(_MESSAGE, answer)
    if message is None:
        return problem("The upstream's answer cannot be read. Try again.", code="bad_answer", kind="server_error")
    choice = {
        "index": 0,
        "message": _said(message),
        "logprobs": None,
        "finish_reason": _STOPS.get(message.stop_reason or "", "stop"),
    }
    whole: dict[str, object] = {
        "id": message.id,
        "object": "chat.completion",
        "created": created,
        "model": message.model,
        "choices": [choice],
    }
    usage = usage_in(bytes(message.usage))
    return msgspec.json.encode(whole | ({"usage": counted(usage)} if usage is not None else {}))


def refusal(status: int, answer: bytes) -> bytes:
    """An error answer in OpenAI's shape."""
    found = decoded(_ERROR, answer)
    fault = found.error if found is not None else _Fault()
    message = fault.message or complaint(answer) or f"The upstream answered with HTTP {status}."
    kind = "invalid_request_error" if 400 <= status < 500 else "server_error"
    return problem(message, code=_code(fault), kind=_KINDS.get(fault.type, fault.type) or kind)


def counted(usage: Usage) -> dict[str, object]:
    """Leaves as OpenAI nests them: what came from a cache or went to one is inside the prompt, thinking inside the
    completion."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _code(fault: _Fault) -> str:
    """A word to test for; the one word of OpenAI's that programs do test for is about the length."""
    return "context_length_exceeded" if any(each in fault.message for each in _TOO_LONG) else fault.type or "upstream"


def _said(message: _Message) -> dict[str, object]:
    """The message of a choice."""
    blocks = message.content or []
    texts = [block.text for block in blocks if block.type == "text"]
    thoughts = [block for block in blocks if block.type in ("thinking", "redacted_thinking")]
    calls = [_call(block) for block in blocks if block.type == "tool_use"]
    details = message.stop_details
    said: dict[str, object] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": details.explanation if details is not None and message.stop_reason == "refusal" else None,
    }
    if thoughts:
        said["reasoning_content"] = "".join(block.thinking for block in thoughts)
        said["thinking_blocks"] = [_thought(block) for block in thoughts]
    return said | ({"tool_calls": calls} if calls else {})


def _call(block: _Block) -> dict[str, object]:
    """A call of a tool. Its arguments are the model's own bytes, as a text."""
    arguments = bytes(block.input).decode(errors="replace")
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _thought(block: _Block) -> dict[str, object]:
    if block.type == "redacted_thinking":
        return {"type": "redacted_thinking", "data": block.data}
    return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}


class Chunks(Reader):
    """A streamed message as the chunks of a chat completion. `usage_asked`: the client wants a last one with usage."""

    def __init__(self, *, usage_asked: bool, created: int = 0) -> None:
        super().__init__()
        self._usage_asked = usage_asked
        self._created = created
        self._events = Splitter()
        self._id = self._model = ""
        self._open: _Block | None = None  # the block under way ...
        self._empty = True  # ... of which nothing has come
        self._thinking: list[str] = []  # the pieces of its thinking ...
        self._kept = 0  # ... and their length
        self._calls = 0
        self._thoughts = 0
        self._stopped = False

    def feed(self, data: bytes) -> bytes:
        """What may be relayed now. Raises BadInput when one event is too long."""
        return b"".join(self._event(event) for event in self._events.feed(data) if event != LATE_LINE_FEED)

    def finish(self) -> bytes:
        """What is left to relay once the upstream has ended its stream."""
        out = self._event(rest) if (rest := self._events.rest()) else b""
        if self.failed:
            return out
        if not self._stopped and not self.done:
            return out + self._fail("The upstream's stream ended before its message did. Try again.")
        if not self._stopped:
            out += self._finish("stop")
        usage = self.usage if self._usage_asked else None
        return out + (self._chunk([], usage=counted(usage)) if usage is not None else b"") + _DONE

    def _event(self, event: bytes) -> bytes:
        """The chunks that one event becomes."""
        data = payload(event)
        if not data or self.failed or self.done:
            return b""
        found = self._take(data)
        if found is None:
            return self._fail("The upstream sent what is no part of a message.")
        if self.failed:
            error = decoded(_ERROR, data)
            return _failure(error.error if error is not None else _Fault(message=self.complaint))
        match found.type:
            case "ping":
                return _PING
            case "message_start":
                return self._start(found)
            case "content_block_start":
                return self._whole(self._begin, bytes(found.content_block))
            case "content_block_delta":
                return self._whole(self._piece, bytes(found.delta))
            case "content_block_stop":
                return self._end()
            case "message_delta":
                return self._stop(found)
        return b""

    def _whole(self, take: Callable[[_Block], bytes], raw: bytes) -> bytes:
        block = decoded(_BLOCK, raw)
        return take(block) if block is not None else self._fail("The upstream sent what is no part of a message.")

    def _fail(self, why: str) -> bytes:
        self.failed, self.complaint = True, why
        return _failure(_Fault("api_error", why))

    def _start(self, event: Event) -> bytes:
        message = decoded(_MESSAGE, bytes(event.message)) or _Message()
        self._id, self._model = message.id, message.model
        return self._delta({"role": "assistant", "content": ""})

    def _begin(self, block: _Block) -> bytes:
        """A block begins. Some upstreams put all of it there at once."""
        self._open, self._empty = block, True
        self._thinking, self._kept = [], 0
        if block.type == "tool_use":
            self._calls += 1
            function = {"name": block.name, "arguments": ""}
            call = {"index": self._calls - 1, "id": block.id, "type": "function", "function": function}
            early = bytes(block.input).decode(errors="replace") if bytes(block.input) not in _EMPTY else ""
            return self._delta({"tool_calls": [call]}) + (self._arguments(early) if early else b"")
        text, thinking = block.text, block.thinking
        block.text = block.thinking = ""
        return self._piece(_Block(text=text, thinking=thinking))

    def _piece(self, delta: _Block) -> bytes:
        """A piece of the open block."""
        block = self._open
        if block is None:
            return b""
        if delta.signature:
            block.signature = delta.signature
        if delta.thinking:
            self._kept += len(delta.thinking)
            if self._kept <= MAX_KEPT:
                self._thinking.append(delta.thinking)
            return self._delta({"reasoning_content": delta.thinking})
        if delta.partial_json and block.type == "tool_use":
            return self._arguments(delta.partial_json)
        return self._delta({"content": delta.text}) if delta.text else b""

    def _end(self) -> bytes:
        """The open block ends: thinking with its signature, a call without arguments with an empty object."""
        block, self._open = self._open, None
        if block is None:
            return b""
        if block.type == "tool_use":
            return self._arguments("{}") if self._empty else b""
        if block.type in ("thinking", "redacted_thinking") and self._kept <= MAX_KEPT:
            self._thoughts += 1
            block.thinking = "".join(self._thinking)
            return self._delta({"thinking_blocks": [{"index": self._thoughts - 1, **_thought(block)}]})
        return b""

    def _stop(self, event: Event) -> bytes:
        """The reason to stop, which OpenAI says once."""
        delta = decoded(_DELTA, bytes(event.delta)) or _Delta()
        if self._stopped or not delta.stop_reason:
            return b""
        self._stopped = True
        return self._finish(_STOPS.get(delta.stop_reason, "stop"))

    def _finish(self, reason: str) -> bytes:
        return self._chunk([{"index": 0, "delta": {}, "finish_reason": reason}])

    def _arguments(self, piece: str) -> bytes:
        self._empty = False
        return self._delta({"tool_calls": [{"index": self._calls - 1, "function": {"arguments": piece}}]})

    def _delta(self, delta: dict[str, object]) -> bytes:
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": None}])

    def _chunk(self, choices: list[object], **more: object) -> bytes:
        head = {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model}
        return b"data: " + msgspec.json.encode({**head, "choices": choices, **more}) + b"\n\n"


def _failure(fault: _Fault) -> bytes:
    """An error inside a stream, as OpenAI's client raises it."""
    kind = _KINDS.get(fault.type, fault.type) or "server_error"
    return b"data: " + problem(fault.message or "The upstream failed.", code=_code(fault), kind=kind) + b"\n\n"
