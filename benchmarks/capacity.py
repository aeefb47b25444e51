"""How far the capacity model is from measured serving, for models that it had not seen, beside AIConfigurator.

Rows: 1,510 of the silicon table (tests/data/capacity). AIConfigurator's predictions were made by version 0.12.0 on the
same rows. Every error is of output tokens per second, time between tokens or time to first token, as a share of what
was measured.
"""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from baseload.capacity.board import Measured, silicon
from baseload.capacity.constants import Constants
from baseload.capacity.estimate import Model, estimates
from baseload.capacity.training import FOLDS, Errors, corrected_left_out, left_out, points_left_out, spread_of
from baseload.documents import load_architectures, load_capacity_model, load_catalog
from benchmarks.frame import Figure, run

DATA = Path(__file__).parent.parent / "tests" / "data" / "capacity"


def table(name: str) -> list[dict[str, str]]:
    """One of the tables of measurements."""
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def silicon_rows() -> list[Measured]:
    machines = {machine.name: machine for machine in load_catalog().machines}
    return silicon(table("silicon.csv.gz"), load_architectures(), machines)


def families(rows: Sequence[Measured]) -> list[str]:
    """Models that are left out together: those of one shape."""
    return [row.case.architecture.name for row in rows]


def shares(errors: np.ndarray) -> np.ndarray:
    return np.abs(np.expm1(errors))


def percent(name: str, errors: np.ndarray, quantile: float = 0.5) -> Figure:
    return Figure(name, 100 * float(np.quantile(shares(errors), quantile)), "%", len(errors))


def measure(quick: bool) -> Iterator[Figure]:
    rows = silicon_rows()
    names = families(rows)
    off, constants = left_out(rows, names)
    yield Figure("rows predicted", 100.0, "%", len(rows))
    yield from three("model left out", off)
    yield percent("model left out: output tokens/s, 80th of 100", off.output, 0.8)
    yield from beside(rows, off)
    yield from covered(rows, names, off)
    if not quick:
        yield from points(rows, names, constants)
        yield from known(rows, constants)
    yield each_takes(rows)


def three(title: str, off: Errors) -> Iterable[Figure]:
    yield percent(f"{title}: output tokens/s", off.output)
    yield percent(f"{title}: time between tokens", off.between)
    yield percent(f"{title}: time to first token", off.first)


def beside(rows: Sequence[Measured], off: Errors) -> Iterator[Figure]:
    """The rows that AIConfigurator predicts, both."""
    theirs = {row["id"]: row for row in table("aiconfigurator_predictions.csv.gz") if row["aic_tpot"]}
    asked = {row["id"] for row in table("aiconfigurator_predictions.csv.gz")}
    both = [place for place, row in enumerate(rows) if row.row in theirs]
    within = sum(row.row in asked for row in rows)
    found = []
    for place in both:
        row, said = rows[place], theirs[rows[place].row]
        first, between = float(said["aic_ttft"]) / 1e3, float(said["aic_tpot"]) / 1e3
        output = row.case.in_flight * row.case.output_tokens / (first + row.case.output_tokens * between)
        found.append((np.log(first / row.first), np.log(between / row.between), np.log(output / row.output_per_second)))
    columns = np.array(found).T
    yield Figure("AIConfigurator: of the rows it was asked", 100 * len(both) / within, "%", within)
    yield from three("AIConfigurator", Errors(*columns))
    mine = Errors(off.first[both], off.between[both], off.output[both])
    yield from three("the same rows, model left out", mine)
    ratio = float(np.median(shares(mine.output)) / np.median(shares(columns[2])))
    yield Figure("the same rows: our error / theirs in tokens/s", ratio, "ratio", len(both))
    closer = shares(mine.output) < shares(columns[2])
    yield Figure("the same rows: ours is closer in tokens/s", 100 * float(closer.mean()), "%", len(both))


def covered(rows: Sequence[Measured], names: Sequence[str], off: Errors) -> Iterator[Figure]:
    """Rows inside of bands that were drawn without their model."""
    inside: dict[str, list[bool]] = {"output": [], "between": [], "first": []}
    which = np.array(names)
    for name in sorted(set(names)):
        here = which == name
        bands = spread_of(Errors(off.first[~here], off.between[~here], off.output[~here]))
        for figure, (low, high) in bands.items():
            seen = -getattr(off, figure)[here]
            inside[figure] += ((low <= seen) & (seen <= high)).tolist()
    for figure, held in inside.items():
        yield Figure(f"80 % bands of other models hold: {figure}", 100 * float(np.mean(held)), "%", len(rows))


def points(rows: Sequence[Measured], names: Sequence[str], start: Constants) -> Iterator[Figure]:
    """One and three measured points of each deployment, on constants that never saw its model."""
    for count, title in ((1, "and one point"), (3, "and three points")):
        yield from three(f"model left out, {title}", points_left_out(rows, names, start, count))


def known(rows: Sequence[Measured], start: Constants) -> Iterator[Figure]:
    """What the shipped corrections are worth: rows, and whole deployments, left out of what was measured."""
    folds = [str(number % FOLDS) for number in range(len(rows))]
    yield from three("a fifth of the rows left out", corrected_left_out(rows, start, folds))
    deployments = [" ".join(row.case.key) for row in rows]
    yield from three("each deployment left out, its model known", corrected_left_out(rows, start, deployments))


def each_takes(rows: Sequence[Measured]) -> Figure:
    """Microseconds of the processor of one estimate, band and fit included, in a batch of all rows."""
    model: Model = load_capacity_model()
    cases = [row.case for row in rows]
    started = time.process_time()
    estimates(cases, model)
    return Figure("one estimate of a batch", 1e6 * (time.process_time() - started) / len(cases), "us", 1)


if __name__ == "__main__":
    run(__doc__, measure)
