"""The business case over months: machines instead of the cheapest API, on three paths of the API's price. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from baseload.cost.cashflow import Path, Plan, compare
from baseload.errors import BadInput
from baseload.plan.document import OptionEntry, plain
from baseload.plan.scenario import Outlay, span, usd_span
from baseload.ranges import Range

# Prices move both ways: of the dated changes in genai-prices 0.2.3 that moved input or output, 143 raised the blend of
# three input tokens to one output token and 104 lowered it; the middle rise was x 1.51. At a fixed capability prices
# fall faster, by 40 to 90 % a year, but only for whoever switches models.
PATHS = (Path("flat", Decimal(1)), Path("falling", Decimal("0.6")), Path("rising", Decimal("1.5")))
# A thousand per cent a year: more is a slip of the pen.
MOST_RATE = 10
# Lines that are paid by the token: of the cost model by id, of typed prices by name.
_TOKEN_LINES = frozenset({"api_input", "api_output", "api_variants", "request_fees", "retries", "tokenizer"})
_TOKEN_COMPONENTS = frozenset({"input tokens", "output tokens"})


class CashCase(msgspec.Struct, frozen=True, kw_only=True):
    """One path: the API's price is multiplied by `yearly_factor` a year. `flows_usd` are the savings of month 0, 1, ...

    `payback_month` is the month from whose end on the savings so far are never negative again and `pays_from` its first
    day, null for never; `yearly_return` is null where no single rate balances the flows.
    """

    path: str
    yearly_factor: Decimal
    npv_usd: Decimal
    payback_month: int | None
    pays_from: date | None
    yearly_return: Decimal | None
    flows_usd: tuple[Decimal, ...]


class Cash(msgspec.Struct, frozen=True, kw_only=True):
    """`plan` instead of `instead_of` over `months`, at `yearly_rate` of interest, after `setup_usd` at once."""

    plan: str
    instead_of: str
    months: int
    yearly_rate: Decimal
    setup_usd: Decimal
    exit_usd: Decimal
    sentence: str
    cases: tuple[CashCase, ...]


def cash(options: Sequence[OptionEntry], outlay: Outlay, start: date) -> Cash | None:
    """The cheapest way with machines instead of what is paid now, or of the cheapest API where nobody knows that; None
    where one of them is missing.

    Only what is bought by the token moves with the API's price. Raises BadInput for a horizon of no month.
    """
    now = [option for option in options if option.kind == "now"]
    apis = now or [option for option in options if option.kind == "api"]
    others = [option for option in options if option.kind not in ("api", "now") and option.machines]
    if not apis or not others:
        return None
    api, own = (min(each, key=lambda option: option.usd_per_month.likely) for each in (apis, others))
    theirs, moving = _by_the_token(api), _by_the_token(own)
    setup, leave, rate = _amount("setup", outlay), _amount("exit", outlay), _rate(outlay)
    cases = []
    for path in PATHS:
        found = compare(
            Plan(own.name, moving, path, own.usd_per_month.likely - moving, setup, leave),
            Plan(api.name, theirs, path, api.usd_per_month.likely - theirs),
            months=outlay.months,
            yearly_rate=rate,
            start=start,
        )
        cases.append(
            CashCase(
                path=path.name,
                yearly_factor=path.yearly,
                npv_usd=round(found.npv, 2),
                payback_month=found.payback_month,
                pays_from=found.pays_from,
                yearly_return=round(found.yearly_return, 4) if found.yearly_return is not None else None,
                flows_usd=tuple(round(flow, 2) for flow in found.savings),
            )
        )
    return Cash(
        plan=own.name,
        instead_of=api.name,
        months=outlay.months,
        yearly_rate=rate,
        setup_usd=setup,
        exit_usd=leave,
        sentence=_sentence(own.name, api.name, outlay.months, cases),
        cases=tuple(cases),
    )


def _by_the_token(option: OptionEntry) -> Decimal:
    """USD a month of its lines that follow an API's price; what watches over an API, or is committed, does not."""
    lines = (line for line in option.lines if line.id in _TOKEN_LINES or line.component in _TOKEN_COMPONENTS)
    return sum((line.usd_per_month.likely for line in lines), Decimal(0))


def _sentence(plan: str, api: str, months: int, cases: Sequence[CashCase]) -> str:
    flat, *moving = cases
    worth = f"{abs(flat.npv_usd):,.0f} USD {'more' if flat.npv_usd > 0 else 'less'}"
    words = f"Over {months} months {plan} is worth {worth} today than {api} at flat prices"
    if flat.payback_month is not None:
        words += f", paid back in month {flat.payback_month}"
    tails = [f"{case.npv_usd:,.0f} USD if they multiply by {case.yearly_factor} a year" for case in moving]
    return f"{words}; {', '.join(tails)}."


def _amount(name: str, outlay: Outlay) -> Decimal:
    return _one(name, usd_span(name, getattr(outlay, name)))


def _rate(outlay: Outlay) -> Decimal:
    rate = _one("yearly_rate", span("yearly_rate", outlay.yearly_rate))
    if rate > MOST_RATE:
        raise BadInput(f"a yearly_rate of {rate:f}", remedy="Write interest as a share: 0.1 for 10 % a year.")
    return rate


def _one(name: str, figure: Range) -> Decimal:
    if not figure.is_exact:
        raise BadInput(f"{name} is a range", remedy="Give one figure: the business case has three paths already.")
    return plain(figure.likely)
