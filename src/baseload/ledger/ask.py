"""One question to the hot store and the lake together: what was metered, by any dimensions, on any clock. Acts (reads).

What the lake holds is read from its files; what the hot store holds beyond that is laid beside them for the time of the
question. The question itself is `sql/spend.sql`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select

from baseload.errors import BadInput, NotEnoughData
from baseload.ledger import rows, tables, wide
from baseload.ledger.lake import HOUR_NS, PAGE, Lake, duck, identity, literal, quoted, staging
from baseload.ledger.query import Answers
from baseload.ledger.tables import LEAVES

# What may be grouped by and asked for. Times are those of the arrival, on the clock that was asked for.
NAMES = (
    *wide.TAGS,
    *("model", "upstream", "route", "offer", "book", "status", "service_tier"),
    *("bucket", "asked_model", "policy"),
)
TIMES = ("hour", "day", "week", "month")
COUNTS = ("calls", "attempts", "failed", "unpriced", *LEAVES, "cost_nanousd", "own_nanousd", "provider_nanousd")
_EVER = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Question:
    """Totals `by` dimensions of calls that arrived from `since_ns` to before `until_ns`, with these values in `where`.
    Hours, days, weeks and months are those of the time zone."""

    by: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    zone: str = "UTC"
    where: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = (*NAMES, *TIMES)
        for name in (*self.by, *self.where):
            if name not in known or (name in self.where and name in TIMES):
                raise BadInput(f"{name!r} is no dimension", remedy=f"Use {', '.join(known)}.")
        if len(set(self.by)) < len(self.by):
            raise BadInput("a dimension is named twice", remedy="Name each once.")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise BadInput(
                f"there is no time zone {self.zone!r}", remedy="Use a name such as UTC or Europe/Berlin."
            ) from error


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the answer: the values of the dimensions, then counts and nano-dollars, exact."""

    keys: tuple[str, ...]
    counts: dict[str, int]


def ask(question: Question, lake: Lake, store: Answers | None) -> list[Line]:
    """The answer, dearest first, or in time order where the first dimension is a time. Raises NotEnoughData when there
    is neither a hot store nor a lake."""
    segments = [each for each in lake.manifest.living if _touches(each.hour_ns, question)]
    if store is None and not lake.manifest.segments:
        raise NotEnoughData(
            f"there is no ledger in {lake.folder.parent}", remedy="Meter some calls first, as `baseload demo` does."
        )
    with _staged(question, lake, store) as hot, duck() as connection:
        connection.execute(f"set TimeZone = {quoted(Path(question.zone))}")
        sources = [f"from {staging(hot)}"]
        if segments:
            paths = ", ".join(quoted(literal(lake.file(each))) for each in segments)
            sources.append(f"from read_parquet([{paths}], hive_partitioning = false, union_by_name = true)")
        bounds = {
            "since_ns": _EVER[0] if question.since_ns is None else question.since_ns,
            "until_ns": _EVER[1] if question.until_ns is None else question.until_ns,
        }
        values = {f"where_{name}": value for name, value in question.where.items()}
        found = connection.execute(statement(question, " union all by name ".join(sources)), bounds | values)
        return [_line(row, len(question.by)) for row in found.fetchall()]


def statement(question: Question, source: str) -> str:
    """The question in SQL, over a source of rows."""
    keys = [f"{_expression(name)} as {name}_key" for name in question.by]
    order = [f"{name}_key" for name in question.by]
    sql = files("baseload.ledger").joinpath("sql/spend.sql").read_text(encoding="utf-8")
    parts = {
        "keys": "".join(f"{key}, " for key in keys),
        "leaves": ", ".join(f"coalesce(sum({leaf}), 0) as {leaf}" for leaf in LEAVES) + ",",
        "source": source,
        "conditions": " ".join(f"and coalesce({name}, '') = $where_{name}" for name in question.where),
        "order": ", ".join(order if question.by[:1] and question.by[0] in TIMES else ["cost_nanousd desc", *order]),
    }
    for name, part in parts.items():
        sql = sql.replace(f"/* {name} */", part)
    return sql


def _expression(name: str) -> str:
    """A dimension in SQL. A time says its distance from UTC: of two hours that are called alike when clocks go back,
    each is its own, which `date_trunc` alone would not make it."""
    at = "make_timestamptz(at_ns // 1000)"
    if name == "hour":
        local = f"cast({at} as timestamp)"
        return f"cast({at} - ({local} - date_trunc('hour', {local})) as varchar)"
    if name in TIMES:
        return f"cast(date_trunc('{name}', {at}) as varchar)"
    return f"coalesce({name}, '')"


def _touches(hour_ns: int, question: Question) -> bool:
    since, until = question.since_ns, question.until_ns
    return (since is None or hour_ns + HOUR_NS > since) and (until is None or hour_ns < until)


@contextmanager
def _staged(question: Question, lake: Lake, store: Answers | None) -> Iterator[Path]:
    """What the hot store holds and the lake does not, in a file for the time of the question."""
    with tempfile.NamedTemporaryFile(suffix=".rows") as file:
        if store is not None:
            file.writelines(_unsealed(question, lake, store))
            file.flush()
        yield Path(file.name)


def _unsealed(question: Question, lake: Lake, store: Answers) -> Iterator[bytes]:
    """Calls that are in no segment: those beyond the position up to which their hour was sealed, and not sealed under
    their name by another store."""
    table = tables.calls.c
    sealed = lake.sealed(identity(store))
    query = select(table.position, table.at_ns, table.id, table.document).order_by(table.position).limit(PAGE)
    query = query if question.since_ns is None else query.where(table.at_ns >= question.since_ns)
    query = query if question.until_ns is None else query.where(table.at_ns < question.until_ns)
    by_hour = lake.by_hour()
    known: dict[int, set[str]] = {}
    after = 0
    while page := store.rows(query.where(table.position > after)):
        for row in page:
            at = row.at_ns - row.at_ns % HOUR_NS
            if row.position <= sealed.get(at, 0):
                continue
            if at in by_hour and at not in known:
                known[at] = lake.ids(by_hour[at])
            if row.id not in known.get(at, ()):
                yield from wide.lines(rows.call_of(row.document))
        after = page[-1].position


def _line(row: Sequence[Any], keys: int) -> Line:
    return Line(tuple(map(str, row[:keys])), dict(zip(COUNTS, map(int, row[keys:]), strict=True)))
