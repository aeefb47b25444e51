"""One question to the hot store and the lake together: what was metered, by any dimensions, on any clock. Acts (reads).

The lake is asked in SQL (`sql/spend.sql`) by an engine: roll-ups where they know enough, rows otherwise. What the hot
store holds beyond the lake is counted here. Both are added up here, so an answer is the same whatever was sealed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from baseload.errors import BadInput, LedgerUnavailable, NotEnoughData
from baseload.ledger import wide
from baseload.ledger.duck import duck, parquet, quoted
from baseload.ledger.lake import HOUR_NS, Lake, arrived, hours_of, identity
from baseload.ledger.manifest import Segment
from baseload.ledger.query import Answers, position
from baseload.ledger.rollup import MEASURES, NAMES, QUARTER_NS
from baseload.ledger.shelf import Shelf
from baseload.ledger.times import TIMES, label
from baseload.load.calls import Call

COUNTS = tuple(MEASURES)
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

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions that have to be known, times left out."""
        return tuple(dict.fromkeys(name for name in (*self.by, *self.where) if name not in TIMES))

    @property
    def span(self) -> tuple[int, int]:
        since, until = self.since_ns, self.until_ns
        return (_EVER[0] if since is None else since, _EVER[1] if until is None else until)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the answer: the values of the dimensions, then counts and nano-dollars, exact."""

    keys: tuple[str, ...]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Task:
    """What an engine is given: a statement over the tables `attempts` and `rolled`, which are files, and `times`, whose
    columns stand here. A table that is empty is not in the statement. The answer's rows are keys, then counts."""

    sql: str
    attempts: tuple[str, ...]
    rolled: tuple[str, ...]
    times: dict[str, list[Any]]


Engine = Callable[[Task, Shelf], Sequence[Sequence[Any]]]
"""Answers a task over the files of a shelf. Raises LedgerUnavailable."""


def in_process(task: Task, shelf: Shelf) -> Sequence[Sequence[Any]]:
    """The engine that is always there: DuckDB, in this process."""
    with duck(shelf) as connection:
        for name, paths in (("attempts", task.attempts), ("rolled", task.rolled)):
            if paths:
                connection.execute(f"create view {name} as from {parquet(paths)}")
        if task.times:
            columns = ", ".join(f"unnest(${name}) as {name}" for name in task.times)
            connection.execute(f"create table times as select {columns}", task.times)
        return connection.execute(task.sql).fetchall()


def ask(question: Question, lake: Lake, store: Answers | None, engine: Engine = in_process) -> list[Line]:
    """The answer, dearest first, or in time order where the first dimension is a time. Raises NotEnoughData when there
    is neither a hot store nor a lake."""
    if store is None and not lake.manifest.segments:
        raise NotEnoughData(
            f"there is no ledger beside {lake.shelf.name}", remedy="Meter some calls first, as `baseload demo` does."
        )
    found: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * len(COUNTS))
    if not question.by:
        found[()]
    # The position before the lake: what is sealed meanwhile is in the lake, and known by its position to be.
    upto = position(store) if store is not None else 0
    for row in chain(_in_lake(question, lake, engine), _in_store(question, lake, store, upto) if store else ()):
        sums = found[tuple(map(str, row[: len(question.by)]))]
        for place, value in enumerate(row[len(question.by) :]):
            sums[place] += int(value)
    lines = [Line(keys, dict(zip(COUNTS, sums, strict=True))) for keys, sums in found.items()]
    if question.by[:1] and question.by[0] in TIMES:
        return sorted(lines, key=lambda line: (datetime.fromisoformat(line.keys[0]), line.keys))
    return sorted(lines, key=lambda line: (-line.counts["cost_nanousd"], line.keys))


def task_of(question: Question, segments: Sequence[Segment], shelf: Shelf) -> Task:
    """What an engine has to do for a question to some segments."""
    rolled = [each for each in segments if _rolled_enough(each, question)]
    attempts = [each for each in segments if each not in rolled]
    times = [name for name in question.by if name in TIMES]
    since_ns, until_ns = question.span
    keys = [f"times.{name}_key" if name in TIMES else f"counted.{name}" for name in question.by]
    where = [
        *([f"counted.at_ns >= {since_ns}"] if question.since_ns is not None else []),
        *([f"counted.at_ns < {until_ns}"] if question.until_ns is not None else []),
        *(f"counted.{name} = {quoted(value)}" for name, value in question.where.items()),
    ]
    parts = {
        "sources": " union all ".join(_sources(question.names, attempts=bool(attempts), rolled=bool(rolled))),
        "keys": "".join(f"{key}, " for key in keys),
        "sums": ", ".join(f"coalesce(sum(counted.{name}), 0) as {name}" for name in COUNTS),
        "times": f"join times on times.quarter = counted.at_ns - counted.at_ns % {QUARTER_NS}" if times else "",
        "conditions": " and ".join(where) or "true",
        "groups": f"group by {', '.join(keys)}" if keys else "",
    }
    sql = files("baseload.ledger").joinpath("sql/spend.sql").read_text(encoding="utf-8")
    for name, part in parts.items():
        sql = sql.replace(f"/* {name} */", part)
    return Task(
        sql,
        tuple(shelf.address(each.path) for each in attempts),
        tuple(shelf.address(each.roll_up.path) for each in rolled if each.roll_up is not None),
        _named_quarters(times, segments, ZoneInfo(question.zone)) if times else {},
    )


