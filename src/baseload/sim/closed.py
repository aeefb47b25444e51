"""A closed loop: so many clients, each of which asks again when it was answered and has thought about it. Pure.

A request comes when another is answered, so replicas may not run ahead of each other. Each runs to its next finish, but
never past a moment at which a request could still come to it from elsewhere: the next client that is known to come, or
the earliest that another replica could finish one (`routing.soonest`). Where that leaves it no room, it takes a single
step: a step that has begun takes in nobody. So every request meets exactly the fleet that it would meet if its time
were known before; a test runs the times again in an open loop.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from baseload.errors import BadInput
from baseload.load.chance import exponentials
from baseload.policy.policy import Policy
from baseload.sim.engine import (
    ASSIGNED,
    FINISHED,
    FOREVER,
    HEAD,
    MOST_FINISHED,
    MOST_STEPS,
    NONE,
    NOW,
    READING,
    RUNNING,
    STEPS,
)
from baseload.sim.fleet import Load, Outcome, Run, named_supplies
from baseload.sim.replica import Kernel, Requests, fastest, serve
from baseload.sim.routing import soonest
from baseload.sim.supplies import Api, Pool

MOST_CLIENTS = 100_000
# A client that was refused asks again after so long, as one that heeds `Retry-After: 1`.
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Clients:
    """So many clients, who think for `think_seconds` on average between an answer and the next question (exponential;
    0: they ask at once)."""

    count: int
    think_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_CLIENTS:
            raise BadInput(f"{self.count:,} clients keep no loop going", remedy=f"Give 1 to {MOST_CLIENTS:,}.")
        if not (math.isfinite(self.think_seconds) and self.think_seconds >= 0):
            raise BadInput(f"nobody thinks for {self.think_seconds} s", remedy="Give a time of at least zero.")


def simulate_closed(
    load: Load,
    clients: Clients,
    pools: Sequence[Pool],
    apis: Sequence[Api],
    policy: Policy,
    *,
    seed: int = 0,
    kernel: Kernel | None = None,
) -> Outcome:
    """Run the requests of a load in their order, whenever a client is free: their arrivals do not count.

    The outcome's load has the times at which they really came. Pools must always be on, and not fail.
    """
    named_supplies(pools, apis, policy)
    for pool in pools:
        if pool.failures_per_hour or (pool.on is not None and not all(pool.on)):
            raise BadInput(
                f"pool {pool.name} is off at times, and a closed loop has no hours",
                remedy="Leave on= and failures= out, or simulate an open loop with --rate.",
            )
    still = replace(load, requests=replace(load.requests, arrival=np.zeros(len(load.requests))))
    return _Closed(still, clients, pools, apis, policy, seed, kernel or fastest()).result()


class _Closed(Run):
    """One closed loop. `ready` are the times at which clients ask, a heap; `late` are finishes of each replica that
    were found out before their time came."""

    def __init__(
        self,
        load: Load,
        clients: Clients,
        pools: Sequence[Pool],
        apis: Sequence[Api],
        policy: Policy,
        seed: int,
        kernel: Kernel,
    ) -> None:
        super().__init__(load, pools, apis, policy, seed, False, kernel)
        self._think = clients.think_seconds
        self._thoughts: Iterator[float] = exponentials(seed, "thoughts")
        begins, apart = max((pool.startup_seconds for pool in pools), default=0.0), self._alone() / clients.count
        self._ready = [begins + apart * each + self._thought() for each in range(clients.count)]
        heapq.heapify(self._ready)
        self._late: dict[tuple[int, int], list[float]] = {}
        self._arrivals = np.zeros(len(load.requests))

    def result(self) -> Outcome:
        for event in self._events():
            self._happen(event)
        sent, count = 0, len(self._arrivals)
        while sent < count:
            at = self._ready[0] if self._ready else math.inf
            bounds = self._bounds()
            if not bounds or at <= bounds[0][0]:
                heapq.heappop(self._ready)
                self._send(sent, at)
                sent += 1
            else:
                self._run(bounds, at)
        for place, pool in enumerate(self._pools):
            for replica in range(pool.replicas):
                self._close(place, replica, math.inf)
        self._load = replace(self._load, requests=replace(self._load.requests, arrival=self._arrivals))
        return self._outcome()

    def _alone(self) -> float:
        """Seconds that one request takes of the first pool by itself. Clients begin spread over it: at once they would
        march in step for ever, which nobody's do."""
        requests = self._load.requests
        if not self._pools or not len(requests):
            return 0.0
        one = Requests.of(np.zeros(1), requests.prompt.mean(keepdims=True), requests.output.mean(keepdims=True))
        served = serve(self._pools[0].step, one, kernel=self._kernel)
        return float(served.finish[0]) if math.isfinite(served.finish[0]) else 0.0

    def _thought(self) -> float:
        return self._think * next(self._thoughts) if self._think else 0.0

    def _bounds(self) -> list[tuple[float, float, int, int]]:
        """Of each replica at work, earliest first: before when it finishes nothing, its own time, and which it is."""
        found = []
        for pool, replicas in enumerate(self._replicas):
            rows = replicas.rows
            for each in range(len(rows.serving)):
                whole = rows.whole[each]
                if whole[ASSIGNED] == whole[FINISHED]:
                    continue
                now = rows.fraction[each][NOW]
                if whole[RUNNING] == 0 and whole[READING] == NONE:  # it stood still until the first in its queue came
                    now = max(now, self._columns.arrival[whole[HEAD]])
                earliest = soonest(replicas.step, rows.decode, whole, rows.fraction[each], rows.heap[each])
                found.append((max(earliest, now), now, pool, each))
        return sorted(found)

    def _run(self, bounds: Sequence[tuple[float, float, int, int]], at: float) -> None:
        """Run the replica that may finish first, as far as nobody else can matter to it, or one step."""
        _, now, pool, each = bounds[0]
        replicas = self._replicas[pool]
        until = min(at, bounds[1][0] if len(bounds) > 1 else math.inf)
        whole = replicas.rows.whole[each]
        steps, finished = whole[STEPS], whole[FINISHED]
        whole[MOST_FINISHED] = finished + 1
        if until > now:
            replicas.advance(self._kernel, self._columns, each, until)
        if whole[STEPS] == steps:
            whole[MOST_STEPS] = steps + 1
            replicas.advance(self._kernel, self._columns, each, math.inf)
        whole[MOST_STEPS] = whole[MOST_FINISHED] = FOREVER
        ended = float(replicas.rows.fraction[each][NOW])
        for _ in range(whole[FINISHED] - finished):
            self._late.setdefault((pool, each), []).append(ended)
            heapq.heappush(self._ready, ended + replicas.step.receive + self._thought())

    def _send(self, place: int, at: float) -> None:
        """One request at its time. A finish that comes later has not happened yet."""
        self._arrivals[place] = self._columns.arrival[place] = at
        self._late = {key: left for key, ends in self._late.items() if (left := [end for end in ends if end > at])}
        self._shift(-1)
        before = self._finished()
        self._one(place)
        for pool, was, now in zip(self._pools, before, self._finished(), strict=True):
            for _ in range(now - was):  # at this very moment: none could be finished before
                heapq.heappush(self._ready, at + pool.step.receive + self._thought())
        self._shift(1)
        supply = int(self._supply[place])
        if supply == NONE:
            heapq.heappush(self._ready, at + AGAIN_SECONDS + self._thought())
        elif supply >= len(self._pools):
            heapq.heappush(self._ready, float(self._finish[place]) + self._thought())

    def _finished(self) -> list[int]:
        """Requests that each pool has finished."""
        return [replicas.count(FINISHED) for replicas in self._replicas]

    def _shift(self, sign: int) -> None:
        for (pool, each), ends in self._late.items():
            self._replicas[pool].rows.whole[each][FINISHED] += sign * len(ends)
