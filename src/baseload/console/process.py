"""The console as a child process, so that drawing a page never delays a request. Acts (starts and stops one process).

The child listens on a unix socket in a folder only its owner may enter, and ends when we end, however that happens.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Self

import msgspec

from baseload.child import Child


class Orders(msgspec.Struct, frozen=True):
    """What the child is told: where to listen, which ledger and configuration to read, which run to show first."""

    socket: str
    data_dir: str
    config: str
    run: str = ""


class ConsoleProcess:
    """A running console: forward HTTP/1.1 to `socket`. Leave the `with` block and it is gone."""

    def __init__(self, socket: Path, child: Child) -> None:
        self.socket = socket
        self._child = child

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.alive

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the child and remove its socket. Doing it twice is harmless."""
        self._child.stop()
        shutil.rmtree(self.socket.parent, ignore_errors=True)


def start(directory: Path, config: Path, run: str = "") -> ConsoleProcess:
    """Start a console over the ledger in `directory` with the settings in `config`; returns once it answers.

    `run` is the tag whose calls it shows first, empty for every call. Raises BaseloadError, with the child's own
    message and remedy, when it does not come up.
    """
    # The system's short folder: a unix socket's path may have about a hundred bytes, a data directory any number.
    folder = Path(tempfile.mkdtemp(prefix="baseload-"))
    socket = folder / "console.sock"
    orders = Orders(socket=str(socket), data_dir=str(directory), config=str(config), run=run)
    try:
        return ConsoleProcess(socket, Child("baseload.console", orders))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
