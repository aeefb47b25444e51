"""A stream of server-sent events, cut anywhere by the network, put together into whole events. Pure.

Every byte that is fed comes back in one of the events, unchanged: whoever relays them relays the stream.
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


class Splitter:
    """Pieces in, whole events out."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._half_ended = False  # the last event ended with a CR; a LF that follows still belongs to it

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are whole now, a `LATE_LINE_FEED` before them where one came.

        Raises BadInput when one event is longer than `EVENT_BYTES`.
        """
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


def payload(event: bytes) -> bytes:
    """The data of an event: its `data` lines, joined.

    >>> payload(b": ping\\r\\ndata: [DO\\r\\ndata:NE]\\r\\n\\r\\n")
    b'[DO\\nNE]'
    """
    plain = event.startswith(b"data:") and event.find(b"\n") == len(event) - 2 and b"\r" not in event
    if plain:  # one data line, a blank line: the shape that nearly every event has
        return event[5:-2].removeprefix(b" ")
    lines = _LINE_END.split(event.removeprefix(b"\xef\xbb\xbf"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
