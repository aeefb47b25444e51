"""What an Anthropic answer says: whether it is one, what it consumed, what it wrote, whole or as a stream. Pure.

Anthropic counts what it read from a cache and what it wrote to one beside `input_tokens`, not inside; thinking is
inside `output_tokens` (Messages API reference, read 2026-11). A stream says the first with `message_start` and the
total so far with every `message_delta`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from baseload.usage import Usage
from baseload.wire.answer import (
    NOTHING,
    Answered,
    complaint,
    count_in,
    counts_in,
    decoded,
    inside,
    text_length,
    tier_in_usage,
    tokens_in,
)
from baseload.wire.events import Passing

_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
_NULL = b"null"


class Counts:
    """The counts of a message so far. They only grow: of two reports of one count the greater holds."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def add(self, raw: bytes) -> None:
        """Take in a `usage` object. A count that is none (negative, a fraction, too large) is not taken in."""
        counts = counts_in(raw)
        if not counts:
            return
        created = inside(counts, "cache_creation")
        found = {name: count_in(counts, name) for name in _COUNTS}
        found["1h"] = count_in(created, "ephemeral_1h_input_tokens")
        found["5m"] = count_in(created, "ephemeral_5m_input_tokens")
        found["thinking"] = count_in(inside(counts, "output_tokens_details"), "thinking_tokens")
        for name, count in found.items():
            if count is not None:
                self._known[name] = max(count, self._known.get(name, 0))

    @property
    def output_tokens(self) -> int:
        return self._known.get("output_tokens", 0)

    def usage(self, *, written: int = 0) -> Usage | None:
        """The counts in leaf units; None without a count of the input. `written`: at least so much was put out."""
        known = self._known
        if "input_tokens" not in known:
            return None
        hour = known.get("1h", 0)
        created = max(known.get("cache_creation_input_tokens", 0), hour + known.get("5m", 0))
        output = max(self.output_tokens, written)
        thought = min(known.get("thinking", 0), output)
        return Usage(
            input_tokens=known["input_tokens"],
            cache_read_tokens=known.get("cache_read_input_tokens", 0),
            cache_write_tokens=created - hour,
            cache_write_1h_tokens=hour,
            output_tokens=output - thought,
            reasoning_tokens=thought,
        )


class Block(msgspec.Struct):
    """A content block, or a delta of one: what in it was written by the model."""

    text: msgspec.Raw = msgspec.Raw(b"")
    thinking: msgspec.Raw = msgspec.Raw(b"")
    partial_json: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")

    @property
    def length(self) -> int:
        """Characters of its texts, bytes of its tool's input."""
        texts = sum(text_length(bytes(each)) for each in (self.text, self.thinking, self.partial_json))
        raw = bytes(self.input)
        return texts + (len(raw) if raw not in (*NOTHING, b"{}") else 0)


class Event(msgspec.Struct):
    """One event of a stream."""

    type: str = ""
    message: msgspec.Raw = msgspec.Raw(_NULL)
    index: msgspec.Raw = msgspec.Raw(_NULL)
    content_block: msgspec.Raw = msgspec.Raw(_NULL)
    delta: msgspec.Raw = msgspec.Raw(_NULL)
    usage: msgspec.Raw = msgspec.Raw(_NULL)
    error: msgspec.Raw = msgspec.Raw(_NULL)


