"""Which budgets count a request on a route, and what it may cost them: found once for each set of tags. No I/O.

A `Match` is good until the minute ends, or the window of one of its budgets does: until then a request that has the
same tags and takes the same route is counted by the same shares at the same prices.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from baseload.catalog.entries import Offer
from baseload.clock import from_ns
from baseload.gateway.hold import Hold, Short
from baseload.gateway.share import Share, Wanted
from baseload.gateway.shares import Shares
from baseload.gateway.state import Snapshot
from baseload.load.facts import Facts
from baseload.policy.budget import Budget, Dearest, dearest, most, window, worst
from baseload.policy.policy import Route
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_MINUTE

MOST_KNOWN = 10_000
"""Combinations of tags and route whose budgets are remembered, and values that have no account of their own."""
_MINUTE_NS = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND


class Line:
    """One budget in force; `rest` are the accounts that the ledger keeps no further ones beside."""

    __slots__ = ("budget", "rest", "zone")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.zone: tzinfo = UTC if budget.zone == "UTC" else ZoneInfo(budget.zone)
        self.rest: set[tuple[str, int]] = set()

    def share(self, shares: Shares, facts: Facts) -> Share:
        """The share that counts a request, in its window."""
        budget = self.budget
        span = window(budget, facts.at_ns, self.zone)
        if not budget.each:
            return shares.share(budget, (budget.account, span.start_ns), span, self.zone)
        place = (budget.account_of(facts.tags[budget.each]), span.start_ns)
        if place in self.rest:
            place = (budget.account_of(None), span.start_ns)
        return shares.share(budget, place, span, self.zone)

    def is_rest(self, share: Share) -> None:
        """From now on what this account would count is counted with all others that have none."""
        if len(self.rest) >= MOST_KNOWN:
            self.rest.clear()
        self.rest.add(share.place)


class Match(NamedTuple):
    """The shares that count requests of one kind on a `route`, with its prices, for requests of a span of time."""

    snapshot: Snapshot
    route: Route
    lines: tuple[Line, ...]
    shares: tuple[Share, ...]
    prices: Dearest | None
    start_ns: int
    end_ns: int
    only_requests: bool
    asks_first: bool  # whether one of the budgets has an account for each value

    def needs(self, hold: Hold, now_ns: int) -> Wanted | Short:
        """What a try may add to each share at the most."""
        shares, route = self.shares, self.route
        if self.only_requests:
            return [(share, 1) for share in shares]
        demand, prices = hold.demand, self.prices
        if demand.tier:
            prices = prices_of(self.snapshot.offers.get(route.offer), route, now_ns, demand.tier)
        found = most(demand, route, hold.facts.operation, prices)
        needs = []
        for share in shares:
            need = worst(share.budget, found, route)
            if need is None:
                return Short(share, route.name, None)
            if need:
                needs.append((share, need))
        return needs

    @property
    def unknown(self) -> bool:
        """Whether the ledger is to be asked first if it keeps an account for a value."""
        return any(share.account is None and share.budget.each for share in self.shares)


class Matching:
    """The budgets in force, and the matches that were found lately."""

    def __init__(self, shares: Shares) -> None:
        self.lines: dict[str, Line] = {}
        self._shares = shares
        self._tags: tuple[str, ...] = ()
        self._known: dict[tuple[object, ...], Match] = {}

    def put_in_force(self, budgets: Iterable[Budget]) -> None:
        """Other budgets from now on. What stays the same keeps its shares."""
        before, self.lines = self.lines, {}
        for budget in budgets:
            line = before.get(budget.account)
            if line is None or line.budget.zone != budget.zone or line.budget.each != budget.each:
                line = Line(budget)
            line.budget = budget
            self.lines[budget.account] = line
        self._shares.put_in_force({name: line.budget for name, line in self.lines.items()})
        names = {name for line in self.lines.values() for name in (*line.budget.match, line.budget.each)}
        self._tags = tuple(sorted(names - {"model", "upstream", "route", "bucket", ""}))
        self.forget()

    def forget(self) -> None:
        """Find every match anew."""
        self._known.clear()

    def of(self, snapshot: Snapshot, facts: Facts, route: Route, now_ns: int) -> Match:
        """What counts a request on a route, at prices of now."""
        key = (route.name, facts.bucket, *map(facts.tags.get, self._tags))
        found = self._known.get(key)
        if found is not None and found.snapshot is snapshot:
            start, end, at = found.start_ns, found.end_ns, facts.at_ns
            if start <= at < end and start <= now_ns < end:
                return found
        found = self._found(snapshot, facts, route, now_ns)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key] = found
        return found

    def _found(self, snapshot: Snapshot, facts: Facts, route: Route, now_ns: int) -> Match:
        counting = (line for line in self.lines.values() if line.budget.counts(facts))
        lines = tuple(line for line in counting if line.budget.counts_on(route))
        shares = tuple(line.share(self._shares, facts) for line in lines)
        start = now_ns - now_ns % _MINUTE_NS
        return Match(
            snapshot=snapshot,
            route=route,
            lines=lines,
            shares=shares,
            prices=prices_of(snapshot.offers.get(route.offer), route, now_ns),
            start_ns=max(start, *(share.span.start_ns for share in shares)) if shares else start,
            end_ns=min(start + _MINUTE_NS, *(_end(line, facts) for line in lines)) if lines else start + _MINUTE_NS,
            only_requests=all(
                line.budget.requests is not None and (line.budget.own or not route.own) for line in lines
            ),
            asks_first=any(line.budget.each for line in lines),
        )


def prices_of(offer: Offer | None, route: Route, now_ns: int, tier: str = "") -> Dearest | None:
    """The dearest prices of an offer from now until a request that waits for a slot of its route may be sent."""
    if offer is None:
        return None
    start = now_ns - now_ns % _MINUTE_NS
    begins = from_ns(start)
    ends = from_ns(start + 2 * _MINUTE_NS + int(route.wait_seconds * NANOSECONDS_PER_SECOND))
    return dearest(offer, (*offer.turns(begins, ends), ends), tier)


def _end(line: Line, facts: Facts) -> int:
    return window(line.budget, facts.at_ns, line.zone).end_ns
