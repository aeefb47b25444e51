"""A stream relayed: the same bytes and the same usage however the network cuts it."""

from __future__ import annotations

import itertools
import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from baseload.errors import BadInput
from baseload.usage import Usage
from baseload.wire import events
from baseload.wire.sse import Relay

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
READ = Usage(input_tokens=7, cache_read_tokens=2, output_tokens=4)


def event(content: str | None = None, usage: object = None, end: str = "\n") -> bytes:
    choices = [] if content is None else [{"index": 0, "delta": {"content": content}}]
    document = {"choices": choices} if usage is None else {"choices": choices, "usage": usage}
    return f"data: {json.dumps(document, ensure_ascii=False)}{end}{end}".encode()


DONE = b"data: [DONE]\n\n"
ONLY_USAGE = event(usage=USAGE)
PLAIN = event("hé") + event("🙂 b") + ONLY_USAGE + DONE


def relay(data: bytes, cuts: tuple[int, ...] = (), *, hide: bool = True) -> tuple[Relay, bytes, bytes]:
    """What was relayed before the end, and what `finish` gave."""
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    made = Relay(hide_usage=hide)
    early = b"".join(made.feed(data[a:b]) for a, b in itertools.pairwise(places))
    return made, early, made.finish()


def test_everything_but_the_chunk_we_asked_for_and_done_last() -> None:
    made, early, late = relay(PLAIN)
    assert early == event("hé") + event("🙂 b")
    assert late == DONE
    assert (made.usage, made.done) == (READ, True)


def test_a_client_that_asked_for_usage_gets_it() -> None:
    made, early, late = relay(PLAIN, hide=False)
    assert early + late == PLAIN
    assert made.usage == READ


SHAPES = {
    "usage with choices is relayed": (event("a") + event("b", USAGE) + DONE, event("a") + event("b", USAGE) + DONE),
    "usage on every chunk is relayed": (event("a", USAGE) * 2 + ONLY_USAGE + DONE, event("a", USAGE) * 2 + DONE),
    "null usage is no usage": (event("a") + b'data: {"choices":[],"usage":null}\n\n' + ONLY_USAGE,) * 1
    + (event("a") + b'data: {"choices":[],"usage":null}\n\n',),
    "no choices at all": (b'data: {"usage":' + json.dumps(USAGE).encode() + b"}\n\n",) * 2,
    "no DONE": (event("a") + ONLY_USAGE, event("a")),
    "no blank line at the end": (event("a") + ONLY_USAGE[:-2], event("a")),
    "DONE without a blank line": (event("a") + ONLY_USAGE + b"data: [DONE]", event("a") + b"data: [DONE]"),
    "CRLF": (PLAIN.replace(b"\n", b"\r\n"), (event("hé") + event("🙂 b") + DONE).replace(b"\n", b"\r\n")),
    "CR": (PLAIN.replace(b"\n", b"\r"), (event("hé") + event("🙂 b") + DONE).replace(b"\n", b"\r")),
    "comments, ids, event names": (
        b": ping\n\nevent: message\nid: 7\n" + event("a") + b": x\n" + ONLY_USAGE + DONE,
        b": ping\n\nevent: message\nid: 7\n" + event("a") + DONE,
    ),
    "no space after the colon": (
        event("a") + ONLY_USAGE.replace(b"data: ", b"data:") + b"data:[DONE]\n\n",
        event("a") + b"data:[DONE]\n\n",
    ),
    "data over two lines": (
        b'data: {"choices":[],\ndata: "usage":' + json.dumps(USAGE).encode() + b"}\n\n" + DONE,
        DONE,
    ),
    "a byte order mark": (b"\xef\xbb\xbf" + event("a") + ONLY_USAGE + DONE, b"\xef\xbb\xbf" + event("a") + DONE),
    "something after DONE": (ONLY_USAGE + DONE + event("late") + b": bye\n\n", DONE + event("late") + b": bye\n\n"),
}


