"""A figure of the articles as data, and the books that it is recomputed from. Pure values.

A figure keeps what the article prints (`value`), what it follows from (`inputs`), and how coarsely it is printed
(`rounds`). `expect` stands where what must come out is not the printed value itself but an identity behind it, such as
two expected attempts behind a failure rate of a half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Literal, TypeAlias

from baseload.capacity.architecture import Architecture
from baseload.capacity.deployment import Deployment
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Lease, LeaseKind, Offer, Rates
from baseload.cost.bill import Bill
from baseload.cost.tokens import price, rates_at
from baseload.errors import BadInput
from baseload.ranges import Range
from baseload.units import usd
from baseload.usage import Usage

# The market's book of leases, and how its rows that sum up many offers are marked.
MARKET, MARKET_ROWS = "gpu-pricing-2026-05-24", "rows of tier"

Value: TypeAlias = "Decimal | str | tuple[Value, ...] | dict[str, Value] | None"
Engine = Literal["reproduce", "show_beside", "inform"]
Way = Literal["near", "down", "decade"]


@dataclass(frozen=True, slots=True)
class Rounding:
    """How an article prints: to multiples of `to`, the `near` one or `down`; or outwards to a whole `decade`.

    `only` names the part of the figure that is printed so coarsely; empty is all of it.
    """

    to: Decimal = Decimal(1)
    way: Way = "near"
    only: str = ""

    def apply(self, value: Value, name: str = "", *, upper: bool = False) -> Value:
        """Every number of a value as the article would print it."""
        if isinstance(value, Decimal):
            return self._number(value, upper=upper) if not self.only or name == self.only else value
        if isinstance(value, tuple):
            return tuple(self.apply(each, name, upper=place > 0) for place, each in enumerate(value))
        if isinstance(value, dict):
            return {key: self.apply(each, key) for key, each in value.items()}
        return value

    def _number(self, number: Decimal, *, upper: bool) -> Decimal:
        if self.way == "decade":
            exponent = number.adjusted() + (upper and number != Decimal(1).scaleb(number.adjusted()))
            return Decimal(1).scaleb(exponent)
        mode = ROUND_FLOOR if self.way == "down" else ROUND_HALF_EVEN
        return (number / self.to).quantize(Decimal(1), rounding=mode) * self.to


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, rule or formula of an article. `engine` says what is owed to it: that it comes out (`reproduce`),
    that ours stands beside it with the reason (`show_beside`), or what it is used for (`inform`)."""

    id: str
    article: int
    kind: str
    subject: str
    value: Value
    unit: str
    engine: Engine
    check: str
    depends_on: tuple[str, ...] = ()
    note: str = ""
    inputs: Mapping[str, Value] | None = None
    expect: Value = None
    rounds: tuple[Rounding, ...] = ()
    used_for: str = ""

    @property
    def wanted(self) -> Value:
        """What must come out."""
        return self.value if self.expect is None else self.expect

    def printed(self, value: Value) -> Value:
        """A value as coarse as the article prints it."""
        for rounding in self.rounds:
            value = rounding.apply(value)
        return value

    def number(self, name: str) -> Decimal:
        """An input that is a number."""
        found = self._input(name)
        if not isinstance(found, Decimal):
            raise self._wrong(name, found, "a number")
        return found

    def text(self, name: str) -> str:
        """An input that is a word, such as a model."""
        found = self._input(name)
        if not isinstance(found, str):
            raise self._wrong(name, found, "a word")
        return found

    def several(self, name: str) -> tuple[Value, ...]:
        """An input that is a list."""
        found = self._input(name)
        if not isinstance(found, tuple):
            raise self._wrong(name, found, "a list")
        return found

    def words(self, name: str) -> tuple[str, ...]:
        """An input that is a list of words."""
        return tuple(each for each in self.several(name) if isinstance(each, str))

    def pair(self, name: str) -> tuple[Decimal, Decimal]:
        """An input that is a low and a high."""
        match self.several(name):
            case (Decimal() as low, Decimal() as high):
                return low, high
            case found:
                raise self._wrong(name, found, "a low and a high")

    def _input(self, name: str) -> Value:
        return (self.inputs or {}).get(name)

    def _wrong(self, name: str, found: Value, wanted: str) -> BadInput:
        return BadInput(f"{self.id} has {name} {found!r}", remedy=f"Give {wanted} as {name} in its inputs.")


@dataclass(frozen=True, slots=True)
class Ours:
    """What our engine makes of a figure: the value, the arithmetic in words and, where it differs, why."""

    value: Value
    how: str
    reason: str = ""


