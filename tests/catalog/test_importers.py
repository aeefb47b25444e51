"""Books of LiteLLM and models.dev from extracts of the real files, and what a broken file is told."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.data import providers

from baseload.catalog.entries import Precedence, Processing, Rates
from baseload.catalog.market import market_offers
from baseload.cost.tokens import price, rates_at
from baseload.errors import BadConfig, Unpriced
from baseload.pricebooks import all_book_offers, book_offers
from baseload.settings import BookFile
from baseload.usage import Usage

DATA = Path(__file__).parent.parent / "data" / "prices"
DAY = date(2026, 11, 21)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MAP = BookFile(kind="litellm", path=str(DATA / "litellm.json"), as_of=DAY)
SITE = BookFile(kind="models.dev", path=str(DATA / "modelsdev.json"))


def by_key(offers):
    return {offer.key: offer for offer in offers}


@pytest.fixture(scope="module")
def litellm():
    return by_key(book_offers(MAP))


@pytest.fixture(scope="module")
def site():
    return by_key(book_offers(SITE))


def test_a_price_per_token_becomes_a_price_per_million(litellm):
    offer = litellm["openai/gpt-5.5"]
    assert rates_at(offer, NOON) == Rates(Decimal(5), Decimal(30), cache_read=Decimal("0.5"))
    assert rates_at(offer, NOON, 272_001) == Rates(Decimal(10), Decimal(45), cache_read=Decimal(1))
    assert offer.context_tokens == 1_050_000
    assert (offer.source.precedence, offer.source.as_of, offer.source.licence) == (Precedence.MARKET, DAY, "MIT")
    assert offer.source.book == "litellm 2026-11-21"
    assert offer.source.reference.endswith("; https://developers.openai.com/api/docs/pricing")


@pytest.mark.parametrize(
    ("processing", "prompt", "read", "written"),
    [
        (Processing.BATCH, 1, "2.5", "15"),
        (Processing.BATCH, 272_001, "5", "22.5"),
        (Processing.FLEX, 272_001, "5", "22.5"),
        (Processing.PRIORITY, 1, "12.5", "75"),
        # The map states no long-context price for priority: its price has no cliff.
        (Processing.PRIORITY, 272_001, "12.5", "75"),
    ],
)
def test_suffixes_are_ways_of_processing(litellm, processing, prompt, read, written):
    rates = rates_at(litellm["openai/gpt-5.5"], NOON, prompt, processing)
    assert (rates.input, rates.output) == (Decimal(read), Decimal(written))


def test_ranges_are_tiers(litellm):
    offer = litellm["dashscope/qwen-flash"]
    assert rates_at(offer, NOON, 256_000).input == Decimal("0.05")
    assert rates_at(offer, NOON, 256_001).output == Decimal(2)
    thinking = litellm["dashscope/qwen-plus-latest"]
    assert rates_at(thinking, NOON, 300_000).reasoning == Decimal(12)


@pytest.mark.parametrize("key", ["deepseek/deepseek-v4-pro", "tencent/deepseek-v4-pro-0813"])
def test_off_peak_hours_and_weekdays(litellm, key):
    """The weekdays of the second row are Beijing's; with hours that begin no earlier than 01:00 UTC both agree."""
    monday = datetime(2026, 11, 16, tzinfo=UTC)
    dear = [
        (day, hour)
        for day in range(7)
        for hour in range(24)
        if rates_at(litellm[key], monday + timedelta(days=day, hours=hour)).output == Decimal("3.96")
    ]
    assert dear == [(day, hour) for day in range(5) for hour in (1, 2, 3, 6, 7, 8, 9)]


