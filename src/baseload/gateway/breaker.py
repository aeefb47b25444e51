"""A circuit breaker for one upstream: closed, open, half open. Pure: times are handed in.

Closed, it counts how attempts end over a window. When at least `failures` of them failed and that is at least `share`
of all, it opens and the upstream is left out for `open_seconds`. Then it is half open: one attempt is let through, and
its end closes the breaker or opens it again. What a client did wrong is an answer and never a failure.
"""

from __future__ import annotations

from baseload.units import NANOSECONDS_PER_SECOND
from baseload.upstreams import Circuit


class Breaker:
    """One upstream's, used from one event loop. Times are nanoseconds of one clock."""

    __slots__ = ("_answers", "_before", "_began_ns", "_failures", "_half_ns", "_open_until_ns", "_probing", "_settings")

    def __init__(self, settings: Circuit) -> None:
        self._settings = settings
        self._half_ns = int(settings.window_seconds * NANOSECONDS_PER_SECOND) // 2
        self._began_ns = 0  # of the half window that counts now
        self._failures = self._answers = 0
        self._before = (0, 0)  # failures and answers of the half window before
        self._open_until_ns = 0
        self._probing = False

    @property
    def opened(self) -> bool:
        """Whether it opened and has not been closed since."""
        return self._open_until_ns > 0

    def shuts_out(self, now_ns: int) -> bool:
        """Whether attempts should go elsewhere: it is open, or half open with its one attempt under way."""
        return self.opened and (now_ns < self._open_until_ns or self._probing)

    def begins(self, now_ns: int) -> None:
        """An attempt starts. Half open, it is the one that decides."""
        if self.opened and now_ns >= self._open_until_ns:
            self._probing = True

    def ends(self) -> None:
        """An attempt is over, whatever came of it: without a verdict the next one may decide."""
        self._probing = False

    def answered(self, now_ns: int) -> None:
        """The upstream answered, if only to refuse."""
        if self._open_until_ns:
            if now_ns >= self._open_until_ns:
                self._close()
            return
        if not 0 <= now_ns - self._began_ns < self._half_ns:
            self._turn(now_ns)
        self._answers += 1

    def failed(self, now_ns: int) -> None:
        """The upstream gave no answer, or a 5xx."""
        if self.opened:
            if now_ns >= self._open_until_ns:
                self._open(now_ns)
            return
        self._turn(now_ns)
        self._failures += 1
        failures, answers = self._failures + self._before[0], self._answers + self._before[1]
        if failures >= self._settings.failures and failures >= self._settings.share * (failures + answers):
            self._open(now_ns)

    def _open(self, now_ns: int) -> None:
        self._open_until_ns = now_ns + int(self._settings.open_seconds * NANOSECONDS_PER_SECOND)

    def _close(self) -> None:
        self._open_until_ns = 0
        self._failures = self._answers = 0
        self._before = (0, 0)

    def _turn(self, now_ns: int) -> None:
        """Go on to the half window of this moment: the last whole one and the one under way are what counts."""
        age = now_ns - self._began_ns
        if 0 <= age < self._half_ns:
            return
        self._before = (self._failures, self._answers) if 0 <= age < 2 * self._half_ns else (0, 0)
        self._failures = self._answers = 0
        self._began_ns = now_ns
