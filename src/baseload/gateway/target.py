"""One upstream as a request sees it: its servers, its keys, its headers, its health. Acts (sockets, timers).

`send` picks a key and a replica, sends, and draws from what comes back what the next request should know: a key that
was refused rests, one that was told to slow down rests as long as it was told, a replica that broke is left out. It
answers the request like a `Client`; whether to try again, and where, is its caller's to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from baseload.clock import Clock
from baseload.gateway import engine_metrics
from baseload.gateway.breaker import Breaker
from baseload.gateway.connection import Connection
from baseload.gateway.credentials import REFUSED_SECONDS, Credential, Credentials
from baseload.gateway.engine_metrics import EngineLoad
from baseload.gateway.pool import Replica, beginning, choose, room
from baseload.gateway.request import Headers
from baseload.gateway.retries import pause, seconds_of
from baseload.gateway.slots import Slots
from baseload.gateway.upstream import Answer, AttemptFailed, Client, DeadlinePassed, written
from baseload.load.calls import Attempt
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.upstreams import Timeouts, Upstream
from baseload.wire.asked import Asked

log = logging.getLogger(__name__)

MOST_REST_SECONDS = 600.0
"""The longest that a `retry-after` is believed: after that the upstream is asked again all the same."""
MOST_OPENINGS = 64
"""Upstreams, keys and paths for which the beginning of one client's requests is remembered."""
PROBE_SECONDS = 2.0
"""How long a health check or a page of metrics may take."""

# A key that is unknown or whose account is empty. 403 is not here: some say it of a prompt that they object to,
# and then one client could rest a key for all.
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED)
_OF_A_KEY = (*_REFUSED, HTTPStatus.TOO_MANY_REQUESTS)
_REFUSALS = int(HTTPStatus.BAD_REQUEST)

_NONE: frozenset[str] = frozenset()


class Asking(msgspec.Struct):
    """A request that was sent on a kept connection: to which server, with which key, as which bytes and when
    (`time.monotonic`)."""

    connection: Connection
    server: Replica
    credential: Credential
    client: Client
    message: bytes = b""
    at: float = 0.0


class NoRoom(AttemptFailed):
    """Every replica has all the requests that it may have: nothing was sent."""


