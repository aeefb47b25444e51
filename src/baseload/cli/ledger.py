"""`baseload ledger`: ask it, seal what is over, prove that it is whole. Acts (writes the lake in data_dir)."""

from __future__ import annotations

import csv
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import how_many, money, note, print_json, say, table

if TYPE_CHECKING:
    from baseload.ledger.ask import Line, Question
    from baseload.ledger.lake import Lake
    from baseload.ledger.manifest import Segment
    from baseload.ledger.store import HotStore

DEFAULT_CONFIG = Path("baseload.yaml")
Json = Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.ledger.<verb>/1.")]
Folder = Annotated[Path | None, typer.Option("--ledger", help="The folder of the ledger; by default the configured.")]
Config = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration that names data_dir and store, where there is one.")
]

app = typer.Typer(no_args_is_help=True)


@app.command("query")
def query(
    by: Annotated[str, typer.Option(help="Dimensions, as in team,model or day: see the error of a wrong one.")] = "",
    since: Annotated[str, typer.Option(help="From this day or moment on, as in 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(help="To before this day or moment.")] = "",
    tz: Annotated[str, typer.Option(help="Whose days and hours, as in Europe/Berlin.")] = "UTC",
    where: Annotated[list[str] | None, typer.Option(help="Only these, as in team=search.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    ledger: Folder = None,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Calls, tokens and exact money by any dimensions, over hot store and lake together."""
    from baseload.ledger.ask import Question, ask

    names = tuple(name for name in by.split(",") if name)
    Question(zone=tz)  # before its days are counted
    question = Question(
        by=names,
        since_ns=_moment(since, tz),
        until_ns=_moment(until, tz),
        zone=tz,
        where=dict(_pair(each) for each in where or ()),
    )
    lake, store = _opened(ledger, config)
    try:
        lines = ask(question, lake, store)
    finally:
        if store is not None:
            store.close()
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
    ledger: Folder = None,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Write every hour that is over into the lake. What was sealed before is not written again."""
    from datetime import UTC

    from baseload.clock import to_ns
    from baseload.errors import NotEnoughData

    lake, store = _opened(ledger, config)
    if store is None:
        raise NotEnoughData(f"there is no ledger in {lake.folder.parent}", remedy="Meter some calls first.")
    try:
        made = lake.seal(store, to_ns(datetime.now(UTC) - timedelta(minutes=grace_minutes)))
    finally:
        store.close()
    _tell("seal", "sealed", made, json=json)


@app.command("compact")
def compact(ledger: Folder = None, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Merge the segments of every hour that was sealed more than once."""
    from baseload.ledger.lake import Lake

    _tell("compact", "merged", Lake(_directory(ledger, config)).compact(), json=json)


@app.command("verify")
def verify(ledger: Folder = None, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Prove that the lake is whole and holds what the hot store says was sealed; ends with 3 and names what is not."""
    from baseload.errors import Breach
    from baseload.ledger.verify import broken

    lake, store = _opened(ledger, config)
    try:
        found = broken(lake, store)
    finally:
        if store is not None:
            store.close()
    living = lake.manifest.living
    calls = sum(each.sums.calls for each in living)
    if json:
        print_json({"schema": "baseload.ledger.verify/1", "segments": len(living), "calls": calls, "broken": found})
    else:
        for line in found:
            say(f"  {line}")
        say(f"{how_many(len(living), 'segment')} with {how_many(calls, 'call')} looked through")
    if found:
        raise Breach(
            how_many(len(found), "thing") + " is not as it was sealed" if len(found) == 1 else f"{len(found)} are not",
            remedy="Restore those files from a copy; calls that the hot store still holds are not lost.",
        )


@app.command("status")
def status(ledger: Folder = None, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """What the hot store and the lake hold, and which version the store has."""
    from baseload.ledger.query import totals
    from baseload.ledger.tables import SCHEMA_VERSION

    lake, store = _opened(ledger, config)
    try:
        hot = totals(store) if store is not None else None
        name = store.name if store is not None else ""
    finally:
        if store is not None:
            store.close()
    living = lake.manifest.living
    document = {
        "schema": "baseload.ledger.status/1",
        "store": name,
        "version": SCHEMA_VERSION if store is not None else None,
        "hot_calls": hot.calls if hot is not None else 0,
        "lake": str(lake.folder),
        "lake_calls": sum(each.sums.calls for each in living),
        "segments": len(living),
        "hours": len(lake.by_hour()),
    }
    if json:
        print_json(document)
    else:
        for key in ("store", "version", "hot_calls", "lake", "lake_calls", "segments", "hours"):
            say(f"  {key.replace('_', ' '):<11} {document[key] if document[key] not in (None, '') else '-'}")


@app.command("migrate")
def migrate(ledger: Folder = None, config: Config = DEFAULT_CONFIG) -> None:
    """Bring the hot store to this version's tables; every call stays as it is."""
    from baseload.errors import NotEnoughData
    from baseload.ledger.hot import FILE, open_store
    from baseload.ledger.tables import SCHEMA_VERSION

    directory, url = _directory(ledger, config), _store(ledger, config)
    if not url and not (directory / FILE).exists():
        raise NotEnoughData(f"there is no ledger in {directory}", remedy="Meter some calls first.")
    store = open_store(directory, url)
    try:
        with store.writing():
            say(f"{store.name} has schema version {SCHEMA_VERSION}")
    finally:
        store.close()


def _directory(ledger: Path | None, config: Path) -> Path:
    from baseload.home import home
    from baseload.settings import read_place

    if ledger is not None:
        return ledger.expanduser()
    return read_place(config).directory if config.exists() else home()


def _store(ledger: Path | None, config: Path) -> str:
    """The address of the database, empty where the ledger is a file."""
    from baseload.settings import read_place

    return read_place(config).store if ledger is None and config.exists() else ""


def _opened(ledger: Path | None, config: Path) -> tuple[Lake, HotStore | None]:
    """The lake, and the hot store where there is one."""
    from baseload.errors import NotEnoughData
    from baseload.ledger.hot import open_store
    from baseload.ledger.lake import Lake

    directory = _directory(ledger, config)
    lake = Lake(directory)
    try:
        return lake, open_store(directory, _store(ledger, config), read_only=True)
    except NotEnoughData:
        if lake.manifest.segments:
            return lake, None
        raise


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
        has = line.counts
        tokens_in = sum(has[name] for name in has if name.startswith(("input", "cache")))
        tokens_out = has["output_tokens"] + has["reasoning_tokens"]
        counted = [has["calls"], tokens_in, tokens_out]
        keys = [key or "(none)" for key in line.keys]
        rows.append(
            [*keys, *(f"{count:,}" for count in counted), money(_usd(line)), str(has["failed"]), str(has["unpriced"])]
        )
    table("", columns, rows)
    if any(line.counts["unpriced"] for line in lines):
        note("tries at no known price are in no sum: the money is a lower bound")


def _tell(verb: str, done: str, made: list[Segment], *, json: bool) -> None:
    calls = sum(each.sums.calls for each in made)
    if json:
        rows = [{"path": each.path, "calls": each.sums.calls, "sha256": each.sha256} for each in made]
        print_json({"schema": f"baseload.ledger.{verb}/1", "segments": rows, "calls": calls})
    else:
        say(f"{done} {how_many(calls, 'call')} into {how_many(len(made), 'segment')}")
