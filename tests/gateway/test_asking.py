"""Which bucket a request is served in: its header, its tags, the alias it names, its task, in this order."""

import msgspec
import pytest

from baseload.gateway.asking import facts_of, said
from baseload.gateway.head import Head, Request
from baseload.load.facts import Bucket
from baseload.policy.policy import Policy, Route
from baseload.wire import openai
from baseload.wire.body import BadBody

POLICY = Policy(
    routes=(Route(name="r", upstream="u", model="big", offer="o/big", success={Bucket.FLAGSHIP: 0.9}),),
    aliases={"auto": Bucket.JUDGMENT, "auto:economy": Bucket.BANDWIDTH},
)


def bucket(model: str, header: str = "", **metadata: str) -> Bucket:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "metadata": metadata}
    headers = [(b"x-baseload-bucket", header.encode())] if header else []
    request = Request(Head("POST", "/v1/chat/completions", headers), msgspec.json.encode(body))
    return facts_of(openai.read(request.body), said(request.head), POLICY, 0).bucket


@pytest.mark.parametrize(
    ("model", "header", "metadata", "expected"),
    [
        ("auto", "", {}, Bucket.JUDGMENT),
        ("auto:economy", "", {}, Bucket.BANDWIDTH),
        ("auto:economy", "flagship", {}, Bucket.FLAGSHIP),
        ("auto", "trivial", {}, Bucket.BANDWIDTH),
        ("auto", "", {"task": "classify"}, Bucket.BANDWIDTH),
        ("auto", "", {"task": "classify", "bucket": "reasoning"}, Bucket.FLAGSHIP),
        ("auto", "", {"task": "no such task"}, Bucket.JUDGMENT),
        ("big", "", {}, Bucket.FLAGSHIP),
    ],
)
def test_what_decides_the_bucket(model, header, metadata, expected):
    assert bucket(model, header, **metadata) is expected


@pytest.mark.parametrize(("header", "metadata"), [("genius", {}), ("", {"bucket": "genius"})])
def test_a_bucket_that_does_not_exist_is_refused(header, metadata):
    with pytest.raises(BadBody, match="'genius' is no bucket"):
        bucket("auto", header, **metadata)
