"""From a total to its lines, and to their formulas, inputs and sources: schema `baseload.explain/1`. Pure.

A target names where to start: nothing or `total` for the answer itself, an option for one bill, `option/line` for one
line. Names may be shortened as long as one thing answers to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from baseload.errors import BadInput
from baseload.plan.document import DecideDocument, InputEntry, Item, Money, OptionEntry

SCHEMA = "baseload.explain/1"
TOTAL = "total"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A sum and what it is made of, a line and the figures behind it, or a figure.

    A figure has a `value` in its `unit` instead of money, an `origin` and, where it was read, a `source` and its date.
    """

    name: str
    sort: Literal["total", "option", "lines", "line", "figure"]
    usd_per_month: Money | None = None
    note: str = ""
    formula: str = ""
    how: str = ""
    value: Money | None = None
    unit: str = ""
    origin: str = ""
    source: str | None = None
    as_of: date | None = None
    parts: tuple[Node, ...] = ()


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """`difference_usd` is what the parts of the target do not add up to: zero, at the likely values."""

    schema: str
    target: str
    tree: Node
    difference_usd: Decimal


def explain(document: DecideDocument, target: str = TOTAL) -> Explained:
    """Walk a decision from a target down. Raises BadInput that names what there is to explain."""
    wanted, line = _split(document, target.strip())
    if wanted.lower() == TOTAL and not line:
        tree = Node(
            name=TOTAL,
            sort="total",
            note=document.verdict.sentence,
            usd_per_month=_option(document, document.verdict.cheapest).usd_per_month,
            parts=(_bill(_option(document, document.verdict.cheapest)),),
        )
    else:
        option = _option(document, document.verdict.cheapest if wanted.lower() == TOTAL else wanted)
        tree = _lines(option, line) if line else _bill(option)
    return Explained(schema=SCHEMA, target=target, tree=tree, difference_usd=_difference(tree))


def _split(document: DecideDocument, target: str) -> tuple[str, str]:
    """Option and line. Names of options may hold a slash themselves, as `API at 3/15` does."""
    text = target.lower()
    if any(text in option.name.lower() for option in document.options):
        return target, ""
    whole = [option.name for option in document.options if text.startswith(option.name.lower() + "/")]
    if whole:
        name = max(whole, key=len)
        return name, target[len(name) + 1 :]
    wanted, slash, line = target.rpartition("/")
    return (wanted, line) if slash else (target, "")


def _option(document: DecideDocument, name: str) -> OptionEntry:
    text = name.strip().lower()
    exact = [option for option in document.options if text in (option.name.lower(), option.kind)]
    found = exact or [option for option in document.options if text in option.name.lower()]
    if len(found) != 1:
        refused = next((each for each in document.cannot if text in each.name.lower()), None)
        if refused is not None and not found:
            raise BadInput(f"{refused.name} has no bill: {refused.why}", remedy="Explain another option.")
        names = ", ".join(option.name for option in found or document.options)
        raise BadInput(
            f"{'several options answer' if found else 'no option answers'} to {name!r}", remedy=f"Name one of {names}."
        )
    return found[0]


def _bill(option: OptionEntry) -> Node:
    return Node(
        name=option.name,
        sort="option",
        usd_per_month=option.usd_per_month,
        note=option.note,
        parts=tuple(_line(item) for item in option.lines),
    )


def _lines(option: OptionEntry, wanted: str) -> Node:
    """The lines of an option that answer to a name: one as it is, several as their sum."""
    text = wanted.strip().lower()
    found = [item for item in option.lines if text in (item.component.lower(), item.id)]
    found = found or [item for item in option.lines if text in item.component.lower()]
    if not found:
        names = ", ".join(dict.fromkeys(item.id or item.component for item in option.lines))
        raise BadInput(f"{option.name} has no line {wanted!r}", remedy=f"Name one of {names}.")
    if len(found) == 1:
        return _line(found[0])
    ends = [sum((getattr(item.usd_per_month, end) for item in found), Decimal(0)) for end in ("low", "likely", "high")]
    return Node(
        name=f"{option.name}: {wanted}",
        sort="lines",
        usd_per_month=Money(low=ends[0], likely=ends[1], high=ends[2]),
        parts=tuple(_line(item) for item in found),
    )


def _line(item: Item) -> Node:
    basis = {"idle": "stands idle", "once": "paid once, spread over the horizon"}.get(item.basis, "")
    return Node(
        name=item.component,
        sort="line",
        usd_per_month=item.usd_per_month,
        note=basis,
        formula=item.formula,
        how=item.how,
        source=item.source,
        as_of=item.as_of,
        parts=tuple(_figure(figure) for figure in item.inputs),
    )


def _figure(figure: InputEntry) -> Node:
    return Node(
        name=figure.name,
        sort="figure",
        value=figure.value,
        unit=figure.unit,
        origin=figure.origin,
        source=figure.source,
        as_of=figure.as_of,
    )


def _difference(tree: Node) -> Decimal:
    """What is left when the parts are taken from the whole, summed over the tree."""
    parts: Sequence[Node] = [part for part in tree.parts if part.usd_per_month is not None]
    if tree.usd_per_month is None or not parts:
        return Decimal(0)
    mine = tree.usd_per_month.likely - sum(
        (part.usd_per_month.likely for part in parts if part.usd_per_month), Decimal(0)
    )
    return abs(mine) + sum((_difference(part) for part in parts), Decimal(0))
