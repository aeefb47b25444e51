"""The ways to serve a volume, each with its bill and its curve over volume. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

from baseload.catalog.books import Catalog
from baseload.catalog.choice import choose
from baseload.catalog.entries import EVERY_DAY, Offer, Precedence, Rates, Source
from baseload.cost.bill import Bill, Line
from baseload.cost.curves import Curve, Hybrid, Step, Tariff
from baseload.cost.lowest import Lowest
from baseload.cost.tokens import rates_at
from baseload.errors import BadInput, Unpriced
from baseload.plan.document import Kind, Known, OptionEntry, items, money, plain
from baseload.ranges import Range
from baseload.units import TOKENS_PER_MTOK

NOTHING = Bill()
# More are a cluster, to be weighed in larger units: every one of them is an event of the curves.
MOST_MACHINES = 2_000
_KNOWN: dict[Precedence, Known] = {
    Precedence.YOURS: "typed",
    Precedence.PROVIDER: "market",
    Precedence.MARKET: "market",
    Precedence.ARTICLES: "article",
}


def known_by(offer: Offer) -> Known:
    """How an offer's price is known: by the book it stands in."""
    return _KNOWN[offer.source.precedence]


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve the volume. `curve` is its likely cost over tokens a month at the same mix and load shape.

    An `itemised` one was weighed by the cost model, with idle capacity and what is paid once as lines of their own.
    """

    name: str
    kind: Kind
    bill: Bill
    curve: Curve
    machines: int = 0
    capacity_tokens_per_month: Decimal | None = None
    fill: Decimal | None = None
    note: str = ""
    spare: int = 0
    bought: Decimal | None = None
    itemised: bool = False

    @property
    def usd_per_month(self) -> Range:
        return self.bill.total

    def entry(self) -> OptionEntry:
        """As the document writes it."""
        return OptionEntry(
            name=self.name,
            kind=self.kind,
            usd_per_month=money(self.usd_per_month),
            machines=self.machines,
            capacity_tokens_per_month=_maybe(self.capacity_tokens_per_month),
            fill=_maybe(self.fill),
            lines=items(self.bill),
            note=self.note,
            usage_usd_per_month=money(self.bill.used) if self.itemised else None,
            running_usd_per_month=money(self.bill.running) if self.itemised else None,
            spare=self.spare,
            bought=_maybe(self.bought),
        )


@dataclass(frozen=True, slots=True)
class Volume:
    """Tokens a month."""

    input_tokens: Decimal
    output_tokens: Decimal

    def __post_init__(self) -> None:
        if self.input_tokens < 0 or self.output_tokens < 0 or not self.tokens:
            raise BadInput(
                f"{self.input_tokens} tokens in and {self.output_tokens} out a month is no volume",
                remedy="Give --input and --output, as in --input 300M --output 100M.",
            )

    @property
    def tokens(self) -> Decimal:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """An API's price: USD per million tokens in and out. `known` says how, `source` where it was read, `why` for what
    reason this offer stands for the name that was asked."""

    name: str
    input: Range
    output: Range
    known: Known
    source: Source | None = None
    why: str = ""

    def __post_init__(self) -> None:
        if self.input.low < 0 or self.output.low < 0:
            raise BadInput(f"the price {self.name} is negative", remedy="Write input/output, as in 3/15.")


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines of one kind: USD a month for each, tokens a month that each can serve when always busy.

    `peak` is the highest load over the mean: machines are counted at the peak. `operations` is what running them costs
    beside them, `rooms` the range in which the capacity lies, None where that is not known.
    """

    name: str
    usd_per_month: Range
    capacity: Decimal
    how: str
    peak: Decimal = Decimal(1)
    operations: Bill = NOTHING
    rooms: Range | None = None

    def __post_init__(self) -> None:
        if self.capacity <= 0 or self.usd_per_month.low < 0:
            raise BadInput(
                f"a machine with {self.capacity} tokens a month for {self.usd_per_month.low} USD is no machine",
                remedy="Give a capacity above zero and a price that is not negative.",
            )
        if self.peak < 1:
            raise BadInput(f"a peak of {self.peak} times the mean is below the mean", remedy="Give 1 or more.")

    @property
    def step(self) -> Step:
        """Mean tokens a month that one machine covers, its peak included, and what it costs."""
        return Step(Fraction(self.capacity) / Fraction(self.peak), Fraction(self.usd_per_month.likely))


