"""Lookup, precedence, conflicts and close matches; and the articles' figures as the books hold them."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from baseload.catalog.books import Catalog, bare_name
from baseload.catalog.entries import LeaseKind, Offer, Precedence, PriceRow, Rates, Source
from baseload.cost.tokens import price
from baseload.documents import load_catalog
from baseload.errors import UnknownModel, Unpriced
from baseload.ranges import Range
from baseload.settings import OwnPrice
from baseload.usage import Usage

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

# Article 2's ranking, rank by rank: name, provider as printed, input, output, context.
ARTICLE_2 = (
    ("Qwen3-8B", "Qwen", "0.01", "0.01", "32K"),
    ("GLM-4-9B", "GLM", "0.01", "0.01", "32K"),
    ("Qwen2.5-7B", "Qwen", "0.01", "0.01", "32K"),
    ("GLM-4.5-Air", "GLM", "0.07", "0.01", "32K"),
    ("Qwen3.5-4B", "Qwen", "0.05", "0.05", "32K"),
    ("Hunyuan-Lite", "Tencent", "0.39", "0.1", "32K"),
    ("Qwen2.5-14B", "Qwen", "0.05", "0.1", "32K"),
    ("Step-3.5-Flash", "StepFun", "0.13", "0.15", "32K"),
    ("Qwen3.5-27B", "Qwen", "0.33", "0.19", "32K"),
    ("ByteDance-Seed-OSS", "Doubao", "0.04", "0.2", "128K"),
    ("Hunyuan-Standard", "Tencent", "0.09", "0.2", "32K"),
    ("Hunyuan-Pro", "Tencent", "0.09", "0.2", "32K"),
    ("ERNIE-Speed-128K", "Baidu", "0.0", "0.2", "128K"),
    ("Qwen3-14B", "Qwen", "0.2", "0.24", "32K"),
    ("DeepSeek V4 Flash", "DeepSeek", "0.18", "0.25", "128K"),
    ("Qwen3-32B", "Qwen", "0.18", "0.28", "32K"),
    ("Hunyuan-TurboS", "Tencent", "0.14", "0.28", "32K"),
    ("Ga-Economy", "GA Routing", "0.18", "0.13", "Auto"),
    ("Qwen2.5-72B", "Qwen", "0.2", "0.4", "128K"),
    ("DeepSeek-V3.2", "DeepSeek", "0.35", "0.38", "128K"),
    ("Doubao-Seed-Lite", "ByteDance", "0.1", "0.4", "128K"),
    ("Ling-Flash-2.0", "InclusionAI", "0.18", "0.5", "32K"),
    ("Qwen3-VL-32B", "Qwen", "0.26", "0.52", "32K"),
    ("Qwen3-Omni-30B", "Qwen", "0.3", "0.52", "32K"),
    ("GLM-4-32B", "GLM", "0.26", "0.56", "32K"),
    ("Hunyuan-Turbo", "Tencent", "0.18", "0.57", "32K"),
    ("GLM-4.6V", "GLM", "0.39", "0.8", "32K"),
    ("Doubao-Seed-1.6", "ByteDance", "0.05", "0.8", "128K"),
    ("Ga-Standard", "GA Routing", "0.36", "0.2", "Auto"),
    ("DeepSeek V4 Pro", "DeepSeek", "0.57", "0.78", "128K"),
)
CONTEXT = {"32K": 32_000, "128K": 128_000, "Auto": None}


@pytest.fixture(scope="module")
def catalog():
    own = OwnPrice(offer="deepseek/deepseek-v4-pro", input=Decimal("0.5"), output=Decimal("0.9"))
    return load_catalog((own,))


def book(catalog, name):
    return [offer for offer in catalog.offers if offer.source.book == name]


def test_article_2_holds_its_thirty_rows_and_nothing_else(catalog):
    held = {
        (
            offer.name,
            offer.provider,
            offer.schedule[0].rates.input,
            offer.schedule[0].rates.output,
            offer.context_tokens,
        )
        for offer in book(catalog, "article-2")
    }
    wanted = {
        (name, provider.lower().replace(" ", "-"), Decimal(read), Decimal(written), CONTEXT[context])
        for name, provider, read, written, context in ARTICLE_2
    }
    assert held == wanted
    assert len(book(catalog, "article-2")) == 30


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("article-0", {"tencent/hunyuan-a13b": (None, "0.57")}),
        (
            "article-3",
            {
                "z-ai/glm-5.2": ("1.40", "4.40"),
                "deepseek/deepseek-v4-pro": ("1.74", "3.48"),
                "deepseek/deepseek-v4-flash": ("0.14", "0.28"),
                "fireworks/llama-4-maverick": ("0.22", "0.88"),
            },
        ),
        ("article-4", {"reference/frontier": (15, 75), "reference/mid": (3, 15), "reference/light": (1, 5)}),
    ],
)
def test_the_other_articles(catalog, name, rows):
    held = {offer.key: offer.schedule[0].rates for offer in book(catalog, name)}
    assert held == {
        key: Rates(None if read is None else Decimal(read), Decimal(written)) for key, (read, written) in rows.items()
    }


def test_an_output_only_price_is_unknown_for_input_not_free(catalog):
    offer = catalog.offer("tencent/hunyuan-a13b")
    assert price(Usage(output_tokens=1_000_000), offer, NOW).nanousd == 570_000_000
    with pytest.raises(Unpriced, match="no input price"):
        price(Usage(input_tokens=1, output_tokens=1), offer, NOW)
    free = catalog.offer("baidu/ernie-speed-128k")
    assert price(Usage(input_tokens=1_000_000), free, NOW).nanousd == 0


def test_yours_stands_before_the_market_and_the_market_before_the_articles(catalog):
    rows = catalog.named("deepseek/deepseek-v4-pro")
    assert [row.source.precedence for row in rows] == [
        Precedence.YOURS,
        Precedence.MARKET,
        Precedence.ARTICLES,
        Precedence.ARTICLES,
    ]
    # Of two articles the newer one stands first.
    assert [row.source.book for row in rows[2:]] == ["article-3", "article-2"]
    assert catalog.offer("DeepSeek/DeepSeek-V4-Pro").schedule[0].rates.input == Decimal("0.5")


def test_a_bare_name_finds_every_provider_and_a_key_one_offer(catalog):
    assert {offer.key for offer in catalog.named("deepseek/deepseek-v4-flash")} == {"deepseek/deepseek-v4-flash"}
    every = {offer.key for offer in catalog.named("DeepSeek V4 Flash")}
    assert {"deepseek/deepseek-v4-flash", "openrouter/deepseek/deepseek-v4-flash"} <= every
    assert catalog.named("deepseek_v4_flash") == catalog.named("DeepSeek V4 Flash")
    assert catalog.named("nobody/deepseek-v4-flash") == ()


def test_conflicts_say_by_how_much_the_books_differ(catalog):
    found = {conflict.leaf: conflict for conflict in catalog.conflicts("deepseek/deepseek-v4-pro", NOW)}
    assert (found["output"].highest.source.book, found["output"].high) == ("article-3", Decimal("3.48"))
    assert (found["output"].lowest.source.book, found["output"].low) == ("article-2", Decimal("0.78"))
    assert round(found["output"].ratio, 2) == Decimal("4.46")
    assert catalog.conflicts("baidu/ernie-speed-128k", NOW) == ()


def test_a_conflict_with_a_free_row_has_no_ratio():
    source = Source("a", Precedence.MARKET, date(2026, 1, 1), "a")
    free, paid = (Offer("p", "m", source, (PriceRow(Rates(Decimal(read), Decimal(1))),)) for read in (0, 2))
    (conflict,) = Catalog((free, paid)).conflicts("m", NOW)
    assert (conflict.leaf, conflict.low, conflict.high, conflict.ratio) == ("input", 0, 2, None)


@pytest.mark.parametrize(
    ("asked", "close"),
    [
        ("deepseek/deepseek-v4-flsh", "deepseek/deepseek-v4-flash"),
        ("qwen3-32", "qwen/qwen3-32b"),
        ("glm5.2", "z-ai/glm-5.2"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_what_comes_close(catalog, asked, close):
    with pytest.raises(UnknownModel) as caught:
        catalog.offer(asked)
    assert asked in caught.value.message
    assert bare_name(close) in caught.value.remedy.lower()


def test_a_name_like_no_other_says_how_to_add_a_price(catalog):
    assert "`prices`" in catalog.unknown("xyzzy").remedy


@pytest.mark.parametrize(
    ("gpu", "kind", "source", "hourly"),
    [
        ("h100-80gb", LeaseKind.RENTED, "article-3", Range.between(2, 3)),
        ("h200-141gb", LeaseKind.RENTED, "article-3", Range.exact(Decimal("4.39"))),
        ("rtx-4090", LeaseKind.RENTED, "article-3", Range.between("0.35", "1.00")),
        ("rtx-5090", LeaseKind.RENTED, "article-3", Range.between("0.35", "1.00")),
        ("h100-80gb", LeaseKind.SPOT, "article-1", Range.exact(Decimal("1.65"))),
    ],
)
def test_rents_of_the_articles(catalog, gpu, kind, source, hourly):
    held = [lease for lease in catalog.leases(gpu) if lease.kind is kind and lease.source.book == source]
    assert hourly in [lease.usd_per_gpu_hour for lease in held]


def test_article_0_prices_whole_boxes_and_owning_is_half_of_renting(catalog):
    boxes = {
        (lease.gpu, lease.count, lease.kind): lease.usd_per_month
        for gpu in ("a100-40gb", "a100-80gb")
        for lease in catalog.leases(gpu)
        if lease.source.book == "article-0"
    }
    rented = {key[:2]: figure for key, figure in boxes.items() if key[2] is LeaseKind.RENTED}
    assert rented == {
        ("a100-40gb", 1): Range.between(400, 800),
        ("a100-80gb", 1): Range.between(600, 1200),
        ("a100-80gb", 2): Range.between(1000, 2000),
        ("a100-80gb", 4): Range.between(2000, 4000),
        ("a100-80gb", 8): Range.between(4000, 8000),
    }
    assert {key[:2]: figure * 2 for key, figure in boxes.items() if key[2] is LeaseKind.OWNED} == rented


def test_purchase_prices(catalog):
    bought = {
        gpu: lease.purchase_usd
        for gpu in ("h100-80gb", "rtx-5090", "rtx-4090")
        for lease in catalog.leases(gpu)
        if lease.purchase_usd is not None
    }
    assert bought == {
        "h100-80gb": Range.between(25_000, 30_000),
        "rtx-5090": Range.exact(2_000),
        "rtx-4090": Range.exact(1_600),
    }


def test_machines_multiply_one_card(catalog):
    node = catalog.machine("h100-80gb-x8")
    assert (node.total_memory_gb, node.watts, node.bandwidth_tb_per_second) == (640, 700, Decimal("3.35"))
    with pytest.raises(UnknownModel, match="h100-80gb-x3") as caught:
        catalog.machine("h100-80gb-x3")
    assert "h100-80gb-x2" in caught.value.remedy


def test_every_figure_has_a_source_and_a_date(catalog):
    for each in (*catalog.offers, *catalog.machines, *catalog.leases("h100-80gb")):
        assert each.source.reference
        assert each.source.licence or each.source.precedence is Precedence.YOURS
        assert date(2026, 1, 1) < each.source.as_of
