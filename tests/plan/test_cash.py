from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from baseload.cost.cashflow import npv
from baseload.documents import load_scenarios
from baseload.errors import BadInput
from baseload.plan.answer import answer
from baseload.plan.scenario import Outlay, pick

SCENARIO = pick(load_scenarios(), "article-4")
TODAY = date(2026, 11, 21)


def test_the_business_case_by_hand():
    found = answer(SCENARIO, (), TODAY).cash
    assert found is not None
    flat, falling, rising = found.cases
    assert flat.flows_usd == (-7692, *[1200] * 36)
    assert flat.payback_month == 7
    assert flat.npv_usd == round(npv([Decimal(-7692), *[Decimal(1200)] * 36], Decimal("0.1")), 2)
    assert flat.pays_from == date(2027, 5, 1)
    assert falling.npv_usd < flat.npv_usd < rising.npv_usd
    assert falling.flows_usd[13] == Decimal(2400) * Decimal("0.6") - 1200


def test_what_a_hybrid_buys_follows_the_price_and_its_machines_do_not():
    """1.5 machines' worth of tokens at a high price: one base machine, the rest bought."""
    asked = msgspec.structs.replace(SCENARIO, input="1.2B", output="500M", prices=SCENARIO.prices[:1])
    document = answer(asked, (), TODAY)
    found = document.cash
    assert found is not None
    hybrid = next(option for option in document.options if option.kind == "hybrid")
    assert (found.plan, hybrid.machines) == (hybrid.name, 1)
    bought = hybrid.usd_per_month.likely - 1200
    assert bought > 0
    flat, falling, _ = found.cases
    api = next(option for option in document.options if option.name == found.instead_of)
    fell = flat.flows_usd[13] - falling.flows_usd[13]
    assert abs(fell - Decimal("0.4") * (api.usd_per_month.likely - bought)) < Decimal("0.02")


def test_without_machines_there_is_none():
    assert answer(msgspec.structs.replace(SCENARIO, machine=None), (), TODAY).cash is None


@pytest.mark.parametrize("outlay", [Outlay(yearly_rate=11), Outlay(setup="1e12"), Outlay(exit="1e400")])
def test_an_absurd_outlay_is_refused(outlay):
    with pytest.raises(BadInput):
        answer(msgspec.structs.replace(SCENARIO, outlay=outlay), (), TODAY)
