"""One budget in one window, as far as it is this process's to spend: a lease of the hot store. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from baseload.policy.budget import Budget, Standing, Window

if TYPE_CHECKING:
    from baseload.ledger.accounts import Account, Place

CLOSED = -2
"""The record of a share that is not open."""
CALLS = 16
"""What so many calls need is little: from there on none should lie idle, and a share is filled by as much."""

Wanted = Sequence[tuple["Share", int]]
"""How much more is to be reserved of each share."""
Ending = Sequence[tuple["Share", int, int]]
"""What a call had reserved of each share, and what it has cost."""


class Share:
    """One budget in one window, as far as it is this process's to spend. `room` is what nobody has reserved; it is
    below zero where calls cost more than their worst case, or where the budget only warns. `lost` is what was served
    and could not be written down, until the store knows of it."""

    __slots__ = (
        "__weakref__",
        "account",
        "ahead",
        "believed",
        "budget",
        "full",
        "heard",
        "idle",
        "line",
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

    def __init__(self, budget: Budget, place: Place, span: Window, zone: tzinfo) -> None:
        self.budget, self.place, self.span, self.zone = budget, place, span, zone
        self.record = CLOSED
        self.room = self.low = self.reserved = self.lost = self.usual = self.idle = 0
        self.needs: list[int] = []  # of calls that wait for the next round
        self.heard: asyncio.Future[None] | None = None  # done when that round is
        self.waiting = 0  # calls that wait for any
        self.line: dict[object, tuple[asyncio.Future[None], int]] = {}  # until when each waits, and for how much
        self.ahead = False  # a round is under way that fills it
        self.believed = False  # the store holds a lease of ours
        self.full = False  # the store keeps no further account of this budget
        self.account: Account | None = None  # as the store said last

    @property
    def tight(self) -> bool:
        """Whether so little is left that none should lie idle anywhere."""
        return self.account is not None and self.account.free < self.budget.limit // CALLS

    @property
    def promised(self) -> int:
        """What the store has given for calls that have not come to take it yet."""
        return sum([need for heard, need in self.line.values() if heard.done()])

    @property
    def empty(self) -> bool:
        """Whether nothing of it is here, or may come."""
        return not (self.reserved or self.waiting or self.needs or self.lost or self.room)

    def standing(self) -> Standing:
        """Where the budget stands, as far as is known here."""
        if self.account is None:
            return Standing(self.budget.limit, 0, 0)
        return Standing(self.budget.limit, self.account.spent, max(0, self.account.leased))

    @property
    def over(self) -> bool:
        """Whether more is spent and reserved than the cap."""
        return self.room < 0 and (self.account is None or self.account.free + self.room < 0)
