"""From one version of the hot store's tables to the next, in the transaction that is handed in. Acts on it.

A step adds what the older version did not have and touches no call: what was recorded before stays as it was.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, insert, select, text

from baseload.ledger import tables

# What brings a store to the version that is named. The same words for SQLite and PostgreSQL.
_STEPS = {
    2: ("ALTER TABLE attempts ADD COLUMN service_tier TEXT NOT NULL DEFAULT ''",),
    3: (),  # what was taken out of the store is written down: tables of their own
}


def migrate(connection: Connection, found: int | None) -> None:
    """Create what is missing and write this version down; `found` is None where nothing was there."""
    tables.metadata.create_all(connection)
    for version in range((found or tables.SCHEMA_VERSION) + 1, tables.SCHEMA_VERSION + 1):
        for step in _STEPS[version]:
            connection.execute(text(step))
    if found != tables.SCHEMA_VERSION:
        connection.execute(insert(tables.schema).values(version=tables.SCHEMA_VERSION))
    if connection.execute(select(tables.identity.c.name)).first() is None:
        connection.execute(insert(tables.identity).values(name=secrets.token_hex(16)))