class _Message(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw(b'"message"')
    content: msgspec.Raw = msgspec.Raw(_NULL)
    usage: msgspec.Raw = msgspec.Raw(_NULL)


class _Said(msgspec.Struct, gc=False):
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    input: None = None


class _Delta(msgspec.Struct, gc=False):
    """The usual event: a piece of what the model writes. It takes one decoding."""

    type: Literal["content_block_delta"]
    delta: _Said


_DELTA = msgspec.json.Decoder(_Delta).decode
_EVENT = msgspec.json.Decoder(Event)
_MESSAGE = msgspec.json.Decoder(_Message)
_BLOCKS = msgspec.json.Decoder(list[msgspec.Raw])
_BLOCK = msgspec.json.Decoder(Block)


def usage_in(raw: bytes) -> Usage | None:
    """A `usage` object in leaf units; None without a count of the input.

    >>> usage_in(b'{"input_tokens":5,"cache_read_input_tokens":9,"output_tokens":2}').prompt_tokens
    14
    """
    counts = Counts()
    counts.add(raw)
    return counts.usage()


def read_answer(answer: bytes) -> Answered | None:
    """What a whole JSON answer consumed and wrote; None when it is no message (an error, a page, nothing)."""
    message = decoded(_MESSAGE, answer)
    if message is None or bytes(message.type) != b'"message"':
        return None
    blocks = decoded(_BLOCKS, bytes(message.content))
    if blocks is None:
        return None
    usage, written = bytes(message.usage), tokens_in(sum(_length(bytes(each)) for each in blocks))
    return Answered(usage_in(usage), written, service_tier=tier_in_usage(usage))


class Reader:
    """What the events of one stream said so far, whoever passes them on and however.

    The model has begun with its first block: an `error` may still follow `message_start`.
    """

    def __init__(self) -> None:
        self.service_tier = ""
        self.provider_usd: Decimal | None = None  # Anthropic says no money ...
        self.made: str | None = None  # ... and keeps no message
        self.done = False
        self.failed = False
        self.complaint = ""
        self.began = False
        self._counts = Counts()
        self.counted = False  # the upstream counted what it had put out
        self._deltas = 0
        self._characters = 0

    @property
    def usage(self) -> Usage | None:
        """The upstream's counts. Of a stream that was cut before it counted its output, our estimate of that."""
        return self._counts.usage(written=0 if self.counted else self.written_tokens)

    @property
    def written_tokens(self) -> int:
        """An estimate of the tokens delivered so far: one per delta, one per four characters, or as many as the
        upstream says, whichever is most."""
        return max(self._deltas, tokens_in(self._characters), self._counts.output_tokens)

    def _take(self, data: bytes) -> Event | None:
        """Take in an event and give it back read; None when it is none."""
        event = decoded(_EVENT, data)
        if event is None:
            return None
        if event.type in ("content_block_delta", "content_block_start"):
            self.began = True
            raw = bytes(event.delta) if event.type == "content_block_delta" else bytes(event.content_block)
            self._delivered(_length(raw))
        elif event.type == "message_delta":
            self.began = self.counted = True
            self._counts.add(bytes(event.usage))
        elif event.type == "message_start":
            message = decoded(_MESSAGE, bytes(event.message))
            usage = bytes(message.usage) if message is not None else b""
            self._counts.add(usage)
            self.service_tier = tier_in_usage(usage)
        elif event.type == "message_stop":
            self.done = True
        elif event.type == "error" or bytes(event.error) != _NULL:
            self.failed = True
            self.complaint = complaint(data)
        return event

    def _delivered(self, length: int) -> None:
        """A delta of so many characters came."""
        self._characters += length
        self._deltas += length > 0


class Relay(Reader, Passing):
    """A stream relayed as it is, read while it passes. `message_stop`, and whatever follows it, is held to the end."""

    def __init__(self) -> None:
        Passing.__init__(self)
        Reader.__init__(self)

    def _read(self, data: bytes) -> bool:
        try:
            delta = _DELTA(data).delta
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._take(data)
        else:
            self.began = True
            self._delivered(len(delta.text) + len(delta.thinking) + len(delta.partial_json))
        return False


def _length(raw: bytes) -> int:
    """Characters that the model wrote in a block or delta; of a shape nobody knows, its bytes."""
    block = decoded(_BLOCK, raw)
    if block is None:
        return len(raw) if raw not in NOTHING else 0
    return block.length
