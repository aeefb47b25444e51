"""A recorded cost by what it was charged for: kinds of token and the fee per request, at the prices that held. Pure.

The ledger keeps what an attempt consumed, what that cost and the name of the book; the prices are read from the book
again. The recorded cost wins: the parts are given only when they add up to it, to the nano-dollar. A book that has
changed since, or is not at hand, gives none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NamedTuple

from baseload.capacity.offer import OWN
from baseload.catalog.entries import DAY_NAMES, EVERY_DAY, Offer, PriceRow, Processing
from baseload.clock import from_ns
from baseload.cost.tokens import price, processing_of, tier_of
from baseload.errors import BadInput, Unpriced
from baseload.load.calls import Attempt
from baseload.usage import Usage

REQUEST = "request"
"""The fee per request, beside the leaves of a Usage."""
WHOLE_PROMPT = -1
"""`above` of a price that does not ask how long the prompt is."""

_NOTHING = Usage()

# Every book's row for an offer, by its key.
Offers = Callable[[str], Iterable[Offer]]


class Price(NamedTuple):
    """What one kind of token cost: `usd` per million tokens, or per request where the leaf is REQUEST.

    It held for requests processed in that way whose prompt was longer than `above` tokens, in these `hours` of the
    provider's clock (empty: at all of them).
    """

    leaf: str
    usd: Decimal
    processing: Processing
    above: int
    hours: str


class Part(NamedTuple):
    """`quantity` tokens (or requests) at a price, rounded to nano-dollars as the attempt was."""

    price: Price
    quantity: int
    nanousd: int


class Parts:
    """Takes recorded costs apart. What several books say of an offer is looked up once."""

    def __init__(self, offers: Offers) -> None:
        self._offers = offers
        self._known: dict[tuple[str, str], tuple[Offer, ...]] = {}

    def of(self, attempt: Attempt) -> tuple[Part, ...] | None:
        """The parts of an attempt's cost; none of them when nothing was consumed, None when they are not known."""
        if attempt.cost_nanousd is None:
            return None
        for offer in self._candidates(attempt.offer, attempt.book):
            found = _split(attempt, offer)
            if found is not None and sum(part.nanousd for part in found) == attempt.cost_nanousd:
                return found
        return () if attempt.cost_nanousd == 0 and attempt.usage == _NOTHING else None

    def _candidates(self, key: str, book: str) -> tuple[Offer, ...]:
        """The book that priced it, then other editions of it. What another book says is another price."""
        found = self._known.get((key, book))
        if found is None:
            told = [each for each in self._offers(key) if series(each.source.book) == series(book)] if book else []
            found = tuple(sorted(told, key=lambda each: each.source.book != book))
            self._known[key, book] = found
        return found


def series(book: str) -> str:
    """A book's name without its edition.

    >>> series("genai-prices 0.0.69"), series("litellm 2026-11-01"), series("my book")
    ('genai-prices', 'litellm', 'my book')
    """
    name, _, edition = book.rpartition(" ")
    return name if name and edition[:1].isdigit() else book


def _split(attempt: Attempt, offer: Offer) -> tuple[Part, ...] | None:
    """What the offer says of the attempt's usage, by leaf; None where it has no price for it.

    A pool of your own costs its hours, whatever it calls the way it served.
    """
    when, usage = from_ns(attempt.started_ns), attempt.usage
    try:
        processing = processing_of("" if offer.provider == OWN else attempt.service_tier)
        charge = price(usage, offer, when, processing)
    except (Unpriced, BadInput):
        return None
    row = offer.row(when, processing)
    if row is None:
        return None
    tier = tier_of(row, usage.prompt_tokens)
    above, hours = WHOLE_PROMPT if tier is None else tier.above_prompt_tokens, _hours(row)
    return tuple(
        Part(Price(line.leaf, line.usd_per_mtok, processing, above, hours), line.count, line.nanousd)
        for line in charge.lines
    )


def _hours(row: PriceRow) -> str:
    """A row's window in words; empty for a price of all hours."""
    window = row.window
    if window is None:
        return ""
    start, end = (each.isoformat().removesuffix(":00") for each in (window.start, window.end))
    days = ",".join(name for day, name in enumerate(DAY_NAMES) if day in window.weekdays)
    return f"{start}-{end} {row.zone}" + ("" if window.weekdays == EVERY_DAY else f" {days}")
