"""A Grafana dashboard and Prometheus rules over the gateway's metrics. Pure: documents out.

Every expression names metrics of `gateway/metrics.py` alone; a test reads them out again and looks.
"""

from __future__ import annotations

from typing import Any

RATE = "$__rate_interval"
_WHERE = '{bucket=~"$bucket",model=~"$model"}'
_BUCKET = '{bucket=~"$bucket"}'
Target = tuple[str, str]
"""An expression and its legend."""


def _per_second(metric: str, by: str, where: str = _WHERE, times: str = "") -> tuple[Target, ...]:
    return ((f"{times}sum by ({by}) (rate({metric}{where}[{RATE}]))", f"{{{{{by}}}}}"),)


def _quantiles(metric: str, where: str = "", quantiles: tuple[float, ...] = (0.5, 0.95)) -> tuple[Target, ...]:
    inner = f"sum by (le) (rate({metric}_bucket{where}[{RATE}]))"
    return tuple((f"histogram_quantile({each}, {inner})", f"p{int(each * 100)}") for each in quantiles)


# Title, unit, and what is drawn.
PANELS: tuple[tuple[str, str, tuple[Target, ...]], ...] = (
    ("Requests a second by outcome", "reqps", _per_second("baseload_requests_total", "outcome")),
    ("USD an hour by upstream", "currencyUSD", _per_second("baseload_cost_usd_total", "upstream", times="3600 * ")),
    ("Tokens a second by kind", "short", _per_second("baseload_tokens_total", "type")),
    (
        "USD of the last day by model",
        "currencyUSD",
        ((f"sum by (model) (increase(baseload_cost_usd_total{_WHERE}[1d]))", "{{model}}"),),
    ),
    ("Overflow by reason", "reqps", _per_second("baseload_overflow_requests_total", "reason", "")),
    ("Own pools: share of slots in use", "percentunit", (("baseload_upstream_utilization_ratio", "{{upstream}}"),)),
    ("In flight by upstream", "short", (("baseload_upstream_inflight_requests", "{{upstream}}"),)),
    ("Time to the first token", "s", _quantiles("baseload_time_to_first_token_seconds", _BUCKET)),
    ("Duration of a request", "s", _quantiles("baseload_request_duration_seconds", _BUCKET)),
    ("The gateway's own time", "s", _quantiles("baseload_gateway_overhead_seconds")),
    ("Requests without a price", "reqps", _per_second("baseload_unpriced_requests_total", "model")),
    ("Left out for failing", "short", (("baseload_breaker_state", "{{upstream}}"),)),
    ("Bytes not in the ledger yet", "bytes", (("baseload_ledger_behind_bytes", "behind"),)),
)

_FIRST_BYTE = "sum by (le, bucket, upstream) (rate(baseload_time_to_first_token_seconds_bucket[5m]))"
RULES = (
    ("baseload:requests:rate5m", "sum by (bucket, model, upstream, outcome) (rate(baseload_requests_total[5m]))"),
    ("baseload:tokens:rate5m", "sum by (bucket, model, upstream, type) (rate(baseload_tokens_total[5m]))"),
    ("baseload:cost_usd:rate1h", "sum by (bucket, model, upstream, source) (rate(baseload_cost_usd_total[1h]))"),
    (
        "baseload:overflow:ratio5m",
        "sum(rate(baseload_overflow_requests_total[5m])) / sum(rate(baseload_requests_total[5m]))",
    ),
    (
        "baseload:time_to_first_token_seconds:p95_5m",
        f"histogram_quantile(0.95, {_FIRST_BYTE})",
    ),
)
ALERTS = (
    (
        "BaseloadUnpricedRequests",
        "sum by (model) (increase(baseload_unpriced_requests_total[15m])) > 0",
        "0m",
        "Calls of {{ $labels.model }} have no price: what they cost is in no sum.",
    ),
    (
        "BaseloadOverflowSustained",
        "sum(rate(baseload_overflow_requests_total[15m])) / sum(rate(baseload_requests_total[15m])) > 0.2",
        "30m",
        "More than a fifth of the calls could not be served by the own pool for half an hour.",
    ),
    (
        "BaseloadPriceCatalogStale",
        "baseload_price_catalog_age_seconds > 90 * 86400",
        "1h",
        "The oldest price book in use is more than 90 days old.",
    ),
    (
        "BaseloadReloadFailed",
        "baseload_config_last_reload_successful == 0",
        "5m",
        "The last reload was refused: the configuration before it is in force.",
    ),
    (
        "BaseloadLedgerBehind",
        "baseload_ledger_behind_bytes > 100e6",
        "10m",
        "Calls wait in the spools: the store cannot be written.",
    ),
    (
        "BaseloadCallsLost",
        "increase(baseload_ledger_lost_bytes_total[1h]) > 0 or increase(baseload_unwritten_requests_total[1h]) > 0",
        "0m",
        "Calls could not be written down, or were removed before they were counted.",
    ),
    (
        "BaseloadBreakerOpen",
        "baseload_breaker_state == 1",
        "10m",
        "{{ $labels.upstream }} has been left out for failing for ten minutes.",
    ),
)
_WIDTH, _HEIGHT = 12, 8


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it; the source of data, bucket and model are chosen on it."""
    return {
        "uid": "baseload",
        "title": "Baseload",
        "tags": ["baseload", "llm"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), _variable("bucket"), _variable("model")]},
        "panels": [_panel(place, *panel) for place, panel in enumerate(PANELS)],
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(label: str) -> dict[str, Any]:
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": f"label_values(baseload_requests_total, {label})",
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
    }


def _panel(place: int, title: str, unit: str, targets: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": place + 1,
        "title": title,
        "type": "timeseries",
        "datasource": source,
        "gridPos": {"x": place % 2 * _WIDTH, "y": place // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": source}
            for number, (expression, legend) in enumerate(targets)
        ],
    }


def rules() -> dict[str, Any]:
    """Recording rules and alerts, as a rule file of Prometheus holds them."""
    recorded = [{"record": name, "expr": expression} for name, expression in RULES]
    alerts = [
        {"alert": name, "expr": expression, "for": held, "annotations": {"summary": summary}}
        for name, expression, held, summary in ALERTS
    ]
    return {"groups": [{"name": "baseload", "rules": recorded}, {"name": "baseload-alerts", "rules": alerts}]}


def expressions() -> tuple[str, ...]:
    """Every expression of both documents."""
    shown = [expression for _, _, targets in PANELS for expression, _ in targets]
    return (*shown, *(expression for _, expression in RULES), *(expression for _, expression, _, _ in ALERTS))
