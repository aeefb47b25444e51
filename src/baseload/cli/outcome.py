"""`baseload outcome`: what a task done right costs, with failures, retries and corrections counted in. Acts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, print_json, say, table

if TYPE_CHECKING:
    from baseload.plan.outcomes import OutcomeDocument
    from baseload.plan.scenario import OutcomeModel, Outcomes

EXAMPLE = "small=0.1/0.4:0.6:3"
_MODEL = re.compile(r"(?P<what>.+?):(?P<success>[\d.]+%?(?:-[\d.]+%?)?)(?::(?P<tries>\d+))?")


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="MODEL:SUCCESS[:TRIES], the small one first: gpt-4o-mini:60%-70%:3, gpt-4o:0.9. NAME=PRICE:SUCCESS "
            "types a price: 3/15 in USD/M in and out, or one figure for a try."
        ),
    ] = None,
    input: Annotated[str, typer.Option(help="Input tokens of one try, as in 2K.")] = "0",
    output: Annotated[str, typer.Option(help="Output tokens of one try.")] = "0",
    correction: Annotated[
        str | None, typer.Option(help="USD to put a failure right by hand: 5, 2-8. Left out, failures are dropped.")
    ] = None,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Weigh them in a row too: each serves what the ones before left failed.")
    ] = False,
    check: Annotated[str, typer.Option(help="USD to find out that a try failed, with --cascade.")] = "0",
    scenario: Annotated[str | None, typer.Option(help="A scenario file that has `outcomes`.")] = None,
    at: Annotated[str | None, typer.Option(help="Date, or date and time in UTC, of the books' prices.")] = None,
    config: Annotated[str | None, typer.Option(help="Configuration with prices and books of your own.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the document's JSON Schema and stop.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.outcome/1.")] = False,
) -> None:
    """The cost of a task done right: tries, failures and corrections, which model wins, and from what correction on.

    A cheap model that fails is tried again or corrected by hand. Above H*, the cost of a correction, the safer wins.
    """
    from baseload.cli.price import moment, named_books
    from baseload.plan.json_schema import json_schema
    from baseload.plan.outcomes import SCHEMA, OutcomeDocument, answer_outcomes
    from baseload.plan.scenario import Outcomes

    if schema:
        print_json(json_schema(OutcomeDocument, SCHEMA))
        return
    typed = Outcomes(
        models=tuple(_model(each) for each in models or ()),
        input=input,
        output=output,
        correction=correction,
        check=check if check.strip() != "0" else 0,
        cascade=cascade,
    )
    asked = _scenario(scenario, typed) if scenario is not None else typed
    books = named_books(config) if config is not None or any(each.model for each in asked.models) else None
    document = answer_outcomes(asked, books, moment(at))
    if json:
        print_json(document)
    else:
        _show(document)


def _model(text: str) -> OutcomeModel:
    from baseload.errors import BadInput
    from baseload.plan.scenario import OutcomeModel

    match = _MODEL.fullmatch(text.strip())
    if match is None:
        raise BadInput(
            f"{text!r} is no model with its success",
            remedy=f"Write MODEL:SUCCESS or NAME=PRICE:SUCCESS:TRIES, as in {EXAMPLE}.",
        )
    name, equals, price = match["what"].partition("=")
    tries = int(match["tries"] or 1)
    if not equals:
        return OutcomeModel(model=name, success=match["success"], tries=tries)
    if "/" in price:
        return OutcomeModel(name=name, price=price, success=match["success"], tries=tries)
    return OutcomeModel(name=name, usd_per_try=price, success=match["success"], tries=tries)


def _scenario(name: str, typed: Outcomes) -> Outcomes:
    """The outcomes of a scenario, and nothing typed beside them."""
    from baseload.cli.decide_case import find
    from baseload.errors import BadInput
    from baseload.plan.scenario import Outcomes

    if typed != Outcomes(models=(), input="0", output="0"):
        raise BadInput("--scenario brings its own figures, and others were typed too", remedy="Give one of them.")
    found = find(name)
    if found.outcomes is None:
        raise BadInput(
            f"the scenario {found.name} has no outcomes", remedy="Add `outcomes:` with `models` and their `success`."
        )
    return found.outcomes


def _show(document: OutcomeDocument) -> None:
    from baseload.plan.outcomes import spread_words

    say(document.sentence)
    say()
    table(
        "USD for a task done right",
        ["way", ">low", ">likely", ">high", ">tries cost", ">failing"],
        [
            [
                way.name,
                *(
                    _usd(each)
                    for each in (way.usd_per_success.low, way.usd_per_success.likely, way.usd_per_success.high)
                ),
                _usd(way.usd.likely),
                f"{way.failing.likely:.1%}",
            ]
            for way in document.ways
        ],
    )
    for model in document.models:
        tries = "1 try" if model.tries == 1 else f"up to {model.tries} tries"
        source = f", {model.offer} in {model.book}" if model.offer else ", typed"
        why = f" ({model.why})" if model.why else ""
        say(f"  {model.name}: {spread_words(model.usd_per_try)} USD a try, {tries}{source}{why}.")
    if document.correction_usd is not None:
        say(f"  A failure is put right by hand for {spread_words(document.correction_usd)} USD.")
    for turn in document.turning:
        say(f"  H*: {turn.sentence}.")
    hint("baseload outcome --help" if document.turning else "baseload price compare MODEL MODEL --input 1M --output 1M")


def _usd(figure: object) -> str:
    from decimal import Decimal

    from baseload.plan.outcomes import usd_words

    return usd_words(Decimal(str(figure)))
