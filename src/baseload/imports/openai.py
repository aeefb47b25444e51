"""OpenAI's usage and cost exports: pages of the organization API as JSON, and the dashboard's CSV files. Pure.

Both give sums over buckets of time, so they become statements. Of a usage line `input_tokens` includes the cached ones.
A cost is in USD with as many digits as the file has; a credit is negative. An empty day is a row with blank cells.
(/v1/organization/usage/completions and /v1/organization/costs; a dashboard export of 2025-10. Read 2026-11.)
"""

from __future__ import annotations

from baseload.imports.buckets import EMPTY, bucketed, dollars
from baseload.imports.entry import Format, Item
from baseload.imports.fields import Row, count, hidden, mapping, name, needed
from baseload.load.statements import Kind, Statement
from baseload.usage import leaves

PROVIDER = "openai"
_TOKENS = ("input_tokens", "output_tokens", "num_model_requests")


def _line(line: Row, start_ns: int, end_ns: int) -> Item:
    """One line, of whichever kind it is."""
    if "amount" in line or "amount_value" in line:
        return _cost(line, start_ns, end_ns)
    if all(line.get(each) in (None, "") for each in _TOKENS):
        return EMPTY
    return _usage(line, start_ns, end_ns)


def _cost(line: Row, start_ns: int, end_ns: int) -> Item:
    amount = mapping(line.get("amount"))
    flat = "amount_value" in line
    usd = dollars(
        line.get("amount_value") if flat else amount.get("value"),
        line.get("amount_currency") if flat else amount.get("currency"),
    )
    if usd is None:
        return EMPTY
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
        key=hidden(line.get("api_key_id"), "api_key_id"),
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
    read=bucketed(("start_time", "start_time_iso"), ("end_time", "end_time_iso"), _line),
    into=("data",),
    columns=(frozenset({"start_time", "start_time_iso"}), frozenset({"end_time", "end_time_iso"})),
    unit="statements",
)
