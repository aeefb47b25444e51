"""Rules of the articles: volume bands, five questions, three conditions, outcomes, buckets. Pure.

A rule comes out when it is found again from outside: by asking the product at volumes, answers or conditions and seeing
where its answer turns.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeAlias

from baseload.cost.outcomes import course, turning_correction, until_success
from baseload.load.facts import Bucket
from baseload.plan.articles_figures import Books, Figure, Ours, Recipe, Value, ends, short
from baseload.plan.articles_node import hourly, node, output_rate, usd_per_mtok
from baseload.plan.questions import Evidence, Questions, band, persona, questions
from baseload.plan.scenario import Answers
from baseload.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK

# A share of the required accuracy that surely passes, and one that surely does not.
_GOOD, _POOR = "1", "0"
_Replies: TypeAlias = tuple[bool, ...]


def band_bounds(figure: Figure, _: Books) -> Ours:
    """From where to where the band of a volume reaches, asked again at both of its bounds."""
    found = band(figure.number("tokens_per_month"), "", "api")
    low, high = found.from_tokens_per_month, found.to_tokens_per_month
    inside = band(low, "", "api").article == found.article
    outside = high is None or band(high, "", "api").article != found.article
    beyond = band(high, "", "api").article if high is not None else found.article
    gap = "" if beyond else "; above it neither the article nor we name one, up to the next row"
    words = f"`{found.article}`, lower bound in, upper out{gap}"
    return Ours((low, high) if inside and outside else None, words)


def replies(figure: Figure) -> Iterator[tuple[_Replies, Questions]]:
    """All 32 sets of answers to the five questions, and what follows."""
    for yes in itertools.product((True, False), repeat=5):
        volume, sensitive, fine_tuning, team, accuracy = yes
        answers = Answers(
            sensitive=sensitive, fine_tuning=fine_tuning, team=team, accuracy=_GOOD if accuracy else _POOR
        )
        yield yes, questions(figure.number("many" if volume else "few"), "", "api", answers)


def fewest_yes(figure: Figure, _: Books) -> Ours:
    """The fewest answers with yes that make it worth a look."""
    turned = [found.yes for _, found in replies(figure) if found.worth_a_look]
    return Ours(Decimal(min(turned)), f"{len(turned)} of 32 sets of answers say that it is worth a look")


def question_counts(figure: Figure, _: Books) -> Ours:
    """Whether this question can turn the advice, the others given."""
    place = int(figure.number("place"))
    advice = {yes: found.worth_a_look for yes, found in replies(figure)}
    turned = sum(advice[yes] != advice[(*yes[:place], False, *yes[place + 1 :])] for yes in advice if yes[place])
    return Ours(
        "holds" if turned else "does not hold",
        f"asked, not computed; its answer turns the advice in {turned} of 16 cases",
    )


def volume_question(_: Figure, __: Books) -> Ours:
    """The volume from which the first question is answered with yes, to a million tokens."""

    def many(millions: int) -> bool:
        asked = questions(Decimal(millions) * TOKENS_PER_MTOK, "", "api", Answers()).questions
        return next(each.answer for each in asked if each.id == "volume") == "yes"

    first = bisect_left(range(100_000), True, lo=1, key=many)
    return Ours(Decimal(first) * TOKENS_PER_MTOK, "answered from data: the first million tokens a month that say yes")


def accuracy_question(figure: Figure, _: Books) -> Ours:
    """The lowest accuracy that passes, in parts of a thousand of what is required."""

    def enough(parts: int) -> bool:
        answers = Answers(accuracy=str(Decimal(parts) / 1000))
        asked = questions(figure.number("few"), "", "api", answers).questions
        return next(each.answer for each in asked if each.id == "accuracy") == "yes"

    lowest = bisect_left(range(1001), True, key=enough)
    return Ours(
        Decimal(lowest) / 1000,
        "of the required accuracy; measured where an own model and another served the same bucket",
    )


def months_of_data(figure: Figure, books: Books) -> Ours:
    """The first month of metering after which one is no longer told to wait."""
    volume = figure.number("few")
    first = next(
        month
        for month in range(1, 25)
        if persona(volume, Answers(), Evidence(days=Decimal(month * books.days_per_month))) != "prototyper"
    )
    return Ours(Decimal(first), f"at {short(volume / TOKENS_PER_MTOK)} M tokens a month without a team of one's own")


def drains(figure: Figure, books: Books) -> Ours:
    """How many of the named drains are components of the cost model."""
    known = [each for each in figure.words("components") if each in books.components]
    return Ours(Decimal(len(known)), f"each is a line of a bill: {', '.join(known)}")


def tries(figure: Figure, _: Books) -> Ours:
    """Tries per success when each fails with a probability."""
    return Ours(until_success(Decimal(1), 1 - figure.number("failing")), "1 / (1 - p): every try is paid")


def turning(figure: Figure, _: Books) -> Ours:
    """H*: what a correction by hand must cost for the large model to be the cheaper one, in tries of the small one."""
    large = course(figure.number("cost_ratio"), 1, corrected=False)
    failed = int(figure.number("failed"))
    found: dict[str, Value] = {}
    for name, count in (("after_five_tries", failed), ("with_a_sixth_try", failed + 1)):
        found[name] = turning_correction(course(Decimal(1), count, corrected=True), large)
    return Ours(found, "10 tries' worth less the tries paid; without a correction the small model is cheaper")


def bucket(figure: Figure, _: Books) -> Ours:
    """The bucket of that name that requests are put into."""
    found = Bucket(figure.text("bucket"))
    return Ours(found.value, f"one of {', '.join(Bucket)}; a policy names routes for each")


def three_conditions(figure: Figure, books: Books) -> Ours:
    """How many of three must hold for the node to win: full batch, dear API, spread operations, in all eight cases."""
    rate = round(output_rate(books, node(books).max_in_flight), 0)
    empty = figure.number("empty_fill")
    dear = books.output(figure.text("dear"), figure.text("dear_book"))
    cheap = books.output(figure.text("cheap"), figure.text("cheap_book"))
    spread_ops, own_ops = books.rented.total.low, figure.number("engineer_usd_per_month")
    winning: list[tuple[bool, ...]] = []
    for conditions in itertools.product((False, True), repeat=3):
        full, premium, amortised = conditions
        filled = rate * (1 if full else empty)
        month = filled * SECONDS_PER_HOUR * HOURS_PER_MONTH / TOKENS_PER_MTOK
        cost = usd_per_mtok(hourly(books), filled).high + (spread_ops if amortised else own_ops) / month
        if cost < (dear if premium else cheap):
            winning.append(conditions)
    needed = sum(all(conditions[place] for conditions in winning) for place in range(3)) if winning else 0
    return Ours(
        Decimal(needed),
        f"batch full or at {empty:.0%}, API at {short(dear)} or {short(cheap)} USD/M output, {short(spread_ops)} or "
        f"{short(own_ops)} USD a month for people, node at {short(ends(hourly(books))[1])} USD/h: it wins in "
        f"{len(winning)} of 8 cases",
    )


RECIPES: dict[str, Recipe] = {
    **dict.fromkeys(("A1-05", "A1-10", "A1-11", "A1-12", "A1-13"), band_bounds),
    "A1-16": tries,
    "A1-17": turning,
    "A1-18": fewest_yes,
    "A1-19": volume_question,
    **dict.fromkeys(("A1-20", "A1-21", "A1-22"), question_counts),
    "A1-23": accuracy_question,
    "A1-26": months_of_data,
    "A1-27": drains,
    **dict.fromkeys(("A2-B1", "A2-B2", "A2-B3"), bucket),
    "A3-19": three_conditions,
}
