"""Several workers on one port, and what there is one of: drain, console, configuration, metrics. Acts.

The supervisor serves no request. It holds the port, starts the workers and starts those again that die, moves their
spools into the ledger, and answers on a unix socket what is asked of all of them together. Killed, it takes nothing
along: the workers end when its pipes close, and their spools are recovered at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from baseload.clock import now
from baseload.configuration import read_settings
from baseload.errors import BaseloadError
from baseload.gateway.crew import Crew
from baseload.gateway.health import Reload, Status, WorkerState
from baseload.gateway.http import JSON, Exchange, Request, serve_unix
from baseload.gateway.loaded import Loaded, encoded, load
from baseload.gateway.logs import write_logs
from baseload.gateway.metrics import Metrics
from baseload.gateway.port import reserved
from baseload.gateway.reload import PATH, Report, Stamp, changed, keeping_fixed, stamp
from baseload.gateway.run import Console, Serving, ledger_state, recovered
from baseload.gateway.sealing import Sealing
from baseload.gateway.telling import Telling
from baseload.gateway.watch import Watch
from baseload.gateway.worker import Orders
from baseload.ledger.drain import Drain
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.spool import new_crew
from baseload.policy.policy import version
from baseload.settings import Settings

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
OLD_SECONDS = 60.0

StartConsole = Callable[[Settings], Console]


@asynccontextmanager
async def supervising(
    settings: Settings, config: Path, start_console: StartConsole | None = None
) -> AsyncIterator[Supervisor]:
    """Serve while the block runs, with as many workers as the settings say; then let requests end, and drain.

    `config` is the file that the settings were read from. Raises AddressTaken, BadConfig, LedgerUnavailable or
    ChildFailed before anything is served.
    """
    async with AsyncExitStack() as stack:
        host, port = stack.enter_context(reserved(*settings.address))
        settings = msgspec.structs.replace(settings, listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        loaded = await asyncio.to_thread(load, settings, now(settings.clock).date())
        for key in loaded.unpriced:
            log.warning("no book has a price for %s: its calls will be unpriced", key)
        folder = Path(tempfile.mkdtemp(prefix="baseload-"))  # short: a unix socket's path may have a hundred bytes
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        store = open_store(settings.directory, settings.store)
        stack.callback(store.close)
        supervisor = Supervisor(loaded, config, folder, store, start_console)
        stack.push_async_callback(supervisor.stop)
        await supervisor.start()
        yield supervisor


class Supervisor:
    """A gateway of several processes that answers. Requests under way end in `stop`."""

    def __init__(
        self, loaded: Loaded, config: Path, folder: Path, store: HotStore, start_console: StartConsole | None
    ) -> None:
        settings = loaded.settings
        self._name = new_crew()
        self._began_ns = time.monotonic_ns()
        self._folder = folder
        self._control = folder / "control.sock"
        self._config = config
        self._start_console = start_console
        self._console: Console | None = None
        self._store = store
        self._metrics = Metrics(_own_routes(settings))
        self._telling = Telling(self._metrics, settings.otel)
        self._drain = Drain(settings.directory, store, crew=self._name, tell=self._telling)
        self._crew = Crew(settings.workers, self._orders, self._died)
        self._status = Status(loaded, self._metrics, self._crew.ask, lambda: ledger_state(self._drain, store))
        self._status.phase = "starting"
        self._written = settings  # what the file said when it was last put in force
        self._seen: Stamp = ()
        self._reloading = asyncio.Lock()
        self._stack = AsyncExitStack()
        self.recovered = 0

    @property
    def serving(self) -> Serving:
        """Where it answers."""
        loaded = self._status.loaded
        host, port = loaded.settings.address
        return Serving(
            host=host,
            port=port,
            policy=version(loaded.settings.policy),
            console=self._console is not None,
            recovered=self.recovered,
            unpriced=loaded.unpriced,
        )

    async def start(self) -> None:
        """Recover what dead processes left, then start everything."""
        settings = self._status.loaded.settings
        self.recovered = await asyncio.to_thread(recovered, settings.directory, self._store, self._telling)
        self._drain.start()
        server = await serve_unix(self._answer, self._control)
        self._stack.push_async_callback(server.drain, 0.1)
        if self._start_console is not None:
            self._console = await asyncio.to_thread(self._start_console, settings)
        await self._crew.start()
        self._written = await asyncio.to_thread(_as_written, self._config, settings)
        self._seen = stamp(self._config, settings)
        self._stack.callback(asyncio.create_task(self._watch()).cancel)
        self._stack.callback(asyncio.create_task(self._keep_console()).cancel)
        watch = Watch(self._status.loaded, self._telling, self._status)
        self._stack.push_async_callback(watch.stop)
        watch.start()
        sealing = Sealing(lambda: self._status.loaded.settings, settings.clock)
        self._stack.push_async_callback(sealing.stop)
        sealing.start()
        self._status.phase = "serving"

    async def stop(self) -> None:
        """Say that it is not ready, let requests end, then the console; drain the rest."""
        how = self._status.loaded.settings.stop
        if self._status.phase == "serving":
            self._status.phase = "draining"
            await asyncio.sleep(how.grace_seconds)
        await self._crew.stop(how.drain_seconds)
        await self._stack.aclose()
        if self._console is not None:
            await asyncio.to_thread(self._console.stop)
        await asyncio.to_thread(self._drain.stop)
        self._telling.close()

    async def reload(self) -> Report:
        """Read the configuration again and put it in force everywhere, or keep the one there is and say why."""
        async with self._reloading:
            before = self._status.loaded
            self._seen = stamp(self._config, before.settings)
            try:
                report = await self._reload(before)
            except BaseloadError as error:
                log.error("the configuration stays as it was: %s. %s", error.message.rstrip("."), error.remedy)
                report = Report(
                    ok=False, policy=version(before.settings.policy), error=error.message, remedy=error.remedy
                )
            at = datetime.now(UTC)
            since = at if report.ok else self._status.reload.in_force_since
            self._status.reload = Reload(ok=report.ok, at=at, error=report.error, in_force_since=since)
            return report

    async def _reload(self, before: Loaded) -> Report:
        written = await asyncio.to_thread(read_settings, self._config)
        settings, needs_restart = keeping_fixed(before.settings, written, self._written)
        after = await asyncio.to_thread(load, settings, now(settings.clock).date())
        await self._crew.take(encoded(after), lambda: self._commit(after))
        self._seen = stamp(self._config, settings)
        report = Report(
            ok=True,
            policy=version(settings.policy),
            changed=changed(before.settings, settings),
            needs_restart=needs_restart,
        )
        log.warning("the configuration was read again: policy %s, changed: %s", report.policy, report.changed or "-")
        if needs_restart:
            log.warning("%s: a restart is needed for the new value", ", ".join(needs_restart))
        if before.settings != settings:
            await self._renew_console(settings)
        return report

    def _commit(self, after: Loaded) -> None:
        self._status.loaded = after
        self._metrics.own_routes = _own_routes(after.settings)
        write_logs(after.settings.log)

    async def _renew_console(self, settings: Settings) -> None:
        """Another console that has read the new configuration; the old one until it answers."""
        if self._start_console is None:
            return
        old = self._console
        try:
            self._console = await asyncio.to_thread(self._start_console, settings)
        except BaseloadError as error:
            log.error("another console does not start: %s", error)
            return
        await self._crew.show_console(str(self._console.socket))
        if old is not None:
            await asyncio.to_thread(old.stop)

    async def _watch(self) -> None:
        """Reload when one of the files changes."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if stamp(self._config, self._status.loaded.settings) != self._seen:
                await self.reload()

    async def _keep_console(self) -> None:
        """Put another console in the place of one that died; more slowly while they keep dying."""
        loop, pause = asyncio.get_running_loop(), WATCH_SECONDS
        since = loop.time()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._console is None or self._console.alive:
                continue
            pause = WATCH_SECONDS if loop.time() - since > OLD_SECONDS else min(pause * 2, LONGEST_PAUSE_SECONDS)
            log.error("the console died; another takes its place in %.0f s", pause)
            await asyncio.sleep(pause)
            async with self._reloading:
                if not self._console.alive:  # a reload may have been faster
                    await self._renew_console(self._status.loaded.settings)
            since = loop.time()

    async def _answer(self, request: Request, exchange: Exchange) -> None:
        """What the workers forward."""
        if request.path == PATH and request.method == "POST":
            await exchange.respond(200, [JSON], msgspec.json.encode(await self.reload()))
        else:
            await self._status.answer(request, exchange)

    def _orders(self) -> Orders:
        return Orders(
            loaded=msgspec.Raw(encoded(self._status.loaded)),
            began_ns=self._began_ns,
            crew=self._name,
            folder=str(self._folder),
            control=str(self._control),
            console=str(self._console.socket) if self._console is not None else "",
        )

    def _died(self, last: WorkerState | None) -> None:
        self._status.restarts += 1
        if last is not None:
            self._status.unwritten_by_dead += last.calls_unwritten


def _own_routes(settings: Settings) -> frozenset[str]:
    return frozenset(route.name for route in settings.policy.routes if route.own)


def _as_written(config: Path, settings: Settings) -> Settings:
    """What the file says, without what the command line changed."""
    with suppress(BaseloadError):
        return read_settings(config)
    return settings
