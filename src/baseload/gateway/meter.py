"""What was consumed, at what price, written down before the client has its last byte. Acts (appends to the spool)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from baseload.capacity.offer import OWN
from baseload.catalog.entries import Offer
from baseload.clock import Clock, from_ns
from baseload.cost.tariffs import Tariffs
from baseload.cost.tokens import price, processing_of
from baseload.errors import LedgerUnavailable, Unpriced
from baseload.ledger.begun import Place
from baseload.load.calls import Attempt, Call, Charge, Decision, Evidence, Status
from baseload.load.facts import Facts
from baseload.policy.policy import Route
from baseload.units import NANOSECONDS_PER_SECOND, nanousd
from baseload.usage import Usage
from baseload.wire.quoting import unquoted

log = logging.getLogger(__name__)

MAX_ERROR = 300
"""Characters of an upstream's complaint that are kept."""

MOST_WARNINGS = 1_000
"""Offers and service tiers that are warned of once each: an upstream may think up new names without end."""

PROBE_NS = NANOSECONDS_PER_SECOND
"""How long to wait before another call finds out whether calls can be written again."""


MOST_WAITING = 10_000
"""Calls that could not be written down and wait for it; none is served meanwhile, so only those under way come."""
DIED = "the gateway died before this ended: what it consumed is an estimate"


class Spool(Protocol):
    """Where calls are made durable. All but `release` raise LedgerUnavailable. What `begin` has kept is recorded when
    we die, until `append` has returned: then the call itself survives us. `keep` and `write` do the same for calls that
    are JSON already."""

    def begin(self, call: Call, before: Place | None = None) -> Place | None: ...

    def keep(self, call: str, body: bytes) -> Place | None: ...

    def append(self, call: Call, begun: Place | None = None) -> None: ...

    def write(self, call: str, body: bytes, begun: Place | None) -> None: ...

    def release(self, begun: Place) -> None: ...


class Reservation(Protocol):
    """What a call has reserved, until it is written down (`settle`) or never will be. `closing` says that it is about
    to be, `stay` that it could not."""

    def closing(self, call: str) -> None: ...

    def stay(self) -> None: ...

    def settle(self, *, written: bool) -> None: ...


class Try(msgspec.Struct):
    """An attempt in the making."""

    route: Route
    number: int
    started_ns: int
    sent: bool = False  # the request was handed to a connection
    first_byte_ns: int | None = None
    http_status: int | None = None
    hidden: str = ""  # our key there: no complaint is kept that quotes it
    provider_usd: Decimal | None = None  # what the upstream itself says it charges
    service_tier: str = ""  # as the answer says
    ended: bool = False

    def on_sent(self) -> None:
        self.sent = True


class Record(msgspec.Struct):
    """A call in the making: what was asked, what was decided, what was tried so far."""

    facts: Facts
    decision: Decision
    offers: Mapping[str, Offer]
    body: bytes = b""  # what the client sent: nothing that an upstream quotes of it is kept
    attempts: list[Attempt] = []
    begun: Place | None = None  # where it stands while it is under way


class Waiting(msgspec.Struct, frozen=True):
    """A call that has ended and is not written down yet."""

    call: Call
    begun: Place | None
    reservation: Reservation | None


