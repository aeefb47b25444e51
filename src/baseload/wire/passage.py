"""How one request passes through to an upstream and its answer back, whatever dialect each side speaks. Pure.

A `Passage` belongs to one request and one upstream's dialect. Where both sides speak the same dialect nothing but the
model name changes; where they do not, the passage carries everything over that has a counterpart, names in `dropped`
what has none, and refuses (`BadBody`) what must not be lost.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from baseload.usage import Usage
from baseload.wire.answer import Answered

Fields = tuple[tuple[bytes, bytes], ...]
"""Headers, names in lower case."""


class Dialect(StrEnum):
    """What an upstream speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Stream(Protocol):
    """A streamed answer, fed in pieces split anywhere; whole events come back in the client's dialect.

    The last event, and whatever follows it, is given back only by `finish`, so that a caller can write the call down
    before the client has its last byte.
    """

    service_tier: str
    """The tier that the provider says processed it; empty for the standard one."""
    provider_usd: Decimal | None
    """What the provider says it charges, None when it does not say."""
    made: str | None
    """The id of the object that the upstream keeps of this answer, None when it keeps none."""
    done: bool
    """The upstream's last event has come."""
    failed: bool
    """The upstream reported an error inside the stream, and this is what it said:"""
    complaint: str
    began: bool
    """The model has begun: something that it wrote, or its first event, came."""

    @property
    def usage(self) -> Usage | None:
        """What the stream reported so far, None when nothing."""

    @property
    def counted(self) -> bool:
        """Whether the upstream has counted what it put out. Until then `usage` may hold our estimate of that."""

    @property
    def written_tokens(self) -> int:
        """An estimate of the tokens delivered so far."""

    def feed(self, data: bytes) -> bytes:
        """What may be relayed now. Raises BadInput when one event is too long."""

    def finish(self) -> bytes:
        """What is left to relay once the upstream has ended its stream."""


class Passage(Protocol):
    """One request on its way to an upstream of one dialect, and its answer on the way back."""

    path: str
    """Where it is sent, after the upstream's base URL."""
    headers: Fields
    """What the dialect itself asks for, as `anthropic-version`. The key is the gateway's to add."""
    dropped: tuple[str, ...]
    """Fields of the request, and why each has no counterpart at the upstream."""

    def body(self, model: str) -> bytes:
        """The request for another model name."""

    def read(self, answer: bytes) -> Answered | None:
        """What the upstream's whole answer consumed and wrote; None when it is no answer."""

    def whole(self, answer: bytes) -> bytes:
        """The upstream's whole answer in the client's dialect: the same bytes when both speak the same."""

    def refusal(self, status: int, answer: bytes) -> bytes:
        """The upstream's error answer in the client's dialect."""

    def stream(self) -> Stream:
        """A reader for the upstream's streamed answer."""
