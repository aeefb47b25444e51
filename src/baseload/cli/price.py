"""`baseload price`: what every book says a model costs, and the books themselves. Acts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from baseload.cli import price_page
from baseload.cli.output import hint, how_many, money, print_json, say, table

if TYPE_CHECKING:
    from datetime import datetime

    from typer._click.core import Context

    from baseload.catalog.books import Catalog
    from baseload.catalog.entries import Offer, Processing, Rates
    from baseload.cost.quotes import Asked, PriceDocument, Quote, RateCard
    from baseload.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.price.<verb>/1.")]
At = Annotated[str | None, typer.Option(help="Date, or date and time in UTC: 2026-06-17 or 2026-06-17T08:00.")]
Config = Annotated[str | None, typer.Option(help="Configuration with prices and books of your own.")]
ProcessingOption = Annotated[str, typer.Option(help="standard, batch, flex, priority or fast.")]


class PriceGroup(TyperGroup):
    """The verbs of `baseload price`; a first word that is none of them is a model to show."""

    falls_to = "show"

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Put `show` before what is not a verb, so that `baseload price MODEL` shows it."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.falls_to, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=PriceGroup, no_args_is_help=True)


@app.command("show")
def show(
    model: Annotated[
        str, typer.Argument(help="provider/model, or a bare model name for every provider that sells it.")
    ],
    input: Annotated[str | None, typer.Option(help="Input tokens to price, as in 300M.")] = None,
    output: Annotated[str | None, typer.Option(help="Output tokens to price, as in 100M.")] = None,
    requests: Annotated[str, typer.Option(help="Requests that share those tokens; tiers go by one prompt.")] = "1",
    processing: ProcessingOption = "standard",
    at: At = None,
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.price/1.")] = False,
) -> None:
    """What every book says a model costs, dated, with conflicts.

    With --input and --output it prices that usage on each row.
    """
    from baseload.cost.quotes import quotes

    asked = _asked(input, output, requests)
    document = quotes(named_books(config), model, moment(at), asked, _processing(processing))
    if json:
        print_json(document)
    else:
        _show(document)


@app.command("list")
def list_prices(
    provider: Annotated[str | None, typer.Option(help="Only this provider.")] = None,
    book: Annotated[str | None, typer.Option(help="Only books whose name contains this.")] = None,
    model: Annotated[str | None, typer.Option(help="Only models whose name contains this.")] = None,
    max_input: Annotated[str | None, typer.Option(help="Only up to this many USD per million tokens in.")] = None,
    max_output: Annotated[str | None, typer.Option(help="Only up to this many USD per million tokens out.")] = None,
    processing: ProcessingOption = "standard",
    rows: Annotated[int, typer.Option(help="Rows of the table; --json has all.")] = 40,
    at: At = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Every offer of every book, cheapest output first."""
    from baseload.cost.price_books import price_list

    highest_in, highest_out = _usd("--max-input", max_input), _usd("--max-output", max_output)

    def passes(offer: Offer, rates: Rates) -> bool:
        return (
            (provider is None or offer.provider.lower() == provider.lower())
            and (book is None or book.lower() in offer.source.book.lower())
            and (model is None or model.lower() in offer.model.lower())
            and (highest_in is None or (rates.input is not None and rates.input <= highest_in))
            and (highest_out is None or (rates.output is not None and rates.output <= highest_out))
        )

    document = price_list(named_books(config), moment(at), passes=passes, processing=_processing(processing))
    if json:
        print_json(document)
    else:
        price_page.show_list(document, rows)


