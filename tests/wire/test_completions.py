"""Text completions and embeddings: read, passed on as they are, counted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion, CreateEmbeddingResponse

from baseload.usage import Usage
from baseload.wire import completions, embeddings
from baseload.wire.answer import Answered
from baseload.wire.asked import Asked, Operation
from baseload.wire.body import BadBody

PROMPTS = {
    "a text": ("12345678", 2),
    "more bytes than letters": ("🙂🙂", 2),
    "texts": (["1234", "12345"], 3),
    "tokens": ([5, 6, 7], 3),
    "tokens of texts": ([[1, 2], [3]], 3),
    "nothing": ([], 0),
}


@pytest.mark.parametrize(("prompt", "tokens"), PROMPTS.values(), ids=PROMPTS.keys())
def test_a_prompt_in_every_form(prompt: object, tokens: int) -> None:
    asked = completions.read(json.dumps({"model": "m", "prompt": prompt}).encode())
    assert (asked.input_tokens, asked.operation) == (tokens, Operation.COMPLETIONS)
    asked = embeddings.read(json.dumps({"model": "m", "input": prompt}).encode())
    assert (asked.input_tokens, asked.operation, asked.output_cap) == (tokens, Operation.EMBEDDINGS, 0)


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({}, "output_cap", None),
        ({"max_tokens": 7}, "output_cap", 7),
        ({"max_tokens": 0, "echo": True, "logprobs": 1}, "output_cap", None),
        ({"stream": True}, "stream", True),
        ({"stream_options": {"include_usage": True}}, "usage_asked", True),
        ({"suffix": "12345678"}, "input_tokens", 3),
        ({"user": "u"}, "tags", {"user": "u"}),
        ({"prompt": None}, "input_tokens", 0),
    ],
)
def test_what_a_completion_asks(more: dict[str, object], field: str, value: object) -> None:
    assert getattr(completions.read(json.dumps({"model": "m", "prompt": "1234", **more}).encode()), field) == value


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"prompt":"x"}', "model"),
        (b'{"model":"m","prompt":7}', "prompt"),
        (b'{"model":"m","prompt":[1.5]}', "prompt[0]"),
        (b'{"model":"m","prompt":"x","max_tokens":-1}', "max_tokens"),
        (b'{"model":"m","prompt":"x","prompt":"y"}', "prompt"),
        (b'{"model":"m","prompt":"x","stream_options":{"a":1,"a":2}}', "a"),
        (b"[]", None),
    ],
)
def test_a_completion_that_cannot_be_served(body: bytes, param: str | None) -> None:
    with pytest.raises(BadBody) as caught:
        completions.read(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [(b'{"model":"m"}', "input"), (b'{"input":"x"}', "model"), (b'{"model":"m","input":{}}', "input")],
)
def test_embeddings_that_cannot_be_served(body: bytes, param: str) -> None:
    with pytest.raises(BadBody) as caught:
        embeddings.read(body)
    assert caught.value.param == param


def sent(asked: Asked) -> object:
    passage = completions.Passage(asked) if asked.operation is Operation.COMPLETIONS else embeddings.Passage(asked)
    return json.loads(passage.body("other"))


@given(st.dictionaries(st.sampled_from(["echo", "logprobs", "n", "x"]), st.integers()), st.booleans())
def test_only_the_model_and_include_usage_change(more: dict[str, int], stream: bool) -> None:
    document = {"prompt": "x", **more, "model": "m", "stream": stream}
    expected = {**document, "model": "other"} | ({"stream_options": {"include_usage": True}} if stream else {})
    assert sent(completions.read(json.dumps(document).encode())) == expected
    document = {"input": ["x"], **more, "model": "m", "stream": stream}
    assert sent(embeddings.read(json.dumps(document).encode())) == {**document, "model": "other"}


COMPLETION = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": "123456789", "logprobs": None, "finish_reason": "stop"}],
}


def completion_passage(stream: bool = False) -> completions.Passage:
    return completions.Passage(completions.read(json.dumps({"model": "m", "prompt": "", "stream": stream}).encode()))


def test_what_a_completion_consumed_and_wrote() -> None:
    passage = completion_passage()
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    answer = {**COMPLETION, "usage": usage}
    Completion.model_validate(answer)
    assert passage.read(json.dumps(answer).encode()) == Answered(Usage(input_tokens=5, output_tokens=2), 0)
    assert passage.read(json.dumps(COMPLETION).encode()) == Answered(None, 3)
    assert passage.path == "/completions"


def test_a_streamed_completion() -> None:
    stream = completion_passage(stream=True).stream()
    chunk = b"data: " + json.dumps(COMPLETION).encode() + b"\n\n"
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'
    assert stream.feed(chunk + usage + b"data: [DONE]\n\n") == chunk
    assert stream.finish() == b"data: [DONE]\n\n"
    assert (stream.usage, stream.written_tokens) == (Usage(input_tokens=5, output_tokens=2), 3)


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(input_tokens=5)),
        ({"total_tokens": 5}, Usage(input_tokens=5)),
        (None, None),
        ({}, None),
    ],
)
def test_what_embeddings_consumed(usage: object, read: Usage | None) -> None:
    answer: dict[str, object] = {"object": "list", "model": "m", "usage": usage}
    answer["data"] = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
    if isinstance(usage, dict) and len(usage) == 2:
        CreateEmbeddingResponse.model_validate(answer)
    passage = embeddings.Passage(embeddings.read(b'{"model":"m","input":"x"}'))
    assert passage.read(json.dumps(answer).encode()) == Answered(read, 0)


@pytest.mark.parametrize(
    "answer", [b"", b"null", b"<html>", b'{"data":null}', b'{"data":{}}', b'{"error":{}}', b"\xe9"]
)
def test_what_is_no_embedding(answer: bytes) -> None:
    assert embeddings.read_answer(answer) is None
