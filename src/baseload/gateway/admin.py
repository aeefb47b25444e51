"""The admin API: keys, reload, the configuration in force; opened by the admin key alone. Acts.

    GET    /admin/keys                 every key, without secrets
    POST   /admin/keys                 make one: {"name": ..., "team": ..., "models": [...], "expires": ...}
    POST   /admin/keys/NAME/rotate     another secret: {"grace_hours": 24}
    DELETE /admin/keys/NAME            revoke one
    GET    /admin/upstreams            upstreams and their replicas, as the worker that answers sees them
    POST   /admin/upstreams/NAME/drain    send a replica nothing new: {"replica": "http://10.0.0.7:8000/v1"}
    POST   /admin/upstreams/NAME/undrain  put it to work again
    POST   /admin/reload               read the configuration again
    GET    /admin/config               what is set, secrets masked
    GET    /admin/budgets[/NAME]       where budgets stand
    PUT    /admin/budgets/NAME         make or change one: {"per": "day", "usd": "10", "match": {"team": "web"}}
    DELETE /admin/budgets/NAME         forget what was set: the configuration's own is in force again
    POST   /admin/budgets/NAME/reset   let it begin anew

The key is `admin_key` of the configuration or a client's key of the scope `admin`, sent as clients send theirs. A no
has a shape of its own: `{"error": {"code", "message", "remedy"}}`.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Annotated, TypeVar
from urllib.parse import unquote

import msgspec

from baseload.errors import BadInput, BaseloadError
from baseload.gateway.draining import Draining
from baseload.gateway.http import JSON, Exchange, Request
from baseload.gateway.keyfile import Minted, mint
from baseload.gateway.keys import KeyRing, is_loopback, tokens
from baseload.policy.keys import ClientKey, Grants, Label, public
from baseload.settings import Settings, masked

log = logging.getLogger(__name__)

ADMIN = "/admin"
Reload = Callable[[], Awaitable[object]]
Hours = Annotated[float, msgspec.Meta(ge=0, le=24 * 365)]
_BASIC = b"basic "
_NO_STORE = (b"cache-control", b"no-store")
_Document = TypeVar("_Document", bound=msgspec.Struct)


class Wanted(Grants, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that asks for a key, which has a name."""

    name: Annotated[Label, msgspec.Meta(min_length=1)]


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that names a server of a pool."""

    replica: str


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that asks for another secret."""

    grace_hours: Hours = 24.0


class _No(Exception):
    """A request that is refused."""

    def __init__(self, status: int, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, "remedy": remedy}


