"""What is written to stderr, as text or as JSON lines: by level, with a line for each call at `info`. Acts (stderr).

Prompts, answers and keys are never among it: a call holds none of them, and nothing else of a request is logged.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from baseload.clock import seconds_between
from baseload.load.calls import Call
from baseload.settings import Log
from baseload.units import usd

access = logging.getLogger("baseload.access")

_TEXT = "%(levelname)s %(name)s: %(message)s"
_FIELDS = "fields"


class JsonLines(logging.Formatter):
    """One JSON object on one line for each event."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event: dict[str, object] = {
            "time": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        event |= getattr(record, _FIELDS, {})
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(event, enc_hook=repr).decode()


def write_logs(log: Log) -> None:
    """Write what happens from now on in this way. May be called again with another."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log.format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=log.level.upper(), handlers=[handler], force=True)


def tell_access(calls: Iterable[Call]) -> None:
    """One line for each call, at level info."""
    if access.isEnabledFor(logging.INFO):
        for call in calls:
            fields = line_of(call)
            access.info(" ".join(f"{name}={value}" for name, value in fields.items()), extra={_FIELDS: fields})


def line_of(call: Call) -> dict[str, object]:
    """What the access log says of a call; empty things are left out."""
    last = call.served or (call.attempts[-1] if call.attempts else None)
    nanos = call.cost_nanousd
    fields: dict[str, object] = {
        "call": call.id,
        "request_id": call.facts.request_id or call.id,
        "status": call.status.value,
        "http_status": last.http_status if last is not None else None,
        "operation": call.facts.operation.value,
        "asked": call.facts.model,
        "bucket": call.facts.bucket.value,
        "upstream": last.upstream if last is not None else "",
        "model": last.model if last is not None else "",
        "route": last.route if last is not None else "",
        "attempts": len(call.attempts),
        "input_tokens": call.usage.prompt_tokens,
        "output_tokens": call.usage.completion_tokens,
        "cost_usd": f"{usd(nanos):f}" if nanos is not None else "unknown",
        "seconds": round(seconds_between(call.facts.at_ns, call.ended_ns), 3),
        "policy": call.decision.policy,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}
