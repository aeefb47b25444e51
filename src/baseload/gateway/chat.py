"""One request, from the client's bytes to the ledger. Read this first. Acts.

`answer` understands and decides, walks the routes until one has served, and says so when none has. `_serve` sends, and
by what comes back relays a stream, a whole answer or a refusal, or leaves it to the next route. Each endpoint is an
`Operation`; a `Passage` (`wire/passages.py`) carries its bytes to an upstream of whatever dialect and the answer back
(`relaying.py`). Whatever happens, each attempt is metered once (`ending.py`), and the call is in the spool before the
client has its last byte. Plain requests take a shorter way to the same end (`express.py`), and come here where that is
not enough (`resume`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from http import HTTPStatus

import msgspec

from baseload.clock import Clock
from baseload.errors import BadInput, LedgerUnavailable
from baseload.gateway import refusals
from baseload.gateway.asking import facts_of, named_beside, numbered, said, steady, with_wishes
from baseload.gateway.budgets import Budgets
from baseload.gateway.counting import count
from baseload.gateway.ending import Ending, succeeds
from baseload.gateway.head import REQUEST_ID
from baseload.gateway.http import Exchange, Headers, Request
from baseload.gateway.ids import new_id
from baseload.gateway.job import Job
from baseload.gateway.meter import Meter, Record, Try
from baseload.gateway.overspent import cheaper, overspent
from baseload.gateway.refusals import Refused, say
from baseload.gateway.relaying import Back, Relaying
from baseload.gateway.state import GatewayState, Snapshot
from baseload.gateway.stored import Stored
from baseload.gateway.target import Asking, NoRoom
from baseload.gateway.tracing import TRACEPARENT, outgoing
from baseload.gateway.upstream import Answer, AttemptFailed
from baseload.load.calls import Decision, Status
from baseload.load.facts import Facts, Operation
from baseload.policy.decide import State, decide
from baseload.policy.keys import ClientKey, claimed, forbidden, forbidden_beside
from baseload.policy.policy import Route
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.wire import answer as wire
from baseload.wire.asked import Asked
from baseload.wire.body import BadBody
from baseload.wire.passage import Passage
from baseload.wire.passages import passage, reader

# Refusals that are about the moment and not about the request: the next route is tried, and the upstream is not cooled.
_NOT_NOW = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
# Refusals of our key or our account there. The client can do nothing about them, and their texts may quote the key.
_OURS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
)
DRAIN_SECONDS = 120.0
"""How long an answer whose client has gone is read on, where its route says so."""
LARGE_BYTES = 1_000_000
"""Longer requests are read and translated in a thread, so that the others need not wait."""


class Taken(msgspec.Struct, frozen=True):
    """One attempt: how it gets there (`over`, `body`), or that it was sent already (`asking`)."""

    job: Job
    attempt: Try
    over: Passage
    body: bytes = b""
    asking: Asking | None = None


class Chat:
    """Serves requests on the upstreams it is given."""

    def __init__(self, state: GatewayState, meter: Meter, clock: Clock, stored: Stored, budgets: Budgets) -> None:
        self._state = state
        self._budgets = budgets
        self._meter = meter
        self._clock = clock
        self._stored = stored
        self.traces = False  # whether spans are made of calls
        self.ending = Ending(state, meter)
        self._relaying = Relaying(state, meter, self.ending, stored)

    async def answer(
        self, operation: Operation, request: Request, exchange: Exchange, key: ClientKey | None = None
    ) -> None:
        """Serve one request, made with a client's key where one was sent."""
        at_ns = self._clock.time_ns()
        request.name = new_id(at_ns)
        request.id = request.head.id or request.name.encode()
        job = await self._read(operation, request, key, at_ns)
        if not isinstance(job, Refused) and not self._meter.takes_calls():
            job = refusals.not_taken()
        if isinstance(job, Refused):
            await say(job, request, exchange)
            return
        if operation is Operation.COUNT_TOKENS:
            await count(job, exchange)
            return
        await self._to_its_end(job, exchange)

    async def resume(self, taken: Taken, exchange: Exchange) -> None:
        """Go on with a request that was sent already (`express.py`)."""
        await self._to_its_end(taken.job, exchange, taken)

    async def _to_its_end(self, job: Job, exchange: Exchange, taken: Taken | None = None) -> None:
        try:
            await self._walk(job, exchange, taken)
        except LedgerUnavailable:  # before anything of this attempt was sent
            self.ending.unsent(job)
            await say(refusals.not_taken(), job.request, exchange)
        except asyncio.CancelledError:
            self.ending.left(job)
            raise
        except Exception as error:  # the outermost edge of a call: what nobody foresaw must not lose it
            self.ending.salvaged(job, error, exchange)
            raise

    # Understand and decide.

    async def _read(self, operation: Operation, request: Request, key: ClientKey | None, at_ns: int) -> Job | Refused:
        read, large = reader(operation), len(request.body) > LARGE_BYTES
        try:
            asked = await asyncio.to_thread(read, request.body) if large else read(request.body)
            headers = said(request.head)
            asked, snapshot = with_wishes(asked, headers), self._state.snapshot
            facts = facts_of(asked, headers, snapshot.policy, at_ns, snapshot.defaults.get(asked.model))
        except BadBody as error:
            return refusals.bad_body(error)
        if key is not None:
            obstacle = forbidden(key, facts) or (forbidden_beside(key, named_beside(asked)) if key.models else None)
            if obstacle is not None:
                return refusals.forbidden(obstacle)
            facts = claimed(facts, key)
        if facts.model not in snapshot.models:
            return refusals.unknown_model(facts.model, snapshot.policy)
        owner = key.prefix if key is not None else ""
        if asked.follows is None:
            return self._job(request, asked, facts, snapshot, owner)
        kept = self._stored.find(asked.follows, owner)
        if kept is None:
            return refusals.not_kept(asked.follows)
        job = self._job(request, asked, msgspec.structs.replace(facts, keeper=kept.upstream), snapshot, owner)
        if isinstance(job, Job):
            job.replica = kept.replica
        return job

    def _job(self, request: Request, asked: Asked, facts: Facts, snapshot: Snapshot, owner: str) -> Job | Refused:
        """The request with its decision, and with what it may reserve of budgets."""
        sent_cap = asked.output_cap
        if self._budgets.on:
            asked, facts = self._budgets.capped(asked, facts)
        decision = self._decide(request.name, facts, snapshot)
        if not decision.routes and not self._decide(request.name, facts, snapshot, State()).routes:
            return refusals.not_admissible(decision)
        job = Job(request, asked, snapshot, Record(facts, decision, snapshot.offers, asked.body), owner=owner)
        if facts.deadline_seconds is not None:
            job.until = asyncio.get_running_loop().time() + facts.deadline_seconds
        if self._budgets.on:
            self._budgets.open(job, was_capped=asked.output_cap != sent_cap)
        return job

    def _decide(self, name: str, facts: Facts, snapshot: Snapshot, state: State | None = None) -> Decision:
        """Ask the policy. When failing upstreams are all that is left, they are tried rather than nobody."""
        now = state or self._state.observed()
        decision = decide(
            facts,
            snapshot.policy,
            now,
            self._state.estimates(snapshot, facts),
            policy_version=snapshot.version,
            id=name,
            sieve=snapshot.sieve,
        )
        if now.unhealthy and not decision.routes:
            return self._decide(name, facts, snapshot, msgspec.structs.replace(now, unhealthy=frozenset()))
        return decision

    # Try one route after the other.

    async def _walk(self, job: Job, exchange: Exchange, taken: Taken | None) -> None:
        if await self._served(job, exchange, taken=taken):
            return
        if job.hold is not None and job.hold.downgrades is not None:
            for facts in cheaper(job, job.hold):
                if await self._served(job, exchange, self._decide(job.request.name, facts, job.snapshot)):
                    return
        await self._give_up(job, exchange)

    async def _served(
        self, job: Job, exchange: Exchange, instead: Decision | None = None, taken: Taken | None = None
    ) -> bool:
        """Try the routes of the decision one after the other, or those of another one that it has not named yet."""
        choices = job.record.decision.routes if instead is None else job.downgraded(instead)
        for choice in choices:
            if await self._tries(job, job.snapshot.routes[choice.route], exchange, taken):
                return True
            taken = None
            if job.late or (job.hold is not None and job.hold.stopped is not None):
                return False
        return False

    async def _tries(self, job: Job, route: Route, exchange: Exchange, taken: Taken | None) -> bool:
        """Try a route, and again as its upstream's `retries` say; False when the next one should be tried. The first
        try may have been `taken` already."""
        target = job.snapshot.targets[route.upstream]
        tried = 0
        while True:
            job.attempt, job.retry_after = None, b""
            if await (self._try(job, route, exchange) if taken is None else self._attend(job, taken, exchange)):
                return True
            taken = None
            if job.attempt is None:  # nothing was sent: there was no slot, or no way to say it there
                return False
            tried += 1
            pause = target.again(tried, job.record.attempts[-1], job.retry_after, job.left())
            if pause is None:
                return False
            await asyncio.sleep(pause)

    async def _try(self, job: Job, route: Route, exchange: Exchange) -> bool:
        """Serve the request on a route; False when the next one should be tried. Its slot is held meanwhile."""
        large = len(job.request.body) > LARGE_BYTES
        carried = await asyncio.to_thread(self._carried, job, route) if large else self._carried(job, route)
        if carried is None or (job.hold is not None and not await self._budgets.cover(job, route)):
            return False
        if not await self._state.take(job.snapshot, route, job.left()):
            job.found_full(route)
            return False
        attempt = self._meter.begin(job.record, route)
        return await self._attend(job, Taken(job, attempt, *carried), exchange)

    async def _attend(self, job: Job, taken: Taken, exchange: Exchange) -> bool:
        """Make one attempt, or see to one that is under way; False when the next route should be tried. Its slot is
        given back."""
        attempt = job.attempt = taken.attempt
        route, job.relay = attempt.route, None
        began = time.monotonic() if taken.asking is None else taken.asking.at
        try:
            if taken.asking is None:
                self._sending(job, attempt)
            serving = self._serve(taken, exchange)
            return await (_to_its_end(serving) if route.on_client_gone == "drain" else serving)
        except NoRoom:
            job.attempt = None
            job.found_full(route)
            return False
        except (AttemptFailed, BadInput) as failure:
            return self.ending.broken(job, attempt, failure, exchange)
        except asyncio.CancelledError:
            self.ending.abandoned(job, attempt)
            raise
        finally:
            served = bool(job.record.attempts) and job.record.attempts[-1].status is Status.OK
            took = time.monotonic() - began
            self._state.give(job.snapshot, route, took if served else None)

    def _sending(self, job: Job, attempt: Try) -> None:
        """Keep the call as it is to be recorded if we die now. Raises LedgerUnavailable when it cannot be."""
        facts = job.record.facts
        writes = facts.operation is not Operation.EMBEDDINGS
        self._meter.sending(job.record, attempt, self._state.answers.likely(facts) if writes else 0)

    def _carried(self, job: Job, route: Route) -> tuple[Passage, bytes] | None:
        """How the request gets to the upstream of a route, and its bytes there; None, and noted, when it cannot."""
        upstream, refused = job.snapshot.targets[route.upstream].upstream, None
        try:
            over = passage(job.asked, upstream.dialect, upstream.serves, job.facts.at_ns // NANOSECONDS_PER_SECOND)
            if over is not None:
                return over, over.body(route.model)
        except BadBody as error:
            refused = error
        job.unfit.append((route.name, refused))
        return None

    async def _serve(self, taken: Taken, exchange: Exchange) -> bool:
        """Send the request; relay what comes back, or note why it is left to the next route (False)."""
        job, attempt, over = taken.job, taken.attempt, taken.over
        target = job.snapshot.targets[attempt.route.upstream]
        on_again = partial(self._meter.again, job.record, attempt)
        if taken.asking is not None:
            sending = target.follow(taken.asking, on_sent=attempt.on_sent, on_again=on_again)
        else:
            sending = target.send(
                over.path,
                steady(job.request.head, over.headers),
                taken.body,
                more=self._more(job, attempt),
                known=job.request.head.known,
                prompt=target.beginning(job.asked),
                replica=job.replica,
                within=job.left(),
                on_sent=attempt.on_sent,
                on_again=on_again,
            )
        with await sending as answer:
            attempt.http_status, attempt.hidden = answer.status, answer.hidden.decode()
            if not _serves(answer.status):
                await self._leave(job, attempt, answer)
                return False
            await self._relaying.relay(Back(job, attempt, over, answer, exchange))
        return True

    def _more(self, job: Job, attempt: Try) -> Headers:
        """What goes upstream with this attempt alone: where spans are made, what an upstream does is part of its."""
        if not self.traces:
            return numbered(job.request)
        ours = outgoing(job.record.decision.id, job.facts.trace, attempt.number)
        return [(REQUEST_ID, job.request.id), (TRACEPARENT, ours)]

    async def _leave(self, job: Job, attempt: Try, answer: Answer) -> None:
        """Note why the upstream could not serve."""
        self._meter.first_byte(attempt)
        body, _ = await answer.excerpt()
        text = answer.unpacked(body)
        complaint = "it refuses the gateway's own key or account" if answer.status in _OURS else wire.complaint(text)
        job.retry_after = answer.header(b"retry-after")
        if answer.status not in _NOT_NOW:
            self._state.failed(attempt.route.upstream)
        status = Status.TIMEOUT if answer.status == HTTPStatus.REQUEST_TIMEOUT else Status.FAILED
        self._meter.end(job.record, attempt, status, error=f"HTTP {answer.status} {complaint}".strip())

    async def _give_up(self, job: Job, exchange: Exchange) -> None:
        """No route has served: say why, and write that down too."""
        spent = overspent(job, self._clock.time_ns())
        if spent is None and job.unfit and not (job.record.attempts or job.full):
            await say(refusals.not_carried(job), job.request, exchange)
            return
        refused = spent or refusals.all_failed(job)
        slow = refused.status == HTTPStatus.GATEWAY_TIMEOUT
        ended = Status.REFUSED if spent is not None and not job.record.attempts else Status.FAILED
        call = self.ending.write(job, Status.TIMEOUT if slow else ended)
        await say(refused if call is not None else refusals.not_written(), job.request, exchange)


async def _to_its_end(serving: Coroutine[None, None, bool]) -> bool:
    """Let an attempt outlive its client for a while, so that the upstream can say what it bills."""
    task = asyncio.create_task(serving)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(AttemptFailed, BadInput, TimeoutError):  # what came until then is metered by whoever cancelled
            await asyncio.wait_for(task, DRAIN_SECONDS)
        raise


def _serves(status: int) -> bool:
    """Whether an answer is for the client: a success, or a refusal of this very request.

    >>> [_serves(status) for status in (200, 404, 401, 408, 429, 500, 302)]
    [True, True, False, False, False, False, False]
    """
    if succeeds(status):
        return True
    about_the_request = status not in _NOT_NOW and status not in _OURS
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and about_the_request
