"""The one rule by which a model's name stands for an offer."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.catalog.books import Catalog
from baseload.catalog.choice import blended, choose, makers
from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.documents import load_catalog
from baseload.errors import UnknownModel, Unpriced

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def offer(provider, model, price, precedence=Precedence.MARKET):
    rates = Rates(None if price is None else Decimal(price), Decimal(0))
    return Offer(provider, model, Source(precedence.name, precedence, date(2026, 11, 9), "a test"), (PriceRow(rates),))


def cost(offer):
    found = blended(offer.schedule[0].rates)
    if found is None:
        raise Unpriced(f"{offer.key} has no price", remedy="Add it.")
    return found


OPENAI, AZURE, RESELLER = (
    offer("openai", "gpt-4o", 5),
    offer("azure", "gpt-4o", 4),
    offer("openrouter", "openai/gpt-4o", 3),
)


@pytest.mark.parametrize(
    ("offers", "name", "key", "says"),
    [
        ([AZURE, OPENAI, RESELLER], "gpt-4o", "openai/gpt-4o", "its maker's own, of 3 offers in the market's books"),
        ([AZURE, OPENAI, RESELLER], "azure/gpt-4o", "azure/gpt-4o", ""),
        (
            [AZURE, RESELLER],
            "GPT 4o",
            "openrouter/openai/gpt-4o",
            "cheapest of 2 offers in the market's books; its mak",
        ),
        ([offer("a", "house-blend", 2), offer("b", "house-blend", 1)], "house-blend", "b/house-blend", "not known"),
        # Who sells at a price nobody knows does not sell for this purpose.
        ([offer("openai", "gpt-4o", None), AZURE, RESELLER], "gpt-4o", "openrouter/openai/gpt-4o", "cheapest of 2"),
        # Your own price stands before the maker's, an article's behind everybody's.
        ([OPENAI, offer("azure", "gpt-4o", 9, Precedence.YOURS)], "gpt-4o", "azure/gpt-4o", "of 1 offers in your own"),
        ([offer("openai", "gpt-4o", 1, Precedence.ARTICLES), AZURE], "gpt-4o", "azure/gpt-4o", "market's books"),
        ([OPENAI], "gpt-4o", "openai/gpt-4o", "the only offer"),
    ],
)
def test_the_maker_first_and_else_the_cheapest(offers, name, key, says):
    chosen = choose(Catalog(offers), name, cost)
    assert chosen.offer.key == key
    assert says in chosen.why
    assert bool(chosen.why) == bool(says)


@given(st.permutations([AZURE, OPENAI, RESELLER, offer("x", "gpt-4o", 2, Precedence.ARTICLES)]))
def test_the_order_of_the_books_does_not_matter(offers):
    assert choose(Catalog(offers), "gpt-4o", cost).offer == OPENAI


def test_equal_prices_are_told_apart_by_name():
    two = [offer("b", "house-blend", 1), offer("a", "house-blend", 1)]
    assert {choose(Catalog(each), "house-blend", cost).offer.key for each in permutations(two)} == {"a/house-blend"}


def test_a_name_without_an_offer_and_an_offer_without_a_price():
    with pytest.raises(UnknownModel, match="gpt-5o"):
        choose(Catalog([OPENAI]), "gpt-5o", cost)
    with pytest.raises(Unpriced, match="openai/gpt-4o has no price"):
        choose(Catalog([offer("openai", "gpt-4o", None)]), "gpt-4o", cost)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("deepseek-v3.2", "deepseek/deepseek-v3.2"),
        ("mistral-large", "mistral/mistral-large"),
        ("kimi-k2", "moonshotai/kimi-k2"),
        ("glm-5", "zai/GLM-5"),
    ],
)
def test_what_the_shipped_books_sell(name, key):
    catalog = load_catalog()

    def now(offer):
        row = offer.row(NOW)
        return cost(Offer(offer.provider, offer.model, offer.source, (row,))) if row else cost(offer)

    assert choose(catalog, name, now).offer.key == key


@pytest.mark.parametrize(
    ("model", "maker"),
    [
        ("o3-mini", "openai"),
        ("open-weights", None),
        ("deepseek-ai/DeepSeek-V4", "deepseek"),
        ("global.anthropic.x", None),
    ],
)
def test_makers_by_the_family_of_a_name(model, maker):
    assert makers(model)[:1] == ((maker,) if maker else ())
