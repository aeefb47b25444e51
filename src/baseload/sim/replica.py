"""Requests through one replica, in arrays; compiled where numba is installed (the extra `fast`). Pure.

Compiled or not, the code is the same: `engine.advance` over arrays, or over memory views of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from baseload.capacity.steptime import StepTime, step_seconds
from baseload.errors import BadInput
from baseload.sim import engine, routing
from baseload.sim.engine import (
    FOREVER,
    FRACTIONS,
    HEAD,
    MOST_FINISHED,
    MOST_STEPS,
    NONE,
    READING,
    SHIFT,
    WHOLES,
    Columns,
    Fractions,
    Wholes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int32]

Advance = Callable[[StepTime, Fractions, Wholes, Fractions, Wholes, Columns, float], None]
Feed = Callable[[StepTime, routing.Rows, Columns, routing.Prefixes, routing.Wanted, int, int, int, int, int], None]
# What the kernels call; a change in any of them is a new name in numba's cache of compiled code.
_CALLED = (
    step_seconds,
    engine.push,
    engine.pop,
    engine.enqueue,
    engine.make_room,
    engine.preempt,
    engine.reaching,
    engine.answer,
    engine.write,
    engine.read,
    engine.plan_writing,
    engine.plan_reading,
    engine.advance,
    routing.soonest,
    routing.least_loaded,
    routing.choose,
    routing.catch_up,
)
# Nothing is allocated in compiled code, so references need no counting: that alone is four times as fast.
_OPTIONS: dict[str, Any] = {"_nrt": False, "forceinline": True, "error_model": "numpy"}
MOST_REQUESTS = 1 << 16
MOST_SEATS = 5_000_000


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in the order of their arrival: seconds after the start, tokens of the prompt, of the answer, and of the
    prompt that a prefix cache holds."""

    arrival: Floats
    prompt: Counts
    output: Counts
    cached: Counts

    def __post_init__(self) -> None:
        columns = (self.arrival, self.prompt, self.output, self.cached)
        if len({len(each) for each in columns}) != 1:
            raise BadInput("columns of requests differ in length", remedy="Give each request all four figures.")
        if not len(self.arrival):
            return
        if not np.isfinite(self.arrival).all() or self.arrival[0] < 0 or (np.diff(self.arrival) < 0).any():
            raise BadInput("requests are not in the order of their arrival", remedy="Sort them by their arrival.")
        if self.prompt.min() < 1 or self.output.min() < 1 or self.cached.min() < 0:
            raise BadInput("a request reads or writes no token", remedy="Give each at least one token of both.")
        if (self.cached >= self.prompt).any():
            raise BadInput("a prompt is wholly cached", remedy="Its last token is always read: cache one less.")

    @classmethod
    def of(cls, arrival: Floats, prompt: NDArray[Any], output: NDArray[Any], *, cached_share: float = 0.0) -> Requests:
        """Requests of whose prompts the same share lies in the prefix cache."""
        if not 0 <= cached_share <= 1:
            raise BadInput(f"{cached_share} is no share", remedy="Give a share of cached tokens from 0 to 1.")
        prompts = np.ascontiguousarray(prompt, dtype=np.int32)
        cached = np.minimum((prompts * cached_share).astype(np.int32), prompts - 1)
        outputs = np.ascontiguousarray(output, dtype=np.int32)
        return cls(np.ascontiguousarray(arrival, dtype=np.float64), prompts, outputs, cached)

    def __len__(self) -> int:
        return len(self.arrival)

    def fits(self, step: StepTime) -> NDArray[np.bool_]:
        """Which of them have room in the memory of a replica by themselves."""
        return self.prompt + self.output <= step.kv_tokens


