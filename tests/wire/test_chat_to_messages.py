"""A chat completion for an Anthropic upstream: what goes there, what may not, and how the answer comes back.

Every answer is parsed by the official client of the dialect that it is in.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from anthropic.types import MessageCreateParams
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from baseload.usage import Usage
from baseload.wire import openai
from baseload.wire.body import BadBody
from baseload.wire.chat_to_messages import DEFAULT_MAX_TOKENS, Passage
from baseload.wire.completion_from_message import Chunks, completion, refusal

OLD, NEW = "claude-haiku-4-5", "claude-opus-4-8"
USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.50}'}}
CLOSED = {"type": "object", "additionalProperties": False}
ANTHROPIC = TypeAdapter(MessageCreateParams)


def passage(**chat: object) -> Passage:
    body: dict[str, object] = {"model": "gpt-x", "messages": [USER], **chat}
    return Passage(openai.read(json.dumps(body).encode()))


def sent(model: str = OLD, **chat: object) -> dict[str, Any]:
    """The request that goes to Anthropic, checked against its client's own types."""
    body = passage(**chat).body(model)
    ANTHROPIC.validate_json(body)
    found: dict[str, Any] = json.loads(body)
    return found


def blocks(*messages: dict[str, object]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(messages=list(messages))["messages"]
    return found


# The request.


def test_a_plain_question() -> None:
    assert sent() == {
        "model": OLD,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "max_tokens": DEFAULT_MAX_TOKENS,
    }


def test_where_it_goes() -> None:
    assert passage().path == "/messages"
    assert passage().headers == ((b"anthropic-version", b"2023-06-01"),)


def test_system_messages_go_to_the_front() -> None:
    made = passage(
        messages=[
            {"role": "system", "content": "One."},
            {
                "role": "developer",
                "content": [{"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}}],
            },
            USER,
            {"role": "system", "content": "Three."},
        ]
    )
    assert json.loads(made.body(OLD))["system"] == [
        {"type": "text", "text": "One."},
        {"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Three."},
    ]
    assert made.dropped == ("messages.role: system messages moved to the front",)


def test_the_results_of_tools_and_what_follows_are_one_turn() -> None:
    second = CALL | {"id": "functions.f:2", "function": {"name": "f", "arguments": ""}}
    assert blocks(
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL, second]},
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        {"role": "tool", "tool_call_id": "functions.f:2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "And?"},
    )[1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"x": 1.5}},
                {"type": "tool_use", "id": "functions_2Ef_3A2", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "one"}]},
                {
                    "type": "tool_result",
                    "tool_use_id": "functions_2Ef_3A2",
                    "content": [{"type": "text", "text": "two"}],
                },
                {"type": "text", "text": "And?"},
            ],
        },
    ]


def test_arguments_go_over_byte_for_byte() -> None:
    body = passage(messages=[USER, {"role": "assistant", "tool_calls": [CALL]}]).body(OLD)
    assert b'"input":{"x": 1.50}' in body


def test_pictures_and_documents() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
    ]
    made = passage(messages=[{"role": "user", "content": parts}])
    assert json.loads(made.body(OLD))["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"},
            "title": "a.pdf",
        },
    ]
    assert made.dropped == ("messages.content.image_url.detail: Anthropic sizes images itself",)


def test_thinking_that_came_from_there_goes_back() -> None:
    thoughts = [
        {"index": 0, "type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"index": 1, "type": "redacted_thinking", "data": "xyz"},
    ]
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "hm", "thinking_blocks": thoughts}
    made = passage(messages=[USER, message])
    assert json.loads(made.body(OLD))["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Hi"},
    ]
    assert made.dropped == ()


def test_thinking_without_its_signature_is_named() -> None:
    made = passage(messages=[USER, {"role": "assistant", "content": "Hi", "reasoning_content": "hm"}])
    assert made.dropped == ("messages.reasoning_content: Anthropic takes thinking back only as signed thinking_blocks",)


