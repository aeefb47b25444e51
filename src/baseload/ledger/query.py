"""Questions to the ledger, answered in SQL: totals, totals by a dimension, runs. Acts (reads the store).

Counts and nano-dollars come back as the exact integers that were metered. What has no price is counted as unpriced and
is in no sum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy import Row as SqlRow

from baseload.clock import from_ns
from baseload.errors import BadInput
from baseload.ledger import json
from baseload.ledger.rows import RUN, call_of
from baseload.ledger.tables import LEAVES, attempts, calls
from baseload.load.calls import Call, Evidence, Status
from baseload.policy.decide import FULL
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MINUTE
from baseload.usage import Usage

# Calls in one page of a reader.
_PAGE = 500

Dimension = Literal["model", "upstream", "route", "bucket", "minute", "hour"]


class Answers(Protocol):
    """A store that can be asked."""

    def rows(self, query: Select[Any]) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class Filter:
    """Calls that arrived from `since_ns` to before `until_ns` and carry every one of `tags`; None is no bound."""

    since_ns: int | None = None
    until_ns: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Totals:
    """What was metered. Times are the first and the last arrival and the last end, None when there was no call.

    `cost_nanousd` is the sum of every priced attempt, `own_nanousd` the part of it that own capacity carried, on the
    usage basis. `unpriced` counts attempts that consumed something at no known price: they are in neither sum.
    `failed` counts attempts that gave the client nothing, `reported` those whose usage the upstream itself stated.
    """

    calls: int
    attempts: int
    failed: int
    reported: int
    unpriced: int
    usage: Usage
    cost_nanousd: int
    own_nanousd: int
    provider_nanousd: int
    first_ns: int | None
    last_ns: int | None
    ended_ns: int | None

    @property
    def bought_nanousd(self) -> int:
        """What was bought by the token."""
        return self.cost_nanousd - self.own_nanousd


@dataclass(frozen=True, slots=True)
class Row:
    """Totals of one model, upstream, route or bucket, or of the minute or hour that begins at `start_ns`.

    A call that was tried on two routes counts as a call of each.
    """

    key: str
    totals: Totals
    start_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Calls that share a `run` tag: how many, and when the first and the last of them arrived."""

    tag: str
    calls: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Of `calls`, `own` were answered by own capacity; `overflow` found it full and were not."""

    calls: int
    own: int
    overflow: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A route, a reason for which it was passed over, and how many calls that happened to."""

    route: str
    reason: str
    calls: int


def totals(store: Answers, where: Filter = EVERYTHING) -> Totals:
    """Everything that the filter lets through, in one sum."""
    query = select(*_sums()).select_from(calls.outerjoin(attempts)).where(*conditions(where))
    return _totals(store.rows(query)[0])


def by(store: Answers, dimension: Dimension, where: Filter = EVERYTHING) -> tuple[Row, ...]:
    """Totals by a dimension: dearest first, or in time order for minutes and hours. Raises BadInput for another one."""
    width = _WIDTHS.get(dimension)
    if width is not None:
        start = (calls.c.at_ns - calls.c.at_ns % (width * NANOSECONDS_PER_SECOND)).label("key")
        query = select(start, *_sums()).select_from(calls.outerjoin(attempts)).where(*conditions(where))
        rows = store.rows(query.group_by(start).order_by(start))
        return tuple(Row(from_ns(row.key).isoformat(), _totals(row), start_ns=row.key) for row in rows)
    column = _COLUMNS.get(dimension)
    if column is None:
        raise BadInput(f"{dimension!r} is no dimension", remedy=f"Use one of {', '.join((*_COLUMNS, *_WIDTHS))}.")
    source = calls.outerjoin(attempts) if column.table is calls else calls.join(attempts)
    query = select(column.label("key"), *_sums()).select_from(source).where(*conditions(where)).group_by(column)
    rows = store.rows(query.order_by(literal_column("cost_nanousd").desc(), column))
    return tuple(Row(row.key, _totals(row)) for row in rows)


def runs(store: Answers) -> tuple[Run, ...]:
    """Every run that was ever tagged, the one recorded last first."""
    first, last = func.min(calls.c.at_ns).label("first_ns"), func.max(calls.c.at_ns).label("last_ns")
    query = select(calls.c.run, func.count().label("calls"), first, last).where(calls.c.run != "")
    rows = store.rows(query.group_by(calls.c.run).order_by(func.max(calls.c.position).desc()))
    return tuple(Run(row.run, row.calls, row.first_ns, row.last_ns) for row in rows)


def latest_run(store: Answers) -> Run | None:
    """The run whose last call was recorded last, None when no call has a `run` tag."""
    return next(iter(runs(store)), None)


def position(store: Answers) -> int:
    """How far the ledger has been written: grows with every call recorded, 0 when there is none."""
    return int(store.rows(select(func.coalesce(func.max(calls.c.position), 0)))[0][0])


