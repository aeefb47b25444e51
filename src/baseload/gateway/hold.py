"""What one request has reserved of the budgets that count it, until it is written down. No I/O.

One reservation covers all its tries: before each it grows to what the tries so far have cost and what the next one may
cost at the most; when the call is written down, what it has cost is charged and the rest returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baseload.gateway.share import Ending, Share, Wanted
from baseload.gateway.shares import Shares
from baseload.load.calls import Attempt, Charge
from baseload.load.facts import Facts
from baseload.policy.budget import Budget, Demand, Mode, actual, refusal, said, value_of
from baseload.policy.demand import demand_of
from baseload.policy.policy import Route
from baseload.wire.asked import Asked


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
        share, value = self.share, value_of(self.share.place[0])
        title = "" if value is None else f"{self.budget.name}[{value}]"
        return refusal(self.budget, share.standing(), self.need or 0, share.span, share.zone, title)


class Hold:
    """The reservation of one request. It is made for every request: what is rare is not there until it is needed."""

    __slots__ = ("_demand", "asked", "covered", "done", "ending", "facts", "headers", "held", "own", "shares", "shorts")

    def __init__(self, shares: Shares, facts: Facts, asked: Asked, own: frozenset[str]) -> None:
        self.shares, self.facts, self.asked, self.own = shares, facts, asked, own
        self.held: dict[Share, int] = {}
        self.covered: dict[str, Wanted] = {}  # by route
        self.shorts: tuple[Short, ...] = ()
        self.headers: tuple[tuple[bytes, bytes], ...] = ()  # what the client is told
        self.ending: Ending = ()
        self.done = False
        self._demand: Demand | None = None

    @property
    def demand(self) -> Demand:
        """What bounds the request; read from its bytes once, where a budget asks."""
        found = self._demand
        if found is None:
            found = self._demand = demand_of(self.asked)
        return found

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

    def wanted(self, route: Route, needs: Wanted, attempts: Sequence[Attempt]) -> Wanted:
        """How much more must be reserved of each share before a try on a route."""
        self.covered[route.name] = needs
        if not self.held and not attempts:
            return needs
        found = []
        for share, need in needs:
            spent = self._spent(share, attempts)
            wanted = max(spent, need) if share.budget.requests is not None else spent + need
            more = wanted - self.held.get(share, 0)
            if more > 0:
                found.append((share, more))
        return found

    def took(self, wanted: Wanted) -> None:
        """Note what was reserved."""
        held = self.held
        for share, more in wanted:
            held[share] = held.get(share, 0) + more
            if share.room < 0 and share.budget.mode is Mode.WARN and share.over:
                name = share.budget.name.encode()
                if not any(name in value for _, value in self.headers):
                    self.headers += ((b"x-baseload-budget-warning", name + b" is spent"),)

    def charges(self, attempts: Sequence[Attempt]) -> tuple[Charge, ...]:
        """What the call is to be charged, now that it has ended."""
        if not self.held:
            return ()
        holder, charges, ending = self.shares.holder, [], []
        for share, held in self.held.items():
            spent = self._spent(share, attempts)
            ending.append((share, held, spent))
            if spent:
                budget, window_ns = share.place
                charges.append(Charge(budget, window_ns, spent, holder))
        self.ending = ending
        return tuple(charges)

    def closing(self, call: str) -> None:
        """The call of that id is about to be written down."""
        if self.held:
            self.shares.closing(call, self.ending)

    def stay(self) -> None:
        """It could not be written down: what is reserved stays reserved until it can."""
        if self.held:
            self.shares.stay(self.ending)

    def settle(self, *, written: bool) -> None:
        """End the reservation, once, with what it was charged."""
        if self.done:
            return
        self.done = True
        if self.held:
            ending = self.ending or [(share, held, 0) for share, held in self.held.items()]
            self.shares.settle(ending, written=written)
            self.held = {}

    def forfeit(self) -> None:
        """End it without knowing what the call cost: it is charged what it might have."""
        self.ending = [(share, held, held) for share, held in self.held.items()]
        self.settle(written=False)

    def _spent(self, share: Share, attempts: Sequence[Attempt]) -> int:
        if len(self.covered) == 1:
            for each in attempts:
                if each.cost_nanousd is None:
                    break
            else:
                return actual(share.budget, attempts, self.own)
        worst = {route: need for route, needs in self.covered.items() for each, need in needs if each is share}
        return actual(share.budget, [each for each in attempts if each.route in worst], self.own, worst)
