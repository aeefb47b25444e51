"""What a provider quotes of a prompt is not kept."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.wire.quoting import GONE, LEAST_QUOTE, MOST_BYTES, unquoted

PROMPT = 'My "secret" is 4111-1111-1111-1111,\nkeep it für dich.'


def body(**more: object) -> bytes:
    return msgspec.json.encode({"model": "gpt-5-mini-2026", "messages": [{"role": "user", "content": PROMPT}], **more})


@pytest.mark.parametrize(
    ("complaint", "kept"),
    [
        ("", ""),
        ("too many tokens", "too many tokens"),
        (f"cannot read: {PROMPT}", f"cannot read: {GONE}"),
        (f"'{PROMPT[:30]}' ... '{PROMPT[35:]}'", f"'{GONE}' ... '{GONE}'"),
        ("no model gpt-5-mini-2026 here", "no model gpt-5-mini-2026 here"),
        ("Unknown parameter: 'response_format'", "Unknown parameter: 'response_format'"),
    ],
)
def test_quotations_go_and_the_rest_stays(complaint, kept):
    assert unquoted(complaint, body(response_format={"type": "json_schema"})) == kept


def test_a_request_that_is_not_compared_takes_the_complaint_with_it():
    assert PROMPT not in unquoted(PROMPT, body(pad="x" * MOST_BYTES))
    assert unquoted(PROMPT, b"not JSON " + PROMPT.encode()) == GONE


TEXT = st.text(alphabet='ab cé\n"\\', max_size=40)


@given(TEXT, st.lists(TEXT, max_size=3), TEXT)
def test_no_stretch_of_a_prompt_is_left(before, prompts, after):
    sent = msgspec.json.encode({"messages": [{"content": prompt} for prompt in prompts]})
    for prompt in prompts:
        left = unquoted(before + prompt + after, sent)
        for at in range(len(left) - LEAST_QUOTE + 1):
            assert not any(left[at : at + LEAST_QUOTE] in said for said in prompts)


@given(TEXT)
def test_a_complaint_of_its_own_words_stays_as_it_is(complaint):
    assert unquoted(complaint, msgspec.json.encode({"messages": [{"content": "0123456789" * 9}]})) == complaint
