"""Reading a request, splicing a model name into it, reading usage from an answer."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.wire import openai
from baseload.wire.body import BadBody
from baseload.wire.openai import read, rewrite

MESSAGES = b'[{"role":"user","content":"hi"}]'
SIXTEEN = b"{" + b",".join(b'"k%d":""' % n for n in range(16)) + b"}"


def body(more: bytes = b"") -> bytes:
    return b'{"model":"auto","messages":' + MESSAGES + more + b"}"


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        (b"", "stream", False),
        (b',"stream":true', "stream", True),
        (b',"stream":null', "stream", False),
        (b',"max_tokens":7', "output_cap", 7),
        (b',"max_tokens":7,"max_completion_tokens":9', "output_cap", 9),
        (b',"max_tokens":9,"max_completion_tokens":7', "output_cap", 9),
        (b',"max_tokens":null', "output_cap", None),
        (b',"stream_options":{"include_usage":true}', "usage_asked", True),
        (b',"stream_options":{"include_usage":false}', "usage_asked", False),
        (b',"stream_options":{}', "usage_asked", False),
        (b',"stream_options":null', "usage_asked", False),
        (b',"tools":[{"type":"function"}]', "needs", {"tools"}),
        (b',"tools":[]', "needs", set()),
        (b',"functions":[{"name":"f"}]', "needs", {"tools"}),
        (b',"response_format":{"type":"json_schema","json_schema":{}}', "needs", {"json_schema"}),
        (b',"response_format":{"type":"json_object"}', "needs", {"json_object"}),
        (b',"response_format":{"type":"text"}', "needs", set()),
        (b',"metadata":{"team":"a"},"user":"u"', "tags", {"team": "a", "user": "u"}),
        (b',"metadata":' + SIXTEEN + b',"user":"u"', "tags", {**{f"k{n}": "" for n in range(16)}, "user": "u"}),
        (b',"user":""', "tags", {}),
    ],
)
def test_what_is_asked(more: bytes, field: str, value: object) -> None:
    assert getattr(read(body(more)), field) == value


def test_a_picture_needs_vision_and_a_word_about_one_does_not() -> None:
    part = b'{"type":"image_url","image_url":{"url":"data:image/png;base64,' + b"A" * 100_000 + b'"}}'
    text = b'{"type":"text","text":"' + b"x" * 400 + b'"}'
    pictured = read(b'{"model":"m","messages":[{"role":"user","content":[' + text + b"," + part + b"]}]}")
    assert pictured.needs == {"vision"}
    assert pictured.input_tokens == 100 + openai.TOKENS_PER_IMAGE
    assert read(b'{"model":"m","messages":[{"role":"user","content":"an \\"image_url\\" is"}]}').needs == frozenset()


def test_input_tokens_are_a_quarter_of_the_bytes_of_messages_and_tools() -> None:
    assert read(body()).input_tokens == -(-len(MESSAGES[1:-1]) // 4)
    tool = b'{"type":"function","function":{"name":"f"}}'
    assert read(body(b',"tools":[' + tool + b"]")).input_tokens == -(-(len(MESSAGES[1:-1]) + len(tool)) // 4)


@pytest.mark.parametrize(
    ("broken", "param", "code"),
    [
        (b"", None, "bad_json"),
        (b"null", None, "wrong_type"),
        (b'"text"', None, "wrong_type"),
        (body()[:-1], None, "bad_json"),
        (body() + b"x", None, "bad_json"),
        (body(b',"x":nul'), None, "bad_json"),
        (body(b',"x":01'), None, "bad_json"),
        (body(b',"x":"\x01"'), None, "bad_json"),
        (body(b',"x":"\\q"'), None, "bad_json"),
        (body(b',"x":"\xed\xa0\x80"'), None, "bad_utf8"),
        (body(b',"x":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000), None, "bad_json"),
        (b'{"model":null,"messages":[1]}', "model", "wrong_type"),
        (b'{"model":"","messages":[1]}', "model", "wrong_type"),
        (b'{"model":"' + b"m" * 257 + b'","messages":[1]}', "model", "wrong_type"),
        (b'{"model":"m","messages":[]}', "messages", "wrong_type"),
        (b'{"model":"m","messages":{}}', "messages", "wrong_type"),
        (body(b',"max_tokens":0'), "max_tokens", "wrong_type"),
        (body(b',"max_tokens":1.5'), "max_tokens", "wrong_type"),
        (body(b',"max_tokens":"9"'), "max_tokens", "wrong_type"),
        (body(b',"stream_options":{"include_usage":1}'), "stream_options.include_usage", "wrong_type"),
        (body(b',"metadata":[1]'), "metadata", "wrong_type"),
        (body(b',"metadata":{' + b",".join(b'"k%d":""' % n for n in range(17)) + b"}"), "metadata", "too_many_tags"),
        (body(b',"metadata":{"' + b"k" * 65 + b'":""}'), "metadata", "too_many_tags"),
    ],
)
def test_what_cannot_be_served(broken: bytes, param: str | None, code: str) -> None:
    with pytest.raises(BadBody) as caught:
        read(broken)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.remedy.endswith(".")


# JSON as other programs write it: any spacing between tokens, keys with escapes.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
gaps = st.text(alphabet=" \t\r\n", max_size=2)
KNOWN = set(openai._Body.__struct_fields__)


@st.composite
def documents(draw: st.DrawFn, doubled: bool = False) -> str:
    """A request's text, its unknown fields anywhere among the known ones; `doubled`: one key stands twice."""
    extra = draw(st.dictionaries(st.text(max_size=5).filter(lambda key: key not in KNOWN), values, max_size=4))
    fields = [("model", "auto"), ("messages", [{"role": "user", "content": draw(st.text(max_size=5))}]), *extra.items()]
    if draw(st.booleans()):
        fields.append(("stream", True))
    if draw(st.booleans()):
        options = (
            {"x": 1, "include_usage": None} if draw(st.booleans()) else draw(st.sampled_from([None, {}, {"x": 1}]))
        )
        fields.append(("stream_options", options))
    fields = draw(st.permutations(fields))
    if doubled:
        double = draw(st.sampled_from(fields))
        fields = [*fields, (double[0], draw(st.sampled_from([double[1], 1, "auto"])))]
        fields = draw(st.permutations(fields))
    parts = [
        f"{draw(gaps)}{json.dumps(key, ensure_ascii=draw(st.booleans()))}{draw(gaps)}:{draw(gaps)}{json.dumps(value)}"
        f"{draw(gaps)}"
        for key, value in fields
    ]
    return f"{draw(gaps)}{{{','.join(parts)}}}{draw(gaps)}"


