"""Public traces: when requests came and how long they were. Azure's, BurstGPT's, Mooncake's. Pure.

They are told by their columns. No trace says what anything cost, nor when an answer ended: `--model` names the offer
that prices it, `--start` when one with relative times began. (Azure: TIMESTAMP,ContextTokens,GeneratedTokens. BurstGPT:
Timestamp in seconds, Model, Request tokens, Response tokens. Mooncake: JSON lines with timestamp in milliseconds,
input_length, output_length.)
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from baseload.imports.entry import Asked, Entry, Format, Item
from baseload.imports.fields import Row, count, decimal, moment, name, shown
from baseload.load.calls import Status
from baseload.load.trace import MOST_TOKENS
from baseload.usage import Usage

_MILLISECOND = Decimal("0.001")
_SECOND = Decimal(1)


def _read(row: Row, asked: Asked) -> Iterator[Item]:
    if "TIMESTAMP" in row:
        at_ns = moment(row["TIMESTAMP"], "TIMESTAMP", asked.zone)
        yield _entry(row, asked, at_ns, moment(row["TIMESTAMP"], "TIMESTAMP"), "ContextTokens", "GeneratedTokens")
    elif "Timestamp" in row:
        at_ns = _after(row["Timestamp"], "Timestamp", _SECOND, asked)
        yield _entry(row, asked, at_ns, at_ns, "Request tokens", "Response tokens", name(row.get("Model"), "Model"))
    else:
        at_ns = _after(row.get("timestamp"), "timestamp", _MILLISECOND, asked)
        yield _entry(row, asked, at_ns, at_ns, "input_length", "output_length")


def _after(value: object, what: str, unit: Decimal, asked: Asked) -> int:
    """A time since the start of the trace, on the clock of the start that was given."""
    if asked.start_ns is None:
        raise ValueError(f"{what} counts from the trace's start: say when that was with --start")
    since = decimal(value, what, Decimal(10) ** 12)
    if since is None or since < 0:
        raise ValueError(f"{what} is {shown(value)}, no time since the start")
    return asked.start_ns + int((since * unit).scaleb(9))


def _entry(row: Row, asked: Asked, at_ns: int, stamp_ns: int, read: str, wrote: str, model: str = "") -> Entry:
    tokens_in, tokens_out = count(row.get(read), read, MOST_TOKENS), count(row.get(wrote), wrote, MOST_TOKENS)
    return Entry(
        id="",
        at_ns=at_ns,
        stamp_ns=stamp_ns,
        ended_ns=at_ns,
        model=asked.model or model or "unknown",
        usage=Usage(input_tokens=tokens_in, output_tokens=tokens_out),
        # BurstGPT writes a request that failed with no answer at all.
        status=Status.OK if tokens_out else Status.FAILED,
    )


FORMAT = Format(
    name="trace",
    title="a trace of Azure, BurstGPT or Mooncake",
    read=_read,
    columns=(
        frozenset({"TIMESTAMP", "Timestamp", "timestamp"}),
        frozenset({"ContextTokens", "Request tokens", "input_length"}),
    ),
)
