"""FOCUS 1.2: what its columns promise, on generated ledgers.

What was read of it, on 2026-11-21: every requirement of v1.2 (2025-05-29), of its 57 columns and its attributes, as
Microsoft quotes them one by one ("FOCUS conformance full report" of 2025-06-18, microsoft/finops-toolkit); of the
specification's own rules for 1.2 those of PricingCategory, SkuId, ResourceName and ServiceSubcategory, in part those
of BilledCost, EffectiveCost and ChargeClass (FOCUS_Spec, specification/conformance; finopsfoundation/focus_validator,
rules/model-1.2.json); and word for word, where its authors hold 1.2 beside 1.3, those of ConsumedQuantity,
ListUnitPrice, SkuId and SkuPriceDetails. No page of the specification itself was read as it stood at 1.2:
chargecategory, chargefrequency, servicecategory, skupriceid, skumeter, pricingquantity, pricingunit and
contractedunitprice (from before or after it) and unit_format (a later draft, whose example is `1000 Tokens`) were.
`focus-validator` 1.0.0, the only one that installs, knows 1.0 and no later version.
"""

import csv
import io
import json
import re
from dataclasses import replace as changed
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from baseload.audit.parts import Offers
from baseload.catalog.entries import Offer, Precedence, PriceRow, Processing, Rates, Source, Tier, Variant, Window
from baseload.clock import from_ns
from baseload.cost.tokens import price
from baseload.exports import focus
from baseload.imports.focus import COUNTS
from baseload.load.calls import Call
from baseload.units import usd
from baseload.usage import Usage
from importing import imported, statements
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
PRICES = ("ListUnitPrice", "ContractedUnitPrice")
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

