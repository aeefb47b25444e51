"""`baseload price` as a person types it."""

import json
from pathlib import Path

import pytest


def test_one_document_with_every_books_row(baseload):
    told = baseload("price|deepseek/deepseek-v4-pro|--input|1M|--output|1M|--requests|1K|--at|2026-11-21T12:00|--json")
    document = json.loads(told.out)
    assert document["schema"] == "baseload.price/1"
    rows = {quote["book"]: quote for quote in document["quotes"]}
    assert rows["article-2"]["usd"] == 1.35
    assert rows["article-3"]["usd"] == 5.22
    assert document["quotes"][0]["precedence"] == "market"
    assert all(quote["as_of"] and quote["reference"] and quote["licence"] for quote in document["quotes"])
    output = next(each for each in document["conflicts"] if each["leaf"] == "output")
    assert output["ratio"] == 4.46


def test_a_page_with_conflicts_and_dates(baseload):
    told = baseload("price|DeepSeek V4 Pro|--at|2026-06-17").out
    assert "conflict: output" in told
    assert "dated rows" in told
    assert "next: baseload decide" in told


def test_a_day_before_the_book_is_not_answered_with_todays_price_in_silence(baseload):
    told = baseload("price|reference/mid|--at|2020-01-01").out
    assert "the book is of 2026-06-17 and does not say what held on 2020-01-01" in told
    assert "does not say" not in baseload("price|reference/mid|--at|2026-11-01").out


def test_a_document_says_so_too(baseload):
    def said(line):
        document = json.loads(baseload(f"{line}|--json").out)
        rows = next(document[part] for part in ("quotes", "bids", "rows") if part in document)
        return {each["before_book"] for each in rows}

    for line in ("price|reference/mid", "price|compare|mid|--input|1M", "price|list|--book|article-4"):
        assert said(f"{line}|--at|2020-01-01") == {True}
        assert said(f"{line}|--at|2026-06-17") == {False}
    # A dated row says what held before the book was read.
    rows = json.loads(baseload("price|openrouter/openai/gpt-4o|--at|2026-10-20|--json").out)["quotes"]
    assert [quote["before_book"] for quote in rows] == [False]


def test_a_bare_name_is_its_makers_own_offer_and_the_answer_says_why(baseload):
    document = json.loads(baseload("price|gpt-4o|--at|2026-11-21|--json").out)
    assert document["chosen"]["offer"] == "openai/gpt-4o"
    assert "maker's own" in document["chosen"]["why"]
    assert "stands for it: its maker's own" in baseload("price|gpt-4o|--at|2026-11-21").out
    exact = json.loads(baseload("price|openrouter/openai/gpt-4o|--at|2026-11-21|--json").out)["chosen"]
    assert exact == {"offer": "openrouter/openai/gpt-4o", "book": "genai-prices 0.2.3", "why": ""}


def test_an_article_that_gives_no_input_price_is_unpriced(baseload):
    told = baseload("price|hunyuan-a13b|--input|5|--output|3").out
    assert "unpriced: article-0 has no input price" in told
    nothing = baseload("price|hunyuan-a13b|--processing|batch").out
    assert "No row has a price for this." in nothing


def test_prices_of_your_own_stand_first(baseload, tmp_path):
    path = tmp_path / "baseload.yaml"
    path.write_text("upstreams: []\npolicy: {routes: []}\nprices: [{offer: acme/large, input: '1.5', output: '2'}]\n")
    document = json.loads(baseload(f"price|acme/large|--config|{path}|--json").out)
    assert document["quotes"][0]["precedence"] == "yours"
    assert document["quotes"][0]["rates"]["input"] == 1.5


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("price|deepseek-v4-flsh", "deepseek-v4-flash"),
        ("price|mid|--at|yesterday", "2026-06-17"),
        ("price|mid|--input|many", "300M"),
        ("price|mid|--input|1|--requests|0", "at least one request"),
        ("price|mid|--input|1.5", "whole"),
        ("price|mid|--config|/nonexistent.yaml", "/nonexistent.yaml"),
    ],
)
def test_bad_input_ends_with_2_and_the_remedy(baseload, line, says):
    told = baseload(line, code=2)
    assert told.out == ""
    assert "error:" in told.err
    assert says in told.err


