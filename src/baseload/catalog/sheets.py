"""A price sheet as a person writes it, read into an offer: base price, tiers, dated rows, windows, variants. Pure.

What a row, a tier or a variant leaves out is as in the row that it belongs to, and figures in another currency are
turned into USD at a rate that is stated with its day and source. Without such a rate the price is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, time, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import combinations
from typing import Annotated, Literal

import msgspec

from baseload.catalog.entries import (
    DAY_NAMES,
    EVERY_DAY,
    Offer,
    PriceRow,
    Processing,
    Rates,
    Source,
    Tier,
    Variant,
    Window,
)
from baseload.errors import BadConfig, BadInput
from baseload.units import (
    HOURS_PER_DAY,
    NANO_PER_USD,
    PICO_PER_TOKEN_AT_ONE_USD_PER_MTOK,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    is_usd,
    pico_per_token,
)

USD = "USD"
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
PromptTokens = Annotated[int, msgspec.Meta(gt=0)]
_LEAVES = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "per_request")
_SIXTH_DECIMAL = Decimal(1) / PICO_PER_TOKEN_AT_ONE_USD_PER_MTOK
_NINTH_DECIMAL = Decimal(1) / NANO_PER_USD
_DAY_SECONDS = HOURS_PER_DAY * SECONDS_PER_HOUR


class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tokens cost. `input`, `output`, `cache_read`, `cache_write` (five minutes), `cache_write_1h` and `reasoning`
    are per million tokens, `per_request` is for each request."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    per_request: Decimal | None = None

    def __post_init__(self) -> None:
        for leaf in _LEAVES:
            check_price(leaf, getattr(self, leaf))

    @property
    def stated(self) -> dict[str, Decimal]:
        """The figures that are given, by name."""
        return {leaf: figure for leaf in _LEAVES if (figure := getattr(self, leaf)) is not None}


class LongPrompt(Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request whose prompt is longer than `above_prompt_tokens` pays for all of its tokens: `input`, `output`,
    `cache_read`, `cache_write`, `cache_write_1h`, `reasoning`, `per_request`; what is left out is as for short ones."""

    above_prompt_tokens: PromptTokens


