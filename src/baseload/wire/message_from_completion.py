"""A chat completion as an Anthropic message: whole, as an error, as a stream of events. Pure.

`reasoning_content` becomes a thinking block with our own signature. Anthropic's stream says the size of the input
first and OpenAI's last: our estimate stands in `message_start`, the upstream's count in `message_delta`. A stream that
ends without its end ends in an error, never cleanly.
"""

from __future__ import annotations

import msgspec

from baseload.usage import Usage
from baseload.wire.answer import Answered, complaint, decoded, read_answer
from baseload.wire.anthropic import OWN_SIGNATURE
from baseload.wire.carry import is_object
from baseload.wire.events import LATE_LINE_FEED, Splitter, payload
from baseload.wire.problem import anthropic_problem
from baseload.wire.sse import Reader

UNPARSED = "unparsed_arguments"
"""Arguments of a call that are no JSON object, as a cap may cut them, are given under this name: a tool that checks its
input refuses them. An empty input would be a call that the model never made."""

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_BROKEN = 502

Block = dict[str, object]


class _Called(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Called | None = None


class _Written(msgspec.Struct):
    """What a message or a delta holds. Some upstreams call the reasoning `reasoning`."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""


class _Choice(msgspec.Struct):
    message: _Written | None = None
    delta: _Written | None = None
    finish_reason: str | None = None
    stop_reason: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def stop_sequence(self) -> str | None:
        """The text that stopped the model, which vLLM tells."""
        return decoded(_TEXT, bytes(self.stop_reason))


class _Completion(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


_TEXT = msgspec.json.Decoder(str)
_COMPLETION = msgspec.json.Decoder(_Completion)


def read(answer: bytes) -> Answered | None:
    """What a whole answer consumed and wrote; None when it is none that can be told as a message."""
    return read_answer(answer) if _first(decoded(_COMPLETION, answer)) is not None else None


def message(answer: bytes, *, input_tokens: int) -> bytes:
    """A whole completion as a message; one that cannot be read, as an error. `input_tokens`: our estimate, where the
    upstream does not say."""
    completion = decoded(_COMPLETION, answer)
    choice = _first(completion)
    written = choice.message if choice is not None else None
    if completion is None or choice is None or written is None:
        return anthropic_problem(_BROKEN, "The upstream's answer cannot be read. Try again.")
    answered = read_answer(answer)
    usage = answered.usage if answered is not None else None
    if usage is None:
        output = answered.written_tokens if answered is not None else 0
        usage = Usage(input_tokens=input_tokens, output_tokens=output)
    return msgspec.json.encode(
        {
            "id": completion.id or "",
            "type": "message",
            "role": "assistant",
            "model": completion.model or "",
            "content": _blocks(written, completion.id or ""),
            "stop_reason": _reason(choice, bool(written.tool_calls), bool(written.refusal)),
            "stop_sequence": choice.stop_sequence,
            "usage": counted(usage),
        }
    )


def refusal(status: int, answer: bytes) -> bytes:
    """An error answer in Anthropic's shape."""
    return anthropic_problem(status, complaint(answer) or f"The upstream answered with HTTP {status}.")


def counted(usage: Usage) -> dict[str, object]:
    """Leaves as Anthropic says them: caches beside the input, thinking inside the output."""
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _first(completion: _Completion | None) -> _Choice | None:
    """The choice of a whole answer, of which Anthropic has one."""
    choices = completion.choices if completion is not None else None
    return choices[0] if choices and choices[0].message is not None else None


def _blocks(written: _Written, id: str) -> list[Block]:
    blocks: list[Block] = []
    if written.thought:
        blocks.append({"type": "thinking", "thinking": written.thought, "signature": OWN_SIGNATURE})
    blocks += [{"type": "text", "text": text} for text in (written.content, written.refusal) if text]
    for at, call in enumerate(written.tool_calls or ()):
        called = call.function or _Called()
        block = {"type": "tool_use", "id": call.id or _made_id(id, at), "name": called.name or ""}
        blocks.append(block | {"input": _input(called.arguments or "")})
    return blocks


def _input(arguments: str) -> object:
    """The arguments of a call, byte for byte where they are an object."""
    raw = arguments.encode(errors="replace")
    if is_object(raw):
        return msgspec.Raw(raw)
    return {UNPARSED: arguments} if arguments.strip() else {}


def _made_id(id: str, at: int) -> str:
    """An id for a call that came without one."""
    return f"call_{at}_{id}"


def _reason(choice: _Choice, called: bool, refused: bool) -> str:
    """Some upstreams say `stop` although a tool is to be called."""
    reason = _STOPS.get(choice.finish_reason or "", "end_turn")
    if reason != "end_turn":
        return reason
    if called:
        return "tool_use"
    if refused:
        return "refusal"
    return "stop_sequence" if choice.stop_sequence is not None else reason


class Events(Reader):
    """A streamed completion as the events of a message, in Anthropic's order: one block at a time, then why it stopped
    and what it took, then the end."""

    def __init__(self, *, input_tokens: int) -> None:
        super().__init__()
        self._input_tokens = input_tokens
        self._events = Splitter()
        self._id = ""
        self._started = False
        self._kind = ""  # of the open block: text, thinking, tool_use; empty when none is open
        self._blocks = 0  # that have begun
        self._calls: dict[int, int] = {}  # the upstream's number of a call: its block
        self._choice: _Choice | None = None  # the one that said why it stopped
        self._refused = False
        self._told = False  # why it stopped

    def feed(self, data: bytes) -> bytes:
        """What may be relayed now. Raises BadInput when one event is too long."""
        return b"".join(self._event(event) for event in self._events.feed(data) if event != LATE_LINE_FEED)

    def finish(self) -> bytes:
        """What is left to relay once the upstream has ended its stream."""
        out = self._event(rest) if (rest := self._events.rest()) else b""
        if self.failed:
            return out
        if not self._started or (self._choice is None and not self.done):
            return out + self._fail("The upstream's stream ended before its answer did. Try again.")
        return out + self._tell() + _event("message_stop", {})

    def _event(self, event: bytes) -> bytes:
        """The events that one chunk becomes."""
        data = payload(event)
        if self.done or self.failed:
            return b""
        if not data:
            return _event("ping", {}) if self._started else b""
        if data == b"[DONE]":
            self.done = True
            return self._tell() if self._started else b""
        self._read(data)
        if self.failed:
            return self._fail(self.complaint or "The upstream failed.")
        chunk = decoded(_COMPLETION, data)
        if chunk is None:
            return self._fail("The upstream sent what is no part of an answer.")
        if not chunk.choices:
            return b""
        return self._start(chunk) + self._piece(chunk.choices[0])

    def _start(self, chunk: _Completion) -> bytes:
        if self._started:
            return b""
        self._started = True
        self._id = chunk.id or ""
        message: Block = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": chunk.model or "",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": counted(Usage(input_tokens=self._input_tokens)),
        }
        return _event("message_start", {"message": message})

    def _piece(self, choice: _Choice) -> bytes:
        """What one chunk adds to the message."""
        if choice.finish_reason and self._choice is None:
            self._choice = choice
        delta = choice.delta
        if delta is None:
            return b""
        out = b""
        if delta.thought:
            out += self._open("thinking", {"thinking": "", "signature": ""})
            out += self._delta({"type": "thinking_delta", "thinking": delta.thought})
        for text in (delta.content, delta.refusal):
            if text:
                out += self._open("text", {"text": ""}) + self._delta({"type": "text_delta", "text": text})
        self._refused = self._refused or bool(delta.refusal)
        for at, call in enumerate(delta.tool_calls or ()):
            out += self._call(call, call.index if call.index is not None else at)
        return out

    def _call(self, call: _Call, number: int) -> bytes:
        """A call begins, or a piece of its arguments comes. Only the last call can still grow."""
        if self.failed:
            return b""
        called = call.function or _Called()
        out = b""
        if number not in self._calls:
            start: Block = {"id": call.id or _made_id(self._id, number), "name": called.name or "", "input": {}}
            out = self._open("tool_use", start, anew=True)
            self._calls[number] = self._blocks
        if not called.arguments:
            return out
        if self._calls[number] != self._blocks:
            return out + self._fail("The upstream mixed the pieces of several calls.")
        return out + self._delta({"type": "input_json_delta", "partial_json": called.arguments})

    def _open(self, kind: str, start: Block, *, anew: bool = False) -> bytes:
        """Begin a block, unless such a one is open."""
        if self._kind == kind and not anew:
            return b""
        out = self._close()
        self._kind = kind
        self._blocks += 1
        block = {"index": self._blocks - 1, "content_block": {"type": kind, **start}}
        return out + _event("content_block_start", block)

    def _close(self) -> bytes:
        """End the open block, if there is one."""
        if not self._kind:
            return b""
        signature: Block = {"type": "signature_delta", "signature": OWN_SIGNATURE}
        out = self._delta(signature) if self._kind == "thinking" else b""
        self._kind = ""
        return out + _event("content_block_stop", {"index": self._blocks - 1})

    def _delta(self, delta: Block) -> bytes:
        return _event("content_block_delta", {"index": self._blocks - 1, "delta": delta})

    def _tell(self) -> bytes:
        """Why the model stopped, and what it took: once, when the upstream has said both."""
        if self._told:
            return b""
        self._told = True
        choice = self._choice or _Choice()
        usage = self.usage or Usage(input_tokens=self._input_tokens, output_tokens=self.written_tokens)
        reason = _reason(choice, bool(self._calls), self._refused)
        delta = {"stop_reason": reason, "stop_sequence": choice.stop_sequence}
        return self._close() + _event("message_delta", {"delta": delta, "usage": counted(usage)})

    def _fail(self, why: str) -> bytes:
        self.failed, self.complaint = True, self.complaint or why
        return b"event: error\ndata: " + anthropic_problem(_BROKEN, why) + b"\n\n"


def _event(kind: str, body: Block) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **body}))
