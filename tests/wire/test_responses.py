"""OpenAI Responses: read, passed on as they are, counted whole and streamed."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from baseload.usage import Usage
from baseload.wire import openai
from baseload.wire.answer import Answered
from baseload.wire.asked import Operation
from baseload.wire.body import BadBody
from baseload.wire.responses import Passage, Relay, read, read_answer


def body(**more: object) -> bytes:
    return json.dumps({"model": "auto", "input": "12345678", **more}).encode()


SCHEMA = {"type": "json_schema", "name": "n", "schema": {}}


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({}, "operation", Operation.RESPONSES),
        ({}, "input_tokens", 2),
        ({"instructions": "1234"}, "input_tokens", 3),
        ({"input": None}, "input_tokens", 0),
        ({}, "stream", False),
        ({"stream": True}, "stream", True),
        ({}, "output_cap", None),
        ({"max_output_tokens": 9}, "output_cap", 9),
        ({"tools": [{"type": "function", "name": "f"}]}, "needs", {"tools"}),
        ({"tools": []}, "needs", set()),
        ({"text": {"format": SCHEMA}}, "needs", {"json_schema"}),
        ({"text": {"format": {"type": "json_object"}}}, "needs", {"json_object"}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, "needs", set()),
        ({"input": '"input_image"'}, "needs", set()),
        ({"metadata": {"team": "a"}, "user": "u"}, "tags", {"team": "a", "user": "u"}),
        ({}, "follows", None),
        ({"previous_response_id": "resp_1"}, "follows", "resp_1"),
        ({"conversation": "conv_1"}, "follows", "conv_1"),
        ({"conversation": {"id": "conv_1"}}, "follows", "conv_1"),
        ({"previous_response_id": None, "conversation": None}, "follows", None),
    ],
)
def test_what_is_asked(more: dict[str, object], field: str, value: object) -> None:
    assert getattr(read(body(**more)), field) == value


def test_files_count_flat_and_their_bytes_do_not() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 100_000}
    text = {"type": "input_text", "text": "x" * 400}
    asked = read(body(input=[{"role": "user", "content": [text, image]}]))
    assert asked.needs == {"vision"}
    assert asked.input_tokens == 100 + openai.TOKENS_PER_IMAGE
    file = {"type": "input_file", "file_data": "A" * 100_000}
    asked = read(body(input=[{"role": "user", "content": [file]}]))
    assert (asked.needs, asked.input_tokens) == (frozenset(), openai.TOKENS_PER_IMAGE)


@pytest.mark.parametrize(
    ("broken", "param", "code"),
    [
        (b"[]", None, "wrong_type"),
        (b'{"input":"x"}', "model", "missing_field"),
        (body(input=7), "input", "wrong_type"),
        (body(max_output_tokens=0), "max_output_tokens", "wrong_type"),
        (body(metadata={"a": 1}), "metadata[...]", "wrong_type"),
        (body(metadata={str(n): "" for n in range(17)}), "metadata", "too_many_tags"),
        (body(previous_response_id="x" * 257), "previous_response_id", "wrong_type"),
        (body(input=[0] * 10_001), "input", "too_many"),
        (b'{"model":"m","model":"n","input":""}', "model", "duplicate_field"),
    ],
)
def test_what_cannot_be_served(broken: bytes, param: str | None, code: str) -> None:
    with pytest.raises(BadBody) as caught:
        read(broken)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_only_the_model_changes() -> None:
    sent = b'{ "input" : "a", "model":"auto" , "stream":true,"x":{"y":1e5}}'
    assert Passage(read(sent)).body("other") == sent.replace(b'"auto"', b'"other"')
    assert Passage(read(sent)).path == "/responses"


USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 130,
}
READ = Usage(input_tokens=30, cache_read_tokens=60, cache_write_tokens=10, output_tokens=10, reasoning_tokens=20)
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "12345678", "annotations": []}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'}
WHOLE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [MESSAGE, CALL],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": USAGE,
}


def answer(**more: object) -> bytes:
    return json.dumps({**WHOLE, **more}).encode()


def test_what_a_response_consumed_wrote_and_left_behind() -> None:
    Response.model_validate(WHOLE)
    assert Passage(read(body())).read(answer()) == Answered(READ, 4, None, "resp_1")
    assert Passage(read(body(store=True))).read(answer(usage=None)) == Answered(None, 4, None, "resp_1")
    assert Passage(read(body(store=False))).read(answer()) == Answered(READ, 4)
    costly = Passage(read(body(store=False))).read(answer(usage={**USAGE, "cost": 0.5}))
    assert costly == Answered(READ, 4, Decimal("0.5"))


def test_perplexity_counts_what_was_cached_in_words_of_its_own_and_says_what_it_cost() -> None:
    cost = {"currency": "USD", "input_cost": 0.001, "output_cost": 0.002, "tool_calls_cost": 0.005, "total_cost": 0.008}
    details = {"cache_creation_input_tokens": 10, "cache_read_input_tokens": 60}
    usage = {
        "input_tokens": 100,
        "input_tokens_details": details,
        "output_tokens": 30,
        "total_tokens": 130,
        "cost": cost,
        "tool_calls_details": {"search_web": {"invocation": 1}},
    }
    told = Usage(input_tokens=30, cache_read_tokens=60, cache_write_tokens=10, output_tokens=30)
    assert read_answer(answer(usage=usage), keeps=False) == Answered(told, 4, Decimal("0.008"))
    in_euros = {**usage, "cost": {**cost, "currency": "EUR"}}
    assert read_answer(answer(usage=in_euros), keeps=False) == Answered(told, 4)
    relay = Relay(keeps=False)
    relay.feed(event("response.completed", response={**WHOLE, "usage": usage}))
    assert (relay.usage, relay.provider_usd) == (told, Decimal("0.008"))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"null",
        b"<html>",
        b'{"error":{"message":"no"}}',
        b'{"output":null}',
        b'{"output":{}}',
        answer(status="failed", usage=None),
        b'{"output":[],"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_what_is_no_response(broken: bytes) -> None:
    assert read_answer(broken, keeps=True) is None


@pytest.mark.parametrize("output", [[7], [{"content": 7}], [{"content": [7, {"text": 7}], "arguments": {}}], [None]])
@pytest.mark.parametrize("usage", [7, {}, {"input_tokens": -1}, [], "x"])
def test_a_response_of_any_shape(output: object, usage: object) -> None:
    assert read_answer(answer(output=output, usage=usage, id=""), keeps=True) == Answered(None, 0)


def event(kind: str, end: str = "\n", **more: object) -> bytes:
    document = json.dumps({"type": kind, **more}, ensure_ascii=False)
    return f"event: {kind}{end}data: {document}{end}{end}".encode()


CREATED = event("response.created", response={**WHOLE, "status": "in_progress", "output": [], "usage": None})
ADDED = event("response.output_item.added", item=MESSAGE, output_index=0)
DELTA = event("response.output_text.delta", delta="hé🙂 1234", output_index=0)
COMPLETED = event("response.completed", response=WHOLE)
PLAIN = CREATED + ADDED + DELTA + COMPLETED


def relay(data: bytes, cuts: tuple[int, ...] = (), *, keeps: bool = True) -> tuple[Relay, bytes, bytes]:
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    made = Relay(keeps=keeps)
    early = b"".join(made.feed(data[a:b]) for a, b in itertools.pairwise(places))
    return made, early, made.finish()


def test_the_event_that_ends_it_comes_last() -> None:
    made, early, late = relay(PLAIN)
    assert (early, late) == (CREATED + ADDED + DELTA, COMPLETED)
    assert (made.usage, made.done, made.failed, made.began, made.made) == (READ, True, False, True, "resp_1")
    assert made.written_tokens == 2
    assert relay(PLAIN, keeps=False)[0].made is None
    assert relay(PLAIN + b"data: [DONE]\n\n")[2] == COMPLETED + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("data", "began", "done", "failed", "says", "usage"),
    [
        (b"", False, False, False, "", None),
        (CREATED, False, False, False, "", None),
        (CREATED + ADDED, True, False, False, "", None),
        (CREATED + event("error", code="x", message="overloaded", param=None), False, True, True, "overloaded", None),
        (event("error", error={"message": "overloaded"}), False, True, True, "overloaded", None),
        (
            event("response.failed", response={**WHOLE, "error": {"code": "x", "message": "bad"}}),
            False,
            True,
            True,
            "bad",
            READ,
        ),
        (event("response.failed", response={**WHOLE, "error": None}), False, True, True, "", READ),
        (event("response.failed", response=7), False, True, True, "", None),
        (event("response.incomplete", response=WHOLE), True, True, False, "", READ),
    ],
)
def test_how_a_stream_begins_and_ends(
    data: bytes, began: bool, done: bool, failed: bool, says: str, usage: Usage | None
) -> None:
    made, early, late = relay(data)
    assert early + late == data
    assert (made.began, made.done, made.failed, made.complaint, made.usage) == (began, done, failed, says, usage)


pieces = st.sampled_from(
    [
        CREATED,
        ADDED,
        DELTA,
        event("response.output_text.delta", "\r\n", delta="x"),
        event("response.output_text.delta", "\r", delta="é"),
        event("response.output_text.delta", delta=7),
        COMPLETED,
        event("error", message="m"),
        b": ping\r\n\r\n",
        b"data: [DONE]\n\n",
        b"data: not json\n\n",
        b"\r",
        b"\n",
        b"data: half",
    ]
)


@given(st.lists(pieces, max_size=7).map(b"".join), st.lists(st.integers(0, 900), max_size=9))
def test_any_split_relays_the_same_bytes_and_reads_the_same(data: bytes, cuts: list[int]) -> None:
    whole, early, late = relay(data)
    split, split_early, split_late = relay(data, tuple(cuts))
    assert early + late == data == split_early + split_late
    assert split_early == early
    for name in ("usage", "done", "failed", "complaint", "began", "made", "written_tokens"):
        assert getattr(split, name) == getattr(whole, name)


kinds = st.sampled_from(["response.output_text.delta", "response.refusal.delta", "response.output_text.done", "x", ""])
deltas = st.tuples(kinds, st.text(max_size=12) | st.none() | st.just([{"text": "in parts"}]))


@given(st.lists(deltas, max_size=5), st.booleans())
def test_the_short_way_reads_what_the_long_one_reads(stream: list[tuple[str, object]], escaped: bool) -> None:
    def read(before: str) -> Relay:
        said = (json.dumps({"type": kind, "delta": delta}, ensure_ascii=escaped)[1:] for kind, delta in stream)
        return relay("".join(f"data: {{{before}{each}\n\n" for each in said).encode())[0]

    short, long = read(""), read('"delta":7,')  # an event with that is not of the usual shape: the last one counts
    for name in ("usage", "written_tokens", "began", "failed", "done"):
        assert getattr(short, name) == getattr(long, name)


def test_an_event_of_the_usual_shape_is_passed_on_as_it_is() -> None:
    made = Relay(keeps=True)
    assert made.feed(DELTA) is DELTA
    assert (made.written_tokens, made.began) == (2, True)
