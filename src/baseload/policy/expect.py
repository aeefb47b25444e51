"""How long an answer is likely to be: what a request is expected to cost before it is answered. Pure."""

from __future__ import annotations

from baseload.load.facts import Bucket, Facts

UNSEEN_OUTPUT_TOKENS = 211
"""Assumed before any answer was seen: the mean of the 19,366 answers of the Azure 2023 conversation trace."""


WINDOW = 1_000
"""Answers of a bucket whose mean is plain; from there on each new one weighs a thousandth (an exponential mean)."""
MAX_TOKENS = 10**6
"""Longer answers than any model writes are not learnt from: one wrong count would drown a window of right ones."""

_NONE = (0, 0.0, UNSEEN_OUTPUT_TOKENS)


class AnswerLengths:
    """The mean of answer lengths by bucket, which slowly forgets."""

    def __init__(self) -> None:
        self._seen: dict[Bucket, tuple[int, float, int]] = {}  # how many answers count, their mean, whole tokens

    def learn(self, bucket: Bucket, tokens: int) -> None:
        """Remember how long an answer was."""
        if not 0 <= tokens <= MAX_TOKENS:
            return
        answers, mean, _ = self._seen.get(bucket, _NONE)
        if answers < WINDOW:
            answers += 1
        mean += (tokens - mean) / answers
        self._seen[bucket] = (answers, mean, round(mean))

    def likely(self, facts: Facts) -> int:
        """Tokens: the mean of the bucket so far, or the client's own cap when that is less."""
        return self.within(facts.bucket, facts.output_cap)

    def within(self, bucket: Bucket, cap: int | None) -> int:
        """`likely` for a request of that bucket, with that cap."""
        likely = self._seen.get(bucket, _NONE)[2]
        return likely if cap is None or likely < cap else cap
