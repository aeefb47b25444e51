"""OpenRouter's activity: sums by day, model and endpoint, of whole UTC days, as JSON or CSV. Pure.

Completion tokens include the reasoning ones. `usage` is USD out of the credits; `byok_usage_inference` was paid to the
provider itself and is not on OpenRouter's bill. (/api/v1/activity, read 2026-11.)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from msgspec.structs import replace

from baseload.imports.entry import Asked, Format, Item
from baseload.imports.fields import Row, count, moment, money, name, needed, shown
from baseload.load.statements import Kind, Statement
from baseload.usage import Usage, leaves

PROVIDER = "openrouter"


def _read(row: Row, _: Asked) -> Iterator[Item]:
    written = needed(row.get("date"), "date")[:10]
    try:
        end = date.fromisoformat(written) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"date is {shown(written)}, no day") from error
    start_ns, end_ns = moment(written, "date"), moment(end.isoformat(), "date")
    model = needed(row.get("model") or row.get("model_permaslug"), "model")
    used = Statement(
        source="openrouter-activity",
        provider=PROVIDER,
        kind=Kind.USAGE,
        start_ns=start_ns,
        end_ns=end_ns,
        model=model,
        key=name(row.get("endpoint_id"), "endpoint_id"),
        item=name(row.get("provider_name"), "provider_name"),
        requests=count(row.get("requests"), "requests"),
        usage=leaves(
            prompt=count(row.get("prompt_tokens"), "prompt_tokens"),
            completion=count(row.get("completion_tokens"), "completion_tokens"),
            reasoning=count(row.get("reasoning_tokens"), "reasoning_tokens"),
        ),
    )
    usd = money(row.get("usage"), "usage")
    yield used
    if usd is not None:
        yield replace(used, kind=Kind.COST, requests=None, usage=Usage(), usd=usd)


FORMAT = Format(
    name="openrouter",
    title="OpenRouter's activity",
    read=_read,
    into=("data",),
    columns=(frozenset({"date"}), frozenset({"model", "model_permaslug"}), frozenset({"usage"})),
    unit="statements",
)