# All null, or none: what a row without a price cannot say.
OF_A_PRICE = ("ContractedUnitPrice", "ListUnitPrice", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId")
# What counts tokens or requests, by the form that 1.2 gives units.
UNITS = {"Tokens": 1, "1000000 Tokens": 1_000_000, "Requests": 1}
LEAVES = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")

# No name begins or ends with a space: whoever reads it would take the space away.
names = (st.sampled_from(["", "a", "b"]) | st.text(max_size=12)).map(str.strip)
rate = st.decimals(0, 200, places=6)
rates = st.builds(Rates, **dict.fromkeys(LEAVES, rate), per_request=st.just(Decimal(0)) | st.decimals(0, 1, places=9))
usages = st.builds(Usage, **{f"{leaf}_tokens": st.integers(0, 3_000) for leaf in LEAVES})
DAY_NS = 86_400 * 10**9


def offer(name: str, rates: Rates, *tiers: Tier) -> Offer:
    source = Source("sheets 1", Precedence.MARKET, date(2026, 1, 1), "this file")
    row = PriceRow(rates, tiers=tiers)
    return Offer(*name.split("/", 1), source, (row,), variants=(Variant(Processing.FLEX, (PriceRow(rates),)),))


def books(*offers: Offer) -> Offers:
    return lambda key: [each for each in offers if each.key == key]


@st.composite
def some_call(draw: st.DrawFn, offers: list[Offer]) -> Call:
    tags = {"project": draw(names), "customer": draw(names)}
    tried = attempt(
        route=draw(st.sampled_from(["api", "pool", "other"])),
        cost=draw(st.none() | st.integers(0, 10**15)),
        started_ns=draw(st.sampled_from([DAY_NS, 3 * DAY_NS - 1]) | st.integers(0, 4 * 10**18)),
        usage=draw(usages),
        book=draw(st.sampled_from(["", "a book", "sheets 0"])),
        **draw(st.sampled_from([{}, {"model": "acme/one", "offer": "acme/one"}, {"model": ""}])),
    )
    sold = next((each for each in offers if each.key == tried.offer), None)
    if sold is not None and draw(st.booleans()):
        processing = draw(st.sampled_from([Processing.STANDARD, Processing.FLEX]))
        charge = price(tried.usage, sold, from_ns(tried.started_ns), processing)
        tier = "flex" if processing is Processing.FLEX else ""
        tried = replace(tried, cost_nanousd=charge.nanousd, book=charge.book, service_tier=tier)
    return call("x", tried, tags={name: value for name, value in tags.items() if value})


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[list[Call], Offers]:
    tiers = st.lists(st.builds(Tier, st.integers(0, 9_000), rates), max_size=1)
    offers = [offer(name, draw(rates), *draw(tiers)) for name in ("acme/one", "acme/api-model")]
    return draw(st.lists(some_call(offers), max_size=8)), books(*offers)


@given(ledgers())
def test_every_row_is_what_the_specification_asks_for(drawn):
    calls, known = drawn
    made = focus.Focus(known).take(calls)
    rows = written(made)
    for row in rows:
        check(row)
    tries = [tried for each in calls for tried in each.attempts if tried.cost_nanousd is not None]
    assert total(rows, "BilledCost") == usd(sum(tried.cost_nanousd for tried in tries))
    assert made.unpriced == len(calls) - len(tries)
    for column, leaf in COUNTS.items():
        assert total(rows, column) == sum(getattr(tried.usage, leaf) for tried in tries)
    whole = [row for row in rows if not row["SkuId"]]
    assert sum(int(row["x_Requests"]) for row in whole) == made.unsplit


@given(ledgers())
def test_a_price_has_one_row_a_day_and_details_of_its_own(drawn):
    calls, known = drawn
    rows = written(focus.Focus(known).take(calls))
    of = (
        "ChargePeriodStart",
        "ResourceId",
        "x_Model",
        "SubAccountId",
        "Tags",
        "x_PriceBook",
        "SkuPriceId",
        "ListUnitPrice",
    )
    assert len({tuple(row[name] for name in of) for row in rows}) == len(rows)
    for name in ("SkuId", "SkuMeter", "SkuPriceDetails", "PricingUnit"):
        said = {(row["SkuPriceId"], row[name]) for row in rows if row["SkuPriceId"]}
        assert len(said) == len({price for price, _ in said})


def written(made: focus.Focus) -> list[dict[str, str]]:
    """The rows as they are read from a file."""
    text = io.StringIO()
    out = csv.DictWriter(text, focus.COLUMNS)
    out.writeheader()
    out.writerows(made.rows())
    return list(csv.DictReader(io.StringIO(text.getvalue(), newline="")))


def total(rows: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


def check(row: dict[str, str]) -> None:
    """What holds of one row."""
    empty = {name for name, value in row.items() if not value and not name.startswith("x_")}
    whole = not row["SkuPriceId"]
    assert MUST_BE_EMPTY & set(row) <= empty <= MUST_BE_EMPTY | MAY_BE_EMPTY | (set(OF_A_PRICE) if whole else set())
    assert len({not row[name] for name in OF_A_PRICE}) == 1
    for name, values in ALLOWED.items():
        assert row[name] in values
    for name in (*NUMBERS, *(() if whole else PRICES)):
        assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", row[name]), name
    at = {name: datetime.strptime(row[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for name in MOMENTS}
    assert at["BillingPeriodStart"] <= at["ChargePeriodStart"] < at["ChargePeriodEnd"] <= at["BillingPeriodEnd"]
    assert all((at[name].day, at[name].hour) == (1, 0) for name in MOMENTS[:2])
    for one, other in TOGETHER:
        assert bool(row[one]) == bool(row[other]), (one, other)
    assert row["BillingCurrency"] == row["PricingCurrency"] == "USD"
    assert row["BilledCost"] == row["EffectiveCost"]
    check_whole(row) if whole else check_price(row)
    assert row["ProviderName"] == row["InvoiceIssuerName"]  # else BilledCost must be 0
    assert row["ResourceName"] != row["ResourceId"]
    tags = json.loads(row["Tags"])
    assert all(isinstance(value, str) for value in tags.values())


def check_price(row: dict[str, str]) -> None:
    """What holds of a row with a price."""
    quantity = Decimal(row["PricingQuantity"])
    for unit_price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        assert Decimal(row[unit_price]) >= 0
        assert Decimal(row[unit_price]) * quantity == Decimal(row[cost])
        # Each of the attempts was rounded once.
        assert abs(Decimal(row[cost]) - Decimal(row["BilledCost"])) <= usd(int(row["x_Requests"])) / 2
    consumed = Decimal(row["ConsumedQuantity"]) * UNITS[row["ConsumedUnit"]]
    assert consumed == quantity * UNITS[row["PricingUnit"]] > 0
    assert row["SkuPriceId"].startswith(row["SkuId"])
    details = json.loads(row["SkuPriceDetails"])
    assert all(re.fullmatch(r"x_([A-Z][a-z]+)+", key) or key == "x_ModelId" for key in details)
    assert all(isinstance(value, str) for value in details.values())


def check_whole(row: dict[str, str]) -> None:
    """What holds of a row whose price is not known: 1.2 then asks for the cost that was billed."""
    assert row["ListCost"] == row["ContractedCost"] == row["BilledCost"]
    assert row["ConsumedUnit"] == row["PricingUnit"]
    assert "no book at hand" in row["ChargeDescription"]


SHEET = Rates(Decimal("1.25"), Decimal(10), cache_read=Decimal("0.125"), per_request=Decimal("0.005"))


def test_the_kinds_of_one_attempt_stand_one_by_one():
    known = offer("acme/one", SHEET)
    usage = Usage(input_tokens=1_000_001, cache_read_tokens=3, output_tokens=5)
    cost = price(usage, known, from_ns(DAY_NS)).nanousd
    tried = attempt(offer="acme/one", model="one-2026", usage=usage, cost=cost, book="sheets 1", started_ns=DAY_NS)
    rows = written(focus.Focus(books(known)).take([call("a", tried)]))
    of = ("SkuPriceId", "SkuMeter", "ConsumedQuantity", "ListUnitPrice", "ListCost", "BilledCost")
    assert [tuple(row[name] for name in of) for row in rows] == [
        ("acme/one#input#standard", "Input Tokens", "1000001", "1.25", "1.25000125", "1.25000125"),
        ("acme/one#cache_read#standard", "Cache Read Input Tokens", "3", "0.125", "0.000000375", "0.000000375"),
        ("acme/one#output#standard", "Output Tokens", "5", "10", "0.00005", "0.00005"),
        ("acme/one#request#standard", "Requests", "1", "0.005", "0.005", "0.005"),
    ]
    units = [(row["PricingQuantity"], row["PricingUnit"], row["ConsumedUnit"]) for row in rows]
    assert units[0] == ("1.000001", "1000000 Tokens", "Tokens")
    assert units[-1] == ("1", "Requests", "Requests")
    assert json.loads(rows[1]["SkuPriceDetails"]) == {
        "x_ModelId": "one",
        "x_TokenType": "CacheRead",
        "x_Processing": "standard",
    }
    assert rows[0]["ChargeDescription"] == "Input Tokens of one-2026 at 1.25 USD per 1000000 Tokens"


def test_what_is_billed_keeps_the_rounding_of_each_attempt():
    known = offer("acme/one", Rates(Decimal("0.0028"), Decimal(0)))
    tried = attempt(offer="acme/one", usage=Usage(input_tokens=1), cost=3, book="sheets 1")  # 2.8 nano-dollars
    (row,) = written(focus.Focus(books(known)).take([call(str(each), tried) for each in range(10)]))
    assert (row["BilledCost"], row["ListCost"]) == ("0.00000003", "0.000000028")


def test_a_price_that_changed_within_a_day_has_rows_of_its_own():
    until = PriceRow(SHEET, window=Window(time(0), time(12)))
    after = PriceRow(changed(SHEET, input=Decimal(2)), window=Window(time(12), time(0)))
    known = changed(offer("acme/one", SHEET), schedule=(until, after))
    usage, calls = Usage(input_tokens=1_000), []
    for hour in (1, 2, 13):
        at_ns = DAY_NS + hour * 3_600 * 10**9
        cost = price(usage, known, from_ns(at_ns)).nanousd
        calls.append(
            call(str(hour), attempt(offer="acme/one", usage=usage, cost=cost, book="sheets 1", started_ns=at_ns))
        )
    rows = written(focus.Focus(books(known)).take(calls))
    read = [(row["ListUnitPrice"], row["ConsumedQuantity"]) for row in rows if row["SkuMeter"] == "Input Tokens"]
    assert read == [("1.25", "2000"), ("2", "1000")]
    assert {row["SkuPriceId"].split("#")[-1] for row in rows} == {"00:00-12:00 UTC", "12:00-00:00 UTC"}


def test_a_price_that_changed_on_another_clock_comes_back_at_both(tmp_path):
    shanghai = timezone(timedelta(hours=8))
    first = PriceRow(SHEET, zone=shanghai)
    then = PriceRow(
        changed(SHEET, input=Decimal(2)), valid_from=date(1970, 1, 3), zone=shanghai
    )  # 16:00 UTC on the 2nd
    known = changed(offer("acme/one", SHEET), schedule=(first, then))
    usage, calls = Usage(input_tokens=1_000), []
    for hour in (15, 16):  # UTC: before and after the 3rd begins there
        at_ns = DAY_NS + hour * 3_600 * 10**9
        cost = price(usage, known, from_ns(at_ns)).nanousd
        tried = attempt(offer="acme/one", usage=usage, cost=cost, book="sheets 1", started_ns=at_ns)
        calls.append(call(str(hour), tried))
    rows = [row for row in written(focus.Focus(books(known)).take(calls)) if row["SkuMeter"] == "Input Tokens"]
    assert [row["ListUnitPrice"] for row in rows] == ["1.25", "2"]
    assert len({row["SkuPriceId"] for row in rows}) == 1
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert imported(tmp_path, "focus", text).rejected == 0
    assert [each.usd for each in statements(tmp_path)] == [Decimal("0.00125"), Decimal("0.002")]


def test_a_book_that_changed_invents_no_split():
    before, now = offer("acme/one", SHEET), offer("acme/one", changed(SHEET, input=Decimal(2)))
    usage = Usage(input_tokens=1_000, output_tokens=9)
    cost = price(usage, before, from_ns(DAY_NS)).nanousd
    tried = attempt(offer="acme/one", usage=usage, cost=cost, book="sheets 1", started_ns=DAY_NS)
    made = focus.Focus(books(now)).take([call("a", tried)])
    (row,) = written(made)
    check_whole(row)
    assert (made.unsplit, row["BilledCost"], row["ConsumedQuantity"]) == (1, f"{usd(cost):f}", "1009")
    assert (row["x_InputTokens"], row["x_OutputTokens"]) == ("1000", "9")


@given(ledgers())
def test_it_comes_back_with_the_same_totals(drawn):
    calls, known = drawn
    text = io.StringIO()
    out = csv.DictWriter(text, focus.COLUMNS)
    out.writeheader()
    # Names that are not printable are no names of a record, and rejected as such.
    plain = [each for each in calls if all(value.isprintable() for value in each.facts.tags.values())]
    out.writerows(focus.Focus(known).take(plain).rows())
    tries = [tried for each in plain for tried in each.attempts if tried.cost_nanousd is not None]
    with TemporaryDirectory() as folder:
        report = imported(Path(folder), "focus", text.getvalue())
        kept = statements(Path(folder))
    assert report.rejected == 0
    assert sum((each.usd for each in kept), Decimal(0)) == usd(sum(tried.cost_nanousd for tried in tries))
    assert sum((each.usage for each in kept), Usage()) == sum((tried.usage for tried in tries), Usage())


def test_no_column_is_of_another_version_and_ours_come_last():
    known = MUST_BE_EMPTY | MAY_BE_EMPTY | NEVER_EMPTY
    assert len(known) == 57
    theirs = [name for name in focus.COLUMNS if not name.startswith("x_")]
    assert set(theirs) <= known
    assert set(OF_A_PRICE) <= set(theirs)
    assert list(focus.COLUMNS[: len(theirs)]) == theirs


@pytest.mark.parametrize("name", focus.COLUMNS)
def test_a_column_is_named_as_the_specification_names_columns(name):
    assert re.fullmatch(r"(x_)?([A-Z][a-z]+)+", name)
    assert len(name) <= 50


def test_no_column_stands_twice():
    assert len(set(focus.COLUMNS)) == len(focus.COLUMNS)
