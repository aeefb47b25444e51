"""The offers that price a configuration's routes: the books', and your own pools' at what their hours cost. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from baseload.capacity.deployment import Deployment
from baseload.capacity.offer import own_offer
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer, Precedence, Source
from baseload.errors import BadConfig, UnknownModel
from baseload.settings import Settings, Upstream


def priced_routes(
    settings: Settings, catalog: Catalog, deployments: Mapping[str, Deployment], as_of: date
) -> tuple[dict[str, Offer], tuple[str, ...]]:
    """Offers by key for every route that has a price, and the keys that no book prices (their calls are `unpriced`)."""
    offers = own_offers(settings, deployments, as_of)
    unpriced = []
    for key in dict.fromkeys(route.offer for route in settings.policy.routes):
        if key in offers:
            continue
        try:
            offers[key] = catalog.offer(key)
        except UnknownModel:
            unpriced.append(key)
    return offers, tuple(unpriced)


def own_offers(settings: Settings, deployments: Mapping[str, Deployment], as_of: date) -> dict[str, Offer]:
    """An offer for each own upstream that names its deployment. Raises BadConfig when half of that is missing."""
    offers = [_own(upstream, deployments, as_of) for upstream in settings.upstreams if upstream.deployment]
    return {offer.key: offer for offer in offers}


def _own(upstream: Upstream, deployments: Mapping[str, Deployment], as_of: date) -> Offer:
    if upstream.deployment not in deployments:
        raise BadConfig(
            f"upstream {upstream.name} names deployment {upstream.deployment!r}, which no book knows",
            remedy=f"Use one of {', '.join(sorted(deployments))}.",
        )
    hour: Decimal | None = upstream.usd_per_gpu_hour
    if hour is None:
        raise BadConfig(
            f"upstream {upstream.name} names a deployment but not what its GPUs cost",
            remedy=f"Set usd_per_gpu_hour of upstream {upstream.name}.",
        )
    reference = f"usd_per_gpu_hour of upstream {upstream.name}"
    source = Source(book="yours", precedence=Precedence.YOURS, as_of=as_of, reference=reference)
    return own_offer(deployments[upstream.deployment], hour, source)