def _sources(names: Sequence[str], *, attempts: bool, rolled: bool) -> Iterator[str]:
    plain = "".join(f", {name}" for name in names)
    filled = "".join(f", coalesce({name}, '') as {name}" for name in names)
    if rolled:
        yield f"select at_ns{plain}, {', '.join(MEASURES)} from rolled"  # noqa: S608 - names of ours
    if attempts:
        counted = ", ".join(how if how == name else f"{how} as {name}" for name, how in MEASURES.items())
        yield f"select at_ns{filled}, {counted} from attempts"  # noqa: S608 - names of ours


def _rolled_enough(segment: Segment, question: Question) -> bool:
    """Whether a segment's roll-up tells what is asked: its dimensions, and no part of a quarter of an hour."""
    if segment.roll_up is None or not set(question.names) <= set(segment.roll_up.by):
        return False
    since, until = question.span
    return (since <= segment.start_ns or since % QUARTER_NS == 0) and (
        until >= segment.end_ns or until % QUARTER_NS == 0
    )


def _named_quarters(times: Sequence[str], segments: Sequence[Segment], zone: ZoneInfo) -> dict[str, list[Any]]:
    """Every quarter of an hour that segments may hold, with what it is called."""
    spans = {(each.start_ns, each.end_ns) for each in segments}
    quarters = sorted({at for start, end in spans for at in range(start, end, QUARTER_NS)})
    return {"quarter": quarters} | {f"{name}_key": [label(name, at, zone) for at in quarters] for name in times}


def _in_lake(question: Question, lake: Lake, engine: Engine) -> Sequence[Sequence[Any]]:
    """What the lake answers. Where segments were merged while they were read, those that they became are read."""
    lake.manifest.refresh()
    before = len(lake.manifest.segments)
    try:
        return _asked(question, lake, engine)
    except LedgerUnavailable:
        lake.manifest.refresh()
        if len(lake.manifest.segments) == before:
            raise
        return _asked(question, lake, engine)


def _asked(question: Question, lake: Lake, engine: Engine) -> Sequence[Sequence[Any]]:
    since, until = question.span
    segments = [each for each in lake.manifest.living if each.end_ns > since and each.start_ns < until]
    return engine(task_of(question, segments, lake.shelf), lake.shelf) if segments else ()


def _in_store(question: Question, lake: Lake, store: Answers, upto: int) -> Iterator[tuple[Any, ...]]:
    """What the hot store holds and the lake does not, a row for each attempt: calls beyond the position up to which
    their hour was sealed, and not sealed under their name by another store."""
    since, until = question.span
    sealed = lake.manifest.sealed(identity(store))
    named = cache(lambda time, quarter: label(time, quarter * QUARTER_NS, ZoneInfo(question.zone)))
    for hour_ns, last in hours_of(store, upto, until):
        after = sealed.get(hour_ns, 0)
        if hour_ns + HOUR_NS <= since or last <= after:
            continue
        known = lake.ids(lake.manifest.holding(hour_ns), hour_ns)
        for call in arrived(store, hour_ns, after, upto):
            if since <= call.facts.at_ns < until and call.id not in known:
                yield from _rows(call, question, named)


def _rows(call: Call, question: Question, named: Callable[[str, int], str]) -> Iterator[tuple[Any, ...]]:
    """A call as the rows that the lake would have of it."""
    quarter = call.facts.at_ns // QUARTER_NS
    for values in wide.values(call):
        if all(values.get(name) == value for name, value in question.where.items()):
            keys = (named(name, quarter) if name in TIMES else values.get(name) or "" for name in question.by)
            yield (*keys, *_measured(values))


def _measured(values: Mapping[str, Any]) -> tuple[int, ...]:
    """What one row counts for; the same as MEASURES says in SQL."""
    cost = values.get("cost_nanousd")
    tried = values.get("number") is not None
    return (
        int(values["final"]),
        int(tried),
        int(values.get("status") in ("failed", "timeout")),
        int(tried and values["evidence"] != "none" and cost is None),
        *(values.get(name) or 0 for name in COUNTS[4:-3]),
        cost or 0,
        (cost or 0) if values.get("own") == 1 else 0,
        values.get("provider_nanousd") or 0,
    )
