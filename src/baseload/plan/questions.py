"""Article 1's five questions, its volume bands, and the next step for who is asking. Pure.

A question is answered from data where there is data, and from what a person said where there is not; the rest is asked.
Three or more of five "yes" mean that running models oneself is worth looking at: the money decides then, not the count.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from baseload.errors import BadInput
from baseload.plan.document import Kind, plain
from baseload.plan.scenario import Answers
from baseload.plan.verdict import quantity_words

Reply = Literal["yes", "no", "unknown"]
Persona = Literal["prototyper", "scale-up", "enterprise"]

SOURCE = '"Self-Hosted LLMs vs APIs: A Complete Cost Modeling Guide for 2026"'
MANY_TOKENS = Decimal(10_000_000_000)
ENOUGH_ACCURACY = Decimal("0.95")
ENOUGH_YES = 3
ENOUGH_DAYS = 90
# The article's bands by tokens a month, the upper end not included. It gives none from 5 to 10 billion.
_BANDS = (
    (Decimal(0), Decimal(60_000_000), "standard API"),
    (Decimal(60_000_000), Decimal(500_000_000), "tiered API, or a small self-hosted model"),
    (Decimal(500_000_000), Decimal(5_000_000_000), "managed GPU platforms"),
    (Decimal(5_000_000_000), MANY_TOKENS, None),
    (MANY_TOKENS, None, "full self-hosting"),
)
# Which kinds of option each band's answer means.
_MEANS: dict[str, frozenset[Kind]] = {
    "standard API": frozenset({"api"}),
    "tiered API, or a small self-hosted model": frozenset({"api", "hybrid", "rented", "spot"}),
    "managed GPU platforms": frozenset({"brokered"}),
    "full self-hosting": frozenset({"rented", "reserved", "spot", "owned"}),
}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question with its answer, where the answer comes from, and what it rests on or how to give one."""

    id: Literal["volume", "sensitive", "fine_tuning", "team", "accuracy"]
    question: str
    answer: Reply
    answered_from: Literal["data", "you", "nobody"]
    because: str


class BandEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The article's answer for a volume (null where it has none) beside the computed one, and whether they agree."""

    from_tokens_per_month: Decimal
    to_tokens_per_month: Decimal | None
    article: str | None
    computed: str
    agrees: bool | None


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """The five questions, the band and the next step. `worth_a_look` is null while open questions may still turn it."""

    source: str
    questions: tuple[Question, ...]
    yes: int
    unknown: int
    worth_a_look: bool | None
    sentence: str
    band: BandEntry
    persona: Persona
    next_step: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, null where nothing was: a constraint on where data may go (`residency`), for how many `days`,
    which share of calls asked for no more than the lowest bucket (`plain_share`), and how often an own model succeeded
    for each success of the best route (`accuracy`)."""

    residency: str | None = None
    days: Decimal | None = None
    plain_share: Decimal | None = None
    accuracy: Decimal | None = None


def questions(
    tokens_per_month: Decimal, cheapest: str, kind: Kind, answers: Answers, evidence: Evidence | None = None
) -> Questions:
    """Answer what can be answered. `cheapest` and `kind` are what the figures say. Raises BadInput for an accuracy that
    is not 0 to 1."""
    if tokens_per_month <= 0:
        raise BadInput(f"{tokens_per_month} tokens a month is no volume", remedy="Give tokens above zero.")
    known = evidence if evidence is not None else Evidence()
    asked = (
        _volume(tokens_per_month),
        _sensitive(answers, known),
        _fine_tuning(answers),
        _team(answers),
        _accuracy(answers, known),
    )
    yes = sum(each.answer == "yes" for each in asked)
    unknown = sum(each.answer == "unknown" for each in asked)
    worth = True if yes >= ENOUGH_YES else False if yes + unknown < ENOUGH_YES else None
    who = persona(tokens_per_month, answers, known)
    return Questions(
        source=SOURCE,
        questions=asked,
        yes=yes,
        unknown=unknown,
        worth_a_look=worth,
        sentence=_sentence(yes, unknown, worth),
        band=band(tokens_per_month, cheapest, kind),
        persona=who,
        next_step=_next_step(who, known),
    )


def band(tokens_per_month: Decimal, cheapest: str, kind: Kind) -> BandEntry:
    """The article's band of a volume, beside the computed answer."""
    low, high, article = next(row for row in _BANDS if row[1] is None or tokens_per_month < row[1])
    return BandEntry(
        from_tokens_per_month=low,
        to_tokens_per_month=high,
        article=article,
        computed=cheapest,
        agrees=kind in _MEANS[article] if article is not None else None,
    )