def recorded(store: Answers, after: int, upto: int, where: Filter = EVERYTHING) -> Iterator[tuple[int, Call]]:
    """Calls with their positions, in the order of recording, from beyond `after` to `upto`; read page by page."""
    query = select(calls.c.position, calls.c.document).where(calls.c.position <= upto, *conditions(where))
    query = query.order_by(calls.c.position).limit(_PAGE)
    while page := store.rows(query.where(calls.c.position > after)):
        for row in page:
            yield row.position, call_of(row.document)
        after = page[-1].position


def dispatch(store: Answers, own_routes: Collection[str], where: Filter = EVERYTHING) -> Dispatch:
    """How the own pool stood in it; `own_routes` names the routes that lead to it."""
    skip, route, reason = _skip()
    full = exists().select_from(skip).where(route.in_(own_routes), reason.startswith(FULL)).correlate(calls)
    answered = attempts.c.status.not_in((Status.FAILED.value, Status.TIMEOUT.value))
    own = exists().where(attempts.c.call_id == calls.c.id, attempts.c.own == 1, answered).correlate(calls)
    query = select(func.count().label("calls"), _count(own).label("own"), _count(and_(full, ~own)).label("overflow"))
    row = store.rows(query.select_from(calls).where(*conditions(where)))[0]
    return Dispatch(calls=row.calls, own=row.own, overflow=row.overflow)


def skips(store: Answers, where: Filter = EVERYTHING) -> tuple[Skipped, ...]:
    """Which routes were passed over and why, the most frequent first."""
    skip, route, reason = _skip()
    columns: list[ColumnElement[Any]] = [
        route.label("route"),
        reason.label("reason"),
        func.count(calls.c.id.distinct()).label("calls"),
    ]
    query = select(*columns).select_from(calls).join(skip, true()).where(*conditions(where)).group_by(route, reason)
    rows = store.rows(query.order_by(literal_column("calls").desc(), route, reason))
    return tuple(Skipped(row.route, row.reason, row.calls) for row in rows)


def conditions(where: Filter) -> list[ColumnElement[bool]]:
    """A filter as conditions on the table of calls."""
    found: list[ColumnElement[bool]] = []
    if where.since_ns is not None:
        found.append(calls.c.at_ns >= where.since_ns)
    if where.until_ns is not None:
        found.append(calls.c.at_ns < where.until_ns)
    for tag, value in where.tags.items():
        found.append(calls.c.run == value if tag == RUN else _tagged(tag, value))
    return found


_COLUMNS = {
    "model": attempts.c.model,
    "upstream": attempts.c.upstream,
    "route": attempts.c.route,
    "bucket": calls.c.bucket,
}
_WIDTHS = {"minute": SECONDS_PER_MINUTE, "hour": SECONDS_PER_HOUR}


def _skip() -> tuple[FromClause, ColumnElement[str], ColumnElement[str]]:
    """The skips of a call's decision as rows, with their route and reason."""
    skip = json.elements(calls.c.skipped).table_valued("value", name="skip")
    return skip, json.member(skip.c.value, "route"), json.member(skip.c.value, "reason")


def _tagged(tag: str, value: str) -> ColumnElement[bool]:
    pair = json.pairs(calls.c.tags).table_valued("key", "value", name="tag")
    return exists().where(pair.c.key == tag, pair.c.value == value)


def _sums() -> list[ColumnElement[Any]]:
    """The columns of Totals, by name."""
    cost = attempts.c.cost_nanousd
    consumed = attempts.c.evidence != Evidence.NONE.value
    failed = attempts.c.status.in_((Status.FAILED.value, Status.TIMEOUT.value))
    return [
        func.count(calls.c.id.distinct()).label("calls"),
        func.count(attempts.c.number).label("attempts"),
        _count(failed).label("failed"),
        _count(attempts.c.evidence == Evidence.REPORTED.value).label("reported"),
        _count(and_(consumed, cost.is_(None))).label("unpriced"),
        *(_sum(attempts.c[leaf]).label(leaf) for leaf in LEAVES),
        _sum(cost).label("cost_nanousd"),
        _sum(case((attempts.c.own == 1, cost))).label("own_nanousd"),
        _sum(attempts.c.provider_nanousd).label("provider_nanousd"),
        func.min(calls.c.at_ns).label("first_ns"),
        func.max(calls.c.at_ns).label("last_ns"),
        func.max(calls.c.ended_ns).label("ended_ns"),
    ]


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The sum over what is known, an integer; nothing at all is nothing."""
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


def _count(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return _sum(case((condition, 1), else_=0))


def _totals(row: SqlRow[Any]) -> Totals:
    figures = {name: getattr(row, name) for name in Totals.__dataclass_fields__ if name != "usage"}
    return Totals(usage=Usage(**{leaf: getattr(row, leaf) for leaf in LEAVES}), **figures)
