"""The list of stored chat completions: those of one key, whichever upstream keeps each. Acts (asks upstreams).

An upstream lists what everybody has stored with the gateway's key there. So the names come from our own table, which
knows whose they are, and each completion from the upstream that keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qs, quote

import msgspec

from baseload.gateway.answers import identified
from baseload.gateway.endpoints import CHATS
from baseload.gateway.http import JSON, Exchange, Request
from baseload.gateway.refusals import Refused, say
from baseload.gateway.state import GatewayState
from baseload.gateway.stored import Kind, Stored
from baseload.gateway.upstream import AttemptFailed

USUAL, MOST = 20, 100
"""Completions of a page: OpenAI's default, and its limit (API reference, "List Chat Completions", read 2026-11)."""
AT_ONCE = 8
"""Upstream requests at a time."""
MOST_LOOKED_AT = 1_000
"""Completions that one request may look at, where it wants those of a model or with metadata."""

_METADATA = "metadata["


class _Completion(msgspec.Struct):
    id: str = ""
    model: str = ""
    metadata: dict[str, object] | None = None


class _Wanted(msgspec.Struct, frozen=True):
    """What a request asks for."""

    after: str
    limit: int
    oldest_first: bool
    model: str
    metadata: Mapping[str, str]

    @property
    def chooses(self) -> bool:
        return bool(self.model or self.metadata)

    def takes(self, found: _Completion) -> bool:
        has = found.metadata or {}
        named = not self.model or found.model == self.model
        return named and all(has.get(name) == value for name, value in self.metadata.items())


class Shelf(msgspec.Struct, frozen=True):
    """What one key has stored, and where: `may` says whether it may be read at an upstream."""

    state: GatewayState
    stored: Stored
    owner: str
    may: Callable[[str], bool]


async def answer(shelf: Shelf, request: Request, exchange: Exchange) -> None:
    """Serve `GET /v1/chat/completions`."""
    wanted = _wanted(request)
    if isinstance(wanted, Refused):
        await say(wanted, request, exchange)
        return
    found, more = await _page(shelf, wanted)
    names = [name for name, _ in found]
    body = {
        "object": "list",
        "data": [msgspec.Raw(document) for _, document in found],
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
        "has_more": more,
    }
    await exchange.respond(200, identified([JSON], request), msgspec.json.encode(body))


async def _page(shelf: Shelf, wanted: _Wanted) -> tuple[list[tuple[str, bytes]], bool]:
    """The completions of a page, and whether there are more."""
    found: list[tuple[str, bytes]] = []
    after, looked, gate = wanted.after, 0, asyncio.Semaphore(AT_ONCE)
    while looked < MOST_LOOKED_AT:
        most = MOST if wanted.chooses else wanted.limit + 1 - len(found)
        names = shelf.stored.names(
            shelf.owner, Kind.COMPLETION, after=after, oldest_first=wanted.oldest_first, most=most
        )
        documents = await asyncio.gather(*(_fetched(shelf, name, gate) for name in names))
        for name, document in zip(names, documents, strict=True):
            if document is not None and wanted.takes(_read(document)):
                found.append((name, document))
        if len(found) > wanted.limit:
            return found[: wanted.limit], True
        if len(names) < most:
            return found, False
        after, looked = names[-1], looked + len(names)
    return found, True


async def _fetched(shelf: Shelf, name: str, gate: asyncio.Semaphore) -> bytes | None:
    """One completion as its upstream tells it; None when that one does not answer, keeps it no longer, or may
    not be asked."""
    kept = shelf.stored.find(name, shelf.owner, Kind.COMPLETION)
    target = shelf.state.snapshot.targets.get(kept.upstream) if kept is not None else None
    if kept is None or target is None or not shelf.may(kept.upstream):
        return None
    path = f"{CHATS.removeprefix('/v1')}/{quote(name, safe='')}"
    try:
        async with gate:
            with await target.send(path, (), b"", method="GET", replica=kept.replica) as reply:
                body = await reply.read()
    except AttemptFailed:
        return None
    if reply.status == HTTPStatus.NOT_FOUND:
        shelf.stored.forget(name)
    return body if reply.status == HTTPStatus.OK and _read(body).id else None


def _read(document: bytes) -> _Completion:
    try:
        return msgspec.json.decode(document, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Completion()


def _wanted(request: Request) -> _Wanted | Refused:
    asked = {name: values[-1] for name, values in parse_qs(request.target.partition("?")[2]).items()}
    limit, order = asked.get("limit", str(USUAL)), asked.get("order", "asc")
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit) <= MOST):
        message = f"`limit` is no number from 1 to {MOST}: {limit[:40]!r}. Send one."
        return Refused(status=400, message=message, code="bad_limit", param="limit")
    if order not in ("asc", "desc"):
        message = f"`order` is neither asc nor desc: {order[:40]!r}. Send one of them."
        return Refused(status=400, message=message, code="bad_order", param="order")
    metadata = {
        name[len(_METADATA) : -1]: value
        for name, value in asked.items()
        if name.startswith(_METADATA) and name.endswith("]")
    }
    return _Wanted(asked.get("after", ""), int(limit), order == "asc", asked.get("model", ""), metadata)
