"""Langfuse's exports of observations: CSV, JSON, JSON lines, in the names of the API and of the blob export. Pure.

Only observations that ask a model are requests. `usage_details` is a map whose parts do not overlap; where it has only
`input` and `output`, older names are read. Prompts and answers are not read. (observation-field-groups.ts of
langfuse/langfuse, read 2026-11.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from baseload.imports.entry import Asked, Entry, Format, Item, Skipped
from baseload.imports.fields import Row, cost, count, mapping, moment, name, needed, tagged
from baseload.imports.records import decode
from baseload.load.calls import Status
from baseload.load.facts import Operation
from baseload.load.trace import MOST_TOKENS
from baseload.usage import Usage

_ASKS = frozenset({"GENERATION", "EMBEDDING"})
_READ = ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens", "input_cached", "cached_tokens")
_WRITE = ("input_cache_creation", "cache_creation_input_tokens", "input_cache_write", "input_cache_creation_5m")
_WRITE_1H = ("input_cache_creation_1h",)
_THOUGHT = ("output_reasoning", "output_reasoning_tokens", "reasoning_tokens")
_INPUT = ("input", "prompt_tokens", "input_tokens", "promptTokens")
_OUTPUT = ("output", "completion_tokens", "output_tokens", "completionTokens")


def _read(row: Row, asked: Asked) -> Iterator[Item]:
    kind = name(_of(row, "type"), "type").upper()
    if kind not in _ASKS:
        yield Skipped(f"{kind or 'an observation without type'} asks no model")
        return
    written = _of(row, "start_time", "startTime")
    at_ns = moment(written, "start_time", asked.zone)
    end = _of(row, "end_time", "endTime") or written
    ended_ns = moment(end, "end_time", asked.zone)
    if ended_ns < at_ns:
        raise ValueError("end_time is before start_time")
    first = _of(row, "completion_start_time", "completionStartTime")
    model = name(_of(row, "provided_model_name", "model", "internalModelId"), "model")
    yield Entry(
        id=needed(_of(row, "id"), "id"),
        at_ns=at_ns,
        stamp_ns=moment(written, "start_time"),
        ended_ns=ended_ns,
        first_ns=moment(first, "completion_start_time", asked.zone) if first else None,
        model=model or "unknown",
        usage=_usage(row),
        usd=_cost(row),
        status=Status.FAILED if name(_of(row, "level"), "level") == "ERROR" else Status.OK,
        stream=bool(first),
        operation=Operation.EMBEDDINGS if kind == "EMBEDDING" else Operation.CHAT,
        tags=tagged(
            {
                "user": name(_of(row, "user_id", "userId"), "user_id"),
                "session": name(_of(row, "session_id", "sessionId"), "session_id"),
                "environment": name(_of(row, "environment"), "environment"),
                "name": name(_of(row, "name"), "name"),
                "prompt": name(_of(row, "prompt_name", "promptName"), "prompt_name"),
            }
        ),
    )


def _of(row: Row, *names: str) -> object:
    """The first of these fields that is there."""
    return next((row[each] for each in names if row.get(each) not in (None, "")), None)


def _map(row: Row, *names: str) -> Mapping[str, Any]:
    """A field that is an object, or the JSON text of one."""
    value = _of(row, *names)
    if isinstance(value, str):
        try:
            value = decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"{names[0]} is no JSON object") from error
    return mapping(value)


def _usage(row: Row) -> Usage:
    parts = _map(row, "usage_details", "usageDetails", "usage")
    if not parts:
        # The columns of older exports; a row's own `input` and `output` are prompt and answer.
        parts = {each: row[each] for each in ("promptTokens", "completionTokens") if each in row}

    def counted(*names: str) -> int:
        return count(_of(parts, *names), names[0], MOST_TOKENS)

    return Usage(
        input_tokens=counted(*_INPUT),
        cache_read_tokens=counted(*_READ),
        cache_write_tokens=counted(*_WRITE),
        cache_write_1h_tokens=counted(*_WRITE_1H),
        output_tokens=counted(*_OUTPUT),
        reasoning_tokens=counted(*_THOUGHT),
    )


def _cost(row: Row) -> Decimal | None:
    total = _of(row, "total_cost", "totalCost", "calculatedTotalCost")
    if total is None:
        total = _of(_map(row, "cost_details", "costDetails"), "total")
    return cost(total, "total_cost")


FORMAT = Format(
    name="langfuse",
    title="a Langfuse export of observations",
    read=_read,
    into=("data", "observations"),
    columns=(frozenset({"id"}), frozenset({"type"}), frozenset({"start_time", "startTime"})),
)
