"""Responses that an upstream makes in the background: metered once, when they are done, whoever asks for them. Acts.

Such a request is answered at once, with a name and without usage (docs/decisions/018). Its call is not written yet: it
waits here, and in a table that outlives this process (`unfinished.py`). The worker that sent it asks the upstream for
it until it is done; a client that reads it before through the same worker is as good as asking. A stream whose client
or connection goes away is one too: the upstream works on, and bills all of it.

What the request has reserved of budgets stays reserved until then. Where this process ends before, the worst case is
charged to the budgets, as for every call of a process that died, and whoever takes the answer over writes its call.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import msgspec

from baseload.clock import Clock
from baseload.gateway.ending import Ending
from baseload.gateway.head import Head, Request
from baseload.gateway.hold import Hold
from baseload.gateway.job import Job
from baseload.gateway.meter import Record, Try
from baseload.gateway.state import GatewayState
from baseload.gateway.stored import Stored
from baseload.gateway.unfinished import Unfinished, UnfinishedTable
from baseload.gateway.upstream import AttemptFailed
from baseload.load.calls import Status
from baseload.load.facts import Operation
from baseload.units import HOURS_PER_DAY, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR
from baseload.wire.answer import Answered
from baseload.wire.asked import Asked
from baseload.wire.responses import read_answer

log = logging.getLogger(__name__)

FIRST_SECONDS, MOST_SECONDS, GROWTH = 1.0, 10.0, 1.5
"""The pause before an upstream is asked for an answer, and how it grows from one time to the next."""
ASK_SECONDS = 30.0
"""How long it may take to say."""
LEASE_SECONDS = 60.0
LOOK_SECONDS = 5.0
"""How often leases are renewed, and those of the dead taken over."""
AT_ONCE = 8
GIVEN_UP_NS = HOURS_PER_DAY * SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
"""An answer that is not done after a day is metered by our estimate."""

_ENDS = {"failed": Status.FAILED, "cancelled": Status.CLIENT_GONE}


class _Waiting:
    """One answer that this process waits for."""

    __slots__ = ("due", "hold", "looking", "pause", "what")

    def __init__(self, what: Unfinished, hold: Hold | None, now: float) -> None:
        self.what = what
        self.hold = hold
        self.pause = FIRST_SECONDS
        self.due = now + FIRST_SECONDS
        self.looking = False


class Background:
    """What this process waits for. `keep` is asked by whoever ends attempts (`Ending.goes_on`)."""

    def __init__(self, state: GatewayState, ending: Ending, clock: Clock, stored: Stored, path: Path) -> None:
        self._state = state
        self._ending = ending
        self._clock = clock
        self._stored = stored
        self._table = UnfinishedTable(path, os.urandom(8).hex())
        self._waiting: dict[str, _Waiting] = {}
        self._task: asyncio.Task[None] | None = None
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Look after what is unfinished from now on. Needs a running loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._look_after())

    async def close(self) -> None:
        """Leave what is unfinished to whoever comes next; budgets are charged its worst case."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for each in self._waiting.values():
            if each.hold is not None:
                each.hold.forfeit()
        self._waiting.clear()
        self._table.close()

    def keep(self, job: Job, attempt: Try, name: str | None) -> bool:
        """Take over an attempt whose answer the upstream goes on with; False when nobody could ask for it, or it could
        not be written down. The call is then this one's to write."""
        kept = self._stored.find(name, job.owner) if job.asked.background and name else None
        if kept is None or name is None:
            return False
        what = Unfinished(
            name=name,
            upstream=kept.upstream,
            replica=kept.replica,
            facts=job.facts,
            decision=job.record.decision,
            attempts=tuple(job.record.attempts),
            route=attempt.route,
            number=attempt.number,
            started_ns=attempt.started_ns,
            first_byte_ns=attempt.first_byte_ns,
            http_status=attempt.http_status,
        )
        if not self._table.put(what, LEASE_SECONDS):
            return False
        job.written = True
        self._waiting[name] = _Waiting(what, job.hold, asyncio.get_running_loop().time())
        self._sooner.set()
        return True

    def waits_for(self, name: str) -> bool:
        """Whether an answer is unfinished, as far as this process knows."""
        return name in self._waiting

    def saw(self, name: str, body: bytes) -> None:
        """An upstream said this of an answer; when it is done, write its call down."""
        waiting = self._waiting.get(name)
        found = read_answer(body, keeps=True) if waiting is not None else None
        if waiting is not None and _is_done(body, found):
            self._end(waiting, _state(body), found)

    async def look(self, name: str) -> None:
        """Ask the upstream for an answer, now."""
        waiting = self._waiting.get(name)
        if waiting is not None:
            await self._ask(waiting)

    # Looking after them.

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        renew_at = loop.time()
        while True:
            try:
                if loop.time() >= renew_at:
                    renew_at = loop.time() + LOOK_SECONDS
                    self._take_over()
                due = [each for each in self._waiting.values() if each.due <= loop.time() and not each.looking]
                await asyncio.gather(*(self._ask(each) for each in due[:AT_ONCE]))
            except Exception:  # the edge of the task: it must outlive what nobody foresaw
                log.exception("answers in the background could not be looked after")
            first = min((each.due for each in self._waiting.values()), default=renew_at)
            self._sooner.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.01, min(first, renew_at) - loop.time())):
                    await self._sooner.wait()

    def _take_over(self) -> None:
        if self._waiting:
            self._table.renew(LEASE_SECONDS)
        now = asyncio.get_running_loop().time()
        for what in self._table.take_over(LEASE_SECONDS):
            log.warning("response %s of %s is taken over: who waited for it is gone", what.name, what.upstream)
            self._waiting[what.name] = _Waiting(what, None, now)

    async def _ask(self, waiting: _Waiting) -> None:
        """Ask for one answer; write its call when it is done, gone, or given up."""
        what, waiting.looking = waiting.what, True
        try:
            status, body = await self._said(what)
        finally:
            waiting.looking = False
            waiting.due = asyncio.get_running_loop().time() + waiting.pause
            waiting.pause = min(waiting.pause * GROWTH, MOST_SECONDS)
        if what.name not in self._waiting:
            return
        if status == HTTPStatus.OK:
            self.saw(what.name, body)
        if what.name not in self._waiting:
            return
        if status == HTTPStatus.NOT_FOUND:
            self._end(waiting, "gone", None, "the upstream knows it no more")
        elif self._clock.time_ns() - what.started_ns > GIVEN_UP_NS:
            self._end(waiting, "given up", None, "it was not done after a day")

    async def _said(self, what: Unfinished) -> tuple[int | None, bytes]:
        """What the upstream says of an answer; no status when it says nothing."""
        target = self._state.snapshot.targets.get(what.upstream)
        if target is None:
            return None, b""
        path = f"/responses/{quote(what.name, safe='')}"
        try:
            sending = target.send(path, (), b"", method="GET", replica=what.replica, within=ASK_SECONDS)
            with await sending as answer:
                return answer.status, await answer.read()
        except AttemptFailed as failure:
            log.info("%s cannot be asked for %s: %s", what.upstream, what.name, failure.message)
            return None, b""

    def _end(self, waiting: _Waiting, state: str, found: Answered | None, error: str = "") -> None:
        """Meter an answer and write its call down, once: it waits no more, and its row goes when that was done."""
        what, attempt = waiting.what, waiting.what.attempt
        del self._waiting[what.name]
        job = _job(self._state, what, waiting.hold)
        usage, written = (found.usage, found.written_tokens) if found is not None else (None, 0)
        if found is not None:
            attempt.provider_usd, attempt.service_tier = found.provider_usd, found.service_tier
        status = _ENDS.get(state, Status.TIMEOUT if found is None else Status.OK)
        if state == "failed" and usage is None:
            self._ending.failed(job, attempt, "the upstream reported that it failed")
        else:
            self._ending.consumed(job, attempt, status, usage, written, error)
        if self._ending.write(job, status) is not None:
            self._table.drop(what.name)
        else:  # the ledger cannot be written: another time, or somebody else
            self._table.leave(what.name)


class _Response(msgspec.Struct):
    status: str = ""


def _state(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Response).status
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _is_done(body: bytes, found: Answered | None) -> bool:
    return (found is not None and not found.pending) or _state(body) in _ENDS


def _job(state: GatewayState, what: Unfinished, hold: Hold | None) -> Job:
    """The request as far as its end needs it: without its body."""
    facts = what.facts
    asked = Asked(
        body=b"",
        operation=Operation.RESPONSES,
        places={},
        end=0,
        model=facts.model,
        stream=facts.stream,
        usage_asked=True,
        output_cap=facts.output_cap,
        needs=facts.needs,
        input_tokens=facts.input_tokens,
        tags=facts.tags,
    )
    record = Record(facts, what.decision, state.snapshot.offers, attempts=list(what.attempts))
    return Job(Request(Head("POST", "/v1/responses", [])), asked, state.snapshot, record, hold=hold)
