"""The lake asked by Spark: the statement that DuckDB is given, translated. Acts (runs Java). Needs the extra `spark`.

For a lake that outgrew one machine. Spark reads the files itself, so each of its workers has to reach them where they
are; `s3://` is `s3a://` there, with whatever Spark is configured for it. A sum beyond 64 bits is an error, not a wrong
figure.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from baseload.errors import BadConfig, BadInput, LedgerUnavailable
from baseload.ledger import wide
from baseload.ledger.ask import Engine, Task, in_process
from baseload.ledger.rollup import MEASURES, NAMES
from baseload.ledger.shelf import Shelf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DUCKDB = "duckdb"
_MASTER = re.compile(r"local(\[(\*|[1-9][0-9]*)\])?|spark://[^/\s]+")
_REACH_SECONDS = 5.0
_TYPES = {"VARCHAR": "string", "BIGINT": "bigint", "BOOLEAN": "boolean"}
_ATTEMPTS = ", ".join(f"{name} {_TYPES[kind]}" for name, kind in wide.COLUMNS.items())
_ROLLED = ", ".join(("at_ns bigint", *(f"{name} string" for name in NAMES), *(f"{name} bigint" for name in MEASURES)))
_SETTINGS = {
    "spark.app.name": "baseload",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "16",  # what is shuffled was summed before
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}


@contextmanager
def engine_of(name: str) -> Iterator[Engine]:
    """The engine of that name while the block runs: `duckdb`, `local[2]`, `spark://host:7077`. Raises BadInput,
    BadConfig, LedgerUnavailable."""
    if name == DUCKDB:
        yield in_process
        return
    if not _MASTER.fullmatch(name):
        raise BadInput(f"no engine is called {name!r}", remedy="Use duckdb, local[2] or spark://host:7077.")
    session = _session(name)
    try:
        yield partial(answer, session)
    finally:
        session.stop()


def answer(session: SparkSession, task: Task, _: Shelf) -> Sequence[Sequence[Any]]:
    """A task, done by Spark, which reads files by itself."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        for name, columns, files in (("attempts", _ATTEMPTS, task.attempts), ("rolled", _ROLLED, task.rolled)):
            if files:
                found = session.read.schema(columns).parquet(*map(_path, files))
                found.createOrReplaceTempView(name)
        if task.times:
            columns = ", ".join(f"{name} {'bigint' if name == 'quarter' else 'string'}" for name in task.times)
            rows = list(zip(*task.times.values(), strict=True))
            session.createDataFrame(rows, columns).createOrReplaceTempView("times")
        return [tuple(row) for row in session.sql(translated(task.sql)).collect()]
    except (PySparkException, Py4JError) as error:
        raise LedgerUnavailable(
            f"Spark cannot answer: {str(error).strip().splitlines()[0]}",
            remedy="See that every worker reaches the files of the lake; baseload ledger verify says what is missing.",
        ) from error


def translated(sql: str) -> str:
    """A statement of DuckDB's in Spark's words."""
    try:
        import sqlglot
    except ImportError as error:
        raise _missing("sqlglot") from error
    return sqlglot.transpile(sql, read="duckdb", write="spark")[0]


def _session(master: str) -> SparkSession:
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise _missing("PySpark") from error
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise BadConfig("Spark needs Java, which is not on the PATH", remedy="Install Java 17 or newer.")
    if master.startswith("spark://"):
        _check_reachable(master)
    builder = SparkSession.builder.master(master)
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except PySparkException as error:
        raise LedgerUnavailable(
            f"Spark does not start: {str(error).strip().splitlines()[0]}", remedy="Its own message stands above."
        ) from error


def _check_reachable(master: str) -> None:
    """Spark itself tries for a minute before it says so."""
    host, _, port = master.removeprefix("spark://").partition(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except (OSError, ValueError) as error:
        raise LedgerUnavailable(
            f"no Spark master answers at {master}: {error}", remedy="Start it, or use --engine duckdb."
        ) from error


def _path(address: str) -> str:
    """A file as it stands: Spark takes what it reads for a pattern, and S3 by another name."""
    found = re.sub(r"([*?\[\]{}\\])", r"\\\1", address)
    return re.sub("^s3://", "s3a://", found) if "://" in found else f"file://{found}"


def _missing(what: str) -> BadConfig:
    return BadConfig(f"this engine needs {what}, which is not installed", remedy="pip install 'baseload[spark]'")