class Kernel(NamedTuple):
    """The functions of the engine, and how they want their columns."""

    advance: Advance
    feed: Feed
    compiled: bool

    def columns(self, requests: Requests) -> tuple[Columns, Floats, Floats]:
        """Columns for these requests, and the two of them that will hold the answer: first token and finish."""
        count = len(requests)
        first, finish = np.full(count, np.nan), np.full(count, np.nan)
        given = (requests.arrival, requests.prompt, requests.output, requests.cached)
        scratch = (np.zeros(count, np.int32), np.zeros(count, np.int32), np.full(count, NONE, np.int32))
        whole = (*given, *scratch, first, finish)
        return Columns(*self.views(*whole)), first, finish

    def views(self, *columns: NDArray[Any]) -> tuple[Any, ...]:
        """Arrays as the engine wants them: plain Python reads a memory view three times as fast as an array."""
        return columns if self.compiled else tuple(each.data for each in columns)

    def pool(self, step: StepTime, replicas: int = 1) -> Replicas:
        """Replicas that have not started yet."""
        check(step)
        if replicas * step.most_requests > MOST_SEATS:
            raise BadInput(
                f"{replicas:,} replicas of {step.most_requests:,} requests at once are too many to simulate",
                remedy=f"Let their product be at most {MOST_SEATS:,}.",
            )
        decode = [step_seconds(step, batch, 0.0, 0, 0.0) for batch in range(step.most_requests + 1)]
        whole = [[0] * WHOLES for _ in range(replicas)]
        for each in whole:
            each[HEAD] = each[READING] = NONE
            each[MOST_STEPS] = each[MOST_FINISHED] = FOREVER
        fraction = [[0.0] * FRACTIONS for _ in range(replicas)]
        heap = [[0] * (step.most_requests + 1) for _ in range(replicas)]
        plain = (decode, whole, fraction, heap, [0] * replicas, [NONE])
        if not self.compiled:
            return Replicas(step, routing.Rows(*cast("Any", plain)))
        kinds = (np.float64, np.int64, np.float64, np.int64, np.int64, np.int64)
        arrays = (np.array(each, kind) for each, kind in zip(plain, kinds, strict=True))
        return Replicas(step, routing.Rows(*cast("Any", arrays)))


@dataclass(frozen=True, slots=True)
class Replicas:
    """The state of one pool's replicas, as `engine.py` and `routing.py` say."""

    step: StepTime
    rows: routing.Rows

    def advance(self, kernel: Kernel, columns: Columns, place: int, until: float) -> None:
        """Run one of them."""
        rows = self.rows
        kernel.advance(
            self.step, rows.decode, rows.whole[place], rows.fraction[place], rows.heap[place], columns, until
        )

    def count(self, figure: int) -> int:
        """One of the whole figures, summed over the replicas."""
        return int(sum(each[figure] for each in self.rows.whole))

    @property
    def busy(self) -> float:
        """Seconds spent in steps by all of them."""
        return float(sum(each[engine.BUSY] for each in self.rows.fraction))

    def unfinished(self, columns: Columns, place: int) -> list[int]:
        """The requests that one of them has not finished, in the order in which they came."""
        whole = self.rows.whole[place]
        found = [int(key) % SHIFT for key in self.rows.heap[place][: whole[engine.RUNNING]]]
        if whole[READING] != NONE:
            found.append(int(whole[READING]))
        queued = int(whole[HEAD])
        while queued != NONE:
            found.append(queued)
            queued = int(columns.after[queued])
        return sorted(found)

    def clear(self, place: int, lost: int) -> None:
        """One of them has lost what it had in hand."""
        whole = self.rows.whole[place]
        whole[engine.ASSIGNED] -= lost
        whole[HEAD] = whole[READING] = NONE
        whole[engine.CONTEXT] = whole[engine.RUNNING] = whole[engine.HELD] = 0


@dataclass(frozen=True, slots=True)
class Served:
    """When each request had its first token and its last, in seconds as its client saw them; NaN for one that does not
    fit. `busy` seconds of steps, tokens read (again after a preemption) and written."""

    first: Floats
    finish: Floats
    busy: float
    steps: int
    tokens_read: int
    tokens_written: int
    preemptions: int
    refused: int
    ended: float


