"""Chance that repeats: the same seed and name give the same figures with every version of everything. Pure.

Bits are SHAKE-256 of the seed and a name; no two names share any. Nothing here asks the machine for randomness.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_BLOCK = 256


def uniforms(seed: int, name: str, count: int) -> Floats:
    """`count` figures between 0 and 1, never either, evenly spread.

    >>> float(uniforms(7, "arrivals", 3)[0]) == float(uniforms(7, "arrivals", 1)[0])
    True
    """
    bits = hashlib.shake_256(f"{seed}/{name}".encode()).digest(8 * count)
    found: Floats = ((np.frombuffer(bits, dtype="<u8") >> np.uint64(11)) + 0.5) * np.float64(2.0**-53)
    return found


def normals(seed: int, name: str, count: int) -> Floats:
    """`count` figures of the standard normal distribution (Box and Muller)."""
    half = (count + 1) // 2
    one, two = uniforms(seed, f"{name}: radius", half), uniforms(seed, f"{name}: angle", half)
    radius, angle = np.sqrt(-2.0 * np.log(one)), 2.0 * math.pi * two
    return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]


def exponentials(seed: int, name: str) -> Iterator[float]:
    """Figures of the exponential distribution with mean one, without end."""
    block = 0
    while True:
        yield from (-np.log(uniforms(seed, f"{name} {block}", _BLOCK))).tolist()
        block += 1


def gammas(seed: int, name: str, count: int, shape: float) -> Floats:
    """`count` figures of the Gamma distribution with mean one (Marsaglia and Tsang 2000, rejected and drawn again)."""
    boosted = shape if shape >= 1 else shape + 1
    drawn, tries = np.empty(0), 0
    d = boosted - 1 / 3
    while len(drawn) < count:
        wanted = int((count - len(drawn)) * 1.1) + 16
        score = normals(seed, f"{name}: score {tries}", wanted)
        cube = (1 + score / math.sqrt(9 * d)) ** 3
        level = np.log(uniforms(seed, f"{name}: level {tries}", wanted))
        good = cube > 0
        safe = np.where(good, cube, 1.0)
        good &= level < score**2 / 2 + d - d * safe + d * np.log(safe)
        drawn = np.concatenate((drawn, d * cube[good]))
        tries += 1
    found: Floats = drawn[:count]
    if shape < 1:
        found = found * uniforms(seed, f"{name}: boost", count) ** (1 / shape)
    return found / shape


def weibulls(seed: int, name: str, count: int, shape: float) -> Floats:
    """`count` figures of the Weibull distribution with mean one."""
    found: Floats = (-np.log(uniforms(seed, name, count))) ** (1 / shape) / math.gamma(1 + 1 / shape)
    return found
