"""The ledger as FOCUS 1.2: a row for each day, offer, project and customer. Acts on nothing: rows out.

What was bought by the token is a charge of the provider. Own capacity is a charge of its own on the usage basis, the
share of busy time. What has no price is in no row: it is counted, so that whoever exports can say so. Unrounded USD.

A row sums what is priced differently, so no unit price holds for it. The columns of unit prices and SKUs must not be
empty in a charge for usage and are therefore left out. (FOCUS 1.2 of 2025-05-29; what was read of it: test_focus.py.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from baseload.capacity.offer import OWN
from baseload.clock import from_ns
from baseload.load.calls import Attempt, Call, Evidence
from baseload.units import HOURS_PER_DAY, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR, usd
from baseload.usage import Usage

VERSION = "1.2"
COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit"),
    *("ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingQuantity"),
    *("PricingUnit", "ProviderName", "PublisherName", "ResourceId", "ResourceName", "ResourceType"),
    *("ServiceCategory", "ServiceName", "ServiceSubcategory", "SubAccountId", "SubAccountName", "SubAccountType"),
    *("AvailabilityZone", "CapacityReservationId", "CapacityReservationStatus", "CommitmentDiscountCategory"),
    *("CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus"),
    *("CommitmentDiscountType", "CommitmentDiscountUnit", "InvoiceId", "PricingCurrency", "RegionId", "RegionName"),
    *("Tags", "x_Model", "x_Requests", "x_InputTokens", "x_CacheReadTokens", "x_CacheWriteTokens", "x_OutputTokens"),
    *("x_ReasoningTokens", "x_PriceBook"),
)
ACCOUNT = "baseload"
_DAY_NS = HOURS_PER_DAY * SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
_PROJECT, _CUSTOMER = "project", "customer"

Key = tuple[int, str, str, str, str, str]


@dataclass(slots=True)
class _Sum:
    requests: int = 0
    nanousd: int = 0
    usage: Usage = field(default_factory=Usage)


class Focus:
    """Takes calls; then gives rows. `unpriced` counts attempts that are in none of them."""

    def __init__(self) -> None:
        self.unpriced = 0
        self._sums: dict[Key, _Sum] = {}

    def take(self, calls: Iterable[Call]) -> Focus:
        """Add up the attempts of these calls."""
        for call in calls:
            for attempt in call.attempts:
                if attempt.evidence is Evidence.NONE:
                    continue
                if attempt.cost_nanousd is None:
                    self.unpriced += 1
                    continue
                held = self._sums.setdefault(_key(call, attempt), _Sum())
                held.requests += 1
                held.nanousd += attempt.cost_nanousd
                held.usage += attempt.usage
        return self

    def rows(self) -> Iterator[dict[str, str]]:
        """Every charge, in the order of days; every column is there."""
        for key in sorted(self._sums):
            yield _charge(key, self._sums[key])


def _key(call: Call, attempt: Attempt) -> Key:
    tags = call.facts.tags
    day = attempt.started_ns // _DAY_NS * _DAY_NS
    return day, attempt.offer, attempt.model, tags.get(_PROJECT, ""), tags.get(_CUSTOMER, ""), attempt.book


def _charge(key: Key, held: _Sum) -> dict[str, str]:
    start_ns, offer, model, project, customer, book = key
    maker = offer.partition("/")[0] or "unknown"
    own = maker == OWN
    start = from_ns(start_ns)
    cost, tokens = f"{usd(held.nanousd):f}", str(held.usage.prompt_tokens + held.usage.completion_tokens)
    used = held.usage
    seller = "Own capacity" if own else maker
    found = {
        "BilledCost": cost,
        "BillingAccountId": ACCOUNT,
        "BillingAccountName": ACCOUNT,
        "BillingAccountType": "Ledger",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _written(_month(start)),
        "BillingPeriodEnd": _written(_month(_month(start) + timedelta(days=32))),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"Tokens of {model}" + (", share of busy time of own GPUs" if own else ""),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _written(start),
        "ChargePeriodEnd": _written(start + timedelta(days=1)),
        "ConsumedQuantity": tokens,
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceIssuerName": seller,
        "ListCost": cost,
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingQuantity": tokens,
        "PricingUnit": "Tokens",
        "ProviderName": seller,
        "PublisherName": seller,
        "ResourceId": offer,
        "ResourceName": model if model != offer else "",  # which must not repeat the id
        "ResourceType": "GPU" if own else "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": offer,
        "ServiceSubcategory": "Generative AI",
        "SubAccountId": project,
        "SubAccountName": project,
        "SubAccountType": "Project" if project else "",
        "Tags": _tags(customer),
        "x_Model": model,
        "x_Requests": str(held.requests),
        "x_InputTokens": str(used.input_tokens),
        "x_CacheReadTokens": str(used.cache_read_tokens),
        "x_CacheWriteTokens": str(used.cache_write_tokens + used.cache_write_1h_tokens),
        "x_OutputTokens": str(used.output_tokens),
        "x_ReasoningTokens": str(used.reasoning_tokens),
        "x_PriceBook": book,
    }
    return {column: found.get(column, "") for column in COLUMNS}


def _tags(customer: str) -> str:
    return json.dumps({_CUSTOMER: customer}) if customer else "{}"


def _month(day: datetime) -> datetime:
    return datetime(day.year, day.month, 1, tzinfo=UTC)


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
