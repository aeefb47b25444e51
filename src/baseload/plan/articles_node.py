"""Article 3's node: eight H100 that serve a model of 671 B, and what its tokens cost. Pure.

The article puts the whole node on the output tokens. The measurement it quotes reads about four tokens for each one it
writes, and an API bills those too: both are shown.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from baseload.capacity.deployment import Deployment
from baseload.cost.hours import lease_month
from baseload.plan.articles_figures import Books, Figure, Ours, Recipe, Value, ends, short, spread, upwards
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK

DEPLOYMENT = "deepseek-671b-8xh100-vllm0.7.3"
MILLISECONDS = 1000


def node(books: Books) -> Deployment:
    """The measured deployment that the article quotes."""
    return books.deployments[DEPLOYMENT]


def output_rate(books: Books, in_flight: int) -> Decimal:
    """Output tokens per second at requests in flight, to six decimals: the curve is a float."""
    return round(Decimal(str(node(books).curve.tokens_per_second(in_flight))), 6)


def hourly(books: Books) -> Range:
    """USD an hour for the node."""
    return lease_month(
        books.rent("article-3", node(books).gpu, saying="on demand"), node(books).gpus, hours_on=1
    ).amount


def usd_per_mtok(usd_an_hour: Range, tokens_per_second: Decimal) -> Range:
    """All of an hour on its output tokens.

    >>> int(usd_per_mtok(Range.exact(36), Decimal(1000)).likely)
    10
    """
    return usd_an_hour / (tokens_per_second * SECONDS_PER_HOUR) * TOKENS_PER_MTOK


def traffic(books: Books) -> tuple[Decimal, Decimal]:
    """Input and output tokens per second of the full node, as the article states them: the total less the output."""
    stated = books.figures["A3-14"]
    written = output_rate(books, int(stated.number("in_flight")))
    return stated.number("total") - written, written


def api_hour(books: Books, model: str, book: str) -> Decimal:
    """What an API charges for one hour of the full node's traffic, both sides."""
    read, written = traffic(books)
    return books.bill(model, book, read * SECONDS_PER_HOUR, written * SECONDS_PER_HOUR)


def alone_and_full(figure: Figure, books: Books) -> Ours:
    """Output tokens per second with one request and with many."""
    one, many = (output_rate(books, int(each)) for each in figure.several("in_flight") if isinstance(each, Decimal))
    return Ours((one, many), f"the measured curve of {DEPLOYMENT}; {short(many / one, 1)} times, by batching")


def total_rate(figure: Figure, books: Books) -> Ours:
    """Output and total tokens per second at the measured mix."""
    deployment, in_flight = node(books), int(figure.number("in_flight"))
    written = output_rate(books, in_flight)
    mix = Decimal(deployment.mix_input + deployment.mix_output) / deployment.mix_output
    ours: dict[str, Value] = {
        "out": written,
        "total": written * mix,
        "conc": Decimal(min(deployment.max_in_flight, in_flight)),
    }
    return Ours(
        ours, f"{deployment.mix_input} tokens in for {deployment.mix_output} out: the total is {mix} times the output"
    )


def month_of_tokens(figure: Figure, books: Books) -> Ours:
    """Output tokens of a month at full batch around the clock."""
    rate = round(output_rate(books, int(figure.number("in_flight"))), 0)
    return Ours(rate * SECONDS_PER_HOUR * HOURS_PER_MONTH, f"{rate} tok/s x {SECONDS_PER_HOUR} s x {HOURS_PER_MONTH} h")


def at_fill(figure: Figure, books: Books) -> Ours:
    """A row of the table of utilisation: rate, month, and USD per million output tokens over the range of rents."""
    rate = round(output_rate(books, node(books).max_in_flight), 0) * figure.number("fill")
    cost = usd_per_mtok(hourly(books), rate)
    ours: dict[str, Value] = {
        "tok_s": rate,
        "tok_month": rate * SECONDS_PER_HOUR * HOURS_PER_MONTH,
        "usd_per_mtok": ends(cost),
    }
    stated = figure.number("usd_per_mtok")
    needed = stated * rate * SECONDS_PER_HOUR / TOKENS_PER_MTOK
    reason = (
        f"range collapsed: {short(stated)} USD/M needs a node at {short(needed)} USD/h, of a range of "
        f"{spread(ends(hourly(books)), 0)}; and input tokens, which an API bills, count nothing here"
    )
    if (figure.inputs or {}).get("newer"):
        name, rate_now, now = newer(figure, books)
        ours["usd_per_mtok_on_a_newer_engine"] = ends(now)
        reason += (
            f". A stale engine: {name} wrote {short(rate_now, 0)} tok/s with 64 in flight (the article's curve: "
            f"{short(output_rate(books, 64), 0)}), which is {spread(ends(now))} USD/M on its dearer machine"
        )
    return Ours(ours, f"{spread(ends(hourly(books)), 0)} USD/h over {short(rate)} tok/s", reason)


