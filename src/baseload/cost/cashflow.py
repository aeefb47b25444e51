"""Money over months: price paths, net present value, payback, internal rate of return, the month a plan pays. Pure.

Month 0 is the day of the decision, when one-off costs fall due; month 1 is the first that is served. A yearly rate is
nominal: a twelfth of it for each month, as `cost.hours.annuity` has it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from typing import Literal

from baseload.errors import BadInput
from baseload.units import MONTHS_PER_YEAR

LONGEST_MONTHS = 240
# A yearly rate of return beyond this is not searched for: the plan pays back within weeks.
_STEEPEST = Decimal(1000)
_HALVINGS = 120
_WIDE = Context(prec=50)

Direction = Literal["flat", "falling", "rising"]


@dataclass(frozen=True, slots=True)
class Path:
    """How a price moves: multiplied by `yearly` over each year, evenly from month to month. Month 1 is unchanged."""

    name: str
    yearly: Decimal

    def __post_init__(self) -> None:
        if not self.yearly.is_finite() or self.yearly <= 0:
            raise BadInput(
                f"a price that is multiplied by {self.yearly} a year is no path",
                remedy="Give a factor above 0: 1 is flat, 0.6 falls by 40 % a year.",
            )

    def factor(self, month: int) -> Decimal:
        """What month 1's price is multiplied by in `month`."""
        return _WIDE.power(self.yearly, _WIDE.divide(month - 1, MONTHS_PER_YEAR)) if month > 1 else Decimal(1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one way costs: `usd_per_month` moves along `path`, `fixed_usd_per_month` does not.

    `setup_usd` falls due at once, `exit_usd` in the last month; a residual value is an exit below zero.
    """

    name: str
    usd_per_month: Decimal
    path: Path = Path("flat", Decimal(1))
    fixed_usd_per_month: Decimal = Decimal(0)
    setup_usd: Decimal = Decimal(0)
    exit_usd: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        known = (self.usd_per_month, self.fixed_usd_per_month, self.setup_usd, self.exit_usd)
        if not all(figure.is_finite() for figure in known) or min(known[:3]) < 0:
            raise BadInput(f"{self.name} has a cost below zero", remedy="Give costs from 0 up; a residual is an exit.")

    def costs(self, months: int) -> tuple[Decimal, ...]:
        """USD that fall due in month 0, 1, ... `months`. Raises BadInput for a horizon of no month."""
        if not 1 <= months <= LONGEST_MONTHS:
            raise BadInput(
                f"a horizon of {months} months is not 1 to {LONGEST_MONTHS}", remedy="Give months, such as 36."
            )
        served = [
            self.fixed_usd_per_month + self.usd_per_month * self.path.factor(month) for month in range(1, months + 1)
        ]
        served[-1] += self.exit_usd
        return (self.setup_usd, *served)


@dataclass(frozen=True, slots=True)
class Case:
    """One plan instead of another. `savings` are the flows of month 0, 1, ...: the other's costs less this one's.

    `payback_month` is the month from whose end on the savings so far are never negative again, `pays_from` its first
    day; None when that never happens. `yearly_return` is None where no rate, or more than one, balances the flows.
    """

    plan: str
    instead_of: str
    savings: tuple[Decimal, ...]
    yearly_rate: Decimal
    npv: Decimal
    payback_month: int | None
    pays_from: date | None
    yearly_return: Decimal | None


def compare(plan: Plan, other: Plan, *, months: int, yearly_rate: Decimal, start: date) -> Case:
    """The business case of `plan` against `other`; `start` is a day of month 1."""
    savings = tuple(theirs - ours for ours, theirs in zip(plan.costs(months), other.costs(months), strict=True))
    paid = payback_month(savings)
    return Case(
        plan=plan.name,
        instead_of=other.name,
        savings=savings,
        yearly_rate=yearly_rate,
        npv=npv(savings, yearly_rate),
        payback_month=paid,
        pays_from=month_day(start, max(paid, 1)) if paid is not None else None,
        yearly_return=irr(savings),
    )


def npv(flows: Sequence[Decimal], yearly_rate: Decimal) -> Decimal:
    """What flows of month 0, 1, ... are worth today. At 0 it is their sum; at a flow of 1 a month for n months it is
    (1 - (1 + r)^-n) / r.
    """
    if not yearly_rate.is_finite() or yearly_rate <= -MONTHS_PER_YEAR:
        raise BadInput(f"{yearly_rate} is no yearly rate", remedy="Give a share such as 0.1 for 10 % a year.")
    return _worth(flows, _WIDE.divide(yearly_rate, MONTHS_PER_YEAR))


def payback_month(flows: Sequence[Decimal]) -> int | None:
    """The month from whose end on the running sum is never negative again: 0 when it never was.

    None when it ends below zero, or when nothing flows.
    """
    if not any(flows):
        return None
    totals = list(itertools.accumulate(flows))
    short = [month for month, total in enumerate(totals) if total < 0]
    if not short:
        return 0
    return short[-1] + 1 if short[-1] + 1 < len(totals) else None


def irr(flows: Sequence[Decimal]) -> Decimal | None:
    """The yearly rate at which the flows are worth nothing today, to nine decimals.

    None unless the flows change their sign exactly once: without a change no rate balances them, with several more than
    one may (Descartes). None too beyond a thousand-fold a year.
    """
    signs = [flow > 0 for flow in flows if flow]
    if sum(one != other for one, other in itertools.pairwise(signs)) != 1:
        return None
    low, high = Decimal("-0.999999999"), _STEEPEST / MONTHS_PER_YEAR
    rising = _worth(flows, low) < 0
    if (_worth(flows, high) < 0) == rising:
        return None
    for _ in range(_HALVINGS):
        middle = _WIDE.divide(low + high, 2)
        if (_worth(flows, middle) < 0) == rising:
            low = middle
        else:
            high = middle
    return _WIDE.multiply(low, MONTHS_PER_YEAR).quantize(Decimal("1e-9"))


def month_day(start: date, month: int) -> date:
    """The first day of `month`, where `start` lies in month 1.

    >>> month_day(date(2026, 11, 21), 1), month_day(date(2026, 11, 21), 3)
    (datetime.date(2026, 11, 1), datetime.date(2027, 1, 1))
    """
    years, place = divmod(start.month - 1 + month - 1, MONTHS_PER_YEAR)
    return date(start.year + years, place + 1, 1)


def _worth(flows: Sequence[Decimal], monthly: Decimal) -> Decimal:
    """Horner's rule from the last month back."""
    total = Decimal(0)
    growth = 1 + monthly
    for flow in reversed(flows):
        total = _WIDE.add(_WIDE.divide(total, growth), flow)
    return total
