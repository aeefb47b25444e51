"""`baseload ledger`: ask it, seal what is over, prove that it is whole. Acts (writes the lake in data_dir)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import amount, how_many, note, print_json, say, table
from baseload.cli.place import Where, configuration, place_of

if TYPE_CHECKING:
    from baseload.ledger.ask import Line, Question
    from baseload.ledger.lake import Lake
    from baseload.ledger.manifest import Segment
    from baseload.ledger.store import HotStore

Json = Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.ledger.<verb>/1.")]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration that names data_dir and store; baseload.yaml.")
]
At = Annotated[str, typer.Option("--lake", help="The lake: a folder, or s3://bucket/prefix; else the configured.")]

app = typer.Typer(no_args_is_help=True)


@app.command("query")
def query(
    by: Annotated[str, typer.Option(help="Dimensions, as in team,model or day: see the error of a wrong one.")] = "",
    since: Annotated[str, typer.Option(help="From this day or moment on, as in 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(help="To before this day or moment.")] = "",
    tz: Annotated[str, typer.Option(help="Whose days and hours, as in Europe/Berlin.")] = "UTC",
    where: Annotated[list[str] | None, typer.Option(help="Only these, as in team=search.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    engine: Annotated[
        str, typer.Option(help="Who reads the lake: duckdb, or Spark as in local[2] or spark://host:7077.")
    ] = "duckdb",
    ledger: Where = None,
    lake: At = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Calls, tokens and exact money by any dimensions, over hot store and lake together."""
    from baseload.ledger.ask import Question, ask
    from baseload.ledger.spark import engine_of

    names = tuple(name for name in by.split(",") if name)
    Question(zone=tz)  # before its days are counted
    question = Question(
        by=names,
        since_ns=_moment(since, tz),
        until_ns=_moment(until, tz),
        zone=tz,
        where=dict(_pair(each) for each in where or ()),
    )
    with engine_of(engine) as answers, _opened(ledger, lake, config) as (where_to, store):
        lines = ask(question, where_to, store, answers)
    if json:
        rows = [dict(zip(names, line.keys, strict=True)) | line.counts | {"usd": _usd(line)} for line in lines]
        print_json({"schema": "baseload.ledger.query/1", "by": names, "tz": tz, "rows": rows})
    elif as_csv:
        _write_csv(question, lines)
    else:
        _show(question, lines)


