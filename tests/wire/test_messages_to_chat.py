"""An Anthropic message for an upstream of chat completions: what goes there, what may not, how the answer comes back.

Every answer is parsed by the official client of the dialect that it is in.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import TypeAdapter

from baseload.usage import Usage
from baseload.wire import anthropic
from baseload.wire.anthropic import OWN_SIGNATURE
from baseload.wire.body import BadBody
from baseload.wire.message_from_completion import UNPARSED, Events, message, read, refusal
from baseload.wire.messages_to_chat import Passage

USER = {"role": "user", "content": "Hello"}
TOOL = {"name": "f", "description": "Does f.", "input_schema": {"type": "object"}}
OPENAI = TypeAdapter(CompletionCreateParams)
EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def passage(**asked: object) -> Passage:
    body: dict[str, object] = {"model": "claude-x", "max_tokens": 100, "messages": [USER], **asked}
    return Passage(anthropic.read(json.dumps(body).encode()))


def sent(model: str = "m", **asked: object) -> dict[str, Any]:
    """The request that goes to the upstream, checked against the official client's own types."""
    body = passage(**asked).body(model)
    OPENAI.validate_json(body)
    found: dict[str, Any] = json.loads(body)
    return found


def messages(*turns: dict[str, object]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(messages=list(turns))["messages"]
    return found


# The request.


def test_a_plain_question() -> None:
    assert sent() == {"model": "m", "messages": [USER], "max_tokens": 100}
    assert (passage().path, passage().headers) == ("/chat/completions", ())


def test_a_stream_asks_for_its_usage() -> None:
    made = sent(stream=True)
    assert (made["stream"], made["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("gpt-4o", "max_tokens"),
        ("gpt-5.1-mini", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("openai/gpt-5", "max_completion_tokens"),
        ("gpt-oss-120b", "max_tokens"),
        ("deepseek-chat", "max_tokens"),
    ],
)
def test_the_cap_has_the_name_that_the_model_knows(model: str, field: str) -> None:
    assert {name for name in passage_body(model) if name.startswith("max_")} == {field}


def passage_body(model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(passage().body(model))
    return found


def test_system() -> None:
    assert sent(system="Be brief.")["messages"] == [{"role": "system", "content": "Be brief."}, USER]
    two = [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
    assert sent(system=two)["messages"][0] == {"role": "system", "content": two}


def test_calls_and_results() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    assert messages(
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": OWN_SIGNATURE},
                {"type": "text", "text": "Wait."},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "one"},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "text", "text": "two"}, picture],
                },
                {"type": "text", "text": "And?"},
            ],
        },
    )[1:] == [
        {
            "role": "assistant",
            "content": "Wait.",
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                {"id": "toolu_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "one"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "two"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


def test_pictures_and_documents() -> None:
    parts = [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"},
        },
        {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
    ]
    assert messages({"role": "user", "content": parts})[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
        {"type": "text", "text": "T\nwords"},
    ]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (None, None),
        ({"type": "auto"}, "auto"),
        ({"type": "any", "disable_parallel_tool_use": True}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_tools(choice: dict[str, object] | None, found: object) -> None:
    made = sent(tools=[TOOL | {"strict": True, "type": "custom"}], **({"tool_choice": choice} if choice else {}))
    function = {"name": "f", "description": "Does f.", "parameters": {"type": "object"}, "strict": True}
    assert made["tools"] == [{"type": "function", "function": function}]
    assert made.get("tool_choice") == found
    assert made.get("parallel_tool_calls") == (False if choice and choice.get("disable_parallel_tool_use") else None)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"stop_sequences": ["a"]}, {"stop": ["a"]}),
        ({"stop_sequences": []}, {}),
        ({"temperature": 0.0, "top_p": 0.5}, {"temperature": 0.0, "top_p": 0.5}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"service_tier": "auto"}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
    ],
)
def test_settings(asked: dict[str, object], found: dict[str, object]) -> None:
    made = passage(**asked)
    told = json.loads(made.body("m"))
    assert {name: value for name, value in told.items() if name not in ("model", "messages", "max_tokens")} == found
    assert made.dropped == ()


