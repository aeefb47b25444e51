"""Whether the gateway lives, is ready, and what it counts: /healthz, /readyz, /metrics over all workers. No I/O.

One process answers for all: the supervisor, which asks each worker; or the gateway itself where it is the only one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from baseload import __version__
from baseload.gateway import metrics
from baseload.gateway.http import JSON, Exchange, Handler, Request
from baseload.gateway.loaded import Loaded
from baseload.gateway.metrics import Labels, Metrics, Samples

HEALTH = "/healthz"
READY = "/readyz"
METRICS = "/metrics"
PATHS = (HEALTH, READY, METRICS)

Phase = Literal["starting", "serving", "draining"]


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker says of itself. `usable` is whether any upstream of its routes is not left out for failing,
    `unfinished` how many answers upstreams still make in the background."""

    policy: str
    writable: bool
    usable: bool
    in_flight: dict[str, int]
    left_out: tuple[str, ...]
    calls_written: int
    calls_unwritten: int
    unpriced: int
    unfinished: int = 0


class Reload(msgspec.Struct, frozen=True, kw_only=True):
    """How the last reload went. `ok` is False when it was refused, `error` says why; the old settings then stand."""

    ok: bool
    at: datetime
    error: str = ""
    in_force_since: datetime


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The body of /healthz, of all workers together. `ok` is False when one of them does not answer, or could not
    write a call down: answers are then withheld."""

    ok: bool
    policy: str
    spool: str
    ledger: Mapping[str, object]
    in_flight: Mapping[str, int]
    calls_written: int
    calls_unwritten: int
    unpriced: int
    unfinished: int
    workers: int
    restarts: int
    reload: Reload


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The body of /readyz."""

    ready: bool
    reason: str = ""


class Status:
    """What the process that answers for all knows by itself. `ask` asks every worker that should be there for its
    state: None for one that does not answer."""

    def __init__(
        self,
        loaded: Loaded,
        metrics: Metrics,
        ask: Callable[[], Awaitable[Sequence[WorkerState | None]]],
        ledger: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self.loaded = loaded
        self.metrics = metrics
        self.ask = ask
        self.ledger = ledger
        self.budgets: Callable[[], Samples] = dict
        self.phase: Phase = "serving"
        self.restarts = 0
        self.unwritten_by_dead = 0
        now = datetime.now(UTC)
        self.reload = Reload(ok=True, at=now, in_force_since=now)

    async def answer(self, request: Request, exchange: Exchange) -> None:
        """Answer one of PATHS."""
        states = await self.ask()
        if request.path == HEALTH:
            health = self.health(states)
            await exchange.respond(200 if health.ok else 503, [JSON], msgspec.json.encode(health))
        elif request.path == READY:
            ready = self.readiness(states)
            await exchange.respond(200 if ready.ready else 503, [JSON], msgspec.json.encode(ready))
        else:
            is_open = metrics.wants_open_metrics(request.header(b"accept") or b"")
            body = self.metrics.text(self.samples(states), open_metrics=is_open)
            kind = metrics.OPEN if is_open else metrics.PLAIN
            await exchange.respond(200, [(b"content-type", kind)], body)

    def health(self, states: Sequence[WorkerState | None]) -> Health:
        """All workers together."""
        alive = [state for state in states if state is not None]
        silent = len(states) - len(alive)
        writable = all(state.writable for state in alive)
        trouble = f"{silent} of {len(states)} workers do not answer" if silent else ""
        if not writable:
            trouble = "the last call could not be written"
        return Health(
            ok=bool(alive) and not trouble,
            policy=alive[0].policy if alive else "",
            spool=trouble or "ok",
            ledger=self.ledger(),
            in_flight={name: count for name, count in in_flight(alive).items() if count},
            calls_written=sum(state.calls_written for state in alive),
            calls_unwritten=sum(state.calls_unwritten for state in alive) + self.unwritten_by_dead,
            unpriced=sum(state.unpriced for state in alive),
            unfinished=sum(state.unfinished for state in alive),
            workers=len(alive),
            restarts=self.restarts,
            reload=self.reload,
        )

    def readiness(self, states: Sequence[WorkerState | None]) -> Readiness:
        """Whether requests should be sent here."""
        if self.phase != "serving":
            return Readiness(ready=False, reason=self.phase)
        alive = [state for state in states if state is not None]
        if not alive:
            return Readiness(ready=False, reason="no worker answers")
        if not any(state.usable for state in alive):
            return Readiness(ready=False, reason="no upstream is usable")
        if not any(state.writable for state in alive):
            return Readiness(ready=False, reason="calls cannot be written to the ledger")
        return Readiness(ready=True)

    def samples(self, states: Sequence[WorkerState | None]) -> Samples:
        """The gauges of this moment, and what is counted elsewhere than in calls."""
        alive = [state for state in states if state is not None]
        ledger = self.ledger()
        found: dict[metrics.Family, Mapping[Labels, float]] = {
            metrics.UNWRITTEN: {(): sum(state.calls_unwritten for state in alive) + self.unwritten_by_dead},
            metrics.WORKERS: {(): len(alive)},
            metrics.RESTARTS: {(): self.restarts},
            metrics.RELOADED: {(): int(self.reload.ok)},
            metrics.RELOADED_AT: {(): self.reload.in_force_since.timestamp()},
            metrics.BUILD: {(__version__,): 1},
        }
        for family, name in _OF_LEDGER.items():
            value = ledger.get(name)
            if isinstance(value, int):
                found[family] = {(): value}
        oldest = self.loaded.oldest_price
        if oldest is not None:
            begun = datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC)
            found[metrics.CATALOG_AGE] = {(): int(time.time() - begun.timestamp())}
        found.update(self._upstreams(alive))
        found.update(self.budgets())
        return found

    def _upstreams(self, alive: Sequence[WorkerState]) -> Samples:
        busy = in_flight(alive)
        left_out = {name for state in alive for name in state.left_out}
        names = [upstream.name for upstream in self.loaded.settings.upstreams]
        slots = {
            route.upstream: route.slots for route in self.loaded.settings.policy.routes if route.own and route.slots
        }
        return {
            metrics.IN_FLIGHT: {(name,): busy[name] for name in names},
            metrics.BREAKER: {(name,): int(name in left_out) for name in names},
            metrics.UTILIZATION: {(name,): busy[name] / count for name, count in slots.items()},
        }


_OF_LEDGER = {metrics.BEHIND: "behind_bytes", metrics.LOST: "lost_bytes", metrics.CONFLICTS: "conflicts"}


def in_flight(states: Sequence[WorkerState]) -> Counter[str]:
    """Requests at each upstream, of all workers."""
    total: Counter[str] = Counter()
    for state in states:
        total.update(state.in_flight)
    return total


def of_one(state: Callable[[], WorkerState], loaded: Loaded) -> Handler:
    """Answers for a gateway that is the only one, and counts no calls."""

    async def ask() -> list[WorkerState]:
        return [state()]

    return Status(loaded, Metrics(), ask).answer
