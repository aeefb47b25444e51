"""The budgets of one ledger for those who look after them: seen, set, removed, begun anew. Acts (a file, the ledger).

The admin API and `baseload budget` do the same through this. What is set stands in the ledger: it holds at every worker
of this gateway within a second or two, and within four at every other gateway on the same database.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import msgspec

from baseload.errors import BadInput, LedgerUnavailable, NotEnoughData
from baseload.gateway.budget_status import BudgetStatus, statuses
from baseload.gateway.budgetfile import BudgetFile, in_force
from baseload.ledger.definitions import Change, change_definitions, read_definitions
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.leases import Leases
from baseload.policy.budget import Budget, Mode, Per
from baseload.settings import check_zone


class BudgetBook:
    """The budgets of a configuration, and those set beside it."""

    def __init__(self, directory: Path, store: str, configured: tuple[Budget, ...]) -> None:
        self._directory = directory
        self._store = store
        self._configured = configured
        self.file = BudgetFile(directory)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Those in force."""
        return in_force(self._configured, self._set())

    def statuses(self, now_ns: int, name: str = "") -> tuple[BudgetStatus, ...]:
        """Where all of them stand, or one. Raises BadInput for a name that none has, LedgerUnavailable."""
        budgets = tuple(budget for budget in self.budgets if not name or budget.name == name)
        if name and not budgets:
            raise self._unknown(name)
        try:
            store = self._read_only()
        except NotEnoughData:
            return statuses(budgets, None, self._directory, now_ns)
        with closing(store):
            return statuses(budgets, Leases(store), self._directory, now_ns)

    def set(self, name: str, changes: dict[str, object]) -> Budget:
        """Change some fields of a budget, or make one. A cap of another unit replaces the one there was. Raises
        BadInput for what is no budget."""
        before = next((budget for budget in self.budgets if budget.name == name), None)
        fields = msgspec.to_builtins(before) if before is not None else {}
        caps = ("usd", "tokens", "requests")
        if any(cap in changes for cap in caps):
            fields = {field: value for field, value in fields.items() if field not in caps}
        try:
            budget = msgspec.convert({**fields, **changes, "name": name}, Budget, strict=False)
        except msgspec.ValidationError as error:
            remedy = (
                f"Give `per` ({', '.join(Per)}) and one of usd, tokens and requests; `mode` is {' or '.join(Mode)}."
            )
            raise BadInput(f"{name!r} cannot be a budget like that: {error}", remedy=remedy) from error
        check_zone(budget)
        self._change(lambda all_: (*(each for each in all_ if each.name != name), budget))
        return budget

    def remove(self, name: str) -> bool:
        """Forget what was set: True when the configuration's own budget of that name is in force again. Raises BadInput
        when nothing was set."""
        if all(budget.name != name for budget in self._set()):
            where = "stands in the configuration alone" if self._known(name) else "is not there"
            raise BadInput(f"the budget {name!r} {where}", remedy="See them all: baseload budget list.")
        self._change(lambda all_: tuple(each for each in all_ if each.name != name))
        return self._known(name)

    def reset(self, name: str, now_ns: int, value: str | None = None) -> tuple[BudgetStatus, ...]:
        """Let a budget begin anew in its present window, for one value of its tag or for all: what was spent counts no
        more, what is reserved does."""
        places = [each.place for each in self.statuses(now_ns, name) if value is None or each.value == value]
        if not places:
            raise BadInput(
                f"{name} has counted nothing for {value!r}", remedy=f"See its values: baseload budget show {name}."
            )
        with closing(open_store(self._directory, self._store)) as store:
            Leases(store).forgive(places)
        return self.statuses(now_ns, name)

    def _set(self) -> tuple[Budget, ...]:
        """What was set: as the ledger says, or this machine's copy where it says nothing or cannot be read."""
        with suppress(NotEnoughData, LedgerUnavailable), closing(self._read_only()) as store:
            found = read_definitions(store)
            self.file.keep(found.budgets, found.version)
        return self.file.read()

    def _change(self, change: Change) -> None:
        with closing(open_store(self._directory, self._store)) as store:
            after = change_definitions(store, change, self.file.read())
        self.file.keep(after.budgets, after.version)

    def _read_only(self) -> HotStore:
        return open_store(self._directory, self._store, read_only=True)

    def _known(self, name: str) -> bool:
        return any(budget.name == name for budget in self._configured)

    def _unknown(self, name: str) -> BadInput:
        known = ", ".join(budget.name for budget in self.budgets) or "none is set"
        return BadInput(f"no budget is called {name!r}", remedy=f"Use one of: {known}.")
