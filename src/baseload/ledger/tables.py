"""The tables of the hot store, in SQLite and in PostgreSQL. Acts only through those who use them.

One row per call and one per attempt, every leaf of Usage in a column of its own, money in integer nano-dollars, times
in integer nanoseconds since the epoch. `document` is the whole Call, so that a replay reads exactly what was metered.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

from baseload.usage import Usage

# Raise it with every change of the tables below; a store of a newer version is refused, not guessed at.
SCHEMA_VERSION = 3

# Ordered by their bytes everywhere, whatever the language of the database is.
_NAME = Text().with_variant(Text(collation="C"), "postgresql")
# A table of SQLite counts its rows by itself only under a plain integer.
_COUNTED = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

schema = Table("ledger_schema", metadata, Column("version", BigInteger, primary_key=True, autoincrement=False))

# Positions mean something in one store alone; what was sealed elsewhere says by this whose they are.
identity = Table("ledger_identity", metadata, Column("name", Text, primary_key=True))

calls = Table(
    "calls",
    metadata,
    # The order of recording: calls of a replayed trace arrive, by their own clock, in any year.
    Column("position", _COUNTED, primary_key=True),
    Column("id", _NAME, nullable=False, unique=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger, nullable=False),
    Column("run", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("skipped", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("calls_by_time", "at_ns", "id"),
    Index("calls_by_run", "run", "at_ns", "id"),
)

# The names of Usage's fields, which are the names of its columns.
LEAVES = Usage.__struct_fields__

attempts = Table(
    "attempts",
    metadata,
    Column("call_id", _NAME, ForeignKey("calls.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("route", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("own", BigInteger, nullable=False),
    Column("book", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("first_byte_ns", BigInteger),
    Column("ended_ns", BigInteger, nullable=False),
    Column("http_status", BigInteger),
    Column("status", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    *(Column(leaf, BigInteger, nullable=False) for leaf in LEAVES),
    Column("cost_nanousd", BigInteger),
    Column("provider_nanousd", BigInteger),
    Column("error", Text, nullable=False),
    Column("service_tier", Text, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)