@pytest.mark.parametrize(
    ("choice", "parallel", "found"),
    [
        (None, None, None),
        ("auto", None, {"type": "auto"}),
        ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"type": "function", "function": {"name": "f"}},
            False,
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}},
            None,
            {"type": "any"},
        ),
    ],
)
def test_tools(choice: object, parallel: bool | None, found: object) -> None:
    other = {"type": "function", "function": {"name": "g", "strict": True}, "cache_control": {"type": "ephemeral"}}
    made = sent(tools=[TOOL, other], tool_choice=choice, parallel_tool_calls=parallel)
    first = {"name": "f", "description": "Does f.", "input_schema": {"type": "object"}}
    last = {"name": "g", "input_schema": {"type": "object"}, "strict": True, "cache_control": {"type": "ephemeral"}}
    assert made["tools"] == ([first] if isinstance(choice, dict) and "allowed_tools" in choice else [first, last])
    assert made.get("tool_choice") == found


@pytest.mark.parametrize(
    ("chat", "found"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"max_tokens": 6}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stream": True}, {"stream": True}),
        ({"user": "u", "safety_identifier": "s"}, {"metadata": {"user_id": "s"}}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"temperature": 1, "top_p": 1.0, "n": 1, "logprobs": False, "seed": None}, {}),
        ({"top_p": 0.5, "top_k": 3}, {"top_p": 0.5, "top_k": 3}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": CLOSED}}},
            {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
        ),
        ({"modalities": ["text"], "store": False}, {}),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"max_tokens": DEFAULT_MAX_TOKENS + 2000}),
    ],
)
def test_settings(chat: dict[str, object], found: dict[str, object]) -> None:
    made = passage(**chat)
    whole = {"max_tokens": DEFAULT_MAX_TOKENS, **found}
    told = {name: value for name, value in json.loads(made.body(OLD)).items() if name not in ("model", "messages")}
    assert told == whole | ({"thinking": chat["thinking"]} if "thinking" in chat else {})
    assert made.dropped == ()


