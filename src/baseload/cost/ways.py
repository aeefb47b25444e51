"""What is weighed: the load of a month, and the ways to serve it. Pure values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal

from baseload.catalog.entries import Source
from baseload.cost.schedule import ALWAYS, HOURS_PER_WEEK, Schedule
from baseload.errors import BadInput
from baseload.ranges import Range

WayKind = Literal["now", "api", "rented", "reserved", "spot", "owned", "brokered", "hybrid"]
ON_MACHINES = frozenset({"rented", "reserved", "spot", "owned", "brokered"})


@dataclass(frozen=True)
class Load:
    """A month's tokens and requests.

    `shape` is each hour of the week's load over the mean, Monday 00:00 first; empty where only the month is known: then
    the load falls evenly on the hours that machines are on. `duration` is a measured load-duration curve, (load over
    its mean, share of the time), highest first: what machines carry that are never off. Its peaks are in it, so that no
    other peak is added. `known` says how the tokens are known.
    """

    input_tokens: Range
    output_tokens: Range
    requests: Range | None = None
    shape: tuple[Fraction, ...] = ()
    duration: tuple[tuple[Fraction, Fraction], ...] = ()
    known: Literal["metered", "imported", "typed"] = "typed"

    def __post_init__(self) -> None:
        if (
            self.input_tokens.low < 0
            or self.output_tokens.low < 0
            or not self.input_tokens.low + self.output_tokens.low
        ):
            raise BadInput(
                f"{self.input_tokens.low} tokens in and {self.output_tokens.low} out a month is no load",
                remedy="Give the tokens of a month, as in --input 300M --output 100M.",
            )
        if self.shape and (len(self.shape) != HOURS_PER_WEEK or min(self.shape) < 0 or not any(self.shape)):
            raise BadInput(
                f"a week's load of {len(self.shape)} hours cannot be read",
                remedy=f"Give {HOURS_PER_WEEK} loads from 0 up, Monday 00:00 first, one of them above 0.",
            )

    @property
    def figures(self) -> dict[str, Range]:
        """The load under the names of the parameter table."""
        known = {"input_tokens_per_month": self.input_tokens, "output_tokens_per_month": self.output_tokens}
        return known | ({"requests_per_month": self.requests} if self.requests is not None else {})

    def levels(self, on: Schedule) -> tuple[tuple[Fraction, Fraction], ...]:
        """(load over the mean, share of the time) of the hours on, highest first; none where no shape is known."""
        if self.duration and on == ALWAYS:
            return self.duration
        if not self.shape:
            return ()
        mean = sum(self.shape, Fraction(0)) / len(self.shape)
        counted = Counter(load / mean for load, running in zip(self.shape, on.on, strict=True) if running)
        return tuple((level, Fraction(count, HOURS_PER_WEEK)) for level, count in sorted(counted.items(), reverse=True))

    def outside(self, on: Schedule) -> Fraction:
        """The share of the load that falls in the hours off."""
        if not self.shape:
            return Fraction(0)
        missed = sum((load for load, running in zip(self.shape, on.on, strict=True) if not running), Fraction(0))
        return missed / sum(self.shape, Fraction(0))


@dataclass(frozen=True)
class Way:
    """One way to serve the load.

    `figures` are the parameters that this way states for itself (its price, its capacity), with their `sources`; every
    other figure is the assumptions'. `gpus` are those of one replica, `on` the hours it is paid and serves. A hybrid
    names its `base` on machines and its `overflow` at an API. What machines may not serve goes to `rest`, an API. As it
    is served `now`, there are as many machines as are `held`, and `rest` is what is bought. `unfit` says why it cannot
    be, in a sentence: then it has no price. `why` says for what reason it is this one.
    """

    name: str
    kind: WayKind
    figures: Mapping[str, Range] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    gpus: int = 1
    on: Schedule = ALWAYS
    base: Way | None = None
    overflow: Way | None = None
    unfit: str = ""
    why: str = ""
    rest: Way | None = None
    held: int = 0

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise BadInput(f"{self.name} has {self.gpus} GPUs", remedy="Give at least one GPU for a replica.")
        if (self.kind == "hybrid") != (self.base is not None and self.overflow is not None):
            raise BadInput(
                f"{self.name} is {self.kind} with {'a' if self.base else 'no'} base",
                remedy="A hybrid, and nothing else, has a base on machines and an overflow at an API.",
            )

    @property
    def on_machines(self) -> bool:
        return self.kind in ON_MACHINES

    @cached_property
    def parts(self) -> tuple[Way, ...]:
        """The ways that it is made of: itself, or base and overflow; then what its machines may not serve."""
        inner = tuple(way for way in (self.base, self.overflow) if way is not None) or (self,)
        return inner if self.elsewhere is None else (*inner, self.elsewhere)

    @property
    def elsewhere(self) -> Way | None:
        """The API that serves what its machines may not."""
        return self.rest if self.rest is not None or self.base is None else self.base.rest
