"""`baseload gpu`: what an hour of a GPU costs, by the way it is paid, and when owning pays. Acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, print_json, say, table

if TYPE_CHECKING:
    from decimal import Decimal

    from baseload.cost.gpu_quotes import CompareDocument, ListDocument, ShowDocument, Spread
    from baseload.settings import Settings

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.gpu.<verb>/1.")]
Config = Annotated[str | None, typer.Option(help="Configuration with your own leases and hardware.")]


@app.command("list")
def list_gpus(
    gpu: Annotated[str | None, typer.Option(help="Only names that contain this, as in h100.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only offers of this provider.")] = None,
    json: Json = False,
) -> None:
    """Every GPU that is offered by the hour: on demand, on spot, through marketplaces."""
    from baseload.cost.gpu_quotes import gpu_list
    from baseload.errors import UnknownModel
    from baseload.pricebooks import load_gpu_offers

    rows = [
        row
        for row in load_gpu_offers()
        if (gpu is None or gpu.lower() in row.gpu) and (provider is None or row.provider == provider.lower())
    ]
    if not rows:
        asked = [f"{name} {value}" for name, value in (("--gpu", gpu), ("--provider", provider)) if value is not None]
        raise UnknownModel(f"no offer matches {' '.join(asked)}", remedy="See all with `baseload gpu list`.")
    document = gpu_list(rows)
    if json:
        print_json(document)
    else:
        _show_list(document)


@app.command("show")
def show(
    gpu: Annotated[str, typer.Argument(help="A name of `baseload gpu list`, or short: H100, 4090.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Every price of one GPU with its source and date; odd rows are flagged and do not count."""
    from baseload.cost.gpu_quotes import gpu_show
    from baseload.documents import load_leases
    from baseload.pricebooks import load_gpu_offers

    document = gpu_show(gpu, load_gpu_offers(), load_leases(_settings(config)))
    if json:
        print_json(document)
    else:
        _show_rows(document)


@app.command("compare")
def compare(
    gpus: Annotated[list[str], typer.Argument(help="Names of `baseload gpu list`, or short: H100, 4090.")],
    hours: Annotated[str, typer.Option(help="Hours a month that the machine is on, of 730.")] = "730",
    config: Config = None,
    json: Json = False,
) -> None:
    """What an hour costs in the end by the way it is paid, and from how many hours on owning is cheaper."""
    from baseload.cost.gpu_quotes import gpu_compare
    from baseload.cost.parameters import Assumptions
    from baseload.documents import load_leases, load_parameters
    from baseload.pricebooks import load_gpu_offers
    from baseload.units import quantity

    settings = _settings(config)
    document = gpu_compare(
        gpus,
        load_gpu_offers(),
        load_leases(settings),
        Assumptions(load_parameters()),
        settings.hardware if settings else (),
        quantity(hours),
    )
    if json:
        print_json(document)
    else:
        _show_comparison(document)


def _settings(config: str | None) -> Settings | None:
    from pathlib import Path

    from baseload.configuration import read_settings

    return read_settings(Path(config)) if config else None


def _show_list(document: ListDocument) -> None:
    kinds = ("rented", "spot", "brokered")
    rows = []
    for card in document.gpus:
        held = {kind.kind: kind for kind in card.kinds}
        cells = [
            f"{_spread(held[kind].usd_per_gpu_hour)} ({held[kind].rows})" if kind in held else "-" for kind in kinds
        ]
        rows.append([card.gpu, str(card.providers), *cells])
    table(
        "USD per GPU-hour: lowest / median / highest (prices)",
        ["gpu", ">providers", ">on demand", ">spot", ">brokered"],
        rows,
    )
    flagged = sum(kind.flagged for card in document.gpus for kind in card.kinds)
    if flagged:
        say(f"  {flagged} rows are flagged and do not count")
    hint(f"baseload gpu compare {document.gpus[0].gpu}")


def _show_rows(document: ShowDocument) -> None:
    table(
        f"{document.gpu}, USD per GPU-hour",
        ["provider", "model", "tier", ">USD/h", "as of", "source"],
        [
            [row.provider, row.model, row.tier, f"{row.usd_per_gpu_hour:f}", f"{row.as_of}", row.flag or row.reference]
            for row in document.offers
        ],
    )
    for lease in document.leases:
        figure, unit = next(
            (figure, unit)
            for figure, unit in (
                (lease.usd_per_gpu_hour, "USD/GPU-hour"),
                (lease.usd_per_month, f"USD a month for {lease.count}"),
                (lease.purchase_usd, "USD a card to buy"),
            )
            if figure is not None
        )
        say(f"  {lease.book}, {lease.kind}: {_spread(figure)} {unit}{', ' + lease.note if lease.note else ''}")
    hint(f"baseload gpu compare {document.gpu}")


def _show_comparison(document: CompareDocument) -> None:
    table(
        f"USD per GPU and hour that the machine is on, {document.hours_on:f} hours a month",
        ["gpu", "paid as", ">lowest", ">median", ">highest", "how"],
        [
            [
                card.gpu,
                card.kind,
                *(f"{figure:.2f}" for figure in _ends(card.usd_per_gpu_hour)),
                card.how,
            ]
            for card in document.effective
        ],
    )
    for even in document.even:
        when = "never" if even.hours_per_month is None else f"from {even.hours_per_month:f} hours a month"
        say(f"  owning {even.gpu} beats the {even.rent} rent of {even.usd_per_gpu_hour:f} USD/h: {when}")
    first = document.effective[0].gpu if document.effective else ""
    hint(f"baseload gpu show {first}")


def _ends(spread: Spread) -> tuple[Decimal, Decimal, Decimal]:
    return spread.low, spread.median, spread.high


def _spread(spread: Spread) -> str:
    ends = [f"{figure.normalize():f}" for figure in (spread.low, spread.median, spread.high)]
    return ends[0] if ends[0] == ends[-1] else " / ".join(ends)