@given(documents(), st.text(min_size=1, max_size=6))
def test_only_the_model_and_include_usage_change(document: str, model: str) -> None:
    sent = document.encode("utf-8", "surrogatepass")
    asked = read(sent)
    got = rewrite(asked, model)
    expected = {**json.loads(document), "model": model}
    if asked.stream and not asked.usage_asked:
        expected["stream_options"] = {**(expected.get("stream_options") or {}), "include_usage": True}
    assert json.loads(got) == expected
    # Byte for byte: taking the splices out again gives back what was sent.
    place = asked.places["model"]
    if not asked.stream:
        assert got == sent[: place[0]] + msgspec.json.encode(model) + sent[place[1] :]
    else:
        spliced = b',"stream_options":{"include_usage":true}'
        assert len(got) <= len(sent) + len(msgspec.json.encode(model)) + len(spliced)


@given(documents(doubled=True))
def test_a_key_that_stands_twice_is_refused(document: str) -> None:
    with pytest.raises(BadBody):
        read(document.encode("utf-8", "surrogatepass"))


def test_a_double_is_not_hidden_by_a_value_of_the_right_length() -> None:
    # Seven bytes into the first `x` stands, nested, all that a walk by lengths alone would look for: it would take the
    # inner model for the one to replace, and the upstream would be asked for the outer one.
    with pytest.raises(BadBody, match="`x` stands twice"):
        read(b'{"x":{"a":11,"messages":[2],"model":"m"},"messages":[1],"model":"a","x":1234567}')


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (b"", b',"stream":true,"stream_options":{"include_usage":true}}'),
        (b',"stream_options":null', b',"stream":true,"stream_options":{"include_usage":true}}'),
        (b',"stream_options":{ }', b',"stream":true,"stream_options":{"include_usage":true}}'),
        (b',"stream_options":{"":1}', b',"stream":true,"stream_options":{"include_usage":true,"":1}}'),
        (b',"stream_options":{"x":1}', b',"stream":true,"stream_options":{"include_usage":true,"x":1}}'),
        (
            b',"stream_options":{"include_usage" : false, "x":1}',
            b',"stream":true,"stream_options":{"include_usage" : true, "x":1}}',
        ),
        (b',"stream_options":{"include_usage":true}', b',"stream":true,"stream_options":{"include_usage":true}}'),
    ],
)
def test_a_stream_is_asked_for_its_usage(options: bytes, expected: bytes) -> None:
    assert rewrite(read(body(b',"stream":true' + options)), "auto") == body()[:-1] + expected


def test_what_is_not_streamed_is_not_asked() -> None:
    assert rewrite(read(body()), "auto") == body()


def test_options_with_a_key_twice_are_refused() -> None:
    asked = body(b',"stream":true,"stream_options":{"include_usage":false,"include_usage":true}')
    with pytest.raises(BadBody):
        rewrite(read(asked), "m")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (b"".join(b',"%d":1' % n for n in range(200)), "200 fields"),
        (b',"tools":[' + b",".join([b"{}"] * 10_001) + b"]", "10,000 tools"),
        (b',"x":[' + b",".join([b"1"] * 200_001) + b"]", "200,000 values"),
        (b',"x":[' + b",".join([b'"a,b"'] * 200_002) + b"]", "200,000 values"),
    ],
)
def test_a_body_that_would_cost_much_to_read_is_refused(more: bytes, says: str) -> None:
    with pytest.raises(BadBody, match=f"Send at most {says}"):
        read(body(more))


def test_commas_in_texts_are_not_values() -> None:
    text = b"," * 300_000 + b'\\"' + b"," * 10
    assert read(b'{"model":"m","messages":["' + text + b'"]}').input_tokens > 70_000


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("cap", [0, 2**53 + 1, 10**19])
def test_an_absurd_cap_is_refused(name: str, cap: int) -> None:
    with pytest.raises(BadBody, match=name):
        read(body(f',"{name}":{cap}'.encode()))


def test_a_number_out_of_range_beside_a_picture_is_no_fault_of_ours() -> None:
    part = b'{"type":"image_url","image_url":{"url":"x","detail":1e999}},{"type":"text","text":"12345678"}'
    try:
        asked = read(b'{"model":"m","messages":[{"role":"user","content":[' + part + b"]}]}")
    except BadBody:
        return
    assert asked.input_tokens == 2 + openai.TOKENS_PER_IMAGE
