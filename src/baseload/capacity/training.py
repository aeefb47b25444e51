"""The constants fitted to measured serving, and how well they hold for a model that was left out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baseload.capacity.board import Measured
from baseload.capacity.calibration import Point, calibrated
from baseload.capacity.columns import Column, Columns, Whole, columns
from baseload.capacity.constants import Constants, packed, prior, unpacked
from baseload.capacity.estimate import COVERAGE, Model
from baseload.capacity.known import corrections
from baseload.capacity.leastsquares import minimised, softened
from baseload.capacity.steadystate import NONE, Factors, serve

_FIRST_WEIGHT = 0.84
# Of the variance of an error, how much the rows of one deployment share, beside what each has of its own. What a fit
# gains by less of it is the shape within deployments, by more of it the level between them.
_SHARED = 0.04
FOLDS = 5
# Bands drawn at the tenths hold 78 % of the rows of a model that was left out, drawn a little wider 80 %.
_TAIL = 0.85


@dataclass(frozen=True, slots=True)
class Truth:
    """Logarithms of what was measured, as columns, and of which deployment each row is, by number."""

    of: Columns
    first: Column
    between: Column
    output: Column
    deployment: Whole

    def take(self, rows: NDArray[np.bool_]) -> Truth:
        return Truth(self.of.take(rows), self.first[rows], self.between[rows], self.output[rows], self.deployment[rows])

    def pooled(self, off: Column) -> Column:
        """Errors with what the rows of a deployment share of them made as light as one error is: 180 rows of one
        server are no 180 servers. (The transformation of a random effect, by which its rows become independent.)"""
        count = np.maximum(np.bincount(self.deployment), 1)
        mean = np.bincount(self.deployment, off) / count
        light = 1.0 - 1.0 / np.sqrt(1.0 + _SHARED * count)
        found: Column = off - (light * mean)[self.deployment]
        return found


@dataclass(frozen=True, slots=True)
class Errors:
    """Logarithms of predicted over measured."""

    first: Column
    between: Column
    output: Column


def truth(rows: Sequence[Measured]) -> Truth:
    """Measurements as columns."""
    return Truth(
        columns([row.case for row in rows]),
        np.log([row.first for row in rows]),
        np.log([row.between for row in rows]),
        np.log([row.output_per_second for row in rows]),
        np.unique([" ".join(row.case.key) for row in rows], return_inverse=True)[1],
    )


def errors(of: Truth, constants: Constants, factors: Factors = NONE) -> Errors:
    """How far the model is from the measurements."""
    served = serve(of.of, constants, factors)
    return Errors(
        np.log(served.first) - of.first,
        np.log(served.between) - of.between,
        np.log(served.output_per_second) - of.output,
    )


def fitted(of: Truth, start: Constants | None = None, *, rounds: int = 25) -> Constants:
    """The most likely constants: near their priors, and near the measurements but for a few odd ones."""
    middle, width = prior()

    def residuals(vector: Column) -> Column:
        off = errors(of, unpacked(vector))
        figures = (off.between, _FIRST_WEIGHT * off.first, off.output)
        parts = [of.pooled(softened(each)) for each in figures]
        return np.concatenate([*parts, (vector - middle) / width])

    return unpacked(minimised(residuals, middle if start is None else packed(start), rounds=rounds))


def left_out(rows: Sequence[Measured], families: Sequence[str]) -> tuple[Errors, Constants]:
    """Errors on each family of models by constants fitted without it, and the constants fitted with all."""
    whole = truth(rows)
    start = fitted(whole)
    off = [np.zeros(len(rows)) for _ in range(3)]
    for inside, constants in each_without(rows, families, start):
        found = errors(whole.take(inside), constants)
        for column, part in zip(off, (found.first, found.between, found.output), strict=True):
            column[inside] = part
    return Errors(*off), start


def each_without(
    rows: Sequence[Measured], families: Sequence[str], start: Constants
) -> Iterator[tuple[NDArray[np.bool_], Constants]]:
    """For each family of models which rows are of it, and the constants fitted to all others."""
    whole, names = truth(rows), np.array(families)
    for family in sorted(set(families)):
        inside = names == family
        yield inside, fitted(whole.take(~inside), start, rounds=12)


def points_left_out(rows: Sequence[Measured], families: Sequence[str], start: Constants, count: int) -> Errors:
    """Errors once one or three points of each deployment are known, by constants that never saw its model."""
    parts = []
    for inside, constants in each_without(rows, families, start):
        parts.append(by_points([row for row, here in zip(rows, inside, strict=True) if here], constants, count))
    return _joined(parts)


def trained(rows: Sequence[Measured], families: Sequence[str]) -> Model:
    """The whole model: constants, corrections of known deployments, and bands by how near a case was measured.

    Bands of `none` are from models left out; of `deployment` from rows that are left out a fifth at a time, of `model`
    from deployments left out whole.
    """
    off, constants = left_out(rows, families)
    bands = {"none": spread_of(off)}
    cases = [row.case for row in rows]
    names = [" ".join(case.key) for case in cases]
    for basis, groups in (("deployment", [str(number % FOLDS) for number in range(len(rows))]), ("model", names)):
        bands[basis] = spread_of(corrected_left_out(rows, constants, groups))
    bands["one point"], bands["three points"] = (
        spread_of(points_left_out(rows, families, constants, count)) for count in (1, 3)
    )
    seen = errors(truth(rows), constants)
    known = corrections(cases, -seen.between, -seen.first)
    dated = [row.when for row in rows if row.when is not None]
    return Model(constants, known, bands, max(dated).isoformat())


def corrected_left_out(rows: Sequence[Measured], constants: Constants, groups: Sequence[str]) -> Errors:
    """Errors on each group by corrections from the rows outside of it."""
    seen, names = errors(truth(rows), constants), np.array(groups)
    first, between, output = (np.zeros(len(rows)) for _ in range(3))
    for group in sorted(set(groups)):
        inside = names == group
        outer = [row.case for row, here in zip(rows, inside, strict=True) if not here]
        known = corrections(outer, -seen.between[~inside], -seen.first[~inside])
        part = [row for row, here in zip(rows, inside, strict=True) if here]
        found = errors(truth(part), constants, known.factors([row.case for row in part]))
        first[inside], between[inside], output[inside] = found.first, found.between, found.output
    return Errors(first, between, output)


def by_points(rows: Sequence[Measured], constants: Constants, count: int) -> Errors:
    """Errors on a deployment's other rows once one or three of them are its calibration.

    One: the middle of its loads. Three: its lightest and its heaviest load at its most common lengths, and the longest
    prompts at a middle load. Deployments with fewer than two rows to be predicted are left out.
    """
    groups: dict[tuple[str, ...], list[Measured]] = {}
    for row in rows:
        groups.setdefault(row.case.key, []).append(row)
    parts = [errors_by_points(group, constants, count) for group in groups.values() if len(group) >= count + 2]
    return _joined(parts)


def _joined(parts: Sequence[Errors]) -> Errors:
    return Errors(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "between", "output")))


def errors_by_points(group: Sequence[Measured], constants: Constants, count: int) -> Errors:
    """One deployment's rows predicted from one or three of them."""
    chosen = probes(group, count)
    points = [Point(row.case, row.output_per_second, row.between, row.first) for row in chosen]
    model = Model(constants)
    rest = [row for row in group if row not in chosen]
    return errors(truth(rest), constants, calibrated(points, model).factors(len(rest)))


