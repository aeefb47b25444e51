"""The rows that the static chart specs are fed with, and the sentence under each chart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from baseload.console.tables import Cell, csv_text


@dataclass(frozen=True, slots=True)
class Chart:
    """Rows for `charts/<name>.vl.json`. `caption` is the sentence to read, `description` stands in for the picture."""

    name: str
    caption: str
    description: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def document(self, spec: str) -> Mapping[str, object]:
        """What the `.json` answers with; `spec` is the address of the Vega-Lite spec."""
        return {
            "schema": "baseload.chart/1",
            "name": self.name,
            "caption": self.caption,
            "description": self.description,
            "spec": spec,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
        }

    def csv(self) -> str:
        """What the `.csv` answers with."""
        return csv_text(list(self.columns), self.rows)
