"""Deployments that were measured before, as corrections to the model that is made for all of them. Pure.

What a deployment differs from the model by is mostly a factor of its own: its kernels, its version, its settings. Of
measured ones it is known. It is split over what they share (the model on an engine; that on a card at a precision; the
deployment itself), each share a random effect, so that a neighbour is corrected by what was seen beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from baseload.capacity.case import Case
from baseload.capacity.columns import Column
from baseload.capacity.steadystate import Factors

# Spread of each share as a logarithm, for step and first token, and of a single row about its deployment.
STEP_SPREAD = (0.10, 0.12, 0.12)
FIRST_SPREAD = (0.25, 0.25, 0.30)
STEP_NOISE, FIRST_NOISE = 0.2, 0.35
# A single odd row must not move a model far, and few rows are not yet knowledge of a deployment.
_MOST = 0.5
_ENOUGH = 4


@dataclass(frozen=True, slots=True)
class Known:
    """Corrections by share, as logarithms of factors on seconds: of a step, and of the time to the first token."""

    step: Mapping[str, float]
    first: Mapping[str, float]

    def level(self, case: Case) -> str:
        """How near the nearest measured deployment is: `deployment`, `model` (elsewhere), or `none`."""
        names = shares(case)
        if names[-1] in self.step:
            return "deployment"
        return "model" if any(name in self.step for name in names) else "none"

    def factors(self, cases: Sequence[Case]) -> Factors:
        """The corrections of some cases."""
        every = [shares(case) for case in cases]
        step = np.array([sum(self.step.get(name, 0.0) for name in names) for names in every])
        first = np.array([sum(self.first.get(name, 0.0) for name in names) for names in every])
        return Factors(step=np.exp(step), first=np.exp(first))


NOTHING = Known({}, {})


def shares(case: Case) -> tuple[str, ...]:
    """What a case has in common with others, from wide to narrow."""
    model, gpu, engine, precision, spread = case.key
    wide = f"{model} {engine}"
    middle = f"{wide} {gpu} {precision}"
    return (wide, middle, f"{middle} {spread}")


def corrections(cases: Sequence[Case], step: Column, first: Column) -> Known:
    """The most likely corrections from logarithms of measured over predicted, row by row."""
    return Known(
        _effects(cases, step, STEP_SPREAD, STEP_NOISE),
        _effects(cases, first, FIRST_SPREAD, FIRST_NOISE),
    )


def _effects(cases: Sequence[Case], off: Column, spreads: Sequence[float], noise: float) -> dict[str, float]:
    """Random effects: each name's share of what its rows are off by, shrunk by how few they are."""
    rows = Counter(shares(case)[-1] for case in cases)
    wide = {name for case in cases for name in shares(case)[:-1]}
    names = sorted(wide | {name for name, count in rows.items() if count >= _ENOUGH})
    place = {name: number for number, name in enumerate(names)}
    design = np.zeros((len(cases), len(names)))
    width = np.ones(len(names))
    for row, case in enumerate(cases):
        for spread, name in zip(spreads, shares(case), strict=True):
            if name in place:
                design[row, place[name]] = 1.0
                width[place[name]] = spread
    normal = design.T @ design / noise**2 + np.diag(1.0 / width**2)
    found = np.linalg.solve(normal, design.T @ np.clip(off, -_MOST, _MOST) / noise**2)
    return {name: round(float(value), 4) for name, value in zip(names, found, strict=True)}