class Admin:
    """Answers what stands below /admin. `reload` is set by whoever can read the configuration again."""

    def __init__(self, settings: Settings, ring: KeyRing, draining: Draining, reload: Reload | None = None) -> None:
        self.settings = settings
        self.reload = reload
        self._draining = draining
        self._ring = ring

    async def answer(self, request: Request, exchange: Exchange) -> None:
        """Serve one request."""
        try:
            self._admit(request)
            status, found = await self._serve(request)
        except _No as no:
            status, found = no.status, {"error": no.error}
        except BaseloadError as error:
            status = 400 if isinstance(error, BadInput) else 500
            said = {"code": "refused", "message": error.message, "remedy": error.remedy}
            found = {"error": said}
        body = msgspec.json.encode(found, order="deterministic")
        await exchange.respond(status, [JSON, _NO_STORE], body)

    def administers(self, token: bytes) -> bool:
        """Whether a key opens the admin API. Always the same work, whatever it is compared with."""
        expected = sha256(self.settings.admin_key.encode()).digest()
        same = compare_digest(sha256(token).digest(), expected)
        return self._ring.administers(token) or (same and bool(self.settings.admin_key))

    def may_look(self, request: Request) -> bool:
        """Whether the console may be shown: to anybody where only this machine can ask or everybody is let in, else to
        whoever has an admin key, which a browser asks for and sends as a password."""
        if self.settings.open or is_loopback(self.settings.address[0]):
            return True
        return any(self.administers(token) for token in (*tokens(request), *_password(request)))

    def _admit(self, request: Request) -> None:
        found = tokens(request)
        if any(self.administers(token) for token in found):
            return
        if found:
            remedy = "Send `admin_key` of the configuration, or a key made with --scope admin."
            raise _No(403 if self._known(found) else 401, "not_admin", "This key opens no administration", remedy)
        remedy = "Send it as `Authorization: Bearer ...` or `x-api-key`."
        if not self.settings.admin_key:
            remedy = "Set admin_key (or BASELOAD_ADMIN_KEY), or make a key with --scope admin, and send it as a bearer."
        raise _No(401, "no_admin_key", "Administration needs a key", remedy)

    def _known(self, found: list[bytes]) -> bool:
        return any(isinstance(self._ring.find(token), ClientKey) for token in found)

    async def _serve(self, request: Request) -> tuple[int, object]:
        match request.method, [unquote(part) for part in request.path.removeprefix(ADMIN).strip("/").split("/")]:
            case "GET", ["keys"]:
                return 200, self._listed()
            case "POST", ["keys"]:
                return 201, self._shown(await self._create(_body(request, Wanted)))
            case "POST", ["keys", name, "rotate"]:
                return 200, self._shown(await self._rotate(name, _body(request, Rotation)))
            case "DELETE", ["keys", name]:
                return 200, {"schema": "baseload.key/1", "key": await self._revoke(name)}
            case method, ["budgets", *rest] if len(rest) <= 2:
                return 200, await self._budgets(method, rest, request)
            case "GET", ["upstreams"]:
                return 200, self._upstreams()
            case "POST", ["upstreams", name, ("drain" | "undrain") as what]:
                await asyncio.to_thread(self._draining.set, name, _body(request, Server).replica, on=what == "drain")
                return 200, self._upstreams()
            case "POST", ["reload"]:
                return 200, await self._reloaded()
            case "GET", ["config"]:
                return 200, {"schema": "baseload.config/1", "config": masked(self.settings)}
        remedy = "Use /admin/keys, /admin/budgets, /admin/upstreams, POST /admin/reload or GET /admin/config."
        raise _No(404, "unknown_path", f"{request.method} {request.path} is not possible", remedy)

    async def _budgets(self, method: str, rest: list[str], request: Request) -> object:
        from baseload.gateway.budget_book import BudgetBook  # a gateway without budgets needs no database

        settings, now = self.settings, self.settings.clock.time_ns()
        book = BudgetBook(settings.directory, settings.store, settings.budgets)
        match method, rest:
            case "GET", [*names] if len(names) <= 1:
                found = await asyncio.to_thread(book.statuses, now, *names)
                shown = [each.shown(now) for each in found]
                if names:
                    values = {"values": shown} if found[0].budget.each else {}
                    return {"schema": "baseload.budget/1", "budget": shown[0], **values}
                return {"schema": "baseload.budget.list/1", "budgets": shown}
            case "PUT", [name]:
                await asyncio.to_thread(book.set, name, _fields(request))
            case "DELETE", [name]:
                configured = await asyncio.to_thread(book.remove, name)
                return {"schema": "baseload.budget/1", "budget": None, "configured": configured}
            case "POST", [name, "reset"]:
                await asyncio.to_thread(book.reset, name, now)
            case _:
                remedy = "Use GET /admin/budgets, PUT or DELETE /admin/budgets/NAME, POST /admin/budgets/NAME/reset."
                raise _No(404, "unknown_path", f"{method} {request.path} is not possible", remedy)
        log.info("budget %s was changed: %s", rest[0], method)
        status, *_ = await asyncio.to_thread(book.statuses, now, rest[0])
        return {"schema": "baseload.budget/1", "budget": status.shown(now)}

    def _upstreams(self) -> Mapping[str, object]:
        now = self.settings.clock.time_ns()
        return {"schema": "baseload.upstream.list/1", "upstreams": self._draining.shown(now)}

    def _listed(self) -> Mapping[str, object]:
        now = datetime.now(UTC)
        return {"schema": "baseload.key.list/1", "keys": [public(key, now) for key in self._ring.keys]}

    async def _create(self, wanted: Wanted) -> Minted:
        at = datetime.now(UTC)
        template = msgspec.structs.replace(mint(at=at).key, **msgspec.structs.asdict(wanted))
        beside = self._ring.configured
        made = await asyncio.to_thread(self._ring.file.create, template, at=at, beside=beside)
        return self._noted("made", made)

    async def _rotate(self, name: str, wanted: Rotation) -> Minted:
        self._check_stored(name)
        grace = timedelta(hours=wanted.grace_hours)
        made = await asyncio.to_thread(self._ring.file.rotate, name, at=datetime.now(UTC), grace=grace)
        return self._noted("rotated", made)

    async def _revoke(self, name: str) -> Mapping[str, object]:
        self._check_stored(name)
        key = await asyncio.to_thread(self._ring.file.revoke, name)
        self._ring.reload()
        log.info("key %s was revoked", key.title)
        return public(key, datetime.now(UTC))

    async def _reloaded(self) -> object:
        self._ring.reload()
        if self.reload is None:
            return {"schema": "baseload.reload/1", "keys": len(self._ring.keys)}
        return await self.reload()

    def _check_stored(self, name: str) -> None:
        if any(name in (key.title, key.prefix) for key in self._ring.configured):
            remedy = "Change it there, and reload."
            raise _No(409, "configured", f"The key {name!r} stands in the configuration", remedy)

    def _noted(self, what: str, made: Minted) -> Minted:
        self._ring.reload()
        log.info("key %s was %s", made.key.title, what)
        return made

    def _shown(self, made: Minted) -> Mapping[str, object]:
        return {"schema": "baseload.key/1", "key": public(made.key, datetime.now(UTC)), "token": made.token}


def _password(request: Request) -> Iterator[bytes]:
    """The password of `Authorization: Basic`; the user's name is of no interest."""
    for name, value in request.headers:
        if name == b"authorization" and value[: len(_BASIC)].lower() == _BASIC:
            with suppress(ValueError):
                yield b64decode(value[len(_BASIC) :].strip(), validate=True).partition(b":")[2]


def _fields(request: Request) -> dict[str, object]:
    """The body of a request as an object of any fields. Raises _No."""
    try:
        return msgspec.json.decode(request.body or b"{}", type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _No(400, "bad_body", f"The body cannot be understood: {error}", "Send one JSON object.") from error


def _body(request: Request, kind: type[_Document]) -> _Document:
    """The body of a request, an empty one as `{}`. Raises _No naming the field at fault."""
    try:
        return msgspec.json.decode(request.body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fields = ", ".join(kind.__struct_fields__)
        remedy = f"Send one JSON object of {fields}."
        raise _No(400, "bad_body", f"The body cannot be understood: {error}", remedy) from error
