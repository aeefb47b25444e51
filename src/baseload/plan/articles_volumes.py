"""Volumes in the articles: months of tokens, break-evens and how many times cheaper. Pure.

A month has the articles' 30 days where tokens are counted by the day, and 730 hours where machines are rented; each
figure says which.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from baseload.cost.breakeven import crossings, horizon
from baseload.cost.curves import ZERO, Tariff
from baseload.plan.advice import decide_on_prices
from baseload.plan.articles_figures import Books, Figure, Ours, Recipe, Value, ends, short, spread
from baseload.plan.document import DecideDocument, plain
from baseload.plan.options import Machines, Volume, day_rates, machine_option, operations
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK
from baseload.usage import Usage


def tokens_a_month(figure: Figure, books: Books) -> Decimal:
    """The articles' month of a day's tokens."""
    return figure.number("tokens_per_day") * books.days_per_month


def month_bill(figure: Figure, books: Books) -> Ours:
    """A month of output tokens at one price."""
    model, book = figure.text("model"), figure.text("book")
    tokens = tokens_a_month(figure, books)
    usd = books.bill(model, book, Decimal(0), tokens)
    both = books.bill(model, book, tokens * 3 / 4, tokens / 4)
    rate = books.output(model, book)
    return Ours(
        usd,
        f"{short(tokens / TOKENS_PER_MTOK)} M output tokens x {rate} USD/M; {short(both)} were three of four read",
        f"slip of arithmetic: the article's sum is {short(_sum_behind(figure, rate))} M tokens at {rate}, not "
        f"{short(tokens / TOKENS_PER_MTOK)} M",
    )


def _sum_behind(figure: Figure, rate: Decimal) -> Decimal:
    """Million tokens that the printed amount would buy."""
    return figure.value / rate if isinstance(figure.value, Decimal) else Decimal(0)


def times_cheaper(figure: Figure, books: Books) -> Ours:
    """Machine over API: the machine alone, and with article 0's hidden stack or its flat sum beside it."""
    month = books.month("article-0", figure.text("gpu"), "rented", int(figure.number("count")))
    api = books.bill(figure.text("model"), figure.text("book"), Decimal(0), tokens_a_month(figure, books))
    flat = month + Range.exact(_flat_sum(books))
    ours: dict[str, Value] = {
        "machine_alone": ends(month / api),
        "plus_flat_overhead": ends(flat / api),
        "plus_hidden_stack": ends((month + books.rented.total) / api),
    }
    return Ours(
        ours,
        f"{spread(ends(month), 0)} USD over {short(api)} USD",
        figure.text("because"),
    )


def _flat_sum(books: Books) -> Decimal:
    return books.figures["A0-C08"].number("usd")


def even_volume(fixed: Decimal, usd_per_mtok: Decimal) -> Decimal:
    """Tokens a month from which a machine that is paid anyway costs less than a price by the token.

    >>> even_volume(Decimal(1200), Decimal(6))
    Decimal('200000000')
    """
    api = Tariff("api", per_unit=Fraction(usd_per_mtok) / TOKENS_PER_MTOK)
    machine = Tariff("machine", fixed=Fraction(fixed))
    (crossing,) = crossings(api, machine, ZERO, (horizon(api, machine) or ZERO) + 1)
    return plain(crossing.at)


def break_even_a_day(figure: Figure, books: Books) -> Ours:
    """Tokens a day at which a box costs what the API does, alone and with overhead."""
    rate = books.output(figure.text("model"), figure.text("book"))
    month = books.month("article-0", figure.text("gpu"), "rented", int(figure.number("count")))
    flat = month + Range.exact(_flat_sum(books))

    def a_day(machine: Range) -> tuple[Decimal, Decimal]:
        return (
            round(even_volume(machine.low, rate) / books.days_per_month, 0),
            round(even_volume(machine.high, rate) / books.days_per_month, 0),
        )

    return Ours(
        {"box": a_day(month), "plus_flat_overhead": a_day(flat)},
        f"{spread(ends(month), 0)} USD a month against {rate} USD/M, {books.days_per_month} days, no limit of capacity",
        figure.text("because"),
    )


def monthly_from_daily(figure: Figure, books: Books) -> Ours:
    """A day's tokens, and a month's."""
    return Ours(
        (figure.number("tokens_per_day"), tokens_a_month(figure, books)), f"x {books.days_per_month} days, not 365 / 12"
    )


