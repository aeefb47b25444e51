"""A trace: when requests came and how long they were. Pure: lines in, rows and complaints out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from baseload.clock import to_ns
from baseload.errors import BadInput
from baseload.units import NANOSECONDS_PER_SECOND

HEADER = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
# A count beyond this is a broken row, not a long prompt: no model reads ten million tokens.
MOST_TOKENS = 10_000_000
# Nobody sent a prompt to a model outside these years: such a time is a broken one.
FIRST_YEAR, LAST_YEAR = 1970, 2200


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a trace: nanoseconds after the first one, tokens in its prompt, tokens it was answered with."""

    after_ns: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A line that is no request: its number in the file (from 1) and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in time order, when the first one came, and the lines that could not be read."""

    started: datetime
    arrivals: tuple[Arrival, ...]
    broken: tuple[BrokenRow, ...]

    @property
    def seconds(self) -> float:
        """From the first arrival to the last."""
        return self.arrivals[-1].after_ns / NANOSECONDS_PER_SECOND


def parse_trace(lines: Iterable[str], *, origin: str) -> Trace:
    """Read the Azure columns `TIMESTAMP,ContextTokens,GeneratedTokens` (UTC, up to seven decimals).

    A broken line is kept as a complaint and does not stop the others. Raises BadInput when the header is another one or
    no line is a request; `origin` names the file in it.
    """
    numbered = enumerate(lines, start=1)
    _, header = next(numbered, (0, ""))
    if tuple(name.strip() for name in header.lstrip("\ufeff").split(",")) != HEADER:
        raise BadInput(
            f"{origin} starts with {header.strip()[:80]!r}, not with {','.join(HEADER)}",
            remedy="Give a trace with these three columns.",
        )
    rows: list[tuple[int, int, int]] = []
    broken: list[BrokenRow] = []
    for number, line in numbered:
        if not line.strip():
            continue
        try:
            rows.append(_row(line))
        except ValueError as error:
            broken.append(BrokenRow(number, str(error)))
    if not rows:
        first = f"; line {broken[0].line}: {broken[0].reason}" if broken else ""
        raise BadInput(f"{origin} holds no request{first}", remedy="Give a trace with at least one readable row.")
    rows.sort(key=lambda row: row[0])
    start = rows[0][0]
    arrivals = tuple(Arrival(at - start, tokens_in, tokens_out) for at, tokens_in, tokens_out in rows)
    return Trace(datetime.fromtimestamp(start // NANOSECONDS_PER_SECOND, UTC), arrivals, tuple(broken))


def _row(line: str) -> tuple[int, int, int]:
    """Nanoseconds since the epoch, tokens in, tokens out. Raises ValueError saying what is wrong with the line."""
    fields = line.strip().split(",")
    if len(fields) != len(HEADER):
        raise ValueError(f"{len(fields)} fields instead of {len(HEADER)}")
    row = _timestamp(fields[0]), _count(fields[1], "ContextTokens"), _count(fields[2], "GeneratedTokens")
    if row[2] == 0:
        raise ValueError("GeneratedTokens is 0: a request that asks for nothing")
    return row


def _timestamp(text: str) -> int:
    whole, _, fraction = text.strip().partition(".")
    if fraction and not (fraction.isascii() and fraction.isdigit() and len(fraction) <= 9):
        raise ValueError(f"TIMESTAMP {text!r} is no time")
    try:
        seconds = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"TIMESTAMP {text!r} is no time") from error
    if not FIRST_YEAR <= seconds.year <= LAST_YEAR:
        raise ValueError(f"TIMESTAMP {text!r} is not between the years {FIRST_YEAR} and {LAST_YEAR}")
    return to_ns(seconds) + int(fraction.ljust(9, "0") if fraction else 0)


def _count(text: str, column: str) -> int:
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit()):
        raise ValueError(f"{column} {stripped[:40]!r} is no count")
    if int(stripped) > MOST_TOKENS:
        raise ValueError(f"{column} {stripped[:40]} is beyond {MOST_TOKENS}")
    return int(stripped)
