"""What a monitor may scrape: counters of calls, kept where they are drained, and gauges of this moment. No I/O.

Counting happens in the process that drains the spools, so it costs a request nothing and a killed worker loses no
count. Everything is an integer until it is printed, so `baseload_cost_usd_total` is exact. Labels hold names of the
configuration alone, never a key, a user, a tag or an id.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Literal, NamedTuple

from baseload.load.calls import Attempt, Call, Evidence, Status
from baseload.policy.decide import FULL, LATE, UNHEALTHY
from baseload.units import NANO_PER_USD, NANOSECONDS_PER_SECOND

PLAIN = b"text/plain; version=0.0.4; charset=utf-8"
OPEN = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
OVER = "other"
MOST_SERIES = 2_000
"""Label sets of one metric; what comes after them is counted under `other`, so that no mistake fills a monitor."""

Kind = Literal["counter", "gauge", "histogram", "info"]


class Family(NamedTuple):
    """One metric. `name` is the family's; a counter is printed with `_total`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def printed(self) -> str:
        """The name that a query asks for."""
        return self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


_ROUTE = ("route", "bucket", "upstream", "model")
REQUESTS = Family(
    "baseload_requests",
    "counter",
    "Calls by the attempt whose answer the client got, else the last one.",
    (*_ROUTE, "outcome"),
)
TOKENS = Family(
    "baseload_tokens", "counter", "Tokens of every attempt, in leaves that never overlap.", (*_ROUTE, "type")
)
COST = Family(
    "baseload_cost_usd",
    "counter",
    "What every attempt cost in USD: as `computed` from a price book, as the `provider` said itself, `amortized` over "
    "the hours of an own pool.",
    (*_ROUTE, "source"),
)
UNPRICED = Family(
    "baseload_unpriced_requests", "counter", "Calls with an attempt that consumed tokens and has no price.", _ROUTE
)
OVERFLOW = Family(
    "baseload_overflow_requests",
    "counter",
    "Calls an own pool could have served and another route did: the pool was `full`, `unhealthy`, `late` or `failed`.",
    ("reason",),
)
DURATION = Family(
    "baseload_request_duration_seconds",
    "histogram",
    "From the request to the end of its answer.",
    ("bucket", "upstream"),
)
FIRST_TOKEN = Family(
    "baseload_time_to_first_token_seconds",
    "histogram",
    "From the request to the first byte of a streamed answer.",
    ("bucket", "upstream"),
)
OVERHEAD = Family(
    "baseload_gateway_overhead_seconds", "histogram", "The part of a call's time that no attempt at an upstream took."
)
IN_FLIGHT = Family("baseload_upstream_inflight_requests", "gauge", "Requests at an upstream now.", ("upstream",))
UTILIZATION = Family(
    "baseload_upstream_utilization_ratio",
    "gauge",
    "Requests at an own pool now, of those it has slots for.",
    ("upstream",),
)
BREAKER = Family(
    "baseload_breaker_state", "gauge", "1 while an upstream is left out for failing, else 0.", ("upstream",)
)
UNWRITTEN = Family(
    "baseload_unwritten_requests",
    "counter",
    "Calls that could not be written down when they ended: their answers were withheld, and they are tried again.",
)
BEHIND = Family("baseload_ledger_behind_bytes", "gauge", "Bytes in the spools that are not in the ledger yet.")
LOST = Family(
    "baseload_ledger_lost_bytes", "counter", "Bytes that were removed from the spools before they were drained."
)
CONFLICTS = Family("baseload_ledger_conflicts", "counter", "Calls that came again under one id with other content.")
WORKERS = Family("baseload_workers", "gauge", "Worker processes that answer.")
RESTARTS = Family("baseload_worker_restarts", "counter", "Worker processes that died and were started again.")
CATALOG_AGE = Family("baseload_price_catalog_age_seconds", "gauge", "Since the day of the oldest book price in use.")
RELOADED = Family("baseload_config_last_reload_successful", "gauge", "0 when the last reload was refused, else 1.")
RELOADED_AT = Family(
    "baseload_config_last_reload_success_timestamp_seconds",
    "gauge",
    "When the configuration in force was put in force.",
)
BUILD = Family("baseload_build", "info", "The version that runs.", ("version",))

