"""What can be asked for: the model list in OpenAI's and in Anthropic's shape, with what each name is. No I/O.

Both shapes carry the same further fields: context, capabilities, operations, routes, price, and the bucket of
an alias.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from baseload.gateway.state import Snapshot
from baseload.load.facts import Bucket, Operation
from baseload.policy.policy import Policy, Route
from baseload.wire.carried import carries
from baseload.wire.passage import Dialect

UNDATED = "1970-01-01T00:00:00Z"
"""Anthropic's word for a release date that is not known (API reference, "List Models", read 2026-11)."""
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Price(msgspec.Struct, frozen=True):
    """USD per million tokens, and the book that says so."""

    input: Decimal | None
    output: Decimal | None
    book: str


class Model(msgspec.Struct, frozen=True):
    """One name a client may ask for. An alias has a bucket, and what it may need is what its routes have between them;
    the price is that of the first route that has one."""

    id: str
    owned_by: str
    object: str = "model"
    created: int = 0
    bucket: str | None = None
    routes: tuple[str, ...] = ()
    context_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    usd_per_mtok: Price | None = None


def models(snapshot: Snapshot, when: datetime) -> tuple[Model, ...]:
    """Every name that some route serves, aliases first, with the price that holds at an aware UTC datetime."""
    policy = snapshot.policy
    served = {bucket for route in policy.routes for bucket, share in route.success.items() if share}
    aliases = (_alias(alias, bucket, snapshot) for alias, bucket in policy.aliases.items() if bucket in served)
    names = (name for name in policy.models if name not in policy.aliases and _is_served(name, policy))
    return (*aliases, *(_model(name, snapshot, when) for name in names))


def _is_served(name: str, policy: Policy) -> bool:
    """Whether a route of that name serves tasks of any bucket."""
    return any(share for route in policy.routes if route.is_named(name) for share in route.success.values())


def listed(found: tuple[Model, ...], dialect: Dialect = Dialect.OPENAI) -> bytes:
    """The body of `GET /v1/models`: all on one page."""
    if dialect is Dialect.OPENAI:
        return _ENCODER.encode({"object": "list", "data": found})
    ends = {"first_id": found[0].id if found else None, "last_id": found[-1].id if found else None}
    return _ENCODER.encode({"data": [_of_anthropic(each) for each in found], "has_more": False, **ends})


def shown(model: Model, dialect: Dialect = Dialect.OPENAI) -> bytes:
    """The body of `GET /v1/models/{id}`."""
    return _ENCODER.encode(model if dialect is Dialect.OPENAI else _of_anthropic(model))


def _of_anthropic(model: Model) -> Mapping[str, object]:
    """A model as Anthropic's clients know one, with the same further fields as in OpenAI's shape."""
    own = {name: getattr(model, name) for name in ("owned_by", "bucket", "routes", "context_tokens", "operations")}
    head = {"type": "model", "id": model.id, "display_name": model.id, "created_at": UNDATED}
    return {**head, "max_input_tokens": model.context_tokens, **own, "usd_per_mtok": model.usd_per_mtok}


def _alias(name: str, bucket: Bucket, snapshot: Snapshot) -> Model:
    routes = [route for route in snapshot.policy.routes if route.success.get(bucket)]
    return msgspec.structs.replace(_about(routes, snapshot), id=name, owned_by="baseload", bucket=bucket.value)


def _model(name: str, snapshot: Snapshot, when: datetime) -> Model:
    routes = [route for route in snapshot.policy.routes if route.is_named(name)]
    prices = (_price(route, snapshot, when) for route in routes)
    price = next((price for price in prices if price is not None), None)
    about = _about(routes, snapshot)
    named = tuple(route.name for route in routes)
    return msgspec.structs.replace(about, id=name, owned_by=routes[0].upstream, routes=named, usd_per_mtok=price)


def _about(routes: list[Route], snapshot: Snapshot) -> Model:
    """What routes can do between them, as a model without a name."""
    contexts = [route.context_tokens for route in routes if route.context_tokens is not None]
    able = {capability for route in routes for capability in route.capabilities}
    served = {operation for route in routes for operation in _served(route, snapshot)}
    return Model(
        "",
        "",
        context_tokens=max(contexts, default=None),
        capabilities=tuple(sorted(able)),
        operations=tuple(operation.value for operation in Operation if operation in served),
    )


def _served(route: Route, snapshot: Snapshot) -> list[Operation]:
    """What a route serves: what its policy names, where that can be said to its upstream. Tokens are always counted."""
    upstream = snapshot.targets[route.upstream].upstream
    named = [operation for operation in Operation if operation.kind in route.operations]
    return [
        operation
        for operation in named
        if operation is Operation.COUNT_TOKENS or carries(operation, upstream.dialect, upstream.serves)
    ]


def _price(route: Route, snapshot: Snapshot, when: datetime) -> Price | None:
    offer = snapshot.offers.get(route.offer)
    row = offer.row(when) if offer is not None else None
    return (
        Price(row.rates.input, row.rates.output, offer.source.book) if offer is not None and row is not None else None
    )