@app.command("seal")
def seal(
    grace_minutes: Annotated[int, typer.Option(min=0, help="Leave hours open this long after their end.")] = 15,
    ledger: Where = None,
    lake: At = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Write every hour that is over into the lake. What was sealed before is not written again."""
    with _opened(ledger, lake, config) as (where_to, store):
        made = where_to.seal(_there(where_to, store), _ago(minutes=grace_minutes))
    _tell("seal", "sealed", made, json=json)
    if not made and not json:
        note(f"every call of an hour that ended {grace_minutes} minutes ago or earlier is in the lake already")


@app.command("compact")
def compact(ledger: Where = None, lake: At = "", config: Config = None, json: Json = False) -> None:
    """Merge the segments of hours that were sealed more than once, and of days that are over."""
    where_to = lake_of(ledger, lake, config)
    _tell("compact", "merged", where_to.compact(_ago(minutes=0)), json=json)


@app.command("trim")
def trim(
    hot_days: Annotated[int | None, typer.Option(min=2, help="Days that stay in the hot store.")] = None,
    lake_days: Annotated[int | None, typer.Option(min=2, help="Days that stay at all.")] = None,
    ledger: Where = None,
    lake: At = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Take old calls out of the hot store once the lake has them for certain, and what is too old out of the lake."""
    from baseload.errors import BadInput
    from baseload.ledger.hot import open_store
    from baseload.ledger.retention import trimmed
    from baseload.settings import Retention

    try:
        kept = Retention(hot_days=hot_days, lake_days=lake_days)
    except ValueError as error:
        raise BadInput(str(error), remedy="Name --hot-days, and no fewer --lake-days.") from error
    where_to = lake_of(ledger, lake, config)
    with closing(open_store(*place_of(ledger, config))) as store:
        found = trimmed(store, where_to, _ago(minutes=0), kept.hot_days, kept.lake_days)
    if json:
        print_json({"schema": "baseload.ledger.trim/1", "hot_calls": found.hot, "lake_calls": found.lake})
    else:
        say(f"{how_many(found.hot, 'call')} left the hot store, {how_many(found.lake, 'call')} the lake")


@app.command("verify")
def verify(ledger: Where = None, lake: At = "", config: Config = None, json: Json = False) -> None:
    """Prove that hot store and lake hold what was recorded, whole; ends with 3 and names what is not."""
    from baseload.errors import Breach
    from baseload.ledger.verify import broken

    with _opened(ledger, lake, config) as (where_to, store):
        found = broken(where_to, store)
    living = where_to.manifest.living
    calls = sum(each.sums.calls for each in living)
    if json:
        print_json({"schema": "baseload.ledger.verify/1", "segments": len(living), "calls": calls, "broken": found})
    else:
        for line in found:
            say(f"  {line}")
        say(f"{how_many(len(living), 'segment')} with {how_many(calls, 'call')} looked through")
    if found:
        raise Breach(
            f"not as recorded and sealed: {how_many(len(found), 'finding')}",
            remedy="Restore those files or rows from a copy; what hot store and lake both hold is not lost.",
        )


@app.command("status")
def status(ledger: Where = None, lake: At = "", config: Config = None, json: Json = False) -> None:
    """What the hot store and the lake hold, and which version the store has."""
    from baseload.clock import from_ns
    from baseload.ledger.query import totals
    from baseload.ledger.tables import SCHEMA_VERSION

    with _opened(ledger, lake, config) as (where_to, store):
        hot = totals(store) if store is not None else None
        name = store.name if store is not None else ""
    living = where_to.manifest.living
    sealed = max((each.end_ns for each in where_to.manifest.segments if each.upto), default=None)
    document = {
        "schema": "baseload.ledger.status/1",
        "store": name,
        "version": SCHEMA_VERSION if store is not None else None,
        "hot_calls": hot.calls if hot is not None else 0,
        "lake": where_to.shelf.name,
        "lake_calls": sum(each.sums.calls for each in living),
        "segments": len(living),
        "sealed_until": from_ns(sealed).isoformat() if sealed is not None else None,
    }
    if json:
        print_json(document)
    else:
        for key in ("store", "version", "hot_calls", "lake", "lake_calls", "segments", "sealed_until"):
            say(f"  {key.replace('_', ' '):<12} {document[key] if document[key] not in (None, '') else '-'}")


@app.command("migrate")
def migrate(ledger: Where = None, config: Config = None) -> None:
    """Bring the hot store to this version's tables; every call stays as it is."""
    from baseload.errors import NotEnoughData
    from baseload.ledger.hot import FILE, open_store
    from baseload.ledger.tables import SCHEMA_VERSION

    directory, url = place_of(ledger, config)
    if not url and not (directory / FILE).exists():
        raise NotEnoughData(f"there is no ledger in {directory}", remedy="Meter some calls first.")
    store = open_store(directory, url)
    try:
        with store.writing():
            say(f"{store.name} has schema version {SCHEMA_VERSION}")
    finally:
        store.close()


def lake_of(ledger: str | None, lake: str, config: Path | None) -> Lake:
    """The lake that was named, else that of the configuration, else the one beside the ledger."""
    from baseload.configuration import read_place
    from baseload.ledger.lake import lake_at

    found = configuration(config)
    if not lake and found is not None and (not ledger or "://" in ledger):
        lake = read_place(found).lake
    return lake_at(place_of(ledger, config).directory, lake)


@contextmanager
def _opened(ledger: str | None, lake: str, config: Path | None) -> Iterator[tuple[Lake, HotStore | None]]:
    """The lake, and the hot store where there is one. A lake that was named needs none."""
    from baseload.errors import NotEnoughData
    from baseload.ledger.hot import open_store

    found = lake_of(ledger, lake, config)
    try:
        store: HotStore | None = open_store(*place_of(ledger, config), read_only=True)
    except NotEnoughData:
        if not found.manifest.segments:
            raise
        store = None
    try:
        yield found, store
    finally:
        if store is not None:
            store.close()


def _there(lake: Lake, store: HotStore | None) -> HotStore:
    from baseload.errors import NotEnoughData

    if store is None:
        raise NotEnoughData(f"there is no ledger beside {lake.shelf.name}", remedy="Meter some calls first.")
    return store


def _ago(*, minutes: int) -> int:
    from datetime import UTC

    from baseload.clock import to_ns

    return to_ns(datetime.now(UTC) - timedelta(minutes=minutes))


def _moment(said: str, zone: str) -> int | None:
    """A day or a moment on the clock of a time zone."""
    from zoneinfo import ZoneInfo

    from baseload.clock import to_ns
    from baseload.errors import BadInput

    if not said:
        return None
    try:
        at = datetime.fromisoformat(said)
    except ValueError as error:
        raise BadInput(f"{said!r} is no day", remedy="Write 2026-11-01 or 2026-11-01T14:00.") from error
    return to_ns(at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(zone)))


