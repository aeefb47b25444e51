"""Calls of the hot store, and those that have left it for the lake, in one order. Acts (reads)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import merge
from pathlib import Path

from baseload.errors import LedgerUnavailable
from baseload.ledger import removed
from baseload.ledger.lake import HOUR_NS, Lake, lake_at
from baseload.ledger.query import Answers, Filter
from baseload.ledger.rows import RUN
from baseload.load.calls import Call

Read = Callable[[Filter], Iterator[Call]]
"""Reads calls of the hot store in time order."""


def joined(store: Answers, read: Read, where: Filter) -> Iterator[Call]:
    """Every call that the filter lets through, in time order. Raises LedgerUnavailable when the lake cannot be read, or
    calls left the hot store while it was."""
    hours = [hour for hour in removed.by_hour(store) if _touches(hour, where)]
    lakes = [lake_at(Path(), address) for address in removed.lakes(store)] if hours else []
    at = where.since_ns
    for hour in hours:
        if at is None or at < hour:
            yield from read(replace(where, since_ns=at, until_ns=hour))
        yield from _hour(read, lakes, hour, where)
        at = hour + HOUR_NS
    if where.until_ns is None or at is None or at < where.until_ns:
        yield from read(replace(where, since_ns=at))
    if [hour for hour in removed.by_hour(store) if _touches(hour, where)] != hours:
        raise LedgerUnavailable(
            "calls left the hot store for the lake while they were read", remedy="Ask once more: it is done by then."
        )


def _hour(read: Read, lakes: list[Lake], hour_ns: int, where: Filter) -> Iterator[Call]:
    """An hour of which calls were taken out: what is left of it first, so that none is missed in between."""
    bounds = [max(hour_ns, where.since_ns or hour_ns), min(hour_ns + HOUR_NS, where.until_ns or hour_ns + HOUR_NS)]
    left = list(read(replace(where, since_ns=bounds[0], until_ns=bounds[1])))
    kept = [call for lake in lakes for call in lake.calls(hour_ns) if _passes(call, where)]
    names = {call.id for call in kept}
    yield from merge(
        kept, (call for call in left if call.id not in names), key=lambda call: (call.facts.at_ns, call.id)
    )


def _touches(hour_ns: int, where: Filter) -> bool:
    return (where.since_ns is None or hour_ns + HOUR_NS > where.since_ns) and (
        where.until_ns is None or hour_ns < where.until_ns
    )


def _passes(call: Call, where: Filter) -> bool:
    """Whether a filter lets a call through; the same as its conditions in SQL."""
    at, tags = call.facts.at_ns, call.facts.tags
    if (where.since_ns is not None and at < where.since_ns) or (where.until_ns is not None and at >= where.until_ns):
        return False
    return all(tags.get(tag, "" if tag == RUN else None) == value for tag, value in where.tags.items())