@dataclass(frozen=True)
class Books:
    """All that figures are recomputed from. `weight_bits` is how many bits a model's published weights have each.

    `owned` and `rented` are the hidden stacks; `components` the ids of the cost model's items.
    """

    figures: Mapping[str, Figure]
    catalog: Catalog
    deployments: Mapping[str, Deployment]
    architectures: Mapping[str, Architecture]
    weight_bits: Mapping[str, int]
    owned: Bill
    rented: Bill
    components: frozenset[str]
    idle_power_share: Decimal
    when: datetime
    days_per_month: int

    def offer(self, model: str, book: str) -> Offer:
        """A model as one article sells it, or a `provider/model` of any book where `book` is empty."""
        if not book:
            return self.catalog.offer(model)
        for offer in self.catalog.offers:
            if offer.source.book == book and offer.model == model:
                return offer
        raise self.catalog.unknown(model)

    def rates(self, model: str, book: str) -> Rates:
        """What it charges."""
        return rates_at(self.offer(model, book), self.when)

    def output(self, model: str, book: str) -> Decimal:
        """USD per million output tokens."""
        return self._stated(self.rates(model, book).output, model, book)

    def input(self, model: str, book: str) -> Decimal:
        """USD per million input tokens."""
        return self._stated(self.rates(model, book).input, model, book)

    def bill(self, model: str, book: str, read: Decimal, written: Decimal) -> Decimal:
        """Exact USD of tokens read and written."""
        usage = Usage(input_tokens=int(read), output_tokens=int(written))
        return usd(price(usage, self.offer(model, book), self.when).nanousd)

    def blend(self, model: str, book: str) -> Decimal:
        """USD per million tokens, three read for one written."""
        return (3 * self.input(model, book) + self.output(model, book)) / 4

    def lease(self, book: str, gpu: str, kind: str = "rented", count: int = 1, saying: str = "") -> Lease:
        """What a machine costs in one book. `saying` tells rows of one machine apart by their provider or note."""
        for lease in self.catalog.leases(gpu):
            named = saying in lease.note or saying == lease.provider
            if (lease.source.book, lease.kind, lease.count) == (book, LeaseKind(kind), count) and named:
                return lease
        raise BadInput(
            f"{book} has no {kind} {count} x {gpu}", remedy="Add the row to the book of leases, or mend the inputs."
        )

    def rent(self, book: str, gpu: str, kind: str = "rented", count: int = 1, saying: str = "") -> Range:
        """USD a GPU-hour."""
        lease = self.lease(book, gpu, kind, count, saying)
        if lease.usd_per_gpu_hour is None:
            raise BadInput(f"{book} rents {gpu} by the month", remedy="Ask for its month.")
        return lease.usd_per_gpu_hour

    def market(self, gpu: str) -> Range:
        """USD a GPU-hour on demand: the market's lowest, median and highest."""
        return self.rent(MARKET, gpu, saying=MARKET_ROWS)

    def month(self, book: str, gpu: str, kind: str = "rented", count: int = 1) -> Range:
        """USD a month of a whole box that its book prices by the month."""
        lease = self.lease(book, gpu, kind, count)
        if lease.usd_per_month is None:
            raise BadInput(f"{book} rents {gpu} by the hour", remedy="Ask for its hour.")
        return lease.usd_per_month

    def purchase(self, book: str, gpu: str) -> Range:
        """USD a card."""
        bought = self.lease(book, gpu, "owned").purchase_usd
        if bought is None:
            raise BadInput(f"{book} does not sell {gpu}", remedy="Ask for its month.")
        return bought

    def _stated(self, rate: Decimal | None, model: str, book: str) -> Decimal:
        if rate is None:
            raise BadInput(f"{book or 'no book'} has no such price of {model}", remedy="Name a book that has it.")
        return rate


Recipe: TypeAlias = Callable[[Figure, Books], Ours]


def ends(figure: Range) -> tuple[Decimal, Decimal]:
    """Low and high."""
    return figure.low, figure.high


def upwards(number: Decimal) -> Decimal:
    """The next whole number."""
    return number.to_integral_value(rounding=ROUND_CEILING)


def short(number: Decimal, places: int = 2) -> str:
    """A number for a sentence: `1,629,360,000`, `7.17`, `0.28`."""
    rounded = round(number, places)
    text = f"{rounded:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def spread(pair: tuple[Decimal, Decimal], places: int = 2) -> str:
    """`7.17 to 10.75`; one number where both are the same."""
    if pair[0] == pair[1]:
        return short(pair[0], places)
    return f"{short(pair[0], places)} to {short(pair[1], places)}"