def _pair(said: str) -> tuple[str, str]:
    from baseload.errors import BadInput

    name, found, value = said.partition("=")
    if not found:
        raise BadInput(f"{said!r} is no condition", remedy="Write it as in --where team=search.")
    return name, value


def _usd(line: Line) -> Decimal:
    from baseload.units import usd

    return usd(line.counts["cost_nanousd"])


def _write_csv(question: Question, lines: list[Line]) -> None:
    from baseload.ledger.ask import COUNTS

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*question.by, *COUNTS, "usd"])
    for line in lines:
        writer.writerow([*line.keys, *line.counts.values(), f"{_usd(line):f}"])


def _show(question: Question, lines: list[Line]) -> None:
    columns = [*question.by, ">calls", ">tokens in", ">tokens out", ">USD", ">failed", ">unpriced"]
    rows = []
    for line in lines:
        keys = [_key(name, key) for name, key in zip(question.by, line.keys, strict=True)]
        rows.append([*keys, *_figures(line.counts)])
    totals = None
    if question.by and len(lines) > 1:
        sums = {name: sum(line.counts[name] for line in lines) for name in lines[0].counts}
        totals = ["total", *[""] * (len(question.by) - 1), *_figures(sums)]
    table("", columns, rows, totals)
    if any(line.counts["unpriced"] for line in lines):
        note("tries at no known price are in no sum: the money is a lower bound")


def _key(name: str, key: str) -> str:
    """What a row is called; a day, week or month by the day that it begins with."""
    return (key.partition(" ")[0] if name in ("day", "week", "month") else key) or "(none)"


def _figures(has: Mapping[str, int]) -> list[str]:
    """The figures of a row. Money of which nothing is known is no zero."""
    from baseload.units import usd

    tokens_in = sum(has[name] for name in has if name.startswith(("input", "cache")))
    tokens_out = has["output_tokens"] + has["reasoning_tokens"]
    cost = "unknown" if has["unpriced"] and not has["cost_nanousd"] else amount(usd(has["cost_nanousd"]))
    return [
        *(f"{count:,}" for count in (has["calls"], tokens_in, tokens_out)),
        cost,
        str(has["failed"]),
        str(has["unpriced"]),
    ]


def _tell(verb: str, done: str, made: list[Segment], *, json: bool) -> None:
    calls = sum(each.sums.calls for each in made)
    if json:
        rows = [{"path": each.path, "calls": each.sums.calls, "sha256": each.sha256} for each in made]
        print_json({"schema": f"baseload.ledger.{verb}/1", "segments": rows, "calls": calls})
    else:
        say(f"{done} {how_many(calls, 'call')} into {how_many(len(made), 'segment')}")