def victory(figure: Figure, books: Books) -> Ours:
    """The break-even volume of one H100 with overhead against four prices: no single volume."""
    rent = books.rent("article-1", "h100-80gb", "spot").likely * HOURS_PER_MONTH
    fixed = rent + _flat_sum(books)
    found: dict[str, Value] = {
        model: even_volume(fixed, books.blend(model, book))
        for model, book in zip(figure.words("models"), figure.words("books"), strict=True)
    }
    return Ours(
        found,
        f"{short(fixed)} USD a month (one H100 at the article's rate, and "
        f"{short(_flat_sum(books))}) over the price at 3:1",
        "the volume follows from the price that is replaced, so it is a curve and not one figure; a single H100 does "
        "not serve 10 B tokens a month",
    )


def per_token(figure: Figure, books: Books) -> Ours:
    """The month at 10 B tokens, read as USD per token, per thousand and per million."""
    low, high = figure.pair("usd")
    volume = figure.number("tokens_per_month")
    ours: dict[str, Value] = {
        name: (low * volume / size, high * volume / size)
        for name, size in (("per_token", 1), ("per_thousand", 1000), ("per_million", TOKENS_PER_MTOK))
    }
    bought = books.bill(figure.text("model"), figure.text("book"), Decimal(0), volume)
    return Ours(
        ours,
        f"USD a month at {short(volume / TOKENS_PER_MTOK)} M tokens",
        "the unit is missing: per token it is millions a month, per million a few dollars; only per thousand is "
        f"plausible, and then an API at {short(bought)} a month is cheaper",
    )


def saving(figure: Figure, _: Books) -> Ours:
    """The part of a bill that is gone."""
    before, after = figure.pair("usd")
    return Ours(1 - after / before, f"1 - {after} / {before}; above the article's own 40 to 70 %")


def routed_saving(figure: Figure, books: Books) -> Ours:
    """What sending a share of the traffic from a frontier model to cheaper ones saves, three read for one written."""
    share, base = figure.number("share"), figure.text("base")
    top = books.blend(base, "article-4")
    found: dict[str, Value] = {
        cheap: share * (1 - books.blend(cheap, "article-4") / top) for cheap in figure.words("cheap")
    }
    before, after = books.figures["A1-09"].pair("usd")
    return Ours(
        found | {"its_own_case": 1 - after / before},
        f"{share:.0%} of the tokens at each cheaper price, the rest at {base}",
        "follows from the share that is routed and the two prices; the article's own case lies outside its range",
    )


def example(books: Books) -> Volume:
    """Article 4's month."""
    figure = books.figures["A4-01"]
    return Volume(figure.number("input_tokens"), figure.number("output_tokens"))


def decided(books: Books, volume: Volume, overhead: Decimal = Decimal(0)) -> DecideDocument:
    """Article 4's three prices against its machine, as `baseload decide` answers."""
    month = books.month("article-4", "h100-80gb")
    capacity = books.figures["A4-13"].number("capacity")
    beside = operations(Range.exact(overhead)) if overhead else operations(Range.exact(0))
    machine = Machines("h100", month, capacity, "1,200 USD", operations=beside)
    offers = [books.offer(model, "article-4") for model in ("frontier", "mid", "light")]
    return decide_on_prices(volume, [day_rates(offer, books.when) for offer in offers], machine)


def workload(_: Figure, books: Books) -> Ours:
    """The month as the decision takes it."""
    volume = decided(books, example(books)).volume
    return Ours(
        {"input": volume.input_tokens, "output": volume.output_tokens}, f"{short(volume.tokens)} tokens a month in all"
    )


def option_cost(figure: Figure, books: Books) -> Ours:
    """What one option of the decision costs a month."""
    document = decided(books, example(books))
    option = next(each for each in document.options if each.name == figure.text("option"))
    return Ours(option.usd_per_month.likely, " + ".join(line.how for line in option.lines))


def option_costs(books: Books, volume: Volume, overhead: Decimal = Decimal(0)) -> dict[str, Decimal]:
    """USD a month by option."""
    return {each.name: each.usd_per_month.likely for each in decided(books, volume, overhead).options}


