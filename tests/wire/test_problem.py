"""A refusal in the shape that the asking client's own library understands."""

import anthropic
import msgspec
import pytest

from baseload.wire.passage import Dialect
from baseload.wire.problem import anthropic_problem, problem_in


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_anthropics_type_follows_from_the_status(status: int, kind: str) -> None:
    said = msgspec.json.decode(anthropic_problem(status, "Why."))
    assert said == {"type": "error", "error": {"type": kind, "message": "Why."}}
    if status != 413:  # documented, and absent from the library's types
        anthropic.types.ErrorResponse.model_validate(said)


@pytest.mark.parametrize(("status", "kind"), [(404, "invalid_request_error"), (503, "server_error")])
def test_openais_type_follows_too_and_can_be_said(status: int, kind: str) -> None:
    found = msgspec.json.decode(problem_in(Dialect.OPENAI, status, "Why.", code="word", param="model"))
    assert found == {"error": {"message": "Why.", "type": kind, "param": "model", "code": "word"}}
    assert b'"rate_limit_error"' in problem_in(Dialect.OPENAI, 429, "Why.", code="word", kind="rate_limit_error")
