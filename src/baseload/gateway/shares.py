"""What this process has of each budget: money that may be spent without asking anybody. Acts (ledger, in a thread).

A `Share` is a lease of the hot store on one budget in one window. Reserving is a comparison and a subtraction; when a
share is short, a request waits for one round to the store, which gives back what lies idle here and asks for what every
waiting request needs. Once a second a round returns what was not used, so that nobody else is refused for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from baseload.errors import LedgerUnavailable
from baseload.ledger.spool import spool_folder
from baseload.policy.budget import Budget, Mode, Standing, Window

if TYPE_CHECKING:
    from baseload.ledger.accounts import Account, Ask, Grant
    from baseload.ledger.held import Held
    from baseload.ledger.leases import Leases

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
"""How long a request waits for a round to the store before the store counts as gone."""
TICK_SECONDS = 1.0
RENEW_TICKS = 60
"""Leases are renewed so often, although nothing else is to be said: they hold ten times as long."""
IDLE_TICKS = 2
"""What was not needed for so long returns, even while there is plenty."""
PARTS = 64
"""A share that runs low is filled by this part of the cap ..."""
CALLS = 16
"""... or by what so many calls like this one need, when that is more."""


class Share:
    """One budget in one window, as far as it is this process's to spend. `room` is what nobody has reserved; it is
    below zero where calls cost more than their worst case, or where the budget only warns."""

    __slots__ = (
        "account",
        "ahead",
        "believed",
        "budget",
        "idle",
        "lost",
        "low",
        "needs",
        "place",
        "record",
        "reserved",
        "room",
        "span",
        "usual",
        "waiting",
        "zone",
    )

    def __init__(self, budget: Budget, span: Window, zone: tzinfo, record: int) -> None:
        self.budget, self.span, self.zone, self.record = budget, span, zone, record
        self.place = (budget.account, span.start_ns)
        self.room = self.low = self.reserved = self.lost = self.usual = self.idle = 0
        self.needs: list[int] = []  # of calls that wait for the next round
        self.waiting = 0  # calls that wait for any
        self.ahead = False  # a round is under way that fills it
        self.believed = False  # the store holds a lease of ours
        self.account: Account | None = None  # as the store said last

    @property
    def tight(self) -> bool:
        """Whether so little is left that none should lie idle anywhere."""
        return self.account is not None and self.account.free < self.budget.limit // CALLS

    def standing(self) -> Standing:
        """Where the budget stands, as far as is known here."""
        if self.account is None:
            return Standing(self.budget.limit, 0, 0)
        return Standing(self.budget.limit, self.account.spent, max(0, self.account.leased))

    @property
    def over(self) -> bool:
        """Whether more is spent and reserved than the cap."""
        return self.room < 0 and (self.account is None or self.account.free + self.room < 0)


class Shares:
    """Every share of one process, and its rounds to the store. Used from one event loop."""

    def __init__(self, directory: Path, store: str, holder: str) -> None:
        self.holder = holder
        self.round_seconds = ROUND_SECONDS
        self._store = store
        self.open: dict[tuple[str, int], Share] = {}
        self.trouble = ""  # why the store could not be asked last
        self._directory = directory
        self._leases: Leases | None = None
        self._held: Held | None = None
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._ticks = 0

    def share(self, budget: Budget, span: Window, zone: tzinfo) -> Share:
        """The share of a budget in a window."""
        found = self.open.get((budget.account, span.start_ns))
        if found is None:
            found = Share(budget, span, zone, -1)
            found.record = self._kept().take(found.place)
            self.open[found.place] = found
        return found

    def take(self, wanted: list[tuple[Share, int]], *, waited: bool = False, forced: bool = False) -> Share | None:
        """Reserve some of each share, or none of any; returns the first that is short. Calls that waited go first."""
        for share, need in wanted:
            short = need > share.room or (share.waiting and not waited)
            if short and need > 0 and not forced and share.budget.mode is not Mode.WARN:
                return share
        for share, need in wanted:
            share.room -= need
            share.reserved += need
            share.usual = max(share.usual, need)
            share.low = min(share.low, share.room)
            self._kept().write(share.record, share.reserved)
            if share.room < share.usual * 2 and not share.ahead and not share.tight:
                self._fill(share)
        return None

    async def wait(self, wanted: list[tuple[Share, int]]) -> Share | None:
        """Ask the store, then reserve; returns the share that is short. Raises LedgerUnavailable when the store does
        not answer in time."""
        for share, need in wanted:
            share.waiting += 1
            if need > 0:
                share.needs.append(need)
        try:
            async with asyncio.timeout(self.round_seconds):
                await asyncio.shield(self._round())
        except TimeoutError as error:
            message = f"the ledger did not answer within {self.round_seconds:g} s"
            raise LedgerUnavailable(message, remedy="See what holds it locked.") from error
        finally:
            for share, _ in wanted:
                share.waiting -= 1
        if self.trouble:
            raise LedgerUnavailable(self.trouble, remedy="See that data_dir can be written.")
        short = self.take(wanted, waited=True)
        if short is None or short.believed:
            return short
        return await self.wait(wanted)  # the ledger had held us for dead: now it knows better

    def settle(self, share: Share, held: int, amount: int, *, written: bool) -> None:
        """End a reservation: `amount` of what was held is spent. The store must be told of what was not written."""
        share.reserved -= held
        share.room += held - amount
        if not written:
            share.lost += amount
        self._kept().write(share.record, share.reserved)

    def drop(self, shares: Iterable[Share]) -> None:
        """Give back what is left of shares that nobody will use again."""
        for share in shares:
            share.span = Window(share.span.start_ns, 0)

    async def tick(self, now_ns: int) -> None:
        """Return what lies idle, owe what was overspent, close what is over; renew the leases now and then."""
        self._ticks += 1
        due = self._ticks % RENEW_TICKS == 0
        if self.open and (due or any(self._has_to_say(each, now_ns) for each in self.open.values())):
            await asyncio.shield(self._round(now_ns))
        for share in self.open.values():
            share.idle = share.idle + 1 if share.low >= share.room else 0
            share.low, share.usual = share.room, share.usual // 2

    async def close(self) -> None:
        """Give back everything that is not spent."""
        self.drop(self.open.values())
        if self.open:
            await asyncio.shield(self._round(1))
        if self._held is not None:
            self._held.close()
            self._held = None

    # Rounds.

    def _has_to_say(self, share: Share, now_ns: int) -> bool:
        over = share.span.end_ns <= now_ns
        return bool(over or share.room < 0 or share.lost or self._returns(share, over=over))

    def _returns(self, share: Share, *, over: bool) -> int:
        """How much of a share goes back: all of it when its window is over, else what was not needed lately."""
        if over:
            return max(0, share.room)
        idle = max(0, min(share.low, share.room))
        return idle if share.tight or share.idle >= IDLE_TICKS else 0

    def _fill(self, share: Share) -> None:
        """Ask for more, before it runs out."""
        share.ahead = True
        task = self._round()
        task.add_done_callback(lambda _: setattr(share, "ahead", False))

    def _round(self, now_ns: int = 0) -> asyncio.Task[None]:
        """The next round that hears what is wanted now."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask(self._running, now_ns))
        return self._next

    async def _ask(self, before: asyncio.Task[None] | None, now_ns: int) -> None:
        if before is not None:
            await asyncio.wait((before,))
        self._running, self._next = self._next, None
        from baseload.ledger.accounts import Ask

        asks: list[tuple[Share, Ask]] = []
        for share in self.open.values():
            needs, share.needs = tuple(share.needs), []
            over = 0 < share.span.end_ns <= now_ns or share.span.end_ns == 0
            give = max(0, share.room) if needs else self._returns(share, over=over)
            owed = max(0, -share.room)
            lost, share.lost = share.lost, 0
            share.room += owed - give
            wish, most = 0, CALLS * max((*needs, share.usual))
            if (needs or share.ahead) and share.account is not None and share.account.free > CALLS * most:
                wish = max(share.budget.limit // PARTS, most)
            cap = share.budget.limit
            asks.append((share, Ask(share.place, cap, needs, wish, give, lost, owed)))
        held = frozenset(share.place for share, _ in asks if share.believed)
        try:
            grants = await asyncio.to_thread(self._lend, [ask for _, ask in asks], held)
        except LedgerUnavailable as error:
            for share, ask in asks:
                share.room += ask.give - ask.owed
                share.lost += ask.lost
            if not self.trouble:
                log.error("budgets cannot be asked for: %s", error)
            self.trouble = error.message
            return
        self.trouble = ""
        for (share, ask), grant in zip(asks, grants, strict=True):
            self._granted(share, ask, grant, now_ns)

    def _granted(self, share: Share, ask: Ask, grant: Grant, now_ns: int) -> None:
        share.account = grant.account
        if grant.gone:
            log.error("%s: the ledger held this process for dead and took its share back", share.budget.name)
            share.room, share.believed = -share.reserved, False
            share.lost += ask.lost
            return
        share.believed = True
        share.room += grant.given - ask.owed
        done = not (share.reserved or share.waiting or share.needs or share.lost or share.room)
        if done and 0 <= share.span.end_ns <= now_ns:
            self.open.pop(share.place, None)
            self._kept().give(share.record)

    def _lend(self, asks: list[Ask], held: frozenset[tuple[str, int]]) -> list[Grant]:
        """In a thread."""
        return self.leases().lend(self.holder, asks, held)

    def leases(self) -> Leases:
        """The ledger's accounts; opened when they are first asked for."""
        if self._leases is None:
            from baseload.ledger.hot import open_store  # a gateway without budgets needs no database
            from baseload.ledger.leases import Leases

            self._leases = Leases(open_store(self._directory, self._store))
        return self._leases

    def _kept(self) -> Held:
        if self._held is None:
            from baseload.ledger.held import Held

            self._held = Held(spool_folder(self._directory), self.holder)
        return self._held
