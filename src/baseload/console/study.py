"""One run of the ledger, followed: every call priced once on every offer, and a decision on all. Acts (reads it).

Prices are added up as calls come in, so that a page over a growing ledger never prices a call twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from baseload.audit.reprice import reprice
from baseload.capacity.deployment import Deployment
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer
from baseload.clock import now
from baseload.console.outlook import Compared, Outlook, ranked
from baseload.documents import catalog_of, load_deployments
from baseload.errors import BaseloadError, UnknownModel
from baseload.gateway.offers import priced_routes
from baseload.ledger.hot import HotStore
from baseload.ledger.query import Filter, position, recorded
from baseload.load.calls import Call
from baseload.plan.advice import decide_on_calls
from baseload.plan.document import DecideDocument
from baseload.settings import Settings

# Calls that are priced in one go.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Market:
    """What the calls are weighed on: the books, the measured deployments, and the offers that are compared.

    `strangers` are names to compare that no book prices; they are shown as unknown.
    """

    settings: Settings
    catalog: Catalog
    deployments: Mapping[str, Deployment]
    offers: tuple[Offer, ...]
    strangers: tuple[str, ...]


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
    return Market(settings, catalog, deployments, tuple(offers.values()), tuple(dict.fromkeys(unknown)))


class Study:
    """The comparison of one run, kept up to date."""

    def __init__(self, market: Market, where: Filter) -> None:
        self._market = market
        self._where = where
        self._position = 0
        self._requests = 0
        self._spent = 0
        self._sums: dict[str, int | None] = {offer.key: 0 for offer in market.offers}

    def follow(self, store: HotStore) -> Outlook:
        """Price what was recorded since the last time, and decide on everything."""
        upto = position(store)
        fresh = recorded(store, self._position, upto, self._where)
        while batch := [call for _, call in itertools.islice(fresh, _BATCH)]:
            self._add(batch)
        self._position = upto
        document, reason = self._decide(store)
        return Outlook(upto, self._requests, self._compared(), document, reason)

    def _add(self, batch: Sequence[Call]) -> None:
        self._requests += len(batch)
        self._spent += sum(attempt.cost_nanousd or 0 for call in batch for attempt in call.attempts)
        for row in reprice(batch, self._market.offers):
            known = self._sums[row.offer]
            self._sums[row.offer] = None if known is None or row.nanousd is None else known + row.nanousd

    def _compared(self) -> tuple[Compared, ...]:
        rows = [
            Compared(offer.model, offer.provider, offer.source.book, offer.source.as_of, self._sums[offer.key])
            for offer in self._market.offers
        ]
        for name in self._market.strangers:
            provider, _, model = name.rpartition("/")
            rows.append(Compared(model, provider, "in no book", None, None))
        rows.append(Compared("as routed", "metered", "ledger", None, self._spent, metered=True))
        return ranked(rows)

    def _decide(self, store: HotStore) -> tuple[DecideDocument | None, str]:
        market = self._market
        try:
            return decide_on_calls(store.calls(self._where), market.catalog, market.deployments, market.settings), ""
        except BaseloadError as error:
            return None, str(error)
