"""How an answer gets back to the client: whole, as a stream, or as a refusal, in the client's own dialect. Acts.

Each answer is metered, and its call written down, before the client has its last byte. Where client and upstream speak
the same dialect the bytes are the upstream's own.
"""

from __future__ import annotations

import logging
from functools import partial

import msgspec

from baseload.gateway import answers, refusals
from baseload.gateway.encoding import is_plain, plain
from baseload.gateway.ending import Ending, NoAnswer, succeeds
from baseload.gateway.flow import Flow
from baseload.gateway.http import Exchange
from baseload.gateway.job import Job
from baseload.gateway.meter import Meter, Try
from baseload.gateway.refusals import say
from baseload.gateway.state import GatewayState
from baseload.gateway.stored import Kind, Stored
from baseload.gateway.upstream import Answer, AttemptFailed
from baseload.load.calls import Status
from baseload.load.facts import Operation
from baseload.wire import answer as wire
from baseload.wire.answer import Answered
from baseload.wire.billed import billed
from baseload.wire.costed import LastCount, events_with_cost, with_cost
from baseload.wire.passage import Passage

log = logging.getLogger(__name__)


class Back(msgspec.Struct, frozen=True):
    """One answer on its way back."""

    job: Job
    attempt: Try
    over: Passage
    answer: Answer
    exchange: Exchange


class Relaying:
    """Brings answers back."""

    def __init__(self, state: GatewayState, meter: Meter, ending: Ending, stored: Stored) -> None:
        self._state = state
        self._meter = meter
        self._ending = ending
        self._stored = stored

    async def relay(self, back: Back) -> None:
        """Bring back what an upstream answered. Raises AttemptFailed when that breaks or is no answer."""
        if not succeeds(back.answer.status):
            await self._refusal(back)
        elif _is_stream(back):
            await self._stream(back)
        else:
            await self._whole(back)

    async def _whole(self, back: Back) -> None:
        """A JSON answer: read it whole, meter it, write it down, send it."""
        self._meter.first_byte(back.attempt)
        body = await back.answer.read()
        text, found = _read_whole(back.over, back.answer, body)
        self._state.answered(back.attempt.route.upstream)
        self._remember(back, found.made)
        if found.pending and self._ending.hands_over(back.job, back.attempt, found.made):
            await back.exchange.respond(back.answer.status, _ours(back), body)
            return
        status = _ok(back.exchange)
        back.attempt.provider_usd, back.attempt.service_tier = found.provider_usd, found.service_tier
        self._ending.consumed(back.job, back.attempt, status, found.usage, found.written_tokens)
        said = back.over.whole(text)
        await self._deliver(back, status, body, None if said is text else said)

    async def _refusal(self, back: Back) -> None:
        """A refusal of this very request is the client's."""
        answer = back.answer
        self._meter.first_byte(back.attempt)
        body, whole = await answer.excerpt()
        if not whole:
            raise AttemptFailed(f"the body of its HTTP {answer.status} was too long, too slow or broken", began=True)
        self._state.answered(back.attempt.route.upstream)
        text = answer.unpacked(body)
        self._meter.end(back.job.record, back.attempt, Status.REFUSED, error=wire.complaint(text))
        said = back.over.refusal(answer.status, text)
        await self._deliver(back, Status.REFUSED, body, None if said is body else said)

    async def _deliver(self, back: Back, status: Status, body: bytes, said: bytes | None) -> None:
        """Write the call down, then send the whole answer: what was `said` anew, else the upstream's own `body`."""
        call = self._ending.write(back.job, status)
        if call is None:
            await say(refusals.not_written(), back.job.request, back.exchange)
            return
        if back.job.asked.cost_asked and status is not Status.REFUSED:
            text = plain(body, back.answer.header(b"content-encoding")) if said is None else said
            said = with_cost(text or b"", answers.cost_usd(call))
        ours = [*_ours(back, new=said is not None), answers.cost(call)]
        await back.exchange.respond(back.answer.status, ours, body if said is None else said)

    async def _stream(self, back: Back) -> None:
        """A stream: relay each event as it comes, once the model has begun; write the call down before the last one."""
        job, answer, exchange = back.job, back.answer, back.exchange
        _check_plain(answer)
        relay = job.relay = back.over.stream()
        count = LastCount() if job.asked.cost_asked else None
        flow = Flow(relay, exchange, count, partial(self._remember, back))
        data = await answer.next()
        self._meter.first_byte(back.attempt)  # not the head: that may come long before the model has begun
        ended = not data
        if data:
            flow.take(data)
        while not (ended or relay.done):
            if flow.opens and not exchange.started:
                await _start(back, flow.opening())
            await exchange.room()
            ended = await answer.pump(flow.take)
        if answer.until_close and not relay.done:
            raise AttemptFailed("the connection closed before the stream was done", began=True)
        tail = flow.rest() + relay.finish()
        if not relay.began and not exchange.started:
            raise NoAnswer(f"the stream ended before the model began {relay.complaint}".strip(), began=True)
        await _start(back)
        self._state.answered(back.attempt.route.upstream)
        status = Status.CUT if relay.failed else _ok(exchange)
        error = "the upstream reported an error in its stream" * relay.failed
        self._ending.delivered(job, back.attempt, status, error)
        call = self._ending.write(job, status)
        if call is None:
            exchange.abort()
        else:
            await exchange.end(tail if count is None else events_with_cost(tail, answers.cost_usd(call)))

    def _remember(self, back: Back, made: str | None) -> None:
        """Note which upstream keeps the answer, once it has a name."""
        if made is not None and not back.job.kept:
            back.job.kept = True
            kind = Kind.COMPLETION if back.job.facts.operation is Operation.CHAT else Kind.RESPONSE
            upstream, replica = back.attempt.route.upstream, back.answer.replica
            self._stored.remember(made, upstream, back.job.owner, kind=kind, replica=replica)


