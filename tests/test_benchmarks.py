"""Every benchmark runs and prints figures. How fast things are is never asserted here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parent.parent
SHARED = {"__main__", "frame", "peers", "traffic", "usage_peers"}
SUBJECTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in SHARED)


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    value: float
    unit: str
    rounds: int


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    subject: str
    quick: bool
    python: str
    machine: str
    figures: tuple[Figure, ...]


def test_there_are_subjects():
    assert {"startup", "decisions"} <= set(SUBJECTS)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_quick_run_prints_one_document(subject):
    command = [sys.executable, "-m", f"benchmarks.{subject}", "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    document = msgspec.json.decode(done.stdout, type=Document)
    assert document.schema == "baseload.benchmark/1"
    assert document.quick
    assert any(figure.unit == "ratio" for figure in document.figures)
    assert all(figure.value > 0 and figure.rounds > 0 for figure in document.figures)
