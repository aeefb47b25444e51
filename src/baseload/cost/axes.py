"""Where two ways change places over any one axis: volume, fill, a price, engineers, hours on. Exact. Pure.

Along each axis the cost of a way is straight between events: whole replicas, and the volume or price from which a
minimum no longer binds. Both are worked out as fractions, and `cost.breakeven` finds every crossing between them.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from baseload.cost.breakeven import Crossing, crossings
from baseload.cost.curves import ZERO, Step, Tariff
from baseload.cost.evaluate import cost_at
from baseload.cost.schedule import HOURS_PER_WEEK
from baseload.cost.sizing import replicas_wanted
from baseload.cost.ways import Load, Way
from baseload.errors import BadInput
from baseload.units import TOKENS_PER_MTOK

Axis = Literal["volume", "fill", "api_price", "gpu_price", "engineer_share", "hours_on"]
AXES: dict[Axis, str] = {
    "volume": "tokens/month",
    "fill": "target share of a replica",
    "api_price": "USD/M tokens of this mix",
    "gpu_price": "USD/GPU-hour, USD/machine-month or USD/card",
    "engineer_share": "FTE",
    "hours_on": "hours a week",
}
# A saw-tooth with more teeth is not walked to its end: the search stops there, and says so.
MOST_EVENTS = 400
# Along these a hybrid that keeps its machines costs a straight line; along the others its size would change.
HELD_AXES: tuple[Axis, ...] = ("api_price", "gpu_price", "engineer_share")
_TOKENS = ("input_tokens_per_month", "output_tokens_per_month")
_SHARES = ("input_share", "output_share")
_PRICES = ("api_input_usd_per_mtok", "api_output_usd_per_mtok")


@dataclass(frozen=True)
class AxisCurve:
    """A cost that is straight between `breaks`. A break's own value is the limit from below."""

    name: str
    cost: Callable[[Fraction], Fraction]
    breaks: tuple[Fraction, ...]
    low: Fraction
    high: Fraction
    _known: dict[Fraction, Fraction] = field(default_factory=dict, repr=False, compare=False)

    @property
    def slope(self) -> Fraction:
        """Of the last piece."""
        start = self.breaks[-1] if self.breaks else self.low
        return (self._inside(start, self.high, 2) - self._inside(start, self.high, 1)) * 3 / (self.high - start)

    @property
    def band(self) -> tuple[Fraction, Fraction]:
        rest = self.at(self.high) - self.slope * self.high
        return rest, rest

    @property
    def settled(self) -> Fraction:
        return self.breaks[-1] if self.breaks else self.low

    def at(self, volume: Fraction) -> Fraction:
        return self._line(volume, self._place(volume, bisect_left(self.breaks, volume)))

    def after(self, volume: Fraction) -> Fraction:
        at = bisect_left(self.breaks, volume)
        on_break = at < len(self.breaks) and self.breaks[at] == volume
        return self._line(volume, self._place(volume, at + on_break))

    def events(self, low: Fraction, high: Fraction) -> Iterator[Fraction]:
        return (each for each in self.breaks if low < each < high)

    def _place(self, volume: Fraction, piece: int) -> tuple[Fraction, Fraction]:
        if not self.low <= volume <= self.high:
            raise BadInput(
                f"{volume} lies outside {self.low} to {self.high}", remedy="Draw the curve over a wider span."
            )
        ends = (self.low, *self.breaks, self.high)
        return ends[piece], ends[piece + 1]

    def _line(self, at: Fraction, piece: tuple[Fraction, Fraction]) -> Fraction:
        """The straight line through two points inside the piece."""
        start, end = piece
        first, second = self._inside(start, end, 1), self._inside(start, end, 2)
        return first + (second - first) * ((at - start) * 3 / (end - start) - 1)

    def _inside(self, start: Fraction, end: Fraction, third: int) -> Fraction:
        at = start + (end - start) * third / 3
        if at not in self._known:
            self._known[at] = self.cost(at)
        return self._known[at]


@dataclass(frozen=True)
class Flips:
    """Every crossing of two ways from `low` to `high`; `complete` is false where the search stopped short of what was
    asked."""

    axis: Axis
    now: Fraction
    low: Fraction
    high: Fraction
    found: tuple[Crossing, ...]
    complete: bool


