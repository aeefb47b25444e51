"""Every attempt as a row of a table: CSV, and Parquet by DuckDB (the extra `lake`). Acts (writes the file it is given).

Money is there twice: as integer nano-dollars, which add up, and as exact USD to read. What has no price is empty. Tags
are one column of JSON.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import msgspec

from baseload.clock import from_ns
from baseload.errors import BadConfig
from baseload.load.calls import Attempt, Call
from baseload.units import usd
from baseload.usage import Usage

LEAVES = Usage.__struct_fields__
# Each column with its type in Parquet.
COLUMNS = {
    "call_id": "VARCHAR",
    "attempt": "INTEGER",
    "started": "TIMESTAMPTZ",
    "ended": "TIMESTAMPTZ",
    "route": "VARCHAR",
    "upstream": "VARCHAR",
    "model": "VARCHAR",
    "offer": "VARCHAR",
    "bucket": "VARCHAR",
    "status": "VARCHAR",
    "evidence": "VARCHAR",
    **dict.fromkeys(LEAVES, "BIGINT"),
    "cost_nanousd": "BIGINT",
    "cost_usd": "DECIMAL(20, 9)",
    "provider_nanousd": "BIGINT",
    "book": "VARCHAR",
    "policy": "VARCHAR",
    "tags": "VARCHAR",
}
Cell = str | int | None
_COPY = (
    "COPY (SELECT * FROM read_csv(?, header=true, auto_detect=false, quote='\"', escape='\"', columns={types}))"
    " TO '{into}' (FORMAT parquet, COMPRESSION zstd)"
)
# What a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows(calls: Iterable[Call]) -> Iterator[tuple[Cell, ...]]:
    """A row for each attempt, in the order of COLUMNS."""
    for call in calls:
        tags = msgspec.json.encode(call.facts.tags, order="deterministic").decode()
        for attempt in call.attempts:
            yield _row(call, attempt, tags)


def _row(call: Call, attempt: Attempt, tags: str) -> tuple[Cell, ...]:
    cost = attempt.cost_nanousd
    return (
        call.id,
        attempt.number,
        from_ns(attempt.started_ns).isoformat(),
        from_ns(attempt.ended_ns).isoformat(),
        attempt.route,
        attempt.upstream,
        attempt.model,
        attempt.offer,
        call.facts.bucket.value,
        attempt.status.value,
        attempt.evidence.value,
        *(getattr(attempt.usage, leaf) for leaf in LEAVES),
        cost,
        None if cost is None else f"{usd(cost):f}",
        attempt.provider_nanousd,
        attempt.book,
        call.decision.policy,
        tags,
    )


def write_csv(calls: Iterable[Call], file: TextIO, *, plain: bool = False) -> int:
    """Write the table with its header; returns the rows. A text that a spreadsheet would run as a formula is quoted
    with an apostrophe, unless the table is `plain` for a program."""
    out = csv.writer(file, lineterminator="\n")
    out.writerow(COLUMNS)
    count = 0
    for row in rows(calls):
        out.writerow(row if plain else [safe(cell) for cell in row])
        count += 1
    return count


def safe(cell: Cell) -> Cell:
    """A cell that no spreadsheet runs.

    >>> safe("=1+1"), safe("gpt-5"), safe(-3)
    ("'=1+1", 'gpt-5', -3)
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def write_parquet(calls: Iterable[Call], path: Path) -> int:
    """Write a Parquet file, whole or not at all; returns the rows. Raises BadConfig without the extra `lake`."""
    try:
        import duckdb
    except ImportError as error:
        raise BadConfig(
            "Parquet cannot be written without DuckDB", remedy="Install it with `pip install 'baseload[lake]'`."
        ) from error
    staged, half = path.with_name(f"{path.name}.csv.half"), path.with_name(f"{path.name}.half")
    types = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items()) + "}"
    try:
        with staged.open("w", encoding="utf-8", newline="") as file:
            count = write_csv(calls, file, plain=True)
        with duckdb.connect() as connection:
            into = str(half).replace("'", "''")
            connection.execute(_COPY.format(types=types, into=into), [str(staged)])
        half.replace(path)
    finally:
        staged.unlink(missing_ok=True)
        half.unlink(missing_ok=True)
    return count
