"""A streamed chat as the events of a response: the official client puts the answer together."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from baseload.errors import BadInput
from baseload.usage import Usage
from baseload.wire import response_events, responses
from baseload.wire.chat_to_messages import Passage as ChatToMessages
from baseload.wire.response_events import Events
from baseload.wire.responses_to_chat import Passage

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
READ = Usage(input_tokens=7, cache_read_tokens=2, output_tokens=4)
DONE = b"data: [DONE]\n\n"


def chunk(reason: str | None = None, usage: object = None, **delta: object) -> bytes:
    document: dict[str, object] = {"id": "chatcmpl-abc", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    document["choices"] = [{"index": 0, "delta": delta, "finish_reason": reason}] if usage is None else []
    document |= {"usage": usage} if usage is not None else {}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def call(index: int | None, name: str | None = None, arguments: str | None = None, id: str | None = None) -> bytes:
    return chunk(tool_calls=[{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}])


ONLY_USAGE = chunk(usage=USAGE)


def stream(data: bytes, cuts: tuple[int, ...] = ()) -> tuple[Events, bytes, bytes]:
    """What was relayed before the end, and what `finish` gave."""
    asked = responses.read(b'{"model":"auto","input":"hi","stream":true,"instructions":"be brief"}')
    made = Passage(asked).stream()
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    early = b"".join(made.feed(data[a:b]) for a, b in itertools.pairwise(places))
    return made, early, made.finish()


def events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each of the name that its data says."""
    found, name = [], ""
    for line in data.decode().splitlines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append(json.loads(line.removeprefix("data: ")))
            assert name == found[-1]["type"]
    return found


def understood(data: bytes) -> Response:
    """The response that the official client puts together, which is the one that the last event tells."""
    found = events(data)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    for document in found:
        state.handle_event(EVENT.validate_python(document))
    last = Response.model_validate(found[-1]["response"])
    if found[-1]["type"] == "response.completed":
        assert last.output == _assembled(found)
    return last


def _assembled(found: list[dict[str, Any]]) -> list[Any]:
    done = {event["output_index"]: event["item"] for event in found if event["type"] == "response.output_item.done"}
    added = [event["output_index"] for event in found if event["type"] == "response.output_item.added"]
    assert sorted(done) == sorted(added) == list(range(len(done)))
    deltas: dict[int, str] = {}
    for event in found:
        if event["type"].endswith(".delta"):
            deltas[event["output_index"]] = deltas.get(event["output_index"], "") + event["delta"]
    for place, item in done.items():
        said = item.get("arguments", "".join(p.get("text", p.get("refusal")) for p in item.get("content", ())))
        assert said == deltas.get(place, "")
    whole = {"id": "x", "created_at": 0, "model": "m", "object": "response", "parallel_tool_calls": True}
    output = [done[place] for place in sorted(done)]
    return Response.model_validate({**whole, "tool_choice": "auto", "tools": [], "output": output}).output


def test_a_text() -> None:
    made, early, late = stream(
        chunk(role="assistant", content="")
        + chunk(content="Hel")
        + chunk(content="lo")
        + chunk("stop")
        + ONLY_USAGE
        + DONE
    )
    assert [event["type"] for event in events(early + late)] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    found = understood(early + late)
    assert (found.output_text, found.status, found.id, found.instructions) == (
        "Hello",
        "completed",
        "resp_abc",
        "be brief",
    )
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (9, 4, 13)
    assert (made.usage, made.done, made.failed, made.began, made.made) == (READ, True, False, True, None)
    assert made.written_tokens == 2


def test_the_end_is_held_until_the_upstream_has_ended() -> None:
    _, early, late = stream(chunk(content="a") + chunk("stop") + ONLY_USAGE + DONE)
    assert [event["type"] for event in events(early)][-1] == "response.output_text.delta"
    assert [event["type"] for event in events(late)][-1] == "response.completed"


def test_reasoning_then_text_then_calls_mixed() -> None:
    data = (
        chunk(reasoning_content="let me ")
        + chunk(reasoning="think")
        + chunk(content="so")
        + call(0, "f", '{"a"', "call_1")
        + call(1, "g", "{", "call_2")
        + call(0, None, ":1}")
        + call(1, None, "}")
        + chunk("tool_calls")
        + ONLY_USAGE
        + DONE
    )
    _, early, late = stream(data)
    found = understood(early + late)
    assert [item.type for item in found.output] == ["reasoning", "message", "function_call", "function_call"]
    assert found.output[0].content[0].text == "let me think"  # type: ignore[union-attr, index]
    assert [(item.call_id, item.name, item.arguments) for item in found.output if item.type == "function_call"] == [
        ("call_1", "f", '{"a":1}'),
        ("call_2", "g", "{}"),
    ]


