"""The offers of models.dev as ours. Pure: it is handed the parsed JSON, whose numbers must be exact `Decimal`s.

Two shapes are read: `api.json` as the site serves it (provider -> models -> cost), and a flat list of `offers`. Prices
are USD per million tokens; tiers are cliffs on the length of the prompt. What is left out: models without any price,
and those at 0/0, which a subscription pays for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from baseload.catalog.entries import Offer, PriceRow, Rates, Source, Tier
from baseload.errors import BadInput

LICENCE = "MIT"
_LEAVES = ("input", "output", "cache_read", "cache_write", "reasoning")
_SIXTH_DECIMAL = Decimal("0.000001")
_OVER_200K = 200_000
# What the site calls a provider, where the other books say it otherwise.
_PROVIDERS = {
    "amazon-bedrock": "aws",
    "fireworks-ai": "fireworks",
    "togetherai": "together",
    "together-ai": "together",
    "xai": "x-ai",
}

Row = Mapping[str, Any]


def modelsdev_offers(document: Mapping[str, Any], source: Source) -> Iterator[Offer]:
    """Every model with a price. Raises BadInput that names the row."""
    for provider, model, name, cost, context in _rows(document):
        try:
            rates = _rates(Rates(None, None), cost)
            if not rates.input and not rates.output:
                continue
            yield Offer(
                _PROVIDERS.get(provider, provider),
                model,
                source,
                (PriceRow(rates, tiers=tuple(_tiers(rates, cost))),),
                context_tokens=int(context) if context else None,
                name=name,
            )
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise BadInput(f"{provider}/{model}: {error!r}", remedy="Mend that row, or take it out.") from error
        except BadInput as error:
            raise BadInput(f"{provider}/{model}: {error.message}", remedy=error.remedy) from error


def stated_day(document: Mapping[str, Any]) -> date | None:
    """The day a flat file says it was taken; None where it says none."""
    day = document.get("date")
    try:
        return date.fromisoformat(day) if isinstance(day, str) else None
    except ValueError as error:
        raise BadInput(f"its date is {day!r}", remedy="Write a day, as in 2026-07-02.") from error


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Row, int | None]]:
    """Provider, model, name, prices and longest prompt of every model, from either shape."""
    if isinstance(document.get("offers"), list):
        for row in document["offers"]:
            yield row["provider"], row["model"], "", row, row.get("ctx")
        return
    for provider, entry in document.items():
        for model, row in entry["models"].items():
            if row.get("cost"):
                yield provider, model, row.get("name", ""), row["cost"], (row.get("limit") or {}).get("context")


def _rates(base: Rates, cost: Row) -> Rates:
    """The rates of `base` with every price in place that is stated."""
    stated = {leaf: _price(cost.get(leaf)) for leaf in _LEAVES}
    return replace(base, **{leaf: price for leaf, price in stated.items() if price is not None})


def _tiers(base: Rates, cost: Row) -> Iterator[Tier]:
    tiers = cost.get("tiers") or ()
    for tier in tiers:
        if tier["tier"].get("type", "context") == "context":
            yield Tier(int(tier["tier"]["size"]), _rates(base, tier))
    if cost.get("context_over_200k") and not tiers:
        yield Tier(_OVER_200K, _rates(base, cost["context_over_200k"]))


def _price(value: str | int | Decimal | None) -> Decimal | None:
    """A price that is stated, as a sheet prints it; refuses what is none."""
    if value is None:
        return None
    price = Decimal(value)
    if not price.is_finite() or price < 0:
        raise BadInput(f"{value} is no price", remedy="Write what a million tokens cost in USD.")
    return price.quantize(_SIXTH_DECIMAL, rounding=ROUND_HALF_EVEN)
