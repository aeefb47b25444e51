"""What the metered calls would cost elsewhere, and where the order flips: the decision document as tables and charts.

Pure. Captions are written from the numbers that the chart or table shows.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from baseload.capacity.offer import OWN
from baseload.console import words
from baseload.console.figures import Figures, Verdict
from baseload.console.graphs import Chart
from baseload.console.tables import Cell, Column, Table
from baseload.plan.answer import Answer
from baseload.plan.chances import Chance
from baseload.plan.document import CurveEntry, DecideDocument
from baseload.units import usd

# As many lines as there are colours that can be told apart.
_LINES = 7
# A straight line is bent on logarithmic axes: this many points to a decade follow it.
_PER_DECADE = 24
# How far left of the first and right of the last point of interest the chart begins and ends.
_MARGIN_LEFT, _MARGIN_RIGHT = 8, 3


@dataclass(frozen=True, slots=True)
class Compared:
    """The same calls on one offer; `nanousd` None when no price is known.

    `metered` marks them as they were served: what was paid for them, every leased hour of an own pool included.
    """

    offer: str
    provider: str
    book: str
    as_of: date | None
    nanousd: int | None
    metered: bool = False

    @property
    def key(self) -> str:
        return f"{self.provider}/{self.offer}"

    @property
    def kind(self) -> str:
        return "metered" if self.metered else "own" if self.provider == OWN else "api"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a study found at a position of the ledger. `document` is None where there is too little for a decision,
    and `reason` then says what is missing. `leased` says that hours of an own pool are in what was paid."""

    position: int
    requests: int
    compared: tuple[Compared, ...]
    document: Answer | None
    reason: str
    leased: bool = False


WORKING = Verdict("Working out the verdict …", "Every request is being priced on every model.")


def added(state: Figures, found: Outlook | None, trouble: str) -> Figures:
    """A state of the page with what an outlook found, as far as it goes."""
    if found is None:
        return replace(state, pending=trouble or f"{WORKING.headline} {WORKING.detail}")
    state = replace(
        state,
        models=models(found.compared, found.requests, leased=found.leased),
        bars=bars(found.compared, found.requests, leased=found.leased),
    )
    document = found.document
    if document is None:
        return replace(state, verdict=Verdict("Too little for a verdict yet.", found.reason), pending=found.reason)
    return replace(
        state,
        pending=trouble,
        verdict=verdict(document),
        breakeven=breakeven(document),
        options=options(document),
        crossings=crossings(document),
    )


def ranked(rows: Sequence[Compared]) -> tuple[Compared, ...]:
    """Dearest first, unknown last."""
    return tuple(sorted(rows, key=lambda row: (row.nanousd is None, -(row.nanousd or 0), row.offer)))


def models(rows: Sequence[Compared], requests: int, *, leased: bool = False) -> Table:
    """What the traffic costs on each model, against what was paid. An API is set against the reservation basis; the own
    pool's share of busy time alone is set against nothing."""
    paid = next((row.nanousd for row in rows if row.metered), None)
    return Table(
        name="models",
        caption=f"The same {requests:,} requests at each list price",
        columns=(
            Column("offer", "offer", "name"),
            Column("provider", "provider"),
            Column("book", "book", "name"),
            Column("as_of", "dated", "name"),
            Column("usd", "USD", "usd"),
            Column("change_fraction", "vs paid" if leased else "vs metered", "change"),
        ),
        rows=tuple(
            (
                row.offer,
                row.provider,
                row.book,
                None if row.as_of is None else row.as_of.isoformat(),
                None if row.nanousd is None else usd(row.nanousd),
                None if leased and row.kind == "own" else _change(row.nanousd, paid),
            )
            for row in rows
        ),
        marked=next((place for place, row in enumerate(rows) if row.metered), None),
        note="The cheapest is not the answer: a model must also get the task right."
        + (
            " What was paid includes the own pool's idle hours. The own pool's row is its share of busy time alone, so "
            "it is set against nothing."
            if leased
            else ""
        ),
    )