@pytest.mark.parametrize(
    ("data", "calls"),
    [
        # Every call has number 0, as Gemini's endpoint for OpenAI's clients sends them.
        (call(0, "f", "{}", "a") + call(0, "g", "{}", "b"), [("a", "f", "{}"), ("b", "g", "{}")]),
        # The id comes again with each piece.
        (call(0, "f", "{", "a") + call(0, "f", "}", "a"), [("a", "f", "{}")]),
        # No number, no id.
        (call(None, "f", "{}"), [("call_abc_0", "f", "{}")]),
        # The name comes late, or never.
        (call(0, None, "{", "a") + call(0, "f", "}"), [("a", "f", "{}")]),
        (call(0, None, "{}", "a"), [("a", "", "{}")]),
        # No arguments.
        (call(0, "f", None, "a"), [("a", "f", "")]),
        # The arguments are no text.
        (chunk(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": {"a": 1}}}]), [("a", "f", '{"a": 1}')]),
    ],
)
def test_calls_as_upstreams_send_them(data: bytes, calls: list[tuple[str, str, str]]) -> None:
    _, early, late = stream(data + chunk("tool_calls") + DONE)
    found = understood(early + late)
    assert [(item.call_id, item.name, item.arguments) for item in found.output if item.type == "function_call"] == calls


def test_a_refusal_is_a_part_of_its_own() -> None:
    _, early, late = stream(chunk(content="well, ") + chunk(refusal="no") + chunk("stop") + DONE)
    parts = understood(early + late).output[0].content  # type: ignore[union-attr]
    assert parts is not None
    assert [part.type for part in parts] == ["output_text", "refusal"]


def test_what_was_cut_is_incomplete() -> None:
    _, early, late = stream(chunk(content="a") + call(0, "f", "{", "x") + chunk("length") + ONLY_USAGE + DONE)
    found = understood(early + late)
    assert found.incomplete_details is not None
    assert (found.status, found.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert [item.status for item in found.output] == ["completed", "incomplete"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (chunk(content="a") + b'data: {"error":{"message":"out of memory"}}\n\n', "out of memory"),
        (chunk(content="a") + b"data: not json\n\n" + chunk("stop") + DONE, "no part of an answer"),
        (chunk(content="a") + chunk(tool_calls=[7]) + DONE, "no part of an answer"),
        (chunk(content="a") + b'data: {"choices":[{"delta":7}]}\n\n' + DONE, "no part of an answer"),
        (chunk(content="a") + chunk(content="half a letter: \ud83d") + chunk("stop") + DONE, "no part of an answer"),
        (chunk(content="a"), "ended before its answer did"),
        (b"", "ended before its answer did"),
        (b'data: {"error":{"message":"overloaded"}}\n\n', "overloaded"),
    ],
)
def test_a_stream_that_breaks_ends_in_a_failure(data: bytes, says: str) -> None:
    made, early, late = stream(data)
    found = understood(early + late)
    assert found.error is not None
    assert found.status == "failed"
    assert says in found.error.message
    assert made.failed
    assert says in made.complaint
    assert made.began is data.startswith(chunk(content="a"))


def test_done_alone_ends_an_answer() -> None:
    made, early, late = stream(chunk(content="a") + DONE)
    assert understood(early + late).status == "completed"
    assert (made.failed, made.usage) == (False, None)


def test_a_sign_of_life_comes_along() -> None:
    _, early, late = stream(b": PROCESSING\n\n" + chunk(content="a") + chunk("stop") + DONE)
    assert early.startswith(b": PROCESSING\n\n")
    assert understood(early + late).output_text == "a"


def test_what_must_be_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_events, "EVENT_BYTES", 1000)
    with pytest.raises(BadInput):
        stream(chunk(content="x" * 100) * 11)
    with pytest.raises(BadInput):
        stream((chunk(content="x") + chunk(reasoning="y")) * 5)


def test_over_a_chat_from_an_anthropic_upstream() -> None:
    def said(kind: str, **body: object) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()

    message = {"id": "msg_abc", "type": "message", "role": "assistant", "model": "c", "content": []}
    data = (
        said("message_start", message={**message, "usage": {"input_tokens": 40, "cache_read_input_tokens": 60}})
        + said("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + said("content_block_delta", index=0, delta={"type": "text_delta", "text": "seven"})
        + said("content_block_stop", index=0)
        + said("content_block_start", index=1, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}})
        + said("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a":1}'})
        + said("content_block_stop", index=1)
        + said("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 9})
        + said("message_stop")
    )
    asked = responses.read(b'{"model":"auto","input":"hi","stream":true,"max_output_tokens":99}')
    made = Passage(asked, ChatToMessages).stream()
    out = made.feed(data) + made.finish()
    found = understood(out)
    assert (found.output_text, found.status) == ("seven", "completed")
    assert [(item.call_id, item.name, item.arguments) for item in found.output if item.type == "function_call"] == [
        ("t", "f", '{"a":1}')
    ]
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (100, 9)
    assert (made.done, made.failed) == (True, False)


pieces = st.sampled_from(
    [
        chunk(role="assistant"),
        chunk(content="hé🙂"),
        chunk(content=[{"type": "text", "text": "part"}]),
        chunk(reasoning_content="hm"),
        chunk(refusal="no"),
        chunk(content=7, tool_calls="x"),
        call(0, "f", "{", "a"),
        call(1, "g", None, "b"),
        call(0, None, "}"),
        chunk("stop"),
        chunk("length"),
        ONLY_USAGE,
        ONLY_USAGE.replace(b"\n", b"\r\n"),
        b'data: {"error":{"message":"no"}}\n\n',
        b'data: {"choices":{}}\n\n',
        b'data: {"choices":[7]}\n\n',
        b'data: {"choices":[{"delta":7}]}\n\n',
        b"data: [1]\n\n",
        b": ping\r\n\r\n",
        b"data: half",
        DONE,
    ]
)


@given(st.lists(pieces, max_size=9).map(b"".join), st.lists(st.integers(0, 1500), max_size=9))
def test_any_stream_split_anywhere_is_understood(data: bytes, cuts: list[int]) -> None:
    whole, early, late = stream(data)
    understood(early + late)
    split, split_early, split_late = stream(data, tuple(cuts))
    assert (split_early, split_late) == (early, late)
    for name in ("usage", "done", "failed", "complaint", "began", "written_tokens"):
        assert getattr(split, name) == getattr(whole, name)