async def _start(back: Back, opening: bytes = b"") -> None:
    """Send the head of a stream, once, and what has come of it."""
    if not back.exchange.started:
        await back.exchange.start(back.answer.status, _ours(back), opening)


def _ours(back: Back, *, new: bool = False) -> list[tuple[bytes, bytes]]:
    """The headers of an answer: what passes of the upstream's, and ours. `new`: its body was written anew."""
    theirs = answers.translated(back.answer.headers) if new else answers.passed(back.answer.headers)
    dropped = (*back.job.asked.dropped, *back.over.dropped)
    if dropped:
        log.info("%s dropped on the way to %s: %s", back.job.record.decision.id, back.attempt.route.upstream, dropped)
    return [
        *answers.identified(theirs, back.job.request),
        *answers.served_by(back.attempt.route, back.job.record.decision),
        *answers.dropped(dropped),
        *(back.job.hold.headers if back.job.hold is not None else ()),
    ]


def _ok(exchange: Exchange) -> Status:
    """How an answer that came whole ends: its client may have gone while it was read to its end."""
    return Status.CLIENT_GONE if exchange.gone else Status.OK


def _is_stream(back: Back) -> bool:
    """Whether an answer is a stream: it says so, or was to be one and does not say that it is JSON. Clients do not look
    at its type either."""
    kind = back.answer.header(b"content-type").lower()
    return kind.startswith(b"text/event-stream") or (back.job.facts.stream and b"json" not in kind)


def _check_plain(answer: Answer) -> None:
    coding = answer.header(b"content-encoding")
    if not is_plain(coding):
        raise AttemptFailed(f"its stream is encoded as {coding!r} and cannot be metered", began=True)


def _read_whole(over: Passage, answer: Answer, body: bytes) -> tuple[bytes, Answered]:
    """A whole answer, unpacked, and what it says. Raises AttemptFailed if it cannot be read, NoAnswer if it is none."""
    coding = answer.header(b"content-encoding")
    text = plain(body, coding)
    if text is None:
        raise AttemptFailed(f"its answer is encoded as {coding!r} and cannot be metered", began=True)
    if answer.until_close and not wire.is_json(text):
        raise AttemptFailed("the connection closed inside the answer", began=True)
    found = over.read(text)
    if found is None:
        message = f"HTTP {answer.status} without an answer {wire.fault(text)}".strip()
        raise NoAnswer(message, began=True, billed=billed(text))
    return text, found
