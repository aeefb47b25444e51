"""What fits what in the articles: models on machines, asked of `capacity.fit` before any money. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from baseload.capacity.fit import Fit, fit
from baseload.catalog.entries import LeaseKind, Machine
from baseload.cost.hours import lease_month
from baseload.plan.articles_figures import Books, Figure, Ours, Recipe, Value, ends, short
from baseload.ranges import Range

# What a box must hold beside the weights before we call it a home: so many requests of so many tokens at once.
IN_FLIGHT, CONTEXT = 32, 4096
_BILLION = Decimal(10) ** 9


@dataclass(frozen=True, slots=True)
class Box:
    """A machine, its month, and how a model fits it."""

    machine: Machine
    month: Range
    fit: Fit

    @property
    def words(self) -> str:
        return f"{self.machine.count} x {self.machine.gpu}"


def boxes(model: str, books: Books) -> Iterator[Box]:
    """Article 0's boxes from the cheapest up, then eight H200 at the market's price, with the model put on each."""
    architecture, bits = books.architectures[model], books.weight_bits[model]
    shapes = sorted(
        (lease.usd_per_month.low, f"{lease.gpu}-x{lease.count}", lease.usd_per_month)
        for gpu in ("a100-40gb", "a100-80gb")
        for lease in books.catalog.leases(gpu)
        if lease.source.book == "article-0" and lease.kind is LeaseKind.RENTED and lease.usd_per_month is not None
    )
    months = [(name, month) for _, name, month in shapes]
    months.append(("h200-141gb-x8", lease_month(books.market("h200-141gb"), 8).amount))
    for name, month in months:
        machine = books.catalog.machine(name)
        yield Box(machine, month, fit(architecture, machine, weight_bits=bits, context_tokens=CONTEXT))


def home(model: str, books: Books) -> tuple[Box | None, list[Box]]:
    """The cheapest box that holds a model with 32 requests of 4,096 tokens, and the cheaper ones that do not."""
    small: list[Box] = []
    for box in boxes(model, books):
        if box.fit.max_in_flight >= IN_FLIGHT:
            return box, small
        small.append(box)
    return None, small


def own_box(figure: Figure, books: Books) -> Ours:
    """The month of the cheapest box that holds the model."""
    model = figure.text("model")
    box, small = home(model, books)
    if box is None:
        return Ours("fits none of the boxes", small[-1].fit.sentence, "does not fit")
    ours: dict[str, Value] = {"machine": box.words, "month": ends(box.month)}
    how = (
        f"{short(box.fit.weights_gb, 1)} GB of weights at {books.weight_bits[model]} bits and {IN_FLIGHT} requests of "
        f"{CONTEXT:,} tokens fit {box.words} first"
    )
    beside = "the article names no machine, precision or load; its list mixes owned lows with rented highs"
    if small and not small[-1].fit.fits:
        beside = f"does not fit less: {small[-1].fit.sentence}"
    return Ours(ours, how, beside)


def tier_boxes(figure: Figure, books: Books) -> Ours:
    """The cheapest to the dearest month over the models of a tier, each in the box that holds it."""
    found = [(model, home(model, books)[0]) for model in figure.words("models")]
    months = [box.month for _, box in found if box is not None]
    places = "; ".join(f"{model} on {box.words}" for model, box in found if box is not None)
    return Ours(
        (min(month.low for month in months), max(month.high for month in months)),
        places,
        "the article's tier does not follow from its own table of boxes, and its list mixes owned with rented",
    )


def tier_sizes(figure: Figure, books: Books) -> Ours:
    """The smallest and the largest model of a tier, all parameters counted."""
    sizes = [(books.architectures[model].total_parameters / _BILLION, model) for model in figure.words("models")]
    low, high = min(sizes), max(sizes)
    return Ours(
        (low[0], high[0]),
        f"total parameters: {low[1]} to {high[1]}",
        "memory follows total parameters; two of the tier's names state active ones",
    )


def true_size(figure: Figure, books: Books) -> Ours:
    """Total and active parameters of a model."""
    architecture = books.architectures[figure.text("model")]
    ours: dict[str, Value] = {
        "total": architecture.total_parameters / _BILLION,
        "active": architecture.active_parameters / _BILLION,
    }
    return Ours(
        ours, "the model's size in the book of architectures", "the name states active parameters, not all of them"
    )


def too_large(figure: Figure, books: Books) -> Ours:
    """Whether a model fits a machine, and by how much not."""
    model = figure.text("model")
    architecture, machine = books.architectures[model], books.catalog.machine(figure.text("machine"))
    found = fit(architecture, machine, weight_bits=books.weight_bits[model], context_tokens=CONTEXT)
    ours: dict[str, Value] = {
        "total": architecture.total_parameters,
        "active": architecture.active_parameters,
        "weights_gb": found.weights_gb,
        "usable_gb": found.usable_gb,
        "fits": "yes" if found.fits else "no",
    }
    return Ours(
        ours,
        f"{books.weight_bits[model]} bits a weight, rounded up; nine tenths of the memory",
        f"{found.sentence} The article prices this model and measures another, of 671 B.",
    )


def known_size(figure: Figure, books: Books) -> Ours:
    """A model's size, and which nodes hold it."""
    model = figure.text("model")
    architecture = books.architectures[model]
    homes = [
        f"{bits} bits: {name} {'fits' if found.fits else 'does not'}"
        for name in ("h100-80gb-x8", "h200-141gb-x8")
        for bits in (8, 4)
        for found in [fit(architecture, books.catalog.machine(name), weight_bits=bits, context_tokens=CONTEXT)]
    ]
    return Ours(architecture.total_parameters, "; ".join(homes))


def on_one_card(figure: Figure, books: Books) -> Ours:
    """Which of the named models fit one card."""
    machine = books.catalog.machine(figure.text("machine"))
    found: dict[str, Value] = {}
    weights = []
    for model in figure.words("models"):
        bits = books.weight_bits[model]
        each = fit(books.architectures[model], machine, weight_bits=bits, context_tokens=CONTEXT)
        found[model] = "fits" if each.fits else "does not fit"
        weights.append(f"{model} {short(each.weights_gb, 0)} GB")
    return Ours(
        found,
        f"{', '.join(weights)} against {short(machine.total_memory_gb, 0)} GB",
        "does not fit: the largest of the named families need several cards",
    )


RECIPES: dict[str, Recipe] = {
    **{f"A0-H{number:02}": own_box for number in range(1, 11)},
    "A0-T2": tier_boxes,
    "A0-T3": tier_boxes,
    "A0-T4": tier_sizes,
    "A0-T5": true_size,
    "A3-22": too_large,
    "A3-23": known_size,
    "A4-12": on_one_card,
}
