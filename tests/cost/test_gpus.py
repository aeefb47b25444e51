"""What an hour of a GPU costs in the end: medians, reservations, spot, owning and where it breaks even."""

import statistics
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.catalog.entries import Lease, LeaseKind, Precedence, Source
from baseload.catalog.gpus import Hardware
from baseload.cost.gpu_quotes import gpu_compare, gpu_list, gpu_show
from baseload.cost.gpus import OWNING, at_end, owned, owned_range, per_used_hour, rates, reserved, spot
from baseload.cost.parameters import Assumptions
from baseload.documents import load_leases, load_parameters
from baseload.errors import BadInput, UnknownModel
from baseload.pricebooks import load_gpu_offers
from baseload.ranges import Range

OFFERS, LEASES = load_gpu_offers(), load_leases()
KNOWN = Assumptions(load_parameters())
SOURCE = Source("a book", Precedence.MARKET, date(2026, 1, 1), "generated")


@pytest.mark.parametrize(
    ("gpu", "low", "median", "high", "rows"),
    [("h100-80gb", "1.38", "2.40", "4.76", 22), ("a100-80gb", "0.60", "1.49", "2.50", 22)],
)
def test_medians_of_the_set(gpu, low, median, high, rows):
    firm = next(rate for rate in rates(row for row in OFFERS if row.gpu == gpu) if rate.kind is LeaseKind.RENTED)
    assert (firm.usd_per_gpu_hour.low, firm.usd_per_gpu_hour.high) == (Decimal(low), Decimal(high))
    assert round(firm.usd_per_gpu_hour.likely, 2) == pytest.approx(Decimal(median), abs=Decimal("0.01"))
    assert firm.rows == rows


def test_spot_costs_less_than_half_of_on_demand_at_the_same_provider():
    firm = {(row.provider, row.model): row.usd_per_hour for row in OFFERS if row.tier == "on-demand"}
    ratios = [
        row.usd_per_hour / firm[row.provider, row.model]
        for row in OFFERS
        if row.tier == "spot" and (row.provider, row.model) in firm
    ]
    assert statistics.median(ratios) == pytest.approx(Decimal("0.44"), abs=Decimal("0.01"))


def test_flagged_rows_do_not_count():
    spot_rate = next(
        rate for rate in rates(row for row in OFFERS if row.gpu == "h100-80gb") if rate.kind is LeaseKind.SPOT
    )
    assert (spot_rate.flagged, spot_rate.usd_per_gpu_hour.high) == (1, Decimal("1.38"))


def test_a_box_by_the_month_is_paid_for_730_hours_of_each_card():
    box = Lease("x", LeaseKind.RENTED, SOURCE, usd_per_month=Range.exact(11680), count=8)
    (rate,) = rates((), (box, Lease("x", LeaseKind.OWNED, SOURCE, usd_per_month=Range.exact(1))))
    assert rate.usd_per_gpu_hour == Range.exact(2)


def test_a_reservation_is_paid_in_the_hours_off():
    hourly = reserved(Range.exact(2), Range(Decimal("0.2"), Decimal("0.3"), Decimal("0.5")))
    assert hourly == Range(Decimal(1), Decimal("1.4"), Decimal("1.6"))
    assert per_used_hour(hourly, Fraction(365)) == hourly * 2


def test_spot_with_spares_fallback_and_lost_work():
    figures = {
        "spot_overprovision": Decimal("0.2"),
        "spot_fallback_share": Decimal("0.1"),
        "spot_recovery_minutes": Decimal(6),
        "spot_hours_between_interruptions": Decimal(10),
    }
    assert spot(Decimal(1), Decimal(2), figures) == Decimal("1.28") * Decimal("1.01")


def test_a_node_of_eight_h100_owned_around_the_clock():
    """At the table's likely figures and 6 kW for the node it is 1.57 USD a GPU-hour; the ends hold 1.25 to 2.66."""
    six_kilowatts = {**at_end(KNOWN, "likely"), "watts_per_card": Decimal(750)}
    assert float(owned(six_kilowatts).usd() / 730) == pytest.approx(1.57, abs=0.005)
    whole = owned_range(KNOWN, Fraction(730))
    assert whole.low < Decimal("1.25") < whole.likely < Decimal("2.66") < whole.high
    # 7 kW, host included, which the table takes as likely.
    assert float(whole.likely) == pytest.approx(1.63, abs=0.005)


