from __future__ import annotations

from datetime import date, time
from decimal import Decimal

from baseload.catalog.changes import Changes, changes, counted
from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source, Window
from baseload.documents import load_catalog

SOURCE = Source("book", Precedence.MARKET, date(2026, 1, 1), "here")


def offer(*rows: tuple[str | None, str | None, date | None]) -> Offer:
    schedule = tuple(
        PriceRow(Rates(Decimal(i) if i else None, Decimal(o) if o else None), valid_from=start) for i, o, start in rows
    )
    return Offer("p", "m", SOURCE, schedule)


def test_each_way_a_price_can_go():
    days = [date(2026, month, 1) for month in range(1, 7)]
    found = changes(
        [offer(("1", "2", None), ("2", "2", days[0]), ("2", "1", days[1]), ("1", "2", days[2]), ("1", "2", days[3]))]
    )
    assert [change.direction for change in found] == ["rise", "fall", "mixed", "none"]
    assert [change.day for change in found] == days[:4]
    assert counted(found) == Changes(rises=1, falls=1, mixed=1, none=1)
    assert counted(found).moved == 3
    assert found[0].factor == Decimal(2) * Decimal("0.75") / Decimal("1.25") + Decimal("0.5") / Decimal("1.25")


def test_unknown_prices_and_windows_are_no_change():
    assert changes([offer((None, "2", None), ("2", "2", date(2026, 1, 1)))]) == ()
    window = PriceRow(Rates(Decimal(1), Decimal(1)), window=Window(time(1), time(2)))
    row = PriceRow(Rates(Decimal(2), Decimal(2)), valid_from=date(2026, 1, 1))
    assert changes([Offer("p", "m", SOURCE, (window, row))]) == ()


def test_a_price_that_was_nothing_has_no_factor():
    assert changes([offer(("0", "0", None), ("1", "1", date(2026, 1, 1)))])[0].factor is None


def test_in_the_market_book_rises_outnumber_falls():
    """Of the dated changes of the bundled book more were rises than falls: prices move both ways."""
    market = [row for row in load_catalog().offers if row.source.precedence is Precedence.MARKET]
    tally = counted(changes(market))
    assert tally.rises > tally.falls > 50
    assert tally.moved == tally.rises + tally.falls + tally.mixed
