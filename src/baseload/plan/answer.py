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
from baseload.plan.cash import Cash, cash
from baseload.plan.chances import Chances, chances, typed_case
from baseload.plan.document import DecideDocument, plain
from baseload.plan.itemised import api_way, decide_on_ways, load_of
from baseload.plan.options import TokenPrice, Volume
from baseload.plan.questions import Evidence, Questions, questions
from baseload.plan.scenario import Answers, Named, Scenario, machines_of, named, prices_of, volume_of
from baseload.plan.ways_case import ways_case
from baseload.units import HOURS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

MINUTES_PER_DAY = HOURS_PER_DAY * SECONDS_PER_HOUR // SECONDS_PER_MINUTE


class Answer(DecideDocument, frozen=True, kw_only=True):
    """A decision with what surrounds it; `chances` and `cash` are of typed figures, null where there are none."""

    scenario: Named | None = None
    chances: Chances | None = None
    questions: Questions | None = None
    cash: Cash | None = None


def answer(scenario: Scenario, named_prices: Sequence[TokenPrice], today: date) -> Answer:
    """Answer a scenario. `named_prices` are those of its `models`, looked up in the books; `today` lies in month 1."""
    volume, machines = volume_of(scenario), machines_of(scenario)
    prices = [*prices_of(scenario), *named_prices]
    kind = scenario.machine.kind if scenario.machine is not None else "rented"
    document = decide_on_prices(volume, prices, machines, kind=kind)
    case = typed_case(volume, prices, machines)
    return msgspec.structs.replace(
        _plain(document),
        scenario=named(scenario) if scenario.title else None,
        chances=chances(case, case.options[0]),
        questions=_questions(document, scenario.answers, None),
        cash=cash(document.options, scenario.outlay, today),
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
    document = decide_on_ways(volume, prices, machines, assumptions)
    apis = [api_way(price) for price in prices]
    case = ways_case([*apis, *machines], load_of(volume), assumptions)
    paid = msgspec.structs.replace(scenario.outlay, setup=0, exit=0)
    return msgspec.structs.replace(
        _plain(document),
        chances=chances(case, case.options[0]),
        questions=_questions(document, scenario.answers, None),
        cash=cash(document.options, paid, today),
    )


def with_questions(document: DecideDocument, answers: Answers, evidence: Evidence | None = None) -> Answer:
    """A metered decision with the five questions; how long was metered is known from it."""
    if evidence is None and document.metered is not None:
        evidence = Evidence(days=plain(Decimal(document.metered.minutes) / MINUTES_PER_DAY))
    return msgspec.structs.replace(_plain(document), questions=_questions(document, answers, evidence))


def decide_schema() -> dict[str, Any]:
    """The JSON Schema of `baseload.decide/1`. Exact figures are JSON numbers with all their digits."""
    schema = msgspec.json.schema(Answer)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "baseload.decide/1",
        "title": "baseload.decide/1",
        **_numbers(schema),
    }


def _questions(document: DecideDocument, answers: Answers, evidence: Evidence | None) -> Questions:
    verdict = document.verdict
    return questions(document.volume.tokens, verdict.cheapest, verdict.kind, answers, evidence)


def _plain(document: DecideDocument) -> Answer:
    """The same document, with nothing around it yet."""
    known: dict[str, Any] = {name: getattr(document, name) for name in document.__struct_fields__}
    return Answer(**known)


def _numbers(schema: Any) -> Any:  # noqa: ANN401 a JSON Schema nests as it likes
    """msgspec describes a Decimal as text; the documents write it as a number."""
    if isinstance(schema, list):
        return [_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {"type": "number"} | {key: value for key, value in schema.items() if key not in ("type", "format")}
    return {key: _numbers(value) for key, value in schema.items()}
