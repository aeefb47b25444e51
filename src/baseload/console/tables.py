"""One shape for every table: the page, the `.json` and the `.csv` are written from the same cells. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Cell = str | int | Decimal | None
Kind = Literal["text", "name", "count", "tokens", "usd", "usd_month", "share", "change"]

# A spreadsheet runs a cell that begins with one of these; tags and model names come from outside.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Column:
    """`key` names the column in JSON and CSV, `title` on the page, `kind` says how its cells are written."""

    key: str
    title: str
    kind: Kind = "text"

    @property
    def numeric(self) -> bool:
        return self.kind not in ("text", "name")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of exact cells in column order; `totals` stands last; `marked` is the index of a row to point at.

    `empty` is the sentence that stands where rows would; `limit` is how many of them the page shows."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[Cell, ...] | None = None
    marked: int | None = None
    note: str = ""
    empty: str = "nothing yet"
    limit: int | None = None

    @property
    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows that the page shows."""
        return self.rows[: self.limit]

    @property
    def beyond(self) -> int:
        """How many rows only the JSON and the CSV hold."""
        return len(self.rows) - len(self.shown)

    def records(self) -> list[dict[str, Cell]]:
        """Each row as a mapping from column key to exact cell, totals excluded."""
        return [self._record(row) for row in self.rows]

    def document(self) -> Mapping[str, object]:
        """What the `.json` answers with."""
        return {
            "schema": "baseload.table/1",
            "name": self.name,
            "caption": self.caption,
            "note": self.note,
            "columns": [{"key": column.key, "title": column.title, "kind": column.kind} for column in self.columns],
            "rows": self.records(),
            "totals": None if self.totals is None else self._record(self.totals),
        }

    def csv(self) -> str:
        """What the `.csv` answers with: a header, the rows, the totals row last."""
        rows = self.rows if self.totals is None else (*self.rows, self.totals)
        return csv_text([column.key for column in self.columns], rows)

    def _record(self, row: tuple[Cell, ...]) -> dict[str, Cell]:
        return {column.key: cell for column, cell in zip(self.columns, row, strict=True)}


def csv_text(header: list[str], rows: tuple[tuple[Cell, ...], ...]) -> str:
    """RFC 4180 text; unknown is an empty cell, never a zero, and no text can act as a formula.

    >>> csv_text(["tag", "usd"], (("=1+1", None),))
    "tag,usd\\r\\n'=1+1,\\r\\n"
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([_written(cell) for cell in row] for row in rows)
    return out.getvalue()


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return str(cell)