@app.command("compare")
def compare(
    models: Annotated[list[str], typer.Argument(help="provider/model keys or bare model names.")],
    input: Annotated[str | None, typer.Option(help="Input tokens to price, as in 300M.")] = None,
    output: Annotated[str | None, typer.Option(help="Output tokens to price, as in 100M.")] = None,
    requests: Annotated[str, typer.Option(help="Requests that share those tokens; tiers go by one prompt.")] = "1",
    processing: ProcessingOption = "standard",
    at: At = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """One usage on every offer of every model named, cheapest first."""
    from baseload.cost.price_books import price_compare
    from baseload.errors import BadInput

    asked = _asked(input, output, requests)
    if asked is None:
        raise BadInput("there is no usage to compare", remedy="Give --input and --output, as in --input 300M.")
    document = price_compare(named_books(config), models, moment(at), asked, _processing(processing))
    if json:
        print_json(document)
    else:
        price_page.show_comparison(document)


@app.command("diff")
def diff(
    since: Annotated[str | None, typer.Option("--from", help="The earlier date, as in 2026-06-01.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="The later date; now when left out.")] = None,
    book: Annotated[
        list[str] | None, typer.Option(help="Two books to set against each other instead of two dates.")
    ] = None,
    at: At = None,
    rows: Annotated[int, typer.Option(help="Rows of the table; --json has all.")] = 40,
    config: Config = None,
    json: Json = False,
) -> None:
    """What changed between two dates, or differs between two books: rises and falls."""
    from baseload.cost.price_books import book_diff, price_diff
    from baseload.errors import BadInput

    if bool(since) == bool(book) or (book and len(book) != 2):
        raise BadInput("a difference is between two dates or two books", remedy="Give --from, or --book twice.")
    catalog = named_books(config)
    if book:
        document = book_diff(catalog, book[0], book[1], moment(at))
    else:
        document = price_diff(catalog, moment(since), moment(to))
    if json:
        print_json(document)
    else:
        price_page.show_diff(document, rows)


@app.command("check")
def check(
    policy: Annotated[
        str | None, typer.Option(help="Only what this policy can reach; a whole baseload.yaml will do.")
    ] = None,
    book: Annotated[list[str] | None, typer.Option(help="Only rows of this book.")] = None,
    stale: Annotated[int, typer.Option(help="Days after which a row is stale.")] = 180,
    far: Annotated[str, typer.Option(help="Times from the market's median at which a row is far off.")] = "5",
    conflict: Annotated[str, typer.Option(help="Times between two books at which they are in conflict.")] = "2",
    rows: Annotated[int, typer.Option(help="Rows of the table; --json has all.")] = 40,
    at: At = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Conflicts between books, stale rows, rows far from the market, models without a price; exit 3 when one is found.

    With --policy or --config it looks at the offers of their routes and of `compare`, which all need a price, and at
    your own prices; without, at every row of every book.
    """
    from baseload.cli.price_reach import reached
    from baseload.cost.price_books import price_check
    from baseload.errors import BadInput, Breach

    times = {"--far": _usd("--far", far), "--conflict": _usd("--conflict", conflict)}
    for flag, figure in times.items():
        if figure is None or figure <= 1:
            raise BadInput(f"{flag} {figure} is not above one", remedy="Give times above 1, as in 5.")
    settings, wanted = reached(config, policy)
    document = price_check(
        _books(settings),
        moment(at),
        wanted=wanted,
        books=book or (),
        stale_days=stale,
        far=times["--far"] or Decimal(0),
        conflict=times["--conflict"] or Decimal(0),
    )
    if json:
        print_json(document)
    else:
        price_page.show_check(document, rows)
    if document.breached:
        raise Breach(
            f"the check of {how_many(document.rows, 'row')} found {how_many(len(document.found), 'thing')}",
            remedy="Mend them in `prices`, or narrow the check with --book, --stale, --far and --conflict.",
        )


def named_books(config: str | None) -> Catalog:
    """The books, with those of a configuration where one is named."""
    from pathlib import Path

    from baseload.configuration import read_settings

    return _books(read_settings(Path(config)) if config else None)


def _books(settings: Settings | None) -> Catalog:
    from baseload.documents import catalog_of, load_catalog

    return catalog_of(settings) if settings is not None else load_catalog()


def _processing(word: str) -> Processing:
    from baseload.catalog.entries import Processing
    from baseload.errors import BadInput

    try:
        return Processing(word.lower())
    except ValueError as error:
        raise BadInput(f"--processing {word} is unknown", remedy=f"Use one of {', '.join(Processing)}.") from error


def _usd(flag: str, text: str | None) -> Decimal | None:
    from decimal import InvalidOperation

    from baseload.errors import BadInput

    if text is None:
        return None
    try:
        figure = Decimal(text)
    except InvalidOperation as error:
        raise BadInput(f"{flag} {text!r} is not a figure", remedy=f"Write a number, as in {flag} 2.5.") from error
    if not figure.is_finite() or figure < 0:
        raise BadInput(f"{flag} {text} is not a figure from zero up", remedy=f"Write a number, as in {flag} 2.5.")
    return figure


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


def moment(text: str | None) -> datetime:
    """The asked moment in UTC, now when none was asked."""
    from datetime import UTC, datetime

    from baseload.errors import BadInput

    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"--at {text!r} is not a date",
            remedy="Write 2026-06-17, or 2026-06-17T08:00 for an hour of that day (UTC).",
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


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
    first, chosen = document.quotes[0], document.chosen
    if chosen is None:
        say("  No row has a price for this.")
    else:
        named = (chosen.offer, chosen.book)
        first = next(quote for quote in document.quotes if (quote.offer, quote.book) == named)
        why = f": {chosen.why}" if chosen.why else ""
        say(f"  {first.offer} in {first.book} stands for it{why} (precedence: {first.precedence}).")
    say(f"  Source: {first.reference}")
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
    unsaid = f"the book is of {quote.as_of} and does not say what held on {at.date()}" if quote.before_book else ""
    line = next((each for each in quote.schedule if each.in_force), None)
    if line is None:
        return unsaid or f"no price in force on {at:%Y-%m-%d}"
    words = [
        unsaid,
        f"since {line.valid_from}" if line.valid_from else "",
        f"{line.window} {line.zone}" if line.window else "",
        *(
            f"above {tier.above_prompt_tokens:,}: {_rate(tier.rates, 'input')}/{_rate(tier.rates, 'output')}"
            for tier in line.tiers
        ),
        f"{len(quote.schedule)} dated rows" if len(quote.schedule) > 1 else "",
        f"also {', '.join(each.processing for each in quote.variants)}" if quote.variants else "",
        f"at least {money(quote.monthly_minimum_usd)} USD a month" if quote.monthly_minimum_usd else "",
        quote.note,
    ]
    return ", ".join(word for word in words if word)
