"""The ledger as FOCUS 1.2: rows by day, offer, project, customer, kind of token and price. Acts on nothing: rows out.

What was bought by the token is a charge of the provider. Own capacity is a charge of its own on the usage basis, the
share of busy time. What has no price is in no row: it is counted, so that whoever exports can say so. Unrounded USD.

BilledCost and EffectiveCost are what the ledger has: each attempt rounds each kind of token to a nano-dollar, and the
rows add up to its cost. ListCost and ContractedCost are unit price x quantity, which 1.2 asks to match: they differ by
that rounding. A cost that no book at hand takes apart is in a row without unit price and SKU, and is counted as well.
(FOCUS 1.2 of 2025-05-29; what was read of it: test_focus.py.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from baseload.audit.parts import REQUEST, WHOLE_PROMPT, Offers, Parts, Price
from baseload.capacity.offer import OWN
from baseload.clock import from_ns
from baseload.imports.focus import COUNTS
from baseload.load.calls import Attempt, Call, Evidence
from baseload.units import HOURS_PER_DAY, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR, TOKENS_PER_MTOK, usd
from baseload.usage import Usage

VERSION = "1.2"
COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit"),
    *("ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName", "ListCost", "ListUnitPrice"),
    *("PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ResourceId"),
    *("ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter"),
    *("SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType"),
    *("AvailabilityZone", "CapacityReservationId", "CapacityReservationStatus", "CommitmentDiscountCategory"),
    *("CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus"),
    *("CommitmentDiscountType", "CommitmentDiscountUnit", "InvoiceId", "PricingCurrency", "RegionId", "RegionName"),
    *("Tags", "x_Model", "x_Requests", *COUNTS, "x_PriceBook"),
)
ACCOUNT = "baseload"
_DAY_NS = HOURS_PER_DAY * SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
_PROJECT, _CUSTOMER = "project", "customer"
_TOKENS, _REQUESTS, _MTOK = "Tokens", "Requests", f"{TOKENS_PER_MTOK} Tokens"
# What each kind is called: as a meter, and in one word.
_KINDS = {
    "input": ("Input Tokens", "Input"),
    "cache_read": ("Cache Read Input Tokens", "CacheRead"),
    "cache_write": ("Cache Write Input Tokens", "CacheWrite"),
    "cache_write_1h": ("Cache Write 1h Input Tokens", "CacheWrite1h"),
    "output": ("Output Tokens", "Output"),
    "reasoning": ("Reasoning Tokens", "Reasoning"),
    REQUEST: (_REQUESTS, ""),
}
_ORDER = {leaf: place for place, leaf in enumerate(_KINDS)}

Key = tuple[int, str, str, str, str, str]


@dataclass(slots=True)
class _Sum:
    """What one row adds up. `count` is of the price's kind; without a price `usage` says what there was."""

    requests: int = 0
    nanousd: int = 0
    count: int = 0
    usage: Usage = field(default_factory=Usage)


class Focus:
    """Takes calls; then gives rows. `unpriced` counts attempts that are in none of them, `unsplit` those whose kinds of
    token are in one row, because no book at hand takes their cost apart."""

    def __init__(self, offers: Offers) -> None:
        self.unpriced = 0
        self.unsplit = 0
        self._parts = Parts(offers)
        self._sums: dict[Key, dict[Price | None, _Sum]] = {}

    def take(self, calls: Iterable[Call]) -> Focus:
        """Add up the attempts of these calls."""
        for call in calls:
            for attempt in call.attempts:
                if attempt.evidence is Evidence.NONE:
                    continue
                if attempt.cost_nanousd is None:
                    self.unpriced += 1
                else:
                    self._add(self._sums.setdefault(_key(call, attempt), {}), attempt, attempt.cost_nanousd)
        return self

    def rows(self) -> Iterator[dict[str, str]]:
        """Every charge, in the order of days; every column is there."""
        for key in sorted(self._sums):
            for price, held in sorted(self._sums[key].items(), key=lambda each: _place(each[0])):
                found = _about(key) | (_whole(key, held) if price is None else _priced(key, price, held))
                yield {column: found.get(column, "") for column in COLUMNS}

    def _add(self, sums: dict[Price | None, _Sum], attempt: Attempt, nanousd: int) -> None:
        parts = self._parts.of(attempt)
        if parts is None:
            self.unsplit += 1
            held = sums.setdefault(None, _Sum())
            held.requests += 1
            held.nanousd += nanousd
            held.usage += attempt.usage
            return
        for part in parts:
            held = sums.setdefault(part.price, _Sum())
            held.requests += 1
            held.nanousd += part.nanousd
            held.count += part.quantity


