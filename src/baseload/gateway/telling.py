"""Who is told of calls as they are drained: metrics, the access log, spans. Acts through them."""

from __future__ import annotations

from collections.abc import Sequence

from baseload.gateway.logs import tell_access
from baseload.gateway.metrics import Metrics
from baseload.gateway.spans import Spans
from baseload.load.calls import Call
from baseload.settings import Otel


class Telling:
    """Tells each of them. Raises BadConfig when spans are wanted and cannot be made."""

    def __init__(self, metrics: Metrics, otel: Otel | None) -> None:
        self._metrics = metrics
        self.last_ns: dict[str, int] = {}  # when each upstream last ended an attempt
        self._spans = Spans(otel) if otel is not None else None

    def __call__(self, calls: Sequence[Call]) -> None:
        self._metrics.tell(calls)
        tell_access(calls)
        for call in calls:
            for attempt in call.attempts:
                self.last_ns[attempt.upstream] = max(attempt.ended_ns, self.last_ns.get(attempt.upstream, 0))
        if self._spans is not None:
            self._spans.tell(calls)

    def close(self) -> None:
        """Let spans that wait be sent."""
        if self._spans is not None:
            self._spans.close()
