"""Requests through one replica, in arrays; compiled where numba is installed (the extra `fast`). Pure.

Compiled or not, the code is the same: `engine.advance` over arrays, or over memory views of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from baseload.capacity.steptime import StepTime, step_seconds
from baseload.errors import BadInput
from baseload.sim import engine
from baseload.sim.engine import FRACTIONS, HEAD, NONE, READING, SHIFT, WHOLES, Columns, Fractions, Wholes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int32]

Advance = Callable[[StepTime, Fractions, Wholes, Fractions, Wholes, Columns, float], None]
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
)
# Nothing is allocated in compiled code, so references need no counting: that alone is four times as fast.
_OPTIONS: dict[str, Any] = {"_nrt": False, "forceinline": True, "error_model": "numpy"}
MOST_REQUESTS = 1 << 16


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
    def of(cls, arrival: Floats, prompt: Counts, output: Counts, *, cached_share: float = 0.0) -> Requests:
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
        return self.prompt + self.output - 1 <= step.kv_tokens


class Kernel(NamedTuple):
    """The functions of the engine, and how they want their columns."""

    advance: Advance
    compiled: bool

    def columns(self, requests: Requests) -> tuple[Columns, Floats, Floats]:
        """Columns for these requests, and the two of them that will hold the answer: first token and finish."""
        count = len(requests)
        first, finish = np.full(count, np.nan), np.full(count, np.nan)
        given = (requests.arrival, requests.prompt, requests.output, requests.cached)
        scratch = (np.zeros(count, np.int32), np.zeros(count, np.int32), np.full(count, NONE, np.int32))
        whole = (*given, *scratch, first, finish)
        # Plain Python reads a memory view three times as fast as an array, and gets its own numbers from it.
        return Columns(*(whole if self.compiled else (each.data for each in whole))), first, finish

    def replica(self, step: StepTime) -> Replica:
        """A replica that has not started yet."""
        check(step)
        decode = [step_seconds(step, batch, 0.0, 0, 0.0) for batch in range(step.most_requests + 1)]
        whole, fraction, heap = [0] * WHOLES, [0.0] * FRACTIONS, [0] * (step.most_requests + 1)
        whole[HEAD] = whole[READING] = NONE
        if self.compiled:
            return Replica(
                step, np.array(decode), np.array(whole, np.int64), np.array(fraction), np.array(heap, np.int64)
            )
        return Replica(step, decode, whole, fraction, heap)


@dataclass(slots=True)
class Replica:
    """The state of one replica, as `engine.py` says."""

    step: StepTime
    decode: Any
    whole: Any
    fraction: Any
    heap: Any

    def advance(self, kernel: Kernel, columns: Columns, until: float) -> None:
        kernel.advance(self.step, self.decode, self.whole, self.fraction, self.heap, columns, until)

    @property
    def busy(self) -> float:
        """Seconds spent in steps."""
        return float(self.fraction[engine.BUSY])

    @property
    def in_hand(self) -> int:
        """Requests that decode or are being read."""
        return int(self.whole[engine.RUNNING]) + int(self.whole[READING] != NONE)

    def unfinished(self, columns: Columns) -> list[int]:
        """The places of every request that it has not finished, queued ones included."""
        places = [int(key) % SHIFT for key in self.heap[: self.whole[engine.RUNNING]]]
        if self.whole[READING] != NONE:
            places.append(int(self.whole[READING]))
        queued = int(self.whole[HEAD])
        while queued != NONE:
            places.append(queued)
            queued = int(columns.after[queued])
        return places


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
    ended: float = field(default=0.0)


def serve(step: StepTime, requests: Requests, *, kernel: Kernel | None = None) -> Served:
    """All requests through one replica. Its client waits `receive` seconds more than the engine takes."""
    kernel = kernel or interpreted()
    fits = requests.fits(step)
    columns, first, finish = kernel.columns(requests)
    replica = kernel.replica(step)
    queue = np.flatnonzero(fits)
    after = np.asarray(columns.after)
    after[queue[:-1]] = queue[1:]
    if len(queue):
        replica.whole[HEAD], replica.whole[engine.TAIL] = int(queue[0]), int(queue[-1])
        replica.advance(kernel, columns, math.inf)
    whole = replica.whole
    first += step.receive
    finish += step.receive
    return Served(
        first=first,
        finish=finish,
        busy=replica.busy,
        steps=int(whole[engine.STEPS]),
        tokens_read=int(whole[engine.TOKENS_READ]),
        tokens_written=int(whole[engine.TOKENS_WRITTEN]),
        preemptions=int(whole[engine.PREEMPTIONS]),
        refused=int(len(requests) - len(queue)),
        ended=float(replica.fraction[engine.NOW]),
    )


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
    return Kernel(engine.advance, compiled=False)


@cache
def compiled() -> Kernel:
    """The engine compiled by numba, about twelve seconds the first time on a machine. ImportError without numba."""
    from numba import njit
    from numba.extending import register_jitable

    for each in _CALLED:
        register_jitable(**_OPTIONS)(each)
    return Kernel(njit(cache=True, **_OPTIONS)(named_by_source(engine.advance)), compiled=True)


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
