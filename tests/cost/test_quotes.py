"""Every book's row for a name: prices of the asked usage, schedules, conflicts."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source, Tier
from baseload.cost.quotes import Asked, price_spread, quotes
from baseload.cost.tokens import price
from baseload.errors import BadInput, UnknownModel
from baseload.units import usd
from baseload.usage import Usage

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MARKET = Source("market", Precedence.MARKET, date(2026, 11, 9), "a market", "MIT")
ARTICLE = Source("article", Precedence.ARTICLES, date(2026, 6, 17), "an article", "facts")
TIERED = PriceRow(
    Rates(Decimal(1), Decimal(4)),
    valid_from=date(2026, 6, 1),
    tiers=(Tier(1_000, Rates(Decimal(2), Decimal(6))),),
)
CATALOG = Catalog(
    (
        Offer("acme", "one", MARKET, (PriceRow(Rates(Decimal(3), Decimal(9))), TIERED)),
        Offer("acme", "one", ARTICLE, (PriceRow(Rates(None, Decimal("0.5"))),)),
    )
)


def test_every_row_stands_with_its_price_and_what_has_none_says_why():
    document = quotes(CATALOG, "acme/one", NOW, Asked(input_tokens=900, output_tokens=100))
    market, article = document.quotes
    assert (market.book, market.usd, market.unpriced) == ("market", Decimal("0.0013"), None)
    assert (article.book, article.usd) == ("article", None)
    assert "no input price" in article.unpriced
    assert [line.in_force for line in market.schedule] == [False, True]
    assert (document.conflicts[0].leaf, document.conflicts[0].ratio) == ("output", 8)
    assert document.schema == "baseload.price/1"


def test_the_rates_shown_are_those_that_one_prompt_pays():
    long = quotes(CATALOG, "acme/one", NOW, Asked(input_tokens=3_000, output_tokens=0)).quotes[0]
    spread = quotes(CATALOG, "acme/one", NOW, Asked(input_tokens=3_000, output_tokens=0, requests=3)).quotes[0]
    assert (long.rates.input, long.usd) == (2, Decimal("0.006"))
    assert (spread.rates.input, spread.usd) == (1, Decimal("0.003"))


def test_an_earlier_day_has_the_earlier_price():
    before = quotes(CATALOG, "acme/one", datetime(2026, 5, 31, tzinfo=UTC), Asked(input_tokens=0, output_tokens=10**6))
    assert before.quotes[0].usd == 9


@given(st.integers(0, 40_000), st.integers(0, 40_000), st.integers(1, 50))
def test_a_spread_is_its_requests_priced_one_by_one(read, written, requests):
    offer = CATALOG.offer("acme/one")
    nanos = sum(
        price(
            Usage(
                input_tokens=read // requests + (at < read % requests),
                output_tokens=written // requests + (at < written % requests),
            ),
            offer,
            NOW,
        ).nanousd
        for at in range(requests)
    )
    asked = Asked(input_tokens=read, output_tokens=written, requests=requests)
    assert price_spread(asked, offer, NOW) == usd(nanos)


def test_what_cannot_be_asked():
    with pytest.raises(UnknownModel, match="'acme/two'"):
        quotes(CATALOG, "acme/two", NOW)
    with pytest.raises(BadInput, match="0 requests"):
        price_spread(Asked(input_tokens=1, output_tokens=1, requests=0), CATALOG.offer("acme/one"), NOW)
