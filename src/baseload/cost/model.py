"""The formulas of the cost model, each written once: here what all of them share. Pure.

`by_token.py` is what is bought by the token, `on_machines.py` what machines cost, `sizing.py` how many there are.

They are plain arithmetic over figures by name, so the same lines run on exact fractions for a bill and on arrays of
samples for a distribution. A figure may be a Fraction, a float, or an array that computes and compares like one; the
formulas bring only whole numbers of their own, which fit all three.

Machines: a replica that is always busy for a month is one replica-month. `busy` is how many replica-months are used,
`count` how many replicas are paid for them; the difference is idle and a line of its own. Rent is never multiplied by
utilisation: a machine that is paid around the clock is paid around the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from baseload.cost.bill import Basis
from baseload.units import MONTHS_PER_YEAR

Number: TypeAlias = Any
Figures: TypeAlias = Callable[[str], Number]


@dataclass(frozen=True, slots=True)
class Entry:
    """`quantity` of `unit` at `price` USD each: what a component costs a month. `names` are the figures behind it.

    `once` is the whole of a cost that is spread over time. `rest` marks what is bought as machines may not serve it.
    """

    component: str
    title: str
    quantity: Number
    unit: str
    price: Number
    names: tuple[str, ...]
    basis: Basis = "used"
    once: Number = 0
    rest: bool = False

    @property
    def amount(self) -> Number:
        return self.quantity * self.price


def most(first: Number, second: Number) -> Number:
    """The larger of two, element by element."""
    return first * (first >= second) + second * (second > first)


def least(first: Number, second: Number) -> Number:
    """The smaller of two, element by element."""
    return first * (first <= second) + second * (second < first)


def total(entries: Sequence[Entry]) -> Number:
    """USD a month in cash."""
    return sum(entry.amount for entry in entries if entry.basis != "shadow")


def happens(truth: Number) -> bool:
    """Whether something holds, of a figure or of any in an array."""
    return bool(truth.any()) if hasattr(truth, "any") else bool(truth)


def common(v: Figures, entries: Sequence[Entry]) -> list[Entry]:
    """What every way pays, and what is shown beside the cash."""
    wrong = v("usd_per_correction")
    corrected = v("correction_share") * (v("requests_per_month") if happens(wrong > 0) else 0 * wrong)
    people = sum(entry.amount for entry in entries if entry.component in _PEOPLES)
    return [
        monthly("compliance", "compliance and audit", v, "compliance_usd_per_month"),
        Entry("breach", "expected loss by a breach", v("breach_probability_per_year") / MONTHS_PER_YEAR, "times",
              v("breach_loss_usd"), ("breach_probability_per_year", "breach_loss_usd")),
        Entry("correction", "human correction", corrected, "requests", wrong,
              ("requests_per_month", "correction_share", "usd_per_correction")),
        Entry("opportunity", "opportunity cost of engineers", v("opportunity_multiplier") - 1, "x people", people,
              ("opportunity_multiplier",), "shadow"),
    ]  # fmt: skip


_PEOPLES = frozenset({"engineers", "incidents", "model_updates", "setup"})


def monthly(component: str, title: str, v: Figures, name: str) -> Entry:
    """What costs the same every month."""
    return Entry(component, title, 1, "months", v(name), (name,))


def currency(v: Figures, bought: Number) -> Entry:
    """Margin of the currency and taxes on what is bought."""
    rate = v("currency_margin") + v("tax_share")
    return Entry(
        "currency_and_tax", "currency and tax", rate, "x what is bought", bought, ("currency_margin", "tax_share")
    )
