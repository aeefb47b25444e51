"""The card about money: what was paid where a pool is leased, what was spent where none is, never a silent zero."""

from __future__ import annotations

from decimal import Decimal

import pytest

from baseload.audit.paid import Paid
from baseload.console import metered
from baseload.console.reading import _NOTHING
from baseload.ledger.query import Dispatch

NANO = 10**9


@pytest.mark.parametrize(
    ("money", "key", "shown", "detail", "alarm"),
    [
        (Paid(3 * NANO, 0, 0), "spend", "$3.00", "3 USD", False),
        (
            Paid(3 * NANO, NANO, 4 * NANO),
            "paid",
            "$7.00",
            "$3.00 by the token, $4.00 for the own pool's hours, $3.00 of it idle",
            False,
        ),
        (Paid(3 * NANO, 5 * NANO, 4 * NANO), "paid", "$7.00", "At least: $3.00 by the token, $4.00", True),
        (Paid(3 * NANO, NANO, None), "paid", "unknown", "set its deployment and usd_per_gpu_hour", True),
    ],
)
def test_the_card_about_money(money, key, shown, detail, alarm):
    card = next(
        card
        for card in metered.cards(_NOTHING, money, Dispatch(0, 0, 0), own_pool=money.leased)
        if card.key in ("spend", "paid")
    )
    assert (card.key, card.shown, card.alarm) == (key, shown, alarm)
    assert detail in card.detail


def test_busy_is_told_apart_from_the_share_of_requests():
    """Nine of ten requests, a quarter of the hours."""
    cards = metered.cards(_NOTHING, Paid(0, NANO, 4 * NANO), Dispatch(10, 9, 1), own_pool=True)
    own, over = cards[-2:]
    assert (own.title, own.shown, own.detail) == (
        "Own pool, share of requests",
        "90.0 %",
        "9 answered by it; busy 25.0 % of its hours",
    )
    assert (over.title, over.share) == ("Overflow, share of requests", Decimal("0.1"))
