"""`price` against exact decimal arithmetic, over tiers, windows, dated rows and what a sheet leaves out."""

from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source, Tier, Window
from baseload.cost.tokens import price, rates_at
from baseload.errors import BadInput, Unpriced
from baseload.units import NANO_PER_USD, TOKENS_PER_MTOK
from baseload.usage import Usage

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOURCE = Source("book", Precedence.MARKET, date(2026, 11, 9), "a test")
LEAVES = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")

rate = st.decimals(0, 200, places=6)
count = st.integers(0, 3_000_000)
rates = st.builds(
    Rates,
    input=rate,
    output=rate,
    cache_read=st.none() | rate,
    cache_write=st.none() | rate,
    cache_write_1h=st.none() | rate,
    reasoning=st.none() | rate,
    per_request=st.decimals(0, 1, places=9),
)
usages = st.builds(Usage, **{f"{leaf}_tokens": count for leaf in LEAVES})


def offer(row, later=None):
    return Offer("p", "m", SOURCE, (row,) if later is None else (row, later))


def flat(read, written):
    return PriceRow(Rates(Decimal(read), Decimal(written)))


def expected(usage, sheet):
    """Each leaf's exact USD, rounded half-even once to nano-dollars; the total is their sum."""
    whole = {"output": sheet.output, "reasoning": sheet.output}
    total = 0
    with localcontext() as context:
        context.prec = 60
        for leaf in LEAVES:
            stated = getattr(sheet, leaf)
            each = stated if stated is not None else whole.get(leaf, sheet.input)
            usd = getattr(usage, f"{leaf}_tokens") * each / TOKENS_PER_MTOK
            total += int((usd * NANO_PER_USD).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
        return total + int((sheet.per_request * NANO_PER_USD).quantize(Decimal(1)))


@given(usages, rates)
def test_every_charge_is_the_sum_of_exactly_priced_leaves(usage, sheet):
    charge = price(usage, offer(PriceRow(sheet)), NOW)
    assert charge.nanousd == expected(usage, sheet)
    assert sum(line.nanousd for line in charge.lines) == charge.nanousd
    tokens = sum(line.count for line in charge.lines if line.leaf != "request")
    assert tokens == usage.prompt_tokens + usage.completion_tokens


@given(usages, usages, rates)
def test_two_calls_cost_what_their_charges_add_up_to_within_rounding(one, other, sheet):
    row = offer(PriceRow(sheet))
    apart = price(one, row, NOW).nanousd + price(other, row, NOW).nanousd
    together = price(one + other, row, NOW).nanousd
    request = int(sheet.per_request * NANO_PER_USD)
    assert abs(apart - together - request) <= len(LEAVES) * 2


@pytest.mark.parametrize(
    ("tokens", "at", "usd"),
    [
        # The articles' own products: tokens a month at an output price.
        (1_500_000_000, "0.25", "375"),
        (15_000_000_000, "0.25", "3750"),
        (15_000_000_000, "0.28", "4200"),
        (30_000_000, "0.25", "7.5"),
    ],
)
def test_the_articles_arithmetic(tokens, at, usd):
    charge = price(Usage(output_tokens=tokens), offer(flat(0, at)), NOW)
    assert charge.nanousd == Decimal(usd) * NANO_PER_USD


@pytest.mark.parametrize(("read", "written", "usd"), [(3, 15, 2400), (15, 75, 12000), (1, 5, 800)])
def test_article_4_months(read, written, usd):
    usage = Usage(input_tokens=300_000_000, output_tokens=100_000_000)
    assert price(usage, offer(flat(read, written)), NOW).nanousd == usd * NANO_PER_USD


@pytest.mark.parametrize(
    ("prompt", "paid"),
    [(200_000, 3), (200_001, 6), (400_000, 6), (400_001, 9)],
)
def test_a_tier_is_a_cliff_that_the_whole_request_pays(prompt, paid):
    tiers = (Tier(400_000, Rates(Decimal(9), Decimal(0))), Tier(200_000, Rates(Decimal(6), Decimal(0))))
    tiered = offer(PriceRow(Rates(Decimal(3), Decimal(0)), tiers=tiers))
    assert price(Usage(input_tokens=prompt), tiered, NOW).nanousd == prompt * paid * 1_000
    # Cached tokens are part of the prompt that the tier is chosen by.
    cached = Usage(input_tokens=1, cache_read_tokens=prompt - 1)
    assert price(cached, tiered, NOW).nanousd == prompt * paid * 1_000
    assert rates_at(tiered, NOW, prompt).input == paid


@pytest.mark.parametrize(
    ("hour", "minute", "paid"),
    [(21, 59, 2), (22, 0, 1), (23, 59, 1), (0, 0, 1), (5, 59, 1), (6, 0, 2), (12, 0, 2)],
)
def test_a_window_may_wrap_past_midnight(hour, minute, paid):
    night = PriceRow(Rates(Decimal(1), Decimal(1)), window=Window(time(22), time(6)))
    moment = datetime(2026, 11, 21, hour, minute, tzinfo=UTC)
    assert price(Usage(input_tokens=1_000), offer(flat(2, 2), night), moment).nanousd == paid * 1_000_000


@pytest.mark.parametrize(
    ("day", "paid"),
    [(date(2026, 3, 31), 1), (date(2026, 4, 1), 2), (date(2026, 6, 30), 2), (date(2026, 7, 1), 1)],
)
def test_among_rows_that_hold_the_last_one_wins(day, paid):
    dated = PriceRow(Rates(Decimal(2), Decimal(2)), valid_from=date(2026, 4, 1), valid_to=date(2026, 7, 1))
    moment = datetime.combine(day, time(12), UTC)
    assert price(Usage(input_tokens=1_000), offer(flat(1, 1), dated), moment).nanousd == paid * 1_000_000


def test_what_a_sheet_leaves_out_is_charged_as_the_whole_and_marked():
    charge = price(Usage(cache_read_tokens=10, reasoning_tokens=5), offer(flat(2, 8)), NOW)
    assert [(line.leaf, line.nanousd, line.assumed) for line in charge.lines] == [
        ("cache_read", 20_000, True),
        ("reasoning", 40_000, True),
    ]


def test_unknown_is_an_error_and_never_zero():
    future = PriceRow(Rates(Decimal(1), Decimal(1)), valid_from=date(2027, 1, 1))
    with pytest.raises(Unpriced, match="2026-11-21"):
        price(Usage(input_tokens=1), offer(future), NOW)
    with pytest.raises(Unpriced, match="no output price"):
        price(Usage(output_tokens=1), offer(PriceRow(Rates(Decimal(1), None))), NOW)
    with pytest.raises(Unpriced, match="no cache_read price"):
        price(Usage(cache_read_tokens=1), offer(PriceRow(Rates(None, Decimal(1)))), NOW)


def test_a_price_too_fine_to_hold_is_refused_rather_than_rounded():
    with pytest.raises(BadInput, match="six decimals"):
        price(Usage(input_tokens=1), offer(flat("0.0000001", 1)), NOW)


def test_nothing_used_costs_the_request_alone():
    charge = price(Usage(), offer(PriceRow(Rates(Decimal(1), Decimal(1), per_request=Decimal("0.012")))), NOW)
    assert charge.nanousd == 12_000_000
