"""FOCUS 1.2: what its columns promise, on generated ledgers.

Names, levels and allowed values follow the FOCUS specification at v1.2 (2025-05-29). Two of its column pages were read
(2026-11-21); the others are from knowledge of it and still to be compared. `focus-validator` 1.0.0, the only one that
installs, knows 1.0 and no later version.
"""

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.exports import focus
from baseload.load.calls import Call
from baseload.units import usd
from samples import attempt, call

# Empty is allowed in each of these columns; in no other of the specification's.
NULLABLE = {
    *("AvailabilityZone", "BillingAccountName", "CapacityReservationId", "CapacityReservationStatus", "ChargeClass"),
    *("ChargeDescription", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName"),
    *("CommitmentDiscountQuantity", "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit"),
    *("ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "InvoiceId", "ListUnitPrice", "PricingCategory"),
    *("PricingCurrency", "PricingQuantity", "PricingUnit", "RegionId", "RegionName", "ResourceId", "ResourceName"),
    *("ResourceType", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName"),
    *("SubAccountType", "Tags", "BillingAccountType"),
}
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {"Generative AI"},
}
MONEY = ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost")
NUMBERS = (*MONEY, "ConsumedQuantity", "PricingQuantity")
MOMENTS = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
# Empty both or neither.
TOGETHER = (
    ("ConsumedQuantity", "ConsumedUnit"),
    ("PricingQuantity", "PricingUnit"),
    ("SubAccountId", "SubAccountType"),
    ("BillingAccountId", "BillingAccountType"),
    ("CapacityReservationId", "CapacityReservationStatus"),
    ("CommitmentDiscountId", "CommitmentDiscountCategory"),
    ("CommitmentDiscountId", "CommitmentDiscountStatus"),
    ("CommitmentDiscountQuantity", "CommitmentDiscountUnit"),
    ("RegionId", "RegionName"),
)

names = st.text(max_size=12)


@st.composite
def some_call(draw: st.DrawFn) -> Call:
    tags = {"project": draw(names), "customer": draw(names)}
    tried = attempt(
        route=draw(st.sampled_from(["api", "pool", "other"])),
        cost=draw(st.none() | st.integers(0, 10**15)),
        started_ns=draw(st.integers(0, 4 * 10**18)),
    )
    return call("x", tried, tags={name: value for name, value in tags.items() if value})


@given(st.lists(some_call(), max_size=8))
def test_every_row_is_what_the_specification_asks_for(calls):
    made = focus.Focus().take(calls)
    text = io.StringIO()
    out = csv.DictWriter(text, focus.COLUMNS)
    out.writeheader()
    out.writerows(made.rows())
    rows = list(csv.DictReader(io.StringIO(text.getvalue(), newline="")))
    for row in rows:
        check(row)
    priced = [each.attempts[0].cost_nanousd for each in calls if each.attempts[0].cost_nanousd is not None]
    assert sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0)) == usd(sum(priced))
    assert made.unpriced == len(calls) - len(priced)


def check(row: dict[str, str]) -> None:
    """What holds of one row."""
    ours = {name for name in row if name.startswith("x_")}
    assert {name for name, value in row.items() if not value} <= NULLABLE | ours
    for name, values in ALLOWED.items():
        assert row[name] in values
    for name in NUMBERS:
        assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", row[name]), name
    at = {name: datetime.strptime(row[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for name in MOMENTS}
    assert at["BillingPeriodStart"] <= at["ChargePeriodStart"] < at["ChargePeriodEnd"] <= at["BillingPeriodEnd"]
    assert all((at[name].day, at[name].hour) == (1, 0) for name in MOMENTS[:2])
    for one, other in TOGETHER:
        assert bool(row[one]) == bool(row[other]), (one, other)
    assert row["BillingCurrency"] == row["PricingCurrency"] == "USD"
    assert len({row[name] for name in MONEY}) == 1
    assert isinstance(json.loads(row["Tags"]), dict)


@pytest.mark.parametrize("name", focus.COLUMNS)
def test_a_column_is_named_as_the_specification_names_columns(name):
    assert re.fullmatch(r"(x_)?([A-Z][a-z]+)+", name)
    assert len(name) <= 50


def test_no_column_stands_twice():
    assert len(set(focus.COLUMNS)) == len(focus.COLUMNS)
