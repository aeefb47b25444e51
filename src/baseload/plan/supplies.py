"""What the calls may be served by: the policy's routes as API offers and own pools, with the buckets each may serve.

Pure. A pool never stands in for calls of a bucket that its route does not serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from baseload.capacity.deployment import Deployment
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Lease, LeaseKind, Offer, Source
from baseload.errors import BadConfig, UnknownModel
from baseload.load.facts import Bucket
from baseload.plan.document import Known
from baseload.policy.policy import Policy, Route
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH


class Upstream(Protocol):
    """What a decision needs to know of a configured upstream."""

    @property
    def name(self) -> str: ...
    @property
    def deployment(self) -> str: ...
    @property
    def usd_per_gpu_hour(self) -> Decimal | None: ...


class Configured(Protocol):
    """What a decision needs to know of the configuration."""

    @property
    def policy(self) -> Policy: ...
    @property
    def upstreams(self) -> Sequence[Upstream]: ...


@dataclass(frozen=True, slots=True)
class Api:
    """An offer and the buckets it may serve."""

    offer: Offer
    buckets: frozenset[Bucket]


@dataclass(frozen=True, slots=True)
class Pool:
    """Own machines of one deployment. `slots` is how many requests the policy keeps in flight on one of them,
    `purchase` what the books ask for a card."""

    name: str
    deployment: Deployment
    buckets: frozenset[Bucket]
    slots: int
    usd_per_gpu_hour: Range
    known: Known
    source: Source | None
    purchase: Lease | None = None

    @property
    def pace(self) -> Decimal:
        """The share of its measured best that a machine reaches with `slots` requests in flight."""
        curve, most = self.deployment.curve, self.deployment.max_in_flight
        return Decimal(str(curve.tokens_per_second(min(self.slots, most)) / curve.tokens_per_second(most)))

    @property
    def usd_per_month(self) -> Range:
        """One machine, around the clock."""
        return self.usd_per_gpu_hour * self.deployment.gpus * HOURS_PER_MONTH

    @property
    def how(self) -> str:
        """The arithmetic of `usd_per_month`."""
        rate = self.usd_per_gpu_hour
        hourly = f"{rate.low}" if rate.is_exact else f"{rate.low}-{rate.high}"
        return f"{self.deployment.gpus} x {self.deployment.gpu} x {hourly} USD/h x {HOURS_PER_MONTH} h"


@dataclass(frozen=True, slots=True)
class Supplies:
    """Everything that may serve. `left_out` says in words what could not be weighed, and why; `pools` is how many own
    pools there are."""

    apis: tuple[Api, ...]
    pool: Pool | None
    left_out: tuple[str, ...] = ()
    pools: int = 0


def supplies(configured: Configured, catalog: Catalog, deployments: Mapping[str, Deployment]) -> Supplies:
    """The configuration's routes as supplies. The first own pool is weighed; more are named as left out."""
    upstreams = {upstream.name: upstream for upstream in configured.upstreams}
    apis: dict[str, Api] = {}
    pools: list[Pool] = []
    left_out: list[str] = []
    for route in configured.policy.routes:
        buckets = frozenset(bucket for bucket, success in route.success.items() if success)
        if route.own:
            pools.append(_pool(route, buckets, upstreams[route.upstream], catalog, deployments))
            continue
        try:
            offer = catalog.offer(route.offer)
        except UnknownModel as error:
            left_out.append(f"route {route.name}: {error.message}")
            continue
        known = apis[offer.key].buckets if offer.key in apis else frozenset()
        apis[offer.key] = Api(offer, buckets | known)
    left_out += [f"pool {pool.name}: one pool is weighed at a time" for pool in pools[1:]]
    return Supplies(tuple(apis.values()), pools[0] if pools else None, tuple(left_out), len(pools))


def _pool(
    route: Route,
    buckets: frozenset[Bucket],
    upstream: Upstream,
    catalog: Catalog,
    deployments: Mapping[str, Deployment],
) -> Pool:
    deployment = deployments.get(upstream.deployment)
    if deployment is None:
        raise BadConfig(
            f"upstream {upstream.name} runs deployment {upstream.deployment!r}, which is not in the catalog",
            remedy=f"Use one of {', '.join(deployments)}.",
        )
    rate, known, source = _rent(upstream, deployment, catalog)
    slots = route.slots if route.slots is not None else deployment.max_in_flight
    purchase = next((each for each in catalog.leases(deployment.gpu) if each.purchase_usd is not None), None)
    return Pool(upstream.name, deployment, buckets, slots, rate, known, source, purchase)


def _rent(upstream: Upstream, deployment: Deployment, catalog: Catalog) -> tuple[Range, Known, Source | None]:
    """What a GPU-hour costs: as configured, else what the best book says of renting one."""
    if upstream.usd_per_gpu_hour is not None:
        return Range.exact(upstream.usd_per_gpu_hour), "typed", None
    for lease in catalog.leases(deployment.gpu):
        if lease.kind is LeaseKind.RENTED and lease.usd_per_gpu_hour is not None:
            return lease.usd_per_gpu_hour, "market", lease.source
    raise BadConfig(
        f"upstream {upstream.name} has no usd_per_gpu_hour, and no book knows what {deployment.gpu} rents for",
        remedy="Write usd_per_gpu_hour beside its deployment.",
    )
