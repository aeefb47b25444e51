"""What an hour of a GPU really costs by the way it is paid, and from how many hours on owning is cheaper. Pure.

The hours that a machine is on are paid; what they bring is another question. A reservation and an owned machine are
paid for every hour of the month, so an hour that is used costs the more the fewer there are.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from baseload.catalog.entries import Lease, LeaseKind
from baseload.catalog.gpus import FIGURES, GpuOffer
from baseload.cost.on_machines import annuity
from baseload.errors import BadInput
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH, MONTHS_PER_YEAR, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, WATTS_PER_KILOWATT

MINUTES_PER_HOUR = SECONDS_PER_HOUR // SECONDS_PER_MINUTE
# Figures of an owned machine that make it cheaper when they rise.
_FALLING = frozenset({"life_years", "residual_share"})
OWNING = ("card_usd", *FIGURES)


@dataclass(frozen=True, slots=True)
class Rate:
    """USD per GPU and paid hour over the rows of one kind: lowest, median, highest. `rows` count, `flagged` do not."""

    kind: LeaseKind
    usd_per_gpu_hour: Range
    rows: int
    flagged: int


@dataclass(frozen=True, slots=True)
class OwnedMonth:
    """A month of one owned card, its share of the node included, in exact USD. `power_per_hour` is paid while it is on;
    the rest is paid whether it is on or not."""

    capital: Fraction
    maintenance: Fraction
    colocation: Fraction
    power_per_hour: Fraction

    @property
    def fixed(self) -> Fraction:
        """What a month costs with the machine off."""
        return self.capital + self.maintenance + self.colocation

    def usd(self, hours_on: Fraction | int = HOURS_PER_MONTH) -> Fraction:
        """USD a month at that many hours on."""
        return self.fixed + self.power_per_hour * hours_on

    def even_with(self, usd_per_gpu_hour: Decimal) -> Fraction | None:
        """Hours on a month at which owning costs what renting by the hour does; above it owning is cheaper.

        None where no month is long enough.
        """
        saved = Fraction(usd_per_gpu_hour) - self.power_per_hour
        hours = self.fixed / saved if saved > 0 else None
        return hours if hours is not None and hours <= HOURS_PER_MONTH else None


def rates(offers: Iterable[GpuOffer], leases: Iterable[Lease] = ()) -> tuple[Rate, ...]:
    """Low, median and high of every kind that is paid by the hour. A lease by the month counts at 730 hours.

    A lease that is a range counts as its likely figure in the median and with its ends in low and high.
    """
    figures: dict[LeaseKind, list[Range]] = {}
    odd: dict[LeaseKind, int] = {}
    for offer in offers:
        if offer.flag:
            odd[offer.kind] = odd.get(offer.kind, 0) + 1
        else:
            figures.setdefault(offer.kind, []).append(Range.exact(offer.usd_per_hour))
    for lease in leases:
        hourly = _hourly(lease)
        if hourly is not None and lease.kind is not LeaseKind.OWNED:
            figures.setdefault(lease.kind, []).append(hourly)
    return tuple(
        Rate(
            kind,
            Range(
                min(each.low for each in found),
                statistics.median([each.likely for each in found]),
                max(each.high for each in found),
            ),
            len(found),
            odd.get(kind, 0),
        )
        for kind in LeaseKind
        if (found := figures.get(kind))
    )


def reserved(on_demand: Range, discount: Range) -> Range:
    """The hourly rate of a reservation at a discount on the on-demand rate: dearest at the least discount."""
    return Range(
        on_demand.low * (1 - discount.high),
        on_demand.likely * (1 - discount.likely),
        on_demand.high * (1 - discount.low),
    )


def per_used_hour(reservation: Range, hours_on: Fraction) -> Range:
    """A reservation is paid for all 730 hours: what one used hour costs. Half the hours, twice the price."""
    share = Fraction(HOURS_PER_MONTH) / hours_on
    return reservation * _decimal(share)


def spot(rate: Decimal, on_demand: Decimal, figures: Mapping[str, Decimal]) -> Decimal:
    """What an hour of served capacity costs on spot: spares beside it, hours served on demand, work lost.

    1.00 with 20 % spares, 10 % of the hours at 2.00 and 6 minutes lost in 10 hours is (1.08 + 0.20) x 1.01.
    """
    fallback = figures["spot_fallback_share"]
    served = rate * (1 + figures["spot_overprovision"]) * (1 - fallback) + on_demand * fallback
    lost = figures["spot_recovery_minutes"] / MINUTES_PER_HOUR / figures["spot_hours_between_interruptions"]
    return served * (1 + lost)


def owned(figures: Mapping[str, Decimal]) -> OwnedMonth:
    """A month of one card from the figures of `OWNING`.

    A card of 27,500 USD in a node a quarter dearer, at 10 % over four years with 20 % left, is 755 USD a month.
    """
    v = {name: Fraction(figures[name]) for name in OWNING}
    purchase = v["card_usd"] * v["node_factor"]
    kilowatts = v["watts_per_card"] / WATTS_PER_KILOWATT
    if v["life_years"] <= 0:
        raise BadInput("a machine cannot be written off in no time", remedy="Give life_years above zero.")
    return OwnedMonth(
        capital=annuity(purchase, v["capital_rate"], v["life_years"] * MONTHS_PER_YEAR, purchase * v["residual_share"]),
        maintenance=purchase * v["maintenance_share_per_year"] / MONTHS_PER_YEAR,
        colocation=kilowatts * v["colocation_usd_per_kw_month"],
        power_per_hour=kilowatts * v["pue"] * v["electricity_usd_per_kwh"],
    )


def owned_range(figures: Mapping[str, Range], hours_on: Fraction) -> Range:
    """USD per GPU and hour on: every figure at its cheapest end, at its likely value, at its dearest end."""
    months = [owned(at_end(figures, end)) for end in ("low", "likely", "high")]
    return Range(*(_decimal(month.usd(hours_on) / hours_on) for month in months))


def at_end(figures: Mapping[str, Range], end: str) -> dict[str, Decimal]:
    """Every figure at the end where it makes owning cheap (`low`) or dear (`high`), or at its likely value."""
    ends: Sequence[str] = ("low", "high") if end == "low" else ("high", "low") if end == "high" else (end, end)
    return {name: getattr(figures[name], ends[name in _FALLING]) for name in OWNING}


def _hourly(lease: Lease) -> Range | None:
    if lease.usd_per_gpu_hour is not None:
        return lease.usd_per_gpu_hour
    return None if lease.usd_per_month is None else lease.usd_per_month / (lease.count * HOURS_PER_MONTH)


def _decimal(figure: Fraction) -> Decimal:
    return Decimal(figure.numerator) / Decimal(figure.denominator)
