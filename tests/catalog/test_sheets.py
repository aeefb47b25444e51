"""Prices of your own: every field, override and replace, currencies, and what each mistake is told."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from baseload.catalog.entries import Offer, Precedence, PriceRow, Processing, Rates, Source, Tier, Variant
from baseload.catalog.sheets import Exchange, OwnPrice, own_offers
from baseload.cost.tokens import minimum_left, price, rates_at
from baseload.errors import BadConfig, UnknownModel, Unpriced
from baseload.pricebooks import zone
from baseload.usage import Usage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
YOURS = Source("yours", Precedence.YOURS, date(2026, 11, 21), "prices in your configuration")
MARKET = Offer(
    "acme",
    "large",
    Source("a market", Precedence.MARKET, date(2026, 11, 1), "a page", "MIT"),
    (
        PriceRow(
            Rates(Decimal(2), Decimal(8), cache_read=Decimal("0.2")),
            tiers=(Tier(1_000, Rates(Decimal(4), Decimal(12))),),
        ),
    ),
    context_tokens=128_000,
    variants=(Variant(Processing.BATCH, (PriceRow(Rates(Decimal(1), Decimal(4))),)),),
)
EURO = Exchange(currency="EUR", usd=Decimal("1.16"), as_of=date(2026, 11, 20), source="ECB reference rate")


def winner(key):
    if key != "acme/large":
        raise UnknownModel(f"no book has a price for {key!r}", remedy="Did you mean acme/large?")
    return MARKET


def own(*rows: dict[str, object], exchange=()):
    prices = [msgspec.convert(row, OwnPrice, strict=False) for row in rows]
    return list(own_offers(prices, YOURS, exchange, zone=zone, winner=winner))


def sheet(**fields: object):
    return {"offer": "acme/large", "input": "3", "output": "15"} | fields


def test_every_field_of_a_sheet_reaches_the_offer():
    (offer,) = own(
        sheet(
            cache_read="0.3",
            cache_write="3.75",
            cache_write_1h="6",
            reasoning="20",
            per_request="0.01",
            tiers=[{"above_prompt_tokens": 200_000, "input": "6", "output": "22.5"}],
            schedule=[
                {"valid_from": "2026-09-01", "window": "09:00-12:00", "weekdays": ["mon", "fri"], "output": "30"},
                {"valid_to": "2026-01-01", "input": "9"},
            ],
            zone="Asia/Shanghai",
            batch={"input": "1.5", "output": "7.5"},
            priority={"input": "6", "tiers": [{"above_prompt_tokens": 10, "output": "99"}]},
            monthly_minimum_usd="100",
            context_tokens=400_000,
            as_of="2026-10-01",
            note="the contract of October",
        )
    )
    assert rates_at(offer, NOON) == Rates(*map(Decimal, ("3", "15", "0.3", "3.75", "6", "20", "0.01")))
    # What a tier leaves out is as for short prompts.
    assert rates_at(offer, NOON, 200_001) == Rates(*map(Decimal, ("6", "22.5", "0.3", "3.75", "6", "20", "0.01")))
    friday_morning = datetime(2026, 11, 20, 1, tzinfo=UTC)
    assert (rates_at(offer, friday_morning).input, rates_at(offer, friday_morning).output) == (3, 30)
    assert rates_at(offer, datetime(2025, 12, 31, 15, 59, tzinfo=UTC)).input == 9
    assert rates_at(offer, datetime(2025, 12, 31, 16, tzinfo=UTC)).input == 3
    assert rates_at(offer, NOON, 0, Processing.BATCH).output == Decimal("7.5")
    assert rates_at(offer, NOON, 11, Processing.PRIORITY).output == 99
    with pytest.raises(Unpriced, match="no flex price for acme/large"):
        price(Usage(input_tokens=1), offer, NOON, Processing.FLEX)
    assert (offer.context_tokens, offer.source.as_of, offer.note) == (
        400_000,
        date(2026, 10, 1),
        "the contract of October",
    )
    assert minimum_left(offer, 30_000_000_000) == 70_000_000_000
    assert minimum_left(offer, 100_000_000_001) == 0


def test_an_override_changes_the_figures_it_gives_and_nothing_else():
    (offer,) = own({"offer": "acme/large", "mode": "override", "output": "7", "note": "negotiated"})
    assert rates_at(offer, NOON) == Rates(Decimal(2), Decimal(7), cache_read=Decimal("0.2"))
    assert rates_at(offer, NOON, 1_001) == Rates(Decimal(4), Decimal(7))
    assert (offer.variants, offer.context_tokens) == (MARKET.variants, 128_000)
    assert (offer.source.precedence, offer.source.licence) == (Precedence.YOURS, "MIT")
    assert "over a market of 2026-11-01" in offer.source.reference


def test_another_currency_becomes_usd_at_a_stated_rate():
    (offer,) = own(sheet(currency="EUR", per_request="0.001", batch={"input": "1"}), exchange=(EURO,))
    assert rates_at(offer, NOON) == Rates(Decimal("3.48"), Decimal("17.40"), per_request=Decimal("0.00116"))
    assert rates_at(offer, NOON, 0, Processing.BATCH).input == Decimal("1.16")
    assert offer.note == "from EUR at 1.16 USD of 2026-11-20 (ECB reference rate)"


@pytest.mark.parametrize(
    ("row", "says", "remedy"),
    [
        (sheet(offer="acme"), "offer is 'acme'", "provider/model"),
        ({"offer": "acme/large", "input": "3"}, "output is missing", "mode: override"),
        (sheet(input="0.0000001"), "six decimals", "Round"),
        (sheet(currency="CNY"), "no rate of exchange is known for CNY", "exchange:"),
        (sheet(zone="Mars/Olympus"), "no time zone is called 'Mars/Olympus'", "Asia/Shanghai"),
        (sheet(schedule=[{"window": "9-25"}]), "window is '9-25'", "22:00-06:00"),
        (sheet(schedule=[{"window": "09:00-09:00"}]), "has no length", "whole day"),
        (sheet(schedule=[{"valid_from": "2026-02-01", "valid_to": "2026-02-01"}]), "which is never", "valid_to"),
        (
            sheet(schedule=[{"window": "22:00-06:00", "input": "1"}, {"window": "05:00-07:00", "input": "2"}]),
            "window 22:00-06:00 and window 05:00-07:00 overlap with different prices",
            "one window",
        ),
        (
            sheet(schedule=[{"weekdays": ["sat"], "input": "1"}, {"window": "23:00-01:00", "input": "2"}]),
            "overlap",
            "one window",
        ),
        (
            sheet(tiers=[{"above_prompt_tokens": 9, "input": "1"}, {"above_prompt_tokens": 9, "input": "2"}]),
            "two tiers begin above the same length",
            "one of them",
        ),
        ({"offer": "acme/large", "mode": "override", "batch": {"input": "1"}}, "batch is more than that", "replace"),
        ({"offer": "acme/lrge", "mode": "override", "input": "1"}, "no book has a price", "acme/large"),
    ],
)
def test_a_mistake_is_named_with_its_row_and_a_remedy(row, says, remedy):
    with pytest.raises(BadConfig) as caught:
        own(sheet(offer="other/model"), row)
    assert caught.value.message.startswith(f"prices: row 2, {row['offer']}: ")
    assert says in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "schedule",
    [
        # One after the other, on other days, in other months, or at the same price.
        [{"window": "22:00-06:00", "input": "1"}, {"window": "06:00-07:00", "input": "2"}],
        [{"window": "22:00-06:00", "weekdays": ["fri"], "input": "1"}, {"window": "22:00-06:00", "weekdays": ["sun"]}],
        [{"window": "01:00-02:00", "valid_to": "2026-02-01"}, {"window": "01:00-02:00", "valid_from": "2026-02-01"}],
        [{"window": "01:00-03:00", "input": "1"}, {"window": "02:00-04:00", "input": "1"}],
    ],
)
def test_windows_that_do_not_disagree_may_stand_together(schedule):
    (offer,) = own(sheet(schedule=schedule))
    assert len(offer.schedule) == 3


def test_a_doubled_offer_is_refused():
    with pytest.raises(BadConfig, match=r"prices: row 2, Acme/Large: row 1 prices the same offer"):
        own(sheet(), sheet(offer="Acme/Large"))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (sheet(input="-1"), "input is -1, which is no price"),
        (sheet(tiers=[{"above_prompt_tokens": 5, "output": "-2"}]), "output is -2, which is no price"),
        (sheet(monthly_minimum_usd="-5"), "monthly_minimum_usd is -5"),
        (sheet(as_of="2026-13-01"), "Invalid RFC3339"),
        (sheet(schedule=[{"weekdays": ["someday"]}]), "someday"),
        (sheet(colour="red"), "colour"),
    ],
)
def test_what_is_no_figure_or_date_is_refused_where_it_is_read(row, says):
    with pytest.raises(msgspec.ValidationError, match=says):
        own(row)


def test_a_rate_of_exchange_is_above_zero():
    with pytest.raises(ValueError, match="no rate of exchange"):
        Exchange(currency="EUR", usd=Decimal(0), as_of=date(2026, 1, 1), source="-")
