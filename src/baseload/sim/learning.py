"""What a deployment's log tells of it: its step, how far that misses requests it had not seen, and its curve. Pure.

The log is the gateway's own, or that of a benchmark: when each request came, its tokens, its first token and its end.
A first fit sees the first two thirds; the others are replayed and compared, which is the error that is told. The step
that is kept is fitted to all. Its curve is what the simulated engine serves with requests kept in flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from baseload.capacity.curve import Point
from baseload.capacity.drift import TRUSTED
from baseload.capacity.steptime import StepTime
from baseload.errors import NotEnoughData
from baseload.load.calls import Attempt, Call, Evidence, Status
from baseload.load.chance import uniforms
from baseload.load.facts import Bucket, Facts
from baseload.policy.policy import Policy, Route
from baseload.sim.closed import Clients, simulate_closed
from baseload.sim.fleet import Load
from baseload.sim.replica import Kernel, Requests
from baseload.sim.supplies import Pool
from baseload.sim.tuning import Logged, known_at, replayed, tuned
from baseload.units import NANOSECONDS_PER_SECOND

ENOUGH = 60
# More tell no more of a step, and a fit replays them some hundred times.
MOST = 400
_SEEN = 2 / 3
# A curve goes to twice as many in flight as the log had: beyond that the step was never asked.
_BEYOND = 2
_LEAST_MOST = 8
_SPREAD = 0.2
# Requests of a closed loop for each client, the first of which fill it.
_ROUNDS = 12
_ENDED = (Status.OK, Status.CUT, Status.CLIENT_GONE)


@dataclass(frozen=True, slots=True)
class Missed:
    """By what share means of the requests that a first fit had not seen were missed: time to the first token (None
    where none was streamed), time per token after it, and to the last."""

    requests: int
    first: float | None
    between: float | None
    latency: float

    @property
    def worst(self) -> float:
        """That of latency or of a token, whichever is further off: they decide what a deployment carries. The first
        token of an idle engine is a matter of milliseconds."""
        both = [each for each in (self.latency, self.between) if each is not None]
        return max(both, key=abs)


@dataclass(frozen=True, slots=True)
class Learnt:
    """A step fitted to `requests` that had finished, of `prompt` and `output` tokens on average, with at most
    `in_flight` at once on a replica; what the first fit `missed`."""

    step: StepTime
    requests: int
    prompt: int
    output: int
    in_flight: int
    missed: Missed

    @property
    def calibrated(self) -> bool:
        return abs(self.missed.worst) <= TRUSTED


def log_of(calls: Iterable[Call], upstream: str, *, most: int = MOST) -> list[Logged]:
    """The latest attempts at an upstream that wrote something, in order, from an idle moment on where there is one. Of
    answers that did not stream the first token is not known."""
    found = [
        (attempt, call.facts.stream)
        for call in calls
        for attempt in call.attempts
        if attempt.upstream == upstream and _tells(attempt)
    ]
    latest = _from_idle(sorted(found, key=lambda each: each[0].started_ns), most)
    return [_logged(attempt, latest[0][0].started_ns, streamed=streamed) for attempt, streamed in latest]


def _from_idle(found: list[tuple[Attempt, bool]], most: int) -> list[tuple[Attempt, bool]]:
    """The latest of them, from a moment on at which nothing else was in flight, where enough are left then: what was
    under way when a log begins is in nobody's account."""
    start, ended = max(len(found) - most, 0), 0
    for place, (attempt, _) in enumerate(found):
        if place >= start and attempt.started_ns >= ended and len(found) - place >= ENOUGH:
            return found[place:]
        ended = max(ended, attempt.ended_ns)
    return found[start:]


def _tells(attempt: Attempt) -> bool:
    usage = attempt.usage
    known = attempt.evidence in (Evidence.REPORTED, Evidence.ESTIMATED)
    return known and attempt.status in _ENDED and usage.completion_tokens > 0 and usage.prompt_tokens > 0


def _logged(attempt: Attempt, start_ns: int, *, streamed: bool) -> Logged:
    def after(moment: int | None) -> float | None:
        return None if moment is None else (moment - start_ns) / NANOSECONDS_PER_SECOND

    usage = attempt.usage
    return Logged(
        (attempt.started_ns - start_ns) / NANOSECONDS_PER_SECOND,
        usage.prompt_tokens,
        usage.completion_tokens,
        after(attempt.first_byte_ns) if streamed else None,
        after(attempt.ended_ns),
        min(usage.cache_read_tokens, usage.prompt_tokens - 1),
    )


