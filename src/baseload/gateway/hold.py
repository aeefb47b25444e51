"""What one request has reserved of the budgets that count it, until it is written down. No I/O.

One reservation covers all its tries: before each it grows to what the tries so far have cost and what the next one may
cost at the most; when the call is written down, what it has cost is charged and the rest returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from baseload.gateway.shares import Share, Shares
from baseload.load.calls import Attempt, Charge
from baseload.load.facts import Facts
from baseload.policy.budget import Budget, Demand, Mode, Unit, actual, refusal, said
from baseload.policy.policy import Route


@dataclass(frozen=True, slots=True)
class Short:
    """Why a budget keeps a request from a route. `need` is what it would have taken; None where no price is known."""

    share: Share
    route: str
    need: int | None
    unknown: str = ""  # why the store could not be asked

    @property
    def budget(self) -> Budget:
        return self.share.budget

    @property
    def reason(self) -> str:
        """In a few words, for the decision."""
        name = self.budget.name
        if self.unknown:
            return f"budget {name} cannot be asked: {self.unknown}"
        if self.need is None:
            return f"budget {name} caps USD, and no price is known"
        return f"budget {name} has no room for {said(self.budget, self.need)}"

    @property
    def message(self) -> str:
        """For the client."""
        return refusal(self.budget, self.share.standing(), self.need or 0, self.share.span, self.share.zone)


@dataclass(slots=True)
class Hold:
    """The reservation of one request."""

    shares: Shares
    facts: Facts
    demand: Demand
    own: frozenset[str]
    held: dict[Share, int] = field(default_factory=dict)
    covered: dict[str, tuple[Share, ...]] = field(default_factory=dict)  # by route
    shorts: list[Short] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)  # what the client is told
    spent: dict[Share, int] = field(default_factory=dict)
    done: bool = False

    @property
    def stopped(self) -> Short | None:
        """The budget that refuses the whole request, and not only a route."""
        for short in self.shorts:
            if short.budget.mode is Mode.BLOCK and not short.budget.of_routes:
                return short
        return None

    @property
    def downgrades(self) -> Short | None:
        """The budget for whose sake something cheaper is to be tried."""
        found = (short for short in self.shorts if short.budget.mode is Mode.DOWNGRADE)
        return None if self.stopped else next(found, None)

    def wanted(
        self, route: Route, shares: Sequence[Share], worst: Callable[[Budget], int | None], attempts: Sequence[Attempt]
    ) -> list[tuple[Share, int]] | Short:
        """How much more must be reserved of each share before a try on a route."""
        self.covered[route.name] = tuple(shares)
        found = []
        for share in shares:
            need = worst(share.budget)
            if need is None:
                return Short(share, route.name, None)
            spent = self._spent(share, attempts) if attempts else 0
            wanted = max(spent, need) if share.budget.unit is Unit.REQUESTS else spent + need
            more = wanted - self.held.get(share, 0)
            if more > 0:
                found.append((share, more))
        return found

    def took(self, wanted: Sequence[tuple[Share, int]]) -> None:
        """Note what was reserved."""
        for share, more in wanted:
            self.held[share] = self.held.get(share, 0) + more
            if share.budget.mode is Mode.WARN and share.over:
                name = share.budget.name.encode()
                if not any(name in value for _, value in self.headers):
                    self.headers.append((b"x-baseload-budget-warning", name + b" is spent"))

    def charges(self, attempts: Sequence[Attempt]) -> tuple[Charge, ...]:
        """What the call is to be charged, now that it has ended."""
        self.spent = {share: self._spent(share, attempts) for share in self.held}
        holder = self.shares.holder
        return tuple([Charge(*share.place, amount, holder) for share, amount in self.spent.items() if amount])

    def settle(self, *, written: bool) -> None:
        """End the reservation, once, with what it was charged."""
        if self.done:
            return
        self.done = True
        for share, held in self.held.items():
            self.shares.settle(share, held, self.spent.get(share, 0), written=written)
        self.held.clear()

    def _spent(self, share: Share, attempts: Sequence[Attempt]) -> int:
        if len(self.covered) == 1:
            return actual(share.budget, attempts, self.own)
        ours = [each for each in attempts if share in self.covered.get(each.route, ())]
        return actual(share.budget, ours, self.own)
