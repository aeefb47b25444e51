"""A deployment's step fitted to its own log: a few finished requests, replayed. Pure.

A gateway knows when each request came, its tokens in and out, when its first token left and when it was done. That is
enough: the requests are run through the simulated replica, and the step is scaled until theirs and ours agree. What had
not finished by the last of them has an unknown length and is taken to be as long as the longest that has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from baseload.capacity.leastsquares import minimised, softened
from baseload.capacity.steptime import StepTime
from baseload.errors import NotEnoughData
from baseload.sim.replica import Kernel, Requests, Served, serve

FEWEST = 20
# Spread of the factors about the model: on all of a step, on multiplying, on reading the cache, on receiving.
_SPREAD = np.array([0.35, 0.5, 0.5, 0.7])
_WIDTH = 0.1
# A replay moves by whole steps: a small nudge sees their edges and not the slope, a large one passes the bottom.
_NUDGES = (0.05, 0.01)
_ROUNDS = 12
_BLUR = 0.2


@dataclass(frozen=True, slots=True)
class Logged:
    """One request as a gateway saw it; seconds from the first arrival. `first` and `finish` are None while it runs, and
    `first` where the answer did not stream. `cached_tokens` of its prompt lay in a prefix cache."""

    arrival: float
    input_tokens: int
    output_tokens: int
    first: float | None
    finish: float | None
    cached_tokens: int = 0


def known_at(log: Sequence[Logged], finished: int) -> list[Logged]:
    """What was known of a log when so many of its requests had finished: those that came later are not in it."""
    ends = sorted(each.finish for each in log if each.finish is not None)
    if len(ends) < finished:
        raise NotEnoughData(
            f"{len(ends)} of the requests have finished, and {finished} are asked for",
            remedy="Let more traffic pass, or ask for fewer.",
        )
    until = ends[finished - 1]
    seen = [each for each in log if each.arrival <= until]
    return [each if each.finish is not None and each.finish <= until else _running(each, until) for each in seen]


def _running(each: Logged, until: float) -> Logged:
    first = each.first if each.first is not None and each.first <= until else None
    return Logged(each.arrival, each.input_tokens, 0, first, None, each.cached_tokens)


def tuned(step: StepTime, log: Sequence[Logged], *, replicas: int = 1, kernel: Kernel | None = None) -> StepTime:
    """The step at which a replay of the log comes closest to it. Raises NotEnoughData below twenty that finished."""
    done = [each for each in log if each.finish is not None]
    if len(done) < FEWEST:
        raise NotEnoughData(
            f"{len(done)} requests have finished, and a step is fitted to at least {FEWEST}",
            remedy="Let more traffic pass.",
        )
    longest = max(each.output_tokens for each in done)
    ordered = sorted(
        (each if each.finish is not None else replace(each, output_tokens=longest) for each in log),
        key=lambda each: each.arrival,
    )
    arrival = np.array([each.arrival for each in ordered])
    first = np.array([np.nan if each.first is None else each.first for each in ordered])
    finish = np.array([np.nan if each.finish is None else each.finish for each in ordered])

    blur = _BLUR * float(np.nanmedian(finish - arrival))

    def residuals(at: NDArray[np.float64]) -> NDArray[np.float64]:
        served = replayed(scaled(step, at), ordered, replicas=replicas, kernel=kernel)
        off = [
            _off(served.first - arrival, first - arrival, blur),
            _off(served.finish - arrival, finish - arrival, blur),
            _off(served.finish - served.first, finish - first, blur),
        ]
        return np.concatenate([*(softened(each, _WIDTH) / _WIDTH for each in off), at / _SPREAD])

    at = np.zeros(len(_SPREAD))
    for nudge in _NUDGES:
        at = minimised(residuals, at, rounds=_ROUNDS, nudge=nudge)
    return scaled(step, at)


def replayed(step: StepTime, ordered: Sequence[Logged], *, replicas: int = 1, kernel: Kernel | None = None) -> Served:
    """The requests of a log, in the order of their arrival, through so many replicas of a step."""
    prompt = np.array([each.input_tokens for each in ordered], np.int32)
    requests = Requests(
        np.array([each.arrival for each in ordered], np.float64),
        prompt,
        np.array([each.output_tokens for each in ordered], np.int32),
        np.array([each.cached_tokens for each in ordered], np.int32),
    )
    return serve(step, requests, replicas=replicas, kernel=kernel)


def _off(ours: NDArray[np.float64], theirs: NDArray[np.float64], blur: float) -> NDArray[np.float64]:
    """Logarithms of simulated over logged seconds, of requests for which the log has them; 0 for the others. What is
    short beside the `blur` weighs little: a first token in 50 ms and not 80 says nothing of a minute's queue."""
    with np.errstate(invalid="ignore"):
        found = np.log((np.maximum(ours, 0.0) + blur) / (np.maximum(theirs, 0.0) + blur))
    return np.where(np.isfinite(found), found, 0.0)


def scaled(step: StepTime, at: NDArray[np.float64]) -> StepTime:
    """A step with factors, given as logarithms, on all of it, on multiplying, on the cache and on receiving."""
    pace, multiply, cache, receive = np.exp(at).tolist()
    return step._replace(
        shared_weights=step.shared_weights * pace,
        expert_weights=step.expert_weights * pace,
        compute=step.compute * pace * multiply,
        context=step.context * pace * cache,
        attention=step.attention * pace * multiply,
        fixed=step.fixed * pace,
        per_request=step.per_request * pace,
        per_token=step.per_token * pace,
        prefill=step.prefill * pace,
        receive=step.receive * receive,
    )