def day_rates(offer: Offer, when: datetime, prompt_tokens: int = 0) -> TokenPrice:
    """A typical price for a month: what the offer asks over the day of `when`, lowest, by hours, highest.

    Where weekdays differ it is the week that begins on that day. Prompts are of that length; left out, they stay below
    every tier. Raises Unpriced when input or output has no price.
    """
    midnight = when.replace(hour=0, minute=0, second=0, microsecond=0)
    weekly = any(row.window is not None and row.window.weekdays != EVERY_DAY for row in offer.schedule)
    until = midnight + timedelta(days=len(EVERY_DAY) if weekly else 1)
    starts = offer.turns(midnight, until)
    ends = (*starts[1:], until)
    pieces = [
        (rates_at(offer, start, prompt_tokens), (end - start) // timedelta(minutes=1))
        for start, end in zip(starts, ends, strict=True)
    ]
    return TokenPrice(
        name=offer.key,
        input=_over_day([(_stated(rates, "input", offer), minutes) for rates, minutes in pieces]),
        output=_over_day([(_stated(rates, "output", offer), minutes) for rates, minutes in pieces]),
        known=known_by(offer),
        source=offer.source,
    )


def price_named(catalog: Catalog, name: str, volume: Volume, when: datetime) -> TokenPrice:
    """The price of a model by name, chosen as `catalog.choice` says, for this mix of tokens.

    Raises UnknownModel with close matches, Unpriced when every row lacks a price.
    """
    chosen = choose(catalog, name, lambda offer: api_option(volume, day_rates(offer, when)).usd_per_month.likely)
    return replace(day_rates(chosen.offer, when), why=chosen.why)


def operations(usd_per_month: Range) -> Bill:
    """People and operations as one typed line."""
    return Bill((Line("people and operations", usd_per_month, "typed, USD a month"),))


def api_option(volume: Volume, price: TokenPrice) -> Option:
    """Everything bought by the token."""
    read = price.input * volume.input_tokens / TOKENS_PER_MTOK
    written = price.output * volume.output_tokens / TOKENS_PER_MTOK
    bill = Bill(
        (
            Line("input tokens", read, _how(volume.input_tokens, price.input), price.source),
            Line("output tokens", written, _how(volume.output_tokens, price.output), price.source),
        )
    )
    return Option(price.name, "api", bill, Tariff(price.name, per_unit=per_token(bill, volume)), note=price.why)


def machine_option(volume: Volume, machines: Machines, kind: Kind) -> Option:
    """Everything on machines that are paid around the clock, as many as the peak needs."""
    count = whole_machines(volume.tokens * machines.peak / machines.capacity)
    lease = Line("GPU lease", machines.usd_per_month * count, f"{count} x {machines.how}")
    room = machines.capacity * count
    return Option(
        name=machines.name,
        kind=kind,
        bill=Bill((lease,)) + machines.operations,
        curve=Tariff(machines.name, fixed=_fixed(machines), steps=(machines.step,)),
        machines=count,
        capacity_tokens_per_month=room,
        fill=volume.tokens / room,
        note=f"paid around the clock, {volume.tokens / room:.0%} filled",
    )


def hybrid_option(volume: Volume, machines: Machines, cheapest: Option) -> Option:
    """As many machines as pay under even load, the rest at the cheapest API.

    Where the machines do not earn what running them costs beside them, there are none, and nothing is run.
    """
    name = f"{machines.name} + {cheapest.name}"
    mixed = Hybrid(name, machines.step, cheapest.curve.slope, fixed=_fixed(machines))
    curve = Lowest(name, (cheapest.curve, mixed)) if mixed.fixed else mixed
    at = Fraction(volume.tokens)
    count = mixed.machines(at) if mixed.at(at) <= cheapest.curve.at(at) else 0
    over = plain(mixed.bought(at, count))
    share = over / volume.tokens
    lines = [Line("GPU lease", machines.usd_per_month * count, f"{count} x {machines.how}")] if count else []
    lines += [
        Line(line.component, line.amount * share, f"{share:.1%} of {line.how}", line.source)
        for line in cheapest.bill.lines
        if over
    ]
    room = machines.capacity * count
    return Option(
        name=name,
        kind="hybrid",
        bill=Bill(tuple(lines)) + (machines.operations if count else NOTHING),
        curve=curve,
        machines=count,
        capacity_tokens_per_month=room if count else None,
        fill=(volume.tokens - over) / room if count else None,
        note=f"{count} base, {share:.1%} of the tokens bought",
    )


def whole_machines(load: Decimal) -> int:
    """Machines for a load in machines. Raises BadInput beyond two thousand."""
    count = int(load.to_integral_value(rounding=ROUND_CEILING))
    if count > MOST_MACHINES:
        raise BadInput(
            f"that volume needs {count:,} machines, more than {MOST_MACHINES:,}",
            remedy="Check the capacity, tokens a month for one machine, or give a larger unit such as a whole node.",
        )
    return count


def per_token(bill: Bill, volume: Volume) -> Fraction:
    """The likely USD of one token of the mix."""
    return Fraction(bill.total.likely) / Fraction(volume.tokens)


def _fixed(machines: Machines) -> Fraction:
    return Fraction(machines.operations.total.likely)


def _how(tokens: Decimal, price: Range) -> str:
    shown = f"{plain(price.low):f}" if price.is_exact else f"{plain(price.low):f}-{plain(price.high):f}"
    return f"{plain(tokens / TOKENS_PER_MTOK):f} M x {shown} USD/M"


def _over_day(prices: list[tuple[Decimal, int]]) -> Range:
    """Lowest, mean by minutes, highest; the mean to six decimals."""
    minutes = sum(each for _, each in prices)
    mean = plain(sum((price * each for price, each in prices), Decimal(0)) / minutes)
    lowest, highest = min(price for price, _ in prices), max(price for price, _ in prices)
    return Range(lowest, min(max(mean, lowest), highest), highest)


def _stated(rates: Rates, leaf: str, offer: Offer) -> Decimal:
    rate = rates.input if leaf == "input" else rates.output
    if rate is None:
        raise Unpriced(
            f"{offer.source.book} has no {leaf} price for {offer.key}",
            remedy=f"Name a provider with `baseload price {offer.model}`, or give the price with --price.",
        )
    return rate


def _maybe(figure: Decimal | None) -> Decimal | None:
    return plain(figure) if figure is not None else None
