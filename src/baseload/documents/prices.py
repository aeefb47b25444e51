"""What tokens and machines cost: the market book, the articles' books, yours, and the machines. Acts (reads files of
this package and the genai-prices data)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import msgspec

from baseload.catalog.books import Catalog
from baseload.catalog.entries import Lease, LeaseKind, Machine, Offer, PriceRow, Rates
from baseload.catalog.market import market_offers
from baseload.catalog.sheets import Exchange, OwnPrice
from baseload.documents.reading import Origin, once, range_of, read, source_of
from baseload.errors import BadConfig, BadInput
from baseload.pricebooks import all_book_offers, your_leases, your_offers
from baseload.settings import BookFile, Settings
from baseload.units import pico_per_token, quantity

DATA = Path(str(resources.files("baseload.catalog") / "data"))
MARKET_PACKAGE = "genai-prices"


class _OfferRow(msgspec.Struct, forbid_unknown_fields=True):
    provider: str
    model: str
    name: str
    input: Decimal | None
    output: Decimal | None
    context: str | None
    note: str = ""


class _Prices(msgspec.Struct, forbid_unknown_fields=True):
    books: dict[str, Origin]
    offers: dict[str, list[_OfferRow]]


class _Gpu(msgspec.Struct, forbid_unknown_fields=True):
    gpu: str
    memory_gb: Decimal
    bandwidth_tb_per_second: Decimal
    bf16_tflops: Decimal
    watts: Decimal
    counts: list[int]
    source: str
    link_gb_per_second: Decimal
    fp8_tflops: Decimal | None = None
    fp4_tflops: Decimal | None = None


class _Machines(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, Origin]
    gpus: list[_Gpu]


class _LeaseRow(msgspec.Struct, forbid_unknown_fields=True):
    gpu: str
    kind: LeaseKind
    count: int = 1
    provider: str = ""
    usd_per_gpu_hour: list[Decimal] | None = None
    usd_per_month: list[Decimal] | None = None
    purchase_usd: list[Decimal] | None = None
    note: str = ""


class _Leases(msgspec.Struct, forbid_unknown_fields=True):
    books: dict[str, Origin]
    leases: dict[str, list[_LeaseRow]]


def load_catalog(
    own_prices: Iterable[OwnPrice] = (),
    *,
    books: Iterable[BookFile] = (),
    exchange: Iterable[Exchange] = (),
    leases: Iterable[Lease] = (),
    directory: Path = DATA,
) -> Catalog:
    """Your prices and books, the market book and the articles' books, the machines and what they cost. About 0.3 s."""
    others = [*_market(), *all_book_offers(books), *_article_offers(directory / "articles.yaml")]
    offers = [*your_offers(tuple(own_prices), exchange, others), *others]
    return Catalog(offers, _machines(directory / "machines.yaml"), [*leases, *_leases(directory / "leases.yaml")])


def catalog_of(settings: Settings) -> Catalog:
    """The catalog with everything that a configuration adds to it."""
    leases = your_leases(settings.leases, settings.hardware)
    return load_catalog(settings.prices, books=settings.books, exchange=settings.exchange, leases=leases)


def load_leases(settings: Settings | None = None, *, directory: Path = DATA) -> tuple[Lease, ...]:
    """What machines cost, yours first and then the books."""
    yours = your_leases(settings.leases, settings.hardware) if settings else ()
    return (*yours, *_leases(directory / "leases.yaml"))


def load_machines(*, directory: Path = DATA) -> dict[str, Machine]:
    """GPU shapes by name."""
    return {machine.name: machine for machine in _machines(directory / "machines.yaml")}


def _market() -> tuple[Offer, ...]:
    # Imported here: it takes 0.2 s that `baseload --help` must not pay.
    from genai_prices.data import providers

    return market_offers(providers, version(MARKET_PACKAGE))


def _article_offers(path: Path) -> Iterator[Offer]:
    document = read(path, _Prices)
    for book, rows in document.offers.items():
        source = source_of(book, document.books, path)
        once([f"{book} {row.provider}/{row.model}" for row in rows], path)
        for row in rows:
            rates = Rates(input=_checked(row.input, row.model, path), output=_checked(row.output, row.model, path))
            yield Offer(
                provider=row.provider,
                model=row.model,
                source=source,
                schedule=(PriceRow(rates),),
                context_tokens=_context(row.context),
                name=row.name,
                note=row.note,
            )


def _checked(price: Decimal | None, model: str, path: Path) -> Decimal | None:
    """A price that is not negative and has at most six decimals."""
    if price is None:
        return None
    if not price.is_finite() or price < 0:
        raise BadConfig(f"{path}: {model} has the price {price}", remedy="Write what a million tokens cost in USD.")
    try:
        pico_per_token(price)
    except BadInput as error:
        raise BadConfig(f"{path}: {model}: {error.message}", remedy=error.remedy) from error
    return price


def _context(text: str | None) -> int | None:
    """`128K` as tokens; None and `Auto` are unknown."""
    return None if text is None or text == "Auto" else int(quantity(text))


def _machines(path: Path) -> Iterator[Machine]:
    document = read(path, _Machines)
    for row in document.gpus:
        source = source_of(row.source, document.sources, path)
        for count in row.counts:
            yield Machine(
                f"{row.gpu}-x{count}",
                row.gpu,
                count,
                row.memory_gb,
                row.bandwidth_tb_per_second,
                row.bf16_tflops,
                row.watts,
                source,
                row.fp8_tflops,
                row.fp4_tflops,
                row.link_gb_per_second,
            )


def _leases(path: Path) -> Iterator[Lease]:
    document = read(path, _Leases)
    for book, rows in document.leases.items():
        source = source_of(book, document.books, path)
        for row in rows:
            stated = [row.usd_per_gpu_hour, row.usd_per_month, row.purchase_usd]
            if sum(figure is not None for figure in stated) != 1:
                raise BadConfig(
                    f"{path}: the {row.kind} row of {row.gpu} in {book} needs exactly one price",
                    remedy="Give one of usd_per_gpu_hour, usd_per_month and purchase_usd.",
                )
            yield Lease(
                gpu=row.gpu,
                kind=row.kind,
                source=source,
                usd_per_gpu_hour=range_of(row.usd_per_gpu_hour, row.gpu, path),
                purchase_usd=range_of(row.purchase_usd, row.gpu, path),
                provider=row.provider,
                note=row.note,
                usd_per_month=range_of(row.usd_per_month, row.gpu, path),
                count=row.count,
            )
