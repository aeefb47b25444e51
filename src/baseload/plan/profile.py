"""Metered calls as a load profile: for every minute what was asked and how long it would keep an own machine busy; for
every offer what all of it would cost. Pure.

Money stays in exact nano-dollars here; it becomes a range where a measured span is scaled to a month.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from baseload.audit.pricer import LEAVES, Pricer, Step, counts_of, processed
from baseload.capacity.offer import OWN
from baseload.catalog.entries import Offer, Processing
from baseload.clock import from_ns
from baseload.cost.schedule import HOURS_PER_WEEK
from baseload.cost.tokens import price, processing_of
from baseload.errors import BadInput, NotEnoughData, Unpriced
from baseload.load.calls import Attempt, Call, Evidence
from baseload.load.facts import Bucket
from baseload.plan.document import plain
from baseload.plan.supplies import Api, Supplies
from baseload.ranges import Range
from baseload.units import (
    HOURS_PER_DAY,
    HOURS_PER_MONTH,
    NANOSECONDS_PER_SECOND,
    PICO_PER_NANO,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
)
from baseload.usage import Usage

# A third of the minutes must hold at least one whole minute, and a mean some calls.
FEWEST_MINUTES = 3
FEWEST_CALLS = 30
MOST_MINUTES = 1_000_000
MINUTES_PER_HOUR = SECONDS_PER_HOUR // SECONDS_PER_MINUTE
MINUTES_PER_MONTH = HOURS_PER_MONTH * MINUTES_PER_HOUR
MINUTES_PER_DAY = HOURS_PER_DAY * MINUTES_PER_HOUR
MINUTES_PER_WEEK = HOURS_PER_WEEK * MINUTES_PER_HOUR
# The lines of a charge, in the order of `Usage`'s fields.
LEAF_LINES = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
_OWN = f"{OWN}/"
_MINUTE_NS = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND
# Minute 0 of the epoch was a Thursday's: the hours of the week before it, Monday 00:00 first.
_EPOCH_HOUR = 3 * HOURS_PER_DAY
# No load is ever quite nothing: what the quietest third of a span may fall to.
_LEAST = Decimal("0.01")


@dataclass(slots=True)
class Minute:
    """One minute: tokens in, out, and those of the input that came from a cache. `busy` seconds are those of one
    machine at its measured best."""

    requests: int = 0
    read: int = 0
    wrote: int = 0
    cached: int = 0
    busy: Decimal = Decimal(0)

    @property
    def tokens(self) -> int:
        return self.read + self.wrote


@dataclass(frozen=True, slots=True)
class Served:
    """What went to APIs, or to own machines: the usage of its answers, and what all its attempts were charged."""

    usage: Usage
    nanousd: int


@dataclass(slots=True)
class Tally:
    """What was metered. `unpriced` counts calls without a price, `unserved` those that got no answer, `estimated` those
    whose tokens the upstream did not report, `imported` those that no policy of ours decided. `counts` are the answers'
    tokens by bucket and by whether own machines served them, in the order of `Usage`'s fields, and last how many;
    `apart` are those among them that were processed as flex, batch or priority."""

    requests: int = 0
    unpriced: int = 0
    unserved: int = 0
    estimated: int = 0
    imported: int = 0
    first_ns: int = 0
    ended_ns: int = 0
    bought_nanousd: int = 0
    own_nanousd: int = 0
    counts: dict[tuple[Bucket, bool], list[int]] = field(default_factory=dict)
    apart: dict[tuple[Bucket, bool], list[int]] = field(default_factory=dict)
    digest: str = ""

    @property
    def nanousd(self) -> int:
        """What the priced calls cost as they were served."""
        return self.bought_nanousd + self.own_nanousd

    @property
    def bought(self) -> Served:
        """What APIs served."""
        return Served(self._sum(lambda _, own: not own), self.bought_nanousd)

    @property
    def own(self) -> Served:
        """What own machines served, at their share of busy time."""
        return Served(self._sum(lambda _, own: own), self.own_nanousd)

    @property
    def whole(self) -> Usage:
        """The usage of all answers."""
        return self._sum(lambda _, __: True)

    @property
    def usage(self) -> dict[Bucket, Usage]:
        """That of the answers, by bucket."""
        buckets = {bucket for bucket, _ in self.counts}
        return {each: self._sum(lambda bucket, _, each=each: bucket is each) for each in buckets}  # type: ignore[misc]

    def _sum(self, which: Callable[[Bucket, bool], bool]) -> Usage:
        columns = zip(*(counts for (bucket, own), counts in self.counts.items() if which(bucket, own)), strict=True)
        return Usage(**dict(zip(LEAVES, map(sum, columns), strict=False)))

    def count(self, call: Call) -> None:
        """Take one more call in."""
        at, ended = call.facts.at_ns, call.ended_ns
        self.first_ns = min(self.first_ns, at) if self.requests else at
        self.ended_ns = max(self.ended_ns, ended)
        self.requests += 1
        self.imported += not call.decision.policy
        self.unpriced += call.cost_nanousd is None
        for attempt in call.attempts:
            if attempt.offer.startswith(_OWN):
                self.own_nanousd += attempt.cost_nanousd or 0
            else:
                self.bought_nanousd += attempt.cost_nanousd or 0
        served = call.served
        if served is None:
            self.unserved += 1
            return
        self.estimated += served.evidence is Evidence.ESTIMATED
        for sums in (self.counts, self.apart) if served.service_tier else (self.counts,):
            counts = sums.setdefault((call.facts.bucket, served.offer.startswith(_OWN)), [0] * (len(LEAVES) + 1))
            for place, tokens in enumerate(counts_of(served.usage)):
                counts[place] += tokens
            counts[-1] += 1


@dataclass(frozen=True, slots=True)
class Profile:
    """Contiguous minutes, empty ones included, from `start` on (minutes since the epoch), and what was metered.

    `charges` are (tokens, nano-dollars) by offer, bucket and leaf. `gaps` are pairs of offer and bucket that could not
    be priced, and why; they are no candidates.
    """

    start: int
    minutes: tuple[Minute, ...]
    tally: Tally
    charges: dict[tuple[str, Bucket], dict[str, tuple[int, int]]]
    gaps: dict[tuple[str, Bucket], str]

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The first arrival and the last end."""
        return from_ns(self.tally.first_ns), from_ns(self.tally.ended_ns)

    def monthly(self, per_minute: Sequence[int]) -> Range:
        """Counts by minute as those of a month.

        Likely is the mean of the whole span. Low and high are the means of its quietest and of its busiest third (by
        tokens): what a month would be if it were like that all the time. Thirds are of the days where a week or more
        was metered, else of the minutes. The longer the measurement the better its mean; the thirds show how uneven the
        little was that was seen.
        """
        likely = _month_of(per_minute)
        pieces = self._pieces
        order = sorted(range(len(pieces)), key=lambda at: sum(self.minutes[place].tokens for place in pieces[at]))
        third = len(order) // 3
        means = [
            _month_of([per_minute[place] for at in part for place in pieces[at]])
            for part in (order[:third], order[-third:])
        ]
        return Range(min(max(min(means), likely * _LEAST), likely), likely, max(*means, likely))

    @property
    def _pieces(self) -> list[range]:
        """Whole days of a long span, minutes of a short one."""
        length = MINUTES_PER_DAY if self.a_week else 1
        return [range(at, at + length) for at in range(0, len(self.minutes) - length + 1, length)]

    @property
    def a_week(self) -> bool:
        """Whether every hour of the week was seen."""
        return len(self.minutes) >= MINUTES_PER_WEEK

    @property
    def shape(self) -> tuple[Fraction, ...]:
        """Each hour of the week's mean load, Monday 00:00 UTC first; empty for less than a week."""
        if not self.a_week:
            return ()
        sums: Counter[int] = Counter()
        seen: Counter[int] = Counter()
        for place, minute in enumerate(self.minutes):
            hour = ((self.start + place) // MINUTES_PER_HOUR + _EPOCH_HOUR) % HOURS_PER_WEEK
            sums[hour] += minute.tokens
            seen[hour] += 1
        return tuple(Fraction(sums[hour], seen[hour]) for hour in range(HOURS_PER_WEEK))

    def cost(self, offer: str, bucket: Bucket) -> int:
        """Nano-dollars of all calls of a bucket on an offer."""
        return sum(nanousd for _, nanousd in self.charges.get((offer, bucket), {}).values())


def profile(calls: Iterable[Call], supplies: Supplies) -> Profile:
    """Walk the calls once, each priced on every offer that may serve it, at its own moment.

    Raises NotEnoughData below thirty answered calls or three minutes, BadInput for more than a million minutes.
    """
    found: dict[int, Minute] = {}
    charges: dict[tuple[str, Bucket], dict[str, tuple[int, int]]] = {}
    gaps: dict[tuple[str, Bucket], str] = {}
    tally, digest = Tally(), hashlib.sha256()
    flat, turning = _flat(supplies.apis)
    for call in calls:
        minute = found.setdefault(call.facts.at_ns // _MINUTE_NS, Minute())
        tally.count(call)
        minute.requests += 1
        digest.update(_row(call).encode())
        attempt = call.served
        if attempt is not None:
            _add(minute, call.facts.bucket, attempt.usage, supplies)
            # What was processed as flex, batch or priority is priced so on every offer, and stays out of the sums.
            _charge(call, attempt, supplies.apis if attempt.service_tier else turning, charges, gaps)
    tally.digest = f"sha256:{digest.hexdigest()}"
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
    for api, step in flat:
        _sum_up(api, step, tally, charges)
    start = min(found)
    minutes = tuple(found.get(place, Minute()) for place in range(start, start + span))
    return Profile(start, minutes, tally, charges, gaps)


def _row(call: Call) -> str:
    """What of a call a decision depends on."""
    tries = " ".join(
        f"{each.offer} {each.cost_nanousd} {counts_of(each.usage)}{each.service_tier and ' ' + each.service_tier}"
        for each in call.attempts
    )
    return f"{call.id} {call.facts.at_ns} {call.facts.bucket} {call.ended_ns} {call.status} {tries}\n"


def _add(minute: Minute, bucket: Bucket, usage: Usage, supplies: Supplies) -> None:
    minute.read += usage.prompt_tokens
    minute.wrote += usage.completion_tokens
    minute.cached += usage.cache_read_tokens
    if supplies.pool is not None and bucket in supplies.pool.buckets:
        minute.busy += supplies.pool.deployment.seconds(usage)


def _charge(
    call: Call,
    attempt: Attempt,
    apis: Sequence[Api],
    charges: dict[tuple[str, Bucket], dict[str, tuple[int, int]]],
    gaps: dict[tuple[str, Bucket], str],
) -> None:
    """Price the call on every one of these offers that may serve it."""
    bucket, when = call.facts.bucket, from_ns(call.facts.at_ns)
    for api in apis:
        key = (api.offer.key, bucket)
        if bucket not in api.buckets or key in gaps:
            continue
        try:
            lines = price(attempt.usage, api.offer, when, _processing(api.offer, attempt)).lines
        except Unpriced as error:
            gaps[key] = error.message
            continue
        sums = charges.setdefault(key, {})
        for line in lines:
            count, nanousd = sums.get(line.leaf, (0, 0))
            sums[line.leaf] = count + line.count, nanousd + line.nanousd


def _processing(offer: Offer, attempt: Attempt) -> Processing:
    """How this offer would have processed what was processed in that way. Raises Unpriced where nobody knows."""
    found = processed(offer, attempt.service_tier, attempt.offer)
    return processing_of(attempt.service_tier) if found is None else found


def _flat(apis: Sequence[Api]) -> tuple[list[tuple[Api, Step]], list[Api]]:
    """Offers of whole nano-dollars a token, the same at every hour and length, and the others.

    On the first nothing is ever rounded, so what all calls cost is what the sum of their tokens costs.
    """
    steps = [(api, Pricer(api.offer).flat) for api in apis]
    flat = [(api, step) for api, step in steps if step is not None and step.adds_up]
    return flat, [api for api, step in steps if step is None or not step.adds_up]


def _sum_up(api: Api, step: Step, tally: Tally, charges: dict[tuple[str, Bucket], dict[str, tuple[int, int]]]) -> None:
    """Add what the calls of every bucket that the offer may serve would cost on it, by leaf; those that were processed
    in another way are charged already."""
    for (bucket, own), whole in tally.counts.items():
        if bucket not in api.buckets:
            continue
        apart = tally.apart.get((bucket, own), (0,) * len(whole))
        counts = [count - other for count, other in zip(whole, apart, strict=True)]
        sums = charges.setdefault((api.offer.key, bucket), {})
        leaves = zip((*LEAF_LINES, "request"), counts, (*step.rates, step.per_request * PICO_PER_NANO), strict=True)
        for leaf, count, rate in leaves:
            if count and rate is not None and (rate or leaf != "request"):
                before, nanousd = sums.get(leaf, (0, 0))
                sums[leaf] = before + count, nanousd + count * rate // PICO_PER_NANO


def _month_of(per_minute: Sequence[int]) -> Decimal:
    return plain(Decimal(sum(per_minute)) * MINUTES_PER_MONTH / len(per_minute))


def _too_little(found: str, needed: str) -> NotEnoughData:
    return NotEnoughData(
        f"the ledger holds {found}, a decision needs {needed}",
        remedy="Send more traffic through `baseload serve`, or decide on typed figures with --input and --output.",
    )
