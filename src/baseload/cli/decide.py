"""`baseload decide`: the verdict, every crossing, and what would turn it. Acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import how_many, note, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.plan.document import DecideDocument
    from baseload.plan.options import Machines, TokenPrice, Volume
    from baseload.ranges import Range
    from baseload.settings import OwnPrice, Settings

_Text = str | None
# The demo writes the configuration it ran under beside its ledger.
CONFIG = "baseload.yaml"


def command(
    input: Annotated[_Text, typer.Option(help="Input tokens a month, as in 300M.")] = None,
    output: Annotated[_Text, typer.Option(help="Output tokens a month, as in 100M.")] = None,
    price: Annotated[
        list[str] | None, typer.Option(help="An API price, input/output in USD/M: 3/15. Repeat it.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="An API price from the books, by name. Repeat it.")] = None,
    gpu_month: Annotated[_Text, typer.Option(help="USD a month for one machine, or a range: 1200, 1000-2000.")] = None,
    gpu_hour: Annotated[_Text, typer.Option(help="USD an hour for one GPU, or a range: 2-3.")] = None,
    gpus: Annotated[int, typer.Option(min=1, max=100_000, help="GPUs in one machine, with --gpu-hour.")] = 1,
    gpu_capacity: Annotated[_Text, typer.Option(help="Tokens a month that one machine can serve: 1.6B.")] = None,
    peak: Annotated[
        _Text, typer.Option(help="Peak load over mean load: 2.2. Machines are counted at the peak.")
    ] = None,
    ops: Annotated[_Text, typer.Option(help="USD a month for people and operations, or a range.")] = None,
    hidden_stack: Annotated[
        bool, typer.Option("--hidden-stack", help="Add article 0's 700-3,900 USD a month.")
    ] = False,
    ledger: Annotated[_Text, typer.Option(help="Decide on the calls metered in this folder.")] = None,
    config: Annotated[_Text, typer.Option(help="Configuration: its policy, machines, own prices and ledger.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Decide on the demo's latest run.")] = False,
    run: Annotated[_Text, typer.Option(help="Only the calls with this run tag.")] = None,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Leave the chart out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.decide/1.")] = False,
) -> None:
    """The verdict: buy by the token, rent or own; every crossing, and what would flip it.

    With --input and --output it decides on typed figures, otherwise on your ledger.
    """
    typed = {"--input": input, "--output": output, "--price": price, "--model": model, "--gpu-month": gpu_month}
    typed |= {"--gpu-hour": gpu_hour, "--gpu-capacity": gpu_capacity, "--peak": peak, "--ops": ops}
    given = [name for name, value in typed.items() if value is not None]
    if given:
        _alone(given[0], {"--ledger": ledger, "--demo": demo, "--run": run})
        machines = _machines(gpu_month, gpu_hour, gpus, gpu_capacity, peak, ops, hidden_stack=hidden_stack)
        document = _on_prices(input, output, price or [], model or [], config, machines)
    else:
        document = _on_ledger(ledger, config, run, demo=demo, hidden_stack=hidden_stack)
    if json:
        print_json(document)
    else:
        from baseload.cli.decide_page import show

        show(document, plot=not no_plot)


def _alone(flag: str, others: dict[str, object]) -> None:
    from baseload.errors import BadInput

    clashing = [name for name, value in others.items() if value]
    if clashing:
        raise BadInput(
            f"{flag} is a typed figure and {clashing[0]} asks for metered calls",
            remedy="Give one or the other: typed figures, or a ledger.",
        )


def _on_prices(
    input: _Text,
    output: _Text,
    prices: list[str],
    models: list[str],
    config: _Text,
    machines: Machines | None,
) -> DecideDocument:
    """Decide on what was typed."""
    from baseload.plan.advice import decide_on_prices
    from baseload.plan.options import Volume
    from baseload.units import quantity

    own = _settings(config).prices if config is not None else ()
    volume = Volume(quantity("0" if input is None else input), quantity("0" if output is None else output))
    candidates = [*(_typed_price(text) for text in prices), *_book_prices(models, own, volume)]
    return decide_on_prices(volume, candidates, machines)


def _typed_price(text: str) -> TokenPrice:
    """`3/15` as USD per million tokens in and out."""
    from baseload.errors import BadInput
    from baseload.plan.options import TokenPrice

    read, slash, written = text.partition("/")
    if not slash:
        raise BadInput(f"--price {text!r} has no slash", remedy="Write input/output in USD per million tokens: 3/15.")
    return TokenPrice(f"API at {text}", _span("--price", read), _span("--price", written), "typed")


def _book_prices(models: list[str], own: Sequence[OwnPrice], volume: Volume) -> list[TokenPrice]:
    """The price of each named model: the book that stands first, at the cheapest provider for this mix."""
    if not models:
        return []
    from datetime import UTC, datetime

    from baseload.documents import load_catalog
    from baseload.plan.options import cheapest_named

    now = datetime.now(UTC)
    catalog = load_catalog(own)
    return [cheapest_named(catalog, name, volume, now) for name in models]


def _machines(
    gpu_month: _Text,
    gpu_hour: _Text,
    gpus: int,
    gpu_capacity: _Text,
    peak: _Text,
    ops: _Text,
    *,
    hidden_stack: bool,
) -> Machines | None:
    """The typed machine, None when none was typed."""
    from decimal import Decimal

    from baseload.cost.hours import hidden_stack as stack
    from baseload.errors import BadInput
    from baseload.plan.options import NOTHING, Machines, operations
    from baseload.units import HOURS_PER_MONTH, quantity

    if gpu_month is None and gpu_hour is None:
        orphans = {"--gpu-capacity": gpu_capacity, "--peak": peak, "--ops": ops, "--hidden-stack": hidden_stack}
        orphan = next((name for name, value in orphans.items() if value), None)
        if orphan is not None:
            raise BadInput(f"{orphan} needs a machine", remedy="Add --gpu-month 1200, or --gpu-hour 2.40 --gpus 2.")
        return None
    if gpu_month is not None and gpu_hour is not None:
        raise BadInput("--gpu-month and --gpu-hour both price the machine", remedy="Give one of them.")
    if gpu_capacity is None:
        raise BadInput(
            "a machine needs --gpu-capacity: without it no volume can be checked against it",
            remedy="Add the tokens a month that one machine can serve, as in --gpu-capacity 1.6B.",
        )
    if ops is not None and hidden_stack:
        raise BadInput("--ops and --hidden-stack both price people and operations", remedy="Give one of them.")
    if gpu_month is not None:
        monthly, how = _span("--gpu-month", gpu_month), f"{gpu_month} USD/month"
    else:
        monthly = _span("--gpu-hour", gpu_hour or "") * gpus * HOURS_PER_MONTH
        how = f"{gpus} x {gpu_hour} USD/h x {HOURS_PER_MONTH} h"
    beside = stack() if hidden_stack else operations(_span("--ops", ops)) if ops is not None else NOTHING
    above = quantity(peak) if peak is not None else Decimal(1)
    return Machines("rented GPU", monthly, quantity(gpu_capacity), how, above, beside)


def _span(flag: str, text: str) -> Range:
    """`1200`, or `1000-2000` as a range."""
    import re
    from decimal import Decimal

    from baseload.errors import BadInput
    from baseload.ranges import Range
    from baseload.units import MOST_USD, is_usd

    match = re.fullmatch(r"([0-9]*\.?[0-9]+)(?:\s*-\s*([0-9]*\.?[0-9]+))?", text.strip())
    ends = [Decimal(match[1]), Decimal(match[2] or match[1])] if match else []
    if not ends or not all(is_usd(end) for end in ends) or ends[0] > ends[1]:
        raise BadInput(
            f"{flag} {text[:40]!r} is not a price",
            remedy=f"Write a number from 0 up to {MOST_USD:.0e}, or a range such as 2-3.",
        )
    return Range.between(*ends) if ends[0] != ends[1] else Range.exact(ends[0])


def _settings(config: str) -> Settings:
    from pathlib import Path

    from baseload.settings import read_settings

    return read_settings(Path(config))


def _on_ledger(ledger: _Text, config: _Text, run: _Text, *, demo: bool, hidden_stack: bool) -> DecideDocument:
    """Decide on metered calls: the configuration says which routes and pools may serve them."""
    from pathlib import Path

    from baseload.cost.hours import hidden_stack as stack
    from baseload.documents import load_catalog, load_deployments
    from baseload.errors import BadInput
    from baseload.home import demo_home
    from baseload.ledger.hot import open_store
    from baseload.ledger.query import Filter, latest_run
    from baseload.plan.advice import decide_on_calls
    from baseload.plan.options import NOTHING

    directory = demo_home() if demo else Path(ledger).expanduser() if ledger else None
    if config is None and directory is not None and (beside := directory / CONFIG).exists():
        config = str(beside)
    if config is None and directory is not None:
        raise BadInput(
            f"{directory} holds no {CONFIG}, and no configuration was named",
            remedy="Add --config FILE: its policy says which routes and pools may serve the calls.",
        )
    if config is None:
        raise BadInput(
            "nothing to decide on: no figures were typed and no configuration was named",
            remedy="Add --config baseload.yaml for your ledger, --demo for the demo's, or --input and --output.",
        )
    settings = _settings(config)
    store = open_store(directory if directory is not None else settings.directory, read_only=True)
    try:
        newest = latest_run(store) if demo and run is None else None
        if newest is not None:
            note(f"on the demo's latest run, {newest.tag}: {how_many(newest.calls, 'call')}")
        tag = newest.tag if newest is not None else run
        where = Filter(tags={"run": tag} if tag else {})
        catalog = load_catalog(settings.prices)
        operations = stack() if hidden_stack else NOTHING
        return decide_on_calls(store.calls(where), catalog, load_deployments(), settings, operations=operations)
    finally:
        store.close()
