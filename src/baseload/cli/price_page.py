"""The pages of `baseload price list`, `compare`, `diff` and `check`. Acts (prints)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from baseload.cli.output import hint, how_many, money, say, table

if TYPE_CHECKING:
    from baseload.cost.price_books import CheckDocument, CompareDocument, DiffDocument, ListDocument


def show_list(document: ListDocument, rows: int) -> None:
    """The first rows, and how many more there are."""
    if not document.rows:
        say("No offer of any book is like that: --provider, --book, --model, --max-input and --max-output narrow it.")
        hint("baseload price list")
        return
    table(
        f"USD per million tokens on {document.at:%Y-%m-%d %H:%M} UTC",
        ["offer", "book", "as of", ">in", ">out", ">cache read", "also"],
        [
            [
                row.offer,
                row.book,
                row.as_of.isoformat(),
                _figure(row.rates.input),
                _figure(row.rates.output),
                _figure(row.rates.cache_read),
                ", ".join(row.processing),
            ]
            for row in document.rows[:rows]
        ],
    )
    _more(len(document.rows), rows)
    if document.rows:
        hint(f"baseload price show {document.rows[0].offer}")


def show_comparison(document: CompareDocument) -> None:
    """Every offer, cheapest first, and why some have no price."""
    usage = document.usage
    table(
        f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out, {document.processing}",
        ["offer", "book", "as of", ">USD", ">times"],
        [
            [
                bid.offer,
                bid.book,
                bid.as_of.isoformat(),
                "unpriced" if bid.usd is None else money(bid.usd, 4),
                "-" if bid.times is None else f"{bid.times:f}",
            ]
            for bid in document.bids
        ],
    )
    for bid in document.bids:
        if bid.unpriced:
            say(f"  unpriced: {bid.unpriced}")
        if bid.usd_with_minimum is not None and bid.usd_with_minimum != bid.usd:
            say(f"  {bid.offer} ({bid.book}) bills at least {money(bid.usd_with_minimum)} USD a month")
    for book, day in dict.fromkeys((bid.book, bid.as_of) for bid in document.bids if bid.before_book):
        say(f"  {book} is of {day} and does not say what held on {document.at:%Y-%m-%d}")
    hint(f"baseload price show {document.bids[0].offer}")


def show_diff(document: DiffDocument, rows: int) -> None:
    """Rises first, then falls, then what came and went."""
    table(
        f"{document.before} to {document.after}: {document.rises} rises, {document.falls} falls",
        ["offer", "book", "price", ">before", ">after", ">times", ""],
        [
            [
                change.offer,
                change.book,
                change.leaf,
                _figure(change.before),
                _figure(change.after),
                _figure(change.factor),
                change.direction,
            ]
            for change in document.changes[:rows]
        ],
    )
    _more(len(document.changes), rows)
    if document.changes:
        hint(f"baseload price show {document.changes[0].offer}")


def show_check(document: CheckDocument, rows: int) -> None:
    """What was found, by kind."""
    if not document.found:
        say(f"  {how_many(document.rows, 'row')}: nothing found")
        return
    table(
        f"{how_many(document.rows, 'row')} on {document.at:%Y-%m-%d}",
        ["finding", "offer", "book", "what"],
        [[each.finding, each.offer, each.book, each.words] for each in document.found[:rows]],
    )
    _more(len(document.found), rows)


def _figure(figure: Decimal | None) -> str:
    return "-" if figure is None else f"{figure:f}"


def _more(count: int, rows: int) -> None:
    if count > rows:
        say(f"  and {count - rows} more: --rows {count}, or --json")
