"""How long an answer is likely to be: what a request is expected to cost before it is answered. Pure."""

from __future__ import annotations

from baseload.load.facts import Bucket, Facts

UNSEEN_OUTPUT_TOKENS = 211
"""Assumed before any answer was seen: the mean of the 19,366 answers of the Azure 2023 conversation trace."""


WINDOW = 1_000
"""Answers of a bucket whose mean is plain; from there on each new one weighs a thousandth (an exponential mean)."""
MAX_TOKENS = 10**6
"""Longer answers than any model writes are not learnt from: one wrong count would drown a window of right ones."""


class AnswerLengths:
    """The mean of answer lengths by bucket, which slowly forgets."""

    def __init__(self) -> None:
        self._seen: dict[Bucket, tuple[int, float]] = {}  # how many answers count, their mean

    def learn(self, bucket: Bucket, tokens: int) -> None:
        """Remember how long an answer was."""
        if not 0 <= tokens <= MAX_TOKENS:
            return
        answers, mean = self._seen.get(bucket, (0, 0.0))
        answers = min(answers + 1, WINDOW)
        self._seen[bucket] = (answers, mean + (tokens - mean) / answers)

    def likely(self, facts: Facts) -> int:
        """Tokens: the mean of the bucket so far, or the client's own cap when that is less."""
        _, mean = self._seen.get(facts.bucket, (0, UNSEEN_OUTPUT_TOKENS))
        return round(mean) if facts.output_cap is None else min(round(mean), facts.output_cap)
