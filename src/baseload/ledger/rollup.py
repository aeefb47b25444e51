"""The sums of a segment, so that a question need not read its rows. Pure: SQL in words, which DuckDB and Spark share.

A row of a roll-up adds up the attempts of a quarter of an hour that are alike in the dimensions it was made by. A
quarter, because every clock of today is whole quarters away from UTC. Which dimensions it keeps is found by looking: it
is made only where it is much shorter than what it adds up, so those with the most values go until it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from baseload.ledger import wide
from baseload.ledger.tables import LEAVES
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_MINUTE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

QUARTER_NS = 15 * SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND
# How many rows one row of a roll-up has to stand for, on the average.
WORTH = 8
# A segment with fewer rows is read as quickly as its roll-up would be.
LEAST_ROWS = 1_000

# What may be grouped by and asked for, beside times.
NAMES = (
    *wide.TAGS,
    *("model", "upstream", "route", "offer", "book", "status", "service_tier"),
    *("bucket", "asked_model", "policy"),
)

MEASURES = {
    "calls": "case when final then 1 else 0 end",
    "attempts": "case when number is not null then 1 else 0 end",
    "failed": "case when status in ('failed', 'timeout') then 1 else 0 end",
    "unpriced": "case when evidence <> 'none' and cost_nanousd is null then 1 else 0 end",
    **{leaf: leaf for leaf in LEAVES},
    "cost_nanousd": "cost_nanousd",
    "own_nanousd": "case when own = 1 then cost_nanousd end",
    "provider_nanousd": "provider_nanousd",
}
"""What is counted, and how it is told of one row of an attempt."""

QUARTER = f"at_ns - at_ns % {QUARTER_NS}"


def summed(source: str, by: Sequence[str]) -> str:
    """Rows of attempts as the rows of a roll-up."""
    keys = "".join(f", coalesce({name}, '') as {name}" for name in by)
    sums = ", ".join(f"cast(coalesce(sum({how}), 0) as bigint) as {name}" for name, how in MEASURES.items())
    groups = ", ".join([QUARTER, *(f"coalesce({name}, '')" for name in by)])
    return f"select {QUARTER} as at_ns{keys}, {sums} from {source} group by {groups}"  # noqa: S608 - names of ours


def dimensions(connection: DuckDBPyConnection, source: str) -> tuple[str, ...] | None:
    """By which dimensions rows are worth to be added up; None where it would shorten nothing."""
    counts = ", ".join(f"approx_count_distinct({name})" for name in NAMES)
    rows, *values = connection.execute(f"select count(*), {counts} from {source}").fetchall()[0]  # noqa: S608
    by_values = dict(zip(NAMES, values, strict=True))
    kept = list(NAMES)
    while rows >= LEAST_ROWS:
        names = ", ".join([QUARTER, *kept])
        (found,) = connection.execute(f"select count(*) from (select distinct {names} from {source})").fetchall()[0]  # noqa: S608
        if found * WORTH <= rows:
            return tuple(kept)
        if not kept:
            break
        kept.remove(max(kept, key=lambda name: by_values[name]))
    return None
