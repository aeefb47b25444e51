"""The verdict under uncertainty: 6 options, 12 uncertain inputs, 131,072 scrambled Sobol points.

Each round is a fresh interpreter on one core, and its CPU time counts everything: start, imports, points, copula, every
option at every point, percentiles, regret, tornado, variance shares and what each input would be worth to know.
`evaluations` are costs of one option at one point, in an interpreter that is already warm.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal

from benchmarks.frame import Figure, run

POINTS, QUICK_POINTS = 1 << 17, 1 << 14
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
CHILD = """
import os, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from benchmarks.verdict import case
from baseload.plan.chances import chances
imported = time.process_time()
answer = chances(case(), case().options[0], count=COUNT)
assert len(answer.options) == 6 and sum(each.low < each.high for each in answer.inputs) == 12
print(imported, time.process_time())
"""


def case():
    from baseload.plan.chances import typed_case
    from baseload.plan.options import Machines, TokenPrice, Volume
    from baseload.ranges import Range

    volume = Volume(Decimal(3_000_000_000), Decimal(1_000_000_000))
    prices = [
        TokenPrice(f"API {place}", Range.exact(Decimal(read)), Range.exact(Decimal(wrote)), "typed")
        for place, (read, wrote) in enumerate([(1, 4), (2, 3), (1, 5), (3, 15)])
    ]
    return typed_case(volume, prices, Machines("own", Range.between(1500, 2500), Decimal(1_600_000_000), "typed"))


def measure(quick: bool) -> Iterator[Figure]:
    rounds, count = (3, QUICK_POINTS) if quick else (9, POINTS)
    pairs = [(_once(count), _numpy_alone()) for _ in range(rounds)]
    clocks = [ours for ours, _ in pairs]
    label = f"6 options, 12 inputs, {count:,} points"
    yield Figure(f"{label}: CPU, imports included", statistics.median(total for _, total in clocks), "s", rounds)
    yield Figure("  of that starting and importing", statistics.median(start for start, _ in clocks), "s", rounds)
    yield Figure(
        "  over starting Python with numpy", statistics.median(ours[1] / bare for ours, bare in pairs), "ratio", rounds
    )
    yield Figure("evaluations of one option at one point", _evaluations(count, rounds), "1/s", rounds)


def _once(count: int) -> tuple[float, float]:
    """CPU seconds of one fresh interpreter: after its imports, and in all."""
    code = CHILD.replace("COUNT", str(count))
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD
    )
    imported, total = done.stdout.split()
    return float(imported), float(total)


def _numpy_alone() -> float:
    """CPU seconds of an interpreter that imports numpy and ends."""
    code = "import numpy, time; print(time.process_time())"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD
    )
    return float(done.stdout)


def _evaluations(count: int, rounds: int) -> float:
    from baseload.plan.uncertainty import drawn

    weighed = case()
    shares = drawn(weighed.inputs, weighed.ties, count=count)
    values = {each.name: each.at(shares[:, place]) for place, each in enumerate(weighed.inputs)}
    rates = []
    for _ in range(rounds):
        started = time.process_time()
        for option in weighed.options:
            weighed.cost(option, values)
        rates.append(count * len(weighed.options) / (time.process_time() - started))
    return statistics.median(rates)


if __name__ == "__main__":
    run(__doc__, measure)
