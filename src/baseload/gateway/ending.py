"""How an attempt ends: what it is billed for, whether its upstream is to blame, and the call written down. Acts.

An attempt ends by itself, or the upstream breaks, the client leaves, or something happens that nobody foresaw. In each
case what the upstream reported is billed, and where it reported nothing an estimate of what it delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from baseload.errors import BaseloadError, LedgerUnavailable
from baseload.gateway.http import Exchange
from baseload.gateway.job import Job
from baseload.gateway.meter import Meter, Try
from baseload.gateway.state import GatewayState
from baseload.gateway.upstream import AttemptFailed, DeadlinePassed
from baseload.load.calls import Call, Evidence, Status
from baseload.load.facts import Operation
from baseload.usage import Usage
from baseload.wire.answer import Answered


class NoAnswer(AttemptFailed):
    """A success by its status, but no answer: the upstream has done nothing that it could bill, unless what came says
    itself what is `billed`."""

    def __init__(self, message: str, *, began: bool, billed: Answered | None = None) -> None:
        super().__init__(message, began=began)
        self.billed = billed


class Ending:
    """Ends attempts and calls, once each."""

    def __init__(self, state: GatewayState, meter: Meter) -> None:
        self._state = state
        self._meter = meter
        self.goes_on: Callable[[Job, Try, str | None], bool] = _nobody
        """Whether the upstream works on without us, and somebody else ends the attempt and the call when it is done."""

    def broken(self, job: Job, attempt: Try, failure: BaseloadError, exchange: Exchange) -> bool:
        """The upstream gave no whole answer. Before the first byte the next route is tried (False); after it, the
        client must see a broken stream, never a clean end."""
        if isinstance(failure, DeadlinePassed):
            self._state.too_late(attempt.route.upstream, failure.seconds)
        else:
            self._state.failed(attempt.route.upstream)
        slow = isinstance(failure, AttemptFailed) and failure.timed_out
        status = Status.TIMEOUT if slow else Status.FAILED
        if exchange.started:
            status = Status.CUT
            if self._goes_on(job, attempt):
                exchange.abort()
                return True
        reported = job.relay is not None and job.relay.usage is not None
        given_up = slow and attempt.sent and attempt.http_status is None  # by us: it was reading, as when a client goes
        billed = failure.billed if isinstance(failure, NoAnswer) else None
        if billed is not None:
            attempt.provider_usd, attempt.service_tier = billed.provider_usd, billed.service_tier
            self.consumed(job, attempt, status, billed.usage, 0, failure.message)
        elif reported or given_up or (succeeds(attempt.http_status) and not isinstance(failure, NoAnswer)):
            self.delivered(job, attempt, status, failure.message)
        else:
            self._meter.end(job.record, attempt, status, error=failure.message)
        if exchange.started:
            self.write(job, status)
            exchange.abort()
        return exchange.started

    def abandoned(self, job: Job, attempt: Try) -> None:
        """The client went away. What the upstream did until then is paid for all the same, unless it had refused."""
        if job.written:
            return
        if attempt.ended:
            pass
        elif self._goes_on(job, attempt):
            return
        elif attempt.sent and (attempt.http_status is None or succeeds(attempt.http_status)):
            self.delivered(job, attempt, Status.CLIENT_GONE, "the client went away")
        else:
            self._meter.end(job.record, attempt, Status.CLIENT_GONE, error="the client went away")
        self.write(job, Status.CLIENT_GONE)

    def unsent(self, job: Job) -> None:
        """The next attempt was not sent, for it could not be kept: write down those before it."""
        if job.record.attempts:
            self.write(job, Status.FAILED)
        elif job.hold is not None:
            job.hold.settle(written=True)

    def left(self, job: Job) -> None:
        """The client went away while nothing was under way: it waited for a slot, or between two tries."""
        if not job.written:
            self.write(job, Status.CLIENT_GONE)

    def salvaged(self, job: Job, error: Exception, exchange: Exchange) -> None:
        """Something failed that nobody foresaw: end what is under way and write the call down."""
        if job.written:
            return
        status = Status.CUT if exchange.started else Status.FAILED
        if job.attempt is not None and not job.attempt.ended:
            if succeeds(job.attempt.http_status):
                self.delivered(job, job.attempt, status, f"unexpected: {error!r}")
            else:
                self._meter.end(job.record, job.attempt, status, error=f"unexpected: {error!r}")
        self.write(job, status)

    def delivered(self, job: Job, attempt: Try, status: Status, error: str) -> None:
        """End an attempt that did not end by itself: what it reported so far, else an estimate of what it delivered."""
        usage, written, counted = None, 0, True
        if (relay := job.relay) is not None:
            usage, written, counted = relay.usage, relay.written_tokens, relay.counted
            attempt.provider_usd, attempt.service_tier = relay.provider_usd, relay.service_tier
        elif succeeds(attempt.http_status) and not job.facts.stream:
            written = self._likely(job)  # a whole answer that broke on its way: there it was written to its end
        if usage is not None and not counted:
            self._meter.end(job.record, attempt, status, usage, Evidence.ESTIMATED, error)
        else:
            self.consumed(job, attempt, status, usage, written, error)

    def consumed(
        self, job: Job, attempt: Try, status: Status, usage: Usage | None, written: int, error: str = ""
    ) -> None:
        """End an attempt that consumed something, by the upstream's own count or else by our estimate. A count that
        knows nothing of what was delivered is none."""
        if usage is None or (written and not usage.completion_tokens):
            read = usage if usage is not None and usage.prompt_tokens else Usage(input_tokens=job.facts.input_tokens)
            estimate = read + Usage(output_tokens=written)
            self._meter.end(job.record, attempt, status, estimate, Evidence.ESTIMATED, error)
        else:
            self._meter.end(job.record, attempt, status, usage, Evidence.REPORTED, error)
            facts = job.record.facts
            if facts.operation is not Operation.EMBEDDINGS:
                self._state.answers.learn(facts.bucket, usage.completion_tokens)

    def failed(self, job: Job, attempt: Try, error: str) -> None:
        """End an attempt that has consumed nothing."""
        self._meter.end(job.record, attempt, Status.FAILED, error=error)

    def _goes_on(self, job: Job, attempt: Try) -> bool:
        relay = job.relay
        return relay is not None and not relay.done and self.hands_over(job, attempt, relay.made)

    def hands_over(self, job: Job, attempt: Try, made: str | None) -> bool:
        """Whether somebody else waits for the end of an attempt, by the name of what the upstream makes, and writes its
        call down."""
        if not self.goes_on(job, attempt, made):
            return False
        self._meter.hand_over(job.record)
        return True

    def _likely(self, job: Job) -> int:
        return 0 if job.facts.operation is Operation.EMBEDDINGS else self._state.answers.likely(job.facts)

    def write(self, job: Job, status: Status) -> Call | None:
        """Make the call durable; None when the ledger cannot."""
        job.written = True
        attempts = job.record.attempts
        charges = job.hold.charges(attempts) if job.hold is not None else ()
        try:
            return self._meter.write(job.record, status, charges, job.hold)
        except LedgerUnavailable:
            return None


def _nobody(_: Job, __: Try, ___: str | None) -> bool:
    return False


_REDIRECTS = int(HTTPStatus.MULTIPLE_CHOICES)


def succeeds(status: int | None) -> bool:
    """Whether an upstream's status says that it served the request."""
    return status is not None and status < _REDIRECTS
