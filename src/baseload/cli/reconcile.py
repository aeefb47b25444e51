"""`baseload reconcile`: what was metered against what a provider bills. Acts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from baseload.cli.output import hint, how_many, money, note, print_json, say, table
from baseload.cli.place import Config, Where, place_of

if TYPE_CHECKING:
    from datetime import tzinfo

    from baseload.audit.reconcile import Metered, Reconciliation, Side
    from baseload.catalog.entries import Rates
    from baseload.cli.place import Place
    from baseload.imports.pricing import Prices
    from baseload.load.calls import Call
    from baseload.load.statements import Statement
    from baseload.usage import Usage

_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%?")
_SHOWN = 40


class Row(msgspec.Struct, frozen=True):
    """A day, a model or a project of the document."""

    name: str
    metered_usd: Decimal
    invoice_usd: Decimal
    gap_usd: Decimal


class CauseRow(msgspec.Struct, frozen=True):
    """A cause with its part of the gap."""

    cause: str
    usd: Decimal
    where: str


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. The causes add up to the gap."""

    schema: str
    provider: str
    start: str
    end: str
    calls: int
    metered_usd: Decimal
    invoice_usd: Decimal
    gap_usd: Decimal
    gap_share: Decimal | None
    tolerance: Decimal
    within: bool
    clock_hours: int
    by_day: tuple[Row, ...]
    by_model: tuple[Row, ...]
    by_project: tuple[Row, ...]
    causes: tuple[CauseRow, ...]


