"""Reading an answer that nobody can be trusted to have written well."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.usage import Usage
from baseload.wire.answer import MAX_TOKENS, Answered, complaint, read_answer, usage_in
from baseload.wire.sse import Relay


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


# As providers write it; the comment in wire/answer.py beside each field says where that is documented.
FIELD_SHAPES = {
    "DeepSeek": (
        '{"prompt_tokens":100,"completion_tokens":9,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}',
        Usage(input_tokens=36, cache_read_tokens=64, output_tokens=9),
    ),
    "Moonshot": (
        '{"prompt_tokens":100,"completion_tokens":9,"total_tokens":109,"cached_tokens":60}',
        Usage(input_tokens=40, cache_read_tokens=60, output_tokens=9),
    ),
    "vLLM": (
        '{"prompt_tokens":100,"total_tokens":109,"completion_tokens":9,"prompt_tokens_details":null}',
        Usage(input_tokens=100, output_tokens=9),
    ),
    "OpenRouter": (
        (
            '{"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":0},"cost":0.95,"prompt_tokens":194,'
            '"prompt_tokens_details":{"cached_tokens":10,"cache_write_tokens":100,"audio_tokens":0},"total_tokens":196}'
        ),
        Usage(input_tokens=84, cache_read_tokens=10, cache_write_tokens=100, output_tokens=2),
    ),
    "LiteLLM": (
        (
            '{"prompt_tokens":200,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":50,'
            '"cache_creation_tokens":120,"cache_creation_token_details":{"ephemeral_5m_input_tokens":100,'
            '"ephemeral_1h_input_tokens":20}},"cache_creation_input_tokens":120,"cache_read_input_tokens":50}'
        ),
        Usage(input_tokens=30, cache_read_tokens=50, cache_write_tokens=100, cache_write_1h_tokens=20, output_tokens=9),
    ),
    "LiteLLM, older": (
        '{"prompt_tokens":200,"completion_tokens":9,"cache_creation_input_tokens":120,"cache_read_input_tokens":50}',
        Usage(input_tokens=30, cache_read_tokens=50, cache_write_tokens=120, output_tokens=9),
    ),
    "xAI": (
        (
            '{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":'
            '{"reasoning_tokens":94}}'
        ),
        Usage(input_tokens=32, output_tokens=9, reasoning_tokens=94),
    ),
}


@pytest.mark.parametrize(("usage", "expected"), FIELD_SHAPES.values(), ids=FIELD_SHAPES.keys())
def test_usage_as_it_is_written_in_the_field(usage: str, expected: Usage) -> None:
    assert usage_in(usage.encode()) == expected
    relay = Relay(hide_usage=True)
    relay.feed(b'data: {"choices":[],"usage":' + usage.encode() + b"}\n\n")
    assert relay.usage == expected


def test_groq_reports_in_a_place_of_its_own() -> None:
    relay = Relay(hide_usage=True)
    chunk = b'data: {"choices":[{"delta":{}}],"x_groq":{"id":"req","usage":{"prompt_tokens":23,"completion_tokens":1}}}'
    assert relay.feed(chunk + b"\n\n") == chunk + b"\n\n"
    assert relay.usage == Usage(input_tokens=23, output_tokens=1)


@pytest.mark.parametrize(
    ("cost", "usd"),
    [
        ("0.95", Decimal("0.95")),
        ("0.1000000000000000055", Decimal("0.1000000000000000055")),
        ("1.2e-05", Decimal("0.000012")),
        ("0", Decimal(0)),
        ("-1", None),
        ("1e9", None),
        ('"1"', None),
        ("null", None),
        ("1e-999999999", None),
        ("999999999999", None),
        ('{"total_cost":1}', None),
        ('{"currency":"EUR","total_cost":1}', None),
        ('{"currency":"USD"}', None),
        ('{"currency":"USD","total_cost":{}}', None),
        ('{"currency":"USD","total_cost":0.25}', Decimal("0.25")),
    ],
)
def test_what_the_provider_says_it_charges(cost: str, usd: Decimal | None) -> None:
    usage = f'{{"prompt_tokens":1,"completion_tokens":2,"cost":{cost}}}'
    answered = read_answer(f'{{"choices":[],"usage":{usage}}}'.encode())
    assert answered is not None
    assert answered.provider_usd == usd
    relay = Relay(hide_usage=True)
    relay.feed(f'data: {{"choices":[],"usage":{usage}}}\n\n'.encode())
    assert relay.provider_usd == usd


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
    assert read_answer(answer) == Answered(Usage(input_tokens=1, output_tokens=2), 0)


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
        ('[{"text":"12345678","index":0},{"text":"1234","index":1}]', 3),
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


_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_creation_input_tokens")
_NUMBERS = st.integers(-5, 2 * MAX_TOKENS) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
_VALUES = st.recursive(
    st.none() | _NUMBERS | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from((*_COUNTS, "reasoning_tokens")), inner, max_size=4),
    max_leaves=6,
)
_USAGES = st.dictionaries(
    st.sampled_from((*_COUNTS, "prompt_tokens_details", "completion_tokens_details")), _VALUES, max_size=6
)


@given(_USAGES)
def test_a_count_that_cannot_be_read_changes_no_other(usage: dict[str, object]) -> None:
    plain = json.dumps(usage).encode()
    beside = b'{"x":1e999' + (b"," if usage else b"") + plain[1:]
    assert usage_in(beside) == usage_in(plain)


_COUNT = st.integers(0, 60) | st.none()


@given(st.integers(-1, 50), st.integers(0, 50), _COUNT, _COUNT, _COUNT, _COUNT)
def test_a_plain_usage_is_read_as_any_other(
    read: int, written: int, total: int | None, cached: int | None, beside: int | None, thought: int | None
) -> None:
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total, "cached_tokens": beside}
    usage["prompt_tokens_details"] = {"cached_tokens": cached} if cached is not None else None
    usage["completion_tokens_details"] = {"reasoning_tokens": thought} if thought is not None else None
    plain = {name: value for name, value in usage.items() if value is not None}
    odd = plain | {"cache_nothing": 0}  # which takes the closer look
    assert usage_in(json.dumps(plain).encode()) == usage_in(json.dumps(odd).encode())
