"""The budgets of one ledger for those who look after them: seen, set, removed, begun anew. Acts (a file, the ledger).

The admin API and `baseload budget` do the same through this. What is set holds at every worker on the data directory
within a second or two; with several gateways on one database, set it at each, or in the configuration they share.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from baseload.errors import BadInput, NotEnoughData
from baseload.gateway.budget_status import BudgetStatus, statuses
from baseload.gateway.budgetfile import BudgetFile, in_force
from baseload.ledger.hot import open_store
from baseload.ledger.leases import Leases
from baseload.policy.budget import Budget
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
        return in_force(self._configured, self.file.read())

    def statuses(self, now_ns: int, name: str = "") -> tuple[BudgetStatus, ...]:
        """Where all of them stand, or one. Raises BadInput for a name that none has, LedgerUnavailable."""
        budgets = tuple(budget for budget in self.budgets if not name or budget.name == name)
        if name and not budgets:
            raise self._unknown(name)
        try:
            store = open_store(self._directory, self._store, read_only=True)
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
            remedy = "Give `per`, one of usd, tokens and requests, and what else docs/reference/settings.md says."
            raise BadInput(f"{name!r} cannot be a budget like that: {error}", remedy=remedy) from error
        check_zone(budget)
        self.file.set(budget)
        return budget

    def remove(self, name: str) -> bool:
        """Forget what was set: True when the configuration's own budget of that name is in force again. Raises BadInput
        when nothing was set."""
        if all(budget.name != name for budget in self.file.read()):
            where = "stands in the configuration alone" if self._known(name) else "is not there"
            raise BadInput(f"the budget {name!r} {where}", remedy="See them all: baseload budget list.")
        self.file.remove(name)
        return self._known(name)

    def reset(self, name: str, now_ns: int) -> BudgetStatus:
        """Let a budget begin anew in its present window: what was spent counts no more, what is reserved does."""
        [before] = self.statuses(now_ns, name)
        with closing(open_store(self._directory, self._store)) as store:
            Leases(store).forgive([before.place])
        return self.statuses(now_ns, name)[0]

    def _known(self, name: str) -> bool:
        return any(budget.name == name for budget in self._configured)

    def _unknown(self, name: str) -> BadInput:
        known = ", ".join(budget.name for budget in self.budgets) or "none is set"
        return BadInput(f"no budget is called {name!r}", remedy=f"Use one of: {known}.")
