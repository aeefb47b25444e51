"""Whole price books: listed, compared, set against each other and checked. Pure.

Documents behind `baseload price list|compare|diff|check`. Prices are USD per million tokens.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from baseload.catalog.books import Catalog, bare_name
from baseload.catalog.entries import Offer, Precedence, Processing, Rates
from baseload.cost.quotes import Asked, RateCard, before_book, price_spread, rate_card
from baseload.errors import BadInput, Unpriced

LEAVES = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "per_request")
# One row is no market.
MARKET_ROWS = 2
# Where a model has no market of its own, what is cheaper than this share of all market rows stands out.
CHEAPEST_SHARE = Decimal("0.01")
_SAME_MODEL = "-instruct"
Finding = Literal["unpriced", "twice", "conflict", "far", "stale"]


class RowCard(msgspec.Struct, frozen=True, kw_only=True):
    """One offer of one book and what it costs at the moment that was asked for; with `before_book` no dated row says
    what held then."""

    offer: str
    name: str
    book: str
    as_of: date
    rates: RateCard
    processing: tuple[str, ...]
    context_tokens: int | None
    before_book: bool


class ListDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every offer that passes the filter, cheapest output first."""

    schema: str
    at: datetime
    rows: tuple[RowCard, ...]


class Bid(msgspec.Struct, frozen=True, kw_only=True):
    """The asked usage on one offer: `usd`, and `times` the cheapest; null with a reason in `unpriced`.

    `usd_with_minimum` is what a month of nothing else would be billed. With `before_book` no dated row says what held
    at that moment.
    """

    offer: str
    book: str
    as_of: date
    usd: Decimal | None
    usd_with_minimum: Decimal | None
    times: Decimal | None
    unpriced: str | None
    before_book: bool


class CompareDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One usage on every row of every name, cheapest first."""

    schema: str
    at: datetime
    usage: Asked
    processing: str
    bids: tuple[Bid, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One price that differs. `before` or `after` is null where the one side has no price."""

    offer: str
    book: str
    leaf: str
    before: Decimal | None
    after: Decimal | None
    direction: Literal["rise", "fall", "new", "gone"]
    factor: Decimal | None


class DiffDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What changed, from `before` to `after`: two moments, or two books."""

    schema: str
    before: str
    after: str
    rises: int
    falls: int
    changes: tuple[Change, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at: what kind, which offer and book, and in words."""

    finding: Finding
    offer: str
    book: str
    words: str


class CheckDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of the books found; `breached` when it found anything."""

    schema: str
    at: datetime
    rows: int
    breached: bool
    found: tuple[Found, ...]


def price_list(
    catalog: Catalog,
    when: datetime,
    *,
    passes: Callable[[Offer, Rates], bool] = lambda offer, rates: True,  # noqa: ARG005
    processing: Processing = Processing.STANDARD,
) -> ListDocument:
    """Offers in force at an aware UTC datetime that pass, the cheapest output first and unknown outputs last."""
    rows = [
        (offer, row.rates)
        for offer in catalog.offers
        if (row := offer.row(when, processing)) is not None and passes(offer, row.rates)
    ]
    rows.sort(key=lambda pair: (pair[1].output is None, pair[1].output or 0, pair[1].input or 0, pair[0].key))
    return ListDocument(
        schema="baseload.price.list/1",
        at=when,
        rows=tuple(
            RowCard(
                offer=offer.key,
                name=offer.name,
                book=offer.source.book,
                as_of=offer.source.as_of,
                rates=rate_card(rates),
                processing=tuple(variant.processing.value for variant in offer.variants),
                context_tokens=offer.context_tokens,
                before_book=before_book(offer, when, processing),
            )
            for offer, rates in rows
        ),
    )


def price_compare(
    catalog: Catalog,
    names: Sequence[str],
    when: datetime,
    asked: Asked,
    processing: Processing = Processing.STANDARD,
) -> CompareDocument:
    """The asked usage on every row that the names find. Raises UnknownModel with close matches."""
    offers: list[Offer] = []
    for name in names:
        found = catalog.named(name)
        if not found:
            raise catalog.unknown(name)
        offers += [offer for offer in found if offer not in offers]
    bids = [_bid(offer, when, asked, processing) for offer in offers]
    priced = sorted(
        (bid for bid in bids if bid.usd is not None), key=lambda bid: (bid.usd or Decimal(0), bid.offer, bid.book)
    )
    cheapest = priced[0].usd if priced else None
    return CompareDocument(
        schema="baseload.price.compare/1",
        at=when,
        usage=asked,
        processing=processing.value,
        bids=(
            *(msgspec.structs.replace(bid, times=_ratio(bid.usd, cheapest)) for bid in priced),
            *(bid for bid in bids if bid.usd is None),
        ),
    )


def price_diff(catalog: Catalog, before: datetime, after: datetime) -> DiffDocument:
    """What every offer's price did between two aware UTC datetimes, the greatest rises first."""
    changes = [
        change
        for offer in catalog.offers
        for change in _changes(offer, offer, _in_force(offer, before), _in_force(offer, after))
    ]
    return _diff(f"{before:%Y-%m-%d %H:%M} UTC", f"{after:%Y-%m-%d %H:%M} UTC", changes)


