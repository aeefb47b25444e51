"""`python -m baseload.console`: the console on a unix socket. Acts.

    python -m baseload.console --socket PATH --data-dir DIR --config FILE [--run TAG]

Without arguments it is a child: the orders come on stdin, and it ends when stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import msgspec
import uvicorn

from baseload.child import Parent, work_for_parent
from baseload.configuration import read_settings
from baseload.console.app import create_app
from baseload.console.process import Orders
from baseload.console.source import LedgerSource
from baseload.errors import BaseloadError


def main() -> int:
    """Serve until told to stop."""
    if len(sys.argv) == 1:
        # A Ctrl-C in the terminal reaches the whole group; the parent is the one that decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Requests come first: on a busy machine a page waits, not a call.
        os.nice(10)
        work_for_parent(_serve_parent)
        return 0
    try:
        uvicorn.Server(_config(_typed())).run()
    except BaseloadError as error:
        sys.stderr.write(f"error: {error.message}\n next: {error.remedy}\n")
        return error.exit_code
    return 0


def _typed() -> Orders:
    parser = argparse.ArgumentParser(
        prog="python -m baseload.console", description="Serve the console on a unix socket."
    )
    parser.add_argument("--socket", required=True, help="where to listen")
    parser.add_argument("--data-dir", required=True, help="the folder of the ledger")
    parser.add_argument("--config", required=True, help="the configuration file")
    parser.add_argument("--run", default="", help="show the calls of this run first")
    typed = parser.parse_args()
    return Orders(socket=typed.socket, data_dir=typed.data_dir, config=typed.config, run=typed.run)


def _config(orders: Orders) -> uvicorn.Config:
    """The application and how it is served."""
    source = LedgerSource(Path(orders.data_dir), read_settings(Path(orders.config)), first_run=orders.run)
    return uvicorn.Config(create_app(source), uds=orders.socket, log_level="warning", access_log=False, ws="none")


class _Server(uvicorn.Server):
    """A server that tells the parent when it listens, and leaves signals to it."""

    def __init__(self, config: uvicorn.Config, parent: Parent) -> None:
        super().__init__(config)
        self._parent = parent

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._parent.say_ready(self.config.uds)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve_parent(parent: Parent) -> None:
    """Serve until the parent is gone; leave no folder behind for one that was killed."""
    orders = msgspec.json.decode(parent.orders, type=Orders)
    server = _Server(_config(orders), parent)
    serving = asyncio.create_task(server.serve())
    await parent.ended()
    server.should_exit = True
    await serving
    _tidy(Path(orders.socket))


def _tidy(path: Path) -> None:
    """Remove the socket and its folder; whatever else lies there stays."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


if __name__ == "__main__":
    sys.exit(main())