def serve(step: StepTime, requests: Requests, *, replicas: int = 1, kernel: Kernel | None = None) -> Served:
    """All requests through one replica, or through several, each to the one with the fewest in flight. Its client waits
    `receive` seconds more than the engine takes."""
    kernel = kernel or interpreted()
    fits = requests.fits(step)
    columns, first, finish = kernel.columns(requests)
    pool = kernel.pool(step, replicas)
    queue = np.flatnonzero(fits)
    if replicas > 1:
        _spread(kernel, pool, columns, len(requests))
    elif len(queue):
        after, whole = np.asarray(columns.after), pool.rows.whole[0]
        after[queue[:-1]] = queue[1:]
        whole[HEAD], whole[engine.TAIL] = int(queue[0]), int(queue[-1])
    for each in range(replicas):
        pool.advance(kernel, columns, each, math.inf)
    first += step.receive
    finish += step.receive
    return Served(
        first=first,
        finish=finish,
        busy=pool.busy,
        steps=pool.count(engine.STEPS),
        tokens_read=pool.count(engine.TOKENS_READ),
        tokens_written=pool.count(engine.TOKENS_WRITTEN),
        preemptions=pool.count(engine.PREEMPTIONS),
        refused=int(len(requests) - len(queue)),
        ended=max(float(each[engine.NOW]) for each in pool.rows.fraction),
    )


def _spread(kernel: Kernel, pool: Replicas, columns: Columns, count: int) -> None:
    """Deal requests out to the replica with the fewest in flight."""
    for each in range(len(pool.rows.serving)):
        pool.rows.serving[each] = 1
    kinds, any_of, nobody = np.zeros(count, np.int32), np.ones(1, np.int32), np.full(1, NONE, np.int32)
    group, supply = np.full(count, NONE, np.int32), np.full(count, NONE, np.int32)
    group, home, kind, admits, supply = kernel.views(group, nobody, kinds, any_of, supply)
    wanted = routing.Wanted(kind, admits, supply, NONE)
    prefixes = routing.Prefixes(group, home)
    kernel.feed(pool.step, pool.rows, columns, prefixes, wanted, 0, routing.LEAST_LOADED, NONE, 0, count)


def check(step: StepTime) -> None:
    """Raise BadInput for coefficients that no engine has."""
    times = step[:12]
    if not all(math.isfinite(each) and each >= 0 for each in times) or step_seconds(step, 1, 0.0, 0, 0.0) <= 0:
        raise BadInput("a step of an engine takes no time, or less", remedy="Give coefficients of at least zero.")
    if not (0 <= step.expert_share <= 1 <= step.softness):
        raise BadInput(
            f"experts touched {step.expert_share}, softness {step.softness}",
            remedy="Give a share from 0 to 1, and a softness of at least 1.",
        )
    if not 1 <= step.most_requests <= min(step.step_tokens, MOST_REQUESTS) or step.kv_tokens < 1:
        raise BadInput(
            f"{step.most_requests} requests at once in steps of {step.step_tokens} tokens on a memory of "
            f"{step.kv_tokens}",
            remedy=f"Give at least one of each, and no more requests than tokens in a step, at most {MOST_REQUESTS}.",
        )


def interpreted() -> Kernel:
    """The engine in plain Python."""
    return Kernel(engine.advance, routing.feed, compiled=False)


@cache
def compiled() -> Kernel:
    """The engine compiled by numba: some five seconds the first time, then kept. ImportError without numba."""
    from numba import njit
    from numba.extending import register_jitable

    for each in _CALLED:
        register_jitable(**_OPTIONS)(each)
    advance, feed = (njit(cache=True, **_OPTIONS)(named_by_source(each)) for each in (engine.advance, routing.feed))
    return Kernel(advance, feed, compiled=True)


def fastest() -> Kernel:
    """The compiled engine where numba is installed, else the plain one."""
    try:
        return compiled()
    except ImportError:
        return interpreted()


def named_by_source(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function under a name that changes with the code of everything it calls.

    numba keeps compiled code by the name of a function and the age of its own file alone.
    """
    digest = hashlib.sha256(repr(_OPTIONS).encode())
    for each in (function, *_CALLED):
        digest.update(each.__code__.co_code + repr(each.__code__.co_consts).encode())
    twin = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    twin.__qualname__ = f"{function.__qualname__}_{digest.hexdigest()[:12]}"
    twin.__module__ = function.__module__
    return twin
