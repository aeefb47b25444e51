"""The lake: hours that are over, in Parquet, an hour of UTC in a folder of its own. Acts. Needs the extra `lake`.

    lake/dt=2026-11-21/hour=14/00000017.parquet      rows by arrival; see `wide` for the columns
    lake/manifest.jsonl                              what there is; nothing else is read

A segment is written under another name, synced and renamed, and then the manifest names it. Whatever dies in between,
the next time begins where the manifest ends. Sealing takes nothing out of the hot store; a call that comes late to an
hour is sealed into another segment of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from baseload.clock import from_ns
from baseload.errors import BadConfig, LedgerUnavailable
from baseload.ledger import rows, tables, wide
from baseload.ledger.manifest import Manifest, Segment, Sums, held
from baseload.ledger.query import Answers, position
from baseload.ledger.tables import LEAVES
from baseload.load.calls import Call
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOLDER = "lake"
HOUR_NS = SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
PAGE = 2_000
LONGEST_LINE = 1 << 30

_SUMS = f"""
select count(*) filter (final), count(*),
  count(*) filter (evidence <> 'none' and cost_nanousd is null),
  coalesce(sum({" + ".join(LEAVES)}), 0), coalesce(sum(cost_nanousd), 0), coalesce(sum(provider_nanousd), 0)
