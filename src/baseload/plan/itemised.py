"""The decision by the cost model: every lease, every component, every axis. Pure.

`decide_on_ways` weighs APIs, machines on any lease, and a hybrid of the cheapest of both, each with an itemised bill.
What cannot be (a model that does not fit) is said before any money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from baseload.cost.axes import moved, tariff
from baseload.cost.bill import Input
from baseload.cost.curves import ZERO, Curve, Hybrid, Step
from baseload.cost.evaluate import Priced, evaluate, likely_fractions, ranges
from baseload.cost.lowest import Lowest
from baseload.cost.model import common
from baseload.cost.model import total as total_cost
from baseload.cost.parameters import Assumptions
from baseload.cost.schedule import HOURS_PER_WEEK
from baseload.cost.ways import Load, Way
from baseload.errors import BadInput
from baseload.plan.advice import OWNS_NOTHING, Found, written
from baseload.plan.assumptions import TYPED, assumption, span
from baseload.plan.document import Assumption, CannotEntry, DecideDocument, FillEntry, Known, plain
from baseload.plan.options import Option, TokenPrice, Volume
from baseload.plan.question import Question
from baseload.plan.turning import turning_points
from baseload.plan.verdict import NO_TURNING, all_crossings, hidden, verdict
from baseload.ranges import Range, total
from baseload.units import TOKENS_PER_MTOK

# What running machines costs beside the machines themselves.
BESIDE = frozenset(
    {"gateway", "monitoring", "engineers", "incidents", "model_updates", "setup", "storage", "egress", "licences"}
)
_COMMITTED = (
    "with a minimum at the API, what a base saves depends on how much of the minimum is left; weigh them apart."
)


@dataclass(frozen=True)
class Weighed:
    """Everything priced, with the figures at their likely values."""

    load: Load
    priced: tuple[Priced, ...]
    figures: dict[str, Fraction]

    def options(self) -> list[Option]:
        """The ways that can be, as options. A hybrid that owns nothing is none."""
        return [self._option(each) for each in self.priced if each.bill is not None and not _idle(each)]

    def drawn(self) -> list[Priced]:
        """Whose cost is drawn over volume. What is paid now is not: nobody knows how it would be routed elsewhere."""
        return [each for each in self.priced if each.bill is not None and each.way.kind != "now"]

    def cannot(self) -> tuple[CannotEntry, ...]:
        """The ways that cannot be, and a hybrid that would own nothing."""
        refused = [(each, each.sentence) for each in self.priced if each.bill is None]
        refused += [(each, OWNS_NOTHING) for each in self.priced if each.bill is not None and _idle(each)]
        return tuple(CannotEntry(name=each.way.name, kind=each.way.kind, why=why) for each, why in refused)

    def fills(self, way: Way) -> tuple[FillEntry, ...]:
        """How busy each machine for the busiest minute would be, the others filled first, and whether it pays."""
        curve, volume = self.mixed(way), self.tokens
        most = -(-volume * curve.levels[0][0] // curve.step.capacity)
        entries = []
        for machine in range(1, int(most) + 1):
            below = (machine - 1) * curve.step.capacity
            used = curve.carried(volume, below) / curve.step.capacity
            pays = curve.threshold(machine)
            entries.append(FillEntry(machine=machine, fill=plain(used), pays=pays is not None and pays <= volume))
        return tuple(entries)

    def _option(self, each: Priced) -> Option:
        if each.bill is None:
            raise BadInput(f"{each.way.name} cannot be: {each.sentence}", remedy="Leave it out.")
        room = self._room(each)
        return Option(
            name=each.way.name,
            kind=each.way.kind,
            bill=each.bill,
            curve=self.curve(each.way),
            machines=each.replicas,
            capacity_tokens_per_month=room,
            fill=each.fill,
            note=_note(each),
            spare=each.spare,
            bought=each.bought,
            itemised=True,
        )

    def _room(self, each: Priced) -> Decimal | None:
        """Tokens a month that the machines could serve in the hours they are on, were they always busy."""
        if not each.replicas or not each.fill:
            return None
        return plain(Decimal(self.tokens.numerator) / self.tokens.denominator * (1 - each.bought) / each.fill)

    @property
    def tokens(self) -> Fraction:
        return self.figures["input_tokens_per_month"] + self.figures["output_tokens_per_month"]

    def curve(self, way: Way) -> Curve:
        """The likely cost over volume."""
        if way.base is None or way.overflow is None:
            return tariff(way, self.load, self.figures)
        bought = tariff(replace(way.overflow, rest=way.elsewhere), self.load, self.figures)
        return Lowest(way.name, (bought, self.mixed(way), tariff(way.base, self.load, self.figures)))

    def mixed(self, way: Way) -> Hybrid:
        """Base replicas as each pays for itself, the rest bought; no spare ones, the API stands by."""
        if way.base is None or way.overflow is None:
            raise BadInput(f"{way.name} is no hybrid", remedy="Give it a base and an overflow.")
        spare = _own_name(way.base, self.figures, "spare_replicas")
        base = tariff(replace(way.base, rest=None), self.load, {**self.figures, spare: ZERO})
        bought = tariff(way.overflow, self.load, self.figures)
        beside = tariff(way.base, self.load, {**self.figures, spare: ZERO}).per_unit - base.per_unit
        peak = self._of(way.base, "peak_over_mean")
        levels = self.load.levels(way.base.on) or self._even(way.base)
        # The step holds the peak and the hours on; its room is without them.
        room = base.steps[0].capacity * levels[0][0] * peak
        step = Step(room, base.steps[0].cost)
        fixed = base.fixed + bought.fixed - self._shared(way.base)
        # What every token costs on either side (a correction) is in both rates, and cancels in the overflow.
        overflow = bought.per_unit - base.per_unit
        high = tuple((level * peak, share / peak) for level, share in levels)
        return Hybrid(way.name, step, overflow, high, fixed, base.per_unit + beside)

    def _even(self, way: Way) -> tuple[tuple[Fraction, Fraction], ...]:
        """A load that falls evenly on the hours on."""
        return ((1 / way.on.share, way.on.share),)

    def _shared(self, way: Way) -> Fraction:
        """What base and overflow both count and a hybrid pays once, whatever its volume."""
        there = moved(way, self.figures, "volume", ZERO)
        return Fraction(total_cost(common(lambda name: there[_own_name(way, there, name)], [])))

    def critical_fill(self, way: Way) -> Fraction | None:
        """What a replica costs over what one that is filled to its target in its hours on would cost bought."""
        curve = self.mixed(way)
        on = way.base.on.share if way.base is not None else Fraction(1)
        worth = curve.step.capacity * on * curve.overflow
        return curve.step.cost / worth if worth > 0 else None

    def _of(self, way: Way, name: str) -> Fraction:
        return self.figures[_own_name(way, self.figures, name)]


def decide_on_ways(
    volume: Volume, prices: Sequence[TokenPrice], machines: Sequence[Way], assumptions: Assumptions
) -> DecideDocument:
    """Decide from a month's tokens, API prices and ways to run machines, with every component of the cost model.

    Raises BadInput without an API price or with two ways of one name, Unpriced where a figure is missing.
    """
    return decided(asked(volume, prices, machines, assumptions), assumptions).document


def asked(volume: Volume, prices: Sequence[TokenPrice], machines: Sequence[Way], assumptions: Assumptions) -> Question:
    """Typed figures as a question."""
    return Question(
        volume=volume,
        load=load_of(volume),
        apis=tuple(api_way(price) for price in prices),
        machines=tuple(machines),
        figures=assumptions.overrides,
        known={price.name: price.known for price in prices},
    )


@dataclass(frozen=True)
class Decided:
    """The document, and what its options were weighed as. `ways` are those that can be, `held` how many machines a
    hybrid among them has."""

    document: DecideDocument
    ways: tuple[Way, ...]
    held: Mapping[str, int]


def decided(question: Question, assumptions: Assumptions) -> Decided:
    """Answer a question. The hybrid is of the cheapest machines and the cheapest API, or of its own overflow."""
    load = question.load
    _check_names(question.ways)
    first = evaluate(question.ways, load, assumptions)
    running = [each for each in first if each.bill is not None and each.way.on_machines]
    cheapest_api = min((each for each in first if each.way.kind == "api"), key=lambda each: each.usd_per_month.likely)
    own = min(running, key=lambda each: each.usd_per_month.likely, default=None)
    mixed = _mixed(question, own, cheapest_api, assumptions)
    priced = (*first, *mixed)
    figures = likely_fractions(ranges([each.way for each in priced], load, assumptions))
    weighed = Weighed(load, priced, figures)
    options = weighed.options()
    named = {option.name: option for option in options}
    api, base = named[cheapest_api.way.name], named[own.way.name] if own is not None else None
    hybrid = next((each.way for each in mixed if not each.way.unfit), None)
    found = Found(
        volume=question.volume,
        options=tuple(options),
        cheapest_api=api,
        own=base,
        crossed=all_crossings(api, base) if base is not None else None,
        fill=weighed.critical_fill(hybrid) if hybrid is not None else None,
        fills=weighed.fills(hybrid) if hybrid is not None and load.duration else (),
        cannot=weighed.cannot(),
        drawn=tuple((each.way.kind, weighed.curve(each.way)) for each in weighed.drawn()),
    )
    turning, stack = NO_TURNING, None
    if own is not None and base is not None:
        turning = turning_points(
            cheapest_api, own, _standing(mixed), load, figures, found.crossed.found if found.crossed else ()
        )
        stack = hidden(api, base, total(line.amount for line in base.bill.lines if line.id in BESIDE))
    answer = verdict(
        found.options, question.volume.tokens, turning, stack, confidence=question.load.known,
        next_step=question.next_step,
    )  # fmt: skip
    rows = [*question.rows, *_rows(question, priced)]
    kept = tuple(each for each in priced if each.bill is not None and not _idle(each))
    return Decided(
        written(found, answer, rows, question.metered),
        tuple(each.way for each in kept),
        {each.way.name: each.replicas for each in kept if each.way.kind == "hybrid"},
    )


def _mixed(
    question: Question, own: Priced | None, cheapest_api: Priced, assumptions: Assumptions
) -> tuple[Priced, ...]:
    """The hybrid, if there is anything to make one of."""
    if own is None:
        return ()
    overflow = question.overflow if question.overflow is not None else cheapest_api.way
    why = _COMMITTED if assumptions["minimum_usd_per_month"].high else ""
    name = f"{own.way.name} + {'overflow' if question.overflow is not None else overflow.name}"
    return evaluate([Way(name, "hybrid", base=own.way, overflow=overflow, unfit=why)], question.load, assumptions)


def _standing(mixed: Sequence[Priced]) -> Priced | None:
    """The hybrid, where it can be and owns something."""
    return next((each for each in mixed if each.bill is not None and not _idle(each)), None)


def _idle(each: Priced) -> bool:
    """Whether a hybrid would own nothing: then it is an API under another name."""
    return each.way.kind == "hybrid" and not each.replicas


def load_of(volume: Volume) -> Load:
    """A typed volume as a load."""
    return Load(Range.exact(volume.input_tokens), Range.exact(volume.output_tokens))


def api_way(price: TokenPrice) -> Way:
    """An API's price as a way."""
    figures = {"api_input_usd_per_mtok": price.input, "api_output_usd_per_mtok": price.output}
    sources = dict.fromkeys(figures, price.source) if price.source is not None else {}
    return Way(
        price.name, "api", figures, {name: each for name, each in sources.items() if each is not None}, why=price.why
    )


