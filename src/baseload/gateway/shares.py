"""What this process has of each budget: money that may be spent without asking anybody. Acts (ledger, in a thread).

Reserving of a `Share` is a comparison and a subtraction. When it is short, a request waits for one round to the store,
which gives back what lies idle here and asks for what every waiting request needs. Once a second a round returns what
was not used, so that nobody else is refused for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

from baseload.errors import LedgerUnavailable
from baseload.gateway.share import CALLS, CLOSED, Ending, Share, Wanted
from baseload.ledger.held import AFTER, NONE, Held
from baseload.ledger.spool import spool_folder
from baseload.policy.budget import EACH, Budget, Mode, Window

if TYPE_CHECKING:
    from baseload.ledger.accounts import Ask, Grant, Place
    from baseload.ledger.leases import Leases

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
"""How long a request waits without an answer of the store before the store counts as gone."""
MOST_ASKS = 64
"""Shares of which one round speaks: a fraction of a second, so that a thousand values of a tag that come at once wait
for a few rounds, and whoever records calls waits for none."""
TICK_SECONDS = 1.0
RENEW_TICKS = 60
"""Leases are renewed so often, although nothing else is to be said: they hold ten times as long."""
IDLE_TICKS = 2
"""What was not needed for so long returns, even while there is plenty."""
CLOSE_TICKS = 30
"""A share that nobody has used for so long is closed; the next call that it counts opens it again."""
PARTS = 64
"""A share that runs low is filled by this part of the cap, or what `CALLS` like the one that found it low need."""


class Doubt(NamedTuple):
    """A round that the store may have taken part in, or not: it is sent again until that is known."""

    asks: list[tuple[Share, Ask]]
    held: frozenset[Place]


class Shares:
    """Every share of one process, and its rounds to the store. Used from one event loop."""

    def __init__(self, directory: Path, store: str, holder: str) -> None:
        self.holder = holder
        self.round_seconds = ROUND_SECONDS
        self._store = store
        self.open: dict[Place, Share] = {}
        self._known: WeakValueDictionary[Place, Share] = WeakValueDictionary()  # open, or still in somebody's hands
        self.trouble = ""  # why the store could not be asked last
        self._directory = directory
        self._leases: Leases | None = None
        self._held: Held | None = None
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._rounds = 0  # that the store has answered
        self._wanting: dict[Share, None] = {}  # shares of which calls need more, the first ones first
        self._doubt: Doubt | None = None
        self._ticks = 0

    def share(self, budget: Budget, place: Place, span: Window, zone: tzinfo) -> Share:
        """The share of an account: of a budget in a window."""
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = Share(budget, place, span, zone)
        return found

    def take(self, wanted: Wanted, *, waited: bool = False, forced: bool = False) -> Share | None:
        """Reserve some of each share, or none of any; returns the first that is short. Calls that waited go first."""
        for share, need in wanted:
            if (
                (need > share.room or (share.waiting and not waited))
                and need > 0
                and not forced
                and share.budget.mode is not Mode.WARN
            ):
                return share
        cells = (self._held or self._kept()).cells
        for share, need in wanted:
            if share.record < 0:
                self._opened(share)
            share.room = room = share.room - need
            share.reserved = reserved = share.reserved + need
            if need > share.usual:
                share.usual = need
            if room < share.low:
                share.low = room
            cells[share.record] = reserved + share.lost
            if room < share.usual * 2 and not share.ahead and not share.tight:
                self._fill(share)
        return None

    async def wait(self, wanted: Wanted) -> Share | None:
        """Ask the store, then reserve; returns the share that is short. Raises LedgerUnavailable when the store does
        not answer in time."""
        heard: list[asyncio.Future[None]] = []
        place = object()  # in line
        for share, need in wanted:
            self._opened(share)
            share.waiting += 1
            if need > 0:
                share.needs.append(need)
                self._wanting[share] = None
                share.heard = share.heard or asyncio.get_running_loop().create_future()
                share.line[place] = share.heard, need
                heard.append(share.heard)
        try:
            await self._answered(heard)
        finally:
            for share, _ in wanted:
                share.waiting -= 1
                share.line.pop(place, None)
        if self.trouble:
            raise LedgerUnavailable(self.trouble, remedy="See that data_dir can be written.")
        short = self.take(wanted, waited=True)
        if short is None or short.believed or short.full:
            return short
        return await self.wait(wanted)  # the ledger knew of no lease of ours: now it does

    async def _answered(self, heard: Sequence[asyncio.Future[None]]) -> None:
        """Until the store has been told of all these needs, or says nothing at all for too long."""
        before, task = self._rounds, self._round()
        waited: set[asyncio.Future[None]] = {*heard} or {task}
        while (await asyncio.wait(waited, timeout=self.round_seconds))[1]:
            if self._rounds == before:
                message = f"the ledger did not answer within {self.round_seconds:g} s"
                raise LedgerUnavailable(message, remedy="See what holds it locked.")
            before = self._rounds

    def closing(self, call: str, ending: Ending) -> None:
        """A call is about to be written down, which ends its reservations."""
        held = self._kept()
        cells = held.cells
        for share, reserved, _ in ending:
            cells[share.record + AFTER] = share.reserved + share.lost - reserved
        held.name(call)

    def stay(self, ending: Ending) -> None:
        """The call could not be written down yet."""
        held = self._kept()
        for share, _, _ in ending:
            held.cells[share.record + AFTER] = NONE
        held.name("")

    def settle(self, ending: Ending, *, written: bool) -> None:
        """End these reservations: the store must be told of what was spent and is not written down."""
        held = self._kept()
        cells = held.cells
        for share, reserved, spent in ending:
            share.reserved = left = share.reserved - reserved
            share.room += reserved - spent
            if not written:
                share.lost += spent
            record = share.record
            cells[record] = left + share.lost
            cells[record + AFTER] = NONE
        held.name("")

    def put_in_force(self, budgets: Mapping[str, Budget]) -> None:
        """Other budgets from now on, by their accounts; shares of those that are gone give back what is left."""
        for share in self.open.values():
            budget = budgets.get(share.place[0].split(EACH, 1)[0])
            if budget is None:
                share.span = Window(share.span.start_ns, 0)
            else:
                share.budget = budget

    async def tick(self, now_ns: int) -> None:
        """Return what lies idle, owe what was overspent, close what is over; renew the leases now and then."""
        self._ticks += 1
        due = self._ticks % RENEW_TICKS == 0
        shares = self.open.values()
        if shares and (due or self._doubt or any(self._has_to_say(each, now_ns) for each in shares)):
            await asyncio.shield(self._round(now_ns, renew=due))
        for share in tuple(shares):
            share.idle = share.idle + 1 if share.low >= share.room else 0
            share.low, share.usual = share.room, share.usual // 2
            if share.idle >= CLOSE_TICKS and share.empty and not share.ahead:
                self._close(share)

    async def close(self) -> None:
        """Give back everything that is not spent."""
        self.put_in_force({})
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
        room = share.room - share.promised
        if over:
            return max(0, room)
        idle = max(0, min(share.low, room))
        return idle if share.tight or share.idle >= IDLE_TICKS else 0

    def _fill(self, share: Share) -> None:
        """Ask for more, before it runs out."""
        share.ahead = True
        task = self._round()
        task.add_done_callback(lambda _: setattr(share, "ahead", False))

    def _round(self, now_ns: int = 0, *, renew: bool = False) -> asyncio.Task[None]:
        """The next round that hears what is wanted now."""
        if self._next is None:
            self._next = asyncio.create_task(self._talk(self._running, now_ns, renew=renew))
        return self._next

    async def _talk(self, before: asyncio.Task[None] | None, now_ns: int, *, renew: bool) -> None:
        """Rounds until all is said: in each what calls wait for, the first ones first, and something of the rest."""
        if before is not None:
            await asyncio.wait((before,))
        self._running, self._next = self._next, None
        rest = [*self.open.values()]
        heard: list[asyncio.Future[None]] = []
        try:
            if self._doubt is not None and not await self._send(self._doubt, now_ns, again=True):
                return
            while self._wanting or rest:
                asks = self._needed(heard, now_ns, renew=renew)
                said = {share.place for share, _ in asks}
                while rest and len(asks) < MOST_ASKS + MOST_ASKS // 4:
                    share = rest.pop()
                    if share.record < 0 or share.needs or share.place in said:
                        continue
                    ask = self._ask(share, (), now_ns, renew=renew)
                    if ask is not None:
                        asks.append((share, ask))
                held = frozenset(share.place for share, _ in asks if share.believed)
                if (asks or self.trouble) and not await self._send(Doubt(asks, held), now_ns):
                    return
                _tell(heard)
        except Exception as error:
            self.trouble = str(error) or repr(error)
            log.exception("budgets cannot be asked for")
        finally:  # after trouble, whoever waits hears of it
            while self._wanting:
                self._needs_of(next(iter(self._wanting)), heard)
            _tell(heard)

    def _needed(self, heard: list[asyncio.Future[None]], now_ns: int, *, renew: bool) -> list[tuple[Share, Ask]]:
        """What the next round is asked for by those who wait."""
        said = []
        for share in (*islice(self._wanting, MOST_ASKS),):
            ask = self._ask(share, self._needs_of(share, heard), now_ns, renew=renew)
            if ask is not None:
                said.append((share, ask))
        return said

    def _needs_of(self, share: Share, heard: list[asyncio.Future[None]]) -> tuple[int, ...]:
        """What calls need of a share, which from now on is said; `heard` is told when it is."""
        self._wanting.pop(share)
        needs, share.needs = tuple(share.needs), []
        if share.heard is not None:
            heard.append(share.heard)
            share.heard = None
        return needs

    def _ask(self, share: Share, needs: tuple[int, ...], now_ns: int, *, renew: bool) -> Ask | None:
        """What a share wants of the next round; what it gives back is its own no more."""
        over = 0 < share.span.end_ns <= now_ns or share.span.end_ns == 0
        give = max(0, share.room - share.promised) if needs else self._returns(share, over=over)
        owed = max(0, -share.room)
        if not (needs or give or owed or over or share.lost or share.ahead or (renew and not share.empty)):
            return None
        share.room += owed - give
        wish, most = 0, CALLS * max((*needs, share.usual))
        if (needs or share.ahead) and share.account is not None and share.account.free > CALLS * most:
            wish = max(share.budget.limit // PARTS, most)
        from baseload.ledger.accounts import Ask

        budget = share.budget
        values = budget.values if budget.each and share.place[0] != budget.account_of(None) else 0
        return Ask(share.place, budget.limit, needs, wish, give, share.lost, owed, values)

    async def _send(self, said: Doubt, now_ns: int, *, again: bool = False) -> bool:
        """Have a round of the store; False when it did not answer. Of a round that may have happened, nothing is spent
        that it gave back, nor what it may have been given, until the same round has been answered."""
        from baseload.ledger.leases import InDoubt

        asks = [ask for _, ask in said.asks]
        try:
            grants = await asyncio.to_thread(self._lend, asks, said.held)
        except LedgerUnavailable as error:
            if isinstance(error, InDoubt):
                self._doubt = said
            elif not again:
                for share, ask in said.asks:
                    share.room += ask.give - ask.owed
            if not self.trouble:
                log.error("budgets cannot be asked for: %s", error)
            self.trouble = error.message
            return False
        self.trouble, self._doubt = "", None
        self._rounds += 1
        for (share, ask), grant in zip(said.asks, grants, strict=True):
            self._granted(share, ask, grant, now_ns)
        return True

    def _granted(self, share: Share, ask: Ask, grant: Grant, now_ns: int) -> None:
        if grant.gone:
            log.error("%s: the ledger knows of no share of this process", share.budget.name)
            share.room, share.believed = -share.reserved - share.lost, False
            return
        share.account, share.believed, share.full = grant.account, not grant.full, grant.full
        share.room += grant.given - ask.owed
        share.lost -= ask.lost
        if ask.lost:
            self._kept().cells[share.record] = share.reserved + share.lost
        if share.empty and 0 <= share.span.end_ns <= now_ns:
            self._close(share)

    def _opened(self, share: Share) -> Share:
        """The share among those that are told of; what stays open without calls is closed again."""
        if share.record == CLOSED:
            self.open[share.place] = share
            share.record, share.idle = self._kept().take(share.place), 0
        return share

    def _close(self, share: Share) -> None:
        if self.open.pop(share.place, None) is not None:
            self._kept().give(share.record)
            share.record, share.believed = CLOSED, False

    def _lend(self, asks: list[Ask], held: frozenset[Place]) -> list[Grant]:
        """In a thread."""
        return self.leases().lend(self.holder, asks, held, number=self._rounds + 1)

    def leases(self) -> Leases:
        """The ledger's accounts; opened when they are first asked for."""
        if self._leases is None:
            from baseload.ledger.hot import open_store  # a gateway without budgets needs no database
            from baseload.ledger.leases import Leases

            self._leases = Leases(open_store(self._directory, self._store))
        return self._leases

    def _kept(self) -> Held:
        if self._held is None:
            self._held = Held(spool_folder(self._directory), self.holder)
        return self._held


def _tell(heard: list[asyncio.Future[None]]) -> None:
    """Wake those who wait for these."""
    while heard:
        future = heard.pop()
        if not future.done():
            future.set_result(None)
