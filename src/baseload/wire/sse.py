"""Server-sent events of a streamed chat completion: relayed as they are, read while they pass. Pure.

Feed it bytes split anywhere. It gives back whole events, byte for byte, and remembers the usage they reported and how
much they delivered. The `[DONE]` event, and whatever follows it, is given back only by `finish`, so that a caller can
write the call down before the client has its last byte.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from baseload.usage import Usage
from baseload.wire.answer import (
    choices_length,
    complaint,
    decoded,
    tier_in,
    tier_in_usage,
    tokens_in,
    usage_in,
    usd_in,
)
from baseload.wire.events import Passing

MAX_ID = 256
"""The longest name of something kept that is remembered."""

_NO_CHOICES = (b"null", b"[]")
_NO_TIER = msgspec.Raw(b"null")


class _Chunk(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    x_groq: msgspec.Raw = msgspec.Raw(b"")


class _Named(msgspec.Struct):
    id: str = ""


class _Groq(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: str | None = None
    message: None = None


class _Plain(msgspec.Struct, gc=False):
    """A chunk of the usual shape: texts that the model wrote, and nothing else that is read. It takes one decoding."""

    choices: list[_Choice]
    usage: None = None
    service_tier: msgspec.Raw = _NO_TIER
    error: None = None
    x_groq: None = None


_PLAIN = msgspec.json.Decoder(_Plain).decode
_CHUNK = msgspec.json.Decoder(_Chunk)
_NAMED = msgspec.json.Decoder(_Named)
_GROQ = msgspec.json.Decoder(_Groq)


class Reader:
    """What the chunks of one stream said so far, whoever passes them on and however."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.provider_usd: Decimal | None = None
        self.made: str | None = None  # what the upstream keeps of it: nothing, unless it is told to
        self.service_tier = ""  # as the stream says; empty for the standard one
        self.done = False
        self.failed = False  # the upstream reported an error inside the stream ...
        self.complaint = ""  # ... and this is what it said
        self.began = False  # the model has begun: a choice came
        self._tier = b"null"  # as it was last said: most streams say it in every chunk
        self._deltas = 0
        self._characters = 0

    @property
    def counted(self) -> bool:
        """Whether the upstream has counted what it put out."""
        return self.usage is not None

    @property
    def written_tokens(self) -> int:
        """An estimate of the tokens delivered so far: one per delta, or one per four characters when that is more."""
        return max(self._deltas, tokens_in(self._characters))

    def _read(self, data: bytes) -> bool:
        """Take in usage and deltas of a chunk; whether it says the usage and nothing else."""
        try:
            plain = _PLAIN(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_any(data)
        if not plain.choices:
            return self._read_any(data)
        self.began = True
        length = 0
        for choice in plain.choices:
            delta = choice.delta
            if delta is not None:
                if delta.content:
                    length += len(delta.content)
                if delta.refusal:
                    length += len(delta.refusal)
                if thought := delta.reasoning_content or delta.reasoning:
                    length += len(thought)
            length += len(choice.text or "")
        if length:
            self._characters += length
            self._deltas += 1
        if plain.service_tier is not _NO_TIER:
            self._served(bytes(plain.service_tier))
        return False

    def _read_any(self, data: bytes) -> bool:
        """The same for a chunk of any shape."""
        chunk = decoded(_CHUNK, data)
        if chunk is None:
            return False  # not ours to judge
        if bytes(chunk.error) != b"null":
            self.failed = True
            self.complaint = complaint(data)
        choices = bytes(chunk.choices)
        if choices not in _NO_CHOICES:
            self.began = True
            self._delivered(choices_length(choices))
        self._served(bytes(chunk.service_tier))
        counts = bytes(chunk.usage)
        if counts == b"null" and bytes(chunk.x_groq):  # Groq's place for it, unless it is asked for (read 2026-11)
            groq = decoded(_GROQ, bytes(chunk.x_groq))
            counts = bytes(groq.usage) if groq is not None else counts
        usage = usage_in(counts)
        if usage is None:
            return False
        self.usage = usage
        self.service_tier = self.service_tier or tier_in_usage(counts)
        if (usd := usd_in(counts)) is not None:
            self.provider_usd = usd
        return choices == b"[]"

    def _delivered(self, length: int) -> None:
        """A delta of so many characters came."""
        self._characters += length
        self._deltas += length > 0

    def _served(self, tier: bytes) -> None:
        """A chunk named the tier."""
        if tier not in (b"null", self._tier):
            self._tier, self.service_tier = tier, tier_in(tier)


class Relay(Reader, Passing):
    """One stream. `hide_usage`: only we asked for the usage, so the chunk that holds nothing else is not relayed."""

    def __init__(self, *, hide_usage: bool) -> None:
        Passing.__init__(self, hides=hide_usage)
        Reader.__init__(self)

    def _read_any(self, data: bytes) -> bool:
        if data == b"[DONE]":
            self.done = True
            return False
        return super()._read_any(data)


class NamedRelay(Relay):
    """The stream of a completion that its upstream keeps: each chunk says its name."""

    def _read(self, data: bytes) -> bool:
        self.made = self.made or name_in(data)
        return super()._read(data)


def name_in(answer: bytes) -> str | None:
    """The name that an answer, or a chunk of one, gives itself; None when it gives none that could be kept."""
    found = decoded(_NAMED, answer)
    return found.id if found is not None and 0 < len(found.id) <= MAX_ID else None
