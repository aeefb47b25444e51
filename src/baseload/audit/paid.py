"""What a window of metered traffic cost on both bases: as calls were charged, and as it was really paid. Pure.

A call on an own pool is charged its share of busy time (the usage basis). What is paid is what was bought by the token
and every leased hour of the pool, busy or idle (the reservation basis); an API is compared with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from baseload.capacity.deployment import Deployment
from baseload.units import NANO_PER_USD, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR

# USD of one GPU-hour, and the GPUs that are leased.
Pool = tuple[Decimal, int]
OWN_KIND = "own"


class Leased(Protocol):
    """What the configuration says of an upstream that may be an own pool."""

    @property
    def kind(self) -> str: ...
    @property
    def deployment(self) -> str: ...
    @property
    def usd_per_gpu_hour(self) -> Decimal | None: ...


@dataclass(frozen=True, slots=True)
class Paid:
    """Money of a window in nano-dollars.

    `bought` is what was bought by the token, `own` what the own pools' calls were charged on the usage basis, `lease`
    what the pools' hours cost from the first arrival to the last end: None when no configuration says it.
    """

    bought_nanousd: int
    own_nanousd: int
    lease_nanousd: int | None

    @property
    def leased(self) -> bool:
        """Whether there is an own pool, so that the two bases differ."""
        return self.lease_nanousd != 0

    @property
    def metered_nanousd(self) -> int:
        """The usage basis: what the calls were charged."""
        return self.bought_nanousd + self.own_nanousd

    @property
    def paid_nanousd(self) -> int | None:
        """The reservation basis: what was bought, and every leased hour. None when the lease is not known."""
        return None if self.lease_nanousd is None else self.bought_nanousd + self.lease_nanousd

    @property
    def idle_nanousd(self) -> int | None:
        """What is left of the lease when the calls' shares are taken out.

        Negative when the pool did more than its hours hold at the measured rates: it is faster than it was measured,
        more machines stand behind it than are configured, or runs of one trace were replayed over the same hours.
        What was paid is then a lower bound.
        """
        return None if self.lease_nanousd is None else self.lease_nanousd - self.own_nanousd

    @property
    def overrun(self) -> bool:
        """Whether idle is negative."""
        return self.idle_nanousd is not None and self.idle_nanousd < 0

    @property
    def busy_share(self) -> Decimal | None:
        """The own pools' calls as a share of their lease, to six decimals; None without a known lease."""
        return round(Decimal(self.own_nanousd) / self.lease_nanousd, 6) if self.lease_nanousd else None


def paid(
    bought_nanousd: int, own_nanousd: int, pools: Sequence[Pool] | None, first_ns: int | None, end_ns: int | None
) -> Paid:
    """Both bases of a window that begins at the first arrival and ends with the last call.

    `pools` None: there is one whose hours have no known price. Calls of an own pool that is not among `pools` leave the
    lease unknown too. Without a call (times None) there is no window and nothing is leased.
    """
    if pools is None or (own_nanousd and not pools):
        return Paid(bought_nanousd, own_nanousd, None)
    nanoseconds = 0 if first_ns is None or end_ns is None else end_ns - first_ns
    return Paid(bought_nanousd, own_nanousd, lease_nanousd(pools, nanoseconds))


def lease_nanousd(pools: Iterable[Pool], nanoseconds: int) -> int:
    """What pools cost in a time, busy or idle: exact, rounded half-even once.

    >>> lease_nanousd([(Decimal("2.40"), 2)], 1_800 * 10**9)
    2400000000
    """
    hourly = sum((Fraction(usd_per_gpu_hour) * gpus for usd_per_gpu_hour, gpus in pools), Fraction(0))
    return round(hourly * NANO_PER_USD * nanoseconds / (SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND))


def pools_of(upstreams: Iterable[Leased], deployments: Mapping[str, Deployment]) -> tuple[Pool, ...] | None:
    """The own pools of a configuration; None when one of them does not say what its hours cost."""
    pools = []
    for upstream in upstreams:
        if not upstream.deployment and upstream.kind != OWN_KIND:
            continue
        if upstream.deployment not in deployments or upstream.usd_per_gpu_hour is None:
            return None
        pools.append((upstream.usd_per_gpu_hour, deployments[upstream.deployment].gpus))
    return tuple(pools)
