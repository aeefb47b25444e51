"""Decisions and prices: `decide` and `price` beside what any gateway must do, parsing the body of a request.

The body is a chat request of about 1 kB, parsed with the standard library's json. The policy has six routes of which
two are ruled out, the offer two rates and one tier.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source, Tier
from baseload.cost.tokens import price
from baseload.load.facts import Bucket, Facts
from baseload.policy.decide import State, decide
from baseload.policy.policy import Policy, Route
from baseload.usage import Usage
from benchmarks.frame import Figure, beside, run

WHEN = datetime(2026, 5, 1, tzinfo=UTC)
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "word " * 190}], "temperature": 0.2})
OFFER = Offer(
    "acme",
    "large",
    Source("price sheet", Precedence.YOURS, date(2026, 1, 1), "invented for this benchmark"),
    (
        PriceRow(
            Rates(input=Decimal(3), output=Decimal(15)),
            tiers=(Tier(200_000, Rates(input=Decimal(6), output=Decimal("22.5"))),),
        ),
    ),
)
USAGE = Usage(input_tokens=1_155, output_tokens=211)
FACTS = Facts(at_ns=0, model="auto", bucket=Bucket.JUDGMENT, input_tokens=1_155, output_cap=500, residency="eu")
STATE = State(in_flight={"up-0": 3})


def route(place: int) -> Route:
    return Route(
        name=f"route-{place}",
        upstream=f"up-{place}",
        model=f"model-{place}",
        offer="acme/large",
        success={Bucket.JUDGMENT: 0.9},
        own=place == 0,
        slots=32 if place == 0 else None,
        residency="eu" if place < 4 else "us",
    )


POLICY = Policy(routes=tuple(route(place) for place in range(6)), aliases={"auto": Bucket.JUDGMENT})


def estimate(candidate: Route, facts: Facts) -> int:
    return len(candidate.name) * facts.input_tokens


def measure(quick: bool) -> Iterator[Figure]:
    rounds, times = (5, 200) if quick else (31, 5_000)
    work = {
        "decide over six routes": lambda: decide(FACTS, POLICY, STATE, estimate, policy_version="p@1", id="d"),
        "price of one attempt": lambda: price(USAGE, OFFER, WHEN),
    }
    for name, each in work.items():
        yield from beside(name, each, "json.loads of a 1 kB body", lambda: json.loads(BODY), rounds=rounds, times=times)


if __name__ == "__main__":
    run(__doc__, measure)
