"""The shape in which an OpenAI-compatible endpoint says no. Pure."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """A message that ends in what to do next, a type, the parameter at fault, a code to test for."""

    message: str
    type: str
    param: str | None
    code: str | None


class _Envelope(msgspec.Struct, frozen=True):
    error: Problem


def problem(message: str, *, code: str, kind: str = "invalid_request_error", param: str | None = None) -> bytes:
    """The JSON body of an error answer.

    >>> problem("Say which model.", code="missing", param="model")
    b'{"error":{"message":"Say which model.","type":"invalid_request_error","param":"model","code":"missing"}}'
    """
    return msgspec.json.encode(_Envelope(Problem(message=message, type=kind, param=param, code=code)))
