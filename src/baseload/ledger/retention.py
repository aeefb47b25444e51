"""Calls that are old leave the hot store once the lake has them for certain, and the lake in the end. Acts (deletes).

Certain is what was looked through this time: the files of an hour are what was sealed, add up to it, and hold every
single call that is to go. The newest call of all stays, so that positions go on from where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import select

from baseload.clock import from_ns
from baseload.errors import BadConfig, LedgerUnavailable
from baseload.ledger import removed
from baseload.ledger.duck import duck
from baseload.ledger.lake import DAY_NS, HOUR_NS, PAGE, Lake, hours_of, identity, ids_of
from baseload.ledger.query import Answers, position
from baseload.ledger.store import HotStore
from baseload.ledger.tables import calls
from baseload.ledger.verify import damage


class Trimmed(NamedTuple):
    """How many calls left the hot store, and the lake."""

    hot: int
    lake: int


def trimmed(store: HotStore, lake: Lake, now_ns: int, hot_days: int | None, lake_days: int | None) -> Trimmed:
    """Take out what is older than so many days; None keeps everything. Raises LedgerUnavailable where the lake does not
    hold what it should, and BadConfig where the calls taken out before are in another lake."""
    elsewhere = sorted(set(removed.lakes(store)) - {lake.shelf.name})
    if elsewhere:
        raise BadConfig(
            f"calls of {store.name} were moved to the lake at {elsewhere[0]}, not {lake.shelf.name}",
            remedy="Name the lake that they are in; to move it, copy its files and keep its address.",
        )
    lake.manifest.refresh()
    hot = 0 if hot_days is None else _out_of_store(store, lake, now_ns - hot_days * DAY_NS)
    gone = None if lake_days is None else lake.remove(now_ns - lake_days * DAY_NS)
    if gone is None:
        return Trimmed(hot, 0)
    return Trimmed(hot, sum(each.sums.calls for each in lake.manifest.segments if each.number in gone.replaces))


def _out_of_store(store: HotStore, lake: Lake, before_ns: int) -> int:
    """Hour by hour, a page in one transaction, so that nobody who records waits for long."""
    sealed = lake.manifest.sealed(identity(store))
    newest = position(store)
    looked_through: set[int] = set()
    count = 0
    for hour_ns, _ in hours_of(store, newest - 1, before_ns - before_ns % HOUR_NS):
        upto = min(sealed.get(hour_ns, 0), newest - 1)
        if not upto:
            continue
        there = None if hour_ns < lake.manifest.removed else _certain(lake, hour_ns, looked_through)
        for ids in _pages(store, hour_ns, upto):
            missing = [] if there is None else [each for each in ids if each not in there]
            if missing:
                raise LedgerUnavailable(
                    f"{from_ns(hour_ns):%Y-%m-%d %H:00} UTC: {missing[0]} was sealed and is not in the lake",
                    remedy="See what else is missing: baseload ledger verify. Nothing was taken out of that hour.",
                )
            with store.writing() as connection:
                removed.take_out(connection, hour_ns, ids, lake.shelf.name)
            count += len(ids)
    return count


def _certain(lake: Lake, hour_ns: int, looked_through: set[int]) -> set[str]:
    """The calls that the lake has of an hour, in files that are whole."""
    segments = lake.manifest.holding(hour_ns)
    with duck(lake.shelf) as connection:
        for each in segments:
            trouble = "" if each.number in looked_through else damage(connection, lake, each)
            if trouble:
                raise LedgerUnavailable(
                    trouble, remedy="Restore that file from a copy; until then nothing leaves the hot store."
                )
            looked_through.add(each.number)
        return ids_of(connection, lake.addresses(segments), hour_ns)


def _pages(store: Answers, hour_ns: int, upto: int) -> Iterator[list[str]]:
    """The ids of an hour up to a position. What a page named is gone when the next one is asked for."""
    query = select(calls.c.id).where(calls.c.at_ns >= hour_ns, calls.c.at_ns < hour_ns + HOUR_NS)
    query = query.where(calls.c.position <= upto).order_by(calls.c.position).limit(PAGE)
    while page := [row.id for row in store.rows(query)]:
        yield page