def bars(rows: Sequence[Compared], requests: int, *, leased: bool = False) -> Chart:
    """The same comparison as bars."""
    known = [row for row in rows if row.nanousd is not None]
    named = Counter(row.offer for row in known)
    offers = [row for row in known if not row.metered and not (leased and row.kind == "own")]
    caption = f"{requests:,} requests on {len(offers)} offers"
    if offers:
        most, least = offers[0], offers[-1]
        caption += f": {_priced(most)} at most, {_priced(least)} at least"
    basis = " paid, the own pool's idle hours included" if leased else ""
    caption += "".join(f"; as routed {words.money(usd(row.nanousd or 0))}{basis}" for row in known if row.metered) + "."
    return Chart(
        name="models",
        caption=caption,
        description=f"Bar chart. {caption}",
        columns=("offer", "usd", "kind", "shown", "label"),
        rows=tuple(
            (
                row.offer if named[row.offer] == 1 else row.key,
                price,
                row.kind,
                words.money(price),
                f"{row.offer}: {words.plain(price)} USD ({_basis(row, leased=leased)})",
            )
            for row in known
            for price in (usd(row.nanousd or 0),)
        ),
    )


def verdict(document: Answer) -> Verdict:
    """The decision in the document's own words."""
    found = document.verdict
    parts = [found.hidden_stack.sentence] if found.hidden_stack is not None else []
    if document.chances is not None:
        parts.append(_capital(document.chances.sentence))
    if document.critical_fill is not None:
        parts.append(f"Critical fill {words.percent(document.critical_fill)}: a machine that is busier than that pays.")
    return Verdict(found.sentence, " ".join(parts))


def options(document: Answer) -> Table:
    """Every way to serve the volume, what is paid now first, and how sure its cost and its place are."""
    cheapest = document.verdict.cheapest
    known = {each.option: each for each in document.chances.options} if document.chances is not None else {}
    return Table(
        name="options",
        caption=f"USD a month at {words.short(document.volume.tokens)} tokens, cheapest marked",
        columns=(
            Column("name", "option"),
            Column("kind", "kind"),
            Column("machines", "machines", "count"),
            Column("likely", "likely", "usd_month"),
            Column("p5", "5 %", "usd_month"),
            Column("p50", "middle", "usd_month"),
            Column("p95", "95 %", "usd_month"),
            Column("cheapest_fraction", "is cheapest", "share"),
        ),
        rows=tuple(
            (
                each.name,
                each.kind,
                each.machines,
                each.usd_per_month.likely,
                *_drawn(known.get(each.name)),
            )
            for each in document.options
        ),
        marked=next((place for place, each in enumerate(document.options) if each.name == cheapest), None),
    )


def _drawn(chance: Chance | None) -> tuple[Cell, ...]:
    """What 5, 50 and 95 of 100 drawn cases stay below, and in which share of them it is the cheapest."""
    if chance is None:
        return (None, None, None, None)
    cost = chance.usd_per_month
    return (*(Decimal(str(end)) for end in (cost.p5, cost.p50, cost.p95)), Decimal(str(chance.cheapest)))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def crossings(document: DecideDocument) -> Table:
    """Every volume at which the order flips."""
    return Table(
        name="crossings",
        caption="Every volume at which API and machines change places",
        columns=(
            Column("tokens_per_month", "tokens a month", "tokens"),
            Column("usd_per_month", "USD a month", "usd_month"),
            Column("cheaper_before", "cheaper below"),
            Column("cheaper_after", "cheaper above"),
        ),
        rows=tuple(
            (each.tokens_per_month, each.usd_per_month, each.cheaper_before, each.cheaper_after)
            for each in document.crossings
        ),
        note="" if document.crossings_complete else "More crossings lie beyond the last one listed.",
        empty="none: between the API and machines alone the order never changes",
        limit=8,
    )


def breakeven(document: DecideDocument) -> Chart:
    """Monthly cost over volume for every option, all crossings, and where you are."""
    here = document.volume.tokens
    low, high = _span(document)
    caption = _sentence(document)
    lines = [row for curve in _kept(document) for row in _line(curve, low, high)]
    points = [row for row in (*_crossings(document), *_takeovers(document)) if low <= row.tokens <= high]
    side = "right" if math.log(here / low) * 2 > math.log(high / low) else "left"
    mark = ("here", None, side, here, None, 0, f"you are here: {words.short(here)} tokens a month")
    return Chart(
        name="breakeven",
        caption=caption,
        description=f"Line chart of USD a month against tokens a month, both logarithmic. {caption}",
        columns=("kind", "option", "detail", "tokens_per_month", "usd_per_month", "order", "label"),
        rows=(*lines, *(point.row for point in points), mark),
    )


@dataclass(frozen=True, slots=True)
class _Point:
    """A volume at which the order changes."""

    kind: str
    tokens: Decimal
    usd: Decimal
    place: int
    words: str

    @property
    def row(self) -> tuple[Cell, ...]:
        label = f"{words.short(self.tokens)} tokens a month: above, {self.words}"
        return (self.kind, None, None, self.tokens, self.usd, self.place, label)


