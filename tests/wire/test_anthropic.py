"""Anthropic's own dialect: read, passed on as it is, its usage counted however the network cuts the stream."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.usage import Usage
from baseload.wire import anthropic
from baseload.wire.anthropic_answer import Relay, read_answer, usage_in
from baseload.wire.asked import Operation
from baseload.wire.body import BadBody

BODY = {"model": "claude-x", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}


def body(**more: object) -> bytes:
    return json.dumps(BODY | more).encode()


# What is asked.


def test_what_is_asked() -> None:
    asked = anthropic.read(
        body(
            stream=True,
            system=[{"type": "text", "text": "Be brief."}],
            tools=[{"name": "f", "input_schema": {"type": "object"}}],
            output_config={"format": {"type": "json_schema", "schema": {}}},
            metadata={"user_id": "u-1"},
            thinking={"type": "enabled", "budget_tokens": 1024},
        )
    )
    assert (asked.operation, asked.model, asked.stream, asked.output_cap) == (Operation.MESSAGES, "claude-x", True, 100)
    assert asked.needs == {"tools", "json_schema"}
    assert asked.tags == {"user": "u-1"}
    assert asked.usage_asked
    assert asked.input_tokens == 32  # 127 bytes of messages, system and tools


def test_a_picture_counts_as_one_and_not_by_its_bytes() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}}
    asked = anthropic.read(body(messages=[{"role": "user", "content": [picture]}]))
    assert asked.needs == {"vision"}
    assert anthropic.TOKENS_PER_IMAGE < asked.input_tokens < anthropic.TOKENS_PER_IMAGE + 100


def test_counting_tokens_needs_no_cap() -> None:
    asked = anthropic.read_count(b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}')
    assert (asked.operation, asked.output_cap) == (Operation.COUNT_TOKENS, None)
    assert json.loads(anthropic.told(asked)) == {"input_tokens": asked.input_tokens}


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (b'{"model":"m","messages":[{}]}', "max_tokens"),
        (b'{"model":"m","max_tokens":1,"messages":[]}', "messages"),
        (b'{"model":"m","max_tokens":-1,"messages":[1]}', "max_tokens"),
        (b'{"model":"m","max_tokens":1,"messages":[1],"model":"n"}', "model"),
        (b'{"model":"m","max_tokens":1,"messages":[1],"metadata":{"user_id":"%s"}}' % (b"x" * 600), "metadata"),
        (b"[]", None),
        (b"\xff", None),
    ],
)
def test_what_cannot_be_served(sent: bytes, param: str | None) -> None:
    with pytest.raises(BadBody) as caught:
        anthropic.read(sent)
    assert caught.value.param == param


# Passed on.


def test_only_the_model_changes() -> None:
    sent = b'{ "unknown": 1.50, "model" :"a", "max_tokens":5,"messages":[ {"role":"user","content":"\\u00e9"} ] }'
    passage = anthropic.Passage(anthropic.read(sent))
    assert passage.body("b") == sent.replace(b'"a"', b'"b"')
    assert (passage.path, passage.headers) == ("/messages", ((b"anthropic-version", b"2023-06-01"),))
    assert passage.dropped == ()


def test_thinking_that_no_anthropic_model_signed_stays_here() -> None:
    own = {"type": "thinking", "thinking": "mm", "signature": anthropic.OWN_SIGNATURE}
    real = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
    text = {"type": "text", "text": 'says "baseload"'}
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [own, real, text]},
        {"role": "assistant", "content": [own]},
    ]
    sent = json.loads(anthropic.Passage(anthropic.read(body(messages=turns))).body("m"))
    assert sent["messages"] == [turns[0], {"role": "assistant", "content": [real, text]}]


def test_a_count_is_free_and_read_as_one() -> None:
    passage = anthropic.CountPassage(anthropic.read_count(body()))
    answered = passage.read(b'{"input_tokens": 14}')
    assert answered is not None
    assert (answered.usage, answered.written_tokens) == (Usage(), 0)
    assert passage.path == "/messages/count_tokens"
    assert passage.read(b'{"type":"error","error":{"type":"api_error","message":"x"}}') is None


# Usage.


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"input_tokens": 5, "output_tokens": 7}, Usage(input_tokens=5, output_tokens=7)),
        (
            {
                "input_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
                "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 3},
                "server_tool_use": {"web_search_requests": 1},
            },
            Usage(
                input_tokens=5,
                cache_read_tokens=100,
                cache_write_tokens=20,
                cache_write_1h_tokens=10,
                output_tokens=4,
                reasoning_tokens=3,
            ),
        ),
        (
            {"input_tokens": 5, "cache_creation_input_tokens": 30, "output_tokens": 1},
            Usage(input_tokens=5, cache_write_tokens=30, output_tokens=1),
        ),
        (
            {"input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 9}, "output_tokens": 1},
            Usage(input_tokens=5, cache_write_1h_tokens=9, output_tokens=1),
        ),
        (
            {"input_tokens": 5, "cache_read_input_tokens": None, "output_tokens": -3},
            Usage(input_tokens=5),
        ),
        ({"output_tokens": 7}, None),
        ({"input_tokens": -1, "output_tokens": 7}, None),
        ([], None),
    ],
)
def test_usage_in_leaves(said: object, found: Usage | None) -> None:
    assert usage_in(json.dumps(said).encode()) == found


COUNT = st.integers(0, 10**7)


@given(COUNT, COUNT, COUNT, COUNT, COUNT, COUNT)
def test_leaves_add_up(fresh: int, read: int, minutes: int, hour: int, output: int, thought: int) -> None:
    said = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": minutes + hour,
        "cache_creation": {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour},
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": thought},
    }
    usage = usage_in(json.dumps(said).encode())
    assert usage is not None
    assert usage.prompt_tokens == fresh + read + minutes + hour
    assert usage.completion_tokens == output


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b'{"type":"error","error":{"message":"x"}}', b'{"content":null}', b'{"content":"x"}'],
)
def test_what_is_no_message(answer: bytes) -> None:
    assert read_answer(answer) is None


def test_a_message_without_usage_is_estimated() -> None:
    blocks = [{"type": "text", "text": "x" * 40}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}, 7]
    answered = read_answer(json.dumps({"type": "message", "content": blocks}).encode())
    assert answered is not None
    assert (answered.usage, answered.written_tokens) == (None, 13)  # 40 + 8 + 1 characters


# Streams.


def event(kind: str, **more: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more}, ensure_ascii=False)}\n\n".encode()


def start(**usage: object) -> bytes:
    return event("message_start", message={"id": "msg_1", "content": [], "usage": usage})


def text(piece: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})


BEGIN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 15})
STOP = event("message_stop")
STREAM = (
    start(input_tokens=25, cache_read_input_tokens=4, output_tokens=1)
    + BEGIN
    + event("ping")
    + text("hé")
    + b": a comment\n\n"
    + text("🙂 b")
    + event("content_block_stop", index=0)
    + END
    + STOP
)
READ = Usage(input_tokens=25, cache_read_tokens=4, output_tokens=15)


def relay(data: bytes, cuts: tuple[int, ...] = ()) -> tuple[Relay, bytes, bytes]:
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    made = Relay()
    early = b"".join(made.feed(data[a:b]) for a, b in itertools.pairwise(places))
    return made, early, made.finish()


@given(st.lists(st.integers(0, len(STREAM) + 60), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_same_bytes_and_usage_however_it_is_cut(cuts: list[int], end: str) -> None:
    sent = STREAM.replace(b"\n", end.encode())
    made, early, late = relay(sent, tuple(cuts))
    assert early + late == sent
    assert late == STOP.replace(b"\n", end.encode())[-len(late) :]
    assert late.lstrip(b"\n").startswith(b"event: message_stop")
    assert (made.usage, made.done, made.began, made.failed) == (READ, True, True, False)


def test_a_stream_without_event_lines() -> None:
    bare = b"".join(line + b"\n\n" for line in STREAM.split(b"\n") if line.startswith(b"data:"))
    made, early, late = relay(bare)
    assert early + late == bare
    assert (made.usage, made.done) == (READ, True)


@pytest.mark.parametrize(
    ("sent", "usage"),
    [
        (start(input_tokens=25, output_tokens=1) + BEGIN + text("x" * 400), Usage(input_tokens=25, output_tokens=100)),
        (start(input_tokens=25, output_tokens=1), Usage(input_tokens=25, output_tokens=1)),
        (
            start(input_tokens=25, output_tokens=1) + BEGIN + text("x" * 400) + END,
            Usage(input_tokens=25, output_tokens=15),
        ),
        (start() + BEGIN + text("x"), None),
        (
            start(input_tokens=0, output_tokens=0)
            + event("message_delta", delta={}, usage={"input_tokens": 30, "output_tokens": 9}),
            Usage(input_tokens=30, output_tokens=9),
        ),
        (
            start(input_tokens=30, output_tokens=0)
            + event("message_delta", delta={}, usage={"input_tokens": 0, "output_tokens": 9}),
            Usage(input_tokens=30, output_tokens=9),
        ),
        (
            start(input_tokens=3, cache_creation={"ephemeral_1h_input_tokens": 8}, output_tokens=0)
            + event("message_delta", delta={}, usage={"cache_creation_input_tokens": 8, "output_tokens": 9}),
            Usage(input_tokens=3, cache_write_1h_tokens=8, output_tokens=9),
        ),
    ],
)
def test_usage_that_comes_in_parts(sent: bytes, usage: Usage | None) -> None:
    made, _, _ = relay(sent)
    assert made.usage == usage


@pytest.mark.parametrize(
    ("sent", "began"),
    [
        (b"", False),
        (event("ping"), False),
        (start(input_tokens=1), False),
        (start(input_tokens=1) + event("error", error={"type": "overloaded_error", "message": "Overloaded"}), False),
        (start(input_tokens=1) + BEGIN, True),
        (start(input_tokens=1) + END, True),
    ],
)
def test_a_stream_begins_with_its_first_block(sent: bytes, began: bool) -> None:
    made, _, _ = relay(sent)
    assert made.began is began


def test_an_error_inside_the_stream_is_noticed() -> None:
    made, early, _ = relay(event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
    assert (made.failed, made.complaint, made.done) == (True, "Overloaded", False)
    assert early


def test_what_was_delivered_is_estimated() -> None:
    thinking = event("content_block_delta", delta={"type": "thinking_delta", "thinking": "x" * 8})
    arguments = event("content_block_delta", delta={"type": "input_json_delta", "partial_json": '{"a"'})
    made, _, _ = relay(BEGIN + text("ab") * 3 + thinking + arguments)
    assert made.written_tokens == 5


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_any_bytes_are_relayed_and_harm_nobody(sent: bytes, cuts: list[int]) -> None:
    _, early, late = relay(sent, tuple(cuts))
    assert early + late == sent


@pytest.mark.parametrize("nasty", [b'{"type":7}', b"[" * 100_000, b'{"type":"message_start","message":[]}', b"null"])
def test_nasty_events_are_relayed(nasty: bytes) -> None:
    made, early, late = relay(b"data: " + nasty + b"\n\n" + STREAM)
    assert early + late == b"data: " + nasty + b"\n\n" + STREAM
    assert made.usage == READ


kept = st.sampled_from(["text", "thinking", "partial_json", "signature"])
pieces = st.dictionaries(kept, st.text(max_size=12), max_size=3) | st.just({"text": None}) | st.just({"text": 7})


@given(st.lists(pieces, max_size=5), st.booleans())
def test_the_short_way_reads_what_the_long_one_reads(stream: list[dict[str, object]], escaped: bool) -> None:
    def read(more: dict[str, object]) -> Relay:
        said = [{"type": "content_block_delta", "index": 0, "delta": each | more} for each in stream]
        return relay("".join(f"data: {json.dumps(each, ensure_ascii=escaped)}\n\n" for each in said).encode())[0]

    short, long = read({}), read({"input": {}})  # a delta with that is not of the usual shape
    for name in ("usage", "written_tokens", "began", "failed", "counted"):
        assert getattr(short, name) == getattr(long, name)


def test_an_event_of_the_usual_shape_is_passed_on_as_it_is() -> None:
    made, data = Relay(), text("h\u00e9 ")
    assert made.feed(data) is data
    assert (made.written_tokens, made.began) == (1, True)
