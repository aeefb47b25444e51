"""Rules of the articles: volume bands, five questions, three conditions, outcomes, buckets. Pure.

A rule comes out when it is found again from outside: by asking at every volume, answer or condition and seeing where
the answer turns.
"""

from __future__ import annotations

import itertools
from decimal import Decimal

from baseload.cost.outcomes import course, turning_correction, until_success
from baseload.load.facts import Bucket
from baseload.plan.articles_figures import Books, Figure, Ours, Recipe, Value, ends, short
from baseload.plan.articles_node import hourly, node, output_rate, usd_per_mtok
from baseload.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK

_BANDS = ("A1-10", "A1-11", "A1-12", "A1-13")
_QUESTIONS = ("A1-19", "A1-20", "A1-21", "A1-22", "A1-23")


def band(tokens_a_month: Decimal, books: Books) -> str:
    """What article 1's table calls the cheapest at a volume; empty where no row covers it."""
    for row in (books.figures[each] for each in _BANDS):
        high = (row.inputs or {}).get("to")
        if row.number("from") <= tokens_a_month and (not isinstance(high, Decimal) or tokens_a_month < high):
            return row.text("cheapest")
    return ""


def band_bounds(figure: Figure, books: Books) -> Ours:
    """From where to where one way is named the cheapest, found by asking at every bound and just below it."""
    asked = sorted(
        {
            bound - step
            for row in (books.figures[each] for each in _BANDS)
            for bound in (row.number("from"), (row.inputs or {}).get("to"))
            if isinstance(bound, Decimal)
            for step in (0, 1)
            if bound >= step
        }
        | {Decimal(10) ** 12}
    )
    inside = [volume for volume in asked if band(volume, books) == figure.text("cheapest")]
    gaps = [volume for volume in asked if not band(volume, books)]
    open_ended = inside[-1] == asked[-1]
    beside = f"; no row covers {short(gaps[0] / TOKENS_PER_MTOK)} M up to 10,000 M" if gaps else ""
    return Ours(
        (inside[0], None if open_ended else inside[-1] + 1),
        f"`{figure.text('cheapest')}`, lower bound in, upper out{beside}",
    )


def time_to_look(answers: tuple[bool, ...], books: Books) -> bool:
    """Whether so many of the five questions are answered with yes that self-hosting is worth a look."""
    return sum(answers) >= books.figures["A1-18"].number("yes")


def fewest_yes(_: Figure, books: Books) -> Ours:
    """The fewest answers with yes that turn the advice, over all 32 sets of answers."""
    sets = list(itertools.product((False, True), repeat=len(_QUESTIONS)))
    turning = [sum(answers) for answers in sets if time_to_look(answers, books)]
    return Ours(Decimal(min(turning)), f"{len(turning)} of {len(sets)} sets of answers say yes")


def question_counts(figure: Figure, books: Books) -> Ours:
    """Whether this question is one that can turn the advice, the others given."""
    place = _QUESTIONS.index(figure.id)
    turned = 0
    for others in itertools.product((False, True), repeat=len(_QUESTIONS) - 1):
        yes, no = ((*others[:place], answer, *others[place:]) for answer in (True, False))
        turned += time_to_look(yes, books) != time_to_look(no, books)
    return Ours(
        "holds" if turned else "does not hold",
        f"asked, not computed; its answer turns the advice in {turned} of {2 ** (len(_QUESTIONS) - 1)} cases",
    )


def volume_question(figure: Figure, books: Books) -> Ours:
    """The volume from which the table names full self-hosting the cheapest: where question 1 is answered with yes."""
    millions = next(
        step for step in range(1, 100_001) if band(Decimal(step) * TOKENS_PER_MTOK, books) == figure.text("cheapest")
    )
    return Ours(
        Decimal(millions) * TOKENS_PER_MTOK, f"the first million tokens a month with `{figure.text('cheapest')}`"
    )


def accuracy_question(figure: Figure, _: Books) -> Ours:
    """The lowest accuracy that passes, in parts of a thousand of what is required."""
    floor = figure.number("share_of_required")
    lowest = next(Decimal(part) / 1000 for part in range(1001) if Decimal(part) / 1000 >= floor)
    return Ours(lowest, "of the required accuracy; measured per bucket, as the success of a route in the policy")


def months_of_data(figure: Figure, _: Books) -> Ours:
    """The first month of metering after which a plan for good is drawn."""
    first = next(month for month in range(1, 25) if month >= figure.number("months"))
    return Ours(Decimal(first), "a rule, carried over: until then the verdict says to go on metering")


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
    **dict.fromkeys(("A1-05", *_BANDS), band_bounds),
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
