"""What becomes of a request that a budget has no room for: something cheaper, or a no that says what to do. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from baseload.gateway.hold import Hold, Short
from baseload.gateway.job import Job
from baseload.gateway.refusals import Refused
from baseload.load.facts import Bucket, Facts
from baseload.policy.budget import Per
from baseload.policy.decide import asked_as
from baseload.units import NANOSECONDS_PER_SECOND

_CHEAPER = {Bucket.FLAGSHIP: (Bucket.JUDGMENT, Bucket.BANDWIDTH), Bucket.JUDGMENT: (Bucket.BANDWIDTH,)}


def cheaper(job: Job, hold: Hold) -> Iterator[Facts]:
    """The same request for less: in cheaper buckets when it does not name a model itself, then for the model that the
    budget names. What is reserved meanwhile is reserved as for that."""
    asked, policy = job.facts, job.snapshot.policy
    short = hold.downgrades
    if short is None:
        return
    if asked.model in policy.aliases:
        for bucket in _CHEAPER.get(asked.bucket, ()):
            hold.facts = msgspec.structs.replace(asked, bucket=bucket)
            yield hold.facts
    instead = short.budget.instead
    if instead in job.snapshot.models:
        hold.facts = asked_as(
            msgspec.structs.replace(asked, bucket=policy.aliases.get(instead, asked.bucket)), instead, policy
        )
        yield hold.facts


def overspent(job: Job, now_ns: int) -> Refused | None:
    """The refusal of a request that budgets kept from being served; None where other things did, too."""
    hold = job.hold
    if hold is None or not hold.shorts or (hold.stopped is None and (job.record.attempts or job.full)):
        return None
    short = hold.stopped or _cheapest(hold)
    if job.record.attempts and short.need is None:
        return None  # what could be asked has failed: that is the client's news, and worth another try
    if short.unknown:
        message = (
            f"What is left of the budget {short.budget.name} is not known: {short.unknown}. Send the request again "
            f"in a moment, or set `unknown: serve` of that budget."
        )
        return Refused(status=503, message=message, code="budget_unknown", headers=[(b"retry-after", b"1")])
    if short.need is None:
        message = (
            f"The budget {short.budget.name} caps USD and no price is known for the route {short.route}. Add its price "
            f"to `prices`, or set `unpriced: serve` of that budget."
        )
        return Refused(status=403, message=message, code="unpriced_under_budget", kind="permission_error")
    return Refused(
        status=429,
        message=short.message,
        code="budget_exceeded",
        kind="rate_limit_error",
        headers=_headers(short, now_ns),
    )


def _cheapest(hold: Hold) -> Short:
    """Of the routes that a budget kept it from, the one that came nearest."""
    return min(hold.shorts, key=lambda short: (short.unknown != "", short.need is None, short.need or 0))


def _headers(short: Short, now_ns: int) -> list[tuple[bytes, bytes]]:
    budget, standing, need = short.budget, short.share.standing(), short.need or 0
    found = [
        (b"x-baseload-budget", budget.name.encode()),
        (b"x-baseload-budget-limit", b"%d" % standing.limit),
        (b"x-baseload-budget-spent", b"%d" % standing.spent),
        (b"x-baseload-budget-reserved", b"%d" % standing.reserved),
        (b"x-baseload-budget-needed", b"%d" % need),
        (b"x-baseload-budget-unit", b"nano-usd" if budget.usd is not None else budget.unit.value.encode()),
    ]
    if budget.per is not Per.TOTAL:
        left = max(1, -(-(short.share.span.end_ns - now_ns) // NANOSECONDS_PER_SECOND))
        found.append((b"x-baseload-budget-reset-seconds", b"%d" % left))
        # What calls under way have reserved may come back at any moment.
        found.append((b"retry-after", b"%d" % (1 if standing.spent + need <= standing.limit else left)))
    elif standing.spent + need <= standing.limit:
        found.append((b"retry-after", b"1"))
    return found
