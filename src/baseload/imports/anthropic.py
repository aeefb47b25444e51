"""Anthropic's usage and cost reports: pages of the Admin API as JSON, and CSV with the same names. Pure.

Sums over buckets of time, so they become statements. `uncached_input_tokens`, cache reads and cache writes do not
overlap. Amounts are decimal strings in cents. The cost report leaves priority capacity out.
(/v1/organizations/usage_report/messages and /v1/organizations/cost_report; read 2026-11.)
"""

from __future__ import annotations

from collections.abc import Iterator

from baseload.imports.entry import Asked, Format, Item, Skipped, each_of
from baseload.imports.fields import Row, count, hidden, mapping, moment, money, name, rows
from baseload.load.statements import Kind, Statement
from baseload.usage import Usage

PROVIDER = "anthropic"
_CENTS = 100


def _read(row: Row, asked: Asked) -> Iterator[Item]:
    if "results" not in row:
        yield _line(row, row, asked)
        return
    found = rows(row["results"])
    yield from each_of(found, lambda each: _line(row, each, asked))
    if not found:
        yield Skipped("a bucket without a line")


def _line(bucket: Row, line: Row, asked: Asked) -> Item:
    start_ns = moment(bucket.get("starting_at"), "starting_at", asked.zone)
    end_ns = moment(bucket.get("ending_at"), "ending_at", asked.zone)
    if end_ns <= start_ns:
        raise ValueError("ending_at is not after starting_at")
    return _cost(line, start_ns, end_ns) if "amount" in line else _usage(line, start_ns, end_ns)


def _cost(line: Row, start_ns: int, end_ns: int) -> Item:
    cents = money(line.get("amount"), "amount")
    currency = name(line.get("currency"), "currency")
    if cents is None:
        return Skipped("a bucket without a line")
    if currency not in ("", "USD"):
        raise ValueError(f"the amount is in {currency}, and only USD can be summed")
    words = [name(line.get(each), each) for each in ("description", "cost_type", "token_type", "context_window")]
    return Statement(
        source="anthropic-costs",
        provider=PROVIDER,
        kind=Kind.COST,
        start_ns=start_ns,
        end_ns=end_ns,
        model=name(line.get("model"), "model"),
        project=name(line.get("workspace_id"), "workspace_id"),
        processing=_processing(line),
        item=", ".join(each for each in words if each),
        usd=cents / _CENTS,
    )


def _processing(line: Row) -> str:
    tier = name(line.get("service_tier"), "service_tier")
    return "" if tier == "standard" else tier


def _usage(line: Row, start_ns: int, end_ns: int) -> Statement:
    written = mapping(line.get("cache_creation"))

    def counted(field: str, held: Row = line) -> int:
        return count(held.get(field), field)

    return Statement(
        source="anthropic-usage",
        provider=PROVIDER,
        kind=Kind.USAGE,
        start_ns=start_ns,
        end_ns=end_ns,
        model=name(line.get("model"), "model"),
        project=name(line.get("workspace_id"), "workspace_id"),
        key=hidden(line.get("api_key_id"), "api_key_id"),
        processing=_processing(line),
        item=name(line.get("context_window"), "context_window"),
        usage=Usage(
            input_tokens=counted("uncached_input_tokens"),
            cache_read_tokens=counted("cache_read_input_tokens"),
            cache_write_tokens=counted("ephemeral_5m_input_tokens", written),
            cache_write_1h_tokens=counted("ephemeral_1h_input_tokens", written),
            output_tokens=counted("output_tokens"),
        ),
    )


FORMAT = Format(
    name="anthropic",
    title="Anthropic's usage or cost report",
    read=_read,
    into=("data",),
    columns=(frozenset({"starting_at"}), frozenset({"ending_at"})),
    unit="statements",
)