class Meter:
    """Prices attempts and writes calls down. `unpriced` and `unwritten` count what went wrong with either."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self.unpriced = 0
        self.unwritten = 0
        self.written = 0
        self.writable = True  # whether the last append succeeded
        self._spool = spool
        self._tariffs = Tariffs()
        self._clock = clock
        self._warned: set[tuple[str, str]] = set()
        self._estimated: set[str] = set()
        self._probed_ns = 0  # when a call was last let through although the one before could not be written
        self._waiting: deque[Waiting] = deque()

    def begin(self, record: Record, route: Route) -> Try:
        """An attempt starts now."""
        return Try(route, len(record.attempts) + 1, self._clock.time_ns())

    def sending(self, record: Record, attempt: Try, likely_tokens: int) -> None:
        """Before an attempt is sent, keep the call as it is to be recorded if we die before it ends: with an estimate
        of what it reads, and as long an answer as is likely. Raises LedgerUnavailable: then it must not be sent."""
        usage = Usage(input_tokens=record.facts.input_tokens, output_tokens=likely_tokens)
        route = attempt.route
        offer = record.offers.get(route.offer)
        tariff = self._tariffs.at(route.offer, offer, attempt.started_ns) if offer is not None else None
        lost = Attempt(
            number=attempt.number,
            route=route.name,
            upstream=route.upstream,
            model=route.model,
            offer=route.offer,
            started_ns=attempt.started_ns,
            ended_ns=attempt.started_ns,
            status=Status.CUT,
            usage=usage,
            evidence=Evidence.ESTIMATED,
            cost_nanousd=tariff.nanousd(usage) if tariff is not None else None,
            book=offer.source.book if offer is not None else "",
            error=DIED,
        )
        call = Call(
            id=record.decision.id,
            facts=record.facts,
            decision=record.decision,
            attempts=(*record.attempts, lost),
            ended_ns=attempt.started_ns,
            status=Status.CUT,
        )
        try:
            record.begun = self._spool.begin(call, record.begun)
        except LedgerUnavailable:
            self._failed()
            raise

    def keep(self, call: str, body: bytes) -> Place | None:
        """`sending` for a call of that id that is JSON already. Raises LedgerUnavailable."""
        return self._spool.keep(call, body)

    def release(self, begun: Place) -> None:
        """What was kept is not sent."""
        self._spool.release(begun)

    def write_down(self, call: str, body: bytes, begun: Place | None, reservation: Reservation | None) -> None:
        """`write` for a call of that id that is JSON already. Raises LedgerUnavailable: then nothing was done."""
        if reservation is None:
            self._spool.write(call, body, begun)
        else:
            self._charge(call, body, begun, reservation)
        self.written += 1

    def _charge(self, call: str, body: bytes, begun: Place | None, reservation: Reservation) -> None:
        reservation.closing(call)
        try:
            self._spool.write(call, body, begun)
        except LedgerUnavailable:
            reservation.stay()
            raise
        reservation.settle(written=True)

    def hand_over(self, record: Record) -> None:
        """Somebody else sees to it that the call is recorded, also when we die."""
        if record.begun is not None:
            self._spool.release(record.begun)
            record.begun = None

    def again(self, record: Record, attempt: Try) -> None:
        """The kept connection of an attempt was closed before its answer: that was one attempt, now comes the next."""
        self.end(record, attempt, Status.FAILED, error="the kept connection was closed before the answer")
        attempt.number, attempt.started_ns = attempt.number + 1, self._clock.time_ns()
        attempt.sent = attempt.ended = False

    def first_byte(self, attempt: Try) -> None:
        """The first byte of an answer came now."""
        if attempt.first_byte_ns is None:
            attempt.first_byte_ns = self._clock.time_ns()

    def end(
        self,
        record: Record,
        attempt: Try,
        status: Status,
        usage: Usage | None = None,
        evidence: Evidence = Evidence.NONE,
        error: str = "",
    ) -> Attempt:
        """An attempt ends now: price it by the model that served it, at the time it started."""
        attempt.ended = True
        route = attempt.route
        cost, book = None, ""
        if evidence is Evidence.ESTIMATED and status is Status.OK:
            self._warn_estimated(route.offer)
        if evidence is not Evidence.NONE:
            cost, book = self._price(usage or Usage(), record.offers.get(route.offer), attempt)
        ended = Attempt(
            number=attempt.number,
            route=route.name,
            upstream=route.upstream,
            model=route.model,
            offer=route.offer,
            started_ns=attempt.started_ns,
            ended_ns=self._clock.time_ns(),
            first_byte_ns=attempt.first_byte_ns,
            http_status=attempt.http_status,
            status=status,
            usage=usage or Usage(),
            evidence=evidence,
            cost_nanousd=cost,
            book=book,
            provider_nanousd=nanousd(attempt.provider_usd) if attempt.provider_usd is not None else None,
            error=_discreet(error, attempt, record)[:MAX_ERROR] if error else "",
            service_tier=attempt.service_tier,
        )
        record.attempts.append(ended)
        return ended

    def takes_calls(self) -> bool:
        """Whether a call that is served now can be written down. While it can not, once a second those that wait for it
        are tried again; where none waits, a call finds out."""
        if self.writable:
            return True
        now = self._clock.time_ns()
        if abs(now - self._probed_ns) < PROBE_NS:
            return False
        self._probed_ns = now
        return self.catch_up()

    def write(
        self,
        record: Record,
        status: Status,
        charges: tuple[Charge, ...] = (),
        reservation: Reservation | None = None,
    ) -> Call:
        """Make the call durable, then settle what it has reserved. Raises LedgerUnavailable: the call is then tried
        again later, and as long still under way for whoever finds us dead."""
        call = Call(
            id=record.decision.id,
            facts=record.facts,
            decision=record.decision,
            attempts=tuple(record.attempts),
            ended_ns=self._clock.time_ns(),
            status=status,
            charges=charges,
        )
        waiting = Waiting(call, record.begun, reservation)
        try:
            self._append(waiting)
        except LedgerUnavailable as error:
            self._failed()
            self.unwritten += 1
            log.error("%s The call that could not be written: %s", error, msgspec.json.encode(call).decode())
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(waiting)
            elif reservation is not None:
                reservation.settle(written=False)
            raise
        self.writable = self.catch_up()
        return call

    def catch_up(self) -> bool:
        """Write down what could not be; False when that still cannot be done."""
        while self._waiting:
            try:
                self._append(self._waiting[0])
            except LedgerUnavailable:
                self._failed()
                return False
            self._waiting.popleft()
            self.writable = not self._waiting
        return True

    def close(self) -> None:
        """Write down what could not be, the last time; what cannot stays what it was when it was sent."""
        if not self.catch_up():
            log.error("%d calls could not be written: the next start records each as an estimate", len(self._waiting))
            for each in self._waiting:
                if each.reservation is not None:
                    each.reservation.settle(written=False)

    def _append(self, each: Waiting) -> None:
        if (reservation := each.reservation) is not None:
            reservation.closing(each.call.id)
        try:
            self._spool.append(each.call, each.begun)
        except LedgerUnavailable:
            if reservation is not None:
                reservation.stay()
            raise
        self.written += 1
        if reservation is not None:
            reservation.settle(written=True)

    def _failed(self) -> None:
        self.writable = False
        self._probed_ns = self._clock.time_ns()

    def _price(self, usage: Usage, offer: Offer | None, attempt: Try) -> tuple[int | None, str]:
        """Exact nano-dollars and the book they come from; None, counted and said once, when there is no price.

        A pool of your own costs its hours, whatever it calls the way it served.
        """
        route, tier = attempt.route, attempt.service_tier
        if offer is None:
            self._warn(route.offer, "", f"no book has a price for {route.offer}")
            return None, ""
        tier = "" if offer.provider == OWN else tier
        tariff = None if tier else self._tariffs.at(route.offer, offer, attempt.started_ns)
        cost = tariff.nanousd(usage) if tariff is not None else None
        if cost is not None:
            return cost, offer.source.book
        try:
            processing = processing_of(tier)
            charge = price(usage, offer, from_ns(attempt.started_ns), processing)
        except Unpriced as error:
            self._warn(route.offer, tier, f"{route.offer}: {error}" if tier else str(error))
            return None, offer.source.book
        return charge.nanousd, charge.book

    def _warn_estimated(self, offer: str) -> None:
        if offer not in self._estimated:
            self._estimated.add(offer)
            log.warning("estimated: %s does not report its usage, or not one that can be", offer)

    def _warn(self, offer: str, service_tier: str, reason: str) -> None:
        self.unpriced += 1
        if len(self._warned) < MOST_WARNINGS and (offer, service_tier) not in self._warned:
            self._warned.add((offer, service_tier))
            log.warning("unpriced: %s", reason)


def _discreet(error: str, attempt: Try, record: Record) -> str:
    """A complaint without our key and without what it quotes of the request."""
    return unquoted(error.replace(attempt.hidden, "***") if attempt.hidden else error, record.body)
