"""Everything that serves, put together in the order that makes it safe to stop or die at any point. Acts.

Calls of a process that died are recovered before the first new one; the port is bound before anything else is started;
on the way out requests end first, then the console, then the spool is drained into the ledger.
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
from baseload.documents import catalog_of, load_deployments
from baseload.errors import LedgerUnavailable
from baseload.gateway.offers import priced_routes
from baseload.gateway.server import Gateway
from baseload.ledger.drain import Drain, recover
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.spool import Spool
from baseload.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway that answers. `recovered` calls came from processes that had died; `unpriced` offers have no price."""

    gateway: Gateway
    host: str
    port: int
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

    def stop(self) -> None: ...


@asynccontextmanager
async def serving(settings: Settings, start_console: Callable[[], Console] | None = None) -> AsyncIterator[Serving]:
    """Serve while the block runs, then drain. `start_console` may block; without it there is no console.

    Raises AddressTaken, BadConfig or LedgerUnavailable before anything is served.
    """
    clock = settings.clock
    catalog = catalog_of(settings)
    offers, unpriced = priced_routes(settings, catalog, load_deployments(), now(clock).date())
    for key in unpriced:
        log.warning("no book has a price for %s: its calls will be unpriced", key)
    directory = settings.directory
    async with AsyncExitStack() as stack:
        store = open_store(directory)
        stack.callback(store.close)
        spool = Spool(directory)
        drain = Drain(directory, store, spool=spool)
        stack.push_async_callback(_settle, drain, spool)
        gateway = Gateway(settings, offers, clock, spool, ledger=lambda: _state_of(drain, store))
        stack.push_async_callback(gateway.stop)
        host, port = await gateway.start()
        recovered = await asyncio.to_thread(_recover, directory, store)
        drain.start()
        if start_console is not None:
            console = await asyncio.to_thread(start_console)
            stack.push_async_callback(asyncio.to_thread, console.stop)
            gateway.show_console(console.socket)
        # Catalog and libraries are here to stay: a collection during a request need not look through them again.
        gc.collect()
        gc.freeze()
        yield Serving(gateway, host, port, start_console is not None, recovered, unpriced)


async def _settle(drain: Drain, spool: Spool) -> None:
    """Close the spool, then wait until the ledger holds all of it."""
    spool.close()
    await asyncio.to_thread(drain.stop)


def _recover(directory: Path, store: HotStore) -> int:
    """Take over what dead processes left. A store that cannot be written keeps nobody from serving: the drain tries."""
    try:
        return recover(directory, store)
    except LedgerUnavailable as error:
        log.warning("calls of an earlier process wait in the spool: %s", error)
        return 0


def _state_of(drain: Drain, store: HotStore) -> dict[str, object]:
    return {
        "recorded": drain.recorded,
        "behind_bytes": drain.lag,
        "damaged": drain.damaged,
        "lost_bytes": drain.lost_bytes,
        "conflicts": store.conflicts,
        "error": drain.last_error,
    }
