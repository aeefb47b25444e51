"""What follows up on an answer that an upstream keeps: read it, list its inputs, cancel it, delete it. Acts (a relay).

Such a request is passed on as it is to the upstream that made the answer, and to nobody else; it is no call, for an
upstream bills none of it.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from baseload.gateway import answers
from baseload.gateway.asking import along, numbered
from baseload.gateway.endpoints import RESPONSES
from baseload.gateway.http import Exchange, Request
from baseload.gateway.refusals import Refused, say, wrong_method
from baseload.gateway.state import GatewayState
from baseload.gateway.stored import Stored
from baseload.gateway.upstream import AttemptFailed

_PATH = re.compile(re.escape(RESPONSES) + r"/(?P<name>[A-Za-z0-9_.-]{1,256})(?P<rest>/input_items|/cancel|)")
_METHODS = {"": ("GET", "DELETE"), "/input_items": ("GET",), "/cancel": ("POST",)}
# Refusals of our own key there: not the client's to see.
_OURS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)


class Following:
    """Passes on requests about kept answers."""

    def __init__(self, state: GatewayState, stored: Stored) -> None:
        self._state = state
        self._stored = stored

    async def answer(self, request: Request, exchange: Exchange, owner: str) -> None:
        """Serve one request about an answer that was made for the key `owner`."""
        found = _PATH.fullmatch(request.path)
        if found is None:
            await say(_unknown(request.path.removeprefix(RESPONSES + "/")), request, exchange)
            return
        methods = _METHODS[found["rest"]]
        if request.method not in methods:
            await say(wrong_method(request.method, request.path, ", ".join(methods)), request, exchange)
            return
        upstream = self._stored.find(found["name"], owner)
        if upstream is None or upstream not in self._state.snapshot.targets:
            await say(_unknown(found["name"]), request, exchange)
            return
        await self._pass_on(upstream, found["name"], request, exchange)

    async def _pass_on(self, upstream: str, name: str, request: Request, exchange: Exchange) -> None:
        path, headers = request.target.removeprefix("/v1"), [*along(request.head), *numbered(request)]
        sending = self._state.snapshot.targets[upstream].send(path, headers, request.body, method=request.method)
        try:
            with await sending as answer:
                if answer.status in _OURS:
                    await say(_failed(upstream, "it refuses the gateway's own key or account"), request, exchange)
                    return
                if request.method == "DELETE" and answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    self._stored.forget(name)
                headers = answers.identified(answers.passed(answer.headers), request)
                headers = [*headers, (b"x-baseload-upstream", upstream.encode())]
                if answer.status >= HTTPStatus.BAD_REQUEST:  # it may quote our key
                    await exchange.respond(answer.status, headers, (await answer.excerpt())[0])
                    return
                await exchange.start(answer.status, headers)
                while data := await answer.next():
                    await exchange.send(data)
                await exchange.end()
        except AttemptFailed as failure:
            if exchange.started:
                exchange.abort()
            else:
                await say(_failed(upstream, failure.message), request, exchange)


def _unknown(name: str) -> Refused:
    message = (
        f"Response with id '{name[:256]}' not found. The gateway knows those that were made through it, with the same "
        "key, in the last 30 days, and stored."
    )
    return Refused(status=404, message=message, code="response_not_found")


def _failed(upstream: str, why: str) -> Refused:
    message = f"The upstream {upstream}, which keeps this response, does not answer: {why}. Try again later."
    return Refused(status=502, message=message, code="upstreams_failed")