@pytest.mark.parametrize(
    ("asked", "dropped"),
    [
        ({"top_k": 5}, ("top_k: OpenAI's dialect has no such setting",)),
        ({"thinking": {"type": "disabled"}}, ("thinking: whether the upstream's model thinks is its own affair",)),
        ({"metadata": {"user_id": "u" * 65}}, ("metadata.user_id: longer than 64 characters",)),
        (
            {"tools": [TOOL | {"cache_control": {"type": "ephemeral"}, "defer_loading": True}]},
            (
                "cache_control: the upstream caches by itself, if at all",
                "tools.defer_loading: every tool is there from the start",
            ),
        ),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
            ("cache_control: the upstream caches by itself, if at all",),
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "EqQB"}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": True}]},
                ]
            },
            (
                "messages.content.thinking: only the model that signed it can read it",
                "messages.content.is_error: a tool's answer in a chat is its text alone",
            ),
        ),
        ({"context_management": {"edits": []}}, ("context_management: the upstream reads the whole conversation",)),
        ({"something": 1}, ("something: unknown to the upstream's dialect",)),
        ({"mcp_servers": [], "container": None}, ()),
    ],
)
def test_what_is_left_out_is_named(asked: dict[str, object], dropped: tuple[str, ...]) -> None:
    made = passage(**asked)
    made.body("m")
    assert made.dropped == dropped


def test_a_model_that_does_not_think_is_not_told_to() -> None:
    made = passage(thinking={"type": "enabled", "budget_tokens": 1024})
    assert "reasoning_effort" not in json.loads(made.body("gpt-4o"))
    assert made.dropped == ("thinking: the model does not think before it answers",)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "perhaps"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "messages[0].role"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
                ]
            },
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ],
)
def test_what_must_not_be_lost_is_refused(asked: dict[str, object], param: str) -> None:
    with pytest.raises(BadBody) as caught:
        passage(**asked)
    assert caught.value.param == param
    assert caught.value.remedy


# The answer.

USAGE = {
    "prompt_tokens": 60,
    "completion_tokens": 8,
    "total_tokens": 68,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def completion(finish: str = "stop", usage: object = USAGE, **said: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": usage}).encode()


def whole(answer: bytes) -> Message:
    return Message.model_validate_json(message(answer, input_tokens=77), strict=True)


def test_a_whole_answer() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.50}'}}
    answer = completion("tool_calls", content="Hé", reasoning_content="hm", tool_calls=[call])
    assert b'"input":{"x": 1.50}' in message(answer, input_tokens=0)
    found = whole(answer)
    assert (found.id, found.model, found.stop_reason) == ("chatcmpl-1", "m", "tool_use")
    assert [block.to_dict() for block in found.content] == [
        {"type": "thinking", "thinking": "hm", "signature": OWN_SIGNATURE},
        {"type": "text", "text": "Hé"},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"x": 1.5}},
    ]
    usage = found.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (40, 20, 8)
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 3
    answered = passage().read(answer)
    assert answered is not None
    assert answered.usage == Usage(input_tokens=40, cache_read_tokens=20, output_tokens=5, reasoning_tokens=3)


@pytest.mark.parametrize(
    ("finish", "said", "more", "stop"),
    [
        ("stop", {"content": "x"}, {}, "end_turn"),
        ("length", {"content": "x"}, {}, "max_tokens"),
        ("content_filter", {"content": "x"}, {}, "refusal"),
        ("stop", {"refusal": "No."}, {}, "refusal"),
        ("stop", {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}, {}, "tool_use"),
        ("stop", {"content": "x"}, {"stop_reason": "END"}, "stop_sequence"),
        ("stop", {"content": "x"}, {"stop_reason": 151645}, "end_turn"),
    ],
)
def test_why_it_stopped(finish: str, said: dict[str, object], more: dict[str, object], stop: str) -> None:
    document = json.loads(completion(finish, **said))
    document["choices"][0] |= more
    found = whole(json.dumps(document).encode())
    assert found.stop_reason == stop
    assert found.stop_sequence == ("END" if stop == "stop_sequence" else None)