def newer(figure: Figure, books: Books) -> tuple[str, Decimal, Range]:
    """A later measurement of the same class of model: its name, output tokens per second and USD per million."""
    rate = figure.number("in_flight") * figure.number("output_tokens") * MILLISECONDS
    rate /= figure.number("ttft_ms") + figure.number("tpot_ms") * (figure.number("output_tokens") - 1)
    rent = books.market(figure.text("gpu"))
    hour = lease_month(rent, int(figure.number("gpus")), hours_on=1).amount
    return figure.text("newer"), rate, usd_per_mtok(hour, rate)


def against_api(figure: Figure, books: Books) -> Ours:
    """The node's hour over the API's price: output alone, and the same traffic on both sides."""
    model, book = figure.text("model"), figure.text("book")
    full = usd_per_mtok(hourly(books), traffic(books)[1])
    bought = api_hour(books, model, book)
    read, written = traffic(books)
    ours: dict[str, Value] = {
        "output_only": ends(full / books.output(model, book)),
        "same_traffic": ends(hourly(books) / bought),
        "api_usd_per_hour": round(bought, 2),
    }
    return Ours(
        ours,
        f"{short(read)} in and {short(written)} out a second at "
        f"{books.input(model, book)}/{books.output(model, book)}: "
        f"{short(bought)} USD/h against {spread(ends(hourly(books)), 0)}",
        "two-sided tokens: the node reads four tokens for each one it writes, which the article leaves out and the API "
        "bills; with them the three times are gone",
    )


def against_premium(figure: Figure, books: Books) -> Ours:
    """Closed models' output prices, and the node at full and at half batch."""
    rate = traffic(books)[1]
    dear = Range.exact(hourly(books).high)
    full, half = (usd_per_mtok(dear, rate * fill).likely for fill in (Decimal(1), Decimal("0.5")))
    closed = tuple(
        books.output(model, book) for model, book in zip(figure.words("models"), figure.words("books"), strict=True)
    )
    return Ours(
        {"closed": closed, "node": (full, half)},
        f"output prices of {' and '.join(figure.words('models'))}; the node at "
        f"{short(dear.likely)} USD/h, full and half full",
    )


def enough_in_flight(figure: Figure, books: Books) -> Ours:
    """From how many requests in flight the node's output undercuts a premium price, up to all that was measured."""
    premium = books.output(figure.text("model"), figure.text("book"))
    dear = Range.exact(hourly(books).high)
    most = node(books).max_in_flight
    first = next(
        number for number in range(1, most + 1) if usd_per_mtok(dear, output_rate(books, number)).likely <= premium
    )
    needed = dear.likely / SECONDS_PER_HOUR / premium * TOKENS_PER_MTOK
    return Ours(
        (Decimal(first), Decimal(most)),
        f"{short(premium)} USD/M needs {short(upwards(needed))} tok/s of a node at "
        f"{short(dear.likely)} USD/h; measured to {most}",
    )


def idle_is_dearest(_: Figure, books: Books) -> Ours:
    """Whether a node's tokens get dearer without end as it empties, past every price in the books."""
    fills = [Decimal(1) / 2**step for step in range(12)]
    costs = [usd_per_mtok(hourly(books), traffic(books)[1] * fill).low for fill in fills]
    dearest = max(
        rate for offer in books.catalog.offers if (rate := _output_now(books, offer.key)) is not None and rate < 1000
    )
    rises = all(later > sooner for sooner, later in pairwise(costs))
    return Ours(
        "holds" if rises and costs[-1] > dearest else "does not hold",
        f"dearer at each halving: {short(costs[0])} USD/M full, {short(costs[-1], 0)} at one part in {2**11:,}; "
        f"the dearest output in the books is {short(dearest)}",
    )


def _output_now(books: Books, key: str) -> Decimal | None:
    row = books.catalog.offer(key).row(books.when)
    return row.rates.output if row is not None else None


RECIPES: dict[str, Recipe] = {
    "A3-13": alone_and_full,
    "A3-14": total_rate,
    "A3-15": month_of_tokens,
    **{f"A3-U{number}": at_fill for number in range(1, 5)},
    "A3-16": against_api,
    "A3-17": against_premium,
    "A3-18": enough_in_flight,
    "A3-25": idle_is_dearest,
}
