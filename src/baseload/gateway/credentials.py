"""The keys of one upstream: which one an attempt takes, and which rest after a refusal. Pure: times are handed in.

Keys take turns by weight (smooth weighted round robin, as nginx spreads over servers: no chance, no bursts). A key that
the upstream refused rests for a while; one that was told to slow down rests as long as the upstream said.
"""

from __future__ import annotations

from collections.abc import Sequence

from baseload.catalog.providers import Auth
from baseload.gateway.request import Headers
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.upstreams import Upstream

REFUSED_SECONDS = 60.0
"""A key that was refused may have been repaired (a bill paid, a right granted): it is tried again after this."""


class Credential:
    """One key, as the header that carries it. `header` is None when the upstream is asked without a key."""

    __slots__ = ("current", "header", "rests_until_ns", "secret", "weight")

    def __init__(self, header: tuple[bytes, bytes] | None, weight: float = 1.0) -> None:
        self.header = header
        self.weight = weight
        self.current = 0.0
        self.rests_until_ns = 0
        self.secret = header[1].rpartition(b" ")[2] if header is not None else b""  # the key itself

    def rest(self, seconds: float, now_ns: int) -> None:
        """Leave this key out for so long."""
        until = now_ns + int(seconds * NANOSECONDS_PER_SECOND)
        self.rests_until_ns = max(self.rests_until_ns, until)

    def __repr__(self) -> str:
        return f"Credential(***, weight={self.weight:g})"


class Credentials:
    """Every key of one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._all: Sequence[Credential] = [
            Credential(_header(upstream.sends_key_as, each.key), each.weight) for each in upstream.keys
        ] or [Credential(None)]
        self.only = self._all[0] if len(self._all) == 1 else None

    def __len__(self) -> int:
        return len(self._all)

    def pick(self, now_ns: int) -> Credential:
        """The key whose turn it is among those that do not rest; when all rest, the one that is the first to be back:
        an attempt that may be refused is better than none."""
        if len(self._all) == 1:
            return self._all[0]
        ready = [each for each in self._all if each.rests_until_ns <= now_ns]
        if not ready:
            return min(self._all, key=lambda each: each.rests_until_ns)
        total = 0.0
        for each in ready:
            each.current += each.weight
            total += each.weight
        chosen = max(ready, key=lambda each: each.current)
        chosen.current -= total
        return chosen

    def all_rest(self, now_ns: int) -> bool:
        """Whether there is no key at this moment that the upstream would take."""
        return self.resting(now_ns) == len(self._all)

    def resting(self, now_ns: int) -> int:
        """How many keys rest at this moment."""
        return sum(each.rests_until_ns > now_ns for each in self._all)

    def headers(self) -> Headers:
        """Every header that carries a key: what may never be seen outside."""
        return [each.header for each in self._all if each.header is not None]


def _header(auth: Auth, key: str) -> tuple[bytes, bytes] | None:
    if auth == "none" or not key:
        return None
    if auth == "bearer":
        return b"authorization", b"Bearer " + key.encode()
    return auth.encode(), key.encode()
