"""Server-sent events of a streamed chat completion: relayed as they are, read while they pass. Pure.

Feed it bytes split anywhere. It gives back whole events, byte for byte, and remembers the usage they reported and how
much they delivered. The `[DONE]` event, and whatever follows it, is given back only by `finish`, so that a caller can
write the call down before the client has its last byte.
"""

from __future__ import annotations

import re

import msgspec

from baseload.errors import BadInput
from baseload.usage import Usage
from baseload.wire.answer import choices_length, complaint, decoded, tier_in, tier_in_usage, tokens_in, usage_in

EVENT_BYTES = 16 * 1024 * 1024
"""The longest event that is held while its end is awaited."""

# A blank line ends an event: two line ends, of which the first is not merely the CR of a CRLF.
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_NO_CHOICES = (b"null", b"[]")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class _Chunk(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


_CHUNK = msgspec.json.Decoder(_Chunk)


class Relay:
    """One stream. `hide_usage`: only we asked for the usage, so the chunk that holds nothing else is not relayed."""

    def __init__(self, *, hide_usage: bool) -> None:
        self.usage: Usage | None = None
        self.service_tier = ""  # as the stream says; empty for the standard one
        self.done = False
        self.failed = False  # the upstream reported an error inside the stream ...
        self.complaint = ""  # ... and this is what it said
        self.began = False  # the model has begun: a choice came
        self._hide_usage = hide_usage
        self._rest = bytearray()
        self._held: list[bytes] = []
        self._tier = b"null"  # as it was last said: most streams say it in every chunk
        self._deltas = 0
        self._characters = 0
        self._half_ended = False  # the last event ended with a CR; a LF that follows still belongs to it
        self._last_hidden = False

    @property
    def written_tokens(self) -> int:
        """An estimate of the tokens delivered so far: one per delta, or one per four characters when that is more."""
        return max(self._deltas, tokens_in(self._characters))

    def feed(self, data: bytes) -> bytes:
        """What may be relayed now. Raises BadInput when one event is longer than `EVENT_BYTES`."""
        searched = 0
        if self._rest:
            searched = max(0, len(self._rest) - 3)
            self._rest += data
            if not _BLANK.search(self._rest, searched):  # not joined anew for each piece of a long event
                self._check_length()
                return b""
            data = bytes(self._rest)
            self._rest.clear()
        out: list[bytes] = []
        start = self._take_line_feed(data, out)
        while blank := _BLANK.search(data, max(start, searched)):
            self._event(data[start : blank.end()], out)
            start = blank.end()
        self._half_ended = self._half_ended if start == 0 else data.endswith(b"\r", 0, start) and start == len(data)
        self._rest += data[start:]
        self._check_length()
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self) -> bytes:
        """What is left to relay once the upstream has ended its stream: an unended event, the held `[DONE]`."""
        rest = bytes(self._rest)
        self._rest.clear()
        if rest:
            self._event(rest, self._held)
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _check_length(self) -> None:
        if len(self._rest) > EVENT_BYTES:
            remedy = "Ask the upstream for smaller events."
            raise BadInput(f"one event of the stream is longer than {EVENT_BYTES} bytes", remedy=remedy)

    def _take_line_feed(self, data: bytes, out: list[bytes]) -> int:
        """Give the second half of a split CRLF to the event it ends. Returns where the next event starts."""
        if not (self._half_ended and data):
            return 0
        self._half_ended = False
        if not data.startswith(b"\n"):
            return 0
        if not self._last_hidden:
            (self._held if self.done else out).append(b"\n")
        return 1

    def _event(self, event: bytes, out: list[bytes]) -> None:
        """Read one event and put it where it belongs: out, held back, or nowhere."""
        payload = _payload(event)
        self._last_hidden = False
        if payload == b"[DONE]":
            self.done = True
        elif payload:
            self._last_hidden = self._read(payload)
        if not self._last_hidden:
            (self._held if self.done else out).append(event)

    def _read(self, payload: bytes) -> bool:
        """Take in usage and deltas of a chunk; whether it is to be hidden."""
        chunk = decoded(_CHUNK, payload)
        if chunk is None:
            return False  # not ours to judge: relayed as it is
        if bytes(chunk.error) != b"null":
            self.failed = True
            self.complaint = complaint(payload)
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
        usage = usage_in(counts)
        if usage is None:
            return False
        self.usage = usage
        self.service_tier = self.service_tier or tier_in_usage(counts)
        return self._hide_usage and choices == b"[]"


def _payload(event: bytes) -> bytes:
    """The data of an event: its `data` lines, joined.

    >>> _payload(b": ping\\r\\ndata: [DO\\r\\ndata:NE]\\r\\n\\r\\n")
    b'[DO\\nNE]'
    """
    plain = event.startswith(b"data:") and event.find(b"\n") == len(event) - 2 and b"\r" not in event
    if plain:  # one data line, a blank line: the shape that nearly every event has
        return event[5:-2].removeprefix(b" ")
    lines = _LINE_END.split(event.removeprefix(b"\xef\xbb\xbf"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
