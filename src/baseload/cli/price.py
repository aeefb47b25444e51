"""`baseload price`: what every book says a model costs. Acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, money, print_json, say, table

if TYPE_CHECKING:
    from datetime import datetime

    from baseload.cost.quotes import Asked, PriceDocument, Quote, RateCard


def command(
    model: Annotated[
        str, typer.Argument(help="provider/model, or a bare model name for every provider that sells it.")
    ],
    input: Annotated[str | None, typer.Option(help="Input tokens to price, as in 300M.")] = None,
    output: Annotated[str | None, typer.Option(help="Output tokens to price, as in 100M.")] = None,
    requests: Annotated[str, typer.Option(help="Requests that share those tokens; tiers go by one prompt.")] = "1",
    at: Annotated[
        str | None, typer.Option(help="Date, or date and time in UTC: 2026-06-17 or 2026-06-17T08:00.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Configuration whose own prices stand first.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.price/1.")] = False,
) -> None:
    """What every book says a model costs, dated, with conflicts.

    With --input and --output it prices that usage on each row.
    """
    from pathlib import Path

    from baseload.cost.quotes import quotes
    from baseload.documents import load_catalog
    from baseload.settings import read_settings

    own = read_settings(Path(config)).prices if config else ()
    asked = _asked(input, output, requests)
    document = quotes(load_catalog(own), model, _moment(at), asked)
    if json:
        print_json(document)
    else:
        _show(document)


def _asked(input: str | None, output: str | None, requests: str) -> Asked | None:
    from baseload.cost.quotes import Asked

    if input is None and output is None:
        return None
    return Asked(
        input_tokens=_count("--input", input or "0"),
        output_tokens=_count("--output", output or "0"),
        requests=_count("--requests", requests),
    )


def _count(flag: str, text: str) -> int:
    from baseload.errors import BadInput
    from baseload.units import quantity

    figure = quantity(text)
    if figure != figure.to_integral_value():
        raise BadInput(f"{flag} {text} is not a whole number", remedy="Write a whole count, as in 1500 or 1.5K.")
    return int(figure)


def _moment(text: str | None) -> datetime:
    """The asked moment in UTC, now when none was asked."""
    from datetime import UTC, datetime

    from baseload.errors import BadInput

    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"--at {text!r} is not a date",
            remedy="Write 2026-06-17, or 2026-06-17T08:00 for an hour of that day (UTC).",
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _show(document: PriceDocument) -> None:
    columns = ["offer", "book", "as of", ">in $/M", ">out $/M", ">cache read"]
    if document.usage is not None:
        columns.append(">USD")
    table(
        f"{document.asked} on {document.at:%Y-%m-%d %H:%M} UTC", columns, [_row(document, q) for q in document.quotes]
    )
    for quote in document.quotes:
        if words := _dated(quote, document.at):
            say(f"  {quote.offer} ({quote.book}): {words}")
        if quote.unpriced:
            say(f"  unpriced: {quote.unpriced}")
    for conflict in document.conflicts:
        times = f", {conflict.ratio:f} times" if conflict.ratio is not None else ""
        say(f"  conflict: {conflict.leaf} {conflict.low:f} to {conflict.high:f} USD/M{times}")
        say(f"            {conflict.lowest} .. {conflict.highest}")
    first = document.quotes[0]
    say(f"  {first.offer} in {first.book} stands first (precedence: {first.precedence}). Source: {first.reference}")
    hint(f"baseload decide --input 300M --output 100M --model {first.offer} --gpu-month 1200 --gpu-capacity 1.6B")


def _row(document: PriceDocument, quote: Quote) -> list[str]:
    rates = quote.rates
    cells = [
        quote.offer,
        quote.book,
        quote.as_of.isoformat(),
        _rate(rates, "input"),
        _rate(rates, "output"),
        _rate(rates, "cache_read"),
    ]
    if document.usage is not None:
        cells.append(money(quote.usd, 4) if quote.usd is not None else "unpriced")
    return cells


def _rate(rates: RateCard | None, leaf: str) -> str:
    rate = getattr(rates, leaf, None)
    return "-" if rate is None else f"{rate:f}"


def _dated(quote: Quote, at: datetime) -> str:
    """In a few words: since when, in which hours, above which prompt length."""
    line = next((each for each in quote.schedule if each.in_force), None)
    if line is None:
        return f"no price in force on {at:%Y-%m-%d}"
    earlier = line.valid_from is None and at.date() < quote.as_of
    words = [
        f"the book is of {quote.as_of} and does not say what held on {at.date()}" if earlier else "",
        f"since {line.valid_from}" if line.valid_from else "",
        f"{line.window} UTC" if line.window else "",
        *(
            f"above {tier.above_prompt_tokens:,}: {_rate(tier.rates, 'input')}/{_rate(tier.rates, 'output')}"
            for tier in line.tiers
        ),
        f"{len(quote.schedule)} dated rows" if len(quote.schedule) > 1 else "",
        quote.note,
    ]
    return ", ".join(word for word in words if word)
