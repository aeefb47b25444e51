"""A load through own pools and APIs, under the gateway's own policy. Pure: the same seed gives the same answer.

Every request takes the first route that `policy.decide` answers with and that has room. Because own capacity comes
first in merit order while it is not full, a request needs no more than the count of those in flight: `routing.feed`
deals them out, and only those that find no room are weighed between the APIs. `exact` asks the real `decide` for every
request instead; a test holds both equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from baseload.errors import BadInput
from baseload.load.facts import Facts
from baseload.policy.policy import Policy, Route
from baseload.sim.dispatch import Dispatcher
from baseload.sim.engine import ASSIGNED, FINISHED, NONE, NOW, PREEMPTIONS, TOKENS_READ, TOKENS_WRITTEN
from baseload.sim.replica import Kernel, Replicas, Requests, fastest
from baseload.sim.routing import Prefixes, Wanted
from baseload.sim.supplies import Api, Pool, Shift, bound, shifts
from baseload.units import HOURS_PER_DAY, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR
from baseload.usage import Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from baseload.sim.replica import Counts, Floats

# The first of January 1970 was a Thursday.
_EPOCH_WEEKDAY = 3


@dataclass(frozen=True, slots=True)
class Load:
    """Requests from `start_ns` on. `kinds` are the different things that are asked (bucket, model, needs ...), a Facts
    each; `kind` says which of them each request is. `group` are prompts that begin alike, NONE without."""

    start_ns: int
    requests: Requests
    kinds: tuple[Facts, ...]
    kind: Counts
    group: Counts

    @classmethod
    def plain(cls, start_ns: int, requests: Requests, facts: Facts) -> Load:
        """A load of one kind, without prompts that begin alike."""
        count = len(requests)
        return cls(start_ns, requests, (facts,), np.zeros(count, np.int32), np.full(count, NONE, np.int32))

    @property
    def start_hour(self) -> float:
        """The hour of the week at which it starts, Monday 00:00 UTC being 0."""
        hours = self.start_ns / NANOSECONDS_PER_SECOND / SECONDS_PER_HOUR
        return (hours + _EPOCH_WEEKDAY * HOURS_PER_DAY) % (7 * HOURS_PER_DAY)


@dataclass(frozen=True, slots=True)
class PoolUse:
    """What a pool did: seconds paid and busy of its replicas together, requests, tokens read and written."""

    pool: Pool
    paid_seconds: float
    busy_seconds: float
    requests: int
    tokens_read: int
    tokens_written: int
    preemptions: int

    @property
    def idle_seconds(self) -> float:
        return self.paid_seconds - self.busy_seconds


@dataclass(frozen=True, slots=True)
class ApiUse:
    """What an API did, and what it asked for it: None when one request has no price."""

    api: Api
    requests: int
    tokens_in: int
    tokens_out: int
    nanousd: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to each request, by its place: `supply` (the place in `supplies`, NONE when no route had room),
    `first` and `finish` in seconds after the start (NaN when refused), and how often it was started anew."""

    load: Load
    supplies: tuple[str, ...]
    supply: Counts
    first: Floats
    finish: Floats
    restarts: Counts
    pools: tuple[PoolUse, ...]
    apis: tuple[ApiUse, ...]
    ended: float

    @property
    def served(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.supply != NONE
        return found


def simulate(
    load: Load,
    pools: Sequence[Pool],
    apis: Sequence[Api],
    policy: Policy,
    *,
    seed: int = 0,
    exact: bool = False,
    kernel: Kernel | None = None,
) -> Outcome:
    """Run the load. Every route's upstream must be the name of a pool or of an API."""
    named_supplies(pools, apis, policy)
    return Run(load, pools, apis, policy, seed, exact, kernel or fastest()).result()


def named_supplies(pools: Sequence[Pool], apis: Sequence[Api], policy: Policy) -> None:
    """Raise BadInput for supplies of one name, and for routes that lead to none of them."""
    names = [*(each.name for each in pools), *(each.name for each in apis)]
    if len(set(names)) != len(names):
        raise BadInput("two supplies have one name", remedy="Rename one: routes lead to them by name.")
    strangers = sorted({route.upstream for route in policy.routes} - set(names))
    if strangers:
        raise BadInput(
            f"the policy leads to {', '.join(strangers)}, which is not simulated",
            remedy=f"Simulated are {', '.join(names) or 'none'}.",
        )


@dataclass(frozen=True, slots=True)
class _Event:
    """At a time, a replica of a pool begins to serve, stops, or is lost."""

    at: float
    pool: int
    replica: int
    shift: Shift
    begins: bool


class Run:
    """One simulation: columns of requests, pools with their replicas, and who serves when."""

    def __init__(
        self,
        load: Load,
        pools: Sequence[Pool],
        apis: Sequence[Api],
        policy: Policy,
        seed: int,
        exact: bool,
        kernel: Kernel,
    ) -> None:
        self._load, self._pools, self._apis, self._kernel = load, pools, apis, kernel
        requests = load.requests
        # The engine writes into what it is given: a restart moves an arrival, a cold replica has nothing cached.
        own = Requests(requests.arrival.copy(), requests.prompt, requests.output, requests.cached.copy())
        self._columns, self._first, self._finish = kernel.columns(own)
        self._replicas = [kernel.pool(pool.step, pool.replicas) for pool in pools]
        groups = int(load.group.max(initial=NONE)) + 1
        self._prefixes = [self._prefix(groups) for _ in pools]
        self._supply = np.full(len(requests), NONE, np.int32)
        self._restarts = np.zeros(len(requests), np.int32)
        self._routes = {route.name: route for route in policy.routes}
        names = [*(each.name for each in pools), *(each.name for each in apis)]
        self._places = {name: place for place, name in enumerate(names)}
        self._nanousd: list[int | None] = [0] * len(apis)
        mean = round(float(requests.output.mean())) if len(requests) else 0
        self._dispatcher = Dispatcher(policy, load.kinds, {each.name: each.price for each in apis}, mean, exact=exact)
        self._all = np.ones(len(load.kinds), np.int32)
        mine = [route for route in policy.routes if self._places[route.upstream] < len(pools)]
        self._own = [(route, self._dispatcher.admits(route)) for route in mine]
        self._shared = len({route.upstream for route in mine}) < len(mine) or not all(route.own for route in mine)
        until = (float(requests.arrival[-1]) if len(requests) else 0.0) + 1.0
        self._shifts = [
            [
                list(shifts(pool, each, start_hour=load.start_hour, until=until, seed=seed))
                for each in range(pool.replicas)
            ]
            for pool in pools
        ]
        # When a replica had nothing in hand any more, by shift: what it does after the end of one is paid too.
        self._drained: list[list[list[float]]] = [[[] for _ in range(pool.replicas)] for pool in pools]

    def _prefix(self, groups: int) -> Prefixes:
        home = np.full(max(groups, 1), NONE, np.int32)
        return Prefixes(*self._kernel.views(np.ascontiguousarray(self._load.group, np.int32), home))

    def result(self) -> Outcome:
        """Everything in order of time: events cut the arrivals into stretches during which the same replicas serve."""
        arrival, start = self._load.requests.arrival, 0
        for event in self._events():
            end = int(np.searchsorted(arrival, event.at, side="left"))
            self._deal(start, end)
            start = max(start, end)
            self._happen(event)
        self._deal(start, len(arrival))
        for place, pool in enumerate(self._pools):
            for replica in range(pool.replicas):
                self._close(place, replica, math.inf)
        return self._outcome()

    def _events(self) -> list[_Event]:
        found = []
        for pool, replicas in enumerate(self._shifts):
            for replica, each in enumerate(replicas):
                for shift in each:
                    found.append(_Event(shift.serves, pool, replica, shift, begins=True))
                    if shift.end != math.inf:
                        found.append(_Event(shift.end, pool, replica, shift, begins=False))
        return sorted(found, key=lambda each: (each.at, each.shift.start, not each.begins, each.pool, each.replica))

    def _happen(self, event: _Event) -> None:
        """A replica comes or goes. What a lost one had in hand is dispatched anew at once."""
        replicas = self._replicas[event.pool]
        rows = replicas.rows
        rows.serving[event.replica] = int(event.begins)
        if event.begins:
            self._close(event.pool, event.replica, event.at)
            rows.fraction[event.replica][NOW] = max(rows.fraction[event.replica][NOW], event.at)
            return
        if not event.shift.lost:
            return
        replicas.advance(self._kernel, self._columns, event.replica, event.at)
        lost = replicas.unfinished(self._columns, event.replica)
        replicas.clear(event.replica, len(lost))
        for place in lost:
            self._restarts[place] += 1
            self._supply[place] = NONE
            columns = self._columns
            columns.arrival[place], columns.made[place], columns.first[place] = event.at, 0, math.nan
            columns.cached[place] = 0
        for place in lost:
            self._deal(place, place + 1)

    def _close(self, pool: int, replica: int, at: float) -> None:
        """Note when a replica was done with its last shift."""
        self._replicas[pool].advance(self._kernel, self._columns, replica, at)
        self._drained[pool][replica].append(float(self._replicas[pool].rows.fraction[replica][NOW]))

    def _deal(self, start: int, end: int) -> None:
        """Dispatch the requests from `start` to before `end`, between two events.

        Own routes are filled one after the other, in the order of the policy: what one takes depends on nothing that
        comes behind it. Where two routes share a pool that is not so, and each request is dispatched by itself.
        """
        if self._dispatcher.exact or self._shared:
            for place in range(start, end):
                self._one(place)
            return
        for route, admits in self._own:
            self._feed(route, admits, self._slots(route), start, end)
        for place in (start + np.flatnonzero(self._supply[start:end] == NONE)).tolist():
            self._one(place, own=False)

    def _feed(self, route: Route, admits: Counts, slots: int, start: int, end: int) -> None:
        """What a route's pool takes of these requests."""
        pool = self._places[route.upstream]
        each, limit = self._pools[pool], route.context_tokens
        kind, admitted, supply = self._kernel.views(self._load.kind, admits, self._supply)
        self._kernel.feed(
            each.step,
            self._replicas[pool].rows,
            self._columns,
            self._prefixes[pool],
            Wanted(kind, admitted, supply, NONE if limit is None else limit),
            pool,
            each.routing.code,
            slots,
            start,
            end,
        )

    def _slots(self, route: Route) -> int:
        """What may be in flight: what the policy says, and what the replicas that serve take."""
        pool = self._places[route.upstream]
        own = bound(self._pools[pool], int(sum(self._replicas[pool].rows.serving)))
        bounds = [each for each in (own, route.slots) if each is not None and each != NONE]
        return min(bounds) if bounds else NONE

    def _one(self, place: int, *, own: bool = True) -> None:
        """One request by the merit order; without its `own` routes where none of them had room."""
        now = float(self._columns.arrival[place])
        self._dispatcher.free(now)
        slots, down = self._state(now) if own else ({}, frozenset())
        at_ns = self._load.start_ns + round(now * NANOSECONDS_PER_SECOND)
        prompt = int(self._load.requests.prompt[place])
        order = self._dispatcher.order(int(self._load.kind[place]), at_ns, prompt, slots, down, own=own)
        for name in order:
            route = self._routes[name]
            supply = self._places[route.upstream]
            if supply >= len(self._pools):
                self._buy(supply - len(self._pools), route, place, now, at_ns)
                self._supply[place] = supply
                return
            self._feed(msgspec.structs.replace(route, context_tokens=None), self._all, NONE, place, place + 1)
            if self._supply[place] != NONE:
                return

    def _state(self, now: float) -> tuple[dict[str, int | None], frozenset[str]]:
        """What `decide` asks of the pools: slots by route, which are down; the dispatcher hears of those in flight."""
        for pool, replicas in zip(self._pools, self._replicas, strict=True):
            self._dispatcher.in_flight[pool.name] = self._flying(replicas, now)
        mine = [route for route in self._routes.values() if self._places[route.upstream] < len(self._pools)]
        slots = {route.name: None if (most := self._slots(route)) == NONE else most for route in mine}
        pairs = zip(self._pools, self._replicas, strict=True)
        return slots, frozenset(pool.name for pool, each in pairs if not sum(each.rows.serving))

    def _flying(self, replicas: Replicas, now: float) -> int:
        for replica in range(len(replicas.rows.serving)):
            replicas.advance(self._kernel, self._columns, replica, now)
        return replicas.count(ASSIGNED) - replicas.count(FINISHED)

    def _buy(self, api: int, route: Route, place: int, now: float, at_ns: int) -> None:
        each, requests = self._apis[api], self._load.requests
        tokens = int(requests.output[place])
        first = now + each.first_token_seconds
        finish = first + (tokens - 1) / each.tokens_per_second
        self._columns.first[place], self._columns.finish[place] = first, finish
        self._dispatcher.take(route, finish)
        cost = each.price(Usage(input_tokens=int(requests.prompt[place]), output_tokens=tokens), at_ns)
        spent = self._nanousd[api]
        self._nanousd[api] = None if spent is None or cost is None else spent + cost

    def _outcome(self) -> Outcome:
        requests = self._load.requests
        for place, pool in enumerate(self._pools):
            mine = self._supply == place
            self._first[mine] += pool.step.receive
            self._finish[mine] += pool.step.receive
        arrival = float(requests.arrival[-1]) if len(requests) else 0.0
        ended = max(arrival, float(np.nanmax(self._finish, initial=0.0)))
        return Outcome(
            load=self._load,
            supplies=tuple(self._places),
            supply=self._supply,
            first=self._first,
            finish=self._finish,
            restarts=self._restarts,
            pools=tuple(self._use(place, pool, ended) for place, pool in enumerate(self._pools)),
            apis=tuple(self._bought(place, api) for place, api in enumerate(self._apis)),
            ended=ended,
        )

    def _use(self, place: int, pool: Pool, ended: float) -> PoolUse:
        replicas = self._replicas[place]
        paid = sum(
            _paid(stretches, drained[1:], ended)
            for stretches, drained in zip(self._shifts[place], self._drained[place], strict=True)
        )
        return PoolUse(
            pool=pool,
            paid_seconds=paid,
            busy_seconds=replicas.busy,
            requests=int((self._supply == place).sum()),
            tokens_read=replicas.count(TOKENS_READ),
            tokens_written=replicas.count(TOKENS_WRITTEN),
            preemptions=replicas.count(PREEMPTIONS),
        )

    def _bought(self, place: int, api: Api) -> ApiUse:
        mine = self._supply == len(self._pools) + place
        requests = self._load.requests
        return ApiUse(
            api,
            int(mine.sum()),
            int(requests.prompt[mine].sum()),
            int(requests.output[mine].sum()),
            self._nanousd[place],
        )


def _paid(stretches: Sequence[Shift], drained: Sequence[float], ended: float) -> float:
    """Seconds of a replica that are paid: its shifts, and what it still had in hand at the end of each.

    `drained` is when it was done, shift by shift; the next shift's own start ends what the one before is paid for.
    """
    seconds = 0.0
    for place, (shift, done) in enumerate(zip(stretches, drained, strict=True)):
        follows = stretches[place + 1].start if place + 1 < len(stretches) else math.inf
        end = ended if shift.end == math.inf else max(shift.end, min(done, follows))
        seconds += end - shift.start
    return seconds