@pytest.mark.parametrize(
    ("model", "chat", "found"),
    [
        (OLD, {"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (
            OLD,
            {"reasoning_effort": "high", "max_tokens": 5000},
            {"thinking": {"type": "enabled", "budget_tokens": 4999}},
        ),
        (OLD, {"reasoning_effort": "high", "max_tokens": 1024}, {}),
        (OLD, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        (OLD, {"reasoning_effort": "high", "tools": [TOOL], "tool_choice": "required"}, {}),
        (NEW, {"reasoning_effort": "xhigh"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}),
        (NEW, {"reasoning_effort": "minimal"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (
            "claude-opus-4-6",
            {"reasoning_effort": "xhigh"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        (
            NEW,
            {"reasoning_effort": "low", "tools": [TOOL], "tool_choice": "required"},
            {"output_config": {"effort": "low"}},
        ),
        ("glm-5", {"reasoning_effort": "medium"}, {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
    ],
)
def test_how_hard_to_think(model: str, chat: dict[str, object], found: dict[str, object]) -> None:
    made = passage(**chat)
    told = json.loads(made.body(model))
    assert {name: told[name] for name in ("thinking", "output_config") if name in told} == found
    assert told.get("thinking", {}).get("budget_tokens", 0) < told["max_tokens"]
    assert bool(made.dropped) is (not found)


def test_effort_and_schema_stand_side_by_side() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": CLOSED}}
    config = sent(NEW, reasoning_effort="low", response_format=form)["output_config"]
    assert config == {"effort": "low", "format": {"type": "json_schema", "schema": CLOSED}}


def test_the_objects_of_a_schema_are_closed() -> None:
    inner = {"type": ["object", "null"], "properties": {"type": {"enum": [{"type": "object"}]}}}
    schema = {"type": "object", "properties": {"a": inner, "b": {"type": "object", "additionalProperties": {}}}}
    made = passage(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
    assert json.loads(made.body(OLD))["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {
            "a": inner | {"additionalProperties": False},
            "b": {"type": "object", "additionalProperties": {}},
        },
        "additionalProperties": False,
    }
    assert made.dropped == ("response_format: objects take only the properties that they name",)


def test_an_old_model_does_not_think_on_calls_whose_thinking_is_lost() -> None:
    turns = [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    ]
    made = passage(messages=turns, reasoning_effort="low")
    assert "thinking" not in json.loads(made.body(OLD))
    assert made.dropped == ("reasoning_effort: the thinking_blocks of the last tool calls did not come back",)
    assert json.loads(made.body(NEW))["thinking"] == {"type": "adaptive"}
    assert made.dropped == ()


@pytest.mark.parametrize(
    ("model", "chat", "left", "dropped"),
    [
        (
            OLD,
            {"temperature": 1.5},
            {"temperature": 1},
            ("temperature: above 1, where Anthropic's scale ends: 1 sent",),
        ),
        (
            OLD,
            {"temperature": 0.5, "top_p": 0.5},
            {"temperature": 0.5},
            ("top_p: Anthropic takes temperature or top_p, not both",),
        ),
        (NEW, {"temperature": 0}, {}, ("temperature: the model takes no sampling",)),
        (OLD, {"temperature": 0, "reasoning_effort": "low"}, {}, ("temperature: not taken while thinking",)),
        (OLD, {"temperature": 0, "reasoning_effort": "none"}, {"temperature": 0}, ()),
        (OLD, {"seed": 0}, {}, ()),
        (OLD, {"seed": 7}, {}, ("seed: Anthropic draws without a seed",)),
        (OLD, {"service_tier": "flex"}, {}, ("service_tier: Anthropic has no such tier",)),
        (OLD, {"füü\n": 1}, {}, ("f???: unknown to the upstream's dialect",)),
    ],
)
def test_what_is_left_out_is_named(
    model: str, chat: dict[str, object], left: dict[str, object], dropped: tuple[str, ...]
) -> None:
    made = passage(**chat)
    told = json.loads(made.body(model))
    assert {name: told[name] for name in ("temperature", "top_p") if name in told} == left
    assert made.dropped == dropped
    assert not set(chat) - {"temperature", "top_p", "reasoning_effort"} & set(told)


def test_many_unknown_fields_are_counted() -> None:
    assert passage(**{f"x{at}": 1 for at in range(40)}).dropped[16:] == ("and 24 more",)


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"1": -100}}, "logit_bias"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"stop": "\n"}, "stop"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]},
            "messages[0].content[0].image_url",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": "{"}}]},
                ]
            },
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"messages": [USER, {"role": "assistant", "tool_calls": 7}]}, "messages[1].tool_calls"),
    ],
)
def test_what_must_not_be_lost_is_refused(chat: dict[str, object], param: str) -> None:
    with pytest.raises(BadBody) as caught:
        passage(**chat).body(OLD)
    assert caught.value.param == param
    assert caught.value.remedy


# The answer.


def message(*content: dict[str, object], stop: str = "end_turn", **more: object) -> bytes:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 30, "output_tokens": 8}
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": OLD, "content": content}
    return json.dumps(whole | {"stop_reason": stop, "stop_sequence": None, "usage": usage} | more).encode()


def test_a_whole_answer() -> None:
    answer = message(
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Hé "},
        {"type": "text", "text": "you"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}},
        stop="tool_use",
    )
    made = passage()
    found = ChatCompletion.model_validate_json(made.whole(answer), strict=True)
    said = found.choices[0].message
    assert (found.id, found.model, found.choices[0].finish_reason) == ("msg_1", OLD, "tool_calls")
    assert said.content == "Hé you"
    assert said.tool_calls is not None
    call = said.tool_calls[0]
    assert call.type == "function"
    assert (call.id, call.function.name, call.function.arguments) == ("toolu_1", "f", '{"x": 1}')
    assert said.model_extra == {
        "reasoning_content": "hm",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "xyz"},
        ],
    }
    usage = found.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (60, 8, 68)
    assert (usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens_details.cache_write_tokens) == (20, 30)
    answered = made.read(answer)
    assert answered is not None
    assert answered.usage == Usage(input_tokens=10, cache_read_tokens=20, cache_write_tokens=30, output_tokens=8)


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something new", "stop"),
    ],
)
def test_why_it_stopped(stop: str, finish: str) -> None:
    found = ChatCompletion.model_validate_json(completion(message({"type": "text", "text": "x"}, stop=stop)))
    assert found.choices[0].finish_reason == finish


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "No."}
    found = ChatCompletion.model_validate_json(completion(message(stop="refusal", stop_details=details)))
    assert (found.choices[0].message.content, found.choices[0].message.refusal) == (None, "No.")


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b'{"content":7}', b'{"content":[{"type":"text","text":7}]}', b"[" * 100_000]
)
def test_an_answer_that_cannot_be_read(answer: bytes) -> None:
    assert passage().read(answer) is None
    assert "error" in json.loads(completion(answer))