def book_diff(catalog: Catalog, first: str, second: str, when: datetime) -> DiffDocument:
    """Where two books that both price an offer differ at an aware UTC datetime; offers of only one are left out."""
    books: list[dict[str, Offer]] = []
    for name in (first, second):
        rows = [offer for offer in catalog.offers if offer.source.book == name]
        if not rows:
            known = ", ".join(sorted({offer.source.book for offer in catalog.offers}))
            raise BadInput(f"no book is called {name!r}", remedy=f"Use one of {known}.")
        books.append({offer.key.lower(): offer for offer in reversed(rows)})
    here, there = books
    changes = [
        change
        for key in sorted(here.keys() & there.keys())
        for change in _changes(here[key], there[key], _in_force(here[key], when), _in_force(there[key], when))
    ]
    return _diff(first, second, changes)


def price_check(
    catalog: Catalog,
    when: datetime,
    *,
    wanted: Iterable[str] = (),
    books: Sequence[str] = (),
    stale_days: int,
    far: Decimal,
    conflict: Decimal,
) -> CheckDocument:
    """Look for names of `wanted` that no book prices, and among the rows of `books` for two prices of one offer in a
    book, books that disagree `conflict` times or more, prices `far` times or more from the market's median of the
    model, and rows older than `stale_days`. Without `books` the rows are those of `wanted` and yours, without either
    all that there are."""
    names = tuple(dict.fromkeys(wanted))
    rows = _checked_rows(catalog, names, books)
    if not rows and books:
        raise BadInput(f"no book is called {', '.join(books)}", remedy="See `baseload price list --json`.")
    found = [
        *_unpriced(catalog, names, when),
        *_twice(rows),
        *_conflicts(catalog, rows, when, conflict),
        *_far(catalog, rows, when, far),
        *_stale(rows, when, stale_days),
    ]
    return CheckDocument(
        schema="baseload.price.check/1", at=when, rows=len(rows), breached=bool(found), found=tuple(found)
    )


def _bid(offer: Offer, when: datetime, asked: Asked, processing: Processing) -> Bid:
    usd, reason = None, None
    try:
        usd = price_spread(asked, offer, when, processing)
    except Unpriced as error:
        reason = error.message
    return Bid(
        offer=offer.key,
        book=offer.source.book,
        as_of=offer.source.as_of,
        usd=usd,
        usd_with_minimum=None if usd is None else max(usd, offer.monthly_minimum_usd),
        times=None,
        unpriced=reason,
        before_book=before_book(offer, when, processing),
    )


def _in_force(offer: Offer, when: datetime) -> Rates | None:
    row = offer.row(when)
    return None if row is None else row.rates


def _changes(old: Offer, new: Offer, before: Rates | None, after: Rates | None) -> list[Change]:
    if before == after:
        return []
    found = []
    for leaf in LEAVES:
        was, now = (None if rates is None else getattr(rates, leaf) for rates in (before, after))
        if was == now:
            continue
        direction: Literal["rise", "fall", "new", "gone"]
        if was is None or now is None:
            direction = "new" if was is None else "gone"
        else:
            direction = "rise" if now > was else "fall"
        found.append(
            Change(
                offer=new.key,
                book=new.source.book if old is new else f"{old.source.book} -> {new.source.book}",
                leaf=leaf,
                before=was,
                after=now,
                direction=direction,
                factor=_ratio(now, was),
            )
        )
    return found


def _diff(before: str, after: str, changes: Sequence[Change]) -> DiffDocument:
    order = {"rise": 0, "fall": 1, "new": 2, "gone": 3}
    return DiffDocument(
        schema="baseload.price.diff/1",
        before=before,
        after=after,
        rises=sum(change.direction == "rise" for change in changes),
        falls=sum(change.direction == "fall" for change in changes),
        changes=tuple(sorted(changes, key=lambda each: (order[each.direction], -(each.factor or 0), each.offer))),
    )


def _checked_rows(catalog: Catalog, names: Sequence[str], books: Sequence[str]) -> list[Offer]:
    if books:
        return [offer for offer in catalog.offers if offer.source.book in books]
    if not names:
        return list(catalog.offers)
    named = {offer.key for name in names for offer in catalog.named(name)}
    return [offer for offer in catalog.offers if offer.key in named or offer.source.precedence is Precedence.YOURS]


