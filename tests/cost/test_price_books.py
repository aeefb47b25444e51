"""Whole books: listed, compared, set against each other and checked."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer, Precedence, PriceRow, Processing, Rates, Source, Variant
from baseload.cost.price_books import book_diff, price_check, price_compare, price_diff, price_list
from baseload.cost.quotes import Asked, quotes
from baseload.errors import BadInput, UnknownModel

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEFORE = datetime(2026, 6, 1, tzinfo=UTC)
MARKET = Source("market", Precedence.MARKET, date(2026, 11, 9), "a market", "MIT")
OTHER = Source("other", Precedence.MARKET, date(2026, 11, 1), "another market", "MIT")
ARTICLE = Source("article", Precedence.ARTICLES, date(2026, 4, 24), "an article", "facts")
MILLION = Asked(input_tokens=1_000_000, output_tokens=1_000_000)


def rates(read, written):
    return Rates(*(None if each is None else Decimal(str(each)) for each in (read, written)))


def row(read, written, **more: object):
    return PriceRow(rates(read, written), **more)


RISEN = Offer("acme", "one", MARKET, (row(1, 4), row(2, 4, valid_from=date(2026, 9, 1))))
FALLEN = Offer("beta", "one", MARKET, (row(3, 9), row(3, 6, valid_from=date(2026, 7, 1))))
NEW = Offer("gamma", "two", MARKET, (row(5, 5, valid_from=date(2026, 8, 1)),))
GONE = Offer("delta", "two", MARKET, (row(7, 7, valid_to=date(2026, 8, 1)),))
SAME = Offer("acme", "three", MARKET, (row(1, 1), row(1, 1, valid_from=date(2026, 8, 1))))
BATCHED = Offer(
    "acme",
    "four",
    MARKET,
    (row(10, 20),),
    variants=(Variant(Processing.BATCH, (row(5, 10),)),),
    monthly_minimum_usd=Decimal(100),
)
CATALOG = Catalog((RISEN, FALLEN, NEW, GONE, SAME, BATCHED))


def test_a_list_has_what_is_in_force_cheapest_output_first_and_unknown_last():
    unknown = Offer("zeta", "five", ARTICLE, (row(1, None),))
    document = price_list(Catalog((*CATALOG.offers, unknown)), NOW)
    assert [card.offer for card in document.rows] == [
        "acme/three",
        "acme/one",
        "gamma/two",
        "beta/one",
        "acme/four",
        "zeta/five",
    ]
    cheap = price_list(CATALOG, NOW, passes=lambda _, held: held.output <= 4)
    assert [card.offer for card in cheap.rows] == ["acme/three", "acme/one"]
    batch = price_list(CATALOG, NOW, processing=Processing.BATCH)
    assert [(card.offer, card.rates.output) for card in batch.rows] == [("acme/four", 10)]


def test_one_usage_on_every_offer_cheapest_first():
    document = price_compare(CATALOG, ["one", "acme/four", "acme/one"], NOW, MILLION)
    assert [(bid.offer, bid.usd, bid.times) for bid in document.bids] == [
        ("acme/one", 6, 1),
        ("beta/one", 9, Decimal("1.5")),
        ("acme/four", 30, 5),
    ]
    assert [bid.usd_with_minimum for bid in document.bids] == [6, 9, 100]
    batch = price_compare(CATALOG, ["acme/one", "acme/four"], NOW, MILLION, Processing.BATCH)
    assert [(bid.offer, bid.usd) for bid in batch.bids] == [("acme/four", 15), ("acme/one", None)]
    assert "no batch price" in batch.bids[1].unpriced
    with pytest.raises(UnknownModel, match="'six'"):
        price_compare(CATALOG, ["one", "six"], NOW, MILLION)


def test_what_changed_between_two_dates():
    document = price_diff(CATALOG, BEFORE, NOW)
    assert [
        (each.offer, each.leaf, each.direction, each.before, each.after, each.factor) for each in document.changes
    ] == [
        ("acme/one", "input", "rise", 1, 2, 2),
        ("beta/one", "output", "fall", 9, 6, Decimal("0.67")),
        ("gamma/two", "input", "new", None, 5, None),
        ("gamma/two", "output", "new", None, 5, None),
        ("gamma/two", "per_request", "new", None, 0, None),
        ("delta/two", "input", "gone", 7, None, None),
        ("delta/two", "output", "gone", 7, None, None),
        ("delta/two", "per_request", "gone", 0, None, None),
    ]
    assert (document.rises, document.falls) == (1, 1)
    assert price_diff(CATALOG, NOW, NOW).changes == ()


def test_where_two_books_differ():
    there = Offer("acme", "one", OTHER, (row(2, 5),))
    catalog = Catalog((*CATALOG.offers, there, Offer("eta", "seven", OTHER, (row(1, 1),))))
    document = book_diff(catalog, "market", "other", NOW)
    (change,) = document.changes
    assert (change.offer, change.leaf, change.before, change.after, change.book) == (
        "acme/one",
        "output",
        4,
        5,
        "market -> other",
    )
    with pytest.raises(BadInput, match="no book is called 'elsewhere'") as caught:
        book_diff(catalog, "market", "elsewhere", NOW)
    assert "market, other" in caught.value.remedy


def check(catalog, **asked: object):
    given_ = {"stale_days": 10_000, "far": Decimal(5), "conflict": Decimal(100)} | asked
    return [(each.finding, each.offer) for each in price_check(catalog, NOW, **given_).found]


def test_a_check_that_finds_nothing_is_not_breached():
    document = price_check(CATALOG, NOW, stale_days=100, far=Decimal(50), conflict=Decimal(50))
    assert (document.breached, document.found, document.rows) == (False, (), 6)


def test_what_a_check_finds():
    market = [Offer(name, "eight", MARKET, (row(1, each),)) for name, each in (("a", 1), ("b", 2), ("c", 3))]
    cheap = Offer("d", "Eight", ARTICLE, (row(1, "0.01"),))
    assert check(Catalog((*market, cheap))) == [("far", "d/Eight")]
    assert check(Catalog((*market, cheap)), far=Decimal(500)) == []
    assert check(Catalog((*market, cheap)), books=["market"]) == []
    # No market for the model, but below nearly everything that is sold.
    lone = Offer("e", "nine", ARTICLE, (row(1, "0.01"),))
    assert check(Catalog((*market, lone))) == [("far", "e/nine")]
    # The same offer in two books.
    twin = Offer("a", "eight", OTHER, (row(1, 3),))
    assert check(Catalog((*market, twin)), conflict=Decimal(3)) == [("conflict", "a/eight")]
    assert check(Catalog((*market, twin)), conflict=Decimal("3.01")) == []
    # Two prices in one book.
    assert check(Catalog((*market, Offer("a", "eight", MARKET, (row(1, "1.1"),))))) == [("twice", "a/eight")]
    # Old: one finding for a book and day.
    assert check(Catalog((*market, lone)), stale_days=12, far=Decimal(10**6), books=["market"]) == []
    assert check(Catalog(market), stale_days=11) == [("stale", "")]
    # Wanted, and in no book, or in none that has a price by now.
    assert check(Catalog((*market, GONE)), wanted=["a/eight", "f/ten", "delta/two"]) == [
        ("unpriced", "f/ten"),
        ("unpriced", "delta/two"),
    ]
    with pytest.raises(BadInput, match="no book is called nowhere"):
        check(CATALOG, books=["nowhere"])


def test_a_free_row_of_a_model_that_others_sell_stands_out():
    market = [Offer(name, "eight", MARKET, (row(1, each),)) for name, each in (("a", 1), ("b", 2), ("c", 3))]
    assert check(Catalog((*market, Offer("d", "eight", ARTICLE, (row(1, 0),))))) == [("far", "d/eight")]


BOOKS = tuple(
    Source(f"book {number}", precedence, date(2026, 11, day), "generated")
    for number, (precedence, day) in enumerate(
        ((Precedence.YOURS, 1), (Precedence.MARKET, 2), (Precedence.MARKET, 1), (Precedence.ARTICLES, 3))
    )
)
OFFERS = st.lists(
    st.builds(
        Offer,
        provider=st.sampled_from("pq"),
        model=st.sampled_from(("m", "n")),
        source=st.sampled_from(BOOKS),
        schedule=st.builds(row, st.integers(0, 5), st.integers(0, 5)).map(lambda each: (each,)),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda offer: (offer.key, offer.source.book),
)


@given(OFFERS, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_in_which_books_are_read_changes_nothing(offers, random):
    shuffled = offers.copy()
    random.shuffle(shuffled)
    here, there = Catalog(offers), Catalog(shuffled)
    asked = {"stale_days": 19, "far": Decimal(2), "conflict": Decimal(2)}
    for offer in offers:
        winner = here.offer(offer.key)
        assert winner == there.offer(offer.key)
        rivals = [each.source for each in offers if each.key == offer.key]
        assert winner.source == min(rivals, key=lambda source: (source.precedence, -source.as_of.toordinal()))
        assert quotes(here, offer.key, NOW, MILLION) == quotes(there, offer.key, NOW, MILLION)
        assert price_compare(here, [offer.model], NOW, MILLION) == price_compare(there, [offer.model], NOW, MILLION)
    assert price_list(here, NOW) == price_list(there, NOW)
    assert price_check(here, NOW, **asked) == price_check(there, NOW, **asked)