class Way(Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of one way of processing: `input`, `output`, `cache_read`, `cache_write`, `cache_write_1h`,
    `reasoning`, `per_request`, and `tiers` by length of the prompt; what is left out is as in the standard price."""

    tiers: tuple[LongPrompt, ...] = ()


class DatedRow(Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price that holds for a time, and then stands before the base price and the rows above it.

    It holds from `valid_from` to before `valid_to`, within the daily `window` (`22:00-06:00`) on `weekdays` (`mon` to
    `sun`; a window past midnight belongs to the day it began), on the clock of the sheet's zone. `input`, `output`,
    `cache_read`, `cache_write`, `cache_write_1h`, `reasoning`, `per_request` and `tiers` are as in the base price where
    they are left out.
    """

    valid_from: date | None = None
    valid_to: date | None = None
    window: str = ""
    weekdays: tuple[Day, ...] = ()
    tiers: tuple[LongPrompt, ...] = ()


class OwnPrice(Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price of your own. It stands before every other book.

    `offer` is `provider/model`; `input`, `output`, `cache_read`, `cache_write`, `cache_write_1h` and `reasoning` are
    per million tokens, `per_request` for each request, in `currency`, and what is left out costs what input or output
    costs. With `mode` replace this is the whole offer; with `mode` override the figures given here replace those of
    the book that would win, in its windows and tiers too, and the rest stays as it is there. `tiers` are for longer
    prompts, `schedule` holds dated rows and daily windows on the clock of `zone`; `batch`, `flex`, `priority` and
    `fast` are other ways of processing. `monthly_minimum_usd` is owed whatever is used. `context_tokens` is the longest
    prompt, `as_of` the day on which you read the price, `note` says where it is from.
    """

    offer: str
    mode: Literal["replace", "override"] = "replace"
    currency: str = USD
    zone: str = "UTC"
    tiers: tuple[LongPrompt, ...] = ()
    schedule: tuple[DatedRow, ...] = ()
    batch: Way | None = None
    flex: Way | None = None
    priority: Way | None = None
    fast: Way | None = None
    monthly_minimum_usd: Decimal | None = None
    context_tokens: PromptTokens | None = None
    as_of: date | None = None
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_price("monthly_minimum_usd", self.monthly_minimum_usd)


class Exchange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one unit of `currency` was worth in `usd` on the day `as_of`, and the `source` that says so."""

    currency: str
    usd: Decimal
    as_of: date
    source: str

    def __post_init__(self) -> None:
        if not (self.usd.is_finite() and self.usd > 0):
            raise ValueError(f"usd is {self.usd}, which is no rate of exchange")


def check_price(field: str, amount: Decimal | None) -> None:
    """A price is a figure from zero up. The error is a ValueError, to which msgspec adds the place in the document."""
    if amount is not None and not is_usd(amount):
        raise ValueError(f"{field} is {str(amount)[:40]}, which is no price in USD")


def own_offers(
    prices: Iterable[OwnPrice],
    source: Source,
    exchange: Iterable[Exchange] = (),
    *,
    zone: Callable[[str], tzinfo],
    winner: Callable[[str], Offer],
) -> Iterator[Offer]:
    """Your prices as offers of one book. `zone` finds a time zone by name, `winner` the offer that an override changes.

    Raises BadConfig that names the row and what to do.
    """
    rates = {each.currency.upper(): each for each in exchange}
    seen: dict[str, int] = {}
    for number, price in enumerate(prices, start=1):
        place = f"prices: row {number}, {price.offer}"
        twin = seen.setdefault(price.offer.lower(), number)
        if twin != number:
            raise BadConfig(f"{place}: row {twin} prices the same offer", remedy="Join the two rows, or take one out.")
        try:
            yield _own_offer(price, _dated(source, price), rates, zone, winner)
        except BadInput as error:
            raise BadConfig(f"{place}: {error.message}", remedy=error.remedy) from error


def _own_offer(
    price: OwnPrice,
    source: Source,
    exchange: Mapping[str, Exchange],
    zone: Callable[[str], tzinfo],
    winner: Callable[[str], Offer],
) -> Offer:
    provider, _, model = price.offer.partition("/")
    if not provider or not model:
        raise BadInput(
            f"offer is {price.offer!r}", remedy="Write provider/model, as in acme/large: it is the name routes use."
        )
    note, to_usd = _currency(price, exchange)
    if price.mode == "override":
        return _overridden(winner(price.offer), price, source, note, to_usd)
    if not price.schedule and (price.input is None or price.output is None):
        missing = "input" if price.input is None else "output"
        raise BadInput(f"{missing} is missing", remedy=f"Give {missing}, or a schedule, or `mode: override`.")
    base = _rates(price, Rates(None, None), to_usd)
    clock = zone(price.zone)
    rows = [] if not price.stated else [PriceRow(base, tiers=_tiers(price.tiers, base, to_usd))]
    rows += [_row(row, base, price.tiers, clock, to_usd) for row in price.schedule]
    _check_overlaps(rows)
    return Offer(
        provider,
        model,
        source,
        tuple(rows),
        context_tokens=price.context_tokens,
        note=note,
        variants=tuple(_variants(price, base, to_usd)),
        monthly_minimum_usd=price.monthly_minimum_usd or Decimal(0),
    )


def _overridden(offer: Offer, price: OwnPrice, source: Source, note: str, to_usd: Decimal) -> Offer:
    """The offer of another book with single figures replaced, wherever its standard schedule states them."""
    whole = ("tiers", "schedule", "batch", "flex", "priority", "fast")
    given = [name for name in whole if getattr(price, name)]
    if given:
        raise BadInput(
            f"an override changes single figures, and {given[0]} is more than that",
            remedy="Write `mode: replace` and give the whole price.",
        )

    def changed(rates: Rates) -> Rates:
        return _rates(price, rates, to_usd)

    book = offer.source
    return replace(
        offer,
        source=replace(source, reference=f"{source.reference}; over {book.book} of {book.as_of}", licence=book.licence),
        schedule=tuple(
            replace(
                row,
                rates=changed(row.rates),
                tiers=tuple(replace(tier, rates=changed(tier.rates)) for tier in row.tiers),
            )
            for row in offer.schedule
        ),
        note="; ".join(part for part in (note, offer.note) if part),
        context_tokens=price.context_tokens or offer.context_tokens,
        monthly_minimum_usd=offer.monthly_minimum_usd
        if price.monthly_minimum_usd is None
        else price.monthly_minimum_usd,
    )


def _dated(source: Source, price: OwnPrice) -> Source:
    return source if price.as_of is None else replace(source, as_of=price.as_of)


def _currency(price: OwnPrice, exchange: Mapping[str, Exchange]) -> tuple[str, Decimal]:
    """The note of an offer, and what one unit of its currency is in USD."""
    name = price.currency.upper()
    if name == USD:
        return price.note, Decimal(1)
    rate = exchange.get(name)
    if rate is None:
        raise BadInput(
            f"the price is in {name}, and no rate of exchange is known for {name}",
            remedy=f"Add `exchange: [{{currency: {name}, usd: ..., as_of: ..., source: ...}}]`.",
        )
    words = f"from {name} at {rate.usd:f} USD of {rate.as_of} ({rate.source})"
    return "; ".join(part for part in (price.note, words) if part), rate.usd


def _rates(figures: Figures, base: Rates, to_usd: Decimal) -> Rates:
    """The rates of `base` with the given figures in place, in USD. Refuses more decimals than a price has."""
    changed = {leaf: _in_usd(leaf, figure, to_usd) for leaf, figure in figures.stated.items()}
    return replace(base, **changed)


def _in_usd(leaf: str, figure: Decimal, to_usd: Decimal) -> Decimal:
    """A figure in USD. What was written in USD is kept; what was converted is rounded to what a price holds."""
    if to_usd != 1:
        step = _NINTH_DECIMAL if leaf == "per_request" else _SIXTH_DECIMAL
        figure = (figure * to_usd).quantize(step, rounding=ROUND_HALF_EVEN)
    if leaf != "per_request":
        pico_per_token(figure)
    return figure


def _tiers(tiers: Sequence[LongPrompt], base: Rates, to_usd: Decimal) -> tuple[Tier, ...]:
    bounds = [tier.above_prompt_tokens for tier in tiers]
    if len(set(bounds)) < len(bounds):
        raise BadInput(f"two tiers begin above the same length in {bounds}", remedy="Keep one of them.")
    return tuple(Tier(tier.above_prompt_tokens, _rates(tier, base, to_usd)) for tier in tiers)


def _row(row: DatedRow, base: Rates, tiers: Sequence[LongPrompt], clock: tzinfo, to_usd: Decimal) -> PriceRow:
    if row.valid_from is not None and row.valid_to is not None and row.valid_to <= row.valid_from:
        raise BadInput(
            f"a row holds from {row.valid_from} to before {row.valid_to}, which is never",
            remedy="Let valid_to be later: it is the first day on which the row no longer holds.",
        )
    rates = _rates(row, base, to_usd)
    return PriceRow(
        rates,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        window=_window(row),
        tiers=_tiers(row.tiers or tiers, rates, to_usd),
        zone=clock,
    )


def _window(row: DatedRow) -> Window | None:
    """The hours and weekdays of a row; None when it holds all day, every day."""
    days = frozenset(DAY_NAMES.index(day) for day in row.weekdays) or EVERY_DAY
    if not row.window:
        return Window(time(), time(), days) if row.weekdays else None
    start, dash, end = row.window.replace(" ", "").partition("-")
    try:
        window = Window(time.fromisoformat(start), time.fromisoformat("00:00" if end == "24:00" else end), days)
    except ValueError as error:
        raise BadInput(f"window is {row.window!r}", remedy="Write hours of the day, as in 22:00-06:00.") from error
    if not dash or (window.start == window.end and end != "24:00"):
        raise BadInput(
            f"the window {row.window} has no length", remedy="Leave the window out for the whole day, or mend it."
        )
    return window


def _variants(price: OwnPrice, base: Rates, to_usd: Decimal) -> Iterator[Variant]:
    for processing in (Processing.BATCH, Processing.FLEX, Processing.PRIORITY, Processing.FAST):
        way: Way | None = getattr(price, processing.value)
        if way is not None:
            rates = _rates(way, base, to_usd)
            yield Variant(processing, (PriceRow(rates, tiers=_tiers(way.tiers, rates, to_usd)),))


def _check_overlaps(rows: Sequence[PriceRow]) -> None:
    """Two windows that hold at the same moment must not disagree: neither is meant to stand before the other."""
    for first, second in combinations([row for row in rows if row.window is not None], 2):
        same = (first.rates, first.tiers) == (second.rates, second.tiers)
        if not same and _dates_meet(first, second) and _hours_meet(first.window, second.window):
            raise BadInput(
                f"{_words(first)} and {_words(second)} overlap with different prices",
                remedy="Let each hour belong to one window.",
            )


def _words(row: PriceRow) -> str:
    window = row.window
    if window is None:
        return "a row without a window"
    days = "" if window.weekdays == EVERY_DAY else " " + ",".join(DAY_NAMES[day] for day in sorted(window.weekdays))
    return f"window {window.start:%H:%M}-{window.end:%H:%M}{days}"


def _dates_meet(first: PriceRow, second: PriceRow) -> bool:
    starts = [row.valid_from for row in (first, second) if row.valid_from is not None]
    ends = [row.valid_to for row in (first, second) if row.valid_to is not None]
    return not starts or not ends or max(starts) < min(ends)


def _hours_meet(first: Window | None, second: Window | None) -> bool:
    if first is None or second is None:
        return False
    week = len(DAY_NAMES) * _DAY_SECONDS
    for start, length in _spans(first):
        for other, other_length in _spans(second):
            if (other - start) % week < length or (start - other) % week < other_length:
                return True
    return False


def _spans(window: Window) -> Iterator[tuple[int, int]]:
    """Start and length of every occurrence in a week, in seconds since Monday."""
    start, end = _seconds(window.start), _seconds(window.end)
    for day in window.weekdays:
        yield day * _DAY_SECONDS + start, (end - start) % _DAY_SECONDS or _DAY_SECONDS


def _seconds(at: time) -> int:
    return at.hour * SECONDS_PER_HOUR + at.minute * SECONDS_PER_MINUTE + at.second