def test_a_weekday_of_another_zone_is_that_of_the_moment_there(litellm, tmp_path):
    entries = json.loads((DATA / "litellm.json").read_text())
    entry = entries["tencent/deepseek-v4-pro-0813"]
    # Cheap on Saturday by Beijing: from 16:00 UTC on Friday to 16:00 UTC on Saturday.
    entry["off_peak_pricing"]["windows"] = [{"hours_utc": "00:00-00:00", "weekdays": [6]}]
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"tencent/x": entry}))
    (offer,) = book_offers(BookFile(kind="litellm", path=str(path), as_of=DAY))
    friday = datetime(2026, 11, 20, tzinfo=UTC)
    cheap = [h for h in range(72) if rates_at(offer, friday + timedelta(hours=h)).output == Decimal("1.98")]
    assert cheap == list(range(16, 40))


def test_one_model_under_two_names_is_one_row_and_what_has_no_token_price_is_none(litellm):
    assert len([key for key in litellm if key.endswith("/deepseek-v4-flash")]) == 1
    assert "openai/whisper-1" not in litellm
    assert "github-copilot/gpt-4o" not in litellm
    assert not any(offer.schedule[0].rates.cache_write == 0 for offer in litellm.values())
    # More decimals than a price has are rounded, as 15.000002000000002 here.
    assert rates_at(litellm["databricks/databricks-claude-opus-4"], NOON).input == Decimal("15.000020")


def test_the_flat_file_of_models_dev(site):
    offer = site["aws/qwen.qwen3-vl-235b-a22b"]
    assert rates_at(offer, NOON) == Rates(Decimal("0.3"), Decimal("1.5"))
    assert (offer.source.book, offer.source.as_of) == ("models.dev 2026-07-02", date(2026, 7, 2))
    tiered = site["github-copilot/gpt-5.4"]
    assert rates_at(tiered, NOON, 272_001) == Rates(Decimal(5), Decimal("22.5"), cache_read=Decimal("0.5"))
    # 0/0 is what a subscription pays for, and null is unknown: neither is a price by the token.
    assert not {"kilo/baidu/cobuddy:free", "github-copilot/claude-sonnet-5"} & site.keys()


def test_the_answer_of_its_api(tmp_path):
    model = {
        "id": "large",
        "name": "Large",
        "cost": {"input": 1.25, "output": 10, "cache_read": 0.125, "context_over_200k": {"input": 2.5, "output": 15}},
        "limit": {"context": 1_048_576, "output": 65_536},
    }
    path = tmp_path / "api.json.gz"
    document = {"acme": {"id": "acme", "models": {"large": model, "free": {"id": "free"}}}}
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    (offer,) = book_offers(BookFile(kind="models.dev", path=str(path), as_of=DAY, name="the site"))
    assert (offer.key, offer.name, offer.context_tokens, offer.source.book) == (
        "acme/large",
        "Large",
        1_048_576,
        "the site",
    )
    assert rates_at(offer, NOON, 200_001) == Rates(Decimal("2.5"), Decimal(15), cache_read=Decimal("0.125"))


def test_both_books_price_the_same_usage_exactly(litellm, site):
    usage = Usage(input_tokens=10_000, cache_read_tokens=90_000, output_tokens=1_001, reasoning_tokens=500)
    cents = [price(usage, book["openai/gpt-5.5"], NOON).nanousd for book in (litellm, site)]
    assert cents == [10_000 * 5_000 + 90_000 * 500 + 1_501 * 30_000] * 2


