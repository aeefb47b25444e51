"""How much a configuration differs when it is measured again, by its age and its engine's version: what
`capacity/drift.py` quotes. Run: python tests/data/capacity/drift.py."""

from __future__ import annotations

import csv
import gzip
import itertools
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path

TABLE = Path(__file__).parent / "silicon.csv.gz"
CONFIGURATION = (
    "backend", "model_path", "system", "precision", "isl", "osl", "batch_size", "tp_size", "pp_size",
    "attention_dp_size", "moe_tp_size", "moe_ep_size",
)  # fmt: skip
Seen = tuple[date, str, float]


def repeated() -> list[list[Seen]]:
    """What was measured of each configuration: day, version, tokens a second. The same run in two dumps is one."""
    found: dict[tuple[str, ...], set[Seen]] = defaultdict(set)
    with gzip.open(TABLE, "rt") as file:
        for row in csv.DictReader(file):
            when = re.search(r"measured=(\d{4}-\d\d-\d\d)", row["silicon_data_source"])
            if row["mode"] != "agg" or when is None or not row["backend_version"]:
                continue
            output = int(row["osl"])
            seconds = (float(row["silicon_ttft_ms"]) + output * float(row["silicon_tpot_ms"])) / 1e3
            rate = round(int(row["batch_size"] or 1) * output / seconds, 2)
            key = tuple(row[name] for name in CONFIGURATION)
            found[key].add((date.fromisoformat(when[1]), row["backend_version"], rate))
    return [sorted(runs) for runs in found.values()]


def show(name: str, runs: list[list[Seen]], chosen: Callable[[Seen, Seen], bool]) -> None:
    """The spread between pairs of runs."""
    pairs = [pair for each in runs for pair in itertools.combinations(each, 2) if chosen(*pair)]
    off = sorted(abs(math.log(later[2] / earlier[2])) for earlier, later in pairs)
    if off:
        middle, most = statistics.median(off), off[int(0.8 * (len(off) - 1))]
        print(f"{name:<32}{len(off):>4} pairs, median {math.expm1(middle):.1%}, four of five {math.expm1(most):.1%}")


if __name__ == "__main__":
    measured = repeated()
    show("within 30 days", measured, lambda a, b: (b[0] - a[0]).days <= 30)
    show("after 30 days", measured, lambda a, b: (b[0] - a[0]).days > 30)
    show("the same version", measured, lambda a, b: a[1] == b[1])
    show("another version", measured, lambda a, b: a[1] != b[1])
    show("another version, within 30 days", measured, lambda a, b: a[1] != b[1] and (b[0] - a[0]).days <= 30)