@pytest.mark.parametrize(
    ("arguments", "found"), [("", {}), ("{}", {}), ('{"a": 1', {UNPARSED: '{"a": 1'}), ("[1]", {UNPARSED: "[1]"})]
)
def test_arguments_that_are_no_object_are_no_empty_call(arguments: str, found: object) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    (block,) = whole(completion("length", tool_calls=[call])).content
    assert block.type == "tool_use"
    assert (block.input, block.id) == (found, "call_0_chatcmpl-1")


def test_usage_that_is_not_said_is_estimated() -> None:
    usage = whole(completion(content="x" * 40, usage=None)).usage
    assert (usage.input_tokens, usage.output_tokens) == (77, 10)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b'{"choices":[]}', b'{"choices":[{}]}', b'{"choices":[{"message":{"content":7}}]}'],
)
def test_an_answer_that_cannot_be_read(answer: bytes) -> None:
    assert read(answer) is None
    assert json.loads(message(answer, input_tokens=0))["type"] == "error"


@pytest.mark.parametrize(
    ("status", "answer", "kind", "said"),
    [
        (400, b'{"error":{"message":"Bad tool","type":"invalid_request_error"}}', "invalid_request_error", "Bad tool"),
        (429, b'{"error":{"message":"Slow down"}}', "rate_limit_error", "Slow down"),
        (422, b'{"detail":"Missing"}', "invalid_request_error", "Missing"),
        (500, b"", "api_error", "The upstream answered with HTTP 500."),
    ],
)
def test_an_error(status: int, answer: bytes, kind: str, said: str) -> None:
    assert json.loads(refusal(status, answer)) == {"type": "error", "error": {"type": kind, "message": said}}


# The stream.


def chunk(finish: str | None = None, **delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    document = {"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": None}
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


def piece(index: int, arguments: str, **first: object) -> bytes:
    name = {"name": first.pop("name")} if "name" in first else {}
    return chunk(tool_calls=[{"index": index, **first, "function": {**name, "arguments": arguments}}])


ONLY_USAGE = f"data: {json.dumps({'id': 'chatcmpl-1', 'choices': [], 'usage': USAGE})}\n\n".encode()
DONE = b"data: [DONE]\n\n"
STREAM = (
    chunk(role="assistant", content="")
    + chunk(reasoning_content="h")
    + chunk(reasoning_content="m")
    + b": waiting\n\n"
    + chunk(content="Hé ")
    + chunk(content="🙂")
    + piece(0, "", id="call_1", name="f")
    + piece(0, '{"x":')
    + piece(0, " 1}")
    + piece(1, '{"y": 2}', id="call_2", name="g")
    + chunk("tool_calls")
    + ONLY_USAGE
    + DONE
)


def fed(data: bytes, cuts: tuple[int, ...] = ()) -> tuple[Events, bytes, bytes]:
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    made = Events(input_tokens=77)
    early = b"".join(made.feed(data[a:b]) for a, b in itertools.pairwise(places))
    return made, early, made.finish()


def events(stream: bytes) -> list[dict[str, Any]]:
    found = []
    for each in stream.split(b"\n\n")[:-1]:
        name, _, data = each.partition(b"\n")
        document = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + document["type"].encode()
        found.append(document)
    return found


def put_together(stream: bytes) -> Message:
    """What the official client makes of a stream."""
    state: Any = None
    buffers: dict[int, bytes] = {}
    for each in events(stream):
        if each["type"] != "ping":
            event = EVENT.validate_python(each)
            state = accumulate_event(event=event, current_snapshot=state, json_bufs=buffers)
    return Message.model_validate(state.to_dict())


def test_a_stream_as_the_official_client_puts_it_together() -> None:
    made, early, late = fed(STREAM)
    found = put_together(early + late)
    assert (found.id, found.model, found.stop_reason) == ("chatcmpl-1", "m", "tool_use")
    assert [block.to_dict() for block in found.content] == [
        {"type": "thinking", "thinking": "hm", "signature": OWN_SIGNATURE},
        {"type": "text", "text": "Hé 🙂"},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "call_2", "name": "g", "input": {"y": 2}},
    ]
    assert (found.usage.input_tokens, found.usage.cache_read_input_tokens, found.usage.output_tokens) == (40, 20, 8)
    assert made.usage == Usage(input_tokens=40, cache_read_tokens=20, output_tokens=5, reasoning_tokens=3)
    assert (made.done, made.failed, made.began) == (True, False, True)