def with_overhead(figure: Figure, books: Books) -> Ours:
    """The machine with the flat sum for people, and how much a measured H100 carries of that mix."""
    costs = option_costs(books, example(books), _flat_sum(books))
    volume = example(books)
    deployment = books.deployments[figure.text("deployment")]
    one = Usage(input_tokens=int(volume.input_tokens), output_tokens=int(volume.output_tokens))
    times = Decimal(HOURS_PER_MONTH * SECONDS_PER_HOUR) / deployment.seconds(one)
    ours: dict[str, Value] = {
        "cost": costs["h100"],
        "api_mid_tier": costs["reference/mid"],
        "headroom": times / deployment.gpus,
    }
    return Ours(
        ours,
        f"1,200 + {short(_flat_sum(books))} USD; capacity of one of {deployment.gpus} GPUs of "
        f"{deployment.name}, always full",
        "overhead is left out: with article 0's flat sum the mid-tier API is cheaper; the headroom is "
        "that of the model and engine, here one that was measured",
    )


def left_out(figure: Figure, books: Books) -> Ours:
    """What the rows cost that the comparison leaves out."""
    costs = option_costs(books, example(books))
    ours: dict[str, Value] = {"light": costs["reference/light"], "h100": costs["h100"]}
    for model in figure.words("models"):
        ours[model] = books.bill(model, "article-3", example(books).input_tokens, example(books).output_tokens)
    return Ours(
        ours,
        "the same 300 M + 100 M tokens at each price",
        "the article prints the price and leaves the row out: it is cheaper than its machine, as "
        "hosted open weights are",
    )


def grown(figure: Figure, books: Books) -> Ours:
    """The bills at one and at two thousand million tokens of the same mix."""
    low, high = figure.pair("tokens")
    found: dict[str, Value] = {}
    for tier in ("light", "mid", "frontier"):
        usd = tuple(option_costs(books, Volume(each * 3 / 4, each / 4))[f"reference/{tier}"] for each in (low, high))
        found[tier] = usd
    return Ours(
        found,
        "the 3:1 mix at article 4's three prices",
        "true of the frontier price alone, and at its middle: not of the others",
    )


def break_even_span(figure: Figure, books: Books) -> Ours:
    """The break-even volumes of the machine against the mid-tier price and the cheapest open weights."""
    month = books.month("article-4", "h100-80gb").likely
    found = {
        model: even_volume(month, books.blend(model, book))
        for model, book in zip(figure.words("models"), figure.words("books"), strict=True)
    }
    flat = (month + _flat_sum(books)) / month
    low, high = figure.words("models")[1], figure.words("models")[-1]
    listed = ", ".join(f"{model} {short(volume / TOKENS_PER_MTOK, 0)} M" for model, volume in found.items())
    return Ours(
        (found[low], found[high]),
        f"{short(month)} USD over the price at 3:1: {listed}; x {short(flat)} with {short(_flat_sum(books))} beside it",
    )


def half(figure: Figure, books: Books) -> Ours:
    """What the machine saves against an option."""
    costs = option_costs(books, example(books))
    parts = ", ".join(
        f"{name.removeprefix('reference/')} {1 - costs['h100'] / usd:.0%}"
        for name, usd in costs.items()
        if name.startswith("reference/")
    )
    return Ours(1 - costs["h100"] / costs[figure.text("option")], f"1 - machine / API: {parts}")


def flat_until_full(figure: Figure, books: Books) -> Ours:
    """Whether double the volume costs the same on a machine that has room, and a step more on one that has not."""
    machine = Machines("h100", books.month("article-4", "h100-80gb"), figure.number("capacity"), "a month")
    volume = example(books)
    costs = [
        machine_option(Volume(volume.input_tokens * times, volume.output_tokens * times), machine, "rented")
        for times in (1, 2, 8)
    ]
    once, twice, more = (option.usd_per_month.likely for option in costs)
    return Ours(
        "holds" if once == twice < more else "does not hold",
        f"{short(once)} USD at 400 M and 800 M tokens, {short(more)} at 3.2 B on {costs[-1].machines} machines: steps",
    )


RECIPES: dict[str, Recipe] = {
    **dict.fromkeys(("A0-A1", "A0-A1b", "A0-B1", "A0-Cc1", "A0-Cc2"), month_bill),
    "A0-A3": times_cheaper,
    "A0-B3": times_cheaper,
    **dict.fromkeys(("A0-R1", "A0-R3", "A0-R4"), break_even_a_day),
    "A1-04": monthly_from_daily,
    "A1-07": victory,
    "A1-08": per_token,
    "A1-09": saving,
    "A1-15": routed_saving,
    "A4-01": workload,
    "A4-03": option_cost,
    "A4-04": option_cost,
    "A4-05": with_overhead,
    "A4-06": left_out,
    "A4-07": grown,
    "A4-08": break_even_span,
    "A4-09": half,
    "A4-13": flat_until_full,
}
