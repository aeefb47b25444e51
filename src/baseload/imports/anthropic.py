"""Anthropic's usage and cost reports: pages of the Admin API as JSON, and CSV with the same names. Pure.

Sums over buckets of time, so they become statements. `uncached_input_tokens`, cache reads and cache writes do not
overlap. Amounts are decimal strings in cents. The cost report leaves priority capacity out.
(/v1/organizations/usage_report/messages and /v1/organizations/cost_report; read 2026-11.)
"""

from __future__ import annotations

from baseload.imports.buckets import EMPTY, bucketed, dollars
from baseload.imports.entry import Format, Item
from baseload.imports.fields import Row, count, hidden, mapping, name
from baseload.load.statements import Kind, Statement
from baseload.usage import Usage

PROVIDER = "anthropic"
_CENTS = 100
_PLACE = ("inference_geo", "speed")
"""By what else a report may be grouped; both are empty where it was not."""


def _line(line: Row, start_ns: int, end_ns: int) -> Item:
    return _cost(line, start_ns, end_ns) if "amount" in line else _usage(line, start_ns, end_ns)


def _cost(line: Row, start_ns: int, end_ns: int) -> Item:
    usd = dollars(line.get("amount"), line.get("currency"), _CENTS)
    if usd is None:
        return EMPTY
    told = ("description", "cost_type", "token_type", "context_window", *_PLACE)
    words = [name(line.get(each), each) for each in told]
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
        usd=usd,
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
        user=name(line.get("account_id") or line.get("service_account_id"), "account_id"),
        processing=_processing(line),
        item=", ".join(told for each in ("context_window", *_PLACE) if (told := name(line.get(each), each))),
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
    read=bucketed(("starting_at",), ("ending_at",), _line),
    into=("data",),
    columns=(frozenset({"starting_at"}), frozenset({"ending_at"})),
    unit="statements",
)
