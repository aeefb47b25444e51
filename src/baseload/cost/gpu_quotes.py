"""What GPUs cost by the hour: the documents behind `baseload gpu list`, `show` and `compare`. Pure.

Schemas `baseload.gpu.list/1`, `baseload.gpu.show/1` and `baseload.gpu.compare/1`. Prices are USD per GPU and hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import msgspec

from baseload.catalog.entries import Lease, LeaseKind
from baseload.catalog.gpus import GpuOffer, Hardware, gpu_named
from baseload.cost.gpus import OWNING, Rate, at_end, owned, owned_range, per_used_hour, rates, reserved, spot
from baseload.errors import BadInput
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH

_CENT = Decimal("0.0001")
_TENTH = Decimal("0.1")


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """USD per GPU and hour: lowest, median and highest."""

    low: Decimal
    median: Decimal
    high: Decimal


class KindCard(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of lease over `rows` prices; `flagged` rows stand apart and do not count."""

    kind: str
    rows: int
    flagged: int
    usd_per_gpu_hour: Spread


class GpuCard(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU and what its kinds of lease cost."""

    gpu: str
    providers: int
    kinds: tuple[KindCard, ...]


class ListDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every GPU that is offered, the most offered first."""

    schema: str
    gpus: tuple[GpuCard, ...]


class OfferCard(msgspec.Struct, frozen=True, kw_only=True):
    """One row as its source states it."""

    provider: str
    model: str
    kind: str
    tier: str
    usd_per_gpu_hour: Decimal
    as_of: date
    reference: str
    licence: str
    flag: str
    caveats: tuple[str, ...]


class LeaseCard(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the books of leases: by the hour, or a box of `count` by the month, or a card to buy."""

    book: str
    provider: str
    kind: str
    count: int
    usd_per_gpu_hour: Spread | None
    usd_per_month: Spread | None
    purchase_usd: Spread | None
    as_of: date
    reference: str
    note: str


class ShowDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one GPU, cheapest offer first."""

    schema: str
    gpu: str
    kinds: tuple[KindCard, ...]
    offers: tuple[OfferCard, ...]
    leases: tuple[LeaseCard, ...]


class EffectiveCard(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour that the machine is on costs in the end, and how it came about."""

    gpu: str
    kind: str
    usd_per_gpu_hour: Spread
    how: str


class EvenCard(msgspec.Struct, frozen=True, kw_only=True):
    """Hours on a month from which on owning `gpu` costs no more than renting it at that rate; null where never."""

    gpu: str
    rent: str
    usd_per_gpu_hour: Decimal
    hours_per_month: Decimal | None


class CompareDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every kind of lease and owning, for `hours_on` hours a month."""

    schema: str
    hours_on: Decimal
    effective: tuple[EffectiveCard, ...]
    even: tuple[EvenCard, ...]


def gpu_list(offers: Sequence[GpuOffer]) -> ListDocument:
    """One card for each GPU."""
    by_gpu: dict[str, list[GpuOffer]] = {}
    for offer in offers:
        by_gpu.setdefault(offer.gpu, []).append(offer)
    cards = [
        GpuCard(gpu=gpu, providers=len({row.provider for row in rows}), kinds=_kinds(rates(rows)))
        for gpu, rows in sorted(by_gpu.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return ListDocument(schema="baseload.gpu.list/1", gpus=tuple(cards))


def gpu_show(asked: str, offers: Sequence[GpuOffer], leases: Sequence[Lease]) -> ShowDocument:
    """Every row of one GPU. Raises UnknownModel with names that come close."""
    gpu, rows, held = _of(asked, offers, leases)
    return ShowDocument(
        schema="baseload.gpu.show/1",
        gpu=gpu,
        kinds=_kinds(rates(rows, held)),
        offers=tuple(
            OfferCard(
                provider=row.provider,
                model=row.model,
                kind=row.kind.value,
                tier=row.tier,
                usd_per_gpu_hour=row.usd_per_hour,
                as_of=row.source.as_of,
                reference=row.source.reference,
                licence=row.source.licence,
                flag=row.flag,
                caveats=row.caveats,
            )
            for row in sorted(rows, key=lambda row: (row.usd_per_hour, row.provider, row.model))
        ),
        leases=tuple(_lease_card(lease) for lease in held),
    )


def gpu_compare(
    gpus: Sequence[str],
    offers: Sequence[GpuOffer],
    leases: Sequence[Lease],
    figures: Mapping[str, Range],
    hardware: Sequence[Hardware] = (),
    hours_on: Decimal = Decimal(HOURS_PER_MONTH),
) -> CompareDocument:
    """Effective USD per hour by kind, and where owning equals renting. `figures` are the cost model's, by name.

    Owning is shown where a purchase price is known: your hardware, else the books.
    """
    if not 0 < hours_on <= HOURS_PER_MONTH:
        raise BadInput(f"a month has {HOURS_PER_MONTH} hours, not {hours_on}", remedy="Give hours above 0 up to 730.")
    hours = Fraction(hours_on)
    effective: list[EffectiveCard] = []
    even: list[EvenCard] = []
    for gpu, rows, held in _all(gpus, offers, leases):
        by_kind = {rate.kind: rate for rate in rates(rows, held)}
        effective += _leased(gpu, by_kind, figures, hours)
        owning = _owning(gpu, held, figures, hardware)
        if owning is not None:
            effective.append(
                EffectiveCard(
                    gpu=gpu,
                    kind=LeaseKind.OWNED.value,
                    usd_per_gpu_hour=_spread(owned_range(owning, hours)),
                    how="capital, maintenance and space of the month over the hours on, and power",
                )
            )
            even += _even(gpu, by_kind, owning)
    return CompareDocument(
        schema="baseload.gpu.compare/1", hours_on=hours_on, effective=tuple(effective), even=tuple(even)
    )


def _all(
    asked: Sequence[str], offers: Sequence[GpuOffer], leases: Sequence[Lease]
) -> list[tuple[str, list[GpuOffer], list[Lease]]]:
    """Each GPU that is meant once, in the order asked."""
    found = [_of(name, offers, leases) for name in asked]
    return list({gpu: (gpu, rows, held) for gpu, rows, held in found}.values())


def _of(asked: str, offers: Sequence[GpuOffer], leases: Sequence[Lease]) -> tuple[str, list[GpuOffer], list[Lease]]:
    """The GPU that is meant, and its rows. Raises UnknownModel."""
    gpu = gpu_named(asked, {*(row.gpu for row in offers), *(lease.gpu for lease in leases)})
    return gpu, [row for row in offers if row.gpu == gpu], [lease for lease in leases if lease.gpu == gpu]


def _leased(
    gpu: str, by_kind: Mapping[LeaseKind, Rate], figures: Mapping[str, Range], hours: Fraction
) -> list[EffectiveCard]:
    found = []

    def card(kind: str, figure: Range, how: str) -> None:
        found.append(EffectiveCard(gpu=gpu, kind=kind, usd_per_gpu_hour=_spread(figure), how=how))

    firm = by_kind.get(LeaseKind.RENTED)
    if firm is not None:
        card("rented", firm.usd_per_gpu_hour, f"on demand, {firm.rows} prices")
    stated = by_kind.get(LeaseKind.RESERVED)
    if stated is not None:
        card("reserved", per_used_hour(stated.usd_per_gpu_hour, hours), "stated, paid for all 730 hours")
    elif firm is not None:
        discount = figures["reserved_discount"]
        card(
            "reserved",
            per_used_hour(reserved(firm.usd_per_gpu_hour, discount), hours),
            f"{discount.low:.0%} to {discount.high:.0%} below on demand for one year, paid for all 730 hours",
        )
    cheap = by_kind.get(LeaseKind.SPOT)
    if cheap is not None and firm is not None:
        card("spot", _spot_range(cheap, firm, figures), f"{cheap.rows} prices; spares, fallback and lost work included")
    brokered = by_kind.get(LeaseKind.BROKERED)
    if brokered is not None:
        card("brokered", brokered.usd_per_gpu_hour, f"marketplaces, {brokered.rows} prices")
    return found


def _spot_range(cheap: Rate, firm: Rate, figures: Mapping[str, Range]) -> Range:
    """Low, median and high of spot, each with the interruptions of its end; fallback hours at the median on demand."""
    names = ("spot_overprovision", "spot_fallback_share", "spot_recovery_minutes", "spot_hours_between_interruptions")

    def at(end: str) -> Decimal:
        falling = {"low": "high", "high": "low"}.get(end, end)
        known = {name: getattr(figures[name], end) for name in names}
        known["spot_hours_between_interruptions"] = getattr(figures["spot_hours_between_interruptions"], falling)
        return spot(getattr(cheap.usd_per_gpu_hour, end), firm.usd_per_gpu_hour.likely, known)

    return Range(at("low"), at("likely"), at("high"))


def _owning(
    gpu: str, leases: Sequence[Lease], figures: Mapping[str, Range], hardware: Sequence[Hardware]
) -> Mapping[str, Range] | None:
    """The figures of owning a card, from your hardware or else from a purchase price of the books."""
    defaults = {name: figures[name] for name in OWNING if name in figures}
    own = next((row for row in hardware if row.gpu == gpu), None)
    if own is not None:
        return {**defaults, **{name: Range.exact(figure) for name, figure in own.figures.items()}}
    bought = next((lease.purchase_usd for lease in leases if lease.purchase_usd is not None), None)
    return None if bought is None else {**defaults, "card_usd": bought}


def _even(gpu: str, by_kind: Mapping[LeaseKind, Rate], owning: Mapping[str, Range]) -> list[EvenCard]:
    """Owning at its likely figures against on-demand rent, lowest, median and highest."""
    firm = by_kind.get(LeaseKind.RENTED)
    if firm is None:
        return []
    month = owned(at_end(owning, "likely"))
    rents = {"lowest": firm.usd_per_gpu_hour.low, "median": firm.usd_per_gpu_hour.likely}
    rents["highest"] = firm.usd_per_gpu_hour.high
    return [
        EvenCard(gpu=gpu, rent=rent, usd_per_gpu_hour=rate, hours_per_month=_hours(month.even_with(rate)))
        for rent, rate in rents.items()
    ]


def _hours(hours: Fraction | None) -> Decimal | None:
    """Rounded up to a tenth: at that many hours owning is not dearer."""
    if hours is None:
        return None
    return (Decimal(hours.numerator) / Decimal(hours.denominator)).quantize(_TENTH, rounding=ROUND_CEILING)


def _kinds(found: Sequence[Rate]) -> tuple[KindCard, ...]:
    return tuple(
        KindCard(
            kind=rate.kind.value, rows=rate.rows, flagged=rate.flagged, usd_per_gpu_hour=_spread(rate.usd_per_gpu_hour)
        )
        for rate in found
    )


def _lease_card(lease: Lease) -> LeaseCard:
    return LeaseCard(
        book=lease.source.book,
        provider=lease.provider,
        kind=lease.kind.value,
        count=lease.count,
        usd_per_gpu_hour=_maybe(lease.usd_per_gpu_hour),
        usd_per_month=_maybe(lease.usd_per_month),
        purchase_usd=_maybe(lease.purchase_usd),
        as_of=lease.source.as_of,
        reference=lease.source.reference,
        note=lease.note,
    )


def _maybe(figure: Range | None) -> Spread | None:
    return None if figure is None else _spread(figure)


def _spread(figure: Range) -> Spread:
    low, median, high = (
        each.quantize(_CENT, rounding=ROUND_HALF_EVEN) for each in (figure.low, figure.likely, figure.high)
    )
    return Spread(low=low, median=median, high=high)
