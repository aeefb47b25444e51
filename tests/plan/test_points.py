from __future__ import annotations

import hashlib

import numpy as np
import pytest

from baseload.errors import BadInput
from baseload.plan.points import MOST_DIMENSIONS, MOST_POINTS, points

# Of scipy 1.17.1: `qmc.Sobol(40, scramble=False, bits=32).random(1024) * 1024` as 16-bit integers, rows in the order of
# the first column, SHA-256 of the bytes.
SCIPY = "90c623d57e0ce6424c3e5837e9c4149f9acf7d4625f93e120c1549e3a29e094d"


def test_unscrambled_points_are_those_of_scipy():
    rows = (points(1024, 40, seed=None) * 1024).astype("<u2")
    assert hashlib.sha256(rows[rows[:, 0].argsort()].tobytes()).hexdigest() == SCIPY


@pytest.mark.parametrize("seed", [None, 0, 1, 12345])
def test_every_slice_of_every_dimension_holds_as_many(seed):
    cube = points(1 << 10, MOST_DIMENSIONS, seed=seed)
    for column in cube.T:
        assert (np.bincount((column * (1 << 10)).astype(int), minlength=1 << 10) == 1).all()


def test_pairs_of_dimensions_are_a_net():
    """The first two dimensions: every box of area 1/1024, whatever its shape, holds one point."""
    cube = points(1 << 10, 2, seed=4)
    for split in range(11):
        boxes = (cube[:, 0] * 2**split).astype(int) * 2 ** (10 - split) + (cube[:, 1] * 2 ** (10 - split)).astype(int)
        assert len(set(boxes.tolist())) == 1 << 10


def test_scrambled_points_are_inside_and_follow_the_seed():
    first, again, other = points(512, 6, seed=1), points(512, 6, seed=1), points(512, 6, seed=2)
    assert (first == again).all()
    assert not (first == other).any(axis=1).all()
    assert 0 < first.min() < first.max() < 1
    assert not (first[:, 0] == first[:, 1]).all()


def test_an_integral_comes_out_closer_than_by_chance():
    """The mean of a product of 8 figures is 2^-8; 4,096 random points miss it by 1.2e-4 typically."""
    errors = [abs(points(1 << 12, 8, seed=seed).prod(axis=1).mean() - 2**-8) for seed in range(8)]
    assert np.median(errors) < 4e-5


@pytest.mark.parametrize(
    ("count", "dimensions"), [(0, 2), (3, 2), (-4, 2), (2 * MOST_POINTS, 1), (8, 0), (8, MOST_DIMENSIONS + 1)]
)
def test_what_cannot_be_filled_is_refused(count, dimensions):
    with pytest.raises(BadInput):
        points(count, dimensions)
