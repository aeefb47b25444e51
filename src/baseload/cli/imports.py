"""`baseload import`: other people's logs, and providers' reports, into the ledger. Acts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, cast

import msgspec
import typer

from baseload.cli.output import amount, hint, how_many, note, print_json, progress, say, table
from baseload.cli.place import Config, Where, configuration, place_of

if TYPE_CHECKING:
    from baseload.catalog.books import Catalog
    from baseload.imports.entry import Asked
    from baseload.imports.frame import Report
    from baseload.imports.records import Record, Stream

_BUFFER = 1 << 20
_BILLING = ("openai", "anthropic", "openrouter")  # formats that are called like who sends the invoice


def command(
    format: Annotated[str, typer.Argument(help="What wrote the file: litellm, openai, csv ... (`list` shows all).")],
    file: Annotated[str, typer.Argument(help="The file; `-` reads stdin.")] = "-",
    tz: Annotated[str, typer.Option("--tz", help="The zone of times that do not say theirs.")] = "UTC",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be imported, and write nothing.")] = False,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="field=column: where a field of ours stands in the file.")
    ] = None,
    start: Annotated[str, typer.Option("--start", help="When a trace with relative times began.")] = "",
    model: Annotated[str, typer.Option("--model", help="provider/model of a file that does not say it.")] = "",
    run: Annotated[str, typer.Option("--run", help="The run tag of these calls; `import-FORMAT` by default.")] = "",
    rejects: Annotated[Path | None, typer.Option("--rejects", help="Keep what could not be read in this file.")] = None,
    ledger: Where = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read another program's log, or a provider's report, into the ledger. The second time adds nothing."""
    from baseload.errors import BadInput
    from baseload.imports.formats import FORMATS, format_of
    from baseload.imports.frame import RUN, Import
    from baseload.imports.pricing import Prices
    from baseload.imports.sink import DryRun, Ledger

    if format == "list":
        table("", ("format", "what it is", "gives"), [(each.name, each.title, each.unit) for each in FORMATS.values()])
        return
    wanted = format_of(format)
    asked = _asked(tz, start, model, map_ or [])
    place = place_of(ledger, config)
    prices = Prices(catalog(config))
    with (
        _kept(),
        opened(file) as stream,
        _rejects(rejects) as reject,
        DryRun(*place) if dry_run else Ledger(*place) as sink,
        progress("importing", 0) as told,
    ):
        tags = {RUN: run} if run else None
        report = Import(wanted, asked, prices, sink, tags=tags, reject=reject).run(
            stream, file, dry_run=dry_run, told=told
        )
    if as_json:
        print_json(report)
    else:
        _print(report, rejects)
    if report.rejected and not (report.calls or report.statements or report.skipped):
        raise BadInput(
            f"no record of {file} could be read, so nothing was imported", remedy="See above what is wrong with them."
        )


@contextmanager
def _kept() -> Iterator[None]:
    """What is there already stays: looking through the books for garbage takes a seventh of a long import."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _asked(tz: str, start: str, model: str, pairs: list[str]) -> Asked:
    """What was typed about the file. Raises BadInput."""
    from baseload.errors import BadInput
    from baseload.imports.entry import Asked
    from baseload.imports.fields import moment
    from baseload.pricebooks import zone

    found = zone(tz)
    columns = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals or not field or not column:
            raise BadInput(f"--map {ascii(pair)[:60]} is no field=column", remedy="Write it as in --map model=Model.")
        if field.strip() in columns:
            raise BadInput(f"--map names {ascii(field.strip())[:60]} twice", remedy="Say once where it stands.")
        columns[field.strip()] = column.strip()
    try:
        start_ns = moment(start, "--start", found) if start else None
    except ValueError as error:
        raise BadInput(str(error), remedy="Write it as in 2026-10-01T00:00:00Z.") from error
    return Asked(zone=found, start_ns=start_ns, model=model, columns=MappingProxyType(columns))


def catalog(config: Path | None) -> Catalog:
    """The books, with the prices of the configuration where there is one."""
    from baseload.cli.policy_file import AnyVariable
    from baseload.configuration import read_settings
    from baseload.documents import catalog_of, load_catalog

    found = configuration(config)
    return load_catalog() if found is None else catalog_of(read_settings(found, AnyVariable()))


@contextmanager
def opened(file: str) -> Iterator[Stream]:
    """The file for reading bytes. Raises BadInput when it cannot be."""
    from baseload.errors import BadInput

    if file == "-":
        yield cast("Stream", sys.stdin.buffer)
        return
    try:
        raw = Path(file).expanduser().open("rb", buffering=_BUFFER)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}", remedy="Name a file that can be read.") from error
    with raw:
        yield cast("Stream", raw)


@contextmanager
def _rejects(path: Path | None) -> Iterator[_Keep | None]:
    """A file that takes what could not be read: JSON lines, whole or not there at all."""
    from baseload.errors import BadInput

    if path is None:
        yield None
        return
    half = path.with_name(f"{path.name}.half")
    try:
        with half.open("wb") as kept:
            yield _Keep(kept.write)
        half.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}", remedy="Name a file that can be written.") from error
    finally:
        half.unlink(missing_ok=True)


class _Keep:
    """Writes a record that was rejected: its line, the reason, itself."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def __call__(self, record: Record, reason: str) -> None:
        kept = {"line": record.line, "reason": reason, "record": record.raw.decode(errors="replace")}
        self._write(msgspec.json.encode(kept) + b"\n")


def _print(report: Report, rejects: Path | None) -> None:
    """What was done, on a page."""
    from baseload.imports.fields import shown

    would = "would be " if report.dry_run else ""
    said = [how_many(report.calls, "call"), how_many(report.statements, "statement")]
    told = (
        ", ".join(each for each, many in zip(said, (report.calls, report.statements), strict=True) if many) or "nothing"
    )
    say(f"{report.format}: {how_many(report.records, 'record')} read, {told}")
    say(f"  {report.new:,} {would}new, {report.known:,} already here, {report.rejected:,} rejected")
    for reason, count in report.skipped.items():
        say(f"  {count:,} skipped: {reason}")
    if report.first is not None and report.last is not None:
        say(f"  from {report.first} to {report.last}")
    used = report.usage
    say(f"  {used.prompt_tokens:,} tokens in, {used.completion_tokens:,} out")
    says = "nothing of money" if report.log_usd is None else f"{amount(report.log_usd)} USD"
    say(f"  the log says {says}" + (f", the books say {amount(report.book_usd)} USD" if report.calls else ""))
    if report.findings:
        rows = [(each.kind, f"{each.count:,}", each.says) for each in report.findings]
        table("Findings", ("finding", ">records", "what it says"), rows)
    for each in report.rejected_lines:
        note(f"  line {each.line}: {each.reason}")
    if report.rejected > len(report.rejected_lines):
        note(f"  and {report.rejected - len(report.rejected_lines):,} more")
    if report.rejected and rejects is None:
        note("  keep them to mend: --rejects rejected.jsonl")
    elif rejects is not None:
        note(f"  what could not be read is in {shown(str(rejects))}" if report.rejected else "  nothing was rejected")
    provider = report.format if report.format in _BILLING else "openai"
    hint("baseload decide" if report.calls else f"baseload reconcile --provider {provider} --invoice FILE")