def learn(
    step: StepTime, log: Sequence[Logged], *, enough: int = ENOUGH, replicas: int = 1, kernel: Kernel | None = None
) -> Learnt:
    """The step of a log, from one that is near it. Raises NotEnoughData with fewer finished requests than `enough`."""
    done = [each for each in log if each.finish is not None]
    if len(done) < enough:
        raise NotEnoughData(
            f"{len(done)} requests have finished, and a step is learnt from at least {enough}",
            remedy="Let more traffic pass, or measure it: baseload measure.",
        )
    seen = known_at(log, round(len(done) * _SEEN))
    first = tuned(step, seen, replicas=replicas, kernel=kernel)
    known = {each.arrival for each in seen if each.finish is not None}
    return Learnt(
        tuned(step, log, replicas=replicas, kernel=kernel),
        len(done),
        round(sum(each.input_tokens for each in done) / len(done)),
        max(1, round(sum(each.output_tokens for each in done) / len(done))),
        max(1, -(-_most_in_flight(done) // replicas)),
        _missed(first, done, known, replicas, kernel),
    )


def _missed(step: StepTime, done: Sequence[Logged], known: set[float], replicas: int, kernel: Kernel | None) -> Missed:
    """The others, replayed behind those that were known."""
    ordered = sorted(done, key=lambda each: each.arrival)
    served = replayed(step, ordered, replicas=replicas, kernel=kernel)
    new = np.array([each.arrival not in known for each in ordered])
    arrival, first, finish = (
        np.array([np.nan if (at := getattr(each, name)) is None else at for each in ordered])
        for name in ("arrival", "first", "finish")
    )
    tokens = np.array([each.output_tokens for each in ordered]) - 1
    streamed, several = new & np.isfinite(first), new & np.isfinite(first) & (tokens > 0)
    return Missed(
        int(new.sum()),
        _off((served.first - arrival)[streamed], (first - arrival)[streamed]),
        _off(((served.finish - served.first) / tokens.clip(1))[several], ((finish - first) / tokens.clip(1))[several]),
        _off((served.finish - arrival)[new], (finish - arrival)[new]) or 0.0,
    )


def _off(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """By what share a mean is missed; None of nothing."""
    return float(ours.mean() / theirs.mean() - 1) if len(theirs) and theirs.mean() > 0 else None


def _most_in_flight(done: Sequence[Logged]) -> int:
    moments = sorted(
        [*((each.arrival, 1) for each in done), *((each.finish, -1) for each in done if each.finish is not None)]
    )
    flying = most = 0
    for _, change in moments:
        flying += change
        most = max(most, flying)
    return most


def curve_of(step: StepTime, prompt: int, output: int, in_flight: int, *, kernel: Kernel | None = None) -> list[Point]:
    """Output tokens a second with 1, 2, 4 ... requests kept in flight on one replica, of lengths within a fifth of
    these, up to twice as many as were `in_flight` when its step was seen, or fit."""
    fit = step.kv_tokens // max(prompt + output, 1)
    most = max(2, min(max(in_flight * _BEYOND, _LEAST_MOST), step.most_requests, fit))
    loads = sorted({2**power for power in range(most.bit_length())} | {most})
    return [Point(load, rate_of(step, prompt, output, load, kernel=kernel)) for load in loads]


def rate_of(step: StepTime, prompt: int, output: int, clients: int, *, kernel: Kernel | None = None) -> float:
    """Tokens a second between the time at which every client has had an answer and the last question."""
    count = max(_ROUNDS * clients, 40)
    prompts, outputs = (
        np.rint(mean * (1 + _SPREAD * (2 * uniforms(clients, name, count) - 1))).clip(1)
        for name, mean in (("prompts", prompt), ("answers", output))
    )
    requests = Requests.of(np.zeros(count), prompts, outputs)
    route = Route(name="it", upstream="it", model="it", offer="own/it", own=True, success={Bucket.JUDGMENT: 1.0})
    policy = Policy(routes=(route,), aliases={"auto": Bucket.JUDGMENT})
    facts = Facts(at_ns=0, model="auto", bucket=Bucket.JUDGMENT, input_tokens=0)
    pool = Pool(name="it", step=step)
    ran = simulate_closed(Load.plain(0, requests, facts), Clients(clients), [pool], [], policy, kernel=kernel)
    arrival = ran.load.requests.arrival
    start, end = float(np.sort(ran.finish)[clients - 1]), float(arrival[-1])
    lasted = ran.finish - arrival
    inside = np.clip(np.minimum(ran.finish, end) - np.maximum(arrival, start), 0.0, None)
    return float((requests.output * inside / lasted).sum() / (end - start))