@pytest.mark.parametrize(("sent", "relayed"), SHAPES.values(), ids=SHAPES.keys())
def test_shapes(sent: bytes, relayed: bytes) -> None:
    made, early, late = relay(sent)
    assert early + late == relayed
    assert made.usage == READ


@pytest.mark.parametrize(
    "sent", [b"", b"\n\n\n", b"data: not json\n\n", b"data: [1]\n\n", b'data: {"usage":{"prompt_tokens":-1}}\n\n']
)
def test_what_is_not_ours_to_judge_is_relayed(sent: bytes) -> None:
    made, early, late = relay(sent)
    assert early + late == sent
    assert made.usage is None


def test_an_error_inside_the_stream_is_noticed() -> None:
    made, early, _ = relay(b'data: {"error":{"message":"out of memory"}}\n\n')
    assert (made.failed, made.complaint) == (True, "out of memory")
    assert early


def test_what_was_delivered_is_estimated() -> None:
    made, _, _ = relay(event("ab") * 3)
    assert made.written_tokens == 3
    made, _, _ = relay(event("x" * 400) + event(""))
    assert made.written_tokens == 100


@pytest.mark.parametrize(
    ("delta", "tokens"),
    [
        ('{"content":[{"type":"text","text":"12345678"}]}', 2),
        ('{"content":"x","tool_calls":null}', 1),
        ('{"refusal":"12345678"}', 2),
        ('{"reasoning":"12345678"}', 2),
        ('{"reasoning":"12345678","reasoning_content":"12345678"}', 2),
        ('"12345678"', 6),
    ],
)
@pytest.mark.parametrize("usage", ["null", '{"prompt_tokens":-1}', "7"])
def test_a_delta_of_any_shape_is_counted_beside_usage_of_any_shape(delta: str, tokens: int, usage: str) -> None:
    made, _, _ = relay(f'data: {{"choices":[{{"delta":{delta}}}],"usage":{usage}}}\n\n'.encode())
    assert (made.written_tokens, made.usage) == (tokens, None)


def test_a_garbled_chunk_still_says_its_usage() -> None:
    made, early, _ = relay(event("caf@", USAGE).replace(b"@", b"\xe9"))
    assert (made.usage, made.written_tokens) == (READ, 1)
    assert b"\xe9" in early