from read_parquet(?, hive_partitioning = false)
"""  # noqa: S608 - the names are those of Usage's fields


class Lake:
    """The lake beside the ledger in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / FOLDER
        self.manifest = Manifest(self.folder)

    def seal(self, store: Answers, before_ns: int) -> list[Segment]:
        """Write every hour that was over before `before_ns` down, with what came to it since it was sealed last."""
        with held(self.folder):
            self.manifest = Manifest(self.folder)
            name, upto = identity(store), position(store)
            made = []
            for hour_ns in self._hours(store, name, upto, before_ns - before_ns % HOUR_NS):
                calls = self._unknown(hour_ns, _arrived(store, hour_ns, self.sealed(name).get(hour_ns, 0), upto))
                segment = self._write(hour_ns, (line for call in calls for line in wide.lines(call)), {name: upto})
                made += [segment] if segment is not None else []
            return made

    def compact(self) -> list[Segment]:
        """Merge the segments of every hour that has several. Their files go when the merged one is written down."""
        with held(self.folder):
            self.manifest = Manifest(self.folder)
            made = [self._merge(hour, parts) for hour, parts in self.by_hour().items() if len(parts) > 1]
            for number in {number for each in self.manifest.segments for number in each.replaces}:
                self.file(self.manifest.segments[number]).unlink(missing_ok=True)
            return made

    def by_hour(self) -> dict[int, list[Segment]]:
        """Living segments by the hour that they hold."""
        found = defaultdict(list)
        for each in self.manifest.living:
            found[each.hour_ns].append(each)
        return dict(sorted(found.items()))

    def sealed(self, store: str) -> dict[int, int]:
        """Up to which position of a store each hour is in the lake."""
        found: dict[int, int] = {}
        for each in self.manifest.living:
            found[each.hour_ns] = max(found.get(each.hour_ns, 0), each.upto.get(store, 0))
        return found

    def file(self, segment: Segment) -> Path:
        return self.folder / segment.path

    def sums(self, paths: Sequence[Path]) -> Sums:
        """What files add up to. Raises LedgerUnavailable for one that cannot be read."""
        with duck() as connection:
            found = connection.execute(_SUMS, [[literal(path) for path in paths]]).fetchall()[0]
        return Sums(**dict(zip(Sums.__struct_fields__, map(int, found), strict=True)))

    def ids(self, segments: Iterable[Segment]) -> set[str]:
        """The calls in some segments."""
        files = [literal(self.file(each)) for each in segments]
        if not files:
            return set()
        with duck() as connection:
            sql = "select id from read_parquet(?, hive_partitioning = false) where final"
            return {name for (name,) in connection.execute(sql, [files]).fetchall()}

    def _hours(self, store: Answers, name: str, upto: int, before_ns: int) -> list[int]:
        """Hours of which the lake does not hold everything."""
        table = tables.calls.c
        hour = (table.at_ns - table.at_ns % HOUR_NS).label("hour")
        query = select(hour, func.max(table.position).label("last")).where(table.at_ns < before_ns)
        sealed = self.sealed(name)
        found = store.rows(query.where(table.position <= upto).group_by(hour).order_by(hour))
        return [row.hour for row in found if row.last > sealed.get(row.hour, 0)]

    def _unknown(self, hour_ns: int, calls: Iterator[Call]) -> Iterator[Call]:
        """Without what is in the lake already, as calls of a ledger that was lost and imported again are."""
        known = self.ids(self.by_hour().get(hour_ns, ()))
        return (call for call in calls if call.id not in known)

    def _write(self, hour_ns: int, lines: Iterator[bytes], upto: dict[str, int]) -> Segment | None:
        """One more segment; None when there is nothing to write."""
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".rows") as staged:
            staged.writelines(lines)
            staged.flush()
            if not staged.tell():
                return None
            return self._add(hour_ns, f"from {staging(Path(staged.name))}", upto)

    def _merge(self, hour_ns: int, parts: Sequence[Segment]) -> Segment:
        upto: dict[str, int] = {}
        for each in parts:
            upto |= {name: max(at, upto.get(name, 0)) for name, at in each.upto.items()}
        files = ", ".join(quoted(literal(self.file(each))) for each in parts)
        rows_of = f"from read_parquet([{files}], hive_partitioning = false)"
        return self._add(hour_ns, rows_of, upto, tuple(each.number for each in parts))

    def _add(self, hour_ns: int, rows_of: str, upto: dict[str, int], replaces: tuple[int, ...] = ()) -> Segment:
        """Write a file whole, then name it in the manifest."""
        number, at = len(self.manifest.segments), from_ns(hour_ns)
        path = Path(f"dt={at:%Y-%m-%d}") / f"hour={at:%H}" / f"{number:08d}.parquet"
        target = self.folder / path
        draft = target.with_suffix(".draft")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with duck() as connection:
                connection.execute(
                    f"copy ({rows_of} order by at_ns, id, number) to {quoted(draft)} (format parquet, compression zstd)"
                )
            digest = _synced(draft)
            sums = self.sums([draft])
            if replaces:
                self._check_whole(sums, replaces)
            draft.rename(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise LedgerUnavailable(
                f"{target} cannot be written: {error}", remedy="Free space on that disk."
            ) from error
        segment = Segment(
            number=number,
            hour_ns=hour_ns,
            path=str(path),
            sha256=digest,
            sums=sums,
            upto=upto,
            previous=self.manifest.last,
            replaces=replaces,
        ).signed()
        self.manifest.append(segment)
        return segment

    def _check_whole(self, merged: Sums, replaces: tuple[int, ...]) -> None:
        """What was merged is all that there was."""
        parts = [self.manifest.segments[number].sums for number in replaces]
        for name in Sums.__struct_fields__:
            if getattr(merged, name) != sum(getattr(part, name) for part in parts):
                raise LedgerUnavailable(
                    f"segments {replaces} of {self.folder} do not add up to what was sealed: {name} differs",
                    remedy="See what is damaged: baseload ledger verify.",
                )


def identity(store: Answers) -> str:
    """Which store it is; positions mean something in it alone."""
    return str(store.rows(select(tables.identity.c.name))[0][0])


def _arrived(store: Answers, hour_ns: int, after: int, upto: int) -> Iterator[Call]:
    """Calls of an hour that were recorded beyond one position and up to another, page by page."""
    table = tables.calls.c
    query = select(table.position, table.document).where(table.at_ns >= hour_ns, table.at_ns < hour_ns + HOUR_NS)
    query = query.where(table.position <= upto).order_by(table.position).limit(PAGE)
    while page := store.rows(query.where(table.position > after)):
        for row in page:
            yield rows.call_of(row.document)
        after = page[-1].position


@contextmanager
def duck() -> Iterator[DuckDBPyConnection]:
    """A DuckDB in memory that fetches nothing: what it needs is in its wheel. Raises LedgerUnavailable."""
    try:
        import duckdb
    except ImportError as error:
        raise BadConfig(
            "the lake needs DuckDB, which is not installed", remedy="pip install 'baseload[lake]'"
        ) from error
    with duckdb.connect() as connection:
        for name in ("autoinstall_known_extensions", "autoload_known_extensions"):
            connection.execute(f"set {name} = false")
        try:
            yield connection
        except duckdb.Error as error:
            raise LedgerUnavailable(
                f"the lake cannot be used: {str(error).splitlines()[0]}",
                remedy="See what is damaged or missing: baseload ledger verify.",
            ) from error


def staging(path: Path) -> str:
    """A file of lines as a table of DuckDB's, without any guess at types."""
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in wide.COLUMNS.items())
    how = f"format = 'newline_delimited', columns = {{{columns}}}, maximum_object_size = {LONGEST_LINE}"
    return f"read_json({quoted(literal(path))}, {how})"


def literal(path: Path) -> str:
    """A path that is read as it stands: DuckDB takes what it reads for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def quoted(path: Path | str) -> str:
    """A path as a text of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def _synced(path: Path) -> str:
    """Make a file durable, and hash what is in it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
