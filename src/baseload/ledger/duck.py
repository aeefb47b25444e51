"""DuckDB as the ledger uses it: in memory, nothing loaded that is not in its wheel. Acts. Needs the extra `lake`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from baseload.errors import BadConfig, LedgerUnavailable
from baseload.ledger import wide

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from baseload.ledger.shelf import Shelf

LONGEST_LINE = 1 << 30


@contextmanager
def duck(shelf: Shelf | None = None) -> Iterator[DuckDBPyConnection]:
    """A DuckDB that fetches nothing and reads what stands on a shelf. Raises LedgerUnavailable."""
    try:
        import duckdb
    except ImportError as error:
        raise BadConfig(
            "the lake needs DuckDB, which is not installed", remedy="pip install 'baseload[lake]'"
        ) from error
    with tempfile.TemporaryDirectory(prefix="baseload-lake-") as spill, duckdb.connect() as connection:
        for name in ("autoinstall_known_extensions", "autoload_known_extensions"):
            connection.execute(f"set {name} = false")
        connection.execute(f"set temp_directory = {quoted(spill)}")
        with told():
            if shelf is not None:
                shelf.join(connection)
            yield connection


@contextmanager
def told() -> Iterator[None]:
    """What DuckDB complains of becomes LedgerUnavailable; the connection can be used on."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise LedgerUnavailable(
            f"the lake cannot be used: {str(error).splitlines()[0]}",
            remedy="See what is damaged or missing: baseload ledger verify.",
        ) from error


def staging(path: Path) -> str:
    """A file of lines as a table of DuckDB's, without any guess at types."""
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in wide.COLUMNS.items())
    how = f"format = 'newline_delimited', columns = {{{columns}}}, maximum_object_size = {LONGEST_LINE}"
    return f"read_json({quoted(literal(path))}, {how})"


def parquet(addresses: Sequence[str]) -> str:
    """Files of the lake as a table of DuckDB's."""
    files = ", ".join(quoted(literal(each)) for each in addresses)
    return f"read_parquet([{files}], hive_partitioning = false)"


def literal(path: Path | str) -> str:
    """A path that is read as it stands: DuckDB takes what it reads for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def quoted(path: Path | str) -> str:
    """A text of SQL."""
    return "'" + str(path).replace("'", "''") + "'"
