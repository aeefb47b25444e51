"""The servers behind one upstream: which replica a request goes to, and which are left out. Pure: times are handed in.

A request prefers the replica that saw the same beginning of a prompt before, because its prefix cache holds it. Which
one that is follows from a hash alone (highest random weight), so nothing is remembered and a replica that comes or goes
moves only its own share of prompts. No preference is worth a queue: a replica that is too much busier than the least
loaded is passed over for the next in its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from baseload.units import NANOSECONDS_PER_SECOND
from baseload.upstreams import Pool
from baseload.wire.asked import Asked

# What stands at the beginning of a prompt, in the order in which engines put it there.
_BEGINNING = ("tools", "system", "instructions", "messages", "input", "prompt")


class Replica:
    """One server: what it has to do, and whether it can be asked."""

    __slots__ = ("draining", "in_flight", "out_until_ns", "reported", "seen_healthy", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.in_flight = 0  # by this process
        self.reported = 0  # running and waiting there, by its own account; 0 when it is not asked
        self.seen_healthy = True  # what the last health check found
        self.draining = False
        self.out_until_ns = 0

    @property
    def load(self) -> int:
        """Requests in flight, by our count or its own when others send to it too."""
        return max(self.in_flight, self.reported)

    def usable(self, now_ns: int) -> bool:
        return self.seen_healthy and not self.draining and now_ns >= self.out_until_ns

    def leave_out(self, seconds: float, now_ns: int) -> None:
        """It failed: others are asked for so long, or until a health check finds it well."""
        self.out_until_ns = now_ns + int(seconds * NANOSECONDS_PER_SECOND)

    def found(self, healthy: bool) -> None:
        """What a health check found."""
        self.seen_healthy = healthy
        if healthy:
            self.out_until_ns = 0


def choose(replicas: Sequence[Replica], beginning: bytes, settings: Pool, now_ns: int) -> Replica | None:
    """The replica for a prompt that begins so; None when every one that can be asked has its `replica_slots` taken.

    When none can be asked, the least loaded is asked all the same: it is that or nobody.
    """
    if len(replicas) == 1:
        return replicas[0] if _has_room(replicas[0], settings) else None
    asked = [each for each in replicas if each.usable(now_ns)] or [each for each in replicas if not each.draining]
    free = [each for each in asked or replicas if _has_room(each, settings)]
    if not free:
        return None
    least = min(each.load for each in free)
    if not beginning or not settings.prefix_bytes:
        return next(each for each in free if each.load == least)
    near = [each for each in free if each.load <= least + settings.slack]
    return max(near, key=lambda each: _weight(each.url, beginning))


def room(replicas: Iterable[Replica], settings: Pool, now_ns: int) -> int | None:
    """How many requests can be in flight at all that can be asked; None when nothing limits them."""
    if settings.replica_slots is None:
        return None
    return settings.replica_slots * sum(each.usable(now_ns) for each in replicas)


def beginning(asked: Asked, length: int) -> bytes:
    """The first bytes of what a prompt begins with, in the client's own bytes. Empty when the length is none.

    A conversation keeps its beginning from turn to turn, and so do requests that share their instructions.
    """
    found = b""
    for name in _BEGINNING if length else ():
        if name in asked.places:
            start, end = asked.places[name]
            found += asked.body[start : min(end, start + length - len(found))]
            if len(found) >= length:
                break
    return found


def _has_room(replica: Replica, settings: Pool) -> bool:
    return settings.replica_slots is None or replica.in_flight < settings.replica_slots


def _weight(url: str, text: bytes) -> bytes:
    return blake2b(text, digest_size=8, key=url.encode()[:64]).digest()
