"""Points that fill the unit cube evenly: Sobol's sequence, scrambled by a seed. Pure.

Direction numbers are Joe and Kuo's (new-joe-kuo-6.21201, 2010, BSD licence), the same that scipy and others carry; a
test holds the points against theirs. Scrambling is Matousek's: a random lower triangular matrix and a random shift for
each dimension, drawn from SHAKE-256 of the seed, so that a seed means the same points with every version of numpy.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from baseload.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Words = NDArray[np.uint32]

BITS = 32
# The first dimension is van der Corput's. Each further one: primitive polynomial as bits, then its direction numbers.
_JOE_KUO = """
    3: 1; 7: 1 3; 11: 1 3 1;
    13: 1 1 1; 19: 1 1 3 3; 25: 1 3 5 13;
    37: 1 1 5 5 17; 41: 1 1 5 5 5; 47: 1 1 7 11 19;
    55: 1 1 5 1 1; 59: 1 1 1 3 11; 61: 1 3 5 5 31;
    67: 1 3 3 9 7 49; 91: 1 1 1 15 21 21; 97: 1 3 1 13 27 49;
    103: 1 1 1 15 7 5; 109: 1 3 1 15 13 25; 115: 1 1 5 5 19 61;
    131: 1 3 7 11 23 15 103; 137: 1 3 7 13 13 15 69; 143: 1 1 3 13 7 35 63;
    145: 1 3 5 9 1 25 53; 157: 1 3 1 13 9 35 107; 167: 1 3 1 5 27 61 31;
    171: 1 1 5 11 19 41 61; 185: 1 3 5 3 3 13 69; 191: 1 1 7 13 1 19 1;
    193: 1 3 7 5 13 19 59; 203: 1 1 3 9 25 29 41; 211: 1 3 5 13 23 1 55;
    213: 1 3 7 3 13 59 17; 229: 1 3 1 3 5 53 69; 239: 1 1 5 5 23 33 13;
    241: 1 1 7 7 1 61 123; 247: 1 1 7 9 13 61 49; 253: 1 3 3 5 3 55 33;
    285: 1 3 1 15 31 13 49 245; 299: 1 3 5 15 31 59 63 97; 301: 1 3 1 11 11 11 77 249
"""
_TABLE = [
    (int(polynomial), [int(each) for each in numbers.split()])
    for polynomial, _, numbers in (row.partition(":") for row in _JOE_KUO.split(";"))
]
MOST_DIMENSIONS = len(_TABLE) + 1
MOST_POINTS = 1 << 22


def points(count: int, dimensions: int, *, seed: int | None = 0) -> Floats:
    """`count` points (a power of two) as an array of `count` rows, each figure above 0 and below 1.

    `seed` None leaves them unscrambled and includes the origin. Raises BadInput beyond forty dimensions.
    """
    if count < 1 or count & (count - 1) or count > MOST_POINTS:
        raise BadInput(
            f"{count:,} points do not fill a cube evenly", remedy=f"Give a power of two up to {MOST_POINTS:,}."
        )
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise BadInput(
            f"{dimensions} dimensions is not 1 to {MOST_DIMENSIONS}", remedy="Leave the least uncertain inputs exact."
        )
    filled = np.empty((dimensions, count), dtype=np.uint32)
    for dimension in range(dimensions):
        directions = _directions(dimension)
        shift = np.uint32(0)
        if seed is not None:
            directions, shift = _scrambled(directions, dimension, seed)
        _fill(filled[dimension], directions, shift)
    half = 0.5 if seed is not None else 0.0
    return np.asarray((filled.T + half) / float(1 << BITS), dtype=np.float64)


def _fill(row: Words, directions: list[int], shift: np.uint32) -> None:
    """The points in natural order: each power of two repeats what is there with one more direction turned on."""
    row[0] = shift
    size = 1
    for direction in directions:
        if size >= len(row):
            return
        row[size : 2 * size] = row[:size] ^ np.uint32(direction)
        size *= 2


def _directions(dimension: int) -> list[int]:
    """Direction numbers of one dimension, the first bit the most significant."""
    if dimension == 0:
        return [1 << (BITS - 1 - bit) for bit in range(BITS)]
    polynomial, given = _TABLE[dimension - 1]
    degree = len(given)
    numbers = [number << (BITS - 1 - place) for place, number in enumerate(given)]
    for place in range(degree, BITS):
        number = numbers[place - degree] ^ (numbers[place - degree] >> degree)
        for back in range(1, degree):
            if polynomial >> (degree - back) & 1:
                number ^= numbers[place - back]
        numbers.append(number)
    return numbers


def _scrambled(directions: list[int], dimension: int, seed: int) -> tuple[list[int], np.uint32]:
    """The directions behind a random lower triangular matrix with ones on its diagonal, and a random shift."""
    drawn = hashlib.shake_256(f"sobol {seed} {dimension}".encode()).digest((BITS + 1) * 4)
    words = [int.from_bytes(drawn[at : at + 4], "big") for at in range(0, len(drawn), 4)]
    rows = []
    for place in range(BITS):
        diagonal = 1 << (BITS - 1 - place)
        above = ~((diagonal << 1) - 1) & ((1 << BITS) - 1)
        rows.append(words[place] & above | diagonal)
    turned = [
        sum(((row & number).bit_count() & 1) << (BITS - 1 - place) for place, row in enumerate(rows))
        for number in directions
    ]
    return turned, np.uint32(words[BITS])
