"""Pages of buckets of time, as the usage and cost reports of OpenAI and of Anthropic give them. Pure.

A record is a bucket that holds its lines under `results`, or one line that says its own span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from baseload.imports.entry import Asked, Item, Skipped, each_of
from baseload.imports.fields import Row, moment, money, name, rows

EMPTY = Skipped("a bucket without a line")
Names = tuple[str, ...]
"""The names under which a moment may stand, the first of which is said in errors."""
Line = Callable[[Row, int, int], Item]
"""Makes an item of a line and its span in nanoseconds since the epoch."""


def bucketed(start: Names, end: Names, line: Line) -> Callable[[Row, Asked], Iterable[Item]]:
    """Reads records of a report. Its reader raises ValueError for a line that is broken outside of a bucket."""

    def one(bucket: Row, held: Row, asked: Asked) -> Item:
        start_ns, end_ns = _at(bucket, start, asked), _at(bucket, end, asked)
        if end_ns <= start_ns:
            raise ValueError(f"{end[0]} is not after {start[0]}")
        return line(held, start_ns, end_ns)

    def read(row: Row, asked: Asked) -> Iterator[Item]:
        if "results" not in row:
            yield one(row, row, asked)
            return
        found = rows(row["results"])
        yield from each_of(found, lambda each: one(row, each, asked))
        if not found:
            yield EMPTY

    return read


def _at(bucket: Row, names: Names, asked: Asked) -> int:
    value = next((bucket[each] for each in names if bucket.get(each)), None)
    return moment(value, names[0], asked.zone)


def dollars(value: object, currency: object, parts: int = 1) -> Decimal | None:
    """An amount in USD, exact, of figures that count hundredths where `parts` is 100; None for an empty one.

    >>> dollars("123.45", "USD", 100)
    Decimal('1.2345')
    """
    amount, of = money(value, "amount"), name(currency, "currency")
    if amount is None:
        return None
    if of.lower() not in ("", "usd"):
        raise ValueError(f"the amount is in {of}, and only USD can be summed")
    return amount / parts if parts != 1 else amount
