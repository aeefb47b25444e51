"""The shapes in which an endpoint says no: OpenAI's and Anthropic's. Pure."""

from __future__ import annotations

import msgspec

from baseload.wire.passage import Dialect


class Problem(msgspec.Struct, frozen=True):
    """A message that ends in what to do next, a type, the parameter at fault, a code to test for."""

    message: str
    type: str
    param: str | None
    code: str | None


class _Envelope(msgspec.Struct, frozen=True):
    error: Problem


class _Said(msgspec.Struct, frozen=True):
    type: str
    message: str


class _Answer(msgspec.Struct, frozen=True):
    type: str
    error: _Said


# Anthropic, "Errors" (docs.anthropic.com/en/api/errors, read 2026-11): a type by status.
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_CLIENTS_FAULT = range(400, 500)


def problem(message: str, *, code: str, kind: str = "invalid_request_error", param: str | None = None) -> bytes:
    """The JSON body of an error answer in OpenAI's shape.

    >>> problem("Say which model.", code="missing", param="model")
    b'{"error":{"message":"Say which model.","type":"invalid_request_error","param":"model","code":"missing"}}'
    """
    return msgspec.json.encode(_Envelope(Problem(message=message, type=kind, param=param, code=code)))


def anthropic_problem(status: int, message: str) -> bytes:
    """The JSON body of an error answer in Anthropic's shape, whose type follows from the status.

    >>> anthropic_problem(404, "No such model.")
    b'{"type":"error","error":{"type":"not_found_error","message":"No such model."}}'
    """
    other = "invalid_request_error" if status in _CLIENTS_FAULT else "api_error"
    return msgspec.json.encode(_Answer("error", _Said(_TYPES.get(status, other), message)))


def problem_in(
    dialect: Dialect, status: int, message: str, *, code: str, kind: str = "", param: str | None = None
) -> bytes:
    """The JSON body of an error answer in the dialect that asked."""
    if dialect is Dialect.ANTHROPIC:
        return anthropic_problem(status, message)
    kind = kind or ("invalid_request_error" if status in _CLIENTS_FAULT else "server_error")
    return problem(message, code=code, kind=kind, param=param)
