"""One of several processes that serve one port. Acts. `python -m baseload.gateway.worker`

Started by the supervisor, as every child of ours: see `child.py`. It reads no file of the configuration and no book:
what it serves with comes from the supervisor, which also drains its spool. Line by line it is told to take other
settings in two steps, so that all workers take them or none; to show another console; to say how it is; to stop.
"""

from __future__ import annotations

import gc
import shutil
import signal
from functools import partial
from pathlib import Path

import msgspec

from baseload.child import Parent, work_for_parent
from baseload.errors import BaseloadError, ChildFailed
from baseload.gateway.control import ControlPlane
from baseload.gateway.health import WorkerState
from baseload.gateway.loaded import Loaded, decoded
from baseload.gateway.logs import write_logs
from baseload.gateway.reload import PATH, Report
from baseload.gateway.server import Gateway
from baseload.gateway.slots import Slots, Table
from baseload.gateway.upstream import AttemptFailed, Client
from baseload.ledger.spool import Spool
from baseload.upstreams import Timeouts

RELOAD_SECONDS = 60.0


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started with. `loaded` is what it serves with, `began_ns` when a replay of time began; `control`
    is the supervisor's socket, in a `folder` that the workers share; `console` the console's, empty without one."""

    loaded: msgspec.Raw
    began_ns: int
    crew: str
    folder: str
    control: str
    console: str


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make ready to serve with this, and say whether that is possible."""

    number: int
    loaded: msgspec.Raw


class Commit(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Serve with what was prepared, from the next request on."""

    number: int


class Tell(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Say how you are."""

    number: int


class ShowConsole(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send what is not for the data plane to another console."""

    number: int
    socket: str


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take no more requests, let those under way end, and go."""

    number: int
    drain_seconds: float


Order = Prepare | Commit | Tell | ShowConsole | Stop


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to the order of that `number`: why it was not carried out, or nothing."""

    number: int
    failed: str = ""
    remedy: str = ""
    state: WorkerState | None = None


class _Worker:
    """The gateway of this process, and what it is told."""

    def __init__(self, parent: Parent, gateway: Gateway, loaded: Loaded) -> None:
        self._parent = parent
        self._gateway = gateway
        self._serves = loaded
        self._prepared: tuple[int, Loaded] | None = None

    async def obey(self) -> bool:
        """Until told to stop, or until the supervisor is gone (False); then let requests end."""
        read = msgspec.json.Decoder(Order).decode
        while line := await self._parent.told():
            order = read(line)
            if isinstance(order, Stop):
                await self._gateway.stop(order.drain_seconds)
                self._parent.report(Reply(number=order.number))
                return True
            self._parent.report(self._carry_out(order))
        await self._gateway.stop(self._serves.settings.stop.drain_seconds)
        return False

    def _carry_out(self, order: Prepare | Commit | Tell | ShowConsole) -> Reply:
        try:
            if isinstance(order, Prepare):
                loaded = decoded(order.loaded)
                self._gateway.check(loaded)
                self._prepared = (order.number, loaded)
            elif isinstance(order, Commit):
                self._commit(order.number)
            elif isinstance(order, ShowConsole):
                self._gateway.show_console(Path(order.socket))
            else:
                return Reply(number=order.number, state=self._gateway.state())
        except BaseloadError as error:
            return Reply(number=order.number, failed=error.message, remedy=error.remedy)
        return Reply(number=order.number)

    def _commit(self, number: int) -> None:
        if self._prepared is not None and self._prepared[0] == number:
            self._serves = self._prepared[1]
            self._gateway.take(self._serves)
            write_logs(self._serves.settings.log)
        self._prepared = None


async def _work(parent: Parent) -> None:
    orders = msgspec.json.decode(parent.orders, type=Orders)
    loaded = decoded(orders.loaded)
    settings = loaded.settings
    write_logs(settings.log)
    spool = Spool(settings.directory, crew=orders.crew)
    supervisor = ControlPlane(Path(orders.control))
    slots = Slots(Table(Path(orders.folder) / "slots"))
    clock = settings.clock_since(orders.began_ns)
    gateway = Gateway(
        settings, loaded.offers, clock, spool, operations=supervisor.forward, slots=slots, holder=spool.owner
    )
    gateway.admin.reload = partial(_reload, Path(orders.control))
    if orders.console:
        gateway.show_console(Path(orders.console))
    await gateway.start(share=True)
    gc.collect()
    gc.freeze()  # what stands now stays: a collection during a request need not look through it again
    parent.say_ready(gateway.policy)
    try:
        if not await _Worker(parent, gateway, loaded).obey():
            shutil.rmtree(orders.folder, ignore_errors=True)  # nobody else is left to do it
    finally:
        supervisor.close()
        spool.close()


async def _reload(control: Path) -> Report:
    """Have the supervisor read the configuration again. Raises ChildFailed when it does not answer."""
    client = Client("http://supervisor", Timeouts(first_byte=RELOAD_SECONDS), unix=control)
    try:
        with await client.send("POST", PATH, [], b"") as answer:
            return msgspec.json.decode(await answer.read(), type=Report)
    except AttemptFailed as error:
        raise ChildFailed(f"the supervisor does not answer: {error.message}", remedy="Restart the gateway.") from error
    finally:
        client.close()


def main() -> None:
    """The life of a worker. Signals are for the supervisor, which then ends us in order."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    work_for_parent(_work)


if __name__ == "__main__":
    main()
