"""The gateway: one address for the data plane (/v1, /healthz) and, behind it, the control plane. Acts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from baseload.catalog.entries import Offer
from baseload.clock import Clock, now
from baseload.errors import BadConfig
from baseload.gateway import models
from baseload.gateway.admin import ADMIN, Admin
from baseload.gateway.background import Background
from baseload.gateway.budgets import Budgets
from baseload.gateway.chat import Chat
from baseload.gateway.control import ControlPlane
from baseload.gateway.door import Door
from baseload.gateway.draining import Draining
from baseload.gateway.endpoints import CONVERSATIONS, ENDPOINTS, MODELS, dialect_of
from baseload.gateway.express import Express
from baseload.gateway.flight import Ground
from baseload.gateway.following import Following
from baseload.gateway.health import PATHS, WorkerState, of_one
from baseload.gateway.http import JSON, Exchange, Handler, Request, Server, serve
from baseload.gateway.keys import KeyRing, Unknown, check_open
from baseload.gateway.loaded import Loaded
from baseload.gateway.meter import Meter, Spool
from baseload.gateway.port import taken
from baseload.gateway.refusals import Refused, not_known, not_shown, say, unknown_model, unknown_path, wrong_method
from baseload.gateway.slots import Slots
from baseload.gateway.state import GatewayState
from baseload.gateway.stored import STORED, Stored
from baseload.gateway.target import Targets
from baseload.gateway.unfinished import UNFINISHED
from baseload.policy.keys import ClientKey, check_keys
from baseload.policy.policy import Policy
from baseload.settings import Settings

DRAIN_SECONDS = 30.0
"""How long answers in the making may take when the gateway stops."""

_READ = ("GET", "HEAD")


class Gateway:
    """Composes the parts. `operations` answers /healthz, /readyz and /metrics; left out, the gateway itself does.
    `slots` are those that other processes on the port count in, too. `holder` is the owner of the spool, under
    whose name budgets are borrowed."""

    def __init__(
        self,
        settings: Settings,
        offers: Mapping[str, Offer],
        clock: Clock,
        spool: Spool,
        *,
        operations: Handler | None = None,
        slots: Slots | None = None,
        holder: str = "",
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._operations = operations or of_one(self.state, Loaded(settings=settings, offers=dict(offers)))
        targets = Targets({upstream.name: upstream for upstream in settings.upstreams}, clock, slots)
        self._state = GatewayState(settings.policy, offers, clock, targets)
        self.meter = Meter(spool, clock)
        self._stored = Stored(settings.directory / STORED)
        self._budgets = Budgets(settings, clock, holder)
        self._chat = Chat(self._state, self.meter, clock, self._stored, self._budgets)
        self._chat.traces = settings.otel is not None
        unfinished = settings.directory / UNFINISHED
        self.background = Background(self._state, self._chat.ending, clock, self._stored, unfinished)
        self._chat.ending.goes_on = self.background.keep
        self._following = Following(self._state, self._stored, self.background)
        self.keys = KeyRing(settings)
        self._draining = Draining(settings.directory, targets)
        self.admin = Admin(settings, self.keys, self._draining)
        self._door = Door(settings)
        ground = Ground(self._chat, self._state, self.meter, self._budgets, clock)
        self.express = Express(ground, self.keys, self._door)
        self._control: ControlPlane | None = None
        self._server: Server | None = None

    async def start(self, *, share: bool = False) -> tuple[str, int]:
        """Listen, with `share` beside other processes; returns the host and port that were bound. Raises AddressTaken,
        and BadConfig where everybody on a network would be let in."""
        host, port = self._settings.address
        check_open(self._settings, self.keys)
        try:
            limits, express = self._settings.limits, self.express.take
            self._server = await serve(self.answer, host, port, limits, share=share, express=express)
        except OSError as error:
            raise taken(host, port, error) from error
        self._state.targets.start()
        self._draining.start()
        self._budgets.start()
        self.background.start()
        return self._server.address

    @property
    def policy(self) -> str:
        """The version of the policy in force."""
        return self._state.snapshot.version

    def swap(self, policy: Policy, offers: Mapping[str, Offer] | None = None) -> str:
        """Put another policy in force; requests under way keep theirs. Raises BadConfig and keeps the old one when it
        names an upstream that is not configured."""
        known = {upstream.name for upstream in self._settings.upstreams}
        for route in policy.routes:
            if route.upstream not in known:
                raise BadConfig(
                    f"route {route.name} goes to upstream {route.upstream!r}, which is not defined",
                    remedy=f"Use one of {', '.join(sorted(known))}.",
                )
        return self._state.swap(policy, offers)

    def check(self, loaded: Loaded) -> None:
        """Raise BadConfig where a configuration could not be put in force."""
        settings = loaded.settings
        Targets({upstream.name: upstream for upstream in settings.upstreams}, self._clock).close()
        keys = (*settings.keys, *self.keys.file.read())
        check_keys(keys)
        if not keys:
            check_open(settings, self.keys)

    def take(self, loaded: Loaded) -> None:
        """Put another configuration in force; requests under way keep what they have. Raises BadConfig."""
        settings = loaded.settings
        self.keys.reload(settings)
        upstreams = {upstream.name: upstream for upstream in settings.upstreams}
        self._state.targets.swap(upstreams, settings.stop.drain_seconds)
        self._state.swap(settings.policy, loaded.offers)
        self._budgets.take(settings)
        self.admin.settings = self._settings = settings
        self._door = self.express.door = Door(settings)
        if self._server is not None:
            self._server.limits = settings.limits
            self._server.room.limit = settings.limits.bodies_bytes

    def state(self) -> WorkerState:
        """How this process is, and what it has done; what could not be written down is tried again first."""
        self.meter.catch_up()
        snapshot, meter = self._state.snapshot, self.meter
        left_out = self._state.targets.unhealthy(self._clock.time_ns())
        return WorkerState(
            policy=snapshot.version,
            writable=meter.writable,
            usable=not snapshot.routes or any(route.upstream not in left_out for route in snapshot.policy.routes),
            in_flight={name: self._state.slots.own(name) for name in snapshot.targets},
            left_out=tuple(sorted(left_out)),
            calls_written=meter.written,
            calls_unwritten=meter.unwritten,
            unpriced=meter.unpriced,
            unfinished=len(self.background),
        )

    def show_console(self, socket: Path) -> None:
        """Forward what is not the data plane's to the console that listens on a unix socket."""
        if self._control is not None:
            self._control.close()
        self._control = ControlPlane(socket)

    async def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Take no more requests, let those under way end, close every connection."""
        if self._server is not None:
            await self._server.drain(drain_seconds)
        await self.background.close()
        self.meter.close()
        await self._budgets.close()
        self._draining.stop()
        self._state.targets.close()
        self._stored.close()
        if self._control is not None:
            self._control.close()

    async def answer(self, request: Request, exchange: Exchange) -> None:
        """Send a request to the part that serves its path."""
        path = request.head.path
        obstacle = self._door.obstacle(request)
        if obstacle is not None:
            await say(obstacle, request, exchange)
            return
        operation = ENDPOINTS.get(path)
        ours = operation is not None or path == "/v1" or path.startswith("/v1/")
        key = self.keys.caller(request) if ours else None
        if isinstance(key, Unknown):
            await say(not_known(key.message), request, exchange)
            return
        if operation is not None and request.head.method == "POST":
            await self._chat.answer(operation, request, exchange, key)
        elif self._following.covers(request):
            await self._following.answer(request, exchange, key)
        elif operation is not None:
            await say(wrong_method(request.method, path, "POST"), request, exchange)
        elif path == MODELS or path.startswith(MODELS + "/"):
            await self._only_read(request, exchange, partial(self._models, key))
        elif path in PATHS:
            await self._only_read(request, exchange, self._operations)
        elif ours:
            await say(unknown_path(path, (MODELS, *ENDPOINTS, CONVERSATIONS)), request, exchange)
        elif path == ADMIN or path.startswith(ADMIN + "/"):
            await self.admin.answer(request, exchange)
        else:
            await self._show(request, exchange)

    async def _show(self, request: Request, exchange: Exchange) -> None:
        """What is not the data plane's: the console, where there is one and this client may see it."""
        if self._control is None:
            message = f"{request.path} is not served here: the console is off. Start it by leaving out --no-console."
            await say(Refused(status=404, message=message, code="unknown_path"), request, exchange)
        elif not self.admin.may_look(request):
            await say(not_shown(), request, exchange)
        else:
            await self._control.forward(request, exchange)

    async def _only_read(self, request: Request, exchange: Exchange, show: Handler) -> None:
        if request.method in _READ:
            await show(request, exchange)
        else:
            await say(wrong_method(request.method, request.path, ", ".join(_READ)), request, exchange)

    async def _models(self, key: ClientKey | None, request: Request, exchange: Exchange) -> None:
        found = models.models(self._state.snapshot, now(self._clock))
        if key is not None:
            found = tuple(each for each in found if key.may_name(each.id))
        dialect = dialect_of(request.path, request.headers)
        if request.path == MODELS:
            await exchange.respond(200, [JSON], models.listed(found, dialect))
            return
        name = unquote(request.path[len(MODELS) + 1 :])
        model = next((each for each in found if each.id == name), None)
        if model is not None:
            await exchange.respond(200, [JSON], models.shown(model, dialect))
            return
        await say(unknown_model(name, self._state.snapshot.policy), request, exchange)
