"""The constants of engines and cards that the step model is made of, and where they start before anything is measured.

Every value is the logarithm of a time in seconds or of a share of what a data sheet promises, but for `softness`.
`effects` are deviations of an engine from the mean of all. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from baseload.capacity.case import ENGINES
from baseload.capacity.columns import Column, Whole

# Logarithm of the start; where known, what others measured: reading at 0.8 of the sheet, multiplying at 0.7.
START: Mapping[str, float] = {
    "read_plain": math.log(0.8),
    "read_experts": math.log(0.7),
    "multiply": math.log(0.7),
    "read_cache": math.log(0.5),
    "attention": math.log(0.2),
    "layer": math.log(4e-5),
    "step": math.log(2e-4),
    "request": math.log(1.3e-5),
    "reduce": math.log(6e-6),
    "link": math.log(0.3),
    "expert_layer": math.log(3.8e-5),
    "prefill_layer": math.log(1e-4),
    "receive": math.log(0.1),
    "waiting": 0.0,
    "queue": 0.0,
    "latent_pace": 0.0,
    "unpack_read": 0.0,
    "unpack_multiply": 0.0,
    "expert_spread": 0.0,
}
SOFTNESS = 1
# How far an engine may be expected to stand from the mean: the spread of the prior.
EFFECTS: Mapping[str, float] = {"cache": 0.7, "launch": 0.27, "reduce": 0.3, "receive": 7.0, "waiting": 2.7}
# Of these nothing is known beforehand: how much slower weights are that a card has to unpack, or that lie on few cards.
_SPECIAL = {"latent_pace": 0.1, "unpack_read": 1.0, "unpack_multiply": 0.6, "expert_spread": 2.2}
_PHYSICS = 0.15


@dataclass(frozen=True, slots=True)
class Constants:
    """`values` by name; `effects` by name and engine."""

    values: Mapping[str, float]
    effects: Mapping[str, Column]

    def engine(self, name: str, which: Whole) -> Column:
        """An effect for each case; 0 for an engine that was not measured."""
        return self.effects[name][which]


def unpacked(vector: Column) -> Constants:
    """Constants from one vector, as a fit moves it."""
    names = list(START)
    values = dict(zip(names, vector[: len(names)].tolist(), strict=True))
    values["softness"] = SOFTNESS
    engines, place = len(ENGINES), len(names)
    effects = {}
    for name in EFFECTS:
        effects[name] = np.append(vector[place : place + engines], 0.0)
        place += engines
    return Constants(values, effects)


def packed(constants: Constants) -> Column:
    """The vector of constants."""
    engines = len(ENGINES)
    parts = [np.array([constants.values[name] for name in START])]
    parts += [constants.effects[name][:engines] for name in EFFECTS]
    return np.concatenate(parts)


def prior() -> tuple[Column, Column]:
    """Where each constant starts and how far it may go, in the order of the vector."""
    engines = len(ENGINES)
    widths = [_SPECIAL.get(name, _PHYSICS) for name in START]
    widths += [width for width in EFFECTS.values() for _ in range(engines)]
    middle = np.zeros(len(widths))
    middle[: len(START)] = list(START.values())
    return middle, np.array(widths)
