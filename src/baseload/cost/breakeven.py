"""Where two ways of paying cost the same: every crossing, exactly. Pure.

Stepped machine cost against a linear API bill crosses many times, so the question has no single answer. All crossings
are found by walking the events of both curves (replica steps, tier bounds, minimums) and solving the straight line
between two of them; a curve may also jump over another at an event.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from baseload.cost.curves import ZERO, Curve


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the cheaper of two changes. At a `point` they cost the same; at a `jump` one steps over the other.

    `cost` is what the cheaper one costs just above.
    """

    at: Fraction
    kind: Literal["point", "jump"]
    cheaper_before: str
    cheaper_after: str
    cost: Fraction


@dataclass(frozen=True, slots=True)
class Window:
    """One curve is the cheapest from `start` to `end`."""

    start: Fraction
    end: Fraction
    cheapest: str


def crossings(first: Curve, second: Curve, low: Fraction, high: Fraction) -> tuple[Crossing, ...]:
    """Every order flip between two curves above `low` and up to `high`, in order.

    Curves that touch without changing order do not cross. Where they run together for a while and then part in a new
    order, the crossing stands where they part.
    """
    found: list[Crossing] = []
    order = 0
    for start, end in itertools.pairwise(_grid((first, second), low, high)):
        before, now = first.after(start) - second.after(start), first.at(end) - second.at(end)
        parting = _sign(before) or _sign(now)
        if order and parting and parting != order:
            jumped = first.at(start) - second.at(start) != before
            found.append(_crossing(first, second, start, "jump" if jumped else "point", parting))
        order = parting or order
        if _sign(before) * _sign(now) < 0:
            root = start + (end - start) * before / (before - now)
            found.append(_crossing(first, second, root, "point", _sign(now)))
            order = _sign(now)
    return tuple(found)


def windows(curves: Sequence[Curve], low: Fraction, high: Fraction) -> tuple[Window, ...]:
    """Who is the cheapest from where to where, between `low` and `high`. A tie goes to the one named first."""
    found: list[Window] = []
    for start, end in itertools.pairwise(_grid(curves, low, high)):
        lines = [(curve.after(start), curve.at(end), curve.name) for curve in curves]
        for left, right, name in _envelope(lines, start, end):
            if found and found[-1].cheapest == name:
                found[-1] = Window(found[-1].start, right, name)
            else:
                found.append(Window(left, right, name))
    return tuple(found)


def horizon(first: Curve, second: Curve) -> Fraction | None:
    """A volume beyond which the two never cross again; None when they run parallel for ever."""
    if first.slope == second.slope:
        return None
    low, high = (first, second) if first.slope < second.slope else (second, first)
    meeting = (low.band[1] - high.band[0]) / (high.slope - low.slope)
    return max(ZERO, first.settled, second.settled, meeting)


def asymptote(curves: Sequence[Curve]) -> str:
    """The name of the curve that is the cheapest in the end: the smallest cost per unit, then the smallest rest."""
    return min(curves, key=lambda curve: (curve.slope, curve.band)).name


def critical_fill(hourly_cost: Fraction, capacity_per_hour: Fraction, overflow_price: Fraction) -> Fraction | None:
    """The share of its hour a machine must be busy to pay: hourly cost / (capacity per hour x overflow price).

    Above one it never pays; None when what it would carry is free elsewhere.

    >>> critical_fill(Fraction(5, 2), Fraction(1_000_000), Fraction(5, 1_000_000))
    Fraction(1, 2)
    """
    value = capacity_per_hour * overflow_price
    return hourly_cost / value if value > 0 else None


def _grid(curves: Sequence[Curve], low: Fraction, high: Fraction) -> list[Fraction]:
    return sorted({low, high, *(event for curve in curves for event in curve.events(low, high))})


def _sign(difference: Fraction) -> int:
    return (difference > 0) - (difference < 0)


def _crossing(
    first: Curve, second: Curve, at: Fraction, kind: Literal["point", "jump"], first_minus_second: int
) -> Crossing:
    before, after = (first, second) if first_minus_second > 0 else (second, first)
    return Crossing(at, kind, before.name, after.name, after.after(at))


def _envelope(
    lines: list[tuple[Fraction, Fraction, str]], start: Fraction, end: Fraction
) -> Iterator[tuple[Fraction, Fraction, str]]:
    """The lowest of straight lines given by their values at both ends, piece by piece."""
    here, at = ZERO, start
    while True:
        # The lowest line just above `here` (a share of the way): by value, then by where it ends.
        current = min(lines, key=lambda line: (line[0] + (line[1] - line[0]) * here, line[1] - line[0]))
        rate = current[1] - current[0]
        overtakes = [
            (current[0] - line[0]) / ((line[1] - line[0]) - rate) for line in lines if line[1] - line[0] < rate
        ]
        following = min((share for share in overtakes if here < share < 1), default=None)
        if following is None:
            yield at, end, current[2]
            return
        turn = start + (end - start) * following
        yield at, turn, current[2]
        here, at = following, turn
