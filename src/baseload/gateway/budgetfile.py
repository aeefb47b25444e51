"""This machine's copy of the budgets that were set while the gateway runs. Acts (a file).

    <data_dir>/budgets.json        {"schema": "baseload.budgets/1", "version": 3, "budgets": [...]}
    <data_dir>/budgets.json.lock   held with flock while a change is made

They are set in the ledger (`ledger/definitions.py`), which all gateways on it share. The copy is what workers look at
once a second, and what counts while the ledger cannot be reached. A budget there stands before the one of the same name
in the configuration.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from baseload.errors import BadConfig
from baseload.policy.budget import Budget, check_budgets

SCHEMA = "baseload.budgets/1"
FILE = "budgets.json"

Stamp = tuple[int, int, int] | None


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    budgets: tuple[Budget, ...]
    version: int = 0


def in_force(configured: tuple[Budget, ...], stored: tuple[Budget, ...]) -> tuple[Budget, ...]:
    """The budgets that count: those of the configuration with what was set instead, then what was set beside."""
    instead = {budget.name: budget for budget in stored}
    known = {budget.name for budget in configured}
    others = tuple(budget for budget in stored if budget.name not in known)
    return tuple(instead.get(budget.name, budget) for budget in configured) + others


class BudgetFile:
    """The budgets of one data directory that are not in its configuration."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE

    def stamp(self) -> Stamp:
        """What changes when somebody changes the file."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> tuple[Budget, ...]:
        """Every budget; none when there is no file. Raises BadConfig naming the file."""
        return self._read().budgets

    def keep(self, budgets: tuple[Budget, ...], version: int) -> bool:
        """Keep what was set, unless something newer is kept already; whether it was. Raises BadConfig."""
        try:
            if self._read().version >= version:
                return False
            with self._locked():
                if self._read().version >= version:
                    return False
                self._write(_Stored(SCHEMA, budgets, version))
        except OSError as error:
            remedy = "Give this user the right to write there, or name another data_dir."
            raise BadConfig(f"cannot write {self.path}: {error.strerror}", remedy=remedy) from error
        return True

    def _read(self) -> _Stored:
        try:
            stored = msgspec.json.decode(self.path.read_bytes(), type=_Stored)
        except FileNotFoundError:
            return _Stored(SCHEMA, ())
        except OSError as error:
            raise BadConfig(f"cannot read {self.path}: {error.strerror}", remedy="Make it readable.") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._broken(str(error)) from error
        if stored.schema != SCHEMA:
            raise self._broken(f"its schema is {stored.schema!r}, not {SCHEMA!r}")
        check_budgets(stored.budgets)
        return stored

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(FILE + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, stored: _Stored) -> None:
        """Whole or not at all."""
        half = self.path.with_name(FILE + ".half")
        text = msgspec.json.format(msgspec.json.encode(stored, order="deterministic"), indent=2)
        with half.open("wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        half.replace(self.path)

    def _broken(self, why: str) -> BadConfig:
        return BadConfig(f"{self.path} is no file of budgets: {why}", remedy="Restore it from a backup, or mend it.")
