"""How long the requests of a benchmark are, and when they come. No I/O; chance comes from a seed.

Lengths: `fixed`; `spread`, evenly within a fifth of the asked length, so that requests do not march in step; `chat`,
the pairs of a conversation trace; `trace`, those of a trace of yours in its order. Arrivals of an open loop: `fixed`
gaps, `poisson`, `gamma` with a variation of your choice (above 1 they come in bursts), or `trace`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Literal

from baseload.errors import BadInput
from baseload.load.trace import Arrival
from baseload.units import NANOSECONDS_PER_SECOND

Kind = Literal["fixed", "spread", "chat", "trace"]
Pattern = Literal["fixed", "poisson", "gamma", "trace"]
KINDS: tuple[Kind, ...] = ("fixed", "spread", "chat", "trace")
PATTERNS: tuple[Pattern, ...] = ("fixed", "poisson", "gamma", "trace")
# Lengths of `spread` are even within this share of what was asked, on both sides.
SPREAD = 0.2


@dataclass(frozen=True, slots=True)
class Lengths:
    """What requests are to be like: tokens in and out, how they vary, and the pairs that `chat` and `trace` take from.
    No request is to be longer than `most` tokens in all, where that is known."""

    kind: Kind
    input_tokens: int
    output_tokens: int
    pairs: Sequence[tuple[int, int]] = ()
    most: int | None = None

    def drawn(self, seed: int) -> Iterator[tuple[int, int]]:
        """Endless pairs of tokens in and out, the same for a seed."""
        chance = Random(seed)  # noqa: S311 - lengths, not secrets
        for each in self._pairs(chance):
            yield self._cut(each)

    def mean(self) -> tuple[float, float]:
        """The mean tokens in and out that these lengths come to."""
        if self.kind in {"fixed", "spread"}:
            return float(self.input_tokens), float(self.output_tokens)
        cut = [self._cut(pair) for pair in self.pairs]
        return sum(pair[0] for pair in cut) / len(cut), sum(pair[1] for pair in cut) / len(cut)

    def _pairs(self, chance: Random) -> Iterator[tuple[int, int]]:
        if self.kind == "trace":
            yield from cycle(self.pairs)
        while self.kind == "chat":
            yield chance.choice(self.pairs)
        wide = SPREAD if self.kind == "spread" else 0.0
        while True:
            yield _near(self.input_tokens, wide, chance), _near(self.output_tokens, wide, chance)

    def _cut(self, pair: tuple[int, int]) -> tuple[int, int]:
        if self.most is None:
            return pair
        written = min(pair[1], max(1, self.most // 2))
        return max(1, min(pair[0], self.most - written)), written


def _near(tokens: int, wide: float, chance: Random) -> int:
    return max(1, round(tokens * (1 + wide * (2 * chance.random() - 1))))


def pairs_of(arrivals: Sequence[Arrival]) -> tuple[tuple[int, int], ...]:
    """The lengths of a trace; a prompt of no tokens is one of one."""
    return tuple((max(1, each.input_tokens), each.output_tokens) for each in arrivals)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When requests of an open loop come: `rate` a second on average. `variation` is that of the gaps (`gamma`)."""

    pattern: Pattern
    rate: float
    variation: float = 1.0
    trace: Sequence[Arrival] = ()

    def times(self, seed: int) -> Iterator[float]:
        """Seconds after the start, rising without end; a trace ends with its last row, paced to `rate` on average.

        Raises BadInput where nothing can come.
        """
        if not self.rate > 0:
            raise BadInput(f"{self.rate:g} requests a second never come", remedy="Give a --rate above zero.")
        return self._trace() if self.pattern == "trace" else self._drawn(Random(seed))  # noqa: S311 - no secrets

    def _drawn(self, chance: Random) -> Iterator[float]:
        at = 0.0
        shape = 1 / self.variation**2
        while True:
            yield at
            if self.pattern == "fixed":
                at += 1 / self.rate
            elif self.pattern == "poisson":
                at += chance.expovariate(self.rate)
            else:
                at += chance.gammavariate(shape, 1 / (shape * self.rate))

    def _trace(self) -> Iterator[float]:
        last = self.trace[-1].after_ns / NANOSECONDS_PER_SECOND
        pace = len(self.trace) / last / self.rate if last else 1.0
        for each in self.trace:
            yield each.after_ns / NANOSECONDS_PER_SECOND * pace