def published(value):
    """The library's bundled data in the shape in which it is published."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list):
        return [published(each) for each in value]
    if isinstance(value, dict) or not hasattr(value, "__dict__"):
        return value
    return {key: published(each) for key, each in vars(value).items() if each is not None}


def test_a_data_file_of_genai_prices_is_the_bundled_book(tmp_path):
    document = {
        "providers": [
            {
                "id": provider.id,
                "pricing_urls": provider.pricing_urls,
                "models": [
                    {
                        "id": model.id,
                        "name": model.name,
                        "context_window": model.context_window,
                        "deprecated": model.deprecated,
                        "prices": published(model.prices),
                        "price_variants": published(model.price_variants or []),
                    }
                    for model in provider.models
                ],
            }
            for provider in providers
        ]
    }
    bundled = [replace(offer, source=None) for offer in market_offers(providers, "test")]
    for shape in (document, document["providers"]):
        path = tmp_path / "data.json"
        path.write_text(json.dumps(shape))
        found = book_offers(BookFile(kind="genai-prices", path=str(path), as_of=DAY))
        assert [replace(offer, source=None) for offer in found] == bundled
        assert found[0].source.book == "genai-prices 2026-11-21"


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("litellm", "{", "is not JSON"),
        ("litellm", "[]", "holds no JSON object"),
        ("litellm", '{"a": 1}', "is no file of litellm"),
        ("litellm", '{"a": {"mode": "chat"}, "a": {"mode": "chat"}}', "'a' stands there twice"),
        (
            "litellm",
            '{"a": {"mode": "chat", "litellm_provider": "p", "input_cost_per_token": -1}}',
            "a: -1 is no price",
        ),
        (
            "litellm",
            '{"a": {"mode": "chat", "litellm_provider": "p", "input_cost_per_token": "much"}}',
            "a: ",
        ),
        ("litellm", '{"a": {"mode": "chat", "input_cost_per_token": 1}}', "it names no provider"),
        ("models.dev", '{"offers": [{"provider": "p", "model": "m", "input": -0.5}]}', "p/m: -0.5 is no price"),
        ("genai-prices", "{}", "holds no list of providers"),
        ("genai-prices", '[{"models": []}]', "is no file of genai-prices"),
        ("genai-prices", '[{"id": "p", "models": [{"id": "m", "prices": {"input_mtok": -1}}]}]', "p/m: -1 is no price"),
        ("genai-prices", '[{"id": "p", "models": [{"id": "m"}]}]', "p/m: KeyError"),
        (
            "genai-prices",
            '[{"id": "p", "models": [{"id": "m", "prices": [{"constraint": {"start_date": "soon"}, "prices": {}}]}]}]',
            "p/m: ValueError",
        ),
        ("models.dev", '{"offers": [{"model": "m"}]}', "is no file of models.dev"),
        ("models.dev", '{"acme": {}}', "is no file of models.dev"),
    ],
)
def test_a_broken_file_is_named_with_its_row(tmp_path, kind, text, says):
    path = tmp_path / "book.json"
    path.write_text(text)
    with pytest.raises(BadConfig) as caught:
        book_offers(BookFile(kind=kind, path=str(path), as_of=DAY))
    assert str(path) in caught.value.message
    assert says in caught.value.message
    assert caught.value.remedy


def test_weekdays_of_a_zone_whose_clocks_change_are_refused(tmp_path):
    entry = json.loads((DATA / "litellm.json").read_text())["tencent/deepseek-v4-pro-0813"]
    entry["off_peak_pricing"]["weekday_timezone"] = "Europe/Paris"
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"a": entry}))
    with pytest.raises(BadConfig, match="a: hours in UTC with weekdays of Europe/Paris"):
        book_offers(BookFile(kind="litellm", path=str(path), as_of=DAY))


def test_a_book_needs_its_day_and_a_name_of_its_own(tmp_path):
    with pytest.raises(BadConfig, match="does not say of which day") as caught:
        book_offers(BookFile(kind="litellm", path=MAP.path))
    assert "as_of" in caught.value.remedy
    copy = tmp_path / "site.json"
    copy.write_text('{"offers": []}')
    with pytest.raises(BadConfig, match="does not say of which day"):
        book_offers(BookFile(kind="models.dev", path=str(copy)))
    with pytest.raises(BadConfig, match="both called 'litellm 2026-11-21'"):
        list(all_book_offers((MAP, MAP)))
    with pytest.raises(BadConfig, match=r"cannot read .*nothing\.json"):
        book_offers(BookFile(kind="litellm", path="nothing.json", as_of=DAY))


def test_a_way_of_processing_that_the_map_does_not_price_is_unpriced(litellm):
    with pytest.raises(Unpriced, match="no batch price"):
        price(Usage(input_tokens=1), litellm["deepseek/deepseek-v4-pro"], NOON, Processing.BATCH)
