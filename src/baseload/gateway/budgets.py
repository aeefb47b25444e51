"""Budgets on the request path: which ones count a request, and whether it may be sent. Acts.

`open` begins a reservation, `cover` lets it grow before each try, `Ending.write` settles it. Where the local share is
enough nothing here waits: a look-up of the budgets that match, a price by minute, a subtraction for each.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from baseload.clock import Clock
from baseload.errors import BadConfig, LedgerUnavailable
from baseload.gateway.budgetfile import BudgetFile, in_force
from baseload.gateway.hold import Hold, Short
from baseload.gateway.job import Job
from baseload.gateway.matching import Match, Matching
from baseload.gateway.share import Wanted
from baseload.gateway.shares import TICK_SECONDS, Shares
from baseload.gateway.state import Snapshot
from baseload.ledger.spool import new_crew
from baseload.load.calls import Skip
from baseload.load.facts import Facts, Operation
from baseload.policy.budget import Budget
from baseload.policy.policy import Route
from baseload.settings import Settings
from baseload.wire.asked import Asked
from baseload.wire.capped import capped

log = logging.getLogger(__name__)


class Budgets:
    """The budgets of one process."""

    def __init__(self, settings: Settings, clock: Clock, holder: str = "") -> None:
        self._clock = clock
        self._shares = Shares(settings.directory, settings.store, holder or new_crew())
        self._file = BudgetFile(settings.directory)
        self._configured = settings.budgets
        self._matching = Matching(self._shares)
        self._capping: tuple[Budget, ...] = ()  # those that cap answers
        self._own: tuple[Snapshot | None, frozenset[str]] = (None, frozenset())
        self._ticking: asyncio.Task[None] | None = None
        self._put_in_force(in_force(settings.budgets, self._file.read()))
        self._seen = self._file.stamp()

    @property
    def on(self) -> bool:
        """Whether there is any budget."""
        return bool(self._matching.lines)

    @property
    def caps(self) -> bool:
        """Whether one of them caps the answers of requests."""
        return bool(self._capping)

    def start(self) -> None:
        """Keep shares in order from now on. Wanted a running loop."""
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick())

    def take(self, settings: Settings) -> None:
        """Put the budgets of another configuration in force."""
        self._configured = settings.budgets
        self._put_in_force(in_force(settings.budgets, self._file.read()))

    async def close(self) -> None:
        """Give back what is not spent."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        await self._shares.close()

    # On the way of a request.

    def capped(self, asked: Asked, facts: Facts) -> tuple[Asked, Facts]:
        """The request with a cap on its answer, where it has none and a budget that counts it says one."""
        if not self._capping or asked.output_cap is not None or facts.operation is Operation.COUNT_TOKENS:
            return asked, facts
        caps = [budget.output_tokens for budget in self._capping if budget.counts(facts)]
        if not caps:
            return asked, facts
        with_cap = capped(asked, min(cap for cap in caps if cap is not None))
        return with_cap, msgspec.structs.replace(facts, output_cap=with_cap.output_cap)

    def hold(self, facts: Facts, asked: Asked, snapshot: Snapshot) -> Hold:
        """A reservation that holds nothing yet."""
        known, own = self._own
        if known is not snapshot:
            own = frozenset(route.name for route in snapshot.policy.routes if route.own)
            self._own = (snapshot, own)
        return Hold(self._shares, facts, asked, own)

    def covers(self, hold: Hold, snapshot: Snapshot, route: Route) -> bool:
        """`cover` for the first try of a request; False, and nothing was reserved, where that takes a wait, or a closer
        look at why it cannot be."""
        now = hold.facts.at_ns
        match = self._matching.of(snapshot, hold.facts, route, now)
        if not match.shares:
            hold.covered[route.name] = ()
            return True
        needs = match.needs(hold, now)
        if isinstance(needs, Short) or (match.asks_first and match.unknown):
            return False
        wanted = hold.wanted(route, needs, ())
        if self._shares.take(wanted) is not None:
            return False
        hold.took(wanted)
        return True

    def open(self, job: Job, *, was_capped: bool = False) -> None:
        """Begin the reservation of a request."""
        job.hold = self.hold(job.record.facts, job.asked, job.snapshot)
        if was_capped:
            job.hold.headers = ((b"x-baseload-output-cap", b"%d" % (job.asked.output_cap or 0)),)

    async def cover(self, job: Job, route: Route) -> bool:
        """Reserve what a try on a route may cost; False, and noted, when a budget has no room for it."""
        hold = job.hold
        if hold is None:
            return True
        attempts = job.record.attempts
        now = self._clock.time_ns() if attempts else hold.facts.at_ns
        match = self._matching.of(job.snapshot, hold.facts, route, now)
        if not match.shares:
            hold.covered[route.name] = ()
            return True
        needs = match.needs(hold, now)
        if isinstance(needs, Short):
            _note(job, hold, needs)
            return False
        wanted = hold.wanted(route, needs, attempts)
        if (match.asks_first and match.unknown) or self._shares.take(wanted) is not None:
            short = await self._reserve(route, wanted)
            if short is not None and short.share.full:
                return await self._cover_with_rest(job, route, match)
            if short is not None:
                _note(job, hold, short)
                return False
        hold.took(wanted)
        return True

    async def _cover_with_rest(self, job: Job, route: Route, match: Match) -> bool:
        """The same once more: a value that the ledger keeps no account for is counted with the rest of them."""
        for line, share in zip(match.lines, match.shares, strict=True):
            if share.full:
                line.is_rest(share)
        self._matching.forget()
        return await self.cover(job, route)

    async def _reserve(self, route: Route, wanted: Wanted) -> Short | None:
        try:
            missing = await self._shares.wait(wanted)
        except LedgerUnavailable as error:
            scarce = [share for share, need in wanted if need > share.room]
            refusing = [share for share in scarce if share.budget.unknown == "refuse"]
            if refusing:
                return Short(refusing[0], route.name, 0, error.message)
            missing = self._shares.take(wanted, forced=True)
        return None if missing is None else Short(missing, route.name, dict(wanted)[missing])

    # Beside it.

    def _put_in_force(self, budgets: tuple[Budget, ...]) -> None:
        self._matching.put_in_force(budgets)
        self._capping = tuple(budget for budget in budgets if budget.output_tokens is not None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                stamp = self._file.stamp()
                if stamp != self._seen:
                    self._seen = stamp
                    self._put_in_force(in_force(self._configured, self._file.read()))
                await self._shares.tick(self._clock.time_ns())
            except BadConfig as error:
                log.error("budgets stay as they were: %s", error)
            except Exception:  # the edge of the task: it must outlive what nobody foresaw
                log.exception("budgets could not be kept in order")


def _note(job: Job, hold: Hold, short: Short) -> None:
    """The decision tells which budget kept the request from a route."""
    hold.shorts += (short,)
    decision = job.record.decision
    job.record.decision = msgspec.structs.replace(
        decision,
        routes=tuple(choice for choice in decision.routes if choice.route != short.route),
        skipped=(*decision.skipped, Skip(short.route, short.reason)),
    )
