"""What serves in a simulation: own pools with their hours, and APIs. Pure values, and when each replica is on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from baseload.capacity.steptime import StepTime
from baseload.errors import BadInput
from baseload.load.chance import exponentials
from baseload.sim import routing
from baseload.sim.engine import NONE
from baseload.units import SECONDS_PER_HOUR
from baseload.usage import Usage

HOURS_PER_WEEK = 168
MOST_REPLICAS = 10_000
# Shifts of one replica: more failures than this are a slip of the keyboard, not a machine.
MOST_SHIFTS = 100_000
# What one attempt costs in nano-dollars that began at a time (nanoseconds since the epoch); None when unpriced.
Price = Callable[[Usage, int], int | None]


class Routing(StrEnum):
    """How a pool spreads requests over its replicas."""

    ROUND_ROBIN = "round-robin"
    LEAST_LOADED = "least-loaded"
    PREFIX = "prefix"

    @property
    def code(self) -> int:
        """What the compiled code calls it."""
        return (routing.ROUND_ROBIN, routing.LEAST_LOADED, routing.PREFIX)[list(Routing).index(self)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Replicas of one deployment, each of `gpus` GPUs at `usd_per_gpu_hour` (None: not known, so no bill).

    `slots` requests may be in flight on each, None for no bound. `on` says for each of the 168 hours of a week, Monday
    first, whether the replicas are on; None for always. A replica is paid from the moment it starts and serves
    `startup_seconds` later. It fails so many times in an hour of being on, as spot machines that go: what
    it has in hand is lost and starts anew elsewhere; it comes back after `repair_seconds`, unpaid, and another start.
    """

    name: str
    step: StepTime
    replicas: int = 1
    gpus: int = 1
    usd_per_gpu_hour: Decimal | None = None
    routing: Routing = Routing.LEAST_LOADED
    slots: int | None = None
    on: Sequence[bool] | None = None
    startup_seconds: float = 0.0
    failures_per_hour: float = 0.0
    repair_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= MOST_REPLICAS or self.gpus < 1 or self.slots == 0:
            raise BadInput(
                f"pool {self.name} has {self.replicas} replicas of {self.gpus} GPUs, with {self.slots} slots each",
                remedy=f"Give at least one of each, and at most {MOST_REPLICAS:,} replicas.",
            )
        if self.on is not None and len(self.on) != HOURS_PER_WEEK:
            raise BadInput(
                f"pool {self.name} is on for {len(self.on)} hours of a week", remedy=f"Give all {HOURS_PER_WEEK}."
            )
        figures = (self.startup_seconds, self.failures_per_hour, self.repair_seconds)
        if not all(math.isfinite(each) and each >= 0 for each in figures) or self.failures_per_hour > SECONDS_PER_HOUR:
            raise BadInput(
                f"pool {self.name} starts in {self.startup_seconds} s, fails {self.failures_per_hour} times in an "
                f"hour and comes back after {self.repair_seconds} s",
                remedy="Give figures of at least zero, and less than a failure a second.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Tokens that are bought: how long an answer takes, and what it costs."""

    name: str
    price: Price
    first_token_seconds: float = 0.4
    tokens_per_second: float = 80.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.first_token_seconds) and self.first_token_seconds >= 0 < self.tokens_per_second):
            raise BadInput(
                f"{self.name} answers after {self.first_token_seconds} s at {self.tokens_per_second} tokens/s",
                remedy="Give a time of at least zero, and more than zero tokens per second.",
            )


@dataclass(frozen=True, slots=True)
class Shift:
    """One stretch of a replica: paid from `start`, serving from `serves` to `end`; `lost` when a failure ends it."""

    start: float
    serves: float
    end: float
    lost: bool


def shifts(pool: Pool, replica: int, *, start_hour: float, until: float, seed: int) -> Iterator[Shift]:
    """The shifts of a replica up to `until`, in seconds after the simulation's start at `start_hour` of the week."""
    if pool.failures_per_hour * until / SECONDS_PER_HOUR > MOST_SHIFTS:
        raise BadInput(
            f"pool {pool.name} fails more than {MOST_SHIFTS:,} times in that load",
            remedy="Give fewer failures an hour.",
        )
    lives = exponentials(seed, f"failures of {pool.name} {replica}")
    for opens, closes in _windows(pool, start_hour, until):
        start = opens
        while start < closes:
            lost_at = (
                start + next(lives) / pool.failures_per_hour * SECONDS_PER_HOUR if pool.failures_per_hour else math.inf
            )
            end = min(lost_at, closes)
            yield Shift(start, min(start + pool.startup_seconds, end), end, lost_at < closes)
            start = end + pool.repair_seconds if lost_at < closes else closes


def _windows(pool: Pool, start_hour: float, until: float) -> Iterator[tuple[float, float]]:
    """When the schedule has the pool on. Without one, or with one that is always on, it never ends."""
    if pool.on is None or all(pool.on):
        yield 0.0, math.inf if not pool.failures_per_hour else until
        return
    hour, opened = math.floor(start_hour), None
    while (begins := (hour - start_hour) * SECONDS_PER_HOUR) < until:
        if pool.on[hour % HOURS_PER_WEEK]:
            opened = max(begins, 0.0) if opened is None else opened
        elif opened is not None:
            yield opened, begins
            opened = None
        hour += 1
    if opened is not None:
        yield opened, math.inf if not pool.failures_per_hour else until


def bound(pool: Pool, serving: int) -> int:
    """Requests that may be in flight while so many replicas serve; NONE for no bound."""
    return NONE if pool.slots is None else pool.slots * serving
