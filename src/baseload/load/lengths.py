"""How long requests are: figures of quantiles, or the pairs of a trace. Pure: the same seed, the same lengths.

A benchmark asks them one after the other without end, a simulation draws so many at once; they are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from baseload.errors import BadInput
from baseload.load.chance import uniforms
from baseload.load.trace import Arrival

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int32]

# Lengths that are spread lie evenly within this share of what was asked, on both sides.
SPREAD = 0.2
# Lengths without end are drawn so many at a time.
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of prompts and answers. As quantiles, `input[i]` is reached by a share `1 - probabilities[i]`, and the two
    are independent; `pairs`, where there are some, go together, by chance or `in_order`, over and over. No request has
    more than `most` tokens in all."""

    probabilities: Sequence[float] = ()
    input: Sequence[int] = ()
    output: Sequence[int] = ()
    pairs: Sequence[tuple[int, int]] = ()
    in_order: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        if self.pairs:
            shortest = min(min(pair) for pair in self.pairs)
        else:
            for figures in (self.probabilities, self.input, self.output):
                if len(figures) != len(self.probabilities) or list(figures) != sorted(figures) or not len(figures):
                    raise BadInput("quantiles must rise, and be as many as their probabilities", remedy="Sort them.")
            shortest = min(self.input[0], self.output[0])
        if shortest < 1:
            raise BadInput("a length is less than a token", remedy="Give at least one token each.")

    @classmethod
    def fixed(cls, prompt: int, output: int) -> Lengths:
        """Every request the same."""
        return cls((0.0,), (prompt,), (output,))

    @classmethod
    def spread(cls, prompt: int, output: int) -> Lengths:
        """Evenly within a fifth of these, so that requests do not march in step."""
        read, wrote = ((max(1, round(each * (1 - SPREAD))), round(each * (1 + SPREAD))) for each in (prompt, output))
        return cls((0.0, 1.0), read, wrote)

    @classmethod
    def of(cls, prompts: Sequence[int], outputs: Sequence[int]) -> Lengths:
        """The quantiles of a trace."""
        grid = np.linspace(0, 1, 201)
        columns = (np.sort(np.asarray(each, np.int32)) for each in (prompts, outputs))
        ranks = np.ceil(grid * len(prompts)).astype(int) - 1
        return cls(grid.tolist(), *(each[np.maximum(ranks, 0)].tolist() for each in columns))

    @classmethod
    def of_trace(cls, arrivals: Sequence[Arrival], *, in_order: bool = False) -> Lengths:
        """The pairs of a trace; a prompt of no tokens is one of one."""
        pairs = tuple((max(1, each.input_tokens), each.output_tokens) for each in arrivals)
        return cls(pairs=pairs, in_order=in_order)

    def within(self, most: int | None) -> Lengths:
        """The same, each request cut to so many tokens in all: an answer to half of them, a prompt to the rest."""
        return replace(self, most=most)

    def draw(self, seed: int, count: int) -> tuple[Counts, Counts]:
        """Prompts and answers of so many requests."""
        if self.pairs:
            every = np.asarray(self.pairs, np.int32)
            places = np.arange(count) % len(every)
            if not self.in_order:
                places = (uniforms(seed, "pairs", count) * len(every)).astype(np.int64)
            prompt, output = every[places, 0], every[places, 1]
        else:
            prompt = self._drawn(seed, "prompts", self.input, count)
            output = self._drawn(seed, "answers", self.output, count)
        return self._cut(prompt, output)

    def endless(self, seed: int) -> Iterator[tuple[int, int]]:
        """Pairs of tokens in and out, one after the other."""
        for block in itertools.count():
            size = len(self.pairs) if self.pairs and self.in_order else _BLOCK
            prompt, output = self.draw(seed * 1_000_003 + block, size)
            yield from zip(prompt.tolist(), output.tolist(), strict=True)

    def mean(self) -> tuple[float, float]:
        """The mean tokens in and out that these lengths come to, before they are cut."""
        if self.pairs:
            both = np.asarray(self._cut(*np.asarray(self.pairs, np.int32).T)).mean(axis=1)
            return float(both[0]), float(both[1])
        shares = np.asarray([0.0, *self.probabilities, 1.0])
        ends = (np.asarray([each[0], *each, each[-1]], float) for each in (self.input, self.output))
        prompt, output = (float(np.trapezoid(each, shares)) for each in ends)
        return prompt, output

    def _drawn(self, seed: int, name: str, quantiles: Sequence[int], count: int) -> Counts:
        figures = np.interp(uniforms(seed, name, count), self.probabilities, quantiles)
        return np.maximum(np.rint(figures), 1).astype(np.int32)

    def _cut(self, prompt: Counts, output: Counts) -> tuple[Counts, Counts]:
        if self.most is None:
            return prompt, output
        written = np.minimum(output, max(1, self.most // 2))
        return np.maximum(1, np.minimum(prompt, self.most - written)), written
