"""Reading an answer that nobody can be trusted to have written well."""

from __future__ import annotations

import pytest

from baseload.usage import Usage
from baseload.wire.answer import Answered, complaint, read_answer


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ('{"prompt_tokens":10,"completion_tokens":5}', Usage(input_tokens=10, output_tokens=5)),
        ('{"prompt_tokens":10}', Usage(input_tokens=10)),
        (
            (
                '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},'
                '"completion_tokens_details":{"reasoning_tokens":2}}'
            ),
            Usage(input_tokens=6, cache_read_tokens=4, output_tokens=3, reasoning_tokens=2),
        ),
        (
            (
                '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,'
                '"completion_tokens_details":{"reasoning_tokens":null,"x":1}}'
            ),
            Usage(input_tokens=10, output_tokens=5),
        ),
        ("null", None),
        ("{}", None),
        ('{"prompt_tokens":-1}', None),
        ('{"prompt_tokens":"10"}', None),
        ("7", None),
        ('{"prompt_tokens":100.0,"completion_tokens":20.0}', Usage(input_tokens=100, output_tokens=20)),
        ('{"prompt_tokens":100.5}', None),
        ('{"prompt_tokens":10000000000000000000,"completion_tokens":1}', None),
        ('{"prompt_tokens":1' + "0" * 400 + "}", None),
        ('{"prompt_tokens":1e999}', None),
        ('{"prompt_tokens":10,"completion_tokens":1' + "0" * 400 + "}", Usage(input_tokens=10)),
        (
            '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":-1}}',
            Usage(input_tokens=10, output_tokens=5),
        ),
        (
            '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":[1]}',
            Usage(input_tokens=10, output_tokens=5),
        ),
    ],
)
def test_usage_of_an_answer(usage: str, expected: Usage | None) -> None:
    answered = read_answer(f'{{"id":"x","choices":[],"usage":{usage}}}'.encode())
    assert answered is not None
    assert answered.usage == expected


DEEP = b"[" * 50_000 + b"]" * 50_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'{"error":{"message":"no"}}',
        b'{"choices":null}',
        b'{"x":' + DEEP + b"}",
        b"\xe9",
    ],
)
def test_what_is_no_answer(answer: bytes) -> None:
    assert read_answer(answer) is None


def test_an_answer_without_usage() -> None:
    assert read_answer(b'{"choices":[]}') == Answered(None, 0)


def test_a_byte_that_is_not_utf8_hides_nothing_else() -> None:
    answer = b'{"choices":[{"message":{"content":"caf\xe9 123"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    assert read_answer(answer) == Answered(Usage(input_tokens=1, output_tokens=2), 2)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b'{"error":{"message":"too long","type":"x"}}', "too long"),
        (b'{"error":"plain"}', "plain"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"message":"gone","error":null}', '{"message":"gone","error":null}'),
        (b"Bad gateway\nmore", "Bad gateway"),
        (b"", ""),
        (b'{"error":{"message":"caf\xe9"}}', "caf\ufffd"),
        (b'{"error":{"message":"no"},"x":' + DEEP + b"}", '{"error":{"message":"no"},"x":' + "[" * 170),
    ],
)
def test_what_an_error_says(answer: bytes, says: str) -> None:
    assert complaint(answer) == says


@pytest.mark.parametrize(
    ("choices", "tokens"),
    [
        ('[{"message":{"content":"12345678","reasoning_content":"1234","tool_calls":[1,2]}}]', 5),
        ('[{"message":{"content":"12345678","tool_calls":null}}]', 2),
        ('[{"message":{"content":[{"type":"text","text":"12345678"},{"type":"x"},7]}}]', 2),
        ('[{"message":{"content":7}}]', 0),
        ('[{"message":"12345678"}]', 6),
        ("[]", 0),
    ],
)
def test_the_estimate_of_what_was_written(choices: str, tokens: int) -> None:
    answered = read_answer(f'{{"choices":{choices}}}'.encode())
    assert answered is not None
    assert answered.written_tokens == tokens


@pytest.mark.parametrize(
    ("beside", "tier"),
    [
        ('"usage":{"prompt_tokens":1}', ""),
        ('"usage":{"prompt_tokens":1},"service_tier":null', ""),
        ('"usage":{"prompt_tokens":1},"service_tier":"default"', ""),
        ('"usage":{"prompt_tokens":1},"service_tier":"auto"', ""),
        ('"usage":{"prompt_tokens":1},"service_tier":"on_demand"', ""),
        ('"usage":{"prompt_tokens":1},"service_tier":"flex"', "flex"),
        ('"usage":{"prompt_tokens":1},"service_tier":"Priority"', "priority"),
        ('"usage":{"prompt_tokens":1,"service_tier":"standard"}', ""),
        ('"usage":{"prompt_tokens":1,"service_tier":"batch"}', "batch"),
        ('"usage":{"prompt_tokens":1,"service_tier":"priority"},"service_tier":"default"', "priority"),
        ('"usage":{"prompt_tokens":1,"service_tier":"batch"},"service_tier":"flex"', "flex"),
        ('"service_tier":"scale"', "scale"),
        ('"usage":"\\"service_tier\\""', ""),
        ('"service_tier":7', ""),
        ('"service_tier":["flex"]', ""),
        ('"service_tier":"' + "x" * 5_000 + '"', "x" * 32),
        ('"service_tier":"a\\nb\\u0000c"', "abc"),
    ],
)
def test_the_service_tier_of_an_answer(beside: str, tier: str) -> None:
    answered = read_answer(f'{{"choices":[],{beside}}}'.encode())
    assert answered is not None
    assert answered.service_tier == tier
