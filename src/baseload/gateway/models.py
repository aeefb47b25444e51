"""What can be asked for: the model list in OpenAI's shape, with prices and context beside it. No I/O."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from baseload.gateway.state import Snapshot
from baseload.policy.policy import Route

_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Price(msgspec.Struct, frozen=True):
    """USD per million tokens, and the book that says so."""

    input: Decimal | None
    output: Decimal | None
    book: str


class Model(msgspec.Struct, frozen=True):
    """One name a client may ask for. An alias has a bucket; a model of an upstream has routes, a context, a price."""

    id: str
    owned_by: str
    object: str = "model"
    created: int = 0
    bucket: str | None = None
    routes: tuple[str, ...] = ()
    context_tokens: int | None = None
    usd_per_mtok: Price | None = None


class _Listed(msgspec.Struct, frozen=True):
    object: str
    data: tuple[Model, ...]


def models(snapshot: Snapshot, when: datetime) -> tuple[Model, ...]:
    """Every name, aliases first, with the price that holds at an aware UTC datetime."""
    aliases = [Model(alias, "baseload", bucket=bucket.value) for alias, bucket in snapshot.policy.aliases.items()]
    by_model: dict[str, list[Route]] = {}
    for route in snapshot.policy.routes:
        for name in dict.fromkeys((route.model, *route.names)):
            if name not in snapshot.policy.aliases:
                by_model.setdefault(name, []).append(route)
    return (*aliases, *(_model(name, routes, snapshot, when) for name, routes in by_model.items()))


def listed(found: tuple[Model, ...]) -> bytes:
    """The body of `GET /v1/models`."""
    return _ENCODER.encode(_Listed("list", found))


def shown(model: Model) -> bytes:
    """The body of `GET /v1/models/{id}`."""
    return _ENCODER.encode(model)


def _model(name: str, routes: list[Route], snapshot: Snapshot, when: datetime) -> Model:
    contexts = [route.context_tokens for route in routes if route.context_tokens is not None]
    return Model(
        name,
        routes[0].upstream,
        routes=tuple(route.name for route in routes),
        context_tokens=max(contexts, default=None),
        usd_per_mtok=_price(routes[0], snapshot, when),
    )


def _price(route: Route, snapshot: Snapshot, when: datetime) -> Price | None:
    offer = snapshot.offers.get(route.offer)
    row = offer.row(when) if offer is not None else None
    return (
        Price(row.rates.input, row.rates.output, offer.source.book) if offer is not None and row is not None else None
    )
