"""The lake: hours that are over, in Parquet, in a folder or an object store. Acts. Needs the extra `lake`.

    calls/dt=2026-11-21/hour=14/00000017-9f2c.parquet     rows by arrival; see `wide` for the columns
    calls/dt=2026-11-21/hour=all/00000031-07aa.parquet    a whole day that was merged
    sums/dt=2026-11-21/hour=14/00000017-9f2c.parquet      the same, rolled up; see `rollup`
    manifest/00000017.json                                what there is; nothing else is read

Files are put under names that nobody else uses, and then the manifest names them. Whatever dies in between, the next
time begins where the manifest ends. A call that comes late to an hour is sealed into another segment of it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import func, select

from baseload.clock import from_ns
from baseload.errors import LedgerUnavailable
from baseload.ledger import rollup, rows, tables, wide
from baseload.ledger.duck import duck, parquet, quoted, staging
from baseload.ledger.manifest import NOTHING, Manifest, RollUp, Segment, Sums
from baseload.ledger.query import Answers, position
from baseload.ledger.shelf import Folder, Shelf, shelf_at
from baseload.ledger.tables import LEAVES
from baseload.load.calls import Call
from baseload.units import HOURS_PER_DAY, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOLDER = "lake"
KINDS = CALLS, SUMS = "calls", "sums"
HOUR_NS = SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
DAY_NS = HOURS_PER_DAY * HOUR_NS
PAGE = 2_000
# The most rows of a day that are merged into one file; hours of a busier day stay as they are.
DAY_ROWS = 2_000_000

_NUMBER = re.compile("[0-9]{8}")
_SUMS = f"""
select count(*) filter (final), count(*),
  count(*) filter (evidence <> 'none' and cost_nanousd is null),
  coalesce(sum({" + ".join(LEAVES)}), 0), coalesce(sum(cost_nanousd), 0), coalesce(sum(provider_nanousd), 0)