@pytest.mark.parametrize(
    ("status", "answer", "kind", "code", "said"),
    [
        (
            400,
            b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}',
            "invalid_request_error",
            "context_length_exceeded",
            "prompt is too long: 9 > 8",
        ),
        (
            404,
            b'{"type":"error","error":{"type":"not_found_error","message":"model: x"},"request_id":"r"}',
            "not_found_error",
            "not_found_error",
            "model: x",
        ),
        (529, b'{"error":{"type":"overloaded_error","message":"Busy"}}', "server_error", "overloaded_error", "Busy"),
        (400, b"Bad Request\n<html>", "invalid_request_error", "upstream", "Bad Request"),
        (500, b"", "server_error", "upstream", "The upstream answered with HTTP 500."),
    ],
)
def test_an_error(status: int, answer: bytes, kind: str, code: str, said: str) -> None:
    assert json.loads(refusal(status, answer)) == {
        "error": {"message": said, "type": kind, "param": None, "code": code}
    }


# The stream.


def event(kind: str, **more: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more}, ensure_ascii=False)}\n\n".encode()


def block(index: int, start: dict[str, object], *deltas: dict[str, object]) -> bytes:
    pieces = [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    whole = [event("content_block_start", index=index, content_block=start), *pieces]
    return b"".join([*whole, event("content_block_stop", index=index)])


START = event(
    "message_start",
    message={"id": "msg_1", "model": OLD, "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}},
)
THOUGHT = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "h"},
    {"type": "thinking_delta", "thinking": "m"},
    {"type": "signature_delta", "signature": "EqQB"},
)
TEXT = block(
    1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hé "}, {"type": "text_delta", "text": "🙂"}
)
CALLED = block(
    2,
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    {"type": "input_json_delta", "partial_json": ""},
    {"type": "input_json_delta", "partial_json": '{"x":'},
    {"type": "input_json_delta", "partial_json": " 1}"},
)
BARE = block(3, {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}})
WHOLE = block(4, {"type": "tool_use", "id": "toolu_3", "name": "h", "input": {"y": 2}})
HIDDEN = block(5, {"type": "redacted_thinking", "data": "xyz"})
END = event(
    "message_delta",
    delta={"stop_reason": "tool_use"},
    usage={"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 9},
)
STOP = event("message_stop")
STREAM = START + event("ping") + THOUGHT + TEXT + CALLED + BARE + WHOLE + HIDDEN + END + STOP


def fed(data: bytes, cuts: tuple[int, ...] = (), *, usage_asked: bool = True) -> tuple[Chunks, bytes, bytes]:
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    made = Chunks(usage_asked=usage_asked)
    early = b"".join(made.feed(data[a:b]) for a, b in itertools.pairwise(places))
    return made, early, made.finish()


def datas(stream: bytes) -> list[bytes]:
    return [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]


def chunks(stream: bytes) -> list[ChatCompletionChunk]:
    return [ChatCompletionChunk.model_validate_json(data, strict=True) for data in datas(stream) if data != b"[DONE]"]


def test_a_stream_as_the_official_client_puts_it_together() -> None:
    made, early, late = fed(STREAM)
    state = ChatCompletionStreamState()
    for chunk in chunks(early + late):
        state.handle_chunk(chunk)
    whole = state.get_final_completion()
    said = whole.choices[0].message
    assert (whole.id, whole.model, whole.choices[0].finish_reason) == ("msg_1", OLD, "tool_calls")
    assert said.content == "Hé 🙂"
    assert [(call.id, call.function.name, call.function.arguments) for call in said.tool_calls or []] == [
        ("toolu_1", "f", '{"x": 1}'),
        ("toolu_2", "g", "{}"),
        ("toolu_3", "h", '{"y": 2}'),
    ]
    extra = said.model_extra or {}
    assert extra["reasoning_content"] == "hm"
    assert extra["thinking_blocks"] == [
        {"index": 0, "type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"index": 1, "type": "redacted_thinking", "data": "xyz"},
    ]
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (15, 9)
    assert made.usage == Usage(input_tokens=10, cache_read_tokens=5, output_tokens=9)
    assert (made.done, made.failed, made.began) == (True, False, True)


def test_the_shape_of_the_chunks() -> None:
    _, early, late = fed(START + TEXT + END + STOP)
    found = chunks(early)
    assert found[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in found] == [None] * (len(found) - 1) + ["tool_calls"]
    (last,) = chunks(late)
    assert last.choices == []
    assert late.endswith(b"data: [DONE]\n\n")


def test_usage_only_for_who_asked() -> None:
    made, _, late = fed(STREAM, usage_asked=False)
    assert late == b"data: [DONE]\n\n"
    assert made.usage is not None


def test_a_ping_keeps_the_client_waiting() -> None:
    _, early, _ = fed(event("ping"))
    assert early == b": ping\n\n"


@given(st.lists(st.integers(0, len(STREAM) + 60), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_same_chunks_however_it_is_cut(cuts: list[int], end: str) -> None:
    made, early, late = fed(STREAM.replace(b"\n", end.encode()), tuple(cuts))
    assert (early, late) == fed(STREAM)[1:]
    assert made.usage == Usage(input_tokens=10, cache_read_tokens=5, output_tokens=9)


@pytest.mark.parametrize("sent", [START + TEXT[:-40], START, START + THOUGHT, b""])
def test_a_stream_that_is_cut_ends_in_an_error(sent: bytes) -> None:
    made, early, late = fed(sent)
    assert made.failed
    assert b"[DONE]" not in early + late
    assert json.loads(datas(late)[-1])["error"]["type"] == "server_error"


def test_a_stream_that_said_why_it_stopped_is_whole() -> None:
    made, _, late = fed(START + TEXT + END)
    assert not made.failed
    assert late.endswith(b"data: [DONE]\n\n")


def test_an_error_in_the_stream() -> None:
    made, early, late = fed(START + TEXT + event("error", error={"type": "overloaded_error", "message": "Busy"}))
    assert (made.failed, made.complaint, late) == (True, "Busy", b"")
    assert json.loads(datas(early)[-1])["error"] == {
        "message": "Busy",
        "type": "server_error",
        "param": None,
        "code": "overloaded_error",
    }


@pytest.mark.parametrize(
    "nasty",
    [
        b"data: {\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"type":7}\n\n',
        event("content_block_delta", delta={"type": "text_delta", "text": 7}),
        event("content_block_start", content_block=[]),
    ],
)
def test_what_cannot_be_read_ends_the_stream_in_an_error(nasty: bytes) -> None:
    made, early, late = fed(START + nasty + TEXT + END + STOP)
    assert made.failed
    assert b"[DONE]" not in early + late
    assert "error" in json.loads(datas(early)[-1])


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "delta", "index", "content_block", "text", "message", "usage", "error", "content"]
                ),
                inner
                | st.sampled_from(["message_start", "content_block_start", "content_block_delta", "message_delta"]),
            )
        ),
    )
)
def test_no_upstream_does_harm(document: object) -> None:
    raw = json.dumps(document).encode()
    completion(raw)
    refusal(500, raw)
    passage().read(raw)
    fed(b"data: " + raw + b"\n\n" + START + b"data: " + raw + b"\n\n")
