"""Expected answer lengths: assumed, then learnt by bucket, never above the client's cap."""

import pytest

from baseload.load.facts import Bucket, Facts
from baseload.policy.expect import UNSEEN_OUTPUT_TOKENS, AnswerLengths


def facts(bucket: Bucket = Bucket.JUDGMENT, cap: int | None = None) -> Facts:
    return Facts(at_ns=0, model="auto", bucket=bucket, input_tokens=10, output_cap=cap)


@pytest.mark.parametrize(
    ("learnt", "asked", "likely"),
    [
        ([], facts(), UNSEEN_OUTPUT_TOKENS),
        ([], facts(cap=7), 7),
        ([(Bucket.JUDGMENT, 100), (Bucket.JUDGMENT, 300)], facts(), 200),
        ([(Bucket.JUDGMENT, 100), (Bucket.JUDGMENT, 300)], facts(cap=50), 50),
        ([(Bucket.JUDGMENT, 100)], facts(cap=5000), 100),
        ([(Bucket.FLAGSHIP, 9000)], facts(), UNSEEN_OUTPUT_TOKENS),
    ],
)
def test_likely_length(learnt, asked, likely):
    lengths = AnswerLengths()
    for bucket, tokens in learnt:
        lengths.learn(bucket, tokens)
    assert lengths.likely(asked) == likely