PRICES = Path(__file__).parent.parent / "data" / "prices"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "baseload.yaml"
    path.write_text(
        "upstreams: [{name: acme, base_url: 'https://api.acme.example/v1'}]\n"
        "policy:\n  routes:\n"
        "    - {name: one, upstream: acme, model: large, offer: acme/large, success: {judgment: 1}}\n"
        "    - {name: two, upstream: acme, model: huge, offer: acme/huge, success: {judgment: 1}}\n"
        "compare: [openai/gpt-5.5]\n"
        "exchange: [{currency: EUR, usd: '1.16', as_of: 2026-11-20, source: ECB}]\n"
        "prices:\n"
        "  - {offer: acme/large, input: '1', output: '2', currency: EUR, batch: {input: '0.5'}}\n"
        "  - {offer: openai/gpt-5.5, mode: override, output: '27'}\n"
        "books:\n"
        f"  - {{kind: litellm, path: {PRICES / 'litellm.json'}, as_of: 2026-11-21}}\n"
        f"  - {{kind: models.dev, path: {PRICES / 'modelsdev.json'}}}\n"
    )
    return path


def test_books_prices_and_currencies_of_a_configuration(baseload, config):
    told = json.loads(baseload(f"price|show|openai/gpt-5.5|--config|{config}|--json").out)
    assert [quote["book"] for quote in told["quotes"]] == [
        "yours",
        "litellm 2026-11-21",
        "genai-prices 0.2.3",
        "models.dev 2026-07-02",
    ]
    assert told["quotes"][0]["rates"]["output"] == 27
    assert told["quotes"][0]["rates"]["input"] == 5
    euro = json.loads(baseload(f"price|acme/large|--config|{config}|--processing|batch|--input|1M|--json").out)
    assert euro["quotes"][0]["usd"] == 0.58
    assert "ECB" in euro["quotes"][0]["note"]


def test_a_window_is_shown_on_the_providers_clock(baseload, config):
    page = baseload(f"price|tencent/deepseek-v4-pro-0813|--config|{config}|--at|2026-11-20T05:00").out
    assert "12:00-14:00 mon,tue,wed,thu,fri Asia/Shanghai" in page


def test_a_list_may_be_narrowed(baseload):
    line = "price|list|--provider|openai|--max-output|1|--at|2026-11-21"
    document = json.loads(baseload(f"{line}|--json").out)
    assert document["schema"] == "baseload.price.list/1"
    assert document["rows"]
    assert all(each["offer"].startswith("openai/") and each["rates"]["output"] <= 1 for each in document["rows"])
    page = baseload(f"{line}|--rows|2").out
    assert f"and {len(document['rows']) - 2} more" in page


def test_one_usage_on_every_offer(baseload):
    line = "price|compare|gpt-5.5|article-free|--input|1M|--output|1M"
    assert "article-free" in baseload(line, code=2).err
    document = json.loads(baseload(line.replace("|article-free", "") + "|--json").out)
    assert document["schema"] == "baseload.price.compare/1"
    prices = [bid["usd"] for bid in document["bids"]]
    assert prices == sorted(prices)
    assert "next: baseload price show" in baseload("price|compare|mid|hunyuan-a13b|--input|1M").out


def test_what_changed_between_dates_and_between_books(baseload, config):
    document = json.loads(baseload("price|diff|--from|2026-08-01|--to|2026-11-21|--json").out)
    assert document["schema"] == "baseload.price.diff/1"
    assert min(document["rises"], document["falls"]) > 10
    assert "rises" in baseload("price|diff|--from|2026-08-01|--to|2026-11-21|--rows|3").out
    page = baseload(f"price|diff|--book|models.dev 2026-07-02|--book|litellm 2026-11-21|--config|{config}").out
    assert "deepseek/deepseek-v4-pro" in page


def test_a_check_ends_with_3_when_it_finds_something(baseload, config):
    told = baseload("price|check|--book|article-2|--stale|10000|--at|2026-11-21", code=3)
    for model in ("qwen/qwen3-8b", "qwen/qwen2.5-7b", "glm/glm-4-9b", "glm/glm-4.5-air"):
        assert model in told.out
    assert "error: the check of 30 rows found" in told.err
    assert "nothing found" in baseload("price|check|--book|article-4|--stale|10000").out
    told = baseload(f"price|check|--config|{config}|--book|yours|--conflict|1000|--json", code=3)
    found = [(each["finding"], each["offer"]) for each in json.loads(told.out)["found"]]
    assert found == [("unpriced", "acme/huge")]