class Target:
    """Requests to one upstream, from one event loop."""

    def __init__(self, upstream: Upstream, clock: Clock, slots: Slots) -> None:
        self.upstream = upstream
        self.breaker = Breaker(upstream.circuit)
        self.replicas = [Replica(url) for url in upstream.urls]
        self.engines: dict[str, EngineLoad] = {}  # what each replica said of itself last
        self.troubled = False  # something was found since all was well: `shuts_out` is worth asking
        self._clock = clock
        self._slots = slots
        self._counts = len(upstream.urls) > 1 or upstream.pool.replica_slots is not None  # what each replica has to do
        self._clients = {url: Client(url, upstream.timeouts, ca_file=upstream.ca_file) for url in upstream.urls}
        self._credentials = Credentials(upstream)
        self._fixed = _fixed_headers(upstream)
        self._named = frozenset(name.lower().encode() for name in upstream.headers)  # what a client cannot say
        self._under_way = 0  # requests and answers, by this process
        self._idle: asyncio.Event | None = None  # while somebody waits for the last of them
        self._watch: list[asyncio.Task[None]] = []
        self._probes: dict[str, Client] = {}

    async def send(
        self,
        path: str,
        headers: Headers,
        body: bytes,
        *,
        method: str = "POST",
        more: Headers = (),
        known: dict[str, Any] | None = None,
        prompt: bytes = b"",
        replica: str = "",
        within: float | None = None,
        on_sent: Callable[[], None] = lambda: None,
        on_again: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send a request and wait for the head of its answer, `within` so many seconds when that is less than the
        upstream's own timeouts. `more` are headers of this request alone; the others are the same for all requests of
        which `known` is the same. `prompt` is how its prompt begins; `replica` the only server that will do, by its
        base URL, where that keeps what is asked for. Raises AttemptFailed."""
        now = self._clock.time_ns()
        server = self._take(prompt, now, replica)
        self._under_way += 1
        credential = self._credentials.pick(now)
        client = self._clients[server.url]
        try:
            if known is None:
                every = self._headers(credential, [*headers, *more])
                sending = client.send(method, path, every, body, within=within, on_sent=on_sent, on_again=on_again)
            else:
                message = self._written(client, credential, path, headers, body, more, known)
                sending = client.send_message(message, within=within, on_sent=on_sent, on_again=on_again)
        except BaseException:
            self._give(server)
            raise
        return await self._answer(sending, server, credential)

    def kept(self, asked: Asked) -> Asking | None:
        """A connection that is open for a request, with the place at its server; None where none is. It goes on with
        `ask`, or ends with `unused`. Raises NoRoom."""
        now = self._clock.time_ns()
        server = self._take(self.beginning(asked) if len(self.replicas) > 1 else b"", now)
        client = self._clients[server.url]
        connection = client.take()
        self._under_way += 1
        if connection is None:
            self._give(server)
            return None
        return Asking(connection, server, self._credentials.only or self._credentials.pick(now), client)

    def unused(self, asking: Asking) -> None:
        """Nothing was asked, or not all of it."""
        asking.connection.listener = None
        if asking.message:
            asking.connection.abort()
        else:
            asking.client.keep(asking.connection)
        self._give(asking.server)

    def ask(
        self, asking: Asking, path: str, headers: Headers, body: bytes, more: Headers, known: dict[str, Any]
    ) -> None:
        """`send` without waiting for anything. Its answer is for `follow`, or for whoever calls `done` after it."""
        openings: dict[object, bytes] | None = known.get("openings")
        opening = openings.get((asking.client, asking.credential, path)) if openings is not None else None
        if opening is None or self._named:
            asking.message = self._written(asking.client, asking.credential, path, headers, body, more, known)
        else:
            asking.message = written(opening, body, more)
        asking.at = time.monotonic()
        asking.connection.ask(asking.message)

    async def follow(self, asking: Asking, *, on_sent: Callable[[], None], on_again: Callable[[], None]) -> Answer:
        """The answer to what was asked, as `send` gives it. Raises AttemptFailed."""
        follow = asking.client.follow(asking.connection, asking.at, asking.message, False, on_sent, on_again)
        return await self._answer(follow, asking.server, asking.credential)

    def done(self, asking: Asking, *, whole: bool) -> None:
        """The answer to what was asked is read, `whole`, or nobody wants it any more."""
        asking.connection.let_go(whole=whole)
        self._give(asking.server)

    async def _answer(self, sending: Awaitable[Answer], server: Replica, credential: Credential) -> Answer:
        """What comes back to a request on its way, and what it says of the upstream."""
        try:
            answer = await sending
        except BaseException as error:
            self._give(server)
            if isinstance(error, AttemptFailed) and not isinstance(error, DeadlinePassed):
                self._broke(server)
            raise
        answer.on_let_go = partial(self._give, server)
        answer.hidden = credential.secret
        answer.replica = server.url if self.upstream.replicas else ""
        self._learn(server, credential, answer)
        return answer

    def _written(
        self,
        client: Client,
        credential: Credential,
        path: str,
        headers: Headers,
        body: bytes,
        more: Headers,
        known: dict[str, Any],
    ) -> bytes:
        """A request as bytes; what begins it was written for the one before."""
        return written(self._opening(client, credential, path, headers, known), body, self._theirs(more))

    def _opening(
        self, client: Client, credential: Credential, path: str, headers: Headers, known: dict[str, Any]
    ) -> bytes:
        """How a request begins, as it was written for the one before."""
        openings: dict[object, bytes] = known.setdefault("openings", {})
        found = openings.get(place := (client, credential, path))
        if found is None:
            if len(openings) >= MOST_OPENINGS:
                openings.clear()
            found = openings[place] = client.opening("POST", path, self._headers(credential, headers))
        return found

    def _headers(self, credential: Credential, headers: Headers) -> Headers:
        """What goes upstream: what is configured stands before what the client sent."""
        ours = [*self._fixed, credential.header] if credential.header is not None else self._fixed
        return [*ours, *self._theirs(headers)]

    def _theirs(self, headers: Headers) -> Headers:
        return [field for field in headers if field[0] not in self._named] if self._named else headers

    def _take(self, prompt: bytes, now_ns: int, only: str = "") -> Replica:
        """The replica for a request, with its place taken. Raises NoRoom."""
        if not self._counts:
            self.replicas[0].in_flight += 1
            return self.replicas[0]
        slots, pool = self._slots, self.upstream.pool
        while True:
            for each in self.replicas:
                each.in_flight = slots.busy(self._counter(each))
            able = [each for each in self.replicas if each.url == only] if only else self.replicas
            replica = choose(able, prompt, pool, now_ns)
            if replica is None and not able:
                raise NoRoom(f"{self.upstream.name}: the replica that keeps it, {only}, is no longer one")
            if replica is None:
                raise NoRoom(f"{self.upstream.name}: every replica has {pool.replica_slots} requests in flight")
            if slots.take(self._counter(replica), pool.replica_slots):
                replica.in_flight += 1
                return replica

    def _give(self, replica: Replica) -> None:
        replica.in_flight -= 1
        self._under_way -= 1
        if not self._under_way and self._idle is not None:
            self._idle.set()
        if self._counts:
            self._slots.give(self._counter(replica))

    def _counter(self, replica: Replica) -> str:
        """What a replica's requests are counted under: no upstream has a name with a line break."""
        return f"{self.upstream.name}\n{replica.url}"

    def beginning(self, asked: Asked) -> bytes:
        """How a prompt begins, where that decides which replica it goes to."""
        return beginning(asked, self.upstream.pool.prefix_bytes) if len(self.replicas) > 1 else b""

    def shuts_out(self, now_ns: int) -> bool:
        """Whether requests should go elsewhere: it fails, or refuses every key, or none of its servers can be asked."""
        usable = sum(each.usable(now_ns) for each in self.replicas)
        shut = self.breaker.shuts_out(now_ns) or self._credentials.all_rest(now_ns) or not usable
        self.troubled = shut or self.breaker.opened or usable < len(self.replicas)
        return shut

    def again(self, tried: int, attempt: Attempt, retry_after: bytes, left: float | None) -> float | None:
        """Seconds after which a request is sent here once more, None when it is not. `attempt` was the last of `tried`,
        `left` are the seconds until its deadline. Where it was one key that was refused, another is tried at once."""
        now = self._clock.time_ns()
        if attempt.http_status in _OF_A_KEY and tried < len(self._credentials) and not self._credentials.all_rest(now):
            return 0.0
        asked = seconds_of(retry_after, now / NANOSECONDS_PER_SECOND)
        chance = random.random()  # noqa: S311 (a pause is no secret)
        return pause(self.upstream.retries, tried - 1, attempt, asked, left, chance)

    def failed(self) -> None:
        """An attempt got no answer, a broken one or a 5xx."""
        self.troubled = True
        self.breaker.failed(self._clock.time_ns())

    def answered(self) -> None:
        """An attempt got an answer, if only a refusal."""
        self.breaker.answered(self._clock.time_ns())

    def begins(self) -> None:
        """An attempt starts; it is paired with `ends`."""
        if self.troubled:
            self.breaker.begins(self._clock.time_ns())

    def ends(self) -> None:
        """An attempt is over."""
        self.breaker.ends()

    def room(self) -> int | None:
        """How many requests its replicas take at once; None when nothing limits them."""
        if self.upstream.pool.replica_slots is None:
            return None
        return room(self.replicas, self.upstream.pool, self._clock.time_ns())

    @property
    def waiting(self) -> int:
        """Requests that wait inside its engines, by their own account."""
        return sum(each.waiting for each in self.engines.values())

    @property
    def running(self) -> int:
        """Requests that its engines work on, by their own account."""
        return sum(each.running for each in self.engines.values())

    def resting(self, now_ns: int) -> int:
        """How many of its keys rest after a refusal."""
        return self._credentials.resting(now_ns)

    def drain(self, url: str, *, on: bool = True) -> bool:
        """Send a replica nothing more while what it has comes to its end; False when there is none of that URL."""
        found = [each for each in self.replicas if each.url == url]
        for each in found:
            each.draining = on
        self.troubled = True
        return bool(found)

    def start(self) -> None:
        """Begin to watch the replicas, where that is asked for. Needs a running loop."""
        pool = self.upstream.pool
        if self._watch:
            return
        watched = self.replicas if self.upstream.replicas else []
        if pool.health_seconds:
            self._watch += [asyncio.create_task(self._check_often(each)) for each in watched]
        if pool.metrics_seconds:
            self._watch += [asyncio.create_task(self._read_often(each)) for each in self.replicas]

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Stop watching; close every connection, those of answers under way when the grace is over."""
        for task in self._watch:
            task.cancel()
        self._watch.clear()
        idle = self._idle = asyncio.Event()
        until = asyncio.get_running_loop().time() + grace_seconds
        while self._under_way and asyncio.get_running_loop().time() < until:
            idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(idle.wait(), until - asyncio.get_running_loop().time())
        self.abort()

    def abort(self) -> None:
        """Close every connection now."""
        for task in self._watch:
            task.cancel()
        self._watch.clear()
        for client in (*self._clients.values(), *self._probes.values()):
            client.close()

    def _learn(self, replica: Replica, credential: Credential, answer: Answer) -> None:
        """What the head of an answer says of its key and its replica."""
        if answer.status < _REFUSALS:
            return
        now, self.troubled = self._clock.time_ns(), True
        others = len(self._credentials) > 1
        if answer.status in _REFUSED and others:  # whether the only key is tried again is the breaker's to say
            credential.rest(REFUSED_SECONDS, now)
            log.warning("%s refuses one of its keys: HTTP %d", self.upstream.name, answer.status)
        elif answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            asked = seconds_of(answer.header(b"retry-after"), now / NANOSECONDS_PER_SECOND)
            seconds = asked if asked is not None else float(others)
            credential.rest(min(seconds, MOST_REST_SECONDS), now)
        elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._broke(replica)

    def _broke(self, replica: Replica) -> None:
        """Ask the other replicas for a while. Whether the only one is asked is the breaker's to say."""
        if len(self.replicas) > 1:
            self.troubled = True
            replica.leave_out(self.upstream.circuit.open_seconds, self._clock.time_ns())

    # Watching replicas.

    async def _check_often(self, replica: Replica) -> None:
        pool, path = self.upstream.pool, self.upstream.pool.health_path
        while True:
            status = await self._probe_status(replica, path)
            if status == HTTPStatus.NOT_FOUND:
                status = await self._probe_status(replica, f"{urlsplit(replica.url).path.rstrip('/')}/models")
            healthy = status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR
            if healthy != replica.seen_healthy:
                log.warning(
                    "replica %s of %s is %s", replica.url, self.upstream.name, "back" if healthy else "left out"
                )
            replica.found(healthy)
            self.troubled = True
            await asyncio.sleep(pool.health_seconds)

    async def _read_often(self, replica: Replica) -> None:
        while True:
            found = None
            try:
                with await self._probe(replica, "/metrics") as answer:
                    if answer.status == HTTPStatus.OK:
                        found = engine_metrics.read(await answer.read())
            except AttemptFailed:
                found = None
            if found is None:
                self.engines.pop(replica.url, None)
            else:
                self.engines[replica.url] = found
            replica.reported = found.running + found.waiting if found is not None else 0
            await asyncio.sleep(self.upstream.pool.metrics_seconds)

    async def _probe_status(self, replica: Replica, path: str) -> int | None:
        try:
            with await self._probe(replica, path) as answer:
                return answer.status
        except AttemptFailed:
            return None

    async def _probe(self, replica: Replica, path: str) -> Answer:
        """Ask a replica something small, on a connection of its own."""
        client = self._probes.get(replica.url)
        if client is None:
            root = urlsplit(replica.url)._replace(path="", query="", fragment="").geturl()
            quick = Timeouts(connect=PROBE_SECONDS, first_byte=PROBE_SECONDS, idle=PROBE_SECONDS)
            client = self._probes[replica.url] = Client(root, quick, ca_file=self.upstream.ca_file)
        headers = self._credentials.headers()[:1]
        return await client.send("GET", path, headers)


class Targets:
    """Every upstream by name. `swap` puts another configuration in force; requests under way keep what they have."""

    def __init__(self, upstreams: Mapping[str, Upstream], clock: Clock, slots: Slots | None = None) -> None:
        self.slots = slots or Slots()
        self._clock = clock
        self._all = {name: Target(each, clock, self.slots) for name, each in upstreams.items()}
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def by_name(self) -> Mapping[str, Target]:
        """Those in force. A request keeps the ones that it found; the next may find others."""
        return self._all

    def unhealthy(self, now_ns: int) -> frozenset[str]:
        """The upstreams that requests should pass by at this moment."""
        for each in self._all.values():
            if each.troubled:
                return frozenset(name for name, one in self._all.items() if one.troubled and one.shuts_out(now_ns))
        return _NONE

    def start(self) -> None:
        """Begin to watch replicas. Needs a running loop."""
        for each in self._all.values():
            each.start()

    def swap(self, upstreams: Mapping[str, Upstream], grace_seconds: float) -> None:
        """Take over other upstreams. One that did not change keeps its connections and what it knows; one that goes
        closes when its last answer has ended, or when the grace is over. Raises BadConfig and changes nothing."""
        made = {
            name: self._all[name]
            if name in self._all and self._all[name].upstream == each
            else Target(each, self._clock, self.slots)
            for name, each in upstreams.items()
        }
        gone = [each for name, each in self._all.items() if made.get(name) is not each]
        self._all = made
        self.start()
        for each in gone:
            task = asyncio.create_task(each.close(grace_seconds))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def close(self) -> None:
        """Close every connection, busy or not."""
        for task in self._leaving:
            task.cancel()
        for each in self._all.values():
            each.abort()


def _fixed_headers(upstream: Upstream) -> list[tuple[bytes, bytes]]:
    """What every request carries. The answer must come uncompressed: its usage is read in passing."""
    headers = [(b"content-type", b"application/json"), (b"accept-encoding", b"identity")]
    given = [(name.lower().encode(), value.encode()) for name, value in upstream.headers.items()]
    return [field for field in headers if field[0] not in dict(given)] + given