def _crossings(document: DecideDocument) -> Iterator[_Point]:
    """Where the cheapest API and the machines alone change places."""
    for place, each in enumerate(document.crossings):
        yield _Point(
            "crossing",
            each.tokens_per_month,
            each.usd_per_month,
            place,
            f"{each.cheaper_after} is the cheaper of the two",
        )


def _takeovers(document: DecideDocument) -> Iterator[_Point]:
    """Where another option becomes the cheapest of all, unless a crossing stands there."""
    crossed = {each.tokens_per_month for each in document.crossings}
    curves = {curve.name: curve.points for curve in document.curves}
    for place, window in enumerate(document.windows[1:]):
        start = window.from_tokens_per_month
        if start not in crossed:
            cost = _cost(curves[window.cheapest], start)
            yield _Point("takeover", start, cost, place, f"{window.cheapest} is the cheapest of all")


def _cost(points: Sequence[tuple[Decimal, Decimal]], volume: Decimal) -> Decimal:
    """A curve's cost just above a volume, to the cent."""
    place = min(bisect_right(points, volume, key=lambda point: point[0]), len(points) - 1)
    (start, at), (end, then) = points[place - 1], points[place]
    share = (volume - start) / (end - start) if end > start else Decimal(1)
    return round(at + (then - at) * share, 2)


def _sentence(document: DecideDocument) -> str:
    """The chart in a sentence."""
    sentence = f"You are at {words.short(document.volume.tokens)} tokens a month"
    flip = next((each for each in document.verdict.flips if each.axis == "volume"), None)
    if flip is not None:
        return f"{sentence}; {flip.sentence}."
    only = {window.cheapest for window in document.windows}
    if len(only) == 1:
        return f"{sentence}; {only.pop()} is the cheapest at every volume shown."
    first, *later = document.windows
    turns = (f"from {words.short(each.from_tokens_per_month)} on {each.cheapest}" for each in later)
    return f"{sentence}; the cheapest of all is {first.cheapest}, {', '.join(turns)}."


def _span(document: DecideDocument) -> tuple[Decimal, Decimal]:
    """From where to where the chart goes: round every point of interest, within what the curves were drawn for."""
    points = [document.volume.tokens, *(each.tokens_per_month for each in document.crossings if each.tokens_per_month)]
    drawn = min((curve.points[-1][0] for curve in document.curves), default=max(points) * _MARGIN_RIGHT)
    return min(points) / _MARGIN_LEFT, max(min(max(points) * _MARGIN_RIGHT, drawn), *points)


def _kept(document: DecideDocument) -> list[CurveEntry]:
    """The lines that are drawn: the cheapest at this volume, as many as can be told apart; the dashed ones on top."""
    likely = {each.name: each.usd_per_month.likely for each in document.options}
    curves = sorted(document.curves, key=lambda curve: likely.get(curve.name, Decimal("Infinity")))
    return sorted(curves[:_LINES], key=lambda curve: curve.kind == "hybrid")


def _line(curve: CurveEntry, low: Decimal, high: Decimal) -> Iterator[tuple[Cell, ...]]:
    """Rows that follow a curve between two volumes. What costs nothing has no place on a logarithmic axis."""
    place = 0
    for (start, at), (end, then) in zip(curve.points, curve.points[1:], strict=False):
        if end < low or start > high:
            continue
        for volume in _between(max(start, low), min(end, high)):
            cost = at + (then - at) * (volume - start) / (end - start) if end > start else then
            if cost > 0:
                yield ("line", curve.name, curve.kind, round(volume), round(cost, 2), place, None)
                place += 1


def _between(start: Decimal, end: Decimal) -> list[Decimal]:
    """Both ends, and points between them that are evenly spaced on a logarithmic axis."""
    pieces = math.ceil(math.log10(end / start) * _PER_DECADE)
    ratio = float(end / start)
    return [start, *(start * Decimal(str(ratio ** (step / pieces))) for step in range(1, pieces)), end]


def _basis(row: Compared, *, leased: bool) -> str:
    """What a bar's money is of."""
    own = "share of busy time" if row.kind == "own" else "paid, idle hours included" if row.metered and leased else ""
    return f"{row.book}, {own}" if own else row.book


def _priced(row: Compared) -> str:
    return f"{words.money(usd(row.nanousd or 0))} on {row.offer}"


def _change(nanousd: int | None, paid: int | None) -> Decimal | None:
    """The difference to what was paid as a share of it, to six decimals."""
    return None if nanousd is None or not paid else round(Decimal(nanousd) / paid - 1, 6)