def _check_names(ways: Sequence[Way]) -> None:
    names = [way.name for way in ways]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadInput(f"{', '.join(doubled)} was given twice", remedy="Give each price and each lease once.")
    if not any(way.kind == "api" for way in ways):
        raise BadInput("there is no API price to compare with", remedy="Give --price input/output or --model.")


def _own_name(way: Way, figures: dict[str, Fraction], name: str) -> str:
    return own if (own := f"{way.name}.{name}") in figures else name


def _note(each: Priced) -> str:
    if not each.replicas:
        return each.way.why
    spare = f" and {each.spare} spare" if each.spare else ""
    hours = _machine(each.way).on.mean_hours
    on = "around the clock" if hours == HOURS_PER_WEEK else f"{round(plain(hours), 1):f} hours a week"
    bought = f", {each.bought:.1%} of the tokens bought" if each.bought else ""
    fill = f"{each.fill:.0%} filled" if each.fill is not None else ""
    why = f"; {each.way.why}" if each.way.why else ""
    return f"{each.replicas}{spare} on {on}, {fill}{bought}{why}"


def _machine(way: Way) -> Way:
    return way.base if way.base is not None else way


def _rows(question: Question, priced: Sequence[Priced]) -> list[Assumption]:
    """Every figure that entered a line, once for each way that states it for itself."""
    rows: dict[str, Assumption] = {}
    for each in priced:
        for line in each.bill.lines if each.bill is not None else ():
            for figure in line.inputs:
                if figure.origin == "option" and not figure.value.high:
                    continue
                name = f"{figure.name} of {each.way.name}" if figure.origin == "option" else figure.name
                if each.way.kind != "hybrid" or figure.origin != "option":
                    stated = question.known.get(each.way.name, "typed")
                    rows.setdefault(name, _row(name, figure, stated, question.load.known))
    return list(rows.values())


def _row(name: str, figure: Input, stated: Known, load: Known) -> Assumption:
    value = span(_readable(figure.value))
    if figure.source is None:
        where, known = _said(figure, load)
        return assumption(name, value, figure.unit, where, known)
    if figure.origin == "option":
        return assumption(name, value, figure.unit, figure.source, stated)
    article = figure.source.book.startswith("article")
    evidence: Known = "article" if article else "assumed" if figure.source.book == "own-judgement" else "market"
    return assumption(name, value, figure.unit, figure.source, evidence)


def _said(figure: Input, load: Known) -> tuple[str, Known]:
    """Who stated a figure that was read in no book."""
    if figure.origin == "left out":
        return "left out: --full counts it", "assumed"
    if load == "typed" or figure.origin == "typed":
        return TYPED, "typed"
    # What a policy's machine costs is configured, everything else of a metered way follows from its calls.
    return ("the configuration", "typed") if figure.name == "gpu_usd_per_hour" else ("the ledger", load)


def _readable(figure: Range) -> Range:
    """Large figures without what is behind the point."""
    if figure.likely < TOKENS_PER_MTOK:
        return figure
    return Range(*(round(end, 0) for end in (figure.low, figure.likely, figure.high)))
