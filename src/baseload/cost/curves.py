"""Costs as piecewise-linear curves over one axis (tokens a month, a price, a share). Pure.

Every number is a `Fraction`, nothing is rounded. Curves are continuous from the left: at the volume that exactly fills
two machines, two machines are paid.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Protocol

from baseload.errors import BadInput

ZERO = Fraction(0)


class Curve(Protocol):
    """A cost over one axis. `slope` and `band` bound it from `settled` on: slope x v + band."""

    @property
    def name(self) -> str: ...
    @property
    def slope(self) -> Fraction: ...
    @property
    def band(self) -> tuple[Fraction, Fraction]: ...
    @property
    def settled(self) -> Fraction: ...
    def at(self, volume: Fraction) -> Fraction:
        """The cost at a volume."""
        ...

    def after(self, volume: Fraction) -> Fraction:
        """The cost just above a volume: differs from `at` where the curve jumps."""
        ...

    def events(self, low: Fraction, high: Fraction) -> Iterator[Fraction]:
        """Volumes strictly between `low` and `high` at which the curve bends or jumps."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """Every `capacity` units begun cost `cost`."""

    capacity: Fraction
    cost: Fraction

    def __post_init__(self) -> None:
        if self.capacity <= 0:
            raise BadInput("a machine without capacity serves nothing", remedy="Give a capacity above zero.")


@dataclass(frozen=True, slots=True)
class Tier:
    """Units above `above` cost `per_unit` each, until the next tier."""

    above: Fraction
    per_unit: Fraction


@dataclass(frozen=True)
class Tariff:
    """`fixed`, plus what is used but at least `minimum`, plus whole machines.

    The used part costs `per_unit`, from tier to tier; `steps` are whole machines for the volume.
    """

    name: str
    fixed: Fraction = ZERO
    per_unit: Fraction = ZERO
    steps: tuple[Step, ...] = ()
    minimum: Fraction = ZERO
    tiers: tuple[Tier, ...] = ()

    @property
    def slope(self) -> Fraction:
        return self._last_rate + sum((step.cost / step.capacity for step in self.steps), ZERO)

    @property
    def band(self) -> tuple[Fraction, Fraction]:
        start = self.settled
        low = self.fixed + self._usage(start) - self._last_rate * start
        return low, low + sum((step.cost for step in self.steps), ZERO)

    @property
    def settled(self) -> Fraction:
        kink = self._minimum_kink
        bounds = [tier.above for tier in self.tiers]
        return max([ZERO, *bounds, *([kink] if kink is not None else [])])

    def at(self, volume: Fraction) -> Fraction:
        machines = sum((-(-volume // step.capacity) * step.cost for step in self.steps), ZERO)
        return self.fixed + self._usage(volume) + machines

    def after(self, volume: Fraction) -> Fraction:
        machines = sum(((volume // step.capacity + 1) * step.cost for step in self.steps), ZERO)
        return self.fixed + self._usage(volume) + machines

    def events(self, low: Fraction, high: Fraction) -> Iterator[Fraction]:
        for step in self.steps:
            count = low // step.capacity + 1
            while (volume := count * step.capacity) < high:
                yield volume
                count += 1
        kink = self._minimum_kink
        for bound in (*(tier.above for tier in self.tiers), *((kink,) if kink is not None else ())):
            if low < bound < high:
                yield bound

    @property
    def _last_rate(self) -> Fraction:
        return self.tiers[-1].per_unit if self.tiers else self.per_unit

    @cached_property
    def _minimum_kink(self) -> Fraction | None:
        """The volume from which more than the minimum is used; None when it never binds or always does."""
        if self.minimum <= 0:
            return None
        used = ZERO
        for start, end, rate in self._pieces():
            if rate > 0 and (end is None or used + rate * (end - start) >= self.minimum):
                return start + (self.minimum - used) / rate
            used += rate * (end - start) if end is not None else ZERO
        return None

    def _pieces(self) -> Iterator[tuple[Fraction, Fraction | None, Fraction]]:
        """(start, end, rate) of every tier; the last has no end."""
        starts = [ZERO, *(tier.above for tier in self.tiers)]
        rates = [self.per_unit, *(tier.per_unit for tier in self.tiers)]
        yield from zip(starts, [*starts[1:], None], rates, strict=True)

    def _usage(self, volume: Fraction) -> Fraction:
        used = ZERO
        for start, end, rate in self._pieces():
            if volume <= start:
                break
            used += rate * ((volume if end is None else min(volume, end)) - start)
        return max(used, self.minimum)


@dataclass(frozen=True)
class Hybrid:
    """The best number of base machines, the rest bought.

    `levels` is the load-duration curve as (level, weight): at volume v the load is `v x level` for that part of the
    time, and one unit above the machines' room costs `overflow x weight`. Flat load is one level of one. A machine is
    added while what it carries would cost more bought: while it is busier than the critical fill.
    """

    name: str
    step: Step
    overflow: Fraction
    levels: tuple[tuple[Fraction, Fraction], ...] = ((Fraction(1), Fraction(1)),)
    fixed: Fraction = ZERO
    per_unit: Fraction = ZERO
    _thresholds: list[Fraction] = field(default_factory=list, repr=False, compare=False)
    _costs: dict[Fraction, Fraction] = field(default_factory=dict, repr=False, compare=False)

    @property
    def slope(self) -> Fraction:
        """Cost per unit when one machine more or less no longer matters."""
        unit = self.step.cost / self.step.capacity
        bought = [ZERO, *(level for level, _ in self.levels)]
        return self.per_unit + min(
            share * unit + self.overflow * sum((w * max(ZERO, level - share) for level, w in self.levels), ZERO)
            for share in bought
        )

    @property
    def band(self) -> tuple[Fraction, Fraction]:
        return self.fixed, self.fixed + self.step.cost

    @property
    def settled(self) -> Fraction:
        return ZERO

    def at(self, volume: Fraction) -> Fraction:
        # Asked for again and again at the same events: by the curve that is drawn, its crossings and its windows.
        if volume not in self._costs:
            self._costs[volume] = self.cost(volume, self.machines(volume))
        return self._costs[volume]

    def after(self, volume: Fraction) -> Fraction:
        return self.at(volume)

    def cost(self, volume: Fraction, machines: int) -> Fraction:
        """The cost with a given number of base machines."""
        used = self.per_unit * volume + self.overflow * self.bought(volume, machines)
        return self.fixed + machines * self.step.cost + used

    def bought(self, volume: Fraction, machines: int) -> Fraction:
        """Units that flow over, weighted."""
        return self._above(volume, machines * self.step.capacity)

    def _above(self, volume: Fraction, room: Fraction) -> Fraction:
        """Units above `room`, weighted: of every level that reaches above it what does."""
        if not volume:
            return ZERO
        levels, loads, shares = self._sums
        reach = bisect_left(levels, -room / volume)
        return volume * loads[reach] - room * shares[reach]

    @cached_property
    def _sums(self) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
        """Levels, negative and rising, and of the first n of them the sums of share x level and of shares."""
        ordered = sorted(self.levels, reverse=True)
        loads = itertools.accumulate((share * level for level, share in ordered), initial=ZERO)
        shares = itertools.accumulate((share for _, share in ordered), initial=ZERO)
        return [-level for level, _ in ordered], list(loads), list(shares)

    def machines(self, volume: Fraction) -> int:
        """How many base machines pay at a volume: the cheapest number, the larger of two that cost the same."""
        # Thresholds rise: the first one beyond the volume ends the search, and is kept for the next volume.
        while not self._thresholds or self._thresholds[-1] <= volume:
            if self.threshold(len(self._thresholds) + 1) is None:
                break
        return bisect_right(self._thresholds, volume)

    def threshold(self, machine: int) -> Fraction | None:
        """The volume from which the n-th base machine pays; rises with n. None when not even the first ever does."""
        weight = sum((share for level, share in self.levels if level > 0), ZERO)
        if self.overflow <= 0 or self.step.cost > self.overflow * weight * self.step.capacity:
            return None
        while len(self._thresholds) < machine:
            self._thresholds.append(self._pays_from(len(self._thresholds) + 1))
        return self._thresholds[machine - 1]

    def _pays_from(self, machine: int) -> Fraction:
        """Where what it would carry, bought, costs what it costs: that rises with volume, piecewise linear."""
        wanted = self.step.cost / self.overflow
        below, top = (machine - 1) * self.step.capacity, machine * self.step.capacity
        if not wanted:  # a machine that costs nothing pays as soon as the highest load reaches it
            return below / max(level for level, _ in self.levels)
        bends = [ZERO, *sorted({bound / level for level, _ in self.levels if level > 0 for bound in (below, top)})]
        # At the last bend every level fills the machine, and what a full machine carries is enough.
        place = max(bisect_left(bends, wanted, key=lambda bend: self.carried(bend, below)), 1)
        start, end = bends[place - 1], bends[place]
        carried, reached = self.carried(start, below), self.carried(end, below)
        return start + (wanted - carried) * (end - start) / (reached - carried)

    def carried(self, volume: Fraction, below: Fraction) -> Fraction:
        """Units that a machine standing on `below` units of others would carry, weighted."""
        return self._above(volume, below) - self._above(volume, below + self.step.capacity)

    def events(self, low: Fraction, high: Fraction) -> Iterator[Fraction]:
        for machine in itertools.count(1):
            threshold = self.threshold(machine)
            if threshold is None or threshold >= high:
                break
            if threshold > low:
                yield threshold
        for level, _ in self.levels:
            bend = self.step.capacity / level if level > 0 else high
            count = low // bend + 1
            while (volume := count * bend) < high:
                yield volume
                count += 1
