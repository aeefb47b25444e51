"""`baseload decide`: the verdict, every crossing, and what would turn it. Acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from baseload.cli import decide_case, decide_ledger, decide_ways
from baseload.cli.decide_case import LIST
from baseload.cli.output import print_json

if TYPE_CHECKING:
    from baseload.plan.answer import Answer
    from baseload.plan.options import Machines, TokenPrice
    from baseload.ranges import Range
    from baseload.settings import Settings

_Text = str | None


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
    ledger: Annotated[
        _Text, typer.Option(help="Decide on the calls metered in this folder, or in postgresql://...")
    ] = None,
    config: Annotated[_Text, typer.Option(help="Configuration: its policy, machines, own prices and ledger.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Decide on the demo's latest run.")] = False,
    run: Annotated[_Text, typer.Option(help="Only the calls with this run tag.")] = None,
    scenario: Annotated[_Text, typer.Option(help="A scenario: the name of one that ships, a file, or `list`.")] = None,
    trace: Annotated[_Text, typer.Option(help="Decide on a trace of requests, with --deployment.")] = None,
    deployment: Annotated[
        _Text, typer.Option(help="The measured deployment that could serve the trace, or the typed tokens.")
    ] = None,
    lease: Annotated[
        list[str] | None, typer.Option(help="How machines are had: rented, reserved, spot, owned, brokered. Repeat it.")
    ] = None,
    hours: Annotated[_Text, typer.Option(help="Hours that machines are on: mon-fri:8-18, or 24/7.")] = None,
    holidays: Annotated[
        _Text, typer.Option(help="Dates on which --hours do not hold, as 2026-12-25,2026-12-28 or a file of them.")
    ] = None,
    holidays_like: Annotated[_Text, typer.Option(help="What holidays are like: off, or weekend for Sunday's.")] = None,
    in_month: Annotated[_Text, typer.Option(help="Count --hours and --holidays of one month exactly: 2026-12.")] = None,
    shape: Annotated[
        _Text, typer.Option(help="The load of a week: flat, office, or a file of 168 loads, Monday 00:00 first.")
    ] = None,
    reserved_discount: Annotated[_Text, typer.Option(help="What a reservation takes off the rent: 30%.")] = None,
    purchase: Annotated[_Text, typer.Option(help="USD to buy one machine, with --lease owned.")] = None,
    target_fill: Annotated[_Text, typer.Option(help="How full machines may be at the peak: 0.8.")] = None,
    spare: Annotated[int | None, typer.Option(min=0, help="Machines beside those that serve: 1 for N+1.")] = None,
    full: Annotated[
        bool | None,
        typer.Option(
            "--full/--bare", help="Every component of the cost model, as on a ledger, or tokens and machines alone."
        ),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option("--set", help="A figure of the cost model: engineer_fte=0.1-0.3. Repeat it."),
    ] = None,
    own_model: Annotated[_Text, typer.Option(help="The model to run: must fit --machine before any money.")] = None,
    machine: Annotated[_Text, typer.Option(help="The machine to run it on: h100-80gb-x2.")] = None,
    bits: Annotated[int, typer.Option(min=1, max=32, help="Bits per weight of --own-model.")] = 16,
    context: Annotated[int, typer.Option(min=1, help="Tokens of context that must fit beside --own-model.")] = 8_192,
    repeat: Annotated[_Text, typer.Option(help="Repeat a decision that --save froze; exit 3 when it moved.")] = None,
    save: Annotated[_Text, typer.Option(help="Freeze the decision in this file or folder, to be repeated.")] = None,
    sensitive: Annotated[
        bool | None, typer.Option("--sensitive/--not-sensitive", help="Must data stay in your own network?")
    ] = None,
    fine_tuning: Annotated[
        bool | None, typer.Option("--fine-tuning/--no-fine-tuning", help="Is tuning needed that APIs do not offer?")
    ] = None,
    team: Annotated[bool | None, typer.Option("--team/--no-team", help="Is there a team that runs machines?")] = None,
    accuracy: Annotated[_Text, typer.Option(help="Share of the needed accuracy an open model reaches: 0.97.")] = None,
    months: Annotated[int | None, typer.Option(help="Horizon of the business case in months: 36.")] = None,
    setup: Annotated[_Text, typer.Option(help="USD once to move to machines: 7692.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the document's JSON Schema and stop.")] = False,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Leave the chart out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.decide/1.")] = False,
) -> None:
    """The verdict: buy by the token, rent or own; every crossing, and what would flip it.

    With --input and --output it decides on typed figures, with --scenario, --trace or --repeat on a whole case,
    otherwise on your ledger: what is paid now beside every way to serve the same calls.
    """
    flags = dict(locals())
    if schema or scenario == LIST:
        decide_case.show_schema() if schema else decide_case.show_list(json=json)
        return
    document = answered(flags)
    if json:
        print_json(document)
    else:
        from baseload.cli.decide_beside import show_beside, show_scenario
        from baseload.cli.decide_page import show

        if document.scenario is not None:
            show_scenario(document.scenario)
        show(document, plot=not no_plot)
        show_beside(document)


def answered(flags: Mapping[str, Any]) -> Answer:
    """The answer to flags by the names of `command`'s parameters: how `baseload explain` asks the same question."""
    figures = ("input", "output", "price", "model", "gpu_month", "gpu_hour", "gpu_capacity", "peak", "ops")
    typed = {_flag(name): flags[name] for name in figures}
    metered: dict[str, object] = {_flag(name): flags[name] for name in ("ledger", "demo", "run")}
    given = [name for name, value in typed.items() if value not in (None, [])]
    said = decide_case.Said(**{name: flags[name] for name in decide_case.Said.__dataclass_fields__})
    names = ("scenario", "trace", "deployment", "repeat", "gpu_hour")
    prices, models = (tuple(flags[name] or ()) for name in ("price", "model"))
    case = decide_case.Case(**{name: flags[name] for name in names}, prices=prices, models=models)
    ways = decide_ways.read(flags)
    if given and (ways.asked is not None or (ways.deployment is not None and case.flag is None)):
        ways.alone({**metered, **{_flag(name): flags[name] for name in ("scenario", "trace", "repeat")}})
        return decide_ways.on_ways(_typed(flags), decide_ways.typed(flags), ways, said)
    if ways.asked is not None and case.flag is not None:
        ways.alone({case.flag: True})
    if case.flag is not None or case.deployment is not None:
        return decide_case.on_case(case, said, {**typed, **metered})
    if not given:
        return decide_ledger.on_ledger(flags, ways, said)
    _alone(given[0], metered)
    return decide_case.on_typed(_typed(flags) | _typed_machine(flags), said)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _typed_machine(flags: Mapping[str, Any]) -> dict[str, object]:
    """The typed machine as a scenario writes it; nothing when none was typed."""
    rent = {"gpu_month": "usd_per_month", "gpu_hour": "usd_per_gpu_hour", "gpu_capacity": "capacity", "gpus": "gpus"}
    shape = ("gpu_month", "gpu_hour", "gpus", "gpu_capacity", "peak", "ops")
    if _machines(*(flags[name] for name in shape), hidden_stack=flags["hidden_stack"]) is None:
        return {}
    beside = {"peak": flags["peak"] or "1", "operations": flags["ops"], "hidden_stack": flags["hidden_stack"]}
    return {"machine": {field: flags[name] for name, field in rent.items()} | beside}


