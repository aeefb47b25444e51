"""Leaves never overlap: whatever a provider reports, every token is counted once."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.usage import Usage, leaves

COUNT = st.integers(min_value=0, max_value=10**12)
USAGE = st.builds(
    Usage,
    input_tokens=COUNT,
    cache_read_tokens=COUNT,
    cache_write_tokens=COUNT,
    cache_write_1h_tokens=COUNT,
    output_tokens=COUNT,
    reasoning_tokens=COUNT,
)


def counts(usage: Usage) -> dict[str, int]:
    return {name: getattr(usage, name) for name in Usage.__struct_fields__}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"prompt": 0, "completion": 0}, Usage()),
        ({"prompt": 100, "completion": 20}, Usage(input_tokens=100, output_tokens=20)),
        (
            {"prompt": 100, "completion": 20, "cache_read": 64, "reasoning": 5},
            Usage(input_tokens=36, cache_read_tokens=64, output_tokens=15, reasoning_tokens=5),
        ),
        (
            {"prompt": 100, "completion": 0, "cache_read": 40, "cache_write": 30, "cache_write_1h": 20},
            Usage(input_tokens=10, cache_read_tokens=40, cache_write_tokens=30, cache_write_1h_tokens=20),
        ),
        # Parts larger than their whole, as a confused provider might report them.
        (
            {"prompt": 10, "completion": 3, "cache_read": 64, "reasoning": 5},
            Usage(cache_read_tokens=10, reasoning_tokens=3),
        ),
    ],
)
def test_decomposition(reported, expected):
    assert leaves(**reported) == expected


@given(prompt=COUNT, completion=COUNT, read=COUNT, write=COUNT, hour=COUNT, reasoning=COUNT)
def test_the_leaves_add_up_to_the_wholes(prompt, completion, read, write, hour, reasoning):
    usage = leaves(
        prompt=prompt,
        completion=completion,
        cache_read=read,
        cache_write=write,
        cache_write_1h=hour,
        reasoning=reasoning,
    )
    assert usage.prompt_tokens == prompt
    assert usage.completion_tokens == completion
    assert min(counts(usage).values()) >= 0
    assert sum(counts(usage).values()) == prompt + completion


@given(USAGE, USAGE)
def test_sums_are_by_leaf(one, other):
    assert counts(one + other) == {name: counts(one)[name] + counts(other)[name] for name in counts(one)}


@given(USAGE)
def test_it_survives_json(usage):
    assert msgspec.json.decode(msgspec.json.encode(usage), type=Usage) == usage
