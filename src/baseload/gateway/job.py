"""One request on its way through the gateway: what was asked, what was decided, how far it has come. A plain record."""

from __future__ import annotations

import asyncio

import msgspec

from baseload.gateway.hold import Hold
from baseload.gateway.meter import Record, Try
from baseload.gateway.request import Request
from baseload.gateway.state import Snapshot
from baseload.gateway.upstream import TICK_SECONDS
from baseload.load.calls import Choice, Decision, Skip
from baseload.load.facts import Facts
from baseload.policy.decide import FULL
from baseload.policy.policy import Route
from baseload.wire.asked import Asked
from baseload.wire.body import BadBody
from baseload.wire.passage import Passage, Stream


class Job(msgspec.Struct):
    """One request on its way."""

    request: Request
    asked: Asked
    snapshot: Snapshot
    record: Record
    full: list[str] = []
    unfit: list[tuple[str, BadBody | None]] = []
    owner: str = ""  # the client's key that it was made with
    replica: str = ""  # the only one of a pool that can serve it: it keeps what the request builds on
    kept: bool = False  # where its answer is kept is remembered
    retry_after: bytes = b""
    until: float | None = None  # the request's deadline, in the time of the event loop
    attempt: Try | None = None  # the one under way, or the last
    over: Passage | None = None  # how it gets to that upstream
    relay: Stream | None = None  # what it delivered of a stream
    written: bool = False
    hold: Hold | None = None  # what it has reserved of budgets

    @property
    def facts(self) -> Facts:
        return self.record.facts

    def found_full(self, route: Route) -> None:
        """There was no slot when its turn came, or none came free in time: the decision tells it as it was."""
        self.full.append(route.name)
        decision = self.record.decision
        self.record.decision = msgspec.structs.replace(
            decision,
            routes=tuple(choice for choice in decision.routes if choice.route != route.name),
            skipped=(*decision.skipped, Skip(route.name, f"{FULL} no slot was free, or came free in time")),
        )

    def downgraded(self, instead: Decision) -> tuple[Choice, ...]:
        """The routes of a cheaper decision that were not tried yet, written down with the reason why they are."""
        hold, decision = self.hold, self.record.decision
        short = hold.downgrades if hold is not None else None
        known = {short.route for short in (hold.shorts if hold is not None else ())}
        known |= {choice.route for choice in decision.routes}
        why = f"downgraded: {short.reason}" if short is not None else "downgraded"
        choices = tuple(
            Choice(choice.route, f"{why}; {choice.reason}", choice.expected_nanousd)
            for choice in instead.routes
            if choice.route not in known
        )
        added = {choice.route for choice in choices}
        self.record.decision = msgspec.structs.replace(
            decision,
            routes=(*decision.routes, *choices),
            skipped=tuple(skip for skip in decision.skipped if skip.route not in added),
        )
        return choices

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        left = self.left()
        return left is not None and left < TICK_SECONDS

    def left(self) -> float | None:
        """Seconds until the deadline, None when there is none."""
        return None if self.until is None else self.until - asyncio.get_running_loop().time()
