"""`baseload export`: the ledger in the formats of others. Acts."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from baseload.cli.output import how_many, note
from baseload.cli.place import Config, Where, configuration, place_of

if TYPE_CHECKING:
    from baseload.audit.parts import Offers
    from baseload.catalog.entries import Offer
    from baseload.cli.place import Place
    from baseload.load.calls import Call

KINDS = ("focus", "otel", "csv", "parquet", "grafana", "rules")


def command(
    kind: Annotated[str, typer.Argument(help="focus, otel, csv, parquet, grafana (a dashboard), rules.")],
    out: Annotated[str, typer.Option("--out", "-o", help="The file to write; `-` is stdout.")] = "-",
    since: Annotated[str, typer.Option("--since", help="Calls from this moment on, as in 2026-10-01.")] = "",
    until: Annotated[str, typer.Option("--until", help="Calls before this moment.")] = "",
    tz: Annotated[str, typer.Option("--tz", help="The zone of --since and --until.")] = "UTC",
    run: Annotated[str | None, typer.Option("--run", help="Only the calls with this run tag.")] = None,
    ledger: Where = None,
    config: Config = None,
) -> None:
    """Write the ledger for other tools, or what Grafana and Prometheus need to watch the gateway."""
    from baseload.errors import BadInput

    if kind not in KINDS:
        raise BadInput(f"nothing is exported as {ascii(kind)[:40]}", remedy=f"Use one of {', '.join(KINDS)}.")
    if kind == "parquet" and out == "-":
        raise BadInput("Parquet is no text for a terminal", remedy="Name a file: --out calls.parquet.")
    if kind in ("grafana", "rules"):
        with _file(out) as file:
            file.write(_document(kind))
        return
    with _calls(place_of(ledger, config), since, until, tz, run) as calls:
        if kind == "focus":
            _write_focus(calls, out, _offers(config))
        else:
            _write(kind, calls, out)


def _document(kind: str) -> str:
    """A document that needs no ledger. JSON is YAML too, so the rules are both."""
    import msgspec

    from baseload.exports.grafana import dashboard, rules

    made = dashboard() if kind == "grafana" else rules()
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"


def _write(kind: str, calls: Iterator[Call], out: str) -> None:
    from baseload.exports import otlp, table

    if kind == "parquet":
        note(f"  {how_many(table.write_parquet(calls, Path(out).expanduser()), 'row')} in {out}")
        return
    with _file(out) as file:
        if kind == "csv":
            note(f"  {how_many(table.write_csv(calls, file), 'row')}")
        else:
            file.writelines(line.decode() for line in otlp.lines(calls))


def _write_focus(calls: Iterator[Call], out: str, offers: Offers) -> None:
    from baseload.exports import focus, table

    with _file(out) as file:
        charges = focus.Focus(offers).take(calls)
        rows = csv.DictWriter(file, focus.COLUMNS, lineterminator="\n")
        rows.writeheader()
        rows.writerows({name: table.safe(cell) for name, cell in row.items()} for row in charges.rows())
    if charges.unpriced:
        note(f"  {how_many(charges.unpriced, 'attempt')} without a price: in no row. baseload price says which.")
    if charges.unsplit:
        note(
            f"  {how_many(charges.unsplit, 'attempt')} that no book at hand takes apart: in rows without unit price. "
            "--config names the configuration whose prices and pools they had."
        )


def _offers(config: Path | None) -> Offers:
    """What every book, and the pools of the configuration, say of an offer. Raises BadConfig."""
    from datetime import UTC, datetime

    from baseload.cli.policy_file import AnyVariable
    from baseload.configuration import read_settings
    from baseload.documents import catalog_of, load_catalog, load_deployments
    from baseload.gateway.offers import own_offers

    found = configuration(config)
    settings = None if found is None else read_settings(found, AnyVariable())
    books = load_catalog() if settings is None else catalog_of(settings)
    pools = {} if settings is None else own_offers(settings, load_deployments(), datetime.now(UTC).date())

    def told(key: str) -> tuple[Offer, ...]:
        listed = (each for each in books.named(key) if each.key.lower() == key.lower())
        return (*([pools[key]] if key in pools else ()), *listed)

    return told


@contextmanager
def _calls(place: Place, since: str, until: str, tz: str, run: str | None) -> Iterator[Iterator[Call]]:
    """The calls of a ledger between two moments. Raises BadInput, NotEnoughData."""
    from baseload.errors import BadInput
    from baseload.imports.fields import moment
    from baseload.ledger.hot import open_store
    from baseload.ledger.query import Filter
    from baseload.pricebooks import zone

    clock = zone(tz)
    try:
        bounds = [
            moment(each, what, clock) if each else None for each, what in ((since, "--since"), (until, "--until"))
        ]
    except ValueError as error:
        raise BadInput(str(error), remedy="Write a day or a moment, as in 2026-10-01.") from error
    store = open_store(*place, read_only=True)
    try:
        yield store.calls(Filter(since_ns=bounds[0], until_ns=bounds[1], tags={} if run is None else {"run": run}))
    finally:
        store.close()


@contextmanager
def _file(out: str) -> Iterator[TextIO]:
    """Stdout, or a file that is whole or not there. Raises BadInput."""
    from baseload.errors import BadInput

    if out == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    path = Path(out).expanduser()
    half = path.with_name(f"{path.name}.half")
    try:
        with half.open("w", encoding="utf-8", newline="") as file:
            yield file
        half.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {out}: {error.strerror}", remedy="Name a file that can be written.") from error
    finally:
        half.unlink(missing_ok=True)
