"""How the gateway says no: each refusal once, in the dialect that asked. Acts (says it).

Every message tells what was asked, what was found and what to do next. Texts of an upstream about our own key or
account never get here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus

import msgspec

from baseload.gateway.answers import identified
from baseload.gateway.endpoints import dialect_of
from baseload.gateway.http import JSON, Exchange, Request
from baseload.gateway.job import Job
from baseload.gateway.request import Headers
from baseload.load.calls import Decision, Skip, Status
from baseload.policy.keys import Forbidden
from baseload.policy.policy import Policy
from baseload.wire.body import BadBody
from baseload.wire.problem import problem_in

_RETRY_SOON = (b"retry-after", b"1")
_NAMED = 50
"""How many names a message lists."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A no. `code` is a word to test for, `kind` OpenAI's type when it does not follow from the status."""

    status: int
    message: str
    code: str
    kind: str = ""
    param: str | None = None
    headers: Headers = ()


async def say(refused: Refused, request: Request, exchange: Exchange) -> None:
    """Answer a request with a refusal."""
    body = problem_in(
        dialect_of(request.path, request.headers),
        refused.status,
        refused.message,
        code=refused.code,
        kind=refused.kind,
        param=refused.param,
    )
    await exchange.respond(refused.status, identified([JSON, *refused.headers], request), body)


def bad_body(error: BadBody) -> Refused:
    """400: the request cannot be understood."""
    return Refused(status=400, message=str(error), code=error.code, param=error.param)


def not_known(message: str) -> Refused:
    """401: nobody is known by the key that was sent, if one was."""
    headers = [(b"www-authenticate", b"Bearer")]
    return Refused(status=401, message=message, code="invalid_api_key", kind="authentication_error", headers=headers)


def not_shown() -> Refused:
    """401: the console is for whoever has an admin key. A browser asks for it."""
    message = (
        "The console can be reached from other machines, so it asks for the admin key, as the password of any user."
    )
    headers = [(b"www-authenticate", b'Basic realm="Baseload console", charset="UTF-8"')]
    return Refused(status=401, message=message, code="no_admin_key", kind="authentication_error", headers=headers)


def forbidden(found: Forbidden) -> Refused:
    """403: the key may not do this; the message says what it may."""
    return Refused(status=403, message=found.message, code=found.code, kind="permission_error", param=found.param)


def unknown_model(model: str, policy: Policy) -> Refused:
    """404: no route and no alias has that name."""
    known = _listed(policy.models) or "none: the policy has no routes"
    message = f"The model `{model}` does not exist here. Ask for one of: {known}."
    return Refused(status=404, message=message, code="model_not_found", param="model")


def unknown_path(path: str, known: Iterable[str]) -> Refused:
    """404: nothing of /v1 is there."""
    message = f"{path} is not served here. Use one of {_listed(known)}."
    return Refused(status=404, message=message, code="unknown_path")


def wrong_method(method: str, path: str, allowed: str) -> Refused:
    """405: the path is there, for another method."""
    message = f"{method} {path} is not possible. Send {allowed}."
    return Refused(status=405, message=message, code="method_not_allowed", headers=[(b"allow", allowed.encode())])


def not_admissible(decision: Decision) -> Refused:
    """400: no route may ever serve this request."""
    message = f"No route may serve this request. {_reasons(decision.skipped)} Ask for less, or add a route that can."
    return Refused(status=400, message=message, code="no_admissible_route")


def not_carried(job: Job) -> Refused:
    """400: routes may serve it, but to no upstream can it be said."""
    for _, error in job.unfit:
        if error is not None:
            return bad_body(error)
    names = _listed(name for name, _ in job.unfit)
    message = f"The upstreams of {names} do not serve {job.facts.operation}, nor anything it can be translated to."
    return Refused(status=400, message=f"{message} Add a route to one that does.", code="no_admissible_route")


def not_kept(name: str) -> Refused:
    """400: what the request builds on was not made here, or not with this key."""
    message = (
        f"Previous response with id '{name}' not found. Build on one that was made through this gateway, with the same "
        "key, in the last 30 days, and stored."
    )
    return Refused(status=400, message=message, code="previous_response_not_found", param="previous_response_id")


def all_failed(job: Job) -> Refused:
    """Every route was tried: 504 when all were too slow, 429 when all asked for patience, 503 when full, else 502."""
    attempts = job.record.attempts
    tried = [f"{each.route}: {each.error}." for each in attempts] + [f"{name}: full by now." for name in job.full]
    tried += [f"{each.route}: {each.reason}." for each in (job.hold.shorts if job.hold is not None else ())]
    if not attempts and job.late:
        message = f"The deadline of {job.facts.deadline_seconds:g} s passed while it waited for a slot."
        return Refused(status=504, message=f"{message} Give it more time, or add capacity.", code="deadline_passed")
    if not attempts:
        reasons = _reasons(job.record.decision.skipped)
        message = f"No route is free at this moment. {reasons} Send the request again, or add capacity."
        return Refused(status=503, message=message, code="no_capacity", headers=[_RETRY_SOON])
    message = f"Every route failed. {' '.join(tried)} Send the request again later, or add a route."
    if all(each.http_status == HTTPStatus.TOO_MANY_REQUESTS for each in attempts):
        headers = [(b"retry-after", job.retry_after)] if job.retry_after else []
        kind = "rate_limit_error"
        return Refused(status=429, message=message, code="rate_limit_exceeded", kind=kind, headers=headers)
    status = 504 if all(each.status is Status.TIMEOUT for each in attempts) else 502
    return Refused(status=status, message=message, code="upstreams_failed")


def not_taken() -> Refused:
    """503: the last call could not be written down, so no more are served until one can."""
    message = (
        "Calls cannot be written to the ledger, so none is served: refused, not lost. Free disk space in data_dir."
    )
    return Refused(status=503, message=message, code="ledger_unavailable", headers=[_RETRY_SOON])


def not_written() -> Refused:
    """503: the answer was there, the ledger was not."""
    message = "The call could not be written to the ledger, so its answer is withheld. Free disk space in data_dir."
    return Refused(status=503, message=message, code="ledger_unavailable", headers=[_RETRY_SOON])


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _reasons(skipped: Sequence[Skip]) -> str:
    named = [skip for skip in skipped if not skip.reason.startswith("the request names")]
    return " ".join(f"{skip.route}: {skip.reason}." for skip in named or skipped)
