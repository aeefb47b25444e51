"""What every benchmark shares: pairs measured in turn, figures, and one way to print them.

A subject is a module beside this one: its docstring says what it measures, `measure(quick)` yields the figures.
Machines differ and are shared, so the figure to quote is a ratio between two things measured in turn in one run.
Absolute times are informational.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import msgspec

Work = Callable[[], object]
Measure = Callable[[bool], Iterable["Figure"]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `rounds` is how many measurements `value` is the median of."""

    name: str
    value: float
    unit: str
    rounds: int


def seconds(work: Work, times: int = 1) -> float:
    """Seconds that one call takes, over `times` calls in a row."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def beside(name: str, work: Work, other_name: str, other: Work, *, rounds: int, times: int = 1) -> list[Figure]:
    """Two pieces of work in turn, A B A B ...: the median of each in microseconds, and of the ratio pair by pair."""
    work(), other()
    pairs = [(seconds(work, times), seconds(other, times)) for _ in range(rounds)]
    return [
        Figure(name, statistics.median(one for one, _ in pairs) * 1e6, "us", rounds),
        Figure(other_name, statistics.median(two for _, two in pairs) * 1e6, "us", rounds),
        Figure(f"{name} / {other_name}", statistics.median(one / two for one, two in pairs), "ratio", rounds),
    ]


def run(subject: str | None, measure: Measure) -> None:
    """The command line of one benchmark: `--quick` for a look, `--json` for one document on stdout."""
    parser = argparse.ArgumentParser(description=subject)
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    asked = parser.parse_args()
    title = (subject or "").strip().splitlines()[0]
    figures = list(measure(asked.quick))
    if asked.json:
        document = {
            "schema": "baseload.benchmark/1",
            "subject": title,
            "quick": asked.quick,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "figures": [asdict(figure) for figure in figures],
        }
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
        return
    sys.stdout.write(f"{title}\n")
    for figure in figures:
        sys.stdout.write(f"  {figure.name:<58} {figure.value:>14,.2f} {figure.unit:<6} median of {figure.rounds}\n")
