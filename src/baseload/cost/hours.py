"""What it costs to have machines rather than tokens: leases, ownership, power, and the stack nobody budgets for. Pure.

A machine that is rented around the clock is paid around the clock: its month is rate x 730 hours, not rate x 730 x
utilisation. Utilisation says what the hours bring, `hours_on` says how many are paid; the two are never multiplied
into one figure here.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from baseload.catalog.entries import Precedence, Source
from baseload.cost.bill import Bill, Line
from baseload.errors import BadInput
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH, MONTHS_PER_YEAR, WATTS_PER_KILOWATT

HIDDEN_STACK_SOURCE = Source(
    book="article-0",
    precedence=Precedence.ARTICLES,
    as_of=date(2026, 4, 24),
    reference='"How I Stopped Burning Cash on GPUs" (2026, undated; names DeepSeek V4, previewed 2026-04-24)',
    licence="facts quoted from the article",
)
# USD a month. The article's own total, 900-4,900, is the sum of these five lines; the GPU servers that stand in the
# same table (400-8,000) are not in it. Whoever rents pays no electricity: 700-3,900.
_HIDDEN_STACK = (
    ("load balancer or gateway", "50", "200"),
    ("monitoring and alerting", "50", "200"),
    ("engineer time", "500", "3000"),
    ("model updates", "100", "500"),
)
_ELECTRICITY = ("electricity", "200", "1000")


def lease_month(
    usd_per_gpu_hour: Range, gpus: int, *, hours_on: Decimal | int = HOURS_PER_MONTH, source: Source | None = None
) -> Line:
    """A month of leased GPUs, paid for `hours_on` hours whether they are busy or not.

    Eight H100 at 2 to 3 USD are 11,680 to 17,520 USD a month; at 1.65 USD one is 14,454 USD a year around the clock,
    and 10,117.80 USD only if it is switched off for 30 % of the hours.
    """
    if hours_on > HOURS_PER_MONTH:
        raise BadInput(
            f"a month has {HOURS_PER_MONTH} hours, not {hours_on}", remedy="Lower the hours the machine is on."
        )
    rate = _figures(usd_per_gpu_hour)
    return Line("GPU lease", usd_per_gpu_hour * gpus * hours_on, f"{gpus} x {rate} USD/h x {hours_on} h", source)


def annuity(purchase_usd: Decimal, yearly_rate: Decimal, years: int, residual_usd: Decimal = Decimal(0)) -> Decimal:
    """The even monthly payment that buys a machine: capital less the present value of what it is still worth.

    250,000 USD at 10 % over four years with 20 % left cost 5,489 USD a month; without interest it is plainly
    (capital - residual) / months.
    """
    months = years * MONTHS_PER_YEAR
    if months <= 0:
        raise BadInput("a machine cannot be written off in no time", remedy="Give at least one year.")
    monthly = yearly_rate / MONTHS_PER_YEAR
    if monthly == 0:
        return (purchase_usd - residual_usd) / months
    growth = (1 + monthly) ** months
    return (purchase_usd - residual_usd / growth) * monthly * growth / (growth - 1)


def electricity(
    watts: Range,
    usd_per_kwh: Range,
    *,
    hours_on: Decimal | int = HOURS_PER_MONTH,
    overhead: Decimal = Decimal(1),
    source: Source | None = None,
) -> Line:
    """A month of power at load. `overhead` is the facility's PUE: 1 leaves cooling out.

    6 to 8 kW around the clock are 4,380 to 5,840 kWh: 569 to 759 USD at 0.13 USD/kWh. The break-even article's 700 to
    1,200 USD for the same node are 0.16 to 0.21 USD/kWh.
    """
    kilowatts = watts / WATTS_PER_KILOWATT * overhead
    hours = kilowatts * hours_on
    amount = Range(hours.low * usd_per_kwh.low, hours.likely * usd_per_kwh.likely, hours.high * usd_per_kwh.high)
    how = f"{_figures(kilowatts)} kW x {hours_on} h x {_figures(usd_per_kwh)} USD/kWh"
    return Line("electricity", amount, how, source)


def hidden_stack(*, owned: bool = False) -> Bill:
    """What article 0 lists beside the GPUs, per month: 700 to 3,900 USD rented, 900 to 4,900 USD owned."""
    rows = (*_HIDDEN_STACK, _ELECTRICITY) if owned else _HIDDEN_STACK
    return Bill(
        tuple(
            Line(component, Range.between(low, high), "a month, as the article lists it", HIDDEN_STACK_SOURCE)
            for component, low, high in rows
        )
    )


def _figures(figure: Range) -> str:
    """`2.4`, or `2-3` when it is a range."""
    if figure.is_exact:
        return f"{figure.low.normalize():f}"
    return f"{figure.low.normalize():f}-{figure.high.normalize():f}"