BUDGET_LIMIT = Family("baseload_budget_limit_usd", "gauge", "The cap of a budget in USD.", ("budget",))
BUDGET_SPENT = Family(
    "baseload_budget_spent_usd", "gauge", "What calls have cost in the budget's present window.", ("budget",)
)
BUDGET_RESERVED = Family(
    "baseload_budget_reserved_usd", "gauge", "What calls under way may yet cost at the most.", ("budget",)
)
BUDGET_USED = Family(
    "baseload_budget_used_ratio", "gauge", "The part of a cap that is spent, whatever its unit.", ("budget",)
)

FAMILIES = (
    REQUESTS,
    TOKENS,
    COST,
    UNPRICED,
    OVERFLOW,
    DURATION,
    FIRST_TOKEN,
    OVERHEAD,
    IN_FLIGHT,
    UTILIZATION,
    BREAKER,
    UNWRITTEN,
    BEHIND,
    LOST,
    CONFLICTS,
    WORKERS,
    RESTARTS,
    CATALOG_AGE,
    RELOADED,
    RELOADED_AT,
    BUDGET_LIMIT,
    BUDGET_SPENT,
    BUDGET_RESERVED,
    BUDGET_USED,
    BUILD,
)

# Upper bounds in nanoseconds. The first are those that OpenTelemetry gives for the duration of a model's operation.
_LONG = tuple(int(0.01 * 2**step * NANOSECONDS_PER_SECOND) for step in range(14))
_SHORT = tuple(int(micros * 1_000) for micros in (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000))

_TYPES = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "reasoning": "reasoning_tokens",
}

Labels = tuple[str, ...]
Samples = Mapping[Family, Mapping[Labels, float]]


