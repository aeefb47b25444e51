"""A gateway in this process alone, put together in the order that makes it safe to stop or die at any point. Acts.

Calls of a process that died are recovered before the first new one; the port is bound before anything else is started;
on the way out requests end first, then the console, then the spool is drained into the ledger. The demo and tests run
it; `baseload serve` runs processes (`supervisor.py`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from baseload.clock import now
from baseload.errors import LedgerUnavailable
from baseload.gateway.health import Status, WorkerState
from baseload.gateway.loaded import load
from baseload.gateway.metrics import Metrics
from baseload.gateway.server import Gateway
from baseload.gateway.telling import Telling
from baseload.gateway.watch import Watch
from baseload.ledger.drain import Drain, Tell, recover
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.spool import Spool
from baseload.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway that answers. `recovered` calls came from processes that had died; `unpriced` offers have no price."""

    host: str
    port: int
    policy: str
    console: bool
    recovered: int
    unpriced: tuple[str, ...]

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class Console(Protocol):
    """A console that listens on a unix socket until it is stopped."""

    @property
    def socket(self) -> Path: ...

    @property
    def alive(self) -> bool: ...

    def stop(self) -> None: ...


@asynccontextmanager
async def serving(settings: Settings, start_console: Callable[[], Console] | None = None) -> AsyncIterator[Serving]:
    """Serve while the block runs, then drain. `start_console` may block; without it there is no console.

    Raises AddressTaken, BadConfig or LedgerUnavailable before anything is served.
    """
    clock = settings.clock
    loaded = load(settings, now(clock).date())
    for key in loaded.unpriced:
        log.warning("no book has a price for %s: its calls will be unpriced", key)
    directory = settings.directory
    metrics = Metrics(route.name for route in settings.policy.routes if route.own)
    async with AsyncExitStack() as stack:
        store = open_store(directory, settings.store)
        stack.callback(store.close)
        telling = Telling(metrics, settings.otel)
        stack.callback(telling.close)
        spool = Spool(directory)
        drain = Drain(directory, store, spool=spool, tell=telling)
        stack.push_async_callback(_settle, drain, spool)

        async def ask() -> list[WorkerState]:
            return [gateway.state()]

        status = Status(loaded, metrics, ask, lambda: ledger_state(drain, store))
        gateway = Gateway(settings, loaded.offers, clock, spool, operations=status.answer, holder=spool.owner)
        stack.push_async_callback(gateway.stop, settings.stop.drain_seconds)
        host, port = await gateway.start()
        found = await asyncio.to_thread(recovered, directory, store, telling)
        drain.start()
        watch = Watch(loaded, telling, status)
        stack.push_async_callback(watch.stop)
        watch.start()
        if start_console is not None:
            console = await asyncio.to_thread(start_console)
            stack.push_async_callback(asyncio.to_thread, console.stop)
            gateway.show_console(console.socket)
        # Catalog and libraries are here to stay: a collection during a request need not look through them again.
        gc.collect()
        gc.freeze()
        yield Serving(host, port, gateway.policy, start_console is not None, found, loaded.unpriced)


def recovered(directory: Path, store: HotStore, tell: Tell) -> int:
    """Take over what dead processes left. A store that cannot be written keeps nobody from serving: the drain tries."""
    try:
        return recover(directory, store, tell)
    except LedgerUnavailable as error:
        log.warning("calls of an earlier process wait in the spool: %s", error)
        return 0


def ledger_state(drain: Drain, store: HotStore) -> dict[str, object]:
    """What /healthz says of the ledger."""
    return {
        "recorded": drain.recorded,
        "behind_bytes": drain.lag,
        "damaged": drain.damaged,
        "lost_bytes": drain.lost_bytes,
        "conflicts": store.conflicts,
        "error": drain.last_error,
    }


async def _settle(drain: Drain, spool: Spool) -> None:
    """Close the spool, then wait until the ledger holds all of it."""
    spool.close()
    await asyncio.to_thread(drain.stop)
