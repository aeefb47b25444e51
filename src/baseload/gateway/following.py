"""What follows up on an object that an upstream keeps: an answer, a stored chat completion, a conversation. Acts.

Such a request is passed on as it is to the upstream that made the object (of a pool to the replica that did) and to
nobody else; it is no call, for an upstream bills none of it. To any other key than its own an object does not exist.
Two requests are about no object yet: a conversation that is to be made (`conversations.py`), and the list of stored
completions (`listing.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from baseload.gateway import answers, conversations, listing
from baseload.gateway.asking import RESIDENCY, along
from baseload.gateway.background import Background
from baseload.gateway.endpoints import CHATS, CONVERSATIONS, RESPONSES
from baseload.gateway.http import Exchange, Request
from baseload.gateway.passing import relay
from baseload.gateway.refusals import Refused, forbidden, say, wrong_method
from baseload.gateway.state import GatewayState
from baseload.gateway.stored import KEPT_DAYS, Kept, Kind, Stored
from baseload.gateway.upstream import Answer, AttemptFailed
from baseload.load.facts import Operation
from baseload.policy.keys import ClientKey, misused

_NAME = re.compile(r"/(?P<name>[A-Za-z0-9_.-]{1,256})(?P<rest>(?:/[A-Za-z0-9_.-]{1,256}){0,2})")
_ANY = "*"
# Refusals of our own key there: not the client's to see.
_OURS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)


class _About(NamedTuple):
    """What a request is about: an object, and what stands below its name in the path."""

    kind: Kind
    name: str
    rest: str


class _Way(NamedTuple):
    """The paths about one kind of object: below its name, the methods that may be sent there."""

    kind: Kind
    operation: Operation
    methods: Mapping[str, tuple[str, ...]]


_WAYS: Mapping[str, _Way] = {
    RESPONSES: _Way(
        Kind.RESPONSE,
        Operation.RESPONSES,
        {"": ("GET", "DELETE"), "/input_items": ("GET",), "/cancel": ("POST",)},
    ),
    CHATS: _Way(Kind.COMPLETION, Operation.CHAT, {"": ("GET", "POST", "DELETE"), "/messages": ("GET",)}),
    CONVERSATIONS: _Way(
        Kind.CONVERSATION,
        Operation.RESPONSES,
        {"": ("GET", "POST", "DELETE"), "/items": ("GET", "POST"), f"/items/{_ANY}": ("GET", "DELETE")},
    ),
}


class Following:
    """Passes on requests about kept objects."""

    def __init__(self, state: GatewayState, stored: Stored, background: Background) -> None:
        self._state = state
        self._stored = stored
        self._background = background

    def covers(self, request: Request) -> bool:
        """Whether a request is about kept objects."""
        path = request.path
        if path == CHATS:
            return request.method == "GET"
        return path == CONVERSATIONS or any(path.startswith(f"{root}/") for root in _WAYS)

    async def answer(self, request: Request, exchange: Exchange, key: ClientKey | None = None) -> None:
        """Serve one request about what was made for a key."""
        root = next(root for root in _WAYS if request.path == root or request.path.startswith(f"{root}/"))
        way, owner = _WAYS[root], key.prefix if key is not None else ""
        obstacle = misused(key, way.operation) if key is not None else None
        if obstacle is not None:
            await say(forbidden(obstacle), request, exchange)
        elif request.path == CHATS:
            shelf = listing.Shelf(self._state, self._stored, owner, lambda at: not self._elsewhere(at, request, key))
            await listing.answer(shelf, request, exchange)
        elif request.path == CONVERSATIONS and request.method == "POST":
            await conversations.create(self._state, self._stored, request, exchange, key)
        elif request.path == CONVERSATIONS:
            await say(wrong_method(request.method, request.path, "POST"), request, exchange)
        else:
            await self._follow(way, request.path[len(root) :], request, exchange, key)

    async def _follow(self, way: _Way, below: str, request: Request, exchange: Exchange, key: ClientKey | None) -> None:
        found = _NAME.fullmatch(below)
        rest = found["rest"] if found is not None else ""
        if rest.count("/") == 2:
            rest = rest.rpartition("/")[0] + f"/{_ANY}"
        methods = way.methods.get(rest)
        if found is None or methods is None:
            await say(_unknown(way.kind, below[1:]), request, exchange)
            return
        if request.method not in methods:
            await say(wrong_method(request.method, request.path, ", ".join(methods)), request, exchange)
            return
        kept = self._stored.find(found["name"], key.prefix if key is not None else "", way.kind)
        if kept is None or kept.upstream not in self._state.snapshot.targets:
            await say(_unknown(way.kind, found["name"]), request, exchange)
            return
        obstacle = self._elsewhere(kept.upstream, request, key)
        if obstacle is not None:
            await say(obstacle, request, exchange)
            return
        await self._pass_on(_About(way.kind, found["name"], rest), kept, request, exchange)

    async def _pass_on(self, about: _About, kept: Kept, request: Request, exchange: Exchange) -> None:
        """Pass a request on, and what is answered. What an upstream says of an answer that is not done, or was not when
        the client began to read it, is of interest to us too."""
        target, kind = self._state.snapshot.targets[kept.upstream], about.kind
        deletes = request.method == "DELETE" and not about.rest
        unfinished = self._background.waits_for(about.name)
        if unfinished and deletes:
            await self._background.look(about.name)
        try:
            sending = target.send(
                request.target.removeprefix("/v1"),
                along(request),
                request.body,
                method=request.method,
                replica=kept.replica,
            )
            with await sending as answer:
                if answer.status in _OURS:
                    why = "it refuses the gateway's own key or account"
                    await say(_failed(kind, kept.upstream, why), request, exchange)
                    return
                if deletes and answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    self._stored.forget(about.name)
                if answer.status >= HTTPStatus.BAD_REQUEST:  # it may quote our key
                    body, _ = await answer.excerpt()
                    said = answer.unpacked(body)
                    await exchange.respond(
                        answer.status, _head(kept.upstream, request, answer, new=said is not body), said
                    )
                    return
                if unfinished and answer.header(b"content-type").startswith(b"application/json"):
                    body = await answer.read()
                    self._background.saw(about.name, body)
                    await exchange.respond(answer.status, _head(kept.upstream, request, answer), body)
                    return
                await relay(answer, exchange, partial(_head, kept.upstream, request))
            if unfinished:
                await self._background.look(about.name)
        except AttemptFailed as failure:
            if exchange.started:
                exchange.abort()
            else:
                await say(_failed(kind, kept.upstream, failure.message), request, exchange)

    def _elsewhere(self, upstream: str, request: Request, key: ClientKey | None) -> Refused | None:
        """Why an object may not be spoken of where it is kept: the regions that the request or its key allow now."""
        wanted = (request.header(RESIDENCY) or b"").decode("latin-1")
        allowed = [frozenset((wanted,))] if wanted else []
        allowed += [key.residency] if key is not None and key.residency else []
        there = {route.residency for route in self._state.snapshot.policy.routes if route.upstream == upstream}
        if all(regions & there for regions in allowed):
            return None
        said = ", ".join(sorted(each for each in there if each)) or "an unstated region"
        regions = ", ".join(sorted(frozenset.intersection(*allowed))) or "no region"
        message = f"Data must stay in {regions}, and {upstream} keeps this in {said}. Make it anew where it may be."
        return Refused(status=403, message=message, code="residency", kind="permission_error")


def _head(upstream: str, request: Request, answer: Answer, *, new: bool = False) -> list[tuple[bytes, bytes]]:
    theirs = answers.translated(answer.headers) if new else answers.passed(answer.headers)
    headers = answers.identified(theirs, request)
    return [*headers, (b"x-baseload-upstream", upstream.encode())]


def _unknown(kind: Kind, name: str) -> Refused:
    message = (
        f"{kind.capitalize()} with id '{name[:256]}' not found. The gateway knows those that were made through it, "
        f"with the same key, in the last {KEPT_DAYS} days, and stored."
    )
    return Refused(status=404, message=message, code=f"{kind}_not_found")


def _failed(kind: Kind, upstream: str, why: str) -> Refused:
    message = f"The upstream {upstream}, which keeps this {kind}, does not answer: {why}. Try again later."
    return Refused(status=502, message=message, code="upstreams_failed")