class _Histogram:
    """How many values fell under each bound, and their sum, in whole nanoseconds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0

    def add(self, nanos: int) -> None:
        self.counts[bisect_left(self.bounds, nanos)] += 1
        self.sum += nanos


class Metrics:
    """Counts calls; `text` prints the counts with the samples of a moment. Both from any thread."""

    def __init__(self, own_routes: Iterable[str] = ()) -> None:
        self.own_routes = frozenset(own_routes)
        self._lock = Lock()
        self._counts: dict[Family, Counter[Labels]] = {
            family: Counter() for family in (REQUESTS, TOKENS, COST, UNPRICED, OVERFLOW)
        }
        self._histograms: dict[Family, dict[Labels, _Histogram]] = {
            DURATION: {},
            FIRST_TOKEN: {},
            OVERHEAD: {(): _Histogram(_SHORT)},
        }

    def tell(self, calls: Iterable[Call]) -> None:
        """Count some calls."""
        with self._lock:
            for call in calls:
                self._count(call)

    def text(self, samples: Samples, *, open_metrics: bool = False) -> bytes:
        """Everything there is to scrape."""
        with self._lock:
            lines = [line for family in FAMILIES for line in self._family(family, samples, open_metrics=open_metrics)]
        return "\n".join([*lines, *(["# EOF"] if open_metrics else []), ""]).encode()

    # Counting.

    def _count(self, call: Call) -> None:
        last = call.served or (call.attempts[-1] if call.attempts else None)
        bucket = call.facts.bucket.value
        where = _where(last, bucket) if last is not None else ("", bucket, "", "")
        self._add(REQUESTS, (*where, call.status.value))
        for attempt in call.attempts:
            if attempt.evidence is not Evidence.NONE:
                self._count_usage(attempt, _where(attempt, bucket))
        if call.cost_nanousd is None:
            self._add(UNPRICED, where)
        reason = overflow(call, self.own_routes)
        if reason:
            self._add(OVERFLOW, (reason,))
        self._observe(call, last, bucket)

    def _count_usage(self, attempt: Attempt, where: Labels) -> None:
        usage = attempt.usage
        for kind, leaf in _TYPES.items():
            self._add(TOKENS, (*where, kind), getattr(usage, leaf))
        # Writes that are kept for an hour have a price of their own, and are cache writes all the same.
        self._add(TOKENS, (*where, "cache_write"), usage.cache_write_tokens + usage.cache_write_1h_tokens)
        if attempt.provider_nanousd is not None:
            self._add(COST, (*where, "provider"), attempt.provider_nanousd)
        if attempt.cost_nanousd is not None:
            own = attempt.route in self.own_routes
            self._add(COST, (*where, "amortized" if own else "computed"), attempt.cost_nanousd)

    def _observe(self, call: Call, last: Attempt | None, bucket: str) -> None:
        began = call.facts.at_ns
        taken = sum(attempt.ended_ns - attempt.started_ns for attempt in call.attempts)
        self._histogram(OVERHEAD, (), _SHORT).add(max(0, call.ended_ns - began - taken))
        if last is None:
            return
        labels = (bucket, last.upstream)
        self._histogram(DURATION, labels, _LONG).add(max(0, call.ended_ns - began))
        if call.facts.stream and last.first_byte_ns is not None and last.status is not Status.REFUSED:
            self._histogram(FIRST_TOKEN, labels, _LONG).add(max(0, last.first_byte_ns - began))

    def _add(self, family: Family, labels: Labels, count: int = 1) -> None:
        if count:
            counts = self._counts[family]
            if labels not in counts and len(counts) >= MOST_SERIES:
                labels = (OVER,) * len(labels)
            counts[labels] += count

    def _histogram(self, family: Family, labels: Labels, bounds: Sequence[int]) -> _Histogram:
        found = self._histograms[family]
        if labels not in found and len(found) >= MOST_SERIES:
            labels = (OVER,) * len(labels)
        return found.setdefault(labels, _Histogram(bounds))

    # Printing.

    def _family(self, family: Family, samples: Samples, *, open_metrics: bool) -> Iterator[str]:
        values = self._counts.get(family) or samples.get(family) or {}
        histograms = self._histograms.get(family, {})
        # A counter of nothing yet is zero, and not unknown; with labels, nobody knows which.
        if not values and not histograms and (family.labels or family.kind != "counter"):
            return
        name, kind = (family.name, family.kind) if open_metrics else (family.printed, family.kind)
        if family.kind == "info" and not open_metrics:
            kind = "gauge"
        yield f"# HELP {name} {_text(family.help)}"
        yield f"# TYPE {name} {kind}"
        for labels, histogram in sorted(histograms.items()):
            yield from _printed_histogram(family, labels, histogram)
        if not histograms:
            for labels, value in sorted((values or {(): 0}).items()):
                yield f"{family.printed}{_labels(family.labels, labels)} {_number(family, value)}"


def overflow(call: Call, own_routes: frozenset[str]) -> str:
    """Why a call that an own pool could have served was served elsewhere; empty when it was not so."""
    served = call.served
    if served is None or served.route in own_routes:
        return ""
    for attempt in call.attempts[:-1]:
        if attempt.route in own_routes:
            return "failed"
    for skip in call.decision.skipped:
        if skip.route in own_routes:
            for beginning, reason in _OVERFLOWS.items():
                if skip.reason.startswith(beginning):
                    return reason
    # Chosen first, not tried: its last slot was taken in between.
    return "full" if any(choice.route in own_routes for choice in call.decision.routes) else ""


_OVERFLOWS = {FULL: "full", UNHEALTHY: "unhealthy", LATE: "late"}


def wants_open_metrics(accept: bytes) -> bool:
    """Whether a scraper would rather have OpenMetrics.

    >>> wants_open_metrics(b"application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    True
    >>> wants_open_metrics(b"text/plain;version=0.0.4")
    False
    """
    return b"application/openmetrics-text" in accept.lower()


def _where(attempt: Attempt, bucket: str) -> Labels:
    return attempt.route, bucket, attempt.upstream, attempt.model


def _printed_histogram(family: Family, labels: Labels, histogram: _Histogram) -> Iterator[str]:
    total = 0
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        total += count
        limit = "+Inf" if bound is None else f"{bound / NANOSECONDS_PER_SECOND:g}"
        yield f"{family.name}_bucket{_labels((*family.labels, 'le'), (*labels, limit))} {total}"
    shown = _labels(family.labels, labels)
    yield f"{family.name}_sum{shown} {_decimal(histogram.sum, NANOSECONDS_PER_SECOND)}"
    yield f"{family.name}_count{shown} {total}"


def _number(family: Family, value: float) -> str:
    if family in (COST, BUDGET_LIMIT, BUDGET_SPENT, BUDGET_RESERVED):
        return _decimal(int(value), NANO_PER_USD)
    return str(value) if isinstance(value, int) else f"{value:.10g}"


def _decimal(value: int, parts: int) -> str:
    """An exact quotient by a power of ten.

    >>> _decimal(1_500_000_001, 1_000_000_000)
    '1.500000001'
    """
    sign, whole, rest = "-" * (value < 0), *divmod(abs(value), parts)
    return f"{sign}{whole}.{rest:0{len(str(parts)) - 1}d}"


def _labels(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    return (
        "{" + ",".join(f'{name}="{_text(value, quoted=True)}"' for name, value in zip(names, values, strict=True)) + "}"
    )


def _text(value: str, *, quoted: bool = False) -> str:
    value = value.replace("\\", "\\\\").replace("\n", "\\n")
    return value.replace('"', '\\"') if quoted else value
