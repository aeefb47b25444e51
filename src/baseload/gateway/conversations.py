"""A conversation that is to be made: at which upstream, for the requests that will name it go there alone. Acts.

The request names no model. It goes to the upstream of the first route, in the policy's order, that serves responses
itself and where the client's key and its region allow them; `x-baseload-model` says which model will be asked, where
several upstreams could be meant. It is no call: no upstream bills it.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import msgspec

from baseload.gateway import answers
from baseload.gateway.asking import RESIDENCY, along
from baseload.gateway.endpoints import CONVERSATIONS
from baseload.gateway.http import Exchange, Request
from baseload.gateway.refusals import Refused, say, unknown_model
from baseload.gateway.state import GatewayState
from baseload.gateway.stored import Kind, Stored
from baseload.gateway.upstream import AttemptFailed
from baseload.load.facts import Operation
from baseload.policy.keys import ClientKey
from baseload.policy.policy import Policy, Route

MODEL = b"x-baseload-model"


class _Made(msgspec.Struct):
    id: str = ""


async def create(
    state: GatewayState, stored: Stored, request: Request, exchange: Exchange, key: ClientKey | None
) -> None:
    """Serve `POST /v1/conversations`: the first upstream that may keep it and answers is told to make it."""
    policy, targets = state.snapshot.policy, state.snapshot.targets
    model = (request.header(MODEL) or b"").decode("latin-1")
    if model and model not in state.snapshot.models:
        await say(unknown_model(model, policy), request, exchange)
        return
    names = list(dict.fromkeys(route.upstream for route in _possible(state, request, key, model)))
    if not names:
        await say(_nowhere(), request, exchange)
        return
    left_out = state.observed().unhealthy
    trouble = ""
    for name in sorted(names, key=lambda each: each in left_out):
        sending = targets[name].send(CONVERSATIONS.removeprefix("/v1"), along(request), request.body)
        try:
            with await sending as answer:
                body, status = await answer.read(), answer.status
        except AttemptFailed as failure:
            trouble = f"{name}: {failure.message}"
            continue
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _NOT_THE_CLIENTS:
            trouble = f"{name}: HTTP {status}"
            continue
        said = answer.unpacked(body)
        made = _made(said) if status < HTTPStatus.MULTIPLE_CHOICES else None
        if made is not None:
            owner = key.prefix if key is not None else ""
            stored.remember(made, name, owner, kind=Kind.CONVERSATION, replica=answer.replica)
        theirs = answers.passed(answer.headers) if said is body else answers.translated(answer.headers)
        headers = answers.identified(theirs, request)
        await exchange.respond(status, [*headers, (b"x-baseload-upstream", name.encode())], said)
        return
    message = f"No upstream makes a conversation: {trouble}. Send the request again later."
    await say(Refused(status=502, message=message, code="upstreams_failed"), request, exchange)


# Refusals of our own key, or of the moment: another upstream may do.
_NOT_THE_CLIENTS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
)


def _possible(state: GatewayState, request: Request, key: ClientKey | None, model: str) -> Iterator[Route]:
    """The routes at whose upstreams it may be kept, in the policy's order."""
    policy = state.snapshot.policy
    residency = (request.header(RESIDENCY) or b"").decode("latin-1")
    for route in policy.routes:
        upstream = state.snapshot.targets[route.upstream].upstream
        if Operation.RESPONSES not in upstream.serves or Operation.CHAT not in route.operations:
            continue
        if residency and route.residency != residency:
            continue
        names = set(_names(route, policy))
        if model and model not in names:
            continue
        if key is not None and not any(key.may_name(name) for name in names):
            continue
        if key is not None and key.residency and route.residency not in key.residency:
            continue
        yield route


def _names(route: Route, policy: Policy) -> Iterator[str]:
    """Every name by which a client may ask for a route."""
    yield from (route.model, *route.names)
    yield from (alias for alias, bucket in policy.aliases.items() if route.success.get(bucket))


def _made(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Made).id or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _nowhere() -> Refused:
    message = (
        "No route's upstream keeps conversations where this key and region allow them. Add `responses` to the "
        "`operations` of an upstream that does, or ask with another key or region."
    )
    return Refused(status=400, message=message, code="no_admissible_route")
