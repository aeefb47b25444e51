"""Spans of calls, sent by OTLP over HTTP to the one endpoint that is configured. Acts (a thread that sends).

Made of what the ledger gets, where it is drained: a request pays nothing for them. Names are those of OpenTelemetry's
semantic conventions for generative AI, v1.41. Needs the extra `otel`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from baseload.clock import seconds_between
from baseload.errors import BadConfig
from baseload.gateway.tracing import sampled, span_id, trace_id
from baseload.load.calls import Attempt, Call, Evidence, Status
from baseload.load.facts import Operation
from baseload.settings import Otel
from baseload.units import NANO_PER_USD
from baseload.usage import Usage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

log = logging.getLogger(__name__)

BATCH = 512
WAITING = 8_192
"""Spans that may wait for an endpoint that is slow or gone; what comes after them is dropped, and counted."""
WAIT_SECONDS = 1.0
SEND_SECONDS = 5.0

OPERATIONS = {
    Operation.COMPLETIONS: "text_completion",
    Operation.EMBEDDINGS: "embeddings",
}
Value = str | int | float | bool | list[str]


class Spans:
    """Takes calls and sends their spans. `dropped` counts spans that could not be sent."""

    def __init__(self, otel: Otel) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise BadConfig(
                "otel is configured, but its libraries are not installed",
                remedy="Install them with `pip install 'baseload[otel]'`, or take `otel` out of the configuration.",
            ) from error
        self.dropped = 0
        self._exporter = OTLPSpanExporter(endpoint=otel.endpoint, headers=otel.headers, timeout=SEND_SECONDS)
        self._resource = Resource({"service.name": otel.service})
        self._waiting: queue.Queue[ReadableSpan | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._send, name="otel-spans", daemon=True)
        self._thread.start()

    def tell(self, calls: Iterable[Call]) -> None:
        """Hand over the spans of some calls; never waits."""
        for call in calls:
            if sampled(call.facts.trace):
                for span in self._spans(call):
                    try:
                        self._waiting.put_nowait(span)
                    except queue.Full:
                        self._dropped(1)

    def close(self) -> None:
        """Send what waits, then end; an endpoint that is gone is not waited for long."""
        try:
            self._waiting.put(None, timeout=WAIT_SECONDS)
        except queue.Full:
            log.warning("spans are left unsent: the endpoint does not take them")
            return
        self._thread.join(SEND_SECONDS + WAIT_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _send(self) -> None:
        """The thread: batch after batch until there is an end to it."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        ended = False
        while not ended:
            batch: list[ReadableSpan] = []
            span = self._waiting.get()
            while span is not None:
                batch.append(span)
                if len(batch) >= BATCH:
                    break
                try:
                    span = self._waiting.get(timeout=WAIT_SECONDS / 4)
                except queue.Empty:
                    break
            else:
                ended = True
            try:
                sent = not batch or self._exporter.export(batch) is SpanExportResult.SUCCESS
            except Exception:  # the edge to a library: whatever it meets, the next batch is tried
                log.exception("spans could not be sent")
                sent = False
            if not sent:
                self._dropped(len(batch))

    def _dropped(self, count: int) -> None:
        if not self.dropped:
            log.warning("spans are dropped: the endpoint does not take them")
        self.dropped += count

    def _spans(self, call: Call) -> Iterator[ReadableSpan]:
        """One of the call, and below it one for each attempt."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
        from opentelemetry.trace.status import Status as SpanStatus
        from opentelemetry.trace.status import StatusCode

        trace = trace_id(call.id, call.facts.trace)

        def context(span: str, *, remote: bool = False) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(trace, 16), int(span, 16), is_remote=remote, trace_flags=flags)

        def made(
            name: str, span: str, above: SpanContext | None, about: dict[str, Value], start: int, end: int, error: str
        ) -> ReadableSpan:
            return ReadableSpan(
                name,
                context=context(span),
                parent=above,
                resource=self._resource,
                attributes=about | ({"error.type": error} if error else {}),
                kind=SpanKind.CLIENT if "baseload.attempt" in about else SpanKind.SERVER,
                status=SpanStatus(StatusCode.ERROR if error else StatusCode.UNSET),
                start_time=start,
                end_time=end,
            )

        client = call.facts.trace.split("-")[1] if call.facts.trace else ""
        root = span_id(call.id)
        operation = OPERATIONS.get(call.facts.operation, "chat")
        above = context(client, remote=True) if client else None
        began, ended = call.facts.at_ns, call.ended_ns
        name = f"{operation} {call.facts.model}"
        yield made(name, root, above, about_call(call, operation), began, ended, error_type(call.status, None))
        for each in call.attempts:
            own = span_id(call.id, each.number)
            about = about_attempt(call, each, operation)
            error = error_type(each.status, each.http_status)
            yield made(f"{operation} {each.model}", own, context(root), about, each.started_ns, each.ended_ns, error)


def about_call(call: Call, operation: str) -> dict[str, Value]:
    """The attributes of a call's span. No prompt, no answer, no key, no tag."""
    served = call.served
    found: dict[str, Value | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": call.facts.model,
        "gen_ai.request.max_tokens": call.facts.output_cap,
        "gen_ai.request.stream": call.facts.stream,
        "gen_ai.provider.name": served.offer.partition("/")[0] if served is not None else None,
        "gen_ai.response.model": served.model if served is not None else None,
        "baseload.call.id": call.id,
        "baseload.request.id": call.facts.request_id or None,
        "baseload.bucket": call.facts.bucket.value,
        "baseload.policy": call.decision.policy,
        "baseload.route": served.route if served is not None else None,
        "baseload.status": call.status.value,
        "baseload.cost_usd": _usd(call.cost_nanousd),
    }
    return _given(found) | _usage(call.usage)


def about_attempt(call: Call, attempt: Attempt, operation: str) -> dict[str, Value]:
    """The attributes of an attempt's span."""
    first = attempt.first_byte_ns
    found: dict[str, Value | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": attempt.offer.partition("/")[0],
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": call.facts.stream,
        "gen_ai.response.time_to_first_chunk": seconds_between(attempt.started_ns, first)
        if first is not None
        else None,
        "http.response.status_code": attempt.http_status,
        "baseload.attempt": attempt.number,
        "baseload.upstream": attempt.upstream,
        "baseload.route": attempt.route,
        "baseload.evidence": attempt.evidence.value,
        "baseload.cost_usd": _usd(attempt.cost_nanousd),
    }
    return _given(found) | (_usage(attempt.usage) if attempt.evidence is not Evidence.NONE else {})


def _usage(usage: Usage) -> dict[str, Value]:
    """Totals, and the parts of them that are not zero."""
    parts = {
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    totals = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }
    return {**totals, **{name: count for name, count in parts.items() if count}}


def _given(found: dict[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in found.items() if value is not None}


def error_type(status: Status, http_status: int | None) -> str:
    """`error.type`: the status of a refusal, else how it ended; nothing when it went well."""
    if status is Status.OK:
        return ""
    return str(http_status) if http_status is not None and http_status >= 400 else status.value


def _usd(nanos: int | None) -> float | None:
    """For a look at a trace: a double, as attributes have nothing finer. The exact sum is in the ledger."""
    return None if nanos is None else nanos / NANO_PER_USD
