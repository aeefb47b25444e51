"""OpenAI's usage and cost exports: pages of the organization API as JSON, and the dashboard's CSV files. Pure.

Both give sums over buckets of time, so they become statements. Of a usage line `input_tokens` includes the cached ones.
A cost is in USD with as many digits as the file has; a credit is negative. An empty day is a row with blank cells.
(/v1/organization/usage/completions and /v1/organization/costs; a dashboard export of 2025-10. Read 2026-11.)
"""

from __future__ import annotations

from collections.abc import Iterator

from baseload.imports.entry import Asked, Format, Item, Skipped, each_of
from baseload.imports.fields import Row, count, hidden, mapping, moment, money, name, needed, rows
from baseload.load.statements import Kind, Statement
from baseload.usage import leaves

PROVIDER = "openai"
_USD = frozenset({"", "usd"})
_TOKENS = ("input_tokens", "output_tokens", "num_model_requests")


def _read(row: Row, asked: Asked) -> Iterator[Item]:
    if "results" in row:
        found = rows(row["results"])
        yield from each_of(found, lambda each: _line(row, each, asked))
        if not found:
            yield Skipped("a bucket without a line")
        return
    yield _line(row, row, asked)


def _line(bucket: Row, line: Row, asked: Asked) -> Item:
    """One line, of whichever kind it is."""
    start_ns = moment(bucket.get("start_time") or bucket.get("start_time_iso"), "start_time", asked.zone)
    end_ns = moment(bucket.get("end_time") or bucket.get("end_time_iso"), "end_time", asked.zone)
    if end_ns <= start_ns:
        raise ValueError("end_time is not after start_time")
    if "amount" in line or "amount_value" in line:
        return _cost(line, start_ns, end_ns)
    if all(line.get(each) in (None, "") for each in _TOKENS):
        return Skipped("a bucket without a line")
    return _usage(line, start_ns, end_ns)


def _cost(line: Row, start_ns: int, end_ns: int) -> Item:
    amount = mapping(line.get("amount"))
    value = line.get("amount_value") if "amount_value" in line else amount.get("value")
    currency = name(line.get("amount_currency") if "amount_value" in line else amount.get("currency"), "currency")
    usd = money(value, "amount")
    if usd is None:
        return Skipped("a bucket without a line")
    if currency.lower() not in _USD:
        raise ValueError(f"the amount is in {currency}, and only USD can be summed")
    item = name(line.get("line_item"), "line_item")
    return Statement(
        source="openai-costs",
        provider=PROVIDER,
        kind=Kind.COST,
        start_ns=start_ns,
        end_ns=end_ns,
        model=model_of(item),
        item=item,
        project=name(line.get("project_id"), "project_id"),
        processing="batch" if "batch" in item.lower() else "",
        usd=usd,
    )


def model_of(item: str) -> str:
    """The model of a cost line, as far as it names one.

    >>> model_of("gpt-4o-2024-08-06, cached input"), model_of("Web search tool calls")
    ('gpt-4o-2024-08-06', '')
    """
    first = item.partition(",")[0].strip()
    return first if first and " " not in first else ""


def _usage(line: Row, start_ns: int, end_ns: int) -> Statement:
    batch = name(str(line.get("batch")) if isinstance(line.get("batch"), bool) else line.get("batch"), "batch")
    tier = name(line.get("service_tier"), "service_tier")
    return Statement(
        source="openai-usage",
        provider=PROVIDER,
        kind=Kind.USAGE,
        start_ns=start_ns,
        end_ns=end_ns,
        model=needed(line.get("model") or "all models", "model"),
        project=name(line.get("project_id"), "project_id"),
        key=hidden(line.get("api_key_id"), "api_key_id"),
        user=name(line.get("user_id"), "user_id"),
        processing="batch" if batch.lower() in ("true", "t", "1") else tier if tier != "default" else "",
        requests=count(line.get("num_model_requests"), "num_model_requests"),
        usage=leaves(
            prompt=count(line.get("input_tokens"), "input_tokens"),
            completion=count(line.get("output_tokens"), "output_tokens"),
            cache_read=count(line.get("input_cached_tokens"), "input_cached_tokens"),
        ),
    )


FORMAT = Format(
    name="openai",
    title="OpenAI's usage or cost export",
    read=_read,
    into=("data",),
    columns=(frozenset({"start_time", "start_time_iso"}), frozenset({"end_time", "end_time_iso"})),
    unit="statements",
)
