"""Shares of budgets, lent to workers and gateways by the hot store, so that a request asks nobody. Acts.

The cap holds because nothing is spent that was not lent, and never more is lent than the cap leaves. One transaction
settles what a holder gives back and lends it what it asks for; `accounts.py` says how.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select

from baseload.ledger import accounts
from baseload.ledger.accounts import Account, Ask, Grant, Place
from baseload.ledger.hot import HotStore
from baseload.units import NANOSECONDS_PER_SECOND

LEASE_SECONDS = 600.0
"""How long a lease holds that nobody renews. After that its holder counts as gone, and all of it as spent."""


class Leases:
    """The accounts of one ledger. Its methods, from any thread, one at a time, raise LedgerUnavailable."""

    def __init__(self, store: HotStore) -> None:
        self._store = store

    def lend(self, holder: str, asks: Sequence[Ask], held: frozenset[Place] = frozenset()) -> list[Grant]:
        """Settle and lend; one Grant for each Ask. `held` are accounts of which the holder believes to hold a lease."""
        until = time.time_ns() + int(LEASE_SECONDS * NANOSECONDS_PER_SECOND)
        with self._store.writing() as connection:
            return accounts.lend(connection, holder, asks, until, held)

    def expire(self, now_ns: int | None = None) -> int:
        """Forfeit what nobody has renewed in time; returns how many leases there were."""
        with self._store.writing() as connection:
            return accounts.expire(connection, time.time_ns() if now_ns is None else now_ns)

    def forgive(self, places: Iterable[Place]) -> None:
        """Let accounts begin anew."""
        with self._store.writing() as connection:
            accounts.forgive(connection, places)

    def forget(self, before: Mapping[str, int]) -> None:
        """Remove what is over: accounts by budget whose windows began before a moment."""
        with self._store.writing() as connection:
            accounts.forget(connection, before)

    def first(self, place: Place, about: str, at_ns: int) -> bool:
        """Whether nobody has been told of it yet; from now on somebody has."""
        with self._store.writing() as connection:
            return accounts.once(connection, place, about, at_ns)

    def standing(self, places: Iterable[Place]) -> dict[Place, Account]:
        """Those of the accounts that there are."""
        wanted = set(places)
        names = sorted({budget for budget, _ in wanted})
        starts = sorted({start for _, start in wanted})
        table = accounts.accounts.c
        query = select(accounts.accounts).where(table.budget.in_(names), table.window_ns.in_(starts))
        found = (accounts.account_of(row) for row in self._store.rows(query))
        return {account.place: account for account in found if account.place in wanted}

    def release(self, holder: str, reserved: Mapping[Place, int]) -> int:
        """End a holder whose calls are all recorded: what it had reserved is forfeited, the rest returns."""
        with self._store.writing() as connection:
            return accounts.release(connection, holder, reserved)