def probes(group: Sequence[Measured], count: int) -> list[Measured]:
    """The rows that a short benchmark would measure."""
    lengths = [(row.case.input_tokens, row.case.output_tokens) for row in group]
    common = max(sorted(set(lengths)), key=lengths.count)
    usual = sorted(
        (row for row, each in zip(group, lengths, strict=True) if each == common), key=lambda row: row.case.in_flight
    )
    if count == 1:
        return [usual[len(usual) // 2]]
    rest = [row for row in group if row is not usual[0] and row is not usual[-1]]
    longest = max(row.case.input_tokens for row in rest)
    long = sorted((row for row in rest if row.case.input_tokens == longest), key=lambda row: row.case.in_flight)
    found = [usual[0], usual[-1], long[len(long) // 2]]
    return found if usual[0] is not usual[-1] else [usual[0], *rest[:2]]


def spread_of(off: Errors) -> dict[str, tuple[float, float]]:
    """Between which logarithms of measured over predicted four of five are, also of models that are not among these."""
    tail = (1.0 - COVERAGE) / 2.0 * _TAIL
    figures = {"output": off.output, "between": off.between, "first": off.first}
    return {
        name: (float(np.quantile(-errors, tail)), float(np.quantile(-errors, 1.0 - tail)))
        for name, errors in figures.items()
    }