def test_the_order_of_the_events() -> None:
    _, early, late = fed(STREAM)
    found = [(each["type"], each.get("index")) for each in events(early + late)]
    assert found == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("ping", None),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_delta", 2),
        ("content_block_delta", 2),
        ("content_block_stop", 2),
        ("content_block_start", 3),
        ("content_block_delta", 3),
        ("content_block_stop", 3),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert [each["type"] for each in events(late)] == ["message_stop"]
    assert events(early)[0]["message"]["usage"]["input_tokens"] == 77


@given(st.lists(st.integers(0, len(STREAM) + 60), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_same_events_however_it_is_cut(cuts: list[int], end: str) -> None:
    made, early, late = fed(STREAM.replace(b"\n", end.encode()), tuple(cuts))
    assert (early, late) == fed(STREAM)[1:]
    assert made.usage == Usage(input_tokens=40, cache_read_tokens=20, output_tokens=5, reasoning_tokens=3)


@pytest.mark.parametrize(
    ("sent", "stop", "output"),
    [
        (chunk(content="x" * 40) + chunk("length") + DONE, "max_tokens", 10),
        (chunk(content="x" * 40) + chunk("stop"), "end_turn", 10),
        (chunk(content="x" * 40) + DONE, "end_turn", 10),
        (chunk("stop", content="x") + ONLY_USAGE + DONE, "end_turn", 8),
        (chunk(refusal="No.") + chunk("stop") + DONE, "refusal", 1),
        (chunk("stop") + DONE, "end_turn", 0),
        (chunk("", content="x" * 40) + chunk("length") + DONE, "max_tokens", 10),
        (piece(0, "{}", id="c", name="f") + chunk("stop") + DONE, "tool_use", 31),
    ],
)
def test_how_a_stream_may_end(sent: bytes, stop: str, output: int) -> None:
    made, early, late = fed(sent)
    found = put_together(early + late)
    assert (found.stop_reason, found.usage.input_tokens) == (stop, 40 if output == 8 else 77)
    assert found.usage.output_tokens == output or stop == "tool_use"
    assert not made.failed


@pytest.mark.parametrize("sent", [b"", chunk(role="assistant"), chunk(content="x"), chunk(content="x")[:-9], DONE])
def test_a_stream_that_is_cut_ends_in_an_error(sent: bytes) -> None:
    made, early, late = fed(sent)
    assert made.failed
    assert events(early + late)[-1]["error"]["type"] == "api_error"
    assert b"message_stop" not in early + late


def test_an_error_in_the_stream() -> None:
    made, early, late = fed(chunk(content="x") + b'data: {"error":{"message":"out of memory"}}\n\n' + DONE)
    assert (made.failed, made.complaint, late) == (True, "out of memory", b"")
    assert events(early)[-1] == {"type": "error", "error": {"type": "api_error", "message": "out of memory"}}


@pytest.mark.parametrize("between", [piece(1, "{", id="b", name="g"), chunk(content="x")])
def test_calls_whose_pieces_are_mixed_cannot_be_told(between: bytes) -> None:
    made, early, _ = fed(piece(0, "{", id="a", name="f") + between + piece(0, "}"))
    assert made.failed
    assert events(early)[-1]["type"] == "error"


@pytest.mark.parametrize(
    "nasty", [b"data: {\n\n", b"data: " + b"[" * 100_000 + b"\n\n", b'data: {"choices":7}\n\n', chunk(content=[1])]
)
def test_what_cannot_be_read_ends_the_stream_in_an_error(nasty: bytes) -> None:
    made, early, late = fed(chunk(content="x") + nasty + STREAM)
    assert made.failed
    assert b"message_stop" not in early + late


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "delta",
                        "message",
                        "content",
                        "tool_calls",
                        "function",
                        "usage",
                        "error",
                        "finish_reason",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_no_upstream_does_harm(document: object) -> None:
    raw = json.dumps(document).encode()
    message(raw, input_tokens=0)
    refusal(500, raw)
    read(raw)
    fed(b"data: " + raw + b"\n\n" + chunk(content="x") + b"data: " + raw + b"\n\n")
