"""Expected answer lengths: assumed, then learnt by bucket, never above the client's cap."""

import pytest

from baseload.load.facts import Bucket, Facts
from baseload.policy.expect import MAX_TOKENS, UNSEEN_OUTPUT_TOKENS, WINDOW, AnswerLengths


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


def test_an_absurd_length_is_not_learnt():
    lengths = AnswerLengths()
    for tokens in (100, 10**400, 10**19, MAX_TOKENS + 1, -1):
        lengths.learn(Bucket.JUDGMENT, tokens)
    assert lengths.likely(facts()) == 100


def test_old_answers_are_slowly_forgotten():
    lengths = AnswerLengths()
    for tokens in [MAX_TOKENS] + [100] * (10 * WINDOW):
        lengths.learn(Bucket.JUDGMENT, tokens)
    assert lengths.likely(facts()) == 100
