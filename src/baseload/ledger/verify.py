"""Whether the lake is whole: every file and sum, the chain of hashes, every call of the hot store. Acts (reads)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from baseload.errors import BaseloadError
from baseload.ledger import removed, rollup, tables
from baseload.ledger.duck import duck, parquet, told
from baseload.ledger.intact import altered, digests_of, documents, named, of_hour
from baseload.ledger.lake import HOUR_NS, Lake, identity, sums_of
from baseload.ledger.manifest import RollUp, Segment
from baseload.ledger.query import Answers

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def broken(lake: Lake, store: Answers | None) -> list[str]:
    """Everything that is not as it was sealed, in words; nothing when all is well."""
    found = [*lake.manifest.breaks()]
    whole = []
    with duck(lake.shelf) as connection:
        for each in lake.manifest.living:
            trouble = damage(connection, lake, each)
            found += [trouble] if trouble else []
            whole += [] if trouble else [each]
        if store is not None:
            found += [*_missing(connection, lake, store, whole), *_vanished(lake, store), *_removed(lake, store)]
    if store is not None:
        found += altered(store)
    return found


def damage(connection: DuckDBPyConnection, lake: Lake, segment: Segment) -> str:
    """What is wrong with the files of a segment; nothing when all is well."""
    path = lake.shelf.address(segment.path)
    try:
        digest = lake.shelf.digest(segment.path)
        if digest != segment.sha256:
            return f"{path} is not what was sealed: its sha256 is {digest}, and was {segment.sha256}"
        with told():
            sums = sums_of(connection, parquet([path]))
            if sums != segment.sums:
                return f"{path} adds up to {sums}, and was sealed as {segment.sums}"
            return _unlike(connection, lake, segment, segment.roll_up) if segment.roll_up is not None else ""
    except BaseloadError as error:
        return f"{error.message}: {segment.sums.calls:,} calls are missing"


def _unlike(connection: DuckDBPyConnection, lake: Lake, segment: Segment, roll_up: RollUp) -> str:
    """What is wrong with a roll-up: it has to be what its segment adds up to."""
    path = lake.shelf.address(roll_up.path)
    if lake.shelf.digest(roll_up.path) != roll_up.sha256:
        return f"{path} is not what was sealed"
    summed = rollup.summed(parquet([lake.shelf.address(segment.path)]), roll_up.by)
    columns = ", ".join(("at_ns", *roll_up.by, *rollup.MEASURES))
    there = f"select {columns} from {parquet([path])}"  # noqa: S608 - names of ours
    sql = f"select count(*) from ((({summed}) except all ({there})) union all (({there}) except all ({summed})))"  # noqa: S608
    (other,) = connection.execute(sql).fetchall()[0]
    return f"{path} does not add up to its segment: {other:,} rows differ" if other else ""


def _removed(lake: Lake, store: Answers) -> Iterator[str]:
    """Hours of which more calls were taken out of the hot store than the manifest tells of."""
    given = _given(lake)
    for hour_ns, calls in removed.by_hour(store).items():
        if given[hour_ns] < calls:
            yield f"{of_hour(hour_ns, calls)} left the hot store, and the lake was given {given[hour_ns]:,}"


def _given(lake: Lake) -> dict[int, int]:
    """How many calls of each hour the manifest tells of; 0 of any other."""
    given: dict[int, int] = defaultdict(int)
    for each in lake.manifest.segments:
        if each.upto:
            given[each.start_ns] += each.sums.calls
    return given


def _vanished(lake: Lake, store: Answers) -> Iterator[str]:
    """Hours of which calls that were sealed are in the hot store no more, and nobody took them out. Where other stores
    were sealed into the same lake nobody can tell."""
    if {name for each in lake.manifest.segments for name in each.upto} != {identity(store)}:
        return
    here = {hour_ns: _count(store, hour_ns, upto) for hour_ns, upto in lake.manifest.sealed(identity(store)).items()}
    gone = removed.by_hour(store)  # in this order: a call that is taken out meanwhile is in both
    for hour_ns, calls in sorted(_given(lake).items()):
        left = here[hour_ns] + gone.get(hour_ns, 0)
        if left < calls:
            yield f"{of_hour(hour_ns, calls)} were sealed, and the hot store knows of {left:,}"


def _count(store: Answers, hour_ns: int, upto: int) -> int:
    """How many calls of an hour a store holds up to a position."""
    table = tables.calls.c
    query = select(func.count()).where(table.at_ns >= hour_ns, table.at_ns < hour_ns + HOUR_NS, table.position <= upto)
    return int(store.rows(query)[0][0])


def _missing(connection: DuckDBPyConnection, lake: Lake, store: Answers, whole: list[Segment]) -> Iterator[str]:
    """Hours of which the hot store has calls that were sealed and are in no file that is whole, or are others there."""
    good = {each.number for each in whole}
    for hour_ns, upto in lake.manifest.sealed(identity(store)).items():
        if hour_ns < lake.manifest.removed:
            continue
        hot = {name: digest for page in documents(store, hour_ns, upto) for name, digest in page}
        if not hot:
            continue
        there = [each for each in lake.manifest.holding(hour_ns) if each.number in good]
        sealed = digests_of(connection, lake.addresses(there), hour_ns)
        lost = sorted(hot.keys() - sealed.keys())
        if lost:
            yield f"{of_hour(hour_ns, len(lost))} of the hot store are missing: {named(lost)}"
        other = sorted(name for name in hot.keys() & sealed.keys() if hot[name] != sealed[name])
        if other:
            yield f"{of_hour(hour_ns, len(other))} of the hot store are not what was sealed: {named(other)}"
