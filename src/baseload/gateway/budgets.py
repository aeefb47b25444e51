"""Budgets on the request path: which ones count a request, and whether it may be sent. Acts.

`open` begins a reservation, `cover` lets it grow before each try, `Ending.write` settles it. Where the local share is
enough nothing here waits: a look-up of the budgets that match, a price by minute, a subtraction for each.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, tzinfo
from functools import partial
from zoneinfo import ZoneInfo

import msgspec

from baseload.clock import Clock, from_ns
from baseload.errors import BadConfig, LedgerUnavailable
from baseload.gateway.budgetfile import BudgetFile, in_force
from baseload.gateway.hold import Hold, Short
from baseload.gateway.job import Job
from baseload.gateway.shares import TICK_SECONDS, Share, Shares
from baseload.gateway.state import Snapshot
from baseload.ledger.spool import new_crew
from baseload.load.calls import Skip
from baseload.load.facts import Facts, Operation
from baseload.policy.budget import Budget, Dearest, dearest, window, worst
from baseload.policy.demand import demand_of
from baseload.policy.policy import Route
from baseload.settings import Settings
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_MINUTE
from baseload.wire.asked import Asked
from baseload.wire.capped import capped

log = logging.getLogger(__name__)

MOST_KNOWN = 10_000
"""Combinations of tags and route whose budgets are remembered."""
_MINUTE_NS = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND


class _Line:
    """One budget in force, with the share of its present window."""

    __slots__ = ("budget", "share", "zone")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.zone: tzinfo = UTC if budget.zone == "UTC" else ZoneInfo(budget.zone)
        self.share: Share | None = None


class Budgets:
    """The budgets of one process."""

    def __init__(self, settings: Settings, clock: Clock, holder: str = "") -> None:
        self._clock = clock
        self._shares = Shares(settings.directory, settings.store, holder or new_crew())
        self._file = BudgetFile(settings.directory)
        self._configured = settings.budgets
        self._lines: dict[str, _Line] = {}
        self._tags: tuple[str, ...] = ()
        self._matches: dict[tuple[object, ...], tuple[_Line, ...]] = {}
        self._prices: dict[str, tuple[int, object, Dearest | None]] = {}
        self._own: tuple[str, frozenset[str]] = ("", frozenset())
        self._ticking: asyncio.Task[None] | None = None
        self._put_in_force(in_force(settings.budgets, self._file.read()))
        self._seen = self._file.stamp()

    @property
    def on(self) -> bool:
        """Whether there is any budget."""
        return bool(self._lines)

    def start(self) -> None:
        """Keep shares in order from now on. Needs a running loop."""
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
        if asked.output_cap is not None or facts.operation is Operation.COUNT_TOKENS:
            return asked, facts
        said = (line.budget for line in self._lines.values() if line.budget.output_tokens is not None)
        caps = [budget.output_tokens for budget in said if budget.counts(facts)]
        if not caps:
            return asked, facts
        with_cap = capped(asked, min(cap for cap in caps if cap is not None))
        return with_cap, msgspec.structs.replace(facts, output_cap=with_cap.output_cap)

    def open(self, job: Job, *, was_capped: bool = False) -> None:
        """Begin the reservation of a request."""
        version, own = self._own
        if version != job.snapshot.version:
            own = frozenset(route.name for route in job.snapshot.policy.routes if route.own)
            self._own = (job.snapshot.version, own)
        job.hold = Hold(self._shares, job.facts, demand_of(job.asked), own)
        if was_capped:
            job.hold.headers.append((b"x-baseload-output-cap", b"%d" % (job.asked.output_cap or 0)))

    async def cover(self, job: Job, route: Route) -> bool:
        """Reserve what a try on a route may cost; False, and noted, when a budget has no room for it."""
        hold = job.hold
        if hold is None:
            return True
        lines = self._matching(job.snapshot, hold.facts, route)
        if not lines:
            hold.covered[route.name] = ()
            return True
        shares = [self._share(line, job.facts.at_ns) for line in lines]
        prices = self._dearest(job.snapshot, route)
        need = partial(worst, demand=hold.demand, route=route, operation=job.facts.operation, prices=prices)
        wanted = hold.wanted(route, shares, need, job.record.attempts)
        short = wanted if isinstance(wanted, Short) else await self._reserve(route, wanted)
        if short is None and not isinstance(wanted, Short):
            hold.took(wanted)
            return True
        if short is not None:
            _note(job, hold, short)
        return False

    async def _reserve(self, route: Route, wanted: list[tuple[Share, int]]) -> Short | None:
        missing = self._shares.take(wanted)
        if missing is None:
            return None
        try:
            missing = await self._shares.wait(wanted)
        except LedgerUnavailable as error:
            scarce = [share for share, need in wanted if need > share.room]
            refusing = [share for share in scarce if share.budget.unknown == "refuse"]
            if refusing:
                return Short(refusing[0], route.name, 0, error.message)
            missing = self._shares.take(wanted, forced=True)
        return None if missing is None else Short(missing, route.name, dict(wanted)[missing])

    def _matching(self, snapshot: Snapshot, facts: Facts, route: Route) -> tuple[_Line, ...]:
        tags = facts.tags
        key = (snapshot.version, route.name, facts.bucket, *[tags.get(name) for name in self._tags])
        found = self._matches.get(key)
        if found is None:
            counting = (line for line in self._lines.values() if line.budget.counts(facts))
            found = tuple(line for line in counting if line.budget.counts_on(route))
            if len(self._matches) >= MOST_KNOWN:
                self._matches.clear()
            self._matches[key] = found
        return found

    def _share(self, line: _Line, at_ns: int) -> Share:
        share = line.share
        if share is None or not share.span.start_ns <= at_ns < share.span.end_ns:
            share = self._shares.share(line.budget, window(line.budget, at_ns, line.zone), line.zone)
            if line.share is None or share.span.start_ns > line.share.span.start_ns:
                line.share = share
        return share

    def _dearest(self, snapshot: Snapshot, route: Route) -> Dearest | None:
        """The dearest prices of a route in this minute and the next."""
        offer, now = snapshot.offers.get(route.offer), self._clock.time_ns()
        minute = now // _MINUTE_NS
        found = self._prices.get(route.offer)
        if found is None or found[0] != minute or found[1] is not offer:
            found = (minute, offer, dearest(offer, (from_ns(now), from_ns(now + _MINUTE_NS))))
            self._prices[route.offer] = found
        return found[2]

    # Beside it.

    def _put_in_force(self, budgets: tuple[Budget, ...]) -> None:
        before, self._lines = self._lines, {}
        for budget in budgets:
            line = before.get(budget.account)
            if line is not None and line.budget.zone == budget.zone:
                self._lines[budget.account] = line
                line.budget = budget
                for share in self._shares.open.values():
                    if share.budget.account == budget.account:
                        share.budget = budget
            else:
                self._lines[budget.account] = _Line(budget)
        kept = self._lines.keys()
        self._shares.drop([each for each in self._shares.open.values() if each.budget.account not in kept])
        names = {name for budget in budgets for name in budget.match} - {"model", "upstream", "route", "bucket"}
        self._tags = tuple(sorted(names))
        self._matches.clear()

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
    hold.shorts.append(short)
    decision = job.record.decision
    job.record.decision = msgspec.structs.replace(
        decision,
        routes=tuple(choice for choice in decision.routes if choice.route != short.route),
        skipped=(*decision.skipped, Skip(short.route, short.reason)),
    )
