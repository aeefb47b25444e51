"""Fit the capacity model to the rows beside this file and write it: `python tests/data/capacity/fit.py`."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[3]))

from baseload.capacity.model_file import document_of
from baseload.capacity.training import trained
from baseload.documents import CAPACITY_DATA
from benchmarks.capacity import families, silicon_rows

SOURCE = "silicon_sample.csv of aiconfigurator-core 0.12.0: measured rows of InferenceMAX, InferenceX and NVIDIA"


def main() -> None:
    """Half a minute."""
    rows = silicon_rows()
    model = trained(rows, families(rows))
    document = document_of(
        model, source=SOURCE, licence="Apache-2.0", as_of=date.fromisoformat(model.as_of), rows=len(rows)
    )
    path = Path(CAPACITY_DATA) / "capacity.json"
    half = path.with_suffix(".half")
    half.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    half.replace(path)
    sys.stdout.write(f"{path}: {len(rows)} rows\n")


if __name__ == "__main__":
    main()
