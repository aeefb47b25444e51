"""The budgets that were set while gateways run, in the ledger that all of them share. Acts on a transaction.

One document with a number: it grows by one with every change, so that whoever keeps a copy knows which is newer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, insert, select, update

from baseload.errors import LedgerUnavailable
from baseload.ledger.hot import HotStore
from baseload.ledger.tables import metadata
from baseload.policy.budget import Budget

definitions = Table(
    "budget_definitions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

Change = Callable[[tuple[Budget, ...]], tuple[Budget, ...]]
_ONE = 1


class Definitions(NamedTuple):
    """Every budget that was set, and the number of the change that made it so; 0 where nobody ever set one."""

    version: int
    budgets: tuple[Budget, ...]


def read_definitions(store: HotStore) -> Definitions:
    """What was set. Raises LedgerUnavailable, also for what this version cannot read."""
    rows = store.rows(select(definitions))
    return _definitions(store.name, rows[0].version, rows[0].document) if rows else Definitions(0, ())


def change_definitions(store: HotStore, change: Change, before: tuple[Budget, ...]) -> Definitions:
    """Set others, whoever else does so at the same time; `before` is what counts where nobody has set any. Raises
    LedgerUnavailable."""
    with store.writing() as connection:
        found = _read(connection, store.name)
        after = Definitions(found.version + 1 if found else 1, change(found.budgets if found is not None else before))
        values = {"version": after.version, "document": msgspec.json.encode(after.budgets, order="deterministic")}
        write = insert(definitions).values(id=_ONE, **values) if found is None else update(definitions).values(**values)
        connection.execute(write)
    return after


def _read(connection: Connection, name: str) -> Definitions | None:
    row = connection.execute(select(definitions)).first()
    return None if row is None else _definitions(name, row.version, row.document)


def _definitions(name: str, version: int, document: bytes) -> Definitions:
    try:
        return Definitions(version, msgspec.json.decode(document, type=tuple[Budget, ...]))
    except msgspec.ValidationError as error:
        raise LedgerUnavailable(
            f"the budgets set in {name} are not for this version: {error}",
            remedy="Use the version of baseload that set them, or a later one.",
        ) from error