POLICY = """
policy:
  routes:
    - {name: sold, upstream: api, model: m, offer: openai/gpt-5.5, success: {judgment: 1}}
    - {name: half, upstream: api, model: m, offer: tencent/hunyuan-a13b, success: {judgment: 1}}
    - {name: none, upstream: api, model: m, offer: acme/huge, success: {judgment: 1}}
    - {name: cheap, upstream: api, model: m, offer: qwen/qwen3-8b, success: {judgment: 1}}
    - {name: torn, upstream: api, model: m, offer: deepseek/deepseek-v4-pro, success: {judgment: 1}}
    - {name: pool, upstream: pool, model: m, offer: own/m, own: true, success: {judgment: 1}}
"""


def test_a_check_of_what_a_policy_can_reach(baseload, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    line = f"price|check|--policy|{path}|--at|2026-11-21|--json"
    document = json.loads(baseload(line, code=3).out)
    found = {(each["finding"], each["offer"] or each["book"]) for each in document["found"]}
    assert {
        ("unpriced", "acme/huge"),
        ("unpriced", "tencent/hunyuan-a13b"),  # a price, but none for input
        ("far", "qwen/qwen3-8b"),
        ("conflict", "deepseek/deepseek-v4-pro"),
        ("stale", "article-0"),
    } <= found
    assert not any(offer.startswith(("own/", "openai/")) for _, offer in found)
    assert document["rows"] < 12
    told = {each["finding"]: each["words"] for each in document["found"]}
    assert "211 days old" in told["stale"]
    path.write_text(POLICY.partition("    - {name: half")[0])
    assert "1 row: nothing found" in baseload(line.removesuffix("|--json")).out


def test_a_check_of_a_configuration_counts_its_pools_as_priced(baseload, tmp_path):
    path = tmp_path / "baseload.yaml"
    path.write_text(
        "upstreams:\n"
        "  - {name: api, base_url: 'https://api.acme.example/v1', api_key: '${ACME_KEY}'}\n"
        "  - {name: pool, base_url: 'http://127.0.0.1:2/v1', kind: own, deployment: qwen3-32b-2xh100-vllm0.12,"
        " usd_per_gpu_hour: '2.40'}\n"
        "  - {name: bare, base_url: 'http://127.0.0.1:3/v1', kind: own}\n"
        "compare: []\n"
        "policy:\n  routes:\n"
        "    - {name: pool, upstream: pool, model: q, offer: own/qwen3-32b, own: true, success: {judgment: 1}}\n"
        "    - {name: bare, upstream: bare, model: b, offer: own/bare, own: true, success: {judgment: 1}}\n"
    )
    document = json.loads(baseload(f"price|check|--config|{path}|--json", code=3).out)
    assert [(each["finding"], each["offer"]) for each in document["found"]] == [("unpriced", "own/bare")]


def test_a_verb_may_be_left_out_even_behind_options(baseload):
    shown = [baseload(f"price|{words}|--at|2026-11-21").out for words in ("mid", "show|mid")]
    assert shown[0] == shown[1] == baseload("price|--at|2026-11-21|mid").out
    assert "compare" in baseload("price|--help").out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("price|mid|--processing|express", "batch, flex, priority, fast"),
        ("price|list|--max-output|cheap", "--max-output 2.5"),
        ("price|list|--max-input|-1", "from zero up"),
        ("price|compare|mid", "--input 300M"),
        ("price|diff", "--book twice"),
        ("price|diff|--from|2026-01-01|--book|a", "--book twice"),
        ("price|diff|--book|article-2", "--book twice"),
        ("price|diff|--book|article-2|--book|elsewhere", "no book is called 'elsewhere'"),
        ("price|check|--far|1", "above 1"),
        ("price|check|--policy|/nonexistent.yaml", "/nonexistent.yaml"),
    ],
)
def test_bad_input_of_the_books(baseload, line, says):
    told = baseload(line, code=2)
    assert told.out == ""
    assert says in told.err


def test_a_list_of_nothing_says_so(baseload):
    assert "No offer of any book is like that" in baseload("price|list|--book|nothing").out


def test_a_comparison_before_its_book_says_so(baseload):
    words = "does not say what held on 1900-01-01"
    assert words in baseload("price|compare|gpt-4o|--input|1M|--at|1900-01-01").out
    assert words not in baseload("price|compare|gpt-4o|--input|1M").out
