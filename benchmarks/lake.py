"""The monthly bill by team and model, from a lake of a hundred million calls: seconds, and memory at its highest.

    python -m benchmarks.lake [--quick] [--json]

The lake is synthetic: thirty days of hours with the columns that a sealed call has, made by DuckDB. The question is the
one that `baseload ledger query --by month,team,model` puts. `--quick` makes two hundred thousand calls.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from baseload.ledger import wide
from baseload.ledger.ask import Question, ask
from baseload.ledger.duck import duck
from baseload.ledger.lake import HOUR_NS, Lake, lake_at
from benchmarks.frame import Figure, run

FIRST_NS = 1_793_491_200_000_000_000  # 2026-11-01
HOURS = 720
MONTH = Question(by=("month", "team", "model"))
WHOLE = Question()

# What the question reads varies; what it does not read is there and short.
_MADE = {
    "id": "printf('%016x', hash(i))",
    "at_ns": "{hour_ns} + (i % {each}) * {step_ns}",
    "final": "true",
    "number": "1",
    "team": "'team-' || (hash(i) % 40)",
    "key": "'key-' || (hash(i + 1) % 400)",
    "model": "'model-' || (hash(i + 2) % 12)",
    "asked_model": "'auto'",
    "bucket": "'judgment'",
    "status": "'ok'",
    "call_status": "'ok'",
    "evidence": "'reported'",
    "own": "0",
    "input_tokens": "200 + hash(i + 3) % 4000",
    "output_tokens": "20 + hash(i + 4) % 800",
    "cost_nanousd": "100000 + hash(i + 5) % 9000000",
}


def made(directory: Path, calls: int, hours: int = HOURS) -> Lake:
    """A lake of so many calls in so many hours, sealed hour by hour as a gateway's hours are."""
    lake = lake_at(directory)
    each = calls // hours
    with duck() as connection:
        for number in range(hours):
            hour_ns = FIRST_NS + number * HOUR_NS
            known = {"hour_ns": hour_ns, "each": each, "step_ns": HOUR_NS // each}
            values = {name: _MADE.get(name, "null").format(**known) for name in wide.COLUMNS}
            columns = ", ".join(f"cast({values[name]} as {kind}) as {name}" for name, kind in wide.COLUMNS.items())
            rows = f"(select {columns} from range({number * each}, {(number + 1) * each}) as calls(i))"
            lake.add(connection, hour_ns, hour_ns + HOUR_NS, rows)
    return lake


def asked(question: Question, lake: Lake, rounds: int) -> list[float]:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        ask(question, lake, None)
        taken.append(time.perf_counter() - began)
    return taken


def measure(quick: bool) -> Iterator[Figure]:
    calls, hours, rounds = (200_000, 72, 3) if quick else (100_000_000, HOURS, 5)
    with tempfile.TemporaryDirectory(prefix="baseload-bench-") as folder:
        lake = made(Path(folder), calls, hours)
        month, whole = asked(MONTH, lake, rounds), asked(WHOLE, lake, rounds)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    title = f"{calls:,} calls"
    yield Figure(f"{title}, month by team and model", statistics.median(month), "s", rounds)
    yield Figure(f"{title}, one total", statistics.median(whole), "s", rounds)
    ratio = statistics.median(one / two for one, two in zip(month, whole, strict=True))
    yield Figure("by month, team and model / one total", ratio, "ratio", rounds)
    yield Figure("memory at its highest, the making of the lake included", highest, "MiB", 1)


if __name__ == "__main__":
    run(__doc__, measure)
