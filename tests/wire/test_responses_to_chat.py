"""A request for a response as a chat, and a chat's answer as a response: what comes along, what is named, what not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from baseload.usage import Usage
from baseload.wire import responses
from baseload.wire.body import BadBody
from baseload.wire.chat_to_messages import Passage as ChatToMessages
from baseload.wire.responses_to_chat import Passage


def passage(given: object = "hi", **more: object) -> Passage:
    body = {"model": "auto", "input": given, "store": False, **more}
    return Passage(responses.read(json.dumps(body).encode()))


def chat(given: object = "hi", **more: object) -> dict[str, Any]:
    """The chat that goes upstream, less its model."""
    document: dict[str, Any] = json.loads(passage(given, **more).body("other"))
    assert document.pop("model") == "other"
    return document


USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "7"}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
SEEN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}}

TURNS: dict[str, tuple[object, list[object]]] = {
    "a text": ("hi", [USER]),
    "an easy message": ([USER], [USER]),
    "a message of one text": (
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        [USER],
    ),
    "texts and a picture": (
        [{"role": "user", "content": [{"type": "input_text", "text": "hi"}, PICTURE]}],
        [{"role": "user", "content": [{"type": "text", "text": "hi"}, SEEN]}],
    ),
    "a file and audio": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "file_data": "data:x", "filename": "a.pdf"},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                ],
            }
        ],
    ),
    "a developer is the system": (
        [{"role": "developer", "content": "be brief"}, {"role": "system", "content": "be kind"}, USER],
        [{"role": "system", "content": "be brief\n\nbe kind"}, USER],
    ),
    "an answer, what it called, what came back": (
        [
            USER,
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "let me see", "annotations": []}],
            },
            CALL,
            {**CALL, "call_id": "call_2"},
            OUTPUT,
            {**OUTPUT, "call_id": "call_2", "output": [{"type": "input_text", "text": "8"}, PICTURE]},
            {"role": "user", "content": "so?"},
        ],
        [
            USER,
            {"role": "assistant", "content": "let me see", "tool_calls": [CALLED, {**CALLED, "id": "call_2"}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "7"},
            {"role": "tool", "tool_call_id": "call_2", "content": "8"},
            {"role": "user", "content": [SEEN]},
            {"role": "user", "content": "so?"},
        ],
    ),
    "a call without a word, a word after it": (
        [USER, CALL, {"role": "assistant", "content": "done"}, OUTPUT],
        [
            USER,
            {"role": "assistant", "content": "done", "tool_calls": [CALLED]},
            {"role": "tool", "tool_call_id": "call_1", "content": "7"},
        ],
    ),
    "a refusal": (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [{"role": "assistant", "content": "no"}],
    ),
}


@pytest.mark.parametrize(("given", "messages"), TURNS.values(), ids=TURNS.keys())
def test_what_was_said_comes_along(given: object, messages: list[object]) -> None:
    assert chat(given) == {"messages": messages}


FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
NESTED = {"type": "function", "function": {key: value for key, value in FUNCTION.items() if key != "type"}}
OTHER = {"type": "function", "name": "g", "parameters": None, "strict": None}
SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"max_output_tokens": 9}, {"max_completion_tokens": 9}),
        ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"metadata": {"team": "a"}, "user": "u"}, {"metadata": {"team": "a"}, "user": "u"}),
        ({"temperature": None}, {}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": SCHEMA}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {key: value for key, value in SCHEMA.items() if key != "type"},
                }
            },
        ),
        ({"tools": [FUNCTION]}, {"tools": [NESTED]}),
        ({"tools": [OTHER]}, {"tools": [{"type": "function", "function": {"name": "g"}}]}),
        ({"tools": [FUNCTION], "tool_choice": "required"}, {"tools": [NESTED], "tool_choice": "required"}),
        ({"tool_choice": "auto", "tools": []}, {}),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}},
            {"tools": [NESTED], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            {
                "tools": [OTHER, FUNCTION],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", "name": "f"}],
                },
            },
            {"tools": [NESTED], "tool_choice": "required"},
        ),
    ],
)
def test_what_is_asked_comes_along(more: dict[str, object], expected: dict[str, object]) -> None:
    assert chat(**more) == {"messages": [USER], **expected}
    assert passage(**more).dropped == ()


def test_instructions_come_first() -> None:
    assert chat(instructions="be brief")["messages"] == [{"role": "system", "content": "be brief"}, USER]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [FUNCTION, {"type": "custom", "name": "c"}]}, "tools[1].type"),
        ({"tools": [FUNCTION], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "file_search"}}, "tool_choice.type"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}},
            "tool_choice.tools",
        ),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [USER, {"type": "web_search_call", "id": "x"}]}, "input[1].type"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].type"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0]",
        ),
        ({"input": [{**CALL, "call_id": None}]}, "input[0]"),
        ({"input": [{**CALL, "arguments": {}}]}, "input[0]"),
        ({"input": [{**OUTPUT, "call_id": ""}]}, "input[0].call_id"),
        ({"input": [{**OUTPUT, "output": {}}]}, "input[0].output"),
    ],
)
def test_what_must_not_be_lost_is_refused(more: dict[str, object], param: str) -> None:
    with pytest.raises(BadBody) as caught:
        passage(**{"given": more.get("input", "hi"), **{k: v for k, v in more.items() if k != "input"}})
    assert caught.value.param == param
    assert caught.value.remedy.endswith(".")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"store": True}, "store"),
        ({"store": None}, "store"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary"),
        ({"tools": [{**FUNCTION, "defer_loading": True}]}, "tools.defer_loading"),
        ({"given": [{"type": "reasoning", "id": "rs_1", "summary": []}, USER]}, "input.reasoning"),
        ({"given": [{**USER, "phase": "commentary"}]}, "input.phase"),
        ({"some_day": 1}, "some_day"),
    ],
)
def test_what_is_harmless_is_dropped_and_named(more: dict[str, Any], named: str) -> None:
    assert [name.partition(":")[0] for name in passage(**more).dropped] == [named]


COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-abc",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "reasoning_content": "hm",
                "content": "let me see",
                "tool_calls": [CALLED, {**CALLED, "id": None}],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 20},
    },
}


def whole(completion: dict[str, Any], **more: object) -> Response:
    made = passage(**more)
    answer = json.dumps(completion).encode()
    assert made.read(answer) is not None
    return Response.model_validate_json(made.whole(answer), strict=True)


def test_a_whole_answer() -> None:
    found = whole(COMPLETION, instructions="be brief", tools=[FUNCTION], temperature=0.5)
    assert (found.id, found.created_at, found.model, found.status) == ("resp_abc", 1_700_000_000, "m", "completed")
    assert (found.instructions, found.temperature, found.tools[0].type) == ("be brief", 0.5, "function")
    assert found.output_text == "let me see"
    kinds = [(item.type, item.id, item.status) for item in found.output]  # type: ignore[union-attr]
    assert kinds == [
        ("reasoning", "rs_abc_0", "completed"),
        ("message", "msg_abc_1", "completed"),
        ("function_call", "fc_abc_2", "completed"),
        ("function_call", "fc_abc_3", "completed"),
    ]
    calls = [(item.call_id, item.name, item.arguments) for item in found.output if item.type == "function_call"]
    assert calls == [("call_1", "f", '{"a":1}'), ("call_abc_3", "f", '{"a":1}')]
    assert found.output[0].content[0].text == "hm"  # type: ignore[union-attr, index]
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (100, 30, 130)
    assert found.usage.input_tokens_details.cached_tokens == 60
    assert found.usage.output_tokens_details.reasoning_tokens == 20


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        (None, "completed", None),
    ],
)
def test_why_an_answer_ended(reason: str | None, status: str, why: str | None) -> None:
    choice = {"index": 0, "finish_reason": reason, "message": {"content": "x"}}
    found = whole({**COMPLETION, "choices": [choice], "usage": None})
    assert (found.status, found.output[0].status) == (status, status)  # type: ignore[union-attr]
    assert (found.incomplete_details.reason if found.incomplete_details else None) == why
    assert found.usage is None


@pytest.mark.parametrize(("tier", "said"), [("flex", "flex"), (None, None), (7, None)])
def test_the_tier_that_served_is_told(tier: object, said: str | None) -> None:
    assert whole({**COMPLETION, "service_tier": tier}).service_tier == said


def test_a_refusal_of_the_model_is_a_part_of_its_own() -> None:
    choice = {"finish_reason": "stop", "message": {"content": None, "refusal": "no"}}
    assert whole({**COMPLETION, "choices": [choice]}).output[0].content[0].refusal == "no"  # type: ignore[union-attr, index]


def test_a_refusal_of_the_upstream_stays_as_it_is() -> None:
    assert passage().refusal(400, b'{"error":{"message":"no"}}') == b'{"error":{"message":"no"}}'
    assert passage().read(b'{"error":{"message":"no"}}') is None


@pytest.mark.parametrize(
    "choices", [[], {}, [7], [{"message": None}], [{"message": {"content": "x", "tool_calls": [{"function": 7}]}}]]
)
def test_an_answer_of_which_something_would_be_lost_is_none(choices: object) -> None:
    assert passage().read(json.dumps({**COMPLETION, "choices": choices}).encode()) is None


def test_over_a_chat_to_an_anthropic_upstream() -> None:
    body = {"model": "auto", "input": [USER, CALL, OUTPUT], "instructions": "be brief", "tools": [FUNCTION]}
    asked = responses.read(json.dumps({**body, "metadata": {"team": "a"}, "max_output_tokens": 9}).encode())
    made = Passage(asked, ChatToMessages)
    sent = json.loads(made.body("claude-sonnet-4-5"))
    assert made.path == "/messages"
    assert [name.partition(":")[0] for name in made.dropped] == ["store", "metadata"]
    assert (sent["model"], sent["max_tokens"], sent["tools"][0]["name"]) == ("claude-sonnet-4-5", 9, "f")
    answer = json.dumps(
        {
            "id": "msg_abc",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [{"type": "text", "text": "seven"}],
            "stop_reason": "max_tokens",
            "usage": {"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 9},
        }
    ).encode()
    found = made.read(answer)
    assert found is not None
    assert found.usage == Usage(input_tokens=40, cache_read_tokens=60, output_tokens=9)
    response = Response.model_validate_json(made.whole(answer), strict=True)
    assert (response.output_text, response.status) == ("seven", "incomplete")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.input_tokens_details.cached_tokens) == (100, 60)
    refused = json.loads(made.refusal(400, b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}'))
    assert refused["error"]["message"] == "no"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "choices", "message", "content", "tool_calls", "function", "arguments", "text"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["id", "created", "model", "choices", "usage"]), anything))
def test_an_answer_of_any_shape_makes_a_response(answer: dict[str, object]) -> None:
    Response.model_validate_json(passage().whole(json.dumps(answer).encode()))


@given(st.dictionaries(st.sampled_from(["input", "tools", "text", "reasoning", "tool_choice", "include"]), anything))
def test_a_request_of_any_shape_is_carried_or_refused(body: dict[str, object]) -> None:
    with contextlib.suppress(BadBody):
        made = Passage(responses.read(json.dumps({"model": "auto", **body}).encode()))
        assert json.loads(made.body("other"))["messages"]