def flip_points(
    first: Way, second: Way, load: Load, figures: Mapping[str, Fraction], axis: Axis,
    low: Fraction | None = None, high: Fraction | None = None, held: int = 0,
) -> Flips:  # fmt: skip
    """Where the cheaper of two ways changes along an axis, all else equal; a hybrid keeps its `held` machines.

    `figures` are those of `cost.evaluate.ranges`, at their likely values. Without ends the search runs from nothing (a
    hundredth where nothing makes no sense) to twenty times what is, a whole share or a whole week.
    """
    now = standing(first, second, figures, axis)
    start, stop = _span(axis, now)
    bottom, top = low if low is not None else start, high if high is not None else stop
    if not bottom < top:
        raise BadInput(f"a search from {bottom} to {top} finds nothing", remedy="Give a lower and a higher end.")
    end = min(_reach(way, load, figures, axis, top) for way in (first, second))
    if end <= bottom:
        raise BadInput(
            f"more than {MOST_EVENTS} replicas are needed below {bottom}",
            remedy="Weigh larger machines, or start lower.",
        )
    one, other = (
        axis_curve(way, load, figures, axis, bottom, end, of=_reference(first, second), held=held)
        for way in (first, second)
    )
    return Flips(axis, now, bottom, end, crossings(one, other, bottom, end), end == top)


def standing(first: Way, second: Way, figures: Mapping[str, Fraction], axis: Axis) -> Fraction:
    """What the axis reads now: for a price or hours, that of the first of the two ways which has one."""
    if axis == "volume":
        return sum((figures[name] for name in _TOKENS), ZERO)
    if axis == "engineer_share":
        return figures["engineer_fte"]
    if axis == "fill":
        return figures["target_fill"]
    if axis == "api_price":
        return _blend(_reference(first, second), figures)
    fitting = [part for way in (first, second) for part in way.parts if part.on_machines]
    if not fitting:
        raise BadInput(f"neither {first.name} nor {second.name} has a {axis}", remedy="Compare an API with machines.")
    way = fitting[0]
    return figures[_name(way, figures, _priced(way, figures) if axis == "gpu_price" else "hours_on_per_week")]


def _reference(first: Way, second: Way) -> Way:
    """Whose price the axis of API prices reads: an API's, else what a hybrid's overflow costs."""
    whole = [way for way in (first, second) if way.kind == "api"]
    mixed = [replace(way.overflow, rest=way.elsewhere) for way in (first, second) if way.overflow is not None]
    if not whole and not mixed:
        raise BadInput(
            f"neither {first.name} nor {second.name} has a api_price", remedy="Compare an API with machines."
        )
    return (whole or mixed)[0]


def axis_curve(
    way: Way, load: Load, figures: Mapping[str, Fraction], axis: Axis, low: Fraction, high: Fraction,
    *, of: Way | None = None, held: int = 0,
) -> AxisCurve:  # fmt: skip
    """The cost of a way over an axis, everything else as it stands; `of` is whose API price the axis reads.

    A hybrid decides anew everywhere, so it is drawn with `held` machines, where that is straight.
    """
    if way.base is not None and axis not in HELD_AXES:
        raise BadInput(f"{way.name} is a hybrid", remedy="Draw its base and its overflow, each for itself.")

    def cost(at: Fraction) -> Fraction:
        return cost_at(way, load, moved(way, figures, axis, at, of), held if way.base is not None else None)

    if way.base is not None:
        return AxisCurve(way.name, cost, (), low, high)

    found = [*_steps(way, load, figures, axis, low, high), *_kinks(way, load, figures, axis, low, high)]
    return AxisCurve(way.name, cost, tuple(sorted(set(found))), low, high)


def tariff(way: Way, load: Load, figures: Mapping[str, Fraction]) -> Tariff:
    """The cost of a way over volume, at the same mix and shape of load, as the curve that is drawn and crossed."""
    free = {**figures, _name(way, figures, "minimum_usd_per_month"): ZERO}

    def cost(at: Fraction) -> Fraction:
        return cost_at(way, load, moved(way, free, "volume", at))

    now = standing(way, way, figures, "volume")
    capacity = now / _wanted(way, load, figures, "volume", now) if way.on_machines else now
    per_unit = (cost(capacity * 2 / 3) - cost(capacity / 3)) * 3 / capacity
    fixed = cost(capacity / 3) - per_unit * capacity / 3
    if not way.on_machines:
        minimum = figures[_name(way, figures, "minimum_usd_per_month")]
        kink = next(iter(_kinks(way, load, figures, "volume", ZERO, minimum * TOKENS_PER_MTOK * TOKENS_PER_MTOK)), None)
        return Tariff(way.name, fixed, per_unit, minimum=kink * per_unit if kink is not None else ZERO)
    another = cost(capacity * 4 / 3) - per_unit * capacity - cost(capacity / 3)
    return Tariff(way.name, fixed - another, per_unit, (Step(capacity, another),))


