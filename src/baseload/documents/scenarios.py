"""Scenarios: the articles' cases, and yours. Acts (reads files)."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import msgspec

from baseload.documents.reading import once, read
from baseload.errors import BadInput
from baseload.plan.scenario import Scenario

PLAN_DATA = Path(str(resources.files("baseload.plan") / "data"))


class _Scenarios(msgspec.Struct, forbid_unknown_fields=True):
    scenarios: tuple[Scenario, ...]


def load_scenarios(*, directory: Path = PLAN_DATA) -> tuple[Scenario, ...]:
    """The articles' cases, in the order of the file."""
    path = directory / "scenarios.yaml"
    found = read(path, _Scenarios).scenarios
    once([each.name for each in found], path)
    return found


def read_scenario(path: Path) -> Scenario:
    """A scenario from a file of YAML or JSON."""
    if not path.is_file():
        raise BadInput(f"there is no scenario file {path}", remedy="See what ships: baseload decide --scenario list.")
    return read(path, Scenario)