def _key(call: Call, attempt: Attempt) -> Key:
    tags = call.facts.tags
    day = attempt.started_ns // _DAY_NS * _DAY_NS
    return day, attempt.offer, attempt.model, tags.get(_PROJECT, ""), tags.get(_CUSTOMER, ""), attempt.book


def _place(price: Price | None) -> tuple[object, ...]:
    """What is not taken apart comes last."""
    return (len(_ORDER),) if price is None else (_ORDER[price.leaf], *price)


def _about(key: Key) -> dict[str, str]:
    """What rows of one key have in common."""
    start_ns, offer, model, project, customer, book = key
    maker = offer.partition("/")[0] or "unknown"
    own = maker == OWN
    start = from_ns(start_ns)
    seller = "Own capacity" if own else maker
    return {
        "BillingAccountId": ACCOUNT,
        "BillingAccountName": ACCOUNT,
        "BillingAccountType": "Ledger",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _written(_month(start)),
        "BillingPeriodEnd": _written(_month(_month(start) + timedelta(days=32))),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _written(start),
        "ChargePeriodEnd": _written(start + timedelta(days=1)),
        "InvoiceIssuerName": seller,
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
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
        "x_PriceBook": book,
    }


def _priced(key: Key, price: Price, held: _Sum) -> dict[str, str]:
    """One kind of token, or the fee per request, at one price."""
    _, offer, model, *_ = key
    meter, kind = _KINDS[price.leaf]
    fee = price.leaf == REQUEST
    unit = _REQUESTS if fee else _MTOK
    quantity = Decimal(held.count) if fee else Decimal(held.count) / TOKENS_PER_MTOK
    billed, listed = _figure(usd(held.nanousd)), _figure(price.usd * quantity)
    sku = f"{offer}#{price.leaf}"
    about = f"{meter} of {model} at {_figure(price.usd)} USD per {'request' if fee else unit}"
    counted = {} if fee else {f"{price.leaf}_tokens": held.count}
    return {
        "BilledCost": billed,
        "ChargeDescription": about + _share(offer),
        "ConsumedQuantity": str(held.count),
        "ConsumedUnit": _REQUESTS if fee else _TOKENS,
        "ContractedCost": listed,
        "ContractedUnitPrice": _figure(price.usd),
        "EffectiveCost": billed,
        "ListCost": listed,
        "ListUnitPrice": _figure(price.usd),
        "PricingQuantity": _figure(quantity),
        "PricingUnit": unit,
        "SkuId": sku,
        "SkuMeter": meter,
        "SkuPriceDetails": _details(offer, price, kind),
        "SkuPriceId": "#".join([sku, price.processing, *_terms(price).values()]),
        **_counts(held.requests, Usage(**counted)),
    }


def _whole(key: Key, held: _Sum) -> dict[str, str]:
    """Costs that no book at hand takes apart: what is known of them, and no price."""
    _, offer, model, *_ = key
    cost, tokens = _figure(usd(held.nanousd)), held.usage.prompt_tokens + held.usage.completion_tokens
    count, unit = (str(tokens), _TOKENS) if tokens else (str(held.requests), _REQUESTS)
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        "ChargeDescription": f"{unit} of {model}, all kinds in one: no book at hand has the price they had"
        + _share(offer),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), count),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), unit),
        **_counts(held.requests, held.usage),
    }


def _counts(requests: int, usage: Usage) -> dict[str, str]:
    counts = {column: str(getattr(usage, leaf)) for column, leaf in COUNTS.items()}
    return {"x_Requests": str(requests), **counts}


def _share(offer: str) -> str:
    return ", share of busy time of own GPUs" if offer.partition("/")[0] == OWN else ""


def _terms(price: Price) -> dict[str, str]:
    """When a price holds, by the name of the property that says so; numbers are words, for they are of no unit."""
    found = {}
    if price.above != WHOLE_PROMPT:
        found["x_Prompt"] = f"above {price.above} tokens"
    if price.hours:
        found["x_Hours"] = price.hours
    return found


def _details(offer: str, price: Price, kind: str) -> str:
    """What a SkuPriceId stands for. A property that is not one of FOCUS's own begins with x_."""
    told = {"x_ModelId": offer.partition("/")[2] or offer, "x_TokenType": kind, "x_Processing": price.processing.value}
    return json.dumps({name: value for name, value in (told | _terms(price)).items() if value})


def _figure(number: Decimal) -> str:
    """A number with all its digits, no exponent and no idle zero.

    >>> _figure(Decimal("1.250000")), _figure(Decimal("1E+2")), _figure(Decimal("0.00"))
    ('1.25', '100', '0')
    """
    return f"{number.normalize():f}" if number else "0"


def _tags(customer: str) -> str:
    return json.dumps({_CUSTOMER: customer}) if customer else "{}"


def _month(day: datetime) -> datetime:
    return datetime(day.year, day.month, 1, tzinfo=UTC)


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
