"""What stands beside a verdict on the page: how sure it is, the business case, the five questions. Acts (prints)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baseload.cli.output import money, say, table

if TYPE_CHECKING:
    from baseload.plan.answer import Answer
    from baseload.plan.cash import Cash
    from baseload.plan.chances import Chances
    from baseload.plan.outcomes import OutcomeDocument
    from baseload.plan.questions import Questions
    from baseload.plan.scenario import Named

# The inputs that move the saving most; the document has them all.
FEW_INPUTS = 6


def show_beside(answer: Answer) -> None:
    """Print whatever of it there is."""
    if answer.chances is not None:
        _chances(answer.chances)
    if answer.cash is not None:
        _cash(answer.cash)
    if answer.questions is not None:
        _questions(answer.questions)
    if answer.outcomes is not None:
        _outcomes(answer.outcomes)


def show_scenario(scenario: Named) -> None:
    """Which case is answered, and what its source says comes out."""
    dated = f"{scenario.source}, {scenario.as_of}" if scenario.as_of is not None else scenario.source
    say(f"Scenario {scenario.name}: {scenario.title}{f' ({dated})' if dated else ''}")
    for claim in scenario.claims:
        say(f"  it says: {claim}")
    for each in scenario.notes:
        say(f"  note: {each}")
    say()


def _chances(chances: Chances) -> None:
    say(chances.sentence)
    rows = [
        [
            each.option,
            f"{each.cheapest:.0%}",
            f"{each.usd_per_month.p5:,.0f}",
            f"{each.usd_per_month.p50:,.0f}",
            f"{each.usd_per_month.p95:,.0f}",
            f"{each.regret_usd_per_month:,.0f}",
        ]
        for each in chances.options
    ]
    table("How sure", ["option", ">cheapest", ">5 %", ">middle", ">95 %", ">regret"], rows)
    if chances.rival is None:
        return
    ranked = sorted(chances.leanings, key=lambda each: -abs(each.saving_at_high - each.saving_at_low))
    table(
        f"What moves the saving of {chances.robust} against {chances.rival}, USD a month",
        ["input", ">at its 5 %", ">at its 95 %", ">of the variance", ">worth knowing"],
        [
            [
                each.input + (" (turns it)" if each.flips else ""),
                f"{each.saving_at_low:,.0f}",
                f"{each.saving_at_high:,.0f}",
                f"{each.variance_share:.0%}",
                f"{each.worth_knowing_usd_per_month:,.0f}",
            ]
            for each in ranked[:FEW_INPUTS]
        ],
    )


def _cash(cash: Cash) -> None:
    say(cash.sentence)
    rows = [
        [
            case.path,
            f"{case.yearly_factor:f}",
            money(case.npv_usd, 0),
            str(case.payback_month) if case.payback_month is not None else "never",
            f"{case.pays_from:%Y-%m}" if case.pays_from is not None else "-",
            f"{case.yearly_return:,.0%}" if case.yearly_return is not None else "-",
        ]
        for case in cash.cases
    ]
    rate = f"{cash.yearly_rate:%} a year" if cash.yearly_rate else "no interest"
    title = f"{cash.months} months, {money(cash.setup_usd, 0)} USD to move, {rate}"
    table(title, ["API price", ">x a year", ">NPV, USD", ">paid back in month", ">pays from", ">return a year"], rows)


def _outcomes(task: OutcomeDocument) -> None:
    """The cheapest token is not the cheapest answer: what its tasks say, at its success rates."""
    say()
    say(f"A task of this scenario done right: {task.sentence[0].lower()}{task.sentence[1:]}")
    for turn in task.turning:
        say(f"  H*: {turn.sentence}.")


def _questions(questions: Questions) -> None:
    say(questions.sentence)
    table(
        "",
        ["question", "answer", "because"],
        [
            [each.question, each.answer if each.answer != "unknown" else "?", each.because]
            for each in questions.questions
        ],
    )
    band = questions.band
    if band.article is not None:
        say(f"  At this volume the article's band says {band.article}; these figures say {band.computed}.")
    else:
        say(f"  The article has no band at this volume; these figures say {band.computed}.")
    article = "an" if questions.persona[0] in "aeiou" else "a"
    say(f"  For {article} {questions.persona}: {questions.next_step}")