def moved(
    way: Way, figures: Mapping[str, Fraction], axis: Axis, to: Fraction, of: Way | None = None
) -> dict[str, Fraction]:
    """The figures with the axis somewhere else. Every API price of the way moves in step with the price of `of`."""
    if axis == "volume":
        now = standing(way, way, figures, axis)
        names = [name for name in (*_TOKENS, "requests_per_month") if name in figures]
        return {**figures, **{name: figures[name] * to / now for name in names}}
    if axis == "api_price":
        bought = [part for part in way.parts if not part.on_machines]
        if not bought:
            return dict(figures)
        now = _blend(of if of is not None else way, figures)
        priced = {_name(part, figures, price) for part in bought for price in _PRICES}
        return {**figures, **{name: figures[name] * to / now for name in priced}}
    way = way.base if way.base is not None else way
    if axis == "engineer_share":
        return {**figures, _name(way, figures, "engineer_fte"): to}
    if axis == "fill":
        return {**figures, _name(way, figures, "target_fill"): to}
    if not way.on_machines:
        return dict(figures)
    return {**figures, _name(way, figures, _priced(way, figures) if axis == "gpu_price" else "hours_on_per_week"): to}


def _priced(way: Way, figures: Mapping[str, Fraction]) -> str:
    if way.kind == "owned":
        return "card_usd"
    monthly = figures[_name(way, figures, "machine_usd_per_month")]
    return "machine_usd_per_month" if monthly else "gpu_usd_per_hour"


def _name(way: Way, figures: Mapping[str, Fraction], name: str) -> str:
    """Under which name the way's figure stands."""
    return own if (own := f"{way.name}.{name}") in figures else name


def _blend(way: Way, figures: Mapping[str, Fraction]) -> Fraction:
    """USD per million tokens of the mix, at the plain price."""
    tokens = [figures[name] for name in _TOKENS]
    blended = sum(
        (
            each * figures[_name(part, figures, share)] * figures[_name(part, figures, price)]
            for part in way.parts
            if not part.on_machines
            for each, share, price in zip(tokens, _SHARES, _PRICES, strict=True)
        ),
        ZERO,
    )
    if not blended:
        raise BadInput(f"{way.name} costs nothing", remedy="Give a price above zero to ask where it would turn.")
    return blended / sum(tokens, ZERO)


def _span(axis: Axis, now: Fraction) -> tuple[Fraction, Fraction]:
    if axis == "fill":
        return Fraction(1, 100), Fraction(1)
    if axis == "hours_on":
        return Fraction(1), Fraction(HOURS_PER_WEEK)
    return ZERO, max(20 * now, Fraction(1))


def _wanted(way: Way, load: Load, figures: Mapping[str, Fraction], axis: Axis, at: Fraction) -> Fraction:
    there = moved(way, figures, axis, at)
    return Fraction(replicas_wanted(way, load, lambda name: there[_name(way, there, name)]))


def _grows(way: Way, load: Load, figures: Mapping[str, Fraction], axis: Axis) -> tuple[int, Fraction]:
    """Replicas wanted are `factor x axis ** power`; worked out from two places, exactly."""
    first, second = (_wanted(way, load, figures, axis, Fraction(at)) for at in (1, 2))
    power = {first: 0, 2 * first: 1, first / 2: -1}[second]
    return power, first


def _steps(
    way: Way, load: Load, figures: Mapping[str, Fraction], axis: Axis, low: Fraction, high: Fraction
) -> Iterator[Fraction]:
    """Where one replica more or less is wanted."""
    if not way.on_machines:
        return
    power, factor = _grows(way, load, figures, axis)
    if not power or not factor:
        return
    least = 1 if power > 0 else max(1, int(factor / high))
    for count in itertools.count(least):
        event = count / factor if power > 0 else factor / count
        if event >= high if power > 0 else event <= low:
            return
        if low < event < high:
            yield event


def _reach(way: Way, load: Load, figures: Mapping[str, Fraction], axis: Axis, high: Fraction) -> Fraction:
    """How far the axis is walked: to `high`, or to as many replicas as are walked at most."""
    if not way.on_machines:
        return high
    power, factor = _grows(way, load, figures, axis)
    return min(high, MOST_EVENTS / factor) if power > 0 and factor else high


def _kinks(
    way: Way, load: Load, figures: Mapping[str, Fraction], axis: Axis, low: Fraction, high: Fraction
) -> Iterator[Fraction]:
    """Where an API's minimum stops binding: what is used is straight in the axis, so two places say where."""
    minimum = figures[_name(way, figures, "minimum_usd_per_month")]
    if way.on_machines or axis not in ("volume", "api_price") or not minimum:
        return
    places = (low + (high - low) / 3, low + (high - low) * 2 / 3)

    def cost(at: Fraction, least: Fraction) -> Fraction:
        there = {**figures, _name(way, figures, "minimum_usd_per_month"): least}
        return cost_at(way, load, moved(way, there, axis, at))

    beyond = sum((cost(at, ZERO) for at in places), ZERO) + 1
    rate = cost(places[0], beyond + 1) - cost(places[0], beyond)
    used = [beyond - (cost(at, beyond) - cost(at, ZERO)) / rate for at in places]
    slope = (used[1] - used[0]) / (places[1] - places[0])
    if slope and low < (kink := places[0] + (minimum - used[0]) / slope) < high:
        yield kink