from """  # noqa: S608 - the names are those of Usage's fields


class Lake:
    """The lake on a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.manifest = Manifest(shelf)

    def seal(self, store: Answers, before_ns: int) -> list[Segment]:
        """Write every hour that was over before `before_ns` down, with what came to it since it was sealed last. Others
        may do the same at the same time: each call is in the lake once."""
        name, upto = identity(store), position(store)
        made: list[Segment] = []
        self.manifest.refresh()
        while hours := self._hours(store, name, upto, before_ns - before_ns % HOUR_NS):
            with duck(self.shelf) as connection:
                for hour_ns in hours:
                    segment = self._seal_hour(connection, store, hour_ns, {name: upto})
                    if segment is None:  # somebody else was first: see what is left to do
                        self.manifest.refresh()
                        break
                    made += [segment] if segment.path else []
        return made

    def compact(self, before_ns: int) -> list[Segment]:
        """Merge the segments of every hour that has several, and of every day that was over before `before_ns` and is
        not too large. Their files go when the merged one is written down."""
        self.manifest.refresh()
        made: list[Segment] = []
        with duck(self.shelf) as connection:
            for (start_ns, end_ns), parts in self._mergeable(before_ns - before_ns % DAY_NS).items():
                merged = parquet(self.addresses(parts))
                replaces = tuple(each.number for each in parts)
                segment = self.add(connection, start_ns, end_ns, merged, replaces=replaces)
                if segment is None:
                    break
                made.append(segment)
        self.manifest.refresh()
        self.sweep()
        return made

    def remove(self, before_ns: int) -> Segment | None:
        """Take away what arrived before a moment, whole segments only; the manifest keeps what it was."""
        self.manifest.refresh()
        old = [each for each in self.manifest.living if each.end_ns <= before_ns]
        if not old:
            return None
        start_ns, end_ns = min(each.start_ns for each in old), max(each.end_ns for each in old)
        gone = self._entry(start_ns, end_ns, replaces=tuple(each.number for each in old))
        if not self.manifest.append(gone):
            raise LedgerUnavailable(
                f"another process writes to {self.shelf.name}", remedy="Wait until it has ended, then try again."
            )
        self.sweep()
        return gone

    def sweep(self) -> None:
        """Delete files that the manifest names no more, and those that it never named and never will."""
        named = {path for each in self.manifest.living for path in each.paths}
        for kind in KINDS:
            for path in self.shelf.under(kind):
                number = _NUMBER.match(path.rpartition("/")[2])
                if path not in named and number is not None and int(number[0]) < self.manifest.number:
                    self.shelf.remove(path)

    def addresses(self, segments: Iterable[Segment]) -> list[str]:
        """Where the rows of some segments are."""
        return [self.shelf.address(each.path) for each in segments]

    def ids(self, segments: Sequence[Segment], hour_ns: int) -> set[str]:
        """The calls of an hour in some segments."""
        if not segments:
            return set()
        with duck(self.shelf) as connection:
            return ids_of(connection, self.addresses(segments), hour_ns)

    def calls(self, hour_ns: int) -> list[Call]:
        """The calls of an hour as they were metered, by arrival."""
        segments = self.manifest.holding(hour_ns)
        if not segments:
            return []
        sql = f"select document from {parquet(self.addresses(segments))} where final and at_ns >= ? and at_ns < ?"  # noqa: S608
        with duck(self.shelf) as connection:
            found = connection.execute(f"{sql} order by at_ns, id", [hour_ns, hour_ns + HOUR_NS]).fetchall()
        return [rows.call_of(document.encode()) for (document,) in found]

    def _hours(self, store: Answers, name: str, upto: int, before_ns: int) -> list[int]:
        """Hours of which the lake does not hold everything."""
        sealed = self.manifest.sealed(name)
        return [hour for hour, last in hours_of(store, upto, before_ns) if last > sealed.get(hour, 0)]

    def _seal_hour(
        self, connection: DuckDBPyConnection, store: Answers, hour_ns: int, upto: dict[str, int]
    ) -> Segment | None:
        """One more segment, or an entry without a file where nothing is new; None when somebody else was first."""
        ((name, last),) = upto.items()
        after = self.manifest.sealed(name).get(hour_ns, 0)
        known = ids_of(connection, self.addresses(self.manifest.holding(hour_ns)), hour_ns)
        with tempfile.NamedTemporaryFile(suffix=".rows") as staged:
            for call in arrived(store, hour_ns, after, last):
                if call.id not in known:  # as calls of a ledger that was lost and imported again are
                    staged.writelines(wide.lines(call))
            staged.flush()
            if not staged.tell():
                entry = self._entry(hour_ns, hour_ns + HOUR_NS, upto=upto)
                return entry if self.manifest.append(entry) else None
            return self.add(connection, hour_ns, hour_ns + HOUR_NS, staging(Path(staged.name)), upto=upto)

    def _mergeable(self, before_ns: int) -> dict[tuple[int, int], list[Segment]]:
        """What is to be merged: spans and their segments."""
        days: dict[int, list[Segment]] = defaultdict(list)
        for each in self.manifest.living:
            days[each.start_ns - each.start_ns % DAY_NS].append(each)
        found: dict[tuple[int, int], list[Segment]] = {}
        for day_ns, parts in sorted(days.items()):
            whole = day_ns + DAY_NS <= before_ns and sum(each.sums.rows for each in parts) <= DAY_ROWS
            for each in parts:
                place = (day_ns, day_ns + DAY_NS) if whole else (each.start_ns, each.end_ns)
                found.setdefault(place, []).append(each)
        return {place: parts for place, parts in found.items() if len(parts) > 1}

    def add(
        self,
        connection: DuckDBPyConnection,
        start_ns: int,
        end_ns: int,
        source: str,
        *,
        upto: dict[str, int] | None = None,
        replaces: tuple[int, ...] = (),
    ) -> Segment | None:
        """Write rows of DuckDB's down as a segment; None when somebody else wrote to the lake meanwhile."""
        entry = self._entry(start_ns, end_ns, upto=upto, replaces=replaces)
        place = _place(entry)
        with tempfile.TemporaryDirectory(prefix="baseload-lake-") as folder:
            calls, sums = (Path(folder) / kind for kind in KINDS)
            _write(connection, f"from {source} order by at_ns, id, number", calls)
            rows_of = parquet([str(calls)])
            found, by = sums_of(connection, rows_of), rollup.dimensions(connection, rows_of)
            self._check_whole(found, replaces)
            if by is not None and not _write_sums(connection, rollup.summed(rows_of, by), sums):
                by = None
            path, roll_up = f"{CALLS}/{place}", None
            if by is not None:
                roll_up = RollUp(path=f"{SUMS}/{place}", sha256=_digest(sums), by=by)
                self.shelf.put(roll_up.path, sums)
            self.shelf.put(path, calls)
            segment = msgspec.structs.replace(entry, path=path, sha256=_digest(calls), sums=found, roll_up=roll_up)
        segment = segment.signed()
        if self.manifest.append(segment):
            return segment
        for each in segment.paths:
            self.shelf.remove(each)
        return None

    def _entry(
        self, start_ns: int, end_ns: int, *, upto: dict[str, int] | None = None, replaces: tuple[int, ...] = ()
    ) -> Segment:
        """The next entry, without a file yet."""
        return Segment(
            number=self.manifest.number,
            start_ns=start_ns,
            end_ns=end_ns,
            path="",
            sha256="",
            sums=NOTHING,
            upto=upto or {},
            previous=self.manifest.last,
            replaces=replaces,
        ).signed()

    def _check_whole(self, merged: Sums, replaces: tuple[int, ...]) -> None:
        """What was merged is all that there was."""
        if not replaces:
            return
        parts = [each.sums for each in self.manifest.living if each.number in replaces]
        for name in Sums.__struct_fields__:
            if getattr(merged, name) != sum(getattr(part, name) for part in parts):
                raise LedgerUnavailable(
                    f"segments {replaces} of {self.shelf.name} do not add up to what was sealed: {name} differs",
                    remedy="See what is damaged: baseload ledger verify.",
                )


