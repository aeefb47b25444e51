"""There and back: what a conversation says survives the way into the other dialect and home, whole or streamed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.usage import Usage
from baseload.wire import anthropic, chat_to_messages, messages_to_chat, openai
from baseload.wire.answer import usage_in as openai_usage
from baseload.wire.anthropic_answer import usage_in as anthropic_usage
from baseload.wire.completion_from_message import Chunks, completion
from baseload.wire.completion_from_message import counted as as_openai
from baseload.wire.message_from_completion import Events, message
from baseload.wire.message_from_completion import counted as as_anthropic

TEXT = st.text(min_size=1, max_size=30)
ID = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
NAME = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(TEXT, JSON, max_size=3).map(lambda value: json.dumps(value, ensure_ascii=False))


@st.composite
def call(draw: st.DrawFn) -> dict[str, Any]:
    function = {"name": draw(NAME), "arguments": draw(ARGUMENTS)}
    return {"id": draw(ID), "type": "function", "function": function}


@st.composite
def exchange(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A question, and an answer that may call tools, whose results follow."""
    calls = draw(st.lists(call(), max_size=3, unique_by=lambda each: each["id"]))
    said: dict[str, Any] = {"role": "assistant", "content": draw(TEXT) if not calls or draw(st.booleans()) else None}
    results = [{"role": "tool", "tool_call_id": each["id"], "content": draw(TEXT)} for each in calls]
    asked: list[dict[str, Any]] = (
        [{"role": "user", "content": draw(TEXT)}] if not results or draw(st.booleans()) else []
    )
    return [said | ({"tool_calls": calls} if calls else {}), *results, *asked]


CHAT = st.tuples(
    st.lists(TEXT.map(lambda text: {"role": "system", "content": text}), max_size=1),
    TEXT.map(lambda text: [{"role": "user", "content": text}]),
    st.lists(exchange(), max_size=3).map(lambda found: [each for turn in found for each in turn]),
).map(lambda parts: [each for part in parts for each in part])


def said(messages: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """What a conversation says, in order: neighbours of one role are one turn to Anthropic."""
    found: list[tuple[object, ...]] = []
    for each in messages:
        content = each.get("content")
        texts = [content] if isinstance(content, str) else [part["text"] for part in content or ()]
        found += [(each["role"], each.get("tool_call_id"), text) for text in texts]
        for made in each.get("tool_calls", ()):
            found.append(("call", made["id"], made["function"]["name"], made["function"]["arguments"]))
    return found


@settings(max_examples=200)
@given(CHAT)
def test_a_chat_there_and_back(chat: list[dict[str, Any]]) -> None:
    asked = openai.read(json.dumps({"model": "m", "messages": chat}).encode())
    there = chat_to_messages.Passage(asked)
    back = messages_to_chat.Passage(anthropic.read(there.body("claude-x")))
    assert said(json.loads(back.body("m"))["messages"]) == said(chat)
    assert there.dropped == back.dropped == ()


@st.composite
def answer(draw: st.DrawFn) -> dict[str, Any]:
    """A whole chat completion."""
    calls = draw(st.lists(call(), max_size=3))
    text = draw(st.none() | TEXT) if calls else draw(TEXT)
    written: dict[str, Any] = {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})
    if draw(st.booleans()):
        written["reasoning_content"] = draw(TEXT)
    finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length", "content_filter"]))
    usage = {"prompt_tokens": draw(st.integers(0, 10**6)), "completion_tokens": draw(st.integers(0, 10**6))}
    choice = {"index": 0, "message": written, "finish_reason": finish}
    return {"id": draw(ID), "model": "m", "choices": [choice], "usage": usage}


def of_answer(document: dict[str, Any]) -> tuple[object, ...]:
    (choice,) = document["choices"]
    written = choice["message"]
    calls = [
        (each["id"], each["function"]["name"], each["function"]["arguments"]) for each in written.get("tool_calls", ())
    ]
    usage = document["usage"]
    counts = (usage["prompt_tokens"], usage["completion_tokens"])
    reasoning = written.get("reasoning_content")
    return written["content"], reasoning, calls, choice["finish_reason"], counts, document["id"]


@given(answer())
def test_an_answer_there_and_back(whole: dict[str, Any]) -> None:
    there = message(json.dumps(whole).encode(), input_tokens=0)
    assert of_answer(json.loads(completion(there))) == of_answer(whole)


def streamed(whole: dict[str, Any], size: int) -> bytes:
    """A whole answer as an upstream streams it, in pieces of a few characters."""
    (choice,) = whole["choices"]
    written = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content"):
        deltas += [{name: each} for each in pieces(written.get(name) or "", size)]
    for at, made in enumerate(written.get("tool_calls", ())):
        head = {"index": at, "id": made["id"], "function": {"name": made["function"]["name"], "arguments": ""}}
        rest = [{"index": at, "function": {"arguments": each}} for each in pieces(made["function"]["arguments"], size)]
        deltas += [{"tool_calls": [each]} for each in (head, *rest)]
    choices: list[Any] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}])
    chunks: list[dict[str, Any]] = [{"id": whole["id"], "model": "m", "choices": each} for each in choices]
    chunks.append({"id": whole["id"], "model": "m", "choices": [], "usage": whole["usage"]})
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def put_together(stream: bytes) -> dict[str, Any]:
    """A stream of chunks as the whole answer that it tells."""
    written: dict[str, Any] = {"content": None}
    whole: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    finish = None
    for line in stream.split(b"\n"):
        if not line.startswith(b"data: ") or line == b"data: [DONE]":
            continue
        chunk = json.loads(line[6:])
        whole |= {"id": chunk["id"]} | ({"usage": chunk["usage"]} if "usage" in chunk else {})
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            for name in ("content", "reasoning_content"):
                if choice["delta"].get(name):
                    written[name] = (written.get(name) or "") + choice["delta"][name]
            for each in choice["delta"].get("tool_calls", ()):
                made = calls.setdefault(each["index"], each | {"function": {**each["function"], "arguments": ""}})
                made["function"]["arguments"] += each["function"]["arguments"]
    if calls:
        written["tool_calls"] = [calls[at] for at in sorted(calls)]
    return whole | {"choices": [{"message": written, "finish_reason": finish}]}


@given(answer(), st.integers(1, 7))
def test_a_stream_there_and_back(whole: dict[str, Any], size: int) -> None:
    events, chunks = Events(input_tokens=0), Chunks(usage_asked=True)
    sent = streamed(whole, size)
    there = events.feed(sent) + events.finish()
    found = put_together(chunks.feed(there) + chunks.finish())
    assert of_answer(found) == of_answer(whole)
    assert not events.failed
    assert not chunks.failed
    assert events.usage == chunks.usage


COUNT = st.integers(0, 10**6)


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_usage_there_and_back(fresh: int, read: int, stored: int, output: int, thought: int) -> None:
    usage = Usage(
        input_tokens=fresh,
        cache_read_tokens=read,
        cache_write_tokens=stored,
        output_tokens=output,
        reasoning_tokens=thought,
    )
    assert anthropic_usage(json.dumps(as_anthropic(usage)).encode()) == usage
    told = openai_usage(json.dumps(as_openai(usage)).encode())
    assert told is not None
    assert (told.prompt_tokens, told.completion_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    assert (told.cache_read_tokens, told.reasoning_tokens) == (read, thought)
