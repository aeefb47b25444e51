from __future__ import annotations

from decimal import Decimal

import pytest

from baseload.errors import BadInput
from baseload.plan.questions import Evidence, band, questions
from baseload.plan.scenario import Answers

NOBODY = Answers()
B = Decimal(10) ** 9


def asked(tokens, answers=NOBODY, evidence=None):
    return questions(Decimal(tokens), "api", "api", answers, evidence)


def test_what_nobody_said_is_asked():
    found = asked(B)
    assert [each.answer for each in found.questions] == ["no", "unknown", "unknown", "unknown", "unknown"]
    assert [each.answered_from for each in found.questions] == ["data", "nobody", "nobody", "nobody", "nobody"]
    assert (found.yes, found.unknown, found.worth_a_look) == (0, 4, None)
    assert all("--" in each.because for each in found.questions[1:])


@pytest.mark.parametrize(
    ("tokens", "answers", "worth"),
    [
        (B * 10, Answers(team=True, sensitive=True), True),
        (B * 10, Answers(team=True), None),
        (B * 10 - 1, Answers(team=True, sensitive=True), None),
        (B, Answers(team=False, sensitive=False, fine_tuning=False), False),
        (B, Answers(team=True, sensitive=True, fine_tuning=True), True),
        (B, Answers(team=True, sensitive=True, fine_tuning=False, accuracy="0.94"), False),
        (B, Answers(team=True, sensitive=True, fine_tuning=False, accuracy=0.95), True),
    ],
)
def test_three_of_five(tokens, answers, worth):
    assert asked(tokens, answers).worth_a_look is worth


def test_data_answers_and_a_person_overrules_it():
    evidence = Evidence(residency="own", accuracy=Decimal("0.97"))
    found = {each.id: each for each in asked(B, NOBODY, evidence).questions}
    assert (found["sensitive"].answer, found["sensitive"].answered_from) == ("yes", "data")
    assert (found["accuracy"].answer, found["accuracy"].answered_from) == ("yes", "data")
    found = {each.id: each for each in asked(B, Answers(sensitive=False, accuracy="0.5"), evidence).questions}
    assert (found["sensitive"].answer, found["sensitive"].answered_from) == ("no", "you")
    assert found["accuracy"].answer == "no"


@pytest.mark.parametrize(
    ("tokens", "article", "api", "rented"),
    [
        (Decimal(59_999_999), "standard API", True, False),
        (Decimal(60_000_000), "tiered API, or a small self-hosted model", True, True),
        (B / 2, "managed GPU platforms", False, False),
        (B * 5 - 1, "managed GPU platforms", False, False),
        (B * 5, None, None, None),
        (B * 10 - 1, None, None, None),
        (B * 10, "full self-hosting", False, True),
        (B * 1000, "full self-hosting", False, True),
    ],
)
def test_bands_and_their_gap(tokens, article, api, rented):
    assert band(tokens, "x", "api").article == article
    assert band(tokens, "x", "api").agrees is api
    assert band(tokens, "x", "rented").agrees is rented


@pytest.mark.parametrize(
    ("tokens", "answers", "evidence", "who"),
    [
        (Decimal(10**6), NOBODY, None, "prototyper"),
        (B, NOBODY, Evidence(days=Decimal(20)), "prototyper"),
        (B, NOBODY, Evidence(days=Decimal(90)), "scale-up"),
        (B, Answers(team=True), Evidence(days=Decimal(20)), "scale-up"),
        (B * 10, NOBODY, None, "enterprise"),
        (B, Answers(team=True, sensitive=True), None, "enterprise"),
    ],
)
def test_personas(tokens, answers, evidence, who):
    found = asked(tokens, answers, evidence)
    assert found.persona == who
    assert found.next_step


def test_a_measured_share_of_plain_tasks_replaces_the_articles():
    assert "63 %" in asked(B * 10, NOBODY, Evidence(plain_share=Decimal("0.63"))).next_step
    assert "80 %" in asked(B * 10).next_step


@pytest.mark.parametrize("accuracy", ["1.01", "-0.1", "much", "nan", 95])
def test_an_accuracy_is_a_share(accuracy):
    with pytest.raises(BadInput):
        asked(B, Answers(accuracy=accuracy))


def test_no_volume():
    with pytest.raises(BadInput):
        asked(0)
