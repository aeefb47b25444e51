"""What a gateway serves with: settings, and the offers that price their routes. Acts (reads the books).

Books are big and slow to read, and a route needs one line of them. So one process reads them, and hands this value to
its workers over a pipe that nobody else can read: it holds keys.
"""

from __future__ import annotations

from datetime import UTC, date, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from baseload.catalog.entries import Offer, Precedence
from baseload.settings import Settings


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """`offers` by key for every route that has a price; `unpriced` are the keys that no book prices."""

    settings: Settings
    offers: dict[str, Offer]
    unpriced: tuple[str, ...] = ()

    @property
    def oldest_price(self) -> date | None:
        """The day of the oldest price that a route is billed at and a book states; None when there is none."""
        days = [offer.source.as_of for offer in self.offers.values() if offer.source.precedence is not Precedence.YOURS]
        return min(days, default=None)


def load(settings: Settings, today: date) -> Loaded:
    """Read the books. Raises BadConfig."""
    from baseload.documents import catalog_of, load_deployments  # workers never read books
    from baseload.gateway.offers import priced_routes

    offers, unpriced = priced_routes(settings, catalog_of(settings), load_deployments(), today)
    return Loaded(settings=settings, offers=offers, unpriced=unpriced)


def encoded(loaded: Loaded) -> bytes:
    """As JSON on one line."""
    return msgspec.json.encode(loaded, enc_hook=_zone_name)


def decoded(data: bytes | msgspec.Raw) -> Loaded:
    """What `encoded` wrote."""
    return msgspec.json.decode(data, type=Loaded, dec_hook=_zone)


def _zone_name(value: object) -> str:
    if isinstance(value, tzinfo):
        return str(value)
    raise NotImplementedError(f"{type(value)} has no place in what a gateway serves with")


def _zone(kind: type, value: object) -> object:
    if issubclass(kind, tzinfo):
        return UTC if value == "UTC" else ZoneInfo(str(value))
    raise NotImplementedError(f"{kind} has no place in what a gateway serves with")
