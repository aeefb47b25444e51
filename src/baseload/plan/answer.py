"""The whole answer to a scenario: the decision, how sure it is, the five questions, the business case. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from baseload.cost.parameters import Assumptions
from baseload.cost.ways import Way
from baseload.plan.advice import decide_on_prices
from baseload.plan.assumptions import TYPED
from baseload.plan.cash import Cash, cash
from baseload.plan.chances import Chances, chances, typed_case
from baseload.plan.document import DecideDocument, Money, plain
from baseload.plan.itemised import asked, decided
from baseload.plan.json_schema import json_schema
from baseload.plan.options import TokenPrice, Volume
from baseload.plan.outcomes import OutcomeDocument
from baseload.plan.question import Question
from baseload.plan.questions import Evidence, Questions, questions
from baseload.plan.scenario import Answers, Named, Scenario, machines_of, named, prices_of, volume_of
from baseload.plan.ways_case import ways_case
from baseload.units import HOURS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

MINUTES_PER_DAY = HOURS_PER_DAY * SECONDS_PER_HOUR // SECONDS_PER_MINUTE


class Answer(DecideDocument, frozen=True, kw_only=True):
    """A decision with what surrounds it; `cash` is null where there are no machines to weigh, `outcomes` where the
    scenario has none."""

    scenario: Named | None = None
    chances: Chances | None = None
    questions: Questions | None = None
    cash: Cash | None = None
    outcomes: OutcomeDocument | None = None


def answer(
    scenario: Scenario, named_prices: Sequence[TokenPrice], today: date, task: OutcomeDocument | None = None
) -> Answer:
    """Answer a scenario. `named_prices` are those of its `models`, looked up in the books; `today` lies in month 1;
    `task` answers its `outcomes`."""
    volume, machines = volume_of(scenario), machines_of(scenario)
    prices = [*prices_of(scenario), *named_prices]
    kind = scenario.machine.kind if scenario.machine is not None else "rented"
    document = decide_on_prices(volume, prices, machines, kind=kind)
    case = typed_case(volume, prices, machines)
    pair = document.verdict.cheapest, document.verdict.against
    known = chances(case, case.options[0], pair=pair)
    return msgspec.structs.replace(
        _plain(_sourced(_held_against(document, known), scenario)),
        scenario=named(scenario) if scenario.title else None,
        chances=known,
        questions=_questions(document, scenario.answers, None),
        cash=cash(document.options, scenario.outlay, today),
        outcomes=task,
    )


def answer_ways(
    volume: Volume,
    prices: Sequence[TokenPrice],
    machines: Sequence[Way],
    assumptions: Assumptions,
    scenario: Scenario,
    today: date,
) -> Answer:
    """Answer with every component of the cost model; of `scenario` only the answers and the outlay count.

    What the model spreads over its horizon, setup and exit, is in the months already: the business case starts at zero.
    """
    return answer_question(asked(volume, prices, machines, assumptions), assumptions, scenario, today)


def answer_question(question: Question, assumptions: Assumptions, scenario: Scenario, today: date) -> Answer:
    """Answer by the cost model, whatever door the question came in by; of `scenario` only answers and outlay count."""
    found = decided(question, assumptions)
    case = ways_case(found.ways, question.load, assumptions, found.held)
    paid = msgspec.structs.replace(scenario.outlay, setup=0, exit=0)
    document = found.document
    pair = document.verdict.cheapest, document.verdict.against
    known = chances(case, case.options[0], pair=pair)
    evidence = None
    if document.metered is not None:
        evidence = Evidence(days=plain(Decimal(document.metered.minutes) / MINUTES_PER_DAY))
    return msgspec.structs.replace(
        _plain(_held_against(document, known)),
        chances=known,
        questions=_questions(document, scenario.answers, evidence),
        cash=cash(document.options, paid, today),
    )


def _sourced(document: DecideDocument, scenario: Scenario) -> DecideDocument:
    """The same with the scenario as the source of its figures: nobody typed them on the command line."""
    if not scenario.source:
        return document
    rows = tuple(
        msgspec.structs.replace(row, source=scenario.source, date=scenario.as_of) if row.source == TYPED else row
        for row in document.assumptions
    )
    return msgspec.structs.replace(document, assumptions=rows)


def _held_against(document: DecideDocument, known: Chances) -> DecideDocument:
    """The verdict's saving with the ends of its drawn cases, in each of which both options cost what they cost then."""
    verdict, paired = document.verdict, known.verdict
    if paired is None or verdict.saving_usd_per_month is None:
        return document
    likely, drawn = verdict.saving_usd_per_month.likely, paired.saving_usd_per_month
    ends = [plain(Decimal(str(end))) for end in (drawn.p5, drawn.p95)]
    saving = Money(low=min(ends[0], likely), likely=likely, high=max(ends[1], likely))
    return msgspec.structs.replace(document, verdict=msgspec.structs.replace(verdict, saving_usd_per_month=saving))


def decide_schema() -> dict[str, Any]:
    """The JSON Schema of `baseload.decide/1`. Exact figures are JSON numbers with all their digits."""
    return json_schema(Answer, "baseload.decide/1")


def _questions(document: DecideDocument, answers: Answers, evidence: Evidence | None) -> Questions:
    verdict = document.verdict
    machines = next(option.machines for option in document.options if option.name == verdict.cheapest)
    kind = ("hybrid" if machines else "api") if verdict.kind == "now" else verdict.kind
    return questions(document.volume.tokens, verdict.cheapest, kind, answers, evidence)


def _plain(document: DecideDocument) -> Answer:
    """The same document, with nothing around it yet."""
    known: dict[str, Any] = {name: getattr(document, name) for name in document.__struct_fields__}
    return Answer(**known)
