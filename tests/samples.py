"""Calls to write down, drawn from plain arguments."""

from __future__ import annotations

from baseload.load.calls import Attempt, Call, Choice, Decision, Evidence, Skip, Status
from baseload.load.facts import Bucket, Facts
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage

START_NS = 1_700_000_000 * NANOSECONDS_PER_SECOND


def attempt(number: int = 1, *, route: str = "api", cost: int | None = 1_000, **fields: object) -> Attempt:
    given: dict[str, object] = {
        "number": number,
        "route": route,
        "upstream": route,
        "model": f"{route}-model",
        "offer": "own/pool-model" if route == "pool" else f"acme/{route}-model",
        "started_ns": START_NS,
        "ended_ns": START_NS + NANOSECONDS_PER_SECOND,
        "usage": Usage(input_tokens=100, output_tokens=20),
        "cost_nanousd": cost,
        "book": "a book",
    }
    return Attempt(**(given | fields))


def call(id: str, *attempts: Attempt, seconds: float = 0, **fields: object) -> Call:
    """A call that arrived `seconds` after START_NS; one attempt of 1,000 nano-dollars unless others are given."""
    facts = {
        "at_ns": START_NS + int(seconds * NANOSECONDS_PER_SECOND),
        "model": "auto",
        "bucket": Bucket.JUDGMENT,
        "input_tokens": 100,
        "tags": {"run": "one"},
    }
    own = {name: fields.pop(name) for name in list(fields) if name in Facts.__struct_fields__}
    return Call(
        id=id,
        facts=Facts(**(facts | own)),
        decision=Decision(
            id=f"d-{id}",
            policy="p@1",
            routes=(Choice("api", "cheapest", 1_000),),
            skipped=(Skip("pool", "full: 8 requests in flight"),),
        ),
        attempts=attempts or (attempt(),),
        ended_ns=START_NS + int((seconds + 1) * NANOSECONDS_PER_SECOND),
        **fields,
    )


FAILED = attempt(status=Status.FAILED, usage=Usage(), evidence=Evidence.NONE, cost=None, http_status=503)