def _unpriced(catalog: Catalog, names: Sequence[str], when: datetime) -> list[Found]:
    found = []
    for name in names:
        rows = catalog.named(name)
        words = "" if rows else f"no book has a price for {name}"
        if rows:
            rates, book = _in_force(rows[0], when), rows[0].source.book
            missing = [leaf for leaf in ("input", "output") if rates is not None and getattr(rates, leaf) is None]
            if rates is None:
                words = f"{book} has no price in force for {name}"
            elif missing:
                words = f"{book} has no {' and no '.join(missing)} price for {name}"
        if words:
            found.append(Found(finding="unpriced", offer=name, book="", words=words))
    return found


def _twice(rows: Sequence[Offer]) -> list[Found]:
    seen: dict[tuple[str, str], int] = {}
    for offer in rows:
        seen[offer.source.book, offer.key.lower()] = seen.get((offer.source.book, offer.key.lower()), 0) + 1
    return [
        Found(finding="twice", offer=key, book=book, words=f"{book} prices {key} in {count} rows that differ")
        for (book, key), count in seen.items()
        if count > 1
    ]


def _conflicts(catalog: Catalog, rows: Sequence[Offer], when: datetime, least: Decimal) -> list[Found]:
    found = []
    for key in dict.fromkeys(offer.key for offer in rows):
        for conflict in catalog.conflicts(key, when):
            if conflict.ratio is None or conflict.ratio >= least:
                low, high = conflict.lowest.source, conflict.highest.source
                words = f"{conflict.leaf} {conflict.low:f} in {low.book} and {conflict.high:f} in {high.book}"
                found.append(Found(finding="conflict", offer=key, book=high.book, words=words))
    return found


def _far(catalog: Catalog, rows: Sequence[Offer], when: datetime, times: Decimal) -> list[Found]:
    """Rows whose input or output is many times above or below the median of what the market asks for the model."""
    market = _Market(catalog, when)
    found = []
    for offer in rows:
        rates = _in_force(offer, when)
        for leaf in ("input", "output"):
            figure = None if rates is None else getattr(rates, leaf)
            words = "" if figure is None else market.against(leaf, figure, offer, times)
            if words:
                found.append(Found(finding="far", offer=offer.key, book=offer.source.book, words=words))
    return found


class _Market:
    """The prices of all market rows in force, by model and together. What is given away measures nothing."""

    def __init__(self, catalog: Catalog, when: datetime) -> None:
        self._by_model: dict[tuple[str, str], list[Decimal]] = {}
        together: dict[str, list[Decimal]] = {"input": [], "output": []}
        for offer in catalog.offers:
            rates = _in_force(offer, when) if offer.source.precedence is Precedence.MARKET else None
            for leaf, figures in together.items():
                if figure := getattr(rates, leaf, None):
                    self._by_model.setdefault((_model(offer), leaf), []).append(figure)
                    figures.append(figure)
        self._rows = {leaf: len(figures) for leaf, figures in together.items()}
        self._cheapest = {
            leaf: sorted(figures)[int(len(figures) * CHEAPEST_SHARE)] for leaf, figures in together.items() if figures
        }

    def against(self, leaf: str, figure: Decimal, offer: Offer, times: Decimal) -> str:
        """How a price stands out, in words; empty when it does not."""
        stated = self._by_model.get((_model(offer), leaf), [])
        if len(stated) >= MARKET_ROWS:
            median = statistics.median(stated)
            if figure * times <= median or figure >= median * times:
                return f"{leaf} {figure:f}, while the market's median over {len(stated)} rows is {median:f}"
            return ""
        if leaf in self._cheapest and figure < self._cheapest[leaf]:
            share = f"{1 - CHEAPEST_SHARE:.0%}"
            return f"{leaf} {figure:f}, below {share} of the market's {self._rows[leaf]} rows of any model"
        return ""


def _model(offer: Offer) -> str:
    return bare_name(offer.model).removesuffix(_SAME_MODEL)


def _stale(rows: Sequence[Offer], when: datetime, days: int) -> list[Found]:
    """One finding for each book and day: a book ages as a whole."""
    aged: dict[tuple[str, date], int] = {}
    for offer in rows:
        source = offer.source
        if (when.date() - source.as_of).days > days:
            aged[source.book, source.as_of] = aged.get((source.book, source.as_of), 0) + 1
    return [
        Found(
            finding="stale",
            offer="",
            book=book,
            words=f"{'1 row' if count == 1 else f'{count} rows'} of {day}, {(when.date() - day).days} days old",
        )
        for (book, day), count in aged.items()
    ]


def _ratio(figure: Decimal | None, base: Decimal | None) -> Decimal | None:
    return round(figure / base, 2) if figure is not None and base else None
