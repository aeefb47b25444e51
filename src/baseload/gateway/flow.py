"""One stream on its way from its upstream's connection to its client's, event by event. Acts (writes to the client).

`take` is what the upstream's connection calls with each piece as it reads it (`Answer.pump`): the piece is read, and
written to the client, in the same turn of the event loop. It says when whoever pumps has to look: the model has begun
and the head can be sent, the client does not read, the last event has come.
"""

from __future__ import annotations

from collections.abc import Callable

from baseload.gateway.http import Exchange
from baseload.wire.costed import LastCount
from baseload.wire.passage import Stream

OPENING_BYTES = 64 * 1024
"""Bytes of a stream that may wait for the model to begin before they are passed on all the same."""


class Flow:
    """Reads a stream while it passes. `made` is told the name of the kept answer, each time that it may be known."""

    __slots__ = ("_count", "_exchange", "_made", "_opening", "_relay")

    def __init__(self, relay: Stream, exchange: Exchange, count: LastCount | None, made: Callable[[str], None]) -> None:
        self._relay = relay
        self._exchange = exchange
        self._count = count
        self._made = made
        self._opening = b""  # what came before the client was sent a head

    @property
    def opens(self) -> bool:
        """Whether it is time to send what came so far: before that, another upstream could still be asked."""
        return self._relay.began or len(self._opening) > OPENING_BYTES

    def take(self, data: bytes) -> bool:
        """Pass on what may be passed on; whether more can come at once. Raises BadInput when an event is too long."""
        relay, exchange = self._relay, self._exchange
        events = relay.feed(data)
        if self._count is not None:
            events = self._count.feed(events)
        if relay.made is not None:  # known at its beginning: it may be cancelled by it
            self._made(relay.made)
        if exchange.started:
            return exchange.put(events) and not relay.done
        self._opening += events
        return not (self.opens or relay.done)

    def opening(self) -> bytes:
        """What came before the client was sent a head, given out once."""
        opening, self._opening = self._opening, b""
        return opening

    def rest(self) -> bytes:
        """What came and was not passed on, to be sent before what the relay holds back."""
        return self.opening() if self._count is None else self.opening() + self._count.held
