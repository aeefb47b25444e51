"""FOCUS 1.2: what its columns promise, on generated ledgers.

What was read of it, on 2026-11-21: every requirement of v1.2 (2025-05-29), of its 57 columns and its attributes, as
Microsoft quotes them one by one ("FOCUS conformance full report" of 2025-06-18, microsoft/finops-toolkit); of the
specification's own rules for 1.2 those of PricingCategory, SkuId, ResourceName and ServiceSubcategory, in part those
of BilledCost, EffectiveCost and ChargeClass (FOCUS_Spec, specification/conformance; finopsfoundation/focus_validator,
rules/model-1.2.json). No page of the specification itself was read as it stood at 1.2: chargecategory, chargefrequency,
servicecategory, skupriceid (from before or after it) and unit_format (a later draft) were, for allowed values.
`focus-validator` 1.0.0, the only one that installs, knows 1.0 and no later version.
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

# Empty is right for these in a charge for usage that corrects nothing, has no commitment and is on no invoice.
MUST_BE_EMPTY = {
    *("CapacityReservationId", "CapacityReservationStatus", "ChargeClass", "CommitmentDiscountCategory"),
    *("CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus"),
    *("CommitmentDiscountType", "CommitmentDiscountUnit", "InvoiceId"),
}
MAY_BE_EMPTY = {
    *("AvailabilityZone", "BillingAccountName", "ChargeDescription", "RegionId", "RegionName", "ResourceId"),
    *("ResourceName", "ResourceType", "SkuMeter", "SkuPriceDetails", "SubAccountId", "SubAccountName"),
    *("SubAccountType", "Tags"),
}
# Where one of these stands in such a charge, it has a value.
NEVER_EMPTY = {
    *("BilledCost", "BillingAccountId", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart"),
    *("ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost"),
    *("InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingCurrency"),
    *("PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice"),
    *("PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
    *("ServiceSubcategory", "SkuId", "SkuPriceId"),
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
    ("SubAccountId", "SubAccountName"),
    ("SubAccountId", "SubAccountType"),
    ("BillingAccountId", "BillingAccountType"),
    ("RegionId", "RegionName"),
    ("ResourceId", "ResourceType"),
)

names = st.text(max_size=12)


@st.composite
def some_call(draw: st.DrawFn) -> Call:
    tags = {"project": draw(names), "customer": draw(names)}
    tried = attempt(
        route=draw(st.sampled_from(["api", "pool", "other"])),
        cost=draw(st.none() | st.integers(0, 10**15)),
        started_ns=draw(st.integers(0, 4 * 10**18)),
        **draw(st.sampled_from([{}, {"model": "acme/one", "offer": "acme/one"}, {"model": ""}])),
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
    empty = {name for name, value in row.items() if not value and not name.startswith("x_")}
    assert MUST_BE_EMPTY & set(row) <= empty <= MUST_BE_EMPTY | MAY_BE_EMPTY
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
    assert row["ProviderName"] == row["InvoiceIssuerName"]  # else BilledCost must be 0
    assert row["ResourceName"] != row["ResourceId"]
    tags = json.loads(row["Tags"])
    assert all(isinstance(value, str) for value in tags.values())


def test_no_column_is_of_another_version_and_ours_come_last():
    known = MUST_BE_EMPTY | MAY_BE_EMPTY | NEVER_EMPTY
    assert len(known) == 57
    theirs = [name for name in focus.COLUMNS if not name.startswith("x_")]
    assert set(theirs) <= known
    assert list(focus.COLUMNS[: len(theirs)]) == theirs


@pytest.mark.parametrize("name", focus.COLUMNS)
def test_a_column_is_named_as_the_specification_names_columns(name):
    assert re.fullmatch(r"(x_)?([A-Z][a-z]+)+", name)
    assert len(name) <= 50


def test_no_column_stands_twice():
    assert len(set(focus.COLUMNS)) == len(focus.COLUMNS)
