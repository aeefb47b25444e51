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
from baseload.wire.events import LATE_LINE_FEED, Splitter, payload

MAX_ID = 256
"""The longest name of something kept that is remembered."""

_NO_CHOICES = (b"null", b"[]")


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
        chunk = decoded(_CHUNK, data)
        if chunk is None:
            return False  # not ours to judge
        if bytes(chunk.error) != b"null":
            self.failed = True
            self.complaint = complaint(data)
        choices = bytes(chunk.choices)
        if choices not in _NO_CHOICES:
            self.began = True
            length = choices_length(choices)
            self._characters += length
            self._deltas += length > 0
        tier = bytes(chunk.service_tier)
        if tier not in (b"null", self._tier):
            self._tier, self.service_tier = tier, tier_in(tier)
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


class Relay(Reader):
    """One stream. `hide_usage`: only we asked for the usage, so the chunk that holds nothing else is not relayed."""

    def __init__(self, *, hide_usage: bool) -> None:
        super().__init__()
        self._hide_usage = hide_usage
        self._events = Splitter()
        self._held: list[bytes] = []
        self._last_hidden = False

    def feed(self, data: bytes) -> bytes:
        """What may be relayed now. Raises BadInput when one event is too long."""
        out: list[bytes] = []
        for event in self._events.feed(data):
            self._event(event, out)
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self) -> bytes:
        """What is left to relay once the upstream has ended its stream: an unended event, the held `[DONE]`."""
        if rest := self._events.rest():
            self._event(rest, self._held)
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _event(self, event: bytes, out: list[bytes]) -> None:
        """Read one event and put it where it belongs: out, held back, or nowhere."""
        if event != LATE_LINE_FEED:  # else it belongs where the event before went
            data = payload(event)
            self._last_hidden = False
            if data == b"[DONE]":
                self.done = True
            elif data:
                self._last_hidden = self._read(data) and self._hide_usage
        if not self._last_hidden:
            (self._held if self.done else out).append(event)


class NamedRelay(Relay):
    """The stream of a completion that its upstream keeps: each chunk says its name."""

    def _read(self, data: bytes) -> bool:
        self.made = self.made or name_in(data)
        return super()._read(data)


def name_in(answer: bytes) -> str | None:
    """The name that an answer, or a chunk of one, gives itself; None when it gives none that could be kept."""
    found = decoded(_NAMED, answer)
    return found.id if found is not None and 0 < len(found.id) <= MAX_ID else None
