"""FOCUS 1.0 to 1.4: cost and usage rows of a provider or a FinOps tool, CSV or JSON lines. Pure.

Every row is a charge over a period, so it becomes a statement of cost: `BilledCost`, signed. Rows of token usage whose
unit is tokens (`Tokens`, `1000 Tokens`, `1M Tokens`) carry their count too; a row that is not in USD is rejected.
(focus.finops.org, read 2026-11.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256

from baseload.errors import BadInput
from baseload.imports.entry import Asked, Format, Item, Skipped
from baseload.imports.fields import Row, count, decimal, moment, money, name, needed
from baseload.load.statements import Kind, Statement
from baseload.units import quantity
from baseload.usage import Usage

COUNTS = {
    "x_InputTokens": "input_tokens",
    "x_CacheReadTokens": "cache_read_tokens",
    "x_CacheWriteTokens": "cache_write_tokens",
    "x_CacheWriteHourTokens": "cache_write_1h_tokens",
    "x_OutputTokens": "output_tokens",
    "x_ReasoningTokens": "reasoning_tokens",
}
"""Columns of our own export, and the kind of token that each counts: a row may hold several kinds."""

_AI = "ai and machine learning"
_UNIT = re.compile(r"([0-9][0-9,]*)? ?(k|m|b|thousand|million|billion)? ?(?:input |output )?tokens?")
_UNIT_AFTER = re.compile(r"tokens in (thousand|million|billion)s")
_MULTIPLES = {"thousand": "K", "million": "M", "billion": "B"}
# A token that is not from a cache is called so as well.
_CACHE = re.compile(r"(?<!un)(?<!non-)(?<!non )cach(?!e[ -]?miss)")
_SHOWN = 12


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
    words = ("ChargeCategory", "ChargeDescription", "SkuId", "SkuPriceId", "ResourceId", "RegionId", "x_PriceBook")
    told = [*(name(row.get(each), each) for each in words), _tags(row.get("Tags"))]
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
    """The tokens of a row whose unit is tokens: by our own columns where they add up to them, else of the one kind that
    its meter or description names."""
    each = tokens_in(name(row.get("ConsumedUnit"), "ConsumedUnit"))
    consumed = decimal(row.get("ConsumedQuantity"), "ConsumedQuantity")
    if each is None or consumed is None or consumed < 0:
        return Usage()
    tokens = count(consumed * each, "ConsumedQuantity")
    if all(column in row for column in COUNTS):
        told = Usage(**{leaf: count(row[column], column) for column, leaf in COUNTS.items()})
        if told.prompt_tokens + told.completion_tokens == tokens:
            return told
    words = " ".join(str(row.get(column) or "") for column in ("x_TokenType", "SkuMeter", "ChargeDescription")).lower()
    if _CACHE.search(words):
        written = "write" in words or "creation" in words
        return Usage(cache_write_tokens=tokens) if written else Usage(cache_read_tokens=tokens)
    return Usage(output_tokens=tokens) if "output" in words else Usage(input_tokens=tokens)


def tokens_in(unit: str) -> Decimal | None:
    """How many tokens one unit is; None when it counts something else.

    >>> tokens_in("Tokens"), tokens_in("1000 Tokens"), tokens_in("1M tokens"), tokens_in("GB-Hours")
    (Decimal('1'), Decimal('1000'), Decimal('1000000'), None)
    """
    text = " ".join(unit.lower().split())
    match, after = _UNIT.fullmatch(text), _UNIT_AFTER.fullmatch(text)
    if match is not None:
        number, multiple = match[1] or "1", match[2] or ""
    elif after is not None:
        number, multiple = "1", after[1]
    else:
        return None
    try:
        return quantity(number + _MULTIPLES.get(multiple, multiple)) or None
    except BadInput:
        return None


def _tags(value: object) -> str:
    """What tells rows apart that differ by their tags alone, whatever the order of these."""
    if not value or value == "{}":
        return ""
    try:
        told = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        told = value
    written = json.dumps(told, sort_keys=True, default=str)
    return f"tags {sha256(written.encode()).hexdigest()[:_SHOWN]}" if told else ""


FORMAT = Format(
    name="focus",
    title="FOCUS",
    read=_read,
    columns=(frozenset({"BilledCost"}), frozenset({"ChargePeriodStart"}), frozenset({"BillingCurrency"})),
    unit="statements",
)
