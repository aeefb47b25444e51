"""What an hour of one GPU is offered for, row by row, with what is odd about a row. Pure.

No row is dropped. A row that cannot be what it says, such as interruptible capacity that is dearer than the same
provider's firm capacity, is kept with a flag and left out of medians.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import msgspec

from baseload.catalog.books import CLOSE_MATCHES
from baseload.catalog.entries import Lease, LeaseKind, Source
from baseload.errors import BadInput, UnknownModel
from baseload.ranges import Range

# What each tier of the sources is as a lease. A community or a marketplace is someone else's machine, brokered.
_KINDS = {
    "on-demand": LeaseKind.RENTED,
    "secure": LeaseKind.RENTED,
    "production": LeaseKind.RENTED,
    "spot": LeaseKind.SPOT,
    "prototyping": LeaseKind.SPOT,
    "community": LeaseKind.BROKERED,
    "marketplace": LeaseKind.BROKERED,
}


# What people say for a card of which other versions are sold: NVIDIA's product names, 2026-11.
_SAID = {"h100": "h100-80gb", "h100-sxm": "h100-80gb", "h100-pcie": "h100-80gb", "h100-nvl": "h100-94gb"}
_MAKER = re.compile(r"^(nvidia|amd|geforce|tesla|instinct|radeon)-")
_LINE = re.compile(r"^(rtx|gtx|quadro-rtx|quadro)-")


@dataclass(frozen=True, slots=True)
class GpuOffer:
    """One price for an hour of one GPU. `model` is as the provider writes it, `gpu` is our name for it; `flag` says
    what is odd about the row, `caveats` what the source itself warns of."""

    gpu: str
    provider: str
    model: str
    memory_gb: Decimal
    kind: LeaseKind
    tier: str
    usd_per_hour: Decimal
    source: Source
    caveats: tuple[str, ...] = ()
    flag: str = ""


class OwnLease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What you pay, or were offered, for a GPU that is not yours.

    `gpu` is a name of `baseload gpu list`, `kind` how it is paid, `provider` whom. Give `usd_per_gpu_hour`, or
    `usd_per_month` for a box of `count` cards: one figure, or low and high, or low, likely and high. `note` says where
    the price is from.
    """

    gpu: str
    kind: LeaseKind = LeaseKind.RENTED
    provider: str = ""
    usd_per_gpu_hour: tuple[Decimal, ...] = ()
    usd_per_month: tuple[Decimal, ...] = ()
    count: int = 1
    note: str = ""


FIGURES = (
    "node_factor",
    "capital_rate",
    "life_years",
    "residual_share",
    "maintenance_share_per_year",
    "watts_per_card",
    "pue",
    "electricity_usd_per_kwh",
    "colocation_usd_per_kw_month",
)
"""What owning a card depends on besides its price, by the names of the cost model's table."""


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Machines of your own, or that you could buy: `count` cards of `gpu`, at `purchase_usd` a card.

    What is left out is as in the cost model's table: `node_factor` (the whole node over its cards), `capital_rate` a
    year, `life_years`, `residual_share` of the purchase at their end, `maintenance_share_per_year`, `watts_per_card`
    with its share of the host, `pue`, `electricity_usd_per_kwh` and `colocation_usd_per_kw_month` (0 on your own
    premises). `note` says where the figures are from.
    """

    gpu: str
    purchase_usd: Decimal
    count: int = 1
    node_factor: Decimal | None = None
    capital_rate: Decimal | None = None
    life_years: Decimal | None = None
    residual_share: Decimal | None = None
    maintenance_share_per_year: Decimal | None = None
    watts_per_card: Decimal | None = None
    pue: Decimal | None = None
    electricity_usd_per_kwh: Decimal | None = None
    colocation_usd_per_kw_month: Decimal | None = None
    note: str = ""

    @property
    def figures(self) -> dict[str, Decimal]:
        """The figures that are given, by their names in the cost model's table."""
        given = {name: figure for name in FIGURES if (figure := getattr(self, name)) is not None}
        return {"card_usd": self.purchase_usd, **given}


