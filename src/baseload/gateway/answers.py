"""What a client is told besides the upstream's own answer: our headers, and refusals in OpenAI's shape. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus

import msgspec

from baseload.gateway.http import JSON
from baseload.gateway.meter import Record
from baseload.gateway.request import Headers
from baseload.load.calls import Call, Decision, Skip, Status
from baseload.policy.policy import Policy, Route
from baseload.units import usd
from baseload.wire.body import BadBody
from baseload.wire.problem import problem

UNKNOWN = b"unknown"

_PASSED = frozenset((b"content-type", b"content-encoding", b"cache-control", b"retry-after", b"x-request-id"))
_PASSED_FAMILIES = (b"x-ratelimit-", b"openai-")
_RETRY_SOON = (b"retry-after", b"1")


class Refused(msgspec.Struct, frozen=True):
    """A whole answer that says no."""

    status: int
    headers: Headers
    body: bytes


def passed(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of an upstream's answer that the client gets too."""
    return [field for field in headers if field[0] in _PASSED or field[0].startswith(_PASSED_FAMILIES)]


def served_by(route: Route, decision: Decision) -> list[tuple[bytes, bytes]]:
    """Who answered, and which decision sent it there."""
    return [
        *_who(route.upstream, route.model, route.name),
        (b"x-baseload-decision-id", decision.id.encode()),
        (b"x-baseload-policy", decision.policy.encode()),
    ]


@lru_cache(maxsize=1_024)
def _who(upstream: str, model: str, route: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-baseload-upstream", upstream.encode()),
        (b"x-baseload-model", model.encode()),
        (b"x-baseload-route", route.encode()),
    )


def cost(call: Call) -> tuple[bytes, bytes]:
    """What the call cost with all its attempts, in exact USD; `unknown` when a price is missing."""
    nanos = call.cost_nanousd
    return b"x-baseload-cost-usd", UNKNOWN if nanos is None else f"{usd(nanos):f}".encode()


def bad_body(error: BadBody) -> Refused:
    """400: the request cannot be understood."""
    return Refused(400, [JSON], problem(str(error), code=error.code, param=error.param))


def unknown_model(model: str, policy: Policy) -> Refused:
    """404: no route and no alias has that name."""
    known = ", ".join(policy.models) or "none: the policy has no routes"
    message = f"The model `{model}` does not exist here. Ask for one of: {known}."
    return Refused(404, [JSON], problem(message, code="model_not_found", param="model"))


def not_admissible(decision: Decision) -> Refused:
    """400: no route may ever serve this request."""
    message = f"No route may serve this request. {_reasons(decision.skipped)} Ask for less, or add a route that can."
    return Refused(400, [JSON], problem(message, code="no_admissible_route"))


def all_failed(record: Record, full: Sequence[str], retry_after: bytes) -> Refused:
    """Every route was tried: 504 when all were too slow, 429 when all asked for patience, 503 when full, else 502."""
    attempts = record.attempts
    tried = [f"{each.route}: {each.error}." for each in attempts] + [f"{name}: full by now." for name in full]
    if not attempts:
        reasons = " ".join([*tried, _reasons(record.decision.skipped)])
        message = f"No route is free at this moment. {reasons} Send the request again, or add capacity."
        return Refused(503, [JSON, _RETRY_SOON], problem(message, code="no_capacity", kind="server_error"))
    message = f"Every route failed. {' '.join(tried)} Send the request again later, or add a route."
    if all(each.http_status == HTTPStatus.TOO_MANY_REQUESTS for each in attempts):
        headers = [JSON, (b"retry-after", retry_after)] if retry_after else [JSON]
        return Refused(429, headers, problem(message, code="rate_limit_exceeded", kind="rate_limit_error"))
    status = 504 if all(each.status is Status.TIMEOUT for each in attempts) else 502
    return Refused(status, [JSON], problem(message, code="upstreams_failed", kind="server_error"))


def not_taken() -> Refused:
    """503: the last call could not be written down, so no more are served until one can."""
    message = (
        "Calls cannot be written to the ledger, so none is served: refused, not lost. Free disk space in data_dir."
    )
    return Refused(503, [JSON, _RETRY_SOON], problem(message, code="ledger_unavailable", kind="server_error"))


def not_written() -> Refused:
    """503: the answer was there, the ledger was not."""
    message = "The call could not be written to the ledger, so its answer is withheld. Free disk space in data_dir."
    return Refused(503, [JSON, _RETRY_SOON], problem(message, code="ledger_unavailable", kind="server_error"))


def _reasons(skipped: Sequence[Skip]) -> str:
    named = [skip for skip in skipped if not skip.reason.startswith("the request names")]
    return " ".join(f"{skip.route}: {skip.reason}." for skip in named or skipped)
