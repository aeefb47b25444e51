"""What every book says a model costs, side by side: the document behind `baseload price`. Pure.

Schema `baseload.price/1`. Prices are USD per million tokens, `usd` is the exact price of the asked usage.
"""

from __future__ import annotations

import itertools
from datetime import date, datetime
from decimal import Decimal

import msgspec

from baseload.catalog.books import Catalog, Conflict
from baseload.catalog.choice import blended, choose
from baseload.catalog.entries import DAY_NAMES, EVERY_DAY, Offer, PriceRow, Processing, Rates, Window
from baseload.cost.tokens import price, rates_at
from baseload.errors import BadInput, Unpriced
from baseload.units import usd
from baseload.usage import Usage

SCHEMA = "baseload.price/1"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The usage that is priced, spread evenly over `requests`: tiers depend on the length of one prompt."""

    input_tokens: int
    output_tokens: int
    requests: int = 1


class RateCard(msgspec.Struct, frozen=True, kw_only=True):
    """USD per million tokens; null means the sheet has no such line. `usd_per_request` on top."""

    input: Decimal | None
    output: Decimal | None
    cache_read: Decimal | None
    cache_write: Decimal | None
    cache_write_1h: Decimal | None
    reasoning: Decimal | None
    usd_per_request: Decimal


class TierCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a request with a longer prompt than `above_prompt_tokens` pays, for all of its tokens."""

    above_prompt_tokens: int
    rates: RateCard


class ScheduleCard(msgspec.Struct, frozen=True, kw_only=True):
    """One dated line. Dates and `window` are on the clock of `zone`; among the lines that hold the last one wins."""

    in_force: bool
    valid_from: date | None
    valid_to: date | None
    window: str | None
    zone: str
    rates: RateCard
    tiers: tuple[TierCard, ...]


