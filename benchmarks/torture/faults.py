"""What goes wrong, and when: a schedule that follows from the seed, and the hands that carry it out. Acts."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2 as httpx
import msgspec

from baseload.ledger.segments import owners, segments
from benchmarks.torture.stage import Stage
from benchmarks.torture.upstream import Storm

# Every so many seconds on average, by kind; shorter runs have each at least once.
EVERY = {
    "worker killed": 10.0,
    "gateway killed": 150.0,
    "supervisor killed": 200.0,
    "database locked": 40.0,
    "database killed": 75.0,
    "database frozen": 100.0,
    "disk full": 60.0,
    "clock jumped": 30.0,
    "retry storm": 40.0,
    "segment delivered twice": 20.0,
    "verb beside": 15.0,
}
VERBS = (("budget", "list"), ("ledger", "query", "--by", "team,model"), ("ledger", "status"), ("key", "list"))
OF_POSTGRES = ("database killed", "database frozen")
TROUBLE = ("gateway killed", "supervisor killed", "database locked", "disk full", "clock jumped", *OF_POSTGRES)
TWICE = "twice"
JUMPS = (-86_400, -7_200, -61, 0, 0, 61, 3_700, 90_000)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens `at` so many seconds; `value` is a number from 0 to 1 that says how."""

    at: float
    kind: str
    value: float


def schedule(
    seed: int, seconds: float, *, postgres: bool, clock: bool, kinds: Collection[str] = tuple(EVERY)
) -> list[Fault]:
    """The faults of a run, in order. The same seed is the same schedule."""
    chance = random.Random(seed)
    found = []
    for kind, every in EVERY.items():
        if (kind in OF_POSTGRES and not postgres) or (kind == "clock jumped" and not clock):
            continue
        if kind not in kinds:
            continue
        count = max(1, round(seconds / every))
        found += [Fault(chance.uniform(0.05, 0.95) * seconds, kind, chance.random()) for _ in range(count)]
    return sorted(found, key=lambda fault: fault.at)


@dataclass
class Hands:
    """Carries faults out, several at once where they come so."""

    stage: Stage
    done: Counter[str] = field(default_factory=Counter)
    troubled: list[tuple[float, float]] = field(default_factory=list)  # when the store or the whole gateway was away
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def carry_out(self, faults: list[Fault]) -> None:
        """All of them, each at its time; returns when the last has ended and the gateway serves."""
        began = time.monotonic()
        for fault in faults:
            await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
            self._tasks.append(asyncio.create_task(asyncio.to_thread(self._do, fault)))
        await asyncio.gather(*self._tasks)
        self.stage.clock.set(0)

    def _do(self, fault: Fault) -> None:
        kinds: dict[str, Callable[[float], bool]] = {
            "worker killed": self._kill_worker,
            "gateway killed": lambda _: self._kill_gateway(all_of_it=True),
            "supervisor killed": lambda _: self._kill_gateway(all_of_it=False),
            "database locked": self._lock,
            "database killed": self._kill_database,
            "database frozen": self._freeze,
            "disk full": self._fill,
            "clock jumped": self._jump,
            "retry storm": self._storm,
            "segment delivered twice": self._deliver_twice,
            "verb beside": self._run_verb,
        }
        began = time.monotonic()
        if kinds[fault.kind](fault.value):
            self.done[fault.kind] += 1
        if fault.kind in TROUBLE:
            self.troubled.append((began, time.monotonic()))

    def _kill_worker(self, value: float) -> bool:
        with self.stage.starting:  # a gateway of which a worker dies before it serves does not start
            workers = self.stage.gateway.workers
            if not workers:
                return False
            with suppress(ProcessLookupError):
                os.kill(workers[int(value * len(workers))], signal.SIGKILL)
            return True

    def _kill_gateway(self, *, all_of_it: bool) -> bool:
        with self.stage.changing, self.stage.starting:
            self.stage.gateway.kill(all_of_it=all_of_it)
            self.stage.gateway.start()
        return True

    def _lock(self, value: float) -> bool:
        self.stage.database.lock(1 + 5 * value)
        return True

    def _kill_database(self, value: float) -> bool:
        with self.stage.changing:
            self.stage.database.kill(3 * value)
        return True

    def _freeze(self, value: float) -> bool:
        with self.stage.changing:
            self.stage.database.freeze(1 + 3 * value)
        return True

    def _fill(self, value: float) -> bool:
        with self.stage.changing:  # a gateway does not start on a full disk
            self.stage.disk.fill(self.stage.processes)
            time.sleep(0.5 + 3 * value)
            self.stage.disk.free(self.stage.processes)
        return True

    def _jump(self, value: float) -> bool:
        self.stage.clock.set(JUMPS[int(value * len(JUMPS))])
        return True

    def _storm(self, value: float) -> bool:
        for name, port in self.stage.ports.items():
            if value > 0.5 or name == "alpha":
                storm = msgspec.json.encode(Storm(1 + 4 * value, 0.7))
                httpx.post(f"http://127.0.0.1:{port}/storm", content=storm)
        return True

    def _run_verb(self, value: float) -> bool:
        """Another program opens the ledger beside the gateway, and leaves it. What it says of one that is locked, full
        or away is its own affair; what it leaves behind is not."""
        self.stage.gateway.beside(*VERBS[int(value * len(VERBS))])
        return True

    def _deliver_twice(self, value: float) -> bool:
        """Put what stands in a worker's spool into the folder once more, as that of a worker that has died."""
        folder = self.stage.spool
        found = [path for owner in owners(folder) for path in segments(folder, owner)]
        if not found:
            return False
        copy = folder / f"{TWICE}-{secrets.token_hex(4)}.00000000.calls"
        draft = copy.with_suffix(".draft")
        try:
            data = found[int(value * len(found))].read_bytes()
            draft.write_bytes(data)
            draft.replace(copy)
        except OSError:  # it was drained meanwhile, or the disk is full
            draft.unlink(missing_ok=True)
            return False
        return bool(data)
