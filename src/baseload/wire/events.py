"""A stream of server-sent events, cut anywhere by the network, put together into whole events and relayed. Pure.

Every byte that is fed comes back in one of the events, unchanged: whoever relays them relays the stream. Nearly every
piece of nearly every stream is exactly one event of one shape (`_PLAIN`); those take a short way, to the same end.
"""

from __future__ import annotations

import re

from baseload.errors import BadInput

EVENT_BYTES = 16 * 1024 * 1024
"""The longest event that is held while its end is awaited."""

LATE_LINE_FEED = b"\n"
"""The second half of the CRLF that ended the event before, when the cut fell between. No event is that short."""

# A blank line ends an event: two line ends, of which the first is not merely the CR of a CRLF.
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
# One data line, after the name of the event where the dialect writes one, and the blank line; for bytes without a CR.
_PLAIN = re.compile(rb"(?:event:.*+\n)?data: ?(.*+)\n\n")


class Splitter:
    """Pieces in, whole events out."""

    __slots__ = ("_half_ended", "_rest", "clean")

    def __init__(self) -> None:
        self.clean = True  # what is fed now is the beginning of an event
        self._rest = bytearray()
        self._half_ended = False  # the last event ended with a CR; a LF that follows still belongs to it

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are whole now, a `LATE_LINE_FEED` before them where one came.

        Raises BadInput when one event is longer than `EVENT_BYTES`.
        """
        if self.clean and data.endswith(b"\n\n") and b"\r" not in data:
            *whole, rest = data.split(b"\n\n")
            if not rest:
                return [each + b"\n\n" for each in whole]
        searched = 0
        if self._rest:
            searched = max(0, len(self._rest) - 3)
            self._rest += data
            if not _BLANK.search(self._rest, searched):  # not joined anew for each piece of a long event
                self._check_length()
                return []
            data = bytes(self._rest)
            self._rest.clear()
        events: list[bytes] = []
        start = 0
        if self._half_ended and data:
            self._half_ended = False
            if data.startswith(b"\n"):
                events.append(LATE_LINE_FEED)
                start = 1
        while blank := _BLANK.search(data, max(start, searched)):
            events.append(data[start : blank.end()])
            start = blank.end()
        self._half_ended = self._half_ended if start == 0 else data.endswith(b"\r", 0, start) and start == len(data)
        self._rest += data[start:]
        self.clean = not (self._rest or self._half_ended)
        self._check_length()
        return events

    def rest(self) -> bytes:
        """The event that no blank line has ended, once the stream is over."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def _check_length(self) -> None:
        if len(self._rest) > EVENT_BYTES:
            remedy = "Ask the upstream for smaller events."
            raise BadInput(f"one event of the stream is longer than {EVENT_BYTES} bytes", remedy=remedy)


class Passing:
    """A stream relayed as it is, read while it passes. What follows the event that makes it `done`, and that event
    itself, is held back to the end."""

    def __init__(self, *, hides: bool = False) -> None:
        self.done = False
        self._hides = hides  # whether an event that `_read` says may be left out is left out
        self._events = Splitter()
        self._held: list[bytes] = []
        self._hidden = False  # the last event was not relayed

    def feed(self, data: bytes) -> bytes:
        """What may be relayed now. Raises BadInput when one event is too long."""
        if self._events.clean and b"\r" not in data:
            found = _PLAIN.fullmatch(data)
            if found is not None:  # the short way: as `_passes` says, without a call
                self._hidden = self._read(found[1]) and self._hides
                if not self._hidden and not self.done:
                    return data
                if not self._hidden:
                    self._held.append(data)
                return b""
        out = [event for event in self._events.feed(data) if self._passes(event, payload(event))]
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self) -> bytes:
        """What is left to relay once the upstream has ended its stream: an unended event, and what was held back."""
        rest = self._events.rest()
        if rest and self._passes(rest, payload(rest)):
            self._held.append(rest)
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _passes(self, event: bytes, said: bytes) -> bool:
        """Read one event; whether it may be relayed now."""
        if event != LATE_LINE_FEED:  # else it belongs where the event before went
            self._hidden = bool(said) and self._read(said) and self._hides
        if self.done and not self._hidden:
            self._held.append(event)
        return not (self.done or self._hidden)

    def _read(self, data: bytes) -> bool:
        """Take in the payload of an event; whether it may be left out."""
        raise NotImplementedError


def payload(event: bytes) -> bytes:
    """The data of an event: its `data` lines, joined.

    >>> payload(b": ping\\r\\ndata: [DO\\r\\ndata:NE]\\r\\n\\r\\n")
    b'[DO\\nNE]'
    """
    plain = _PLAIN.fullmatch(event) if b"\r" not in event else None
    if plain is not None:
        return plain[1]
    lines = _LINE_END.split(event.removeprefix(b"\xef\xbb\xbf"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