def persona(tokens_per_month: Decimal, answers: Answers, evidence: Evidence) -> Persona:
    """Who is asking, in the article's words.

    An enterprise moves 10 B tokens a month, or has a team and data that may not leave. Below 60 M, or with less than
    three months of data and no team, one is still prototyping. Between them one scales up.
    """
    if tokens_per_month >= MANY_TOKENS or (answers.team and answers.sensitive):
        return "enterprise"
    if tokens_per_month < _BANDS[1][0] or (
        evidence.days is not None and evidence.days < ENOUGH_DAYS and not answers.team
    ):
        return "prototyper"
    return "scale-up"


def _volume(tokens: Decimal) -> Question:
    many = tokens >= MANY_TOKENS
    words = f"{quantity_words(tokens)} tokens a month, {'at least' if many else 'below'} 10 B"
    return _answered("volume", "Is the volume over 10 billion tokens a month?", many, "data", words)


def _sensitive(answers: Answers, evidence: Evidence) -> Question:
    text = "Is the data so sensitive that it must not leave your own network?"
    if answers.sensitive is not None:
        return _answered("sensitive", text, answers.sensitive, "you", "as you said")
    if evidence.residency == "own":
        return _answered("sensitive", text, True, "data", "the policy keeps calls on own machines")
    return _open("sensitive", text, "say --sensitive or --not-sensitive")


def _fine_tuning(answers: Answers) -> Question:
    text = "Do you need fine-tuning that APIs do not offer?"
    if answers.fine_tuning is not None:
        return _answered("fine_tuning", text, answers.fine_tuning, "you", "as you said")
    return _open("fine_tuning", text, "say --fine-tuning or --no-fine-tuning")


def _team(answers: Answers) -> Question:
    text = "Do you have a team that runs machines for models?"
    if answers.team is not None:
        return _answered("team", text, answers.team, "you", "as you said")
    return _open("team", text, "say --team or --no-team")


def _accuracy(answers: Answers, evidence: Evidence) -> Question:
    text = "Does an open model reach 95 % of the accuracy you need?"
    if answers.accuracy is not None:
        share = _share(str(answers.accuracy))
        return _answered("accuracy", text, share >= ENOUGH_ACCURACY, "you", f"you said {plain(share * 100):f} %")
    if evidence.accuracy is not None:
        words = f"own models succeed {plain(evidence.accuracy * 100):.4g} % as often as the best route"
        return _answered("accuracy", text, evidence.accuracy >= ENOUGH_ACCURACY, "data", words)
    return _open("accuracy", text, "evaluate one on your own tasks, then say --accuracy 0.97")


def _share(text: str) -> Decimal:
    try:
        share = Decimal(text)
    except InvalidOperation:
        share = Decimal(-1)
    if not (share.is_finite() and 0 <= share <= 1):
        raise BadInput(f"an accuracy of {text!r} is not 0 to 1", remedy="Give a share of what is required, as in 0.97.")
    return share


def _answered(
    id: Literal["volume", "sensitive", "fine_tuning", "team", "accuracy"],
    text: str,
    answer: bool,
    origin: Literal["data", "you"],
    because: str,
) -> Question:
    return Question(id=id, question=text, answer="yes" if answer else "no", answered_from=origin, because=because)


def _open(id: Literal["sensitive", "fine_tuning", "team", "accuracy"], text: str, how: str) -> Question:
    return Question(id=id, question=text, answer="unknown", answered_from="nobody", because=how)


def _sentence(yes: int, unknown: int, worth: bool | None) -> str:
    open_ones = f", {unknown} open" if unknown else ""
    if worth is None:
        return f"{yes} of 5 questions say yes{open_ones}: three would make running models oneself worth a look."
    if worth:
        return f"{yes} of 5 questions say yes{open_ones}: running models oneself is worth a look."
    return f"{yes} of 5 questions say yes{open_ones}: fewer than three, so nothing but money speaks for it."


def _next_step(who: Persona, evidence: Evidence) -> str:
    if who == "prototyper":
        return "Stay on APIs and meter: after three months of stable data, decide again on the ledger."
    if who == "scale-up":
        return "Weigh managed open-model providers first: the price of open models without machines to run."
    if evidence.plain_share is not None:
        share = f"{evidence.plain_share * 100:.0f} % of the calls"
        return f"Pilot the plain tasks, {share}, on one own machine and prove the return before moving the rest."
    return (
        "Find the share of plain tasks (the article expects 80 %), pilot those on one own machine, then move the rest."
    )
