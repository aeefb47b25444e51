"""Waiting for a free slot: one line per upstream, first come first served, as long as it is worth it. Acts (timers).

A slot that is given back goes to whoever has waited longest in this worker; over several workers, to whoever looks
first. How long a wait is likely to be follows from how long
answers took lately and how many stand in the line; nothing is known before the first answer.
"""

from __future__ import annotations

import asyncio
from collections import deque

from baseload.gateway.slots import Slots

FORGET = 0.1
"""What the latest answer weighs in the mean of how long they take."""
LOOK_SECONDS = 0.005
"""How often those who wait look for a slot that another worker gave back."""


class Service:
    """How long an upstream's answers take: an exponential mean of seconds. None before the first."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def learn(self, upstream: str, seconds: float) -> None:
        """Remember how long an answer took."""
        mean = self._means.get(upstream)
        self._means[upstream] = seconds if mean is None else mean + FORGET * (seconds - mean)

    def seconds(self, upstream: str) -> float | None:
        return self._means.get(upstream)

    @property
    def all(self) -> dict[str, float]:
        """The mean by upstream, of those that answered already."""
        return self._means


class _Waiter:
    __slots__ = ("granted", "limit")

    def __init__(self, limit: int, granted: asyncio.Future[None]) -> None:
        self.limit = limit
        self.granted = granted


class Lines:
    """Those who wait, by upstream. Slots that become free are handed on here and nowhere else."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._lines: dict[str, deque[_Waiter]] = {}
        self._look: asyncio.TimerHandle | None = None

    def length(self, upstream: str) -> int:
        """How many wait, in every worker."""
        return self._slots.busy(_waiting(upstream))

    def take(self, upstream: str, limit: int | None) -> bool:
        """A slot at once, unless there is none or others wait for one."""
        if limit is not None and self._lines.get(upstream):
            return False
        return self._slots.take(upstream, limit)

    async def wait(self, upstream: str, limit: int, seconds: float) -> bool:
        """A slot as soon as one is free and nobody else was here before; False after that many seconds."""
        waiter = _Waiter(limit, asyncio.get_running_loop().create_future())
        line = self._lines.setdefault(upstream, deque())
        line.append(waiter)
        self._slots.take(_waiting(upstream), None)
        self._hand_on(upstream)
        self._look_on()
        try:
            async with asyncio.timeout(seconds):
                await waiter.granted
        except TimeoutError:
            return self._left(upstream, waiter)
        except asyncio.CancelledError:
            if self._left(upstream, waiter):
                self.give(upstream)
            raise
        return True

    def give(self, upstream: str) -> None:
        """Give a slot back; whoever is first in the line gets it."""
        self._slots.give(upstream)
        if self._lines.get(upstream):
            self._hand_on(upstream)

    def _left(self, upstream: str, waiter: _Waiter) -> bool:
        """A waiter goes; whether it had just been given a slot."""
        line = self._lines[upstream]
        if waiter in line:
            line.remove(waiter)
            self._slots.give(_waiting(upstream))
            return False
        return not waiter.granted.cancelled()

    def _hand_on(self, upstream: str) -> None:
        line = self._lines[upstream]
        while line and (line[0].granted.cancelled() or self._slots.take(upstream, line[0].limit)):
            waiter = line.popleft()
            self._slots.give(_waiting(upstream))
            if not waiter.granted.cancelled():  # else it leaves at this very moment, and takes no slot along
                waiter.granted.set_result(None)

    def _look_on(self) -> None:
        """Another worker gives a slot back without a word: while somebody waits, look."""
        if self._look is None and self._slots.shared and any(self._lines.values()):
            self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._looked)

    def _looked(self) -> None:
        self._look = None
        for upstream in [name for name, line in self._lines.items() if line]:
            self._hand_on(upstream)
        self._look_on()


def _waiting(upstream: str) -> str:
    """What those who wait are counted under: no upstream has a name with a line break."""
    return f"{upstream}\nwaiting"
