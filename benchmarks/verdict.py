"""The verdict under uncertainty: 6 options, 12 uncertain inputs, 131,072 scrambled Sobol points.

`by the cost model` weighs every component of the parameter table (two APIs, and machines rented, reserved, spot and
owned), `typed` four APIs, machines and a hybrid by tokens and rent alone. Each round is a fresh interpreter on one
core, and its CPU time counts everything: start, imports, the parameter table, points, copula, every option at every
point, percentiles, regret, tornado, variance shares and what each input would be worth to know. `evaluations` are costs
of one option at one point, in an interpreter that is already warm.
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
from benchmarks.verdict import CASE
from baseload.plan.chances import chances
imported = time.process_time()
weighed = CASE()
answer = chances(weighed, weighed.options[0], count=COUNT)
assert len(answer.options) == 6 and sum(each.low < each.high for each in answer.inputs) == 12
print(imported, time.process_time())
"""


def by_the_model():
    from baseload.cost.parameters import Assumptions
    from baseload.cost.ways import Way
    from baseload.documents import load_parameters
    from baseload.plan.itemised import api_way, load_of
    from baseload.plan.options import TokenPrice, Volume
    from baseload.plan.ways_case import ways_case
    from baseload.ranges import Range

    exact = Range.exact
    stated = {
        "replica_input_tokens_per_month": exact(6_000_000_000),
        "replica_output_tokens_per_month": exact(2_000_000_000),
        "gpu_usd_per_hour": Range(Decimal("1.38"), Decimal("2.40"), Decimal("4.76")),
    }
    apis = [TokenPrice("mid", exact(3), exact(15), "typed"), TokenPrice("open", exact(1), exact(4), "typed")]
    machines = [Way(kind, kind, stated, gpus=2) for kind in ("rented", "reserved", "spot", "owned")]
    load = load_of(Volume(Decimal(3_000_000_000), Decimal(1_000_000_000)))
    return ways_case([*(api_way(price) for price in apis), *machines], load, Assumptions(load_parameters()))


def typed():
    from baseload.plan.chances import typed_case
    from baseload.plan.options import Machines, TokenPrice, Volume
    from baseload.ranges import Range

    volume = Volume(Decimal(3_000_000_000), Decimal(1_000_000_000))
    prices = [
        TokenPrice(f"API {place}", Range.exact(Decimal(read)), Range.exact(Decimal(wrote)), "typed")
        for place, (read, wrote) in enumerate([(1, 4), (2, 3), (1, 5), (3, 15)])
    ]
    return typed_case(volume, prices, Machines("own", Range.between(1500, 2500), Decimal(1_600_000_000), "typed"))


CASES = {"by the cost model": by_the_model, "typed": typed}


def measure(quick: bool) -> Iterator[Figure]:
    rounds, count = (3, QUICK_POINTS) if quick else (9, POINTS)
    for name, weighed in CASES.items():
        pairs = [(_once(weighed.__name__, count), _numpy_alone()) for _ in range(rounds)]
        label = f"{name}, {count:,} points"
        yield Figure(f"{label}: CPU, imports included", statistics.median(ours[1] for ours, _ in pairs), "s", rounds)
        yield Figure("  of that starting and importing", statistics.median(ours[0] for ours, _ in pairs), "s", rounds)
        over = statistics.median(ours[1] / bare for ours, bare in pairs)
        yield Figure("  over starting Python with numpy", over, "ratio", rounds)
        yield Figure("  evaluations of one option at one point", _evaluations(weighed(), count, rounds), "1/s", rounds)


def _once(name: str, count: int) -> tuple[float, float]:
    """CPU seconds of one fresh interpreter: after its imports, and in all."""
    code = CHILD.replace("COUNT", str(count)).replace("CASE", name)
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


def _evaluations(weighed, count: int, rounds: int) -> float:
    from baseload.plan.uncertainty import drawn

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
