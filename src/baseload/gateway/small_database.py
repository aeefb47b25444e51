"""A small SQLite database of the workers' own, beside the ledger. Acts (a file)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

BUSY_SECONDS = 0.5
"""How long another worker's write is waited for."""


def opened(path: Path, script: str) -> sqlite3.Connection:
    """The database of a path, made where there is none; `script` makes its tables. It survives a kill, as the spool
    does, and not a power cut. Raises sqlite3.Error and OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = normal")
    database.executescript(script)
    return database
