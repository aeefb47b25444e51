"""Prices of tokens in the articles: single prices, rankings, tiers and ratios. Pure.

Prices come out of the books, amounts out of `cost.tokens.price`; a price is never written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from baseload.plan.articles_figures import Books, Figure, Ours, Recipe, Value, short, spread

# What one model is priced at has no size of its own: a million tokens of each side.
_MILLION = Decimal(10) ** 6


def output_price(figure: Figure, books: Books) -> Ours:
    """One output price."""
    model, book = figure.text("model"), figure.text("book")
    return Ours(
        books.bill(model, book, Decimal(0), _MILLION), f"1 M output tokens of {model} priced with the {book} book"
    )


def output_prices(figure: Figure, books: Books) -> Ours:
    """Several output prices of one tier."""
    book = figure.text("book")
    found: dict[str, Value] = {model: books.output(model, book) for model in figure.words("models")}
    return Ours(found, f"output prices in the {book} book")


def price_row(figure: Figure, books: Books) -> Ours:
    """A row of a ranking: both prices, the context, and the price of three tokens read for one written."""
    model, book = figure.text("model"), figure.text("book")
    offer = books.offer(model, book)
    row: dict[str, Value] = {
        "input": books.bill(model, book, _MILLION, Decimal(0)),
        "output": books.bill(model, book, Decimal(0), _MILLION),
    }
    stated = figure.value if isinstance(figure.value, dict) else {}
    if "provider" in stated:
        context = offer.context_tokens
        row |= {"provider": offer.provider, "context": Decimal(context) if context else None}
    if "blended_3to1" in stated:
        row["blended_3to1"] = books.bill(model, book, 3 * _MILLION, _MILLION) / 4
    beside = "; blended: 3 M read and 1 M written, by 4" if "blended_3to1" in row else ""
    return Ours(row, f"{offer.key} in the {book} book{beside}")


def within_target(figure: Figure, books: Books) -> Ours:
    """Whether a model costs less than the target that code states for it."""
    ours = books.output(figure.text("model"), figure.text("book"))
    holds = ours < figure.number("target")
    return Ours("holds" if holds else "does not hold", f"{figure.text('model')} at {ours} < {figure.number('target')}")


def ratio_range(figure: Figure, books: Books) -> Ours:
    """How many times dearer one model is than another: on input, on output."""
    found = ratios(figure.text("dear"), figure.text("cheap"), figure.text("book"), books)
    pair = tuple(sorted((found["input"], found["output"])))
    return Ours(pair, f"{figure.text('dear')} over {figure.text('cheap')}: input tokens, output tokens")


def ratio_sides(figure: Figure, books: Books) -> Ours:
    """The same ratio on output alone, on input alone, and on three read for one written, for each cheap model."""
    dear = figure.text("dear")
    found: dict[str, Value] = {
        model: dict(ratios(dear, model, figure.text("book"), books)) for model in figure.words("models")
    }
    return Ours(
        found,
        f"prices of {dear} over those of each model",
        "two-sided tokens: the article compares output prices alone; input tokens, three for each one written here, "
        "are dearer relative to them",
    )


def ratios(dear: str, cheap: str, book: str, books: Books) -> Mapping[str, Decimal]:
    """Price over price by side; `dear` is of any book, `cheap` of the article's."""
    return {
        "output": books.output(dear, "") / books.output(cheap, book),
        "input": books.input(dear, "") / books.input(cheap, book),
        "3:1": books.blend(dear, "") / books.blend(cheap, book),
    }


def price_gap(figure: Figure, books: Books) -> Ours:
    """One output price over another."""
    dear, cheap = books.output(figure.text("dear"), ""), books.output(figure.text("cheap"), figure.text("book"))
    return Ours(dear / cheap, f"output tokens: {short(dear)} / {short(cheap)} USD/M")


def even_ratio(figure: Figure, books: Books) -> Ours:
    """Per token, read and written alike."""
    dear, cheap, book = figure.text("dear"), figure.text("cheap"), figure.text("book")
    # Rates, not a bill: one request of a million tokens would reach a tier.
    even = (books.input(dear, "") + books.output(dear, "")) / (books.input(cheap, book) + books.output(cheap, book))
    sides = ratios(dear, cheap, book, books)
    return Ours(
        even,
        f"one token read for one written; {short(sides['output'])} on output alone, "
        f"{short(sides['input'])} on input alone, {short(sides['3:1'])} at 3:1",
    )


