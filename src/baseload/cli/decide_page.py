"""The decision as a page of text: verdict, options, crossings, chart, assumptions. Acts (prints)."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from baseload.cli.output import hint, how_many, money, say, table

if TYPE_CHECKING:
    from decimal import Decimal

    from baseload.plan.document import Assumption, CurveEntry, DecideDocument, OptionEntry

FEW_CROSSINGS = 6
CHART_POINTS = 160


def show(document: DecideDocument, *, plot: bool, assumptions: bool = True) -> None:
    """Print the answer first, then what it stands on, unless its `assumptions` are left out."""
    verdict = document.verdict
    say(verdict.sentence)
    if verdict.hidden_stack is not None:
        say(verdict.hidden_stack.sentence)
    say()
    columns = ["option", "kind", ">USD/month", ">low to high", ">machines"]
    same = _as_now(document.options)
    shown = [option for option in document.options if option.name not in same]
    table("", columns, [_option_row(option) for option in shown])
    for option in shown:
        if option.note:
            say(f"  {option.name}: {option.note}.")
    for name in same:
        say(f"  {name}: the same to the cent, as now.")
    for each in document.cannot:
        say(f"  {each.name} cannot be: {each.why}")
    _turning(document)
    if plot and sys.stdout.isatty():
        _chart(document.curves)
    if assumptions:
        table(
            "Assumptions",
            ["", "value", "unit", "known", "source"],
            [_assumption_row(each) for each in document.assumptions],
        )
    hint(verdict.next)


def _as_now(options: Sequence[OptionEntry]) -> list[str]:
    """The APIs that cost to the cent what is paid now: not a second option, but what it is bought as."""
    now = {round(option.usd_per_month.likely, 2) for option in options if option.kind == "now"}
    return [each.name for each in options if each.kind == "api" and round(each.usd_per_month.likely, 2) in now]


def _option_row(option: OptionEntry) -> list[str]:
    cost = option.usd_per_month
    ends = f"{money(cost.low, 0)} to {money(cost.high, 0)}" if cost.low != cost.high else "exact"
    return [option.name, option.kind, money(cost.likely), ends, str(option.machines) if option.kind != "api" else "-"]


def _turning(document: DecideDocument) -> None:
    """What would turn the answer: crossings over volume, critical fill, the other axes."""
    _crossings(document)
    if document.critical_fill is not None:
        fill = document.critical_fill
        words = "it never pays" if fill > 1 else f"a machine pays its own rent when it is busier than {fill:.1%}"
        say(f"  Critical fill {fill:.1%}: {words}.")
    for each in document.fills:
        say(f"    machine {each.machine}: {each.fill:.1%} busy, {'pays' if each.pays else 'does not pay'}")
    for flip in document.verdict.flips:
        if flip.axis != "volume":
            say(f"  {flip.sentence[0].upper()}{flip.sentence[1:]}.")
    for flip in document.verdict.hybrid_flips:
        say(f"  {flip.sentence[0].upper()}{flip.sentence[1:]}.")
    for words in document.verdict.hybrid_silent:
        say(f"  {words[0].upper()}{words[1:]}")
    say()


def _crossings(document: DecideDocument) -> None:
    from baseload.plan.verdict import quantity_words

    found = document.crossings
    if not found:
        if any(option.kind not in ("api", "hybrid") for option in document.options):
            say("  No crossing: the cheaper of API and own machines is the same at every volume.")
        return
    first, last = found[0], found[-1]
    count = how_many(len(found), "crossing")
    start, end = quantity_words(first.tokens_per_month), quantity_words(last.tokens_per_month)
    span = f"between {start} and {end}" if len(found) > 1 else f"at {start}"
    tail = f"; beyond, {last.cheaper_after} stays cheaper" if document.crossings_complete else "; more beyond"
    say(f"  {count} {span} tokens a month{tail}.")
    hidden = len(found) - FEW_CROSSINGS
    for place, crossing in enumerate(found):
        if hidden > 0 and FEW_CROSSINGS // 2 <= place < FEW_CROSSINGS // 2 + hidden:
            if place == FEW_CROSSINGS // 2:
                say(f"        ...  {hidden} more, to and fro (all of them with --json)")
            continue
        say(
            f"    {quantity_words(crossing.tokens_per_month):>7}  {money(crossing.usd_per_month):>12} USD"
            f"  {crossing.cheaper_before} -> {crossing.cheaper_after} ({crossing.kind})"
        )


def _chart(curves: Sequence[CurveEntry]) -> None:
    """Cost over volume, both on log scales, in the terminal."""
    # Imported here: uniplot brings numpy, which only this chart needs.
    from uniplot import plot

    drawn = [(curve, [_sampled(curve.points, at) for at in _volumes(curve)]) for curve in curves]
    plot(
        xs=[[volume for volume, _ in points] for _, points in drawn],
        ys=[[cost for _, cost in points] for _, points in drawn],
        legend_labels=[curve.name for curve, _ in drawn],
        title="USD a month over tokens a month",
        x_as_log=True,
        y_as_log=True,
        lines=True,
        color="NO_COLOR" not in os.environ,
        width=70,
        height=16,
    )


def _volumes(curve: CurveEntry) -> list[float]:
    """Volumes evenly spread over three decades up to the right edge, as a log scale shows them."""
    edge = float(curve.points[-1][0])
    return [edge * 10 ** (3 * (at / CHART_POINTS - 1)) for at in range(1, CHART_POINTS + 1)]


def _sampled(points: Sequence[tuple[Decimal, Decimal]], at: float) -> tuple[float, float]:
    """The cost at a volume, on the straight line between two points."""
    for (left, low), (right, high) in itertools.pairwise(points):
        if float(left) < at <= float(right):
            share = (at - float(left)) / (float(right) - float(left))
            return at, float(low) + share * (float(high) - float(low))
    return at, float(points[-1][1])


def _assumption_row(each: Assumption) -> list[str]:
    dated = f"{each.source}, {each.date}" if each.date is not None else each.source
    return [each.name, each.value, each.unit, each.known, dated]
