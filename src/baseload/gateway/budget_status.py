"""Where every budget stands at a moment: for the admin API, the command line, metrics and alerts. Acts (ledger).

`spent` is what calls of the ledger have cost, and what was forfeited; `reserved` is what calls under way on this
machine may yet cost; `lent` is what workers hold, reserved or not, with what they have spent since the ledger
last heard of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from baseload.clock import from_ns
from baseload.ledger.accounts import Account, Place
from baseload.ledger.held import reserved
from baseload.ledger.leases import Leases
from baseload.ledger.spool import spool_folder
from baseload.policy.budget import EACH, Budget, Per, Unit, Window, value_of, window
from baseload.units import usd


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One budget in its present window, or one value of its tag there. Amounts are nano-dollars, tokens or requests."""

    budget: Budget
    account: str
    value: str | None = None
    span: Window
    limit: int
    spent: int
    reserved: int
    lent: int
    forfeited: int

    @property
    def place(self) -> Place:
        return self.account, self.span.start_ns

    @property
    def title(self) -> str:
        """What people call it: `acme`, or `customers[acme]`."""
        return self.budget.name if self.value is None else f"{self.budget.name}[{self.value}]"

    @property
    def free(self) -> int:
        """What nobody has spent or borrowed; below zero where the cap was passed or lowered."""
        return self.limit - self.spent - self.lent

    @property
    def share(self) -> float:
        """How much of the cap is spent."""
        return self.spent / self.limit if self.limit else float(self.spent > 0)

    def forecast(self, now_ns: int) -> float | None:
        """How much of the cap will be spent when the window ends, at the pace so far; None for a window without an end,
        and before a tenth of it has passed, when a pace says little."""
        length, passed = self.span.end_ns - self.span.start_ns, now_ns - self.span.start_ns
        if self.budget.per is Per.TOTAL or passed * 10 < length:
            return None
        return self.share * length / passed

    def shown(self, now_ns: int) -> dict[str, object]:
        """As plain values: USD exactly, as texts."""
        forecast = self.forecast(now_ns)
        amounts = {
            "limit": self.limit,
            "spent": self.spent,
            "reserved": self.reserved,
            "lent": self.lent,
            "free": self.free,
        }
        total = self.budget.per is Per.TOTAL
        return {
            "name": self.budget.name,
            "unit": self.budget.unit.value,
            "per": self.budget.per.value,
            "match": self.budget.match,
            **({"each": self.budget.each, "value": self.value} if self.budget.each else {}),
            "mode": self.budget.mode.value,
            "zone": self.budget.zone,
            **{name: self._amount(amount) for name, amount in amounts.items()},
            "forfeited": self._amount(self.forfeited),
            "since": None if total else from_ns(self.span.start_ns).isoformat(),
            "until": None if total else from_ns(self.span.end_ns).isoformat(),
            "forecast_share": None if forecast is None else round(forecast, 4),
        }

    def _amount(self, amount: int) -> str | int:
        return f"{usd(amount):f}" if self.budget.unit is Unit.USD else amount


def statuses(
    budgets: Sequence[Budget], leases: Leases | None, directory: Path, now_ns: int
) -> tuple[BudgetStatus, ...]:
    """Where budgets stand, one that has a cap for each value at every value that there is, the most spent first;
    without `leases` nothing was ever spent. Raises LedgerUnavailable."""
    spans = {budget.account: window(budget, now_ns, zone_of(budget)) for budget in budgets}
    single = [(budget.account, spans[budget.account].start_ns) for budget in budgets if not budget.each]
    accounts: Mapping[Place, Account] = leases.standing(single) if leases is not None and single else {}
    held = reserved(spool_folder(directory)) if budgets else {}
    found: list[BudgetStatus] = []
    for budget in budgets:
        span = spans[budget.account]
        if not budget.each:
            place = (budget.account, span.start_ns)
            found.append(_status(budget, span, accounts.get(place) or _new(place, budget), held))
            continue
        every = leases.family(budget.account + EACH, span.start_ns) if leases is not None else []
        each = [_status(budget, span, account, held) for account in every]
        found += sorted(each, key=lambda status: -status.spent)
        if not each:
            found.append(_status(budget, span, _new((budget.account, span.start_ns), budget), held))
    return tuple(found)


def zone_of(budget: Budget) -> tzinfo:
    """Where its days begin."""
    return UTC if budget.zone == "UTC" else ZoneInfo(budget.zone)


def _new(place: Place, budget: Budget) -> Account:
    return Account(place, budget.limit, 0, 0, 0, 0)


def _status(budget: Budget, span: Window, account: Account, held: Mapping[Place, int]) -> BudgetStatus:
    return BudgetStatus(
        budget=budget,
        account=account.place[0],
        value=value_of(account.place[0]),
        span=span,
        limit=budget.limit,
        spent=account.spent,
        reserved=held.get(account.place, 0),
        lent=account.leased,
        forfeited=account.forfeited,
    )
