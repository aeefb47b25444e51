"""FOCUS 1.0 to 1.4: cost and usage rows of a provider or a FinOps tool, CSV or JSON lines. Pure.

Every row is a charge over a period, so it becomes a statement of cost: `BilledCost`, signed. Rows of token usage whose
unit is tokens carry their count too; a row that is not in USD is rejected. (focus.finops.org, read 2026-11.)
"""

from __future__ import annotations

from collections.abc import Iterator

from baseload.imports.entry import Asked, Format, Item, Skipped
from baseload.imports.fields import Row, count, decimal, moment, money, name, needed
from baseload.load.statements import Kind, Statement
from baseload.usage import Usage

_AI = "ai and machine learning"
_TOKENS = {"tokens": 1, "token": 1, "1k tokens": 1_000, "1m tokens": 1_000_000, "tokens in millions": 1_000_000}


def _read(row: Row, asked: Asked) -> Iterator[Item]:
    category = name(row.get("ServiceCategory"), "ServiceCategory")
    if category and category.lower() != _AI:
        yield Skipped(f"{category} is another service")
        return
    start_ns = moment(row.get("ChargePeriodStart"), "ChargePeriodStart", asked.zone)
    end_ns = moment(row.get("ChargePeriodEnd"), "ChargePeriodEnd", asked.zone)
    if end_ns <= start_ns:
        raise ValueError("ChargePeriodEnd is not after ChargePeriodStart")
    currency = needed(row.get("BillingCurrency"), "BillingCurrency")
    if currency != "USD":
        raise ValueError(f"the charge is in {currency}, and only USD can be summed")
    usd = money(row.get("BilledCost"), "BilledCost")
    if usd is None:
        raise ValueError("BilledCost is missing")
    words = ("ChargeCategory", "ChargeDescription", "SkuId", "SkuPriceId", "ResourceId", "RegionId")
    told = [name(row.get(each), each) for each in words]
    yield Statement(
        source="focus",
        provider=needed(row.get("ProviderName") or row.get("ServiceProviderName"), "ProviderName").lower(),
        kind=Kind.COST,
        start_ns=start_ns,
        end_ns=end_ns,
        model=name(row.get("x_Model") or row.get("ResourceName") or row.get("ServiceName"), "ResourceName"),
        project=name(row.get("SubAccountId"), "SubAccountId"),
        item=", ".join(each for each in told if each),
        usage=_usage(row),
        usd=usd,
    )


def _usage(row: Row) -> Usage:
    """The tokens of a row whose unit is tokens, by what its description says they were."""
    unit = name(row.get("ConsumedUnit"), "ConsumedUnit").lower()
    quantity = decimal(row.get("ConsumedQuantity"), "ConsumedQuantity")
    if unit not in _TOKENS or quantity is None or quantity < 0:
        return Usage()
    tokens = count(quantity * _TOKENS[unit], "ConsumedQuantity")
    words = f"{row.get('x_TokenType') or ''} {row.get('ChargeDescription') or ''}".lower()
    if "cache" in words and "write" in words:
        return Usage(cache_write_tokens=tokens)
    if "cache" in words:
        return Usage(cache_read_tokens=tokens)
    return Usage(output_tokens=tokens) if "output" in words else Usage(input_tokens=tokens)


FORMAT = Format(
    name="focus",
    title="FOCUS",
    read=_read,
    columns=(frozenset({"BilledCost"}), frozenset({"ChargePeriodStart"}), frozenset({"BillingCurrency"})),
    unit="statements",
)
