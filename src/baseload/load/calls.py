"""A served request: Facts, Decision, every attempt's Usage and money, timings, outcome. A pure value.

The gateway meters it, importers read it, the simulator invents it, replay rewrites it: the same type everywhere.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from baseload.load.facts import Facts
from baseload.usage import Usage


class Status(StrEnum):
    """How an attempt, and with its last attempt a call, ended."""

    OK = "ok"
    CUT = "cut"  # the upstream or the stream broke after the first byte
    CLIENT_GONE = "client_gone"
    REFUSED = "refused"  # 4xx: the client's own fault
    FAILED = "failed"  # 5xx or no connection
    TIMEOUT = "timeout"


class Evidence(StrEnum):
    """Where an attempt's Usage came from, best first."""

    REPORTED = "reported"  # by the upstream itself
    IMPORTED = "imported"  # by another program's log, which we cannot check
    ESTIMATED = "estimated"  # by us, from what was delivered
    NONE = "none"  # the attempt consumed nothing


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try at one upstream, priced by the model that served it.

    `cost_nanousd` is exact, None when no price is known (never zero for that reason). For an own pool it is the usage
    basis: the share of busy time. `provider_nanousd` is what the provider itself said the attempt cost; of an
    imported attempt, what its log said.
    `service_tier` is how the upstream says it processed the request (`flex`, `priority`), empty for the standard way.
    Times are nanoseconds since the epoch; `first_byte_ns` None when no byte of an answer came.
    """

    number: int
    route: str
    upstream: str
    model: str
    offer: str
    started_ns: int
    ended_ns: int
    first_byte_ns: int | None = None
    http_status: int | None = None
    status: Status = Status.OK
    usage: Usage = Usage()
    evidence: Evidence = Evidence.REPORTED
    cost_nanousd: int | None = None
    provider_nanousd: int | None = None
    book: str = ""
    error: str = ""
    service_tier: str = ""


class Skip(msgspec.Struct, frozen=True):
    """A route that was not taken, and why."""

    route: str
    reason: str


class Choice(msgspec.Struct, frozen=True):
    """A route in its place in the merit order, why it stands there, and the estimate it was ordered by."""

    route: str
    reason: str
    expected_nanousd: int | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Routes in the order they are to be tried, and what was skipped; names the policy version that made it."""

    id: str
    policy: str
    routes: tuple[Choice, ...]
    skipped: tuple[Skip, ...] = ()


class Charge(msgspec.Struct, frozen=True):
    """What a call adds to a budget in the window that began at `window_ns`: nano-dollars, tokens or requests. `holder`
    is who had reserved it."""

    budget: str
    window_ns: int
    amount: int
    holder: str


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request from first byte to last. `id` is unique for ever: appending the same call twice keeps one. `charges`
    are what it adds to budgets, which are charged when, and only when, the call is new to the ledger."""

    id: str
    facts: Facts
    decision: Decision
    attempts: tuple[Attempt, ...]
    ended_ns: int
    status: Status = Status.OK
    charges: tuple[Charge, ...] = ()

    @property
    def served(self) -> Attempt | None:
        """The attempt whose answer the client got, None when every attempt failed."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.status not in (Status.FAILED, Status.TIMEOUT) else None

    @property
    def usage(self) -> Usage:
        """What all attempts together consumed."""
        return sum((attempt.usage for attempt in self.attempts), Usage())

    @property
    def cost_nanousd(self) -> int | None:
        """The sum over attempts; None as soon as one attempt that consumed something has no price."""
        total = 0
        for attempt in self.attempts:
            if attempt.evidence is not Evidence.NONE:
                if attempt.cost_nanousd is None:
                    return None
                total += attempt.cost_nanousd
        return total
