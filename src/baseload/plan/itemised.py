"""The decision by the cost model: every lease, every component, every axis. Pure.

`decide_on_ways` weighs APIs, machines on any lease, and a hybrid of the cheapest of both, each with an itemised bill.
What cannot be (a model that does not fit) is said before any money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from baseload.cost.axes import AXES, Axis, flip_points, moved, tariff
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
from baseload.plan.advice import MEASURE, Found, written
from baseload.plan.assumptions import assumption, span
from baseload.plan.document import Assumption, CannotEntry, DecideDocument, Flip, Known, plain
from baseload.plan.options import Option, TokenPrice, Volume
from baseload.plan.verdict import all_crossings, hidden, quantity_words, verdict
from baseload.ranges import Range, total

# What running machines costs beside the machines themselves.
BESIDE = frozenset(
    {"gateway", "monitoring", "engineers", "incidents", "model_updates", "setup", "storage", "egress", "licences"}
)
_COMMITTED = (
    "with a minimum at the API, what a base saves depends on how much of the minimum is left; weigh them apart."
)
_FLIPS: dict[Axis, str] = {
    "volume": "the answer changes at {value} tokens a month (now {now})",
    "fill": "{winner} wins from a target fill of {value} on (now {now})",
    "api_price": "{winner} wins above an API price of {value} USD/M (now {now})",
    "gpu_price": "{winner} wins above a price of {value} USD for the GPU (now {now})",
    "engineer_share": "{winner} wins above {value} engineers (now {now})",
    "hours_on": "{winner} wins above {value} hours on a week (now {now})",
}


@dataclass(frozen=True)
class Weighed:
    """Everything priced, with the figures at their likely values."""

    load: Load
    priced: tuple[Priced, ...]
    figures: dict[str, Fraction]

    def options(self) -> list[Option]:
        """The ways that can be, as options."""
        return [self._option(each) for each in self.priced if each.bill is not None]

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
        bought = tariff(way.overflow, self.load, self.figures)
        return Lowest(way.name, (bought, self.mixed(way), tariff(way.base, self.load, self.figures)))

    def mixed(self, way: Way) -> Hybrid:
        """Base replicas as each pays for itself, the rest bought; no spare ones, the API stands by."""
        if way.base is None or way.overflow is None:
            raise BadInput(f"{way.name} is no hybrid", remedy="Give it a base and an overflow.")
        spare = _own_name(way.base, self.figures, "spare_replicas")
        base = tariff(way.base, self.load, {**self.figures, spare: ZERO})
        bought = tariff(way.overflow, self.load, self.figures)
        on = Fraction(way.base.on.hours, HOURS_PER_WEEK)
        peak = self._of(way.base, "peak_over_mean")
        # The step holds the peak and the hours on; its room without them, against a load that is peak / on high for on
        # / peak of the time.
        room = base.steps[0].capacity * peak / on
        step = Step(room, base.steps[0].cost)
        fixed = base.fixed + bought.fixed - self._shared(way.base)
        # What every token costs on either side (a correction) is in both rates, and cancels in the overflow.
        overflow = bought.per_unit - base.per_unit
        return Hybrid(way.name, step, overflow, ((peak / on, on / peak),), fixed, base.per_unit)

    def _shared(self, way: Way) -> Fraction:
        """What base and overflow both count and a hybrid pays once, whatever its volume."""
        there = moved(way, self.figures, "volume", ZERO)
        return Fraction(total_cost(common(lambda name: there[_own_name(way, there, name)], [])))

    def critical_fill(self, way: Way) -> Fraction | None:
        """What a replica costs over what one that is filled to its target in its hours on would cost bought."""
        curve = self.mixed(way)
        on = Fraction(way.base.on.hours, HOURS_PER_WEEK) if way.base is not None else Fraction(1)
        worth = curve.step.capacity * on * curve.overflow
        return curve.step.cost / worth if worth > 0 else None

    def _of(self, way: Way, name: str) -> Fraction:
        return self.figures[_own_name(way, self.figures, name)]


def decide_on_ways(
    volume: Volume, prices: Sequence[TokenPrice], machines: Sequence[Way], assumptions: Assumptions
) -> DecideDocument:
    """Decide from a month's tokens, API prices and ways to run machines, with every component of the cost model.

    The hybrid is of the cheapest machines and the cheapest API. Raises BadInput without an API price or with two ways
    of one name, Unpriced where a figure is missing.
    """
    load = load_of(volume)
    apis = [api_way(price) for price in prices]
    _check_names([*apis, *machines])
    first = evaluate([*apis, *machines], load, assumptions)
    running = [each for each in first if each.bill is not None and each.way.on_machines]
    cheapest_api = min(first[: len(apis)], key=lambda each: each.usd_per_month.likely)
    own = min(running, key=lambda each: each.usd_per_month.likely, default=None)
    mixed = []
    if own is not None:
        name = f"{own.way.name} + {cheapest_api.way.name}"
        why = _COMMITTED if assumptions["minimum_usd_per_month"].high else ""
        mixed = [Way(name, "hybrid", base=own.way, overflow=cheapest_api.way, unfit=why)]
    priced = (*first, *evaluate(mixed, load, assumptions))
    figures = likely_fractions(ranges([each.way for each in priced], load, assumptions))
    weighed = Weighed(load, priced, figures)
    options = {option.name: option for option in weighed.options()}
    api, base = options[cheapest_api.way.name], options[own.way.name] if own is not None else None
    found = Found(
        volume=volume,
        options=tuple(options.values()),
        cheapest_api=api,
        own=base,
        crossed=all_crossings(api, base) if base is not None else None,
        fill=weighed.critical_fill(mixed[0]) if mixed and not mixed[0].unfit else None,
        cannot=tuple(
            CannotEntry(name=each.way.name, kind=each.way.kind, why=each.sentence)
            for each in priced
            if each.bill is None
        ),
    )
    turning: tuple[Flip, ...] = ()
    stack = None
    if own is not None and base is not None:
        turning = _flips(cheapest_api.way, own.way, weighed)
        stack = hidden(api, base, total(line.amount for line in base.bill.lines if line.id in BESIDE))
    answer = verdict(found.options, volume.tokens, turning, stack, confidence="typed", next_step=MEASURE)
    return written(found, answer, _rows(prices, priced))


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
    if each.way.kind == "api":
        return each.way.why
    if not each.replicas:
        return "no base machine pays: everything is bought"
    spare = f" and {each.spare} spare" if each.spare else ""
    hours = _machine(each.way).on.hours
    on = "around the clock" if hours == HOURS_PER_WEEK else f"{hours} hours a week"
    bought = f", {each.bought:.1%} of the tokens bought" if each.bought else ""
    fill = f"{each.fill:.0%} filled" if each.fill is not None else ""
    return f"{each.replicas}{spare} on {on}, {fill}{bought}"


def _machine(way: Way) -> Way:
    return way.base if way.base is not None else way


def _flips(api: Way, own: Way, weighed: Weighed) -> tuple[Flip, ...]:
    """The nearest flip point on every axis, all else equal."""
    found = []
    for axis, unit in AXES.items():
        if axis == "hours_on" and own.kind in ("owned", "reserved"):
            continue
        flips = flip_points(api, own, weighed.load, weighed.figures, axis)
        if not flips.found:
            continue
        nearest = min(flips.found, key=lambda crossing: abs(crossing.at - flips.now))
        value, now = plain(nearest.at), plain(flips.now)
        shown = (quantity_words(value), quantity_words(now)) if axis == "volume" else (f"{value:,f}", f"{now:,f}")
        sentence = _FLIPS[axis].format(winner=nearest.cheaper_after, value=shown[0], now=shown[1])
        if len(flips.found) > 1:
            sentence += f"; it changes {len(flips.found)} times"
        found.append(Flip(axis=axis, value=value, now=now, unit=unit, sentence=sentence))
    return tuple(found)


def _rows(prices: Sequence[TokenPrice], priced: Sequence[Priced]) -> list[Assumption]:
    """Every figure that entered a line, once for each way that states it for itself."""
    known = {price.name: price.known for price in prices}
    rows: dict[str, Assumption] = {}
    for each in priced:
        for line in each.bill.lines if each.bill is not None else ():
            for figure in line.inputs:
                if figure.origin == "option" and not figure.value.high:
                    continue
                name = f"{figure.name} of {each.way.name}" if figure.origin == "option" else figure.name
                if each.way.kind != "hybrid" or figure.origin != "option":
                    rows.setdefault(name, _row(name, figure, known.get(each.way.name, "typed")))
    return list(rows.values())


def _row(name: str, figure: Input, stated: Known) -> Assumption:
    value = span(figure.value)
    if figure.source is None:
        where = "left out: --full counts it" if figure.origin == "left out" else "typed on the command line"
        return assumption(name, value, figure.unit, where, "assumed" if figure.origin == "left out" else "typed")
    if figure.origin == "option":
        return assumption(name, value, figure.unit, figure.source, stated)
    article = figure.source.book.startswith("article")
    evidence: Known = "article" if article else "assumed" if figure.source.book == "own-judgement" else "market"
    return assumption(name, value, figure.unit, figure.source, evidence)
