"""Figures from a ledger: cheap questions asked with the page, dear ones answered in a thread. Acts (reads it).

Nothing is asked twice of a ledger that has not grown. Repricing and the decision follow a growing ledger with a pause
between two rounds that is long against their own duration, so that a busy machine is not kept busy by being watched.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from baseload.console.figures import Figures
from baseload.console.outlook import Outlook
from baseload.console.reading import Reader, of_run
from baseload.console.study import Market, Study, market
from baseload.errors import LedgerUnavailable, NotEnoughData
from baseload.ledger import query
from baseload.ledger.hot import FILE, HotStore, open_store
from baseload.settings import Settings

log = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
# A round is followed by a pause of at least this many times its own length.
_REST = 4
# Runs that are followed at the same time, and states of the page that are kept.
_FOLLOWED, _KEPT = 8, 32
_ALARM = "The ledger could not be read to the end; trying again."


@dataclass(slots=True)
class _Followed:
    """A run, the newest outlook on it, the round that is under way, and when the next may begin."""

    study: Study | None = None
    outlook: Outlook | None = None
    trouble: str = ""
    round: Future[None] | None = None
    due: float = 0.0


class LedgerSource:
    """The figures of a folder's ledger under a configuration. Close it when done.

    `first_run` is what is shown when a reader names no run; `pause_seconds` is the least time between two rounds.
    """

    def __init__(
        self, directory: Path, settings: Settings, *, first_run: str = "", pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._reader = Reader(directory, settings)
        self._first_run = first_run
        self._pause_seconds = pause_seconds
        self._store: HotStore | None = None
        self._inode: int | None = None
        self._market: Market | None = None
        self._runs: OrderedDict[str, _Followed] = OrderedDict()
        self._states: OrderedDict[tuple[str, str], Figures] = OrderedDict()
        self._lock = threading.Lock()
        # One thread: rounds follow one another, whatever the number of readers.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="study")

    async def figures(self, run: str | None, by: str, patience: float = 0.0) -> Figures:
        """The figures of a run (None: the first to show, empty: every call). Waits up to `patience` seconds for the
        dear part when there is none yet. Raises LedgerUnavailable."""
        state = await asyncio.to_thread(self._figures, self._first_run if run is None else run, by, patience)
        # The first run may have its calls still to come; another one is a name that was never metered.
        return replace(state, missing=True) if state.empty and state.run not in ("", self._first_run) else state

    def close(self) -> None:
        """Wait for the round under way and let go of the ledger."""
        self._worker.shutdown(cancel_futures=True)
        self._forget()

    def _figures(self, run: str, by: str, patience: float) -> Figures:
        try:
            with self._lock:
                store = self._opened()
                at = query.position(store) if store is not None else 0
                followed = self._follow(run, store, at) if store is not None and at else None
            if store is None or followed is None:
                return self._reader.nothing(run, by)
            if followed.outlook is None and followed.round is not None:
                wait([followed.round], patience)
            with self._lock:
                return self._state(store, run, by, followed)
        except LedgerUnavailable:
            with self._lock:
                self._forget()
            raise

    def _opened(self) -> HotStore | None:
        """The ledger, None when nothing was ever metered there. One that was replaced is another ledger."""
        inode = None if self._settings.store else _inode(self._directory / FILE)
        if inode != self._inode:
            self._forget()
            self._inode = inode
        if self._store is None:
            try:
                self._store = open_store(self._directory, self._settings.store, read_only=True)
            except NotEnoughData:
                return None
        return self._store

    def _forget(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        self._runs.clear()
        self._states.clear()

    def _follow(self, run: str, store: HotStore, at: int) -> _Followed:
        """The followed run; a round is begun when the ledger has grown and the pause is over."""
        followed = self._runs.setdefault(run, _Followed())
        self._runs.move_to_end(run)
        while len(self._runs) > _FOLLOWED:
            self._runs.popitem(last=False)
        if followed.round is not None and followed.round.done():
            finished, followed.round = followed.round, None
            finished.result()
        seen = followed.outlook.position if followed.outlook is not None else -1
        if followed.round is None and at != seen and time.monotonic() >= followed.due:
            followed.round = self._worker.submit(self._study, run, followed, store)
        return followed

    def _study(self, run: str, followed: _Followed, store: HotStore) -> None:
        """One round, in the worker's thread."""
        began = time.monotonic()
        if self._market is None:
            self._market = market(self._settings)
        if followed.study is None:
            followed.study = Study(self._market, of_run(run))
        try:
            followed.outlook = followed.study.follow(store)
            followed.trouble = ""
        except LedgerUnavailable as error:
            log.warning("%s", error)
            followed.trouble = _ALARM
            followed.study = None
        finally:
            if store is not self._store:
                store.close()  # it was let go of meanwhile
        ended = time.monotonic()
        followed.due = ended + max(self._pause_seconds, _REST * (ended - began))

    def _state(self, store: HotStore, run: str, by: str, followed: _Followed) -> Figures:
        """One state of the page; kept, so that readers who see nothing new cost nothing."""
        study = followed.outlook.position if followed.outlook is not None else 0
        mark = f"{study}{'!' if followed.trouble else ''}"
        kept = self._states.get((run, by))
        with store.moment() as moment:
            version = f"{query.position(moment)}.{mark}"
            if kept is not None and kept.version == version:
                return kept
            state = self._reader.read(moment, run, by, version, followed.outlook, followed.trouble)
        self._states[run, by] = state
        while len(self._states) > _KEPT:
            self._states.popitem(last=False)
        return state


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