def lake_at(directory: Path, address: str = "") -> Lake:
    """The lake at an address, by default beside the ledger in `directory`. Raises LedgerUnavailable."""
    return Lake(shelf_at(address) if address else Folder(directory / FOLDER))


def identity(store: Answers) -> str:
    """Which store it is; positions mean something in it alone."""
    return str(store.rows(select(tables.identity.c.name))[0][0])


def hours_of(store: Answers, upto: int, before_ns: int) -> list[tuple[int, int]]:
    """The hours of which a store holds calls, each with the last position of one."""
    table = tables.calls.c
    hour = (table.at_ns - table.at_ns % HOUR_NS).label("hour")
    query = select(hour, func.max(table.position).label("last")).where(table.at_ns < before_ns, table.position <= upto)
    return [(row.hour, row.last) for row in store.rows(query.group_by(hour).order_by(hour))]


def arrived(store: Answers, hour_ns: int, after: int, upto: int) -> Iterator[Call]:
    """Calls of an hour that were recorded beyond one position and up to another, page by page."""
    table = tables.calls.c
    query = select(table.position, table.document).where(table.at_ns >= hour_ns, table.at_ns < hour_ns + HOUR_NS)
    query = query.where(table.position <= upto).order_by(table.position).limit(PAGE)
    while page := store.rows(query.where(table.position > after)):
        for row in page:
            yield rows.call_of(row.document)
        after = page[-1].position


def _place(entry: Segment) -> str:
    at = from_ns(entry.start_ns)
    hour = f"{at:%H}" if entry.end_ns - entry.start_ns == HOUR_NS else "all"
    return f"dt={at:%Y-%m-%d}/hour={hour}/{entry.number:08d}-{secrets.token_hex(4)}.parquet"


def _write(connection: DuckDBPyConnection, source: str, path: Path) -> None:
    connection.execute(f"copy ({source}) to {quoted(path)} (format parquet, compression zstd)")


def _write_sums(connection: DuckDBPyConnection, source: str, path: Path) -> bool:
    """Write a roll-up; False for one with a sum that no file holds."""
    import duckdb

    try:
        _write(connection, f"{source} order by all", path)
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        return False
    return True


def ids_of(connection: DuckDBPyConnection, addresses: Sequence[str], hour_ns: int) -> set[str]:
    """The calls of an hour in some files."""
    if not addresses:
        return set()
    sql = f"select id from {parquet(addresses)} where final and at_ns >= ? and at_ns < ?"  # noqa: S608
    return {name for (name,) in connection.execute(sql, [hour_ns, hour_ns + HOUR_NS]).fetchall()}


def sums_of(connection: DuckDBPyConnection, source: str) -> Sums:
    """What rows add up to."""
    found = connection.execute(_SUMS + source).fetchall()[0]
    return Sums(**dict(zip(Sums.__struct_fields__, map(int, found), strict=True)))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
