"""The tags of other gateways' headers are understood, and cannot push ours aside or make a request fail."""

import msgspec
import pytest

from baseload.gateway.tagging import add_tags, read_tags
from baseload.wire import openai
from baseload.wire.body import BadBody

SEEN = [
    ("x-baseload-tag-team", "a", {"team": "a"}),
    ("x-litellm-tags", "one, team:b,,", {"one": "true", "team": "b"}),
    ("x-litellm-customer-id", "c1", {"customer": "c1"}),
    ("x-litellm-end-user-id", "c2", {"customer": "c2"}),
    ("x-litellm-spend-logs-metadata", '{"project":"p","run":7,"nested":{}}', {"project": "p", "run": "7"}),
    ("helicone-user-id", "ann", {"user": "ann"}),
    ("helicone-session-id", "s1", {"session": "s1"}),
    ("helicone-property-user-tier", "gold", {"user-tier": "gold"}),
    ("x-portkey-metadata", '{"_user":"ann","environment":"prod"}', {"user": "ann", "environment": "prod"}),
    ("x-portkey-trace-id", "t1", {"trace": "t1"}),
    ("x-portkey-api-key", "secret", {}),
    ("helicone-auth", "Bearer secret", {}),
    ("x-portkey-metadata", "not JSON", {}),
    ("x-portkey-metadata", "[" * 5_000, {}),
    ("x-litellm-timeout", "5", {}),
    ("helicone-property-", "x", {}),
    ("cookie", "team=a", {}),
]


@pytest.mark.parametrize(("name", "value", "tags"), SEEN, ids=[f"{row[0]} {row[1][:12]}" for row in SEEN])
def test_what_a_header_says(name: str, value: str, tags: dict[str, str]) -> None:
    found: dict[str, str] = {}
    add_tags(read_tags([(name.encode(), value.encode())]), found)
    assert found == tags


def test_ours_and_the_body_stand_before_theirs() -> None:
    found = {"team": "body"}
    headers = [(b"helicone-property-team", b"x"), (b"helicone-user-id", b"x"), (b"x-baseload-tag-user", b"ours")]
    add_tags(read_tags(headers), found)
    assert found == {"team": "body", "user": "ours"}


def test_theirs_beyond_the_bounds_are_cut_and_ours_are_refused() -> None:
    found: dict[str, str] = {}
    add_tags(read_tags([(b"helicone-property-%d" % number, b"x" * 600) for number in range(20)]), found)
    assert [len(value) for value in found.values()] == [512] * 16
    with pytest.raises(BadBody):
        add_tags(read_tags([(b"x-baseload-tag-one", b"x" * 600)]), {})


def test_the_metadata_of_litellms_clients_is_heard_and_not_sent_on() -> None:
    body = {"metadata": {"tags": ["a", "team:b"], "run": 7, "plain": "p"}, "model": "m", "messages": [1], "usage": {}}
    asked = openai.read(msgspec.json.encode(body))
    assert asked.tags == {"a": "true", "team": "b", "plain": "p"}
    sent = msgspec.json.decode(openai.rewrite(asked, "other"))
    assert sent == {"metadata": {"plain": "p"}, "model": "other", "messages": [1]}
    assert "metadata" in asked.dropped[0]


@pytest.mark.parametrize(
    "body",
    [
        b'{"usage":{"include":true},"metadata":{"n":1},"model":"m","messages":[1]}',
        b'{ "model" : "m" , "usage" : {"include":true} , "messages":[1] , "metadata" : {"n":1} }',
        b'{"model":"m","messages":[1],"metadata":{"n":1},"usage":{"include":true}}',
    ],
)
@pytest.mark.parametrize("stream", [b"false", b"true"])
def test_wherever_they_stand(body: bytes, stream: bytes) -> None:
    asked = openai.read(body.replace(b'"messages"', b'"stream":' + stream + b',"messages"'))
    sent = msgspec.json.decode(openai.rewrite(asked, "m"))
    options = {"stream_options": {"include_usage": True}} if stream == b"true" else {}
    assert sent == {"model": "m", "messages": [1], "stream": stream == b"true", **options}
    assert (asked.cost_asked, asked.usage_asked) == (True, True)
