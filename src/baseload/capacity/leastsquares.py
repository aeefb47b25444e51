"""Nonlinear least squares in a few lines: Levenberg and Marquardt's steps on a numerical Jacobian. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from baseload.capacity.columns import Column

_NUDGE = 1e-5
_ENOUGH = 1e-5


def minimised(
    residuals: Callable[[Column], Column], start: Column, *, rounds: int = 30, nudge: float = _NUDGE
) -> Column:
    """The vector near `start` at which the sum of squared residuals is least.

    >>> [round(float(x), 4) for x in minimised(lambda x: np.array([x[0] - 3.0, 2.0 * (x[1] + 1.0)]), np.zeros(2))]
    [3.0, -1.0]
    """
    at, damping = start.copy(), 1e-2
    here = residuals(at)
    cost = float(here @ here)
    for _ in range(rounds):
        slopes = np.stack([(residuals(_moved(at, place, nudge)) - here) / nudge for place in range(len(at))], axis=1)
        normal, pull = slopes.T @ slopes, slopes.T @ here
        before = cost
        for _ in range(8):
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -pull)
            there = residuals(at + step)
            found = float(there @ there)
            if found < cost:
                at, here, cost, damping = at + step, there, found, damping / 3
                break
            damping *= 4
        if before - cost < _ENOUGH * before:
            break
    return at


def _moved(at: Column, place: int, nudge: float) -> Column:
    moved = at.copy()
    moved[place] += nudge
    return moved


def softened(errors: Column, width: float = 0.1) -> Column:
    """Errors of which large ones count by their size and not its square, so that a few odd rows do not rule.

    >>> [round(float(x), 3) for x in softened(np.array([0.01, -1.0]))]
    [0.01, -0.425]
    """
    found: Column = np.sign(errors) * np.sqrt(2.0 * (np.sqrt(1.0 + (errors / width) ** 2) - 1.0)) * width
    return found