FIGURES = st.fixed_dictionaries(
    {
        "card_usd": st.integers(500, 60_000),
        "node_factor": st.sampled_from((1, Decimal("1.25"))),
        "capital_rate": st.sampled_from((0, Decimal("0.08"), Decimal("0.12"))),
        "life_years": st.integers(1, 7),
        "residual_share": st.sampled_from((0, Decimal("0.2"))),
        "maintenance_share_per_year": st.sampled_from((0, Decimal("0.05"))),
        "watts_per_card": st.integers(100, 1500),
        "pue": st.sampled_from((1, Decimal("1.54"))),
        "electricity_usd_per_kwh": st.sampled_from((0, Decimal("0.13"), Decimal("0.4"))),
        "colocation_usd_per_kw_month": st.sampled_from((0, 184)),
    }
)


@given(FIGURES, st.decimals("0.05", 12, places=2))
@settings(max_examples=100, deadline=None)
def test_at_the_hours_where_owning_equals_renting_both_cost_the_same_to_the_last_fraction(figures, rent):
    month = owned(figures)
    hours = month.even_with(rent)
    if hours is None:
        assert month.usd() > Fraction(rent) * 730
    else:
        assert month.usd(hours) == Fraction(rent) * hours
        assert month.usd(hours / 2) > Fraction(rent) * hours / 2


def test_compare_says_what_each_way_costs_and_when_owning_pays():
    document = gpu_compare(["h100-80gb", "a6000-48gb"], OFFERS, LEASES, KNOWN, hours_on=Decimal(365))
    by_kind = {card.kind: card.usd_per_gpu_hour for card in document.effective if card.gpu == "h100-80gb"}
    assert set(by_kind) == {"rented", "reserved", "spot", "brokered", "owned"}
    # Half the hours: a reservation at 30 % off is dearer than on demand.
    assert by_kind["reserved"].median == pytest.approx(by_kind["rented"].median * Decimal("1.4"), abs=Decimal("0.001"))
    assert by_kind["spot"].median < by_kind["rented"].median
    even = {card.rent: card.hours_per_month for card in document.even}
    assert even["lowest"] is None
    assert even["highest"] < even["median"] < 730
    # No book says what an A6000 costs to buy.
    assert {card.gpu for card in document.even} == {"h100-80gb"}
    cheap = Hardware(gpu="a6000-48gb", purchase_usd=Decimal(4000), watts_per_card=Decimal(400))
    bought = gpu_compare(["a6000-48gb"], OFFERS, LEASES, KNOWN, [cheap])
    assert {card.gpu for card in bought.even} == {"a6000-48gb"}


def test_show_has_every_row_and_list_every_gpu():
    document = gpu_show("a100-80gb", OFFERS, LEASES)
    assert len(document.offers) == 35
    assert sum(bool(row.flag) for row in document.offers) == 2
    assert {"article-0", "gpu-pricing-2026-05-24"} <= {lease.book for lease in document.leases}
    prices = [row.usd_per_gpu_hour for row in document.offers]
    assert prices == sorted(prices)
    assert sum(kind.rows + kind.flagged for card in gpu_list(OFFERS).gpus for kind in card.kinds) == 310


def test_what_cannot_be_asked():
    with pytest.raises(UnknownModel, match="'a100' fits 2 GPUs") as caught:
        gpu_show("a100", OFFERS, LEASES)
    assert "a100-80gb" in caught.value.remedy
    for hours in (Decimal(0), Decimal(731)):
        with pytest.raises(BadInput, match="a month has 730 hours"):
            gpu_compare(["h100-80gb"], OFFERS, LEASES, KNOWN, hours_on=hours)
    with pytest.raises(BadInput, match="no time"):
        owned(dict.fromkeys(OWNING, Decimal(0)))
