"""One run of the ledger, followed: every call priced once on every offer, and a decision on all. Acts (reads it).

Prices are added up as calls come in, so that a page over a growing ledger never prices a call twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from baseload.audit.paid import Paid, Pool, paid, pools_of
from baseload.audit.reprice import reprice
from baseload.capacity.deployment import Deployment
from baseload.capacity.offer import OWN
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer
from baseload.clock import now
from baseload.console.outlook import Compared, Outlook, ranked
from baseload.cost.parameters import Assumptions
from baseload.documents import catalog_of, load_deployments, load_parameters
from baseload.errors import BaseloadError, UnknownModel
from baseload.gateway.offers import priced_routes
from baseload.ledger.hot import HotStore
from baseload.ledger.query import Filter, position, recorded
from baseload.load.calls import Call
from baseload.plan.answer import Answer
from baseload.plan.measured import decide_on_calls
from baseload.settings import Settings

# Calls that are priced in one go.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Market:
    """What the calls are weighed on: the books, the measured deployments, and the offers that are compared.

    `strangers` are names to compare that no book prices; they are shown as unknown. `pools` are the leased ones, None
    when what they cost is not known.
    """

    settings: Settings
    catalog: Catalog
    deployments: Mapping[str, Deployment]
    offers: tuple[Offer, ...]
    strangers: tuple[str, ...]
    pools: tuple[Pool, ...] | None
    assumptions: Assumptions


def market(settings: Settings) -> Market:
    """Load the books and look up what is to be compared. About half a second."""
    catalog, deployments = catalog_of(settings), load_deployments()
    offers, strangers = priced_routes(settings, catalog, deployments, now(settings.clock).date())
    unknown = list(strangers)
    for name in settings.compare:
        try:
            offers.setdefault(name, catalog.offer(name))
        except UnknownModel:
            unknown.append(name)
    pools = pools_of(settings.upstreams, deployments)
    strange, assumed = tuple(dict.fromkeys(unknown)), Assumptions(load_parameters())
    return Market(settings, catalog, deployments, tuple(offers.values()), strange, pools, assumed)


class Study:
    """The comparison of one run, kept up to date."""

    def __init__(self, market: Market, where: Filter) -> None:
        self._market = market
        self._where = where
        self._position = 0
        self._requests = 0
        self._bought = self._own = 0
        # The first arrival and the last end.
        self._span: tuple[int, int] | None = None
        self._sums: dict[str, int | None] = {offer.key: 0 for offer in market.offers}

    def follow(self, store: HotStore) -> Outlook:
        """Price what was recorded since the last time, and decide on everything."""
        upto = position(store)
        fresh = recorded(store, self._position, upto, self._where)
        while batch := [call for _, call in itertools.islice(fresh, _BATCH)]:
            self._add(batch)
        self._position = upto
        document, reason = self._decide(store)
        money = self._paid()
        return Outlook(upto, self._requests, self._compared(money), document, reason, leased=money.leased)

    def _add(self, batch: Sequence[Call]) -> None:
        self._requests += len(batch)
        for call in batch:
            first_ns, ended_ns = self._span or (call.facts.at_ns, call.ended_ns)
            self._span = min(first_ns, call.facts.at_ns), max(ended_ns, call.ended_ns)
            for attempt in call.attempts:
                if attempt.offer.startswith(f"{OWN}/"):
                    self._own += attempt.cost_nanousd or 0
                else:
                    self._bought += attempt.cost_nanousd or 0
        for row in reprice(batch, self._market.offers):
            known = self._sums[row.offer]
            self._sums[row.offer] = None if known is None or row.nanousd is None else known + row.nanousd

    def _paid(self) -> Paid:
        first_ns, ended_ns = self._span or (None, None)
        return paid(self._bought, self._own, self._market.pools, first_ns, ended_ns)

    def _compared(self, money: Paid) -> tuple[Compared, ...]:
        rows = [
            Compared(offer.model, offer.provider, offer.source.book, offer.source.as_of, self._sums[offer.key])
            for offer in self._market.offers
        ]
        for name in self._market.strangers:
            provider, _, model = name.rpartition("/")
            rows.append(Compared(model, provider, "in no book", None, None))
        provider = "paid" if money.leased else "metered"
        rows.append(Compared("as routed", provider, "ledger", None, money.paid_nanousd, metered=True))
        return ranked(rows)

    def _decide(self, store: HotStore) -> tuple[Answer | None, str]:
        market = self._market
        try:
            return decide_on_calls(
                store.calls(self._where),
                market.catalog,
                market.deployments,
                market.settings,
                market.assumptions,
                now(market.settings.clock).date(),
            ), ""
        except BaseloadError as error:
            return None, str(error)
