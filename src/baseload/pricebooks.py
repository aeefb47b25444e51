"""Price books that come from outside: your own prices, public price files, GPU offers. Acts (reads files).

Nothing is fetched: a book is a file that you put there, and its day is the day you say or the file says it was taken.
An error names the file, the row and what to do.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from baseload.catalog import litellm, market, market_file, modelsdev
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Lease, Offer, Precedence, Source
from baseload.catalog.gpus import GpuOffer, Hardware, OwnLease, flagged, lease_kind, own_leases, owned_leases
from baseload.catalog.sheets import Exchange, OwnPrice, own_offers
from baseload.errors import BadConfig, BadInput
from baseload.settings import BookFile

YOUR_BOOK = "yours"
_LICENCES = {"litellm": litellm.LICENCE, "models.dev": modelsdev.LICENCE, "genai-prices": market.LICENCE}
GPU_OFFERS = Path(str(resources.files("baseload.catalog") / "data" / "gpu_offers.json"))
GPU_BOOK = "gpu-pricing"


class _GpuRow(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    provider: str
    gpu: str
    model: str
    memory_gb: Decimal
    link: str
    tier: str
    usd_per_hour: Decimal
    source_url: str
    collected_at: date
    caveats: tuple[str, ...]


class _GpuOffers(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    licence: str
    as_of: date
    note: str
    offers: list[_GpuRow]


def book_offers(book: BookFile) -> tuple[Offer, ...]:
    """Every offer of a file. Raises BadConfig naming the file."""
    path = Path(book.path).expanduser()
    document = _json(path)
    try:
        return _converted(book, path, document)
    except BadInput as error:
        raise BadConfig(f"{path}: {error.message}", remedy=error.remedy) from error
    except (TypeError, LookupError, AttributeError) as error:
        raise BadConfig(f"{path} is no file of {book.kind}: {error!r}", remedy="Name its kind, or mend it.") from error


def _converted(book: BookFile, path: Path, document: object) -> tuple[Offer, ...]:
    held = document if isinstance(document, dict) else {}
    if not held and book.kind != "genai-prices":
        raise BadInput("it holds no JSON object", remedy=f"Name a file of {book.kind}.")
    as_of = book.as_of or (modelsdev.stated_day(held) if book.kind == "models.dev" else None)
    if as_of is None:
        raise BadInput("the file does not say of which day it is", remedy="Give the book its `as_of`.")
    name = book.name or f"{book.kind} {as_of}"
    source = Source(name, Precedence.MARKET, as_of, f"{book.kind}, {path.name}", _LICENCES[book.kind])
    if book.kind == "litellm":
        return tuple(litellm.litellm_offers(held, source, zone=zone))
    if book.kind == "models.dev":
        return tuple(modelsdev.modelsdev_offers(held, source))
    return market.offers_of(tuple(market_file.providers_of(document)), source)


def all_book_offers(books: Iterable[BookFile]) -> Iterator[Offer]:
    """The offers of several files. Every book has a name of its own, so that a row can be told by it."""
    seen: dict[str, str] = {}
    for book in books:
        offers = book_offers(book)
        name = offers[0].source.book if offers else book.path
        if name in seen:
            raise BadConfig(
                f"books: {book.path} and {seen[name]} are both called {name!r}", remedy="Give one of them a `name`."
            )
        seen[name] = book.path
        yield from offers


def your_offers(prices: Sequence[OwnPrice], exchange: Iterable[Exchange], others: Sequence[Offer]) -> Iterator[Offer]:
    """The prices of your configuration. `others` are the offers that an override may change."""
    source = Source(YOUR_BOOK, Precedence.YOURS, datetime.now(UTC).date(), "prices in your configuration")
    overrides = any(price.mode == "override" for price in prices)
    known = Catalog(others if overrides else ())
    yield from own_offers(prices, source, exchange, zone=zone, winner=known.offer)


def load_gpu_offers(path: Path = GPU_OFFERS) -> tuple[GpuOffer, ...]:
    """Every price of one GPU for one hour, odd ones flagged. Only the verbs about GPUs read it."""
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_GpuOffers, strict=False)
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error}", remedy="Name a file that can be read.") from error
    except msgspec.DecodeError as error:
        raise BadConfig(f"{path}: {error}", remedy="Mend the place it names.") from error
    seen: set[str] = set()
    for row in document.offers:
        if row.id in seen:
            raise BadConfig(f"{path}: {row.id} stands there twice", remedy="Take one of the two out.")
        if not (row.usd_per_hour.is_finite() and row.usd_per_hour > 0):
            raise BadConfig(f"{path}: {row.id} costs {row.usd_per_hour}", remedy="Write USD an hour above zero.")
        seen.add(row.id)
    try:
        return flagged(_gpu_offer(row, document.licence) for row in document.offers)
    except BadInput as error:
        raise BadConfig(f"{path}: {error.message}", remedy=error.remedy) from error


def _gpu_offer(row: _GpuRow, licence: str) -> GpuOffer:
    source = Source(f"{GPU_BOOK} {row.collected_at}", Precedence.MARKET, row.collected_at, row.source_url, licence)
    return GpuOffer(
        gpu=row.gpu,
        provider=row.provider,
        model=row.model,
        memory_gb=row.memory_gb,
        kind=lease_kind(row.tier),
        tier=row.tier,
        usd_per_hour=row.usd_per_hour,
        source=source,
        caveats=row.caveats,
    )


def your_leases(leases: Sequence[OwnLease], hardware: Sequence[Hardware]) -> tuple[Lease, ...]:
    """Leases and hardware of your configuration."""
    today = datetime.now(UTC).date()
    source = Source(YOUR_BOOK, Precedence.YOURS, today, "machines in your configuration")
    try:
        return (*own_leases(leases, source), *owned_leases(hardware, source))
    except BadInput as error:
        raise BadConfig(error.message, remedy=error.remedy) from error


def zone(name: str) -> tzinfo:
    """The time zone of a name such as Asia/Shanghai. Raises BadInput."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(
            f"no time zone is called {name!r}",
            remedy="Write a name of the tz database, as in Asia/Shanghai; a system without one needs `tzdata`.",
        ) from error


def _json(path: Path) -> object:
    """What a JSON file holds, plain or compressed with gzip, numbers exact. A key that stands twice is refused."""
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return json.loads(text, parse_float=Decimal, object_pairs_hook=lambda pairs: _once(pairs, path))
    except (OSError, EOFError) as error:
        raise BadConfig(f"cannot read {path}: {error}", remedy="Name a file that can be read.") from error
    except (ValueError, RecursionError) as error:
        raise BadConfig(f"{path} is not JSON: {error}", remedy="Mend the place it names.") from error


def _once(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadConfig(f"{path}: {twice!r} stands there twice", remedy="Take one of the two out.")
    return found
