"""The published data file of genai-prices as its own types. Pure: it is handed the parsed JSON, numbers exact.

Both shapes are read: a list of providers, and an object that holds it under `providers`. What prices do not depend on,
such as patterns of model names, is left aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from baseload.errors import BadInput

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TieredPrices


def providers_of(document: object) -> Iterator[Provider]:
    """Every provider of a data file. Raises BadInput that names the model."""
    from genai_prices.types import Provider

    rows = document.get("providers") if isinstance(document, Mapping) else document
    if not isinstance(rows, list):
        raise BadInput("it holds no list of providers", remedy="Name the data.json of genai-prices.")
    for row in rows:
        yield Provider(
            id=row["id"],
            name=row.get("name", row["id"]),
            api_pattern="",
            pricing_urls=row.get("pricing_urls"),
            models=[_model(row["id"], model) for model in row["models"]],
        )


def _model(provider: str, row: Mapping[str, Any]) -> ModelInfo:
    from genai_prices.types import ClauseEquals, ModelInfo, PriceVariant

    try:
        return ModelInfo(
            id=row["id"],
            match=ClauseEquals(equals=row["id"]),
            name=row.get("name"),
            context_window=row.get("context_window"),
            deprecated=row.get("deprecated"),
            prices=_prices(row["prices"]),
            price_variants=[
                PriceVariant(when=each["when"], prices=_sheet(each["prices"]), constraint=_condition(each).constraint)
                for each in row.get("price_variants") or ()
            ],
        )
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise BadInput(f"{provider}/{row.get('id')}: {error!r}", remedy="Mend that model, or take it out.") from error
    except BadInput as error:
        raise BadInput(f"{provider}/{row['id']}: {error.message}", remedy=error.remedy) from error


def _prices(value: Any) -> ModelPrice | list[ConditionalPrice]:  # noqa: ANN401 one sheet, or a list with conditions
    return _sheet(value) if isinstance(value, Mapping) else [_condition(each) for each in value]


def _condition(row: Mapping[str, Any]) -> ConditionalPrice:
    from genai_prices.types import ConditionalPrice, StartDateConstraint, TimeOfDateConstraint

    limit, prices = row.get("constraint"), _sheet(row["prices"])
    if limit is None:
        return ConditionalPrice(prices=prices)
    if "start_date" in limit:
        return ConditionalPrice(StartDateConstraint(date.fromisoformat(limit["start_date"])), prices=prices)
    hours = (time.fromisoformat(limit[name]) for name in ("start_time", "end_time"))
    return ConditionalPrice(TimeOfDateConstraint(*hours), prices=prices)


def _sheet(row: Mapping[str, Any]) -> ModelPrice:
    from genai_prices.types import ModelPrice

    return ModelPrice(**{key: _price(value) for key, value in row.items()})


def _price(value: Any) -> Decimal | TieredPrices:  # noqa: ANN401 a number, or a base with tiers
    from genai_prices.types import Tier, TieredPrices

    if isinstance(value, Mapping):
        tiers = [Tier(int(each["start"]), _amount(each["price"])) for each in value["tiers"]]
        return TieredPrices(base=_amount(value["base"]), tiers=tiers)
    return _amount(value)


def _amount(value: str | int | Decimal) -> Decimal:
    price = Decimal(value)
    if not price.is_finite() or price < 0:
        raise BadInput(f"{value} is no price", remedy="Write what a million tokens cost in USD.")
    return price