def tiers(books: Books) -> dict[str, tuple[Decimal, Decimal]]:
    """The tiers by name: lowest output price in, highest out. Half-open, so that a shared bound is in one tier."""
    rows = (each for each in books.figures.values() if each.kind == "tier")
    return {each.subject: each.pair("bounds") for each in rows}


def tier_of(price: Decimal, books: Books) -> str:
    """The tier that an output price is in; empty outside all of them."""
    return next((name for name, (low, high) in tiers(books).items() if low <= price < high), "")


def tier_bounds(figure: Figure, books: Books) -> Ours:
    """A tier's bounds, found by asking in which tier each price from 0 up is, a cent at a time."""
    cents = [Decimal(cent) / 100 for cent in range(401)]
    inside = [cent for cent in cents if tier_of(cent, books) == figure.subject]
    held = sorted(
        {
            offer.name or offer.model
            for offer in books.catalog.offers
            if offer.source.book == "article-2"
            and tier_of(books.output(offer.model, "article-2"), books) == figure.subject
        }
    )
    return Ours(
        (inside[0], inside[-1] + Decimal("0.01")),
        f"half-open: from the low bound to below the high one; {len(held)} models of the article are in it",
    )


def tier_member(figure: Figure, books: Books) -> Ours:
    """The tier that a model's price is in."""
    price = books.output(figure.text("model"), figure.text("book"))
    return Ours(
        {"price": price, "tier": tier_of(price, books)},
        f"{figure.text('model')} at {price} USD/M output",
        f"{price} is below the bound of the tier that the article puts it in",
    )


def out_of_order(figure: Figure, books: Books) -> Ours:
    """The rows of the ranking that are cheaper than a row above them."""
    rows = [each for each in books.figures.values() if each.kind == "price_row" and each.article == figure.article]
    highest, broken = Decimal(0), []
    for rank, row in enumerate(rows, start=1):
        price = books.output(row.text("model"), row.text("book"))
        if price < highest:
            broken.append(Decimal(rank))
        highest = max(highest, price)
    return Ours(
        {"ranks_out_of_order": tuple(broken)},
        f"{len(rows)} rows walked from the top, output prices compared",
        "these rows cost less than a row above them",
    )


def dominated(figure: Figure, books: Books) -> Ours:
    """Whether the route for easier tasks costs more than the route for harder ones, on both sides."""
    book = figure.text("book")
    easy, hard = figure.text("standard"), figure.text("reasoning")
    worse = books.output(easy, book) > books.output(hard, book) and books.input(easy, book) >= books.input(hard, book)
    prices: dict[str, Value] = {easy: books.output(easy, book), hard: books.output(hard, book)}
    return Ours(
        prices | {"dominated": easy if worse else "none"},
        f"output prices; input is {books.input(easy, book)} and {books.input(hard, book)}",
        "the model for harder tasks is the cheaper one: the standard route buys less for more",
    )


def routing_saving(figure: Figure, books: Books) -> Ours:
    """What routing saves against one large model, when a share goes to each of several cheap ones."""
    book, share = figure.text("book"), figure.number("share")
    base = books.output(figure.text("base"), book)
    saved: list[Decimal] = []
    for cheap, rest in zip(figure.words("cheap"), figure.words("rest"), strict=True):
        mixed = share * books.output(cheap, book) + (1 - share) * books.output(rest, book)
        saved.append(1 - mixed / base)
    return Ours(
        tuple(sorted(saved)),
        f"{share:.0%} of the output tokens at {' or '.join(figure.words('cheap'))}, the rest at "
        f"{' or '.join(figure.words('rest'))}, against {figure.text('base')} at {base} USD/M",
        "the mix and the large model's price are not stated: the saving follows from them "
        f"({spread((min(saved), max(saved)))})",
    )


RECIPES: dict[str, Recipe] = {
    **{f"A0-P{number:02}": output_price for number in range(1, 11)},
    **{f"A2-R{number:02}": price_row for number in range(1, 31)},
    **{f"A2-T{number}": tier_bounds for number in range(1, 6)},
    **{f"A3-P{number}": price_row for number in range(1, 5)},
    **{f"A4-P{number}": price_row for number in range(1, 4)},
    "A0-R6": routing_saving,
    "A0-R11": dominated,
    "A2-03": ratio_sides,
    "A2-04": ratio_range,
    "A2-05": ratio_sides,
    "A2-T6": tier_member,
    "A2-T7": output_prices,
    "A2-T8": output_prices,
    "A2-T9": output_prices,
    "A2-R31": out_of_order,
    "A2-C1": within_target,
    "A2-C2": output_price,
    "A3-20": even_ratio,
    "A3-21": price_gap,
}
