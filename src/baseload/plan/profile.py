"""Metered calls as a load profile: for every minute what was asked, what it would cost on each offer, and how long it
would keep an own machine busy. Pure.

Money stays in exact nano-dollars here; it becomes a range where a measured span is scaled to a month.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from baseload.clock import from_ns
from baseload.cost.tokens import price
from baseload.errors import BadInput, NotEnoughData, Unpriced
from baseload.load.calls import Call
from baseload.load.facts import Bucket
from baseload.plan.document import plain
from baseload.plan.supplies import Supplies
from baseload.ranges import Range
from baseload.units import (
    HOURS_PER_MONTH,
    NANOSECONDS_PER_SECOND,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    usd,
)
from baseload.usage import Usage

# A third of the minutes must hold at least one whole minute, and a mean some calls.
FEWEST_MINUTES = 3
FEWEST_CALLS = 30
MOST_MINUTES = 1_000_000
MINUTES_PER_MONTH = HOURS_PER_MONTH * SECONDS_PER_HOUR // SECONDS_PER_MINUTE
_MINUTE_NS = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND


@dataclass(slots=True)
class Minute:
    """One minute. `nanousd` is by offer and bucket; `busy` seconds are those of one machine at the policy's slots."""

    tokens: int = 0
    nanousd: dict[tuple[str, Bucket], int] = field(default_factory=dict)
    busy: Decimal = Decimal(0)


@dataclass(slots=True)
class Tally:
    """What was metered. `nanousd` is what the priced calls cost as they were served, `unpriced` counts the others,
    `unserved` those that got no answer. `usage` is that of the answers."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nanousd: int = 0
    unpriced: int = 0
    unserved: int = 0
    buckets: set[Bucket] = field(default_factory=set)

    def count(self, call: Call) -> None:
        """Take one more call in."""
        self.requests += 1
        cost = call.cost_nanousd
        if cost is None:
            self.unpriced += 1
        else:
            self.nanousd += cost
        attempt = call.served
        if attempt is None:
            self.unserved += 1
            return
        self.buckets.add(call.facts.bucket)
        self.input_tokens += attempt.usage.prompt_tokens
        self.output_tokens += attempt.usage.completion_tokens


@dataclass(frozen=True, slots=True)
class Profile:
    """Contiguous minutes, empty ones included, and what was metered over them.

    `gaps` are pairs of offer and bucket that could not be priced, and why; they are no candidates.
    """

    minutes: tuple[Minute, ...]
    tally: Tally
    gaps: dict[tuple[str, Bucket], str]

    def monthly(self, per_minute: Sequence[int]) -> Range:
        """Nano-dollars by minute as USD a month.

        Likely is the mean of all minutes. Low and high are the means of the quietest and of the busiest third of them
        (by tokens): what a month would cost if it were like that all the time. The longer the measurement the better
        its mean; the thirds show how uneven the little was that was seen.
        """
        order = sorted(range(len(self.minutes)), key=lambda at: self.minutes[at].tokens)
        third = len(order) // 3
        means = [_month_of([per_minute[at] for at in part]) for part in (order[:third], order[-third:])]
        likely = _month_of(per_minute)
        return Range(min(*means, likely), likely, max(*means, likely))

    def cost(self, offer: str, bucket: Bucket) -> int:
        """Nano-dollars of all calls of a bucket on an offer."""
        return sum(minute.nanousd.get((offer, bucket), 0) for minute in self.minutes)


def profile(calls: Iterable[Call], supplies: Supplies) -> Profile:
    """Walk the calls once, each priced on every offer that may serve it, at its own moment.

    Raises NotEnoughData below thirty answered calls or three minutes, BadInput for more than a million minutes.
    """
    found: dict[int, Minute] = {}
    gaps: dict[tuple[str, Bucket], str] = {}
    tally = Tally()
    for call in calls:
        minute = found.setdefault(call.facts.at_ns // _MINUTE_NS, Minute())
        tally.count(call)
        attempt = call.served
        if attempt is not None:
            _add(minute, call, attempt.usage, supplies, gaps)
    span = max(found) - min(found) + 1 if found else 0
    if tally.requests - tally.unserved < FEWEST_CALLS:
        raise _too_little(f"{tally.requests - tally.unserved} answered calls", f"{FEWEST_CALLS} of them")
    if span < FEWEST_MINUTES:
        raise _too_little(f"calls of {span} minutes", f"{FEWEST_MINUTES} minutes")
    if span > MOST_MINUTES:
        raise BadInput(
            f"the calls span {span} minutes, more than {MOST_MINUTES}",
            remedy="Decide on one run with --run: a call with a wrong clock may be among them.",
        )
    minutes = tuple(found.get(place, Minute()) for place in range(min(found), max(found) + 1))
    return Profile(minutes, tally, gaps)


def _add(minute: Minute, call: Call, usage: Usage, supplies: Supplies, gaps: dict[tuple[str, Bucket], str]) -> None:
    bucket, when = call.facts.bucket, from_ns(call.facts.at_ns)
    minute.tokens += usage.prompt_tokens + usage.completion_tokens
    for api in supplies.apis:
        key = (api.offer.key, bucket)
        if bucket not in api.buckets or key in gaps:
            continue
        try:
            minute.nanousd[key] = minute.nanousd.get(key, 0) + price(usage, api.offer, when).nanousd
        except Unpriced as error:
            gaps[key] = error.message
    if supplies.pool is not None and bucket in supplies.pool.buckets:
        minute.busy += supplies.pool.deployment.seconds(usage)


def _month_of(per_minute: Sequence[int]) -> Decimal:
    return plain(usd(sum(per_minute)) * MINUTES_PER_MONTH / len(per_minute))


def _too_little(found: str, needed: str) -> NotEnoughData:
    return NotEnoughData(
        f"the ledger holds {found}, a decision needs {needed}",
        remedy="Send more traffic through `baseload serve`, or decide on typed figures with --input and --output.",
    )