def command(
    provider: Annotated[str, typer.Option("--provider", help="Whose invoice: openai, anthropic, openrouter ...")],
    invoice: Annotated[
        str, typer.Option("--invoice", help="A cost export or FOCUS; by default what was imported before.")
    ] = "",
    format: Annotated[str, typer.Option("--format", help="The format of the file; by default the provider's.")] = "",
    tolerance: Annotated[str, typer.Option("--tolerance", help="The largest gap that is no breach.")] = "2%",
    project_tag: Annotated[str, typer.Option("--project-tag", help="The tag that is a project there.")] = "project",
    tz: Annotated[str, typer.Option("--tz", help="The zone of times in the file that do not say theirs.")] = "UTC",
    ledger: Where = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Metered against invoice by day, model and project, with the causes of the gap; exit 3 beyond the tolerance."""
    from baseload.audit.reconcile import reconcile
    from baseload.cli.imports import catalog
    from baseload.errors import Breach
    from baseload.imports.pricing import Prices
    from baseload.pricebooks import zone

    most = _share(tolerance)
    maker = provider.strip().lower()
    place = place_of(ledger, config)
    prices = Prices(catalog(config))
    stated = _stated(maker, invoice, format, place.directory, prices, zone(tz))
    metered = list(_metered(place, maker, stated, prices, project_tag))
    found = reconcile(metered, stated, lambda model: prices.known(maker, model)[1] if model else "")
    document = _document(found, maker, most)
    if as_json:
        print_json(document)
    else:
        _print(document)
    if not document.within:
        share = "more than all of it" if document.gap_share is None else f"{document.gap_share:.2%}"
        raise Breach(
            f"the invoice and what was metered are {money(document.gap_usd)} USD apart, {share} of the invoice",
            remedy="Read the causes above; --tolerance says how much may be.",
        )


def _share(text: str) -> Decimal:
    """`2%` as 0.02. Raises BadInput."""
    from baseload.errors import BadInput

    match = _PERCENT.fullmatch(text.strip())
    try:
        share = Decimal(match[1]) if match is not None else None
    except InvalidOperation:
        share = None
    if share is None or share > 100:
        raise BadInput(f"--tolerance {ascii(text)[:40]} is no share", remedy="Write it in percent, as in 2%.")
    return share / 100


def _stated(maker: str, invoice: str, format: str, directory: Path, prices: Prices, clock: tzinfo) -> list[Statement]:
    """The invoice, and what the ledger holds of the provider's usage. Raises when there is no line of cost, or when two
    reports state the same one."""
    from baseload.audit.twice import twice
    from baseload.errors import BadInput, NotEnoughData
    from baseload.ledger.statements import Statements
    from baseload.load.statements import Kind

    with Statements(directory, read_only=True) as held:
        kept = [each for each in held.read() if each.provider == maker]
    if invoice:
        lines = [each for each in _read(invoice, format or maker, prices, clock) if each.provider == maker]
        costs = [each for each in lines if each.kind is Kind.COST]
        stated = [*costs, *(each for each in (*kept, *lines) if each.kind is Kind.USAGE)]
    else:
        stated = kept
    if not any(each.kind is Kind.COST for each in stated):
        raise NotEnoughData(
            f"there is no cost of {maker} in " + (invoice or f"the statements of {directory}"),
            remedy=f"Name a cost export: baseload reconcile --provider {maker} --invoice FILE.",
        )
    if doubled := twice(each for each in stated if each.kind is Kind.COST):
        raise BadInput(
            f"the cost of {maker} is stated twice: {doubled}",
            remedy=f"Name one report as the invoice: baseload reconcile --provider {maker} --invoice FILE.",
        )
    return stated


@dataclass
class _Held:
    """Takes what an import finds, and keeps it in memory."""

    found: list[Statement] = field(default_factory=list)

    def calls(self, batch: Sequence[Call]) -> tuple[int, int]:
        return len(batch), 0

    def statements(self, batch: Sequence[Statement]) -> tuple[int, int]:
        self.found += batch
        return len(batch), 0

    def settled(self) -> tuple[int, int]:
        return 0, 0

    def seen(self, ids: Sequence[str]) -> int:
        return len(ids) - len(set(ids))


def _read(invoice: str, format: str, prices: Prices, clock: tzinfo) -> list[Statement]:
    """Every statement of a file. A line that cannot be read would be missing from the sum, so it is an error."""
    from baseload.cli.imports import opened
    from baseload.errors import BadInput
    from baseload.imports.entry import Asked
    from baseload.imports.formats import format_of
    from baseload.imports.frame import Import

    held = _Held()
    with opened(invoice) as stream:
        report = Import(format_of(format), Asked(zone=clock), prices, held).run(stream, invoice)
    if report.rejected:
        first = report.rejected_lines[0]
        raise BadInput(
            f"{how_many(report.rejected, 'line')} of {invoice} cannot be read; line {first.line}: {first.reason}",
            remedy="Mend the file: an invoice with a line missing has another sum.",
        )
    lines = {each.id: each for each in held.found}
    if double := len(held.found) - len(lines):
        note(f"  {how_many(double, 'line')} stand{'s' * (double == 1)} in {invoice} more than once: counted once")
    return list(lines.values())


def _metered(
    place: Place, maker: str, stated: Sequence[Statement], prices: Prices, project_tag: str
) -> Iterator[Metered]:
    """What the ledger holds of the provider's offers around the invoice, by hour, model and project."""
    from baseload.audit.reconcile import DAY_NS, HOUR_NS, Metered
    from baseload.ledger.hot import open_store
    from baseload.ledger.query import Filter
    from baseload.load.statements import Kind

    costs = [each for each in stated if each.kind is Kind.COST]
    since = min(each.start_ns for each in costs) - DAY_NS
    until = max(each.end_ns for each in costs) + DAY_NS
    # Where the clock of the invoice is half an hour off, so are its days.
    whole = all(at_ns % HOUR_NS == 0 for each in costs for at_ns in (each.start_ns, each.end_ns))
    step_ns = HOUR_NS if whole else HOUR_NS // 4
    sums: dict[tuple[int, str, str], _Sum] = {}
    store = open_store(*place, read_only=True)
    try:
        _gather(store.calls(Filter(since_ns=since, until_ns=until)), maker, project_tag, step_ns, sums)
    finally:
        store.close()
    for (hour_ns, model, project), each in sums.items():
        batch, uncached = _otherwise(each.usage, maker, model, hour_ns, prices)
        yield Metered(hour_ns, model, project, each.calls, each.nanousd, each.usage, each.unpriced, batch, uncached)


@dataclass
class _Sum:
    usage: Usage
    calls: int = 0
    nanousd: int = 0
    unpriced: int = 0


def _gather(
    calls: Iterable[Call], maker: str, project_tag: str, step_ns: int, sums: dict[tuple[int, str, str], _Sum]
) -> None:
    from baseload.load.calls import Evidence
    from baseload.usage import Usage

    for call in calls:
        for attempt in call.attempts:
            if attempt.evidence is Evidence.NONE or attempt.offer.partition("/")[0] != maker:
                continue
            place = (attempt.started_ns // step_ns * step_ns, attempt.model, call.facts.tags.get(project_tag, ""))
            held = sums.setdefault(place, _Sum(Usage()))
            held.usage += attempt.usage
            held.calls += 1
            held.nanousd += attempt.cost_nanousd or 0
            held.unpriced += attempt.cost_nanousd is None


def _otherwise(usage: Usage, maker: str, model: str, at_ns: int, prices: Prices) -> tuple[int | None, int | None]:
    """What an hour would cost at the batch price, and were nothing of it cached; by the rates of a short prompt."""
    from baseload.catalog.entries import Processing
    from baseload.clock import from_ns
    from baseload.cost.tokens import rates_at
    from baseload.errors import Unpriced

    offer = prices.offer(maker, model)
    if offer is None:
        return None, None

    def at(processing: Processing) -> Rates | None:
        try:
            return rates_at(offer, from_ns(at_ns), processing=processing)
        except Unpriced:
            return None

    batch, plain = at(Processing.BATCH), at(Processing.STANDARD)
    return _cost(usage, batch, cached=True), _cost(usage, plain, cached=False)


def _cost(usage: Usage, rates: Rates | None, *, cached: bool) -> int | None:
    from baseload.units import TOKENS_PER_MTOK, nanousd

    if rates is None or rates.input is None or rates.output is None:
        return None
    read = rates.cache_read if cached and rates.cache_read is not None else rates.input
    written = rates.cache_write if cached and rates.cache_write is not None else rates.input
    total = (
        usage.input_tokens * rates.input
        + usage.cache_read_tokens * read
        + (usage.cache_write_tokens + usage.cache_write_1h_tokens) * written
        + usage.completion_tokens * rates.output
    )
    return nanousd(total / TOKENS_PER_MTOK)


def _document(found: Reconciliation, maker: str, most: Decimal) -> Document:
    from baseload.clock import from_ns

    def rows(sides: Sequence[Side]) -> tuple[Row, ...]:
        return tuple(Row(each.name, each.metered_usd, each.invoice_usd, each.gap_usd) for each in sides)

    return Document(
        schema="baseload.reconcile/1",
        provider=maker,
        start=from_ns(found.start_ns).isoformat(),
        end=from_ns(found.end_ns).isoformat(),
        calls=found.calls,
        metered_usd=found.metered_usd,
        invoice_usd=found.invoice_usd,
        gap_usd=found.gap_usd,
        gap_share=found.gap_share,
        tolerance=most,
        within=found.within(most),
        clock_hours=found.clock_hours,
        by_day=rows(found.by_day),
        by_model=rows(found.by_model),
        by_project=rows(found.by_project),
        causes=tuple(CauseRow(each.cause.value, each.usd, each.where) for each in found.causes),
    )


def _print(document: Document) -> None:
    total = (money(document.metered_usd), money(document.invoice_usd), money(document.gap_usd))
    share = "" if document.gap_share is None else f"{document.gap_share:+.2%}"
    span = f"from {document.start[:10]} to before {document.end[:10]}"
    say(f"{document.provider}: {how_many(document.calls, 'call')} {span}")
    for title, rows in (("day", document.by_day), ("model", document.by_model), ("project", document.by_project)):
        if title == "project" and len(rows) < 2:
            continue
        shown = [
            (each.name or "(none)", money(each.metered_usd), money(each.invoice_usd), money(each.gap_usd))
            for each in rows[:_SHOWN]
        ]
        table("", (title, ">metered USD", ">invoice USD", ">gap USD"), shown, ("total", *total))
    if document.causes:
        causes = [(each.cause, money(each.usd, 4), each.where) for each in document.causes]
        table("Causes", ("cause", ">USD", "where"), causes, ("gap", money(document.gap_usd, 4), share))
    say(
        f"  metered {total[0]}   invoice {total[1]}   gap {share or total[2]}   {'ok' if document.within else 'breach'}"
    )
    hint(
        "baseload decide"
        if document.within
        else f"baseload price check; baseload import {document.provider} USAGE_FILE"
    )