def test_a_chunk_nested_too_deep_is_relayed_and_the_stream_goes_on() -> None:
    made, early, _ = relay(b'data: {"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}\n\n" + PLAIN)
    assert made.usage == READ
    assert early.endswith(event("🙂 b"))


@pytest.mark.parametrize(
    ("sent", "began"),
    [
        (b"", False),
        (b": ping\n\n", False),
        (ONLY_USAGE, False),
        (b'data: {"error":{"message":"overloaded"}}\n\n', False),
        (b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n', True),
    ],
)
def test_a_stream_begins_with_its_first_choice(sent: bytes, began: bool) -> None:
    made, _, _ = relay(sent)
    assert made.began is began


def test_a_long_event_in_small_pieces_is_read_in_no_time() -> None:
    data, made = event("x" * 4_000_000), Relay(hide_usage=True)
    began = time.perf_counter()
    out = b"".join(made.feed(data[at : at + 1_400]) for at in range(0, len(data), 1_400))
    assert out == data
    assert time.perf_counter() - began < 0.5


def test_an_event_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENT_BYTES", 1000)
    made = Relay(hide_usage=True)
    for _ in range(10):
        made.feed(b"x" * 100)
    with pytest.raises(BadInput):
        made.feed(b"x")


def test_an_event_is_relayed_with_its_last_byte() -> None:
    made = Relay(hide_usage=True)
    assert [made.feed(bytes([byte])) for byte in event("a")][-1] == event("a")


pieces = st.sampled_from(
    [
        event("a"),
        event("hé🙂", end="\r\n"),
        event("c", end="\r"),
        event("d", USAGE),
        ONLY_USAGE,
        event(usage=USAGE, end="\r\n"),
        event(usage=USAGE, end="\r"),
        b": ping\r\n\r\n",
        b"\n",
        b"\r",
        b"\r\n",
        DONE,
        b"data: [DONE]\r\n\r\n",
        b"data: half",
        b"event: x\n",
    ]
)


@given(st.lists(pieces, max_size=8).map(b"".join), st.lists(st.integers(0, 600), max_size=12), st.booleans())
@example(event(usage=USAGE, end="\r") + b"\n" + event("a"), [len(event(usage=USAGE, end="\r"))], True)
@example(event("c", end="\r\n"), [len(event("c", end="\r\n")) - 1], True)
def test_any_split_relays_the_same_bytes_and_reads_the_same(data: bytes, cuts: list[int], hide: bool) -> None:
    whole, early, late = relay(data, hide=hide)
    for places in (tuple(cuts), tuple(range(len(data)))):
        split, split_early, split_late = relay(data, places, hide=hide)
        assert split_early + split_late == early + late
        assert (split.usage, split.done, split.written_tokens) == (whole.usage, whole.done, whole.written_tokens)
    if not hide:
        assert early + late == data


def tiered(*tiers: object, inside: object = None) -> bytes:
    """Chunks that say a tier each, then the usage, which may say one too."""
    texts = [{"choices": [{"index": 0, "delta": {"content": "x"}}], "service_tier": tier} for tier in tiers]
    usage = USAGE if inside is None else USAGE | {"service_tier": inside}
    return (
        b"".join(f"data: {json.dumps(each)}\n\n".encode() for each in (*texts, {"choices": [], "usage": usage})) + DONE
    )


@pytest.mark.parametrize(
    ("data", "tier"),
    [
        (tiered(None, None), ""),
        (tiered("default", "default"), ""),
        (tiered("flex", "flex"), "flex"),
        (tiered("auto", "priority"), "priority"),  # what was asked first, what was done last
        (tiered("priority", "default"), ""),  # and a fall back to the standard way
        (tiered(None, inside="batch"), "batch"),
        (tiered("flex", inside="standard"), "flex"),
        (tiered(7, ["flex"]), ""),
    ],
)
def test_the_service_tier_of_a_stream(data: bytes, tier: str) -> None:
    assert relay(data)[0].service_tier == tier


texts = st.text(max_size=12) | st.none()
deltas = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": texts,
        "refusal": texts,
        "reasoning": texts,
        "reasoning_content": texts,
        "tool_calls": st.none() | st.just([{"index": 0, "function": {"arguments": "{}"}}]),
    },
)
choices = st.fixed_dictionaries(
    {"index": st.just(0)},
    optional={"delta": deltas | st.none(), "text": texts, "finish_reason": st.just("stop"), "message": st.none()},
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(choices, max_size=2)},
    optional={
        "service_tier": st.sampled_from([None, "default", "flex", 7]),
        "usage": st.sampled_from([None, USAGE]),
        "error": st.sampled_from([None, {"message": "no"}]),
    },
)


@given(st.lists(chunks, max_size=5), st.booleans())
def test_the_short_way_reads_what_the_long_one_reads(stream: list[dict[str, object]], escaped: bool) -> None:
    def read(more: dict[str, object]) -> Relay:
        data = "".join(f"data: {json.dumps(each | more, ensure_ascii=escaped)}\n\n" for each in stream)
        return relay(data.encode(), hide=False)[0]

    short, long = read({}), read({"x_groq": {}})  # a chunk with that is not of the usual shape
    for name in ("usage", "written_tokens", "service_tier", "began", "failed", "complaint"):
        assert getattr(short, name) == getattr(long, name)


@pytest.mark.parametrize("more", [{}, {"usage": None}, {"service_tier": "default", "obfuscation": "x"}])
def test_an_event_of_the_usual_shape_is_passed_on_as_it_is(more: dict[str, object]) -> None:
    made, choice = Relay(hide_usage=True), {"index": 0, "delta": {"content": "h\u00e9 "}, "logprobs": None}
    for _ in range(2):
        data = b"data: %b\n\n" % json.dumps({"choices": [choice], **more}).encode()
        assert made.feed(data) is data
    assert made.written_tokens == 2