def gpu_named(asked: str, known: Collection[str]) -> str:
    """The name in `known` that a person means: itself, what everybody calls it, or its first words where one fits.

    Raises UnknownModel that lists what fits when several do, or what comes close when none does.

    >>> gpu_named("NVIDIA H100", ["h100-80gb", "h100-94gb"]), gpu_named("4090", ["rtx-4090", "rtx-4090-48gb"])
    ('h100-80gb', 'rtx-4090')
    """
    text = "-".join(asked.strip().lower().replace("_", "-").split())
    while (shorter := _MAKER.sub("", text)) != text:
        text = shorter
    said = _SAID.get(text, text)
    if said in known:
        return said
    bare = {name: _LINE.sub("", name) for name in known}
    said = _LINE.sub("", said)
    whole = [name for name, short in bare.items() if short == said]
    fits = sorted(whole or [name for name, short in bare.items() if short.startswith(f"{said}-")])
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise UnknownModel(f"{asked!r} fits {len(fits)} GPUs", remedy=f"Name one: {', '.join(fits)}.")
    holding = sorted(name for name in known if said and said in name)
    close = holding or [
        name
        for stem in difflib.get_close_matches(said, sorted({_stem(short) for short in bare.values()}))
        for name in sorted(known)
        if _stem(bare[name]) == stem
    ]
    raise UnknownModel(
        f"no GPU is called {asked!r}",
        remedy=f"Did you mean {', '.join(close[:CLOSE_MATCHES])}?" if close else "See `baseload gpu list`.",
    )


def _stem(name: str) -> str:
    """A name without the size of its memory."""
    return re.sub(r"-\d+gb$", "", name)


def lease_kind(tier: str) -> LeaseKind:
    """How a tier of the sources is paid. Raises BadInput."""
    kind = _KINDS.get(tier)
    if kind is None:
        raise BadInput(f"no lease is known for the tier {tier!r}", remedy=f"Use one of {', '.join(sorted(_KINDS))}.")
    return kind


def flagged(offers: Iterable[GpuOffer]) -> tuple[GpuOffer, ...]:
    """The same rows; interruptible ones that cost as much as the provider's own firm price carry a flag."""
    rows = tuple(offers)
    firm: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        if row.kind is not LeaseKind.SPOT:
            key = (row.provider, row.model)
            firm[key] = min(row.usd_per_hour, firm.get(key, row.usd_per_hour))

    def checked(row: GpuOffer) -> GpuOffer:
        price = firm.get((row.provider, row.model))
        if row.kind is LeaseKind.SPOT and price is not None and row.usd_per_hour >= price:
            return replace(row, flag=f"spot, yet not below the provider's firm price of {price:f} USD/h")
        return row

    return tuple(checked(row) for row in rows)


def own_leases(leases: Sequence[OwnLease], source: Source) -> tuple[Lease, ...]:
    """Leases of the configuration. Raises BadInput that names the row and the remedy."""
    return tuple(_own_lease(row, f"leases: row {number}, {row.gpu}", source) for number, row in enumerate(leases, 1))


def owned_leases(hardware: Sequence[Hardware], source: Source) -> tuple[Lease, ...]:
    """Hardware of the configuration as leases of kind `owned`, by what a card costs to buy."""
    for number, row in enumerate(hardware, 1):
        if row.purchase_usd < 0 or row.count < 1 or any(figure < 0 for figure in row.figures.values()):
            raise BadInput(
                f"hardware: row {number}, {row.gpu}: a figure is negative or no card is counted",
                remedy="Give figures from zero up and at least one card.",
            )
    return tuple(
        Lease(
            row.gpu,
            LeaseKind.OWNED,
            source,
            purchase_usd=Range.exact(row.purchase_usd),
            note=row.note,
            count=row.count,
        )
        for row in hardware
    )


def _own_lease(row: OwnLease, place: str, source: Source) -> Lease:
    if bool(row.usd_per_gpu_hour) == bool(row.usd_per_month):
        raise BadInput(f"{place}: it needs exactly one price", remedy="Give usd_per_gpu_hour or usd_per_month.")
    if row.count < 1 or any(figure < 0 for figure in (*row.usd_per_gpu_hour, *row.usd_per_month)):
        raise BadInput(f"{place}: a figure is negative or no card is counted", remedy="Give figures from zero up.")
    if row.kind is LeaseKind.OWNED:
        raise BadInput(f"{place}: what is owned is not leased", remedy="Write it under `hardware`.")
    try:
        hourly, monthly = _range(row.usd_per_gpu_hour), _range(row.usd_per_month)
    except BadInput as error:
        raise BadInput(f"{place}: {error.message}", remedy=error.remedy) from error
    return Lease(
        row.gpu,
        row.kind,
        source,
        usd_per_gpu_hour=hourly,
        provider=row.provider,
        note=row.note,
        usd_per_month=monthly,
        count=row.count,
    )


def _range(figures: Sequence[Decimal]) -> Range | None:
    """One figure is exact, two are the ends, three are low, likely and high."""
    match figures:
        case ():
            return None
        case (only,):
            return Range.exact(only)
        case (low, high):
            return Range.between(low, high)
        case (low, likely, high):
            return Range(low, likely, high)
    raise BadInput(f"a range of {len(figures)} figures", remedy="Give one, two or three.")