def _alone(flag: str, others: dict[str, object]) -> None:
    from baseload.errors import BadInput

    clashing = [name for name, value in others.items() if value]
    if clashing:
        raise BadInput(
            f"{flag} is a typed figure and {clashing[0]} asks for metered calls",
            remedy="Give one or the other: typed figures, or a ledger.",
        )


def _typed(flags: Mapping[str, Any]) -> dict[str, object]:
    """What was typed, as a scenario writes it. A configuration that was named is read, used or not."""
    if flags["config"] is not None:
        _settings(flags["config"])
    prices = flags["price"] or []
    for text in prices:
        _typed_price(text)
    asked = {"prices": [{"price": text} for text in prices], "models": flags["model"] or []}
    volume = {name: "0" if flags[name] is None else flags[name] for name in ("input", "output")}
    return {"name": "typed", **volume, **asked}


def _typed_price(text: str) -> TokenPrice:
    """`3/15` as USD per million tokens in and out."""
    from baseload.errors import BadInput
    from baseload.plan.options import TokenPrice

    read, slash, written = text.partition("/")
    if not slash:
        raise BadInput(f"--price {text!r} has no slash", remedy="Write input/output in USD per million tokens: 3/15.")
    return TokenPrice(f"API at {text}", _span("--price", read), _span("--price", written), "typed")


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

    from baseload.configuration import read_settings

    return read_settings(Path(config))