class VariantCard(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule of one other way of processing: batch, flex, priority or fast."""

    processing: str
    schedule: tuple[ScheduleCard, ...]


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """One book's row. `usd` is null with a reason in `unpriced` when the book cannot price what was asked. With
    `before_book` the moment lies before the day the book was read, and no dated row says what held then."""

    offer: str
    name: str
    book: str
    precedence: str
    as_of: date
    reference: str
    licence: str
    context_tokens: int | None
    note: str
    rates: RateCard | None
    schedule: tuple[ScheduleCard, ...]
    variants: tuple[VariantCard, ...]
    monthly_minimum_usd: Decimal
    usd: Decimal | None
    unpriced: str | None
    before_book: bool


class ChosenCard(msgspec.Struct, frozen=True, kw_only=True):
    """The row that the name stands for wherever one price is needed, and why that one."""

    offer: str
    book: str
    why: str


class ConflictCard(msgspec.Struct, frozen=True, kw_only=True):
    """Lowest and highest price of one leaf over all rows; `ratio` is null when the lowest is free."""

    leaf: str
    low: Decimal
    high: Decimal
    ratio: Decimal | None
    lowest: str
    highest: str


class PriceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the books say about a name at a moment. Quotes stand in order of precedence: of one offer the first
    one wins. `chosen` is the offer that the name stands for, null when none has a price."""

    schema: str
    asked: str
    at: datetime
    usage: Asked | None
    chosen: ChosenCard | None
    quotes: tuple[Quote, ...]
    conflicts: tuple[ConflictCard, ...]


def quotes(
    catalog: Catalog,
    name: str,
    when: datetime,
    asked: Asked | None = None,
    processing: Processing = Processing.STANDARD,
) -> PriceDocument:
    """Every row for a `provider/model` key or bare model name. Raises UnknownModel with close matches."""
    offers = catalog.named(name)
    if not offers:
        raise catalog.unknown(name)
    return PriceDocument(
        schema=SCHEMA,
        asked=name,
        at=when,
        usage=asked,
        chosen=_chosen(catalog, name, when, asked, processing),
        quotes=tuple(_quote(offer, when, asked, processing) for offer in offers),
        conflicts=tuple(_conflict_card(conflict) for conflict in catalog.conflicts(name, when)),
    )


def before_book(offer: Offer, when: datetime, processing: Processing = Processing.STANDARD) -> bool:
    """Whether the moment lies before the day the book was read, and no dated row says what held then."""
    row = offer.row(when, processing)
    return when.date() < offer.source.as_of and (row is None or row.valid_from is None)


def price_spread(asked: Asked, offer: Offer, when: datetime, processing: Processing = Processing.STANDARD) -> Decimal:
    """Exact USD of the asked tokens, spread over the requests so that none differs by more than one token.

    Raises Unpriced.
    """
    if asked.requests < 1:
        raise BadInput(f"{asked.requests} requests cannot carry tokens", remedy="Ask for at least one request.")
    each_input, more_input = divmod(asked.input_tokens, asked.requests)
    each_output, more_output = divmod(asked.output_tokens, asked.requests)
    bounds = sorted({0, more_input, more_output, asked.requests})
    nanos = 0
    for start, end in itertools.pairwise(bounds):
        one = Usage(input_tokens=each_input + (start < more_input), output_tokens=each_output + (start < more_output))
        nanos += (end - start) * price(one, offer, when, processing).nanousd
    return usd(nanos)


def _chosen(
    catalog: Catalog, name: str, when: datetime, asked: Asked | None, processing: Processing
) -> ChosenCard | None:
    """The cheapest is told by the asked usage, or else by a blend of input and output."""

    def cost(offer: Offer) -> Decimal:
        if asked is not None:
            return price_spread(asked, offer, when, processing)
        found = blended(rates_at(offer, when, 0, processing))
        if found is None:
            raise Unpriced(f"{offer.key} lacks a price", remedy=f"Add it for {offer.key} to your own book.")
        return found

    try:
        chosen = choose(catalog, name, cost)
    except Unpriced:
        return None
    return ChosenCard(offer=chosen.offer.key, book=chosen.offer.source.book, why=chosen.why)


def _quote(offer: Offer, when: datetime, asked: Asked | None, processing: Processing) -> Quote:
    amount, reason = None, None
    if asked is not None:
        try:
            amount = price_spread(asked, offer, when, processing)
        except Unpriced as error:
            reason = error.message
    row, used = offer.row(when), offer.row(when, processing)
    prompt = asked.input_tokens // asked.requests if asked is not None else 0
    source = offer.source
    return Quote(
        offer=offer.key,
        name=offer.name,
        book=source.book,
        precedence=source.precedence.name.lower(),
        as_of=source.as_of,
        reference=source.reference,
        licence=source.licence,
        context_tokens=offer.context_tokens,
        note=offer.note,
        rates=rate_card(rates_at(offer, when, prompt, processing)) if used is not None else None,
        schedule=tuple(_schedule_card(each, row) for each in offer.schedule),
        variants=tuple(_variant_card(offer, each.processing, when) for each in offer.variants),
        monthly_minimum_usd=offer.monthly_minimum_usd,
        usd=amount,
        unpriced=reason,
        before_book=before_book(offer, when, processing),
    )


def _variant_card(offer: Offer, processing: Processing, when: datetime) -> VariantCard:
    row = offer.row(when, processing)
    return VariantCard(
        processing=processing.value, schedule=tuple(_schedule_card(each, row) for each in offer.rows(processing))
    )


def _hours(window: Window) -> str:
    """`09:00-12:00`, with the weekdays where it does not hold on all."""
    days = "" if window.weekdays == EVERY_DAY else " " + ",".join(DAY_NAMES[day] for day in sorted(window.weekdays))
    return f"{window.start:%H:%M}-{window.end:%H:%M}{days}"


def _schedule_card(row: PriceRow, in_force: PriceRow | None) -> ScheduleCard:
    return ScheduleCard(
        in_force=row is in_force,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        window=None if row.window is None else _hours(row.window),
        zone=str(row.zone),
        rates=rate_card(row.rates),
        tiers=tuple(
            TierCard(above_prompt_tokens=tier.above_prompt_tokens, rates=rate_card(tier.rates)) for tier in row.tiers
        ),
    )


def rate_card(rates: Rates) -> RateCard:
    """Rates as a document shows them."""
    return RateCard(
        input=rates.input,
        output=rates.output,
        cache_read=rates.cache_read,
        cache_write=rates.cache_write,
        cache_write_1h=rates.cache_write_1h,
        reasoning=rates.reasoning,
        usd_per_request=rates.per_request,
    )


def _conflict_card(conflict: Conflict) -> ConflictCard:
    ratio = conflict.ratio
    return ConflictCard(
        leaf=conflict.leaf,
        low=conflict.low,
        high=conflict.high,
        ratio=round(ratio, 2) if ratio is not None else None,
        lowest=f"{conflict.lowest.key} ({conflict.lowest.source.book})",
        highest=f"{conflict.highest.key} ({conflict.highest.source.book})",
    )
