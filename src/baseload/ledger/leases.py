"""Shares of budgets, lent to workers and gateways by the hot store, so that a request asks nobody. Acts.

The cap holds because nothing is spent that was not lent, and never more is lent than the cap leaves. One transaction
settles what a holder gives back and lends it what it asks for; `accounts.py` says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import func, select

from baseload.errors import LedgerUnavailable
from baseload.ledger import accounts
from baseload.ledger.accounts import Account, Ask, Grant, Place
from baseload.ledger.hot import HotStore

LEASE_SECONDS = 600.0
"""How long a lease holds that nobody renews. After that its holder counts as gone, and all of it as spent."""


class InDoubt(LedgerUnavailable):
    """The ledger was lost while a round was committed: it has happened or not. The same round, sent again, tells."""


class Leases:
    """The accounts of one ledger. Its methods, from any thread, one at a time, raise LedgerUnavailable."""

    def __init__(self, store: HotStore) -> None:
        self._store = store

    def lend(
        self, holder: str, asks: Sequence[Ask], held: frozenset[Place] = frozenset(), *, number: int = 1
    ) -> list[Grant]:
        """Settle and lend; one Grant for each Ask. `held` are accounts of which the holder believes to hold a lease,
        `number` is that of its round, from 1 on. Raises InDoubt when the round may have happened: send the same one
        again."""
        agreed = False
        try:
            with self._store.lending() as connection:
                found = accounts.lend(connection, holder, number, asks, LEASE_SECONDS, held)
                agreed = True
        except LedgerUnavailable as error:
            if agreed:
                raise InDoubt(error.message, remedy=error.remedy) from error
            raise
        return found

    def expire(self, now_ns: int | None = None) -> int:
        """Forfeit what nobody has renewed in time; returns how many leases there were."""
        with self._store.writing() as connection:
            return accounts.expire(connection, now_ns)

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

    def family(self, beginning: str, window_ns: int) -> list[Account]:
        """The accounts of one window whose names begin like that."""
        table = accounts.accounts.c
        ours = func.substr(table.budget, 1, len(beginning)) == beginning
        query = select(accounts.accounts).where(table.window_ns == window_ns, ours).order_by(table.budget)
        return [accounts.account_of(row) for row in self._store.rows(query)]

    def release(self, holder: str, reserved: Mapping[Place, int], *, full: bool = False) -> int:
        """End a holder whose calls are all recorded: what it had reserved is forfeited, the rest returns."""
        with self._store.writing() as connection:
            return accounts.release(connection, holder, reserved, full=full)
