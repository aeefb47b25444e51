"""Hours that are over go into the lake while a gateway serves. Acts: a process does it that lives for one round.

No request and no worker has a part in it. What fails is logged and tried again; calls are safe where they are.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec

from baseload.clock import Clock
from baseload.ledger.lake import HOUR_NS
from baseload.ledger.sealer import Done, Orders
from baseload.settings import Settings
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_MINUTE

log = logging.getLogger(__name__)

GRACE_NS = 15 * SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND
"""How long an hour stays open after its end: calls that began in it are still under way."""
LOOK_SECONDS = 5.0
RETRY_SECONDS = 300.0


class Sealing:
    """Looks whether an hour is over, and has it sealed. Where the settings in force name no lake it does nothing."""

    def __init__(self, settings: Callable[[], Settings], clock: Clock, look_seconds: float = LOOK_SECONDS) -> None:
        self._settings = settings
        self._clock = clock
        self._look_seconds = look_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Needs a running loop."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """End, a round that is under way too."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        sealed = 0
        while True:
            await asyncio.sleep(self._look_seconds)
            hour, settings = (self._clock.time_ns() - GRACE_NS) // HOUR_NS, self._settings()
            if hour == sealed or not settings.lake:
                continue
            try:
                done = await _round(settings, hour * HOUR_NS)
            except (OSError, msgspec.MsgspecError) as error:
                done = Done(failed=f"the process that seals ended without a word: {error}")
            if done.failed:
                log.error("hours could not be sealed: %s", done.failed)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            sealed = hour
            log.info(
                "sealed %d calls, merged %d files; %d calls left the hot store, %d the lake",
                *(done.sealed, done.merged, done.hot, done.lake),
            )


async def _round(settings: Settings, before_ns: int) -> Done:
    kept = settings.retention
    orders = Orders(
        directory=str(settings.directory),
        store=settings.store,
        lake=settings.lake,
        before_ns=before_ns,
        hot_days=kept.hot_days,
        lake_days=kept.lake_days,
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "baseload.ledger.sealer"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, _ = await process.communicate(msgspec.json.encode(orders) + b"\n")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return msgspec.json.decode(said, type=Done)
