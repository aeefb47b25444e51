"""Leases, ownership, power and the hidden stack against the articles' figures and against closed forms."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.cost.hours import annuity, electricity, hidden_stack, lease_month
from baseload.errors import BadInput
from baseload.ranges import Range


def test_a_node_around_the_clock():
    month = lease_month(Range.between(2, 3), 8)
    assert (month.amount.low, month.amount.high) == (11_680, 17_520)
    assert month.how == "8 x 2-3 USD/h x 730 h"


def test_a_lease_is_not_rent_times_utilisation():
    rate = Range.exact(Decimal("1.65"))
    around_the_clock = lease_month(rate, 1).amount.likely * 12
    switched_off = lease_month(rate, 1, hours_on=Decimal(730) * Decimal("0.7")).amount.likely * 12
    assert around_the_clock == 14_454
    assert switched_off == Decimal("10117.8")
    with pytest.raises(BadInput, match="730 hours"):
        lease_month(rate, 1, hours_on=731)


def test_the_hidden_stack_is_the_articles_total_without_its_gpu_row():
    owned, rented = hidden_stack(owned=True), hidden_stack()
    assert (owned.total.low, owned.total.high) == (900, 4900)
    assert (rented.total.low, rented.total.high) == (700, 3900)
    with_servers = owned.total + Range.between(400, 8000)
    assert (with_servers.low, with_servers.high) == (1300, 12900)
    assert all(line.source is not None and line.source.as_of.year == 2026 for line in owned.lines)
    assert owned.by_component()["electricity"] == Range.between(200, 1000)
    assert "electricity" not in rented.by_component()


def test_electricity_of_the_node():
    at_thirteen_cents = electricity(Range.between(6000, 8000), Range.exact(Decimal("0.13")))
    assert round(at_thirteen_cents.amount.low) == 569
    assert round(at_thirteen_cents.amount.high) == 759
    # The article's 700 to 1,200 USD are these tariffs, before any cooling.
    implied = electricity(Range.between(6000, 8000), Range.between("0.159817", "0.205479"))
    assert (round(implied.amount.low), round(implied.amount.high)) == (700, 1200)
    cooled = electricity(Range.between(6000, 8000), Range.exact(Decimal("0.13")), overhead=Decimal("1.54"))
    assert (round(cooled.amount.low), round(cooled.amount.high)) == (877, 1169)


@given(
    st.decimals(1_000, 1_000_000, places=0),
    st.decimals("0.001", "0.3", places=3),
    st.integers(1, 8),
    st.decimals(0, 1, places=2),
)
def test_an_annuity_pays_the_machine_off_to_what_it_is_worth(capital, rate, years, share):
    residual = capital * share
    payment = annuity(capital, rate, years, residual)
    owed = capital
    for _ in range(years * 12):
        owed = owed * (1 + rate / 12) - payment
    assert owed == pytest.approx(residual, abs=Decimal("0.0001"))


def test_an_annuity_without_interest_is_the_straight_line():
    assert annuity(Decimal(240_000), Decimal(0), 4, Decimal(48_000)) == 4_000
    assert round(annuity(Decimal(250_000), Decimal("0.10"), 4, Decimal(50_000))) == 5489
    with pytest.raises(BadInput, match="no time"):
        annuity(Decimal(1), Decimal(0), 0)
