"""A decision's inputs as a document: schema `baseload.scenario/1`. Pure.

Figures are written as on the command line: `300M` tokens, `3/15` USD per million in and out, `2-3` for a range.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from baseload.cost.hours import hidden_stack
from baseload.errors import BadInput
from baseload.plan.options import NOTHING, Machines, TokenPrice, Volume, operations
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH, LEAST_USD, MOST_COUNT, MOST_USD, is_usd, quantity

MOST_GPUS = 4_096

Figure = str | int | float
# What a machine may be here; a hybrid is always weighed beside it.
MachineKind = Literal["rented", "reserved", "spot", "owned", "brokered"]


class ScenarioPrice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An API's `price`, in/out in USD per million tokens, each a figure or a range; `name` is what to call it."""

    price: str
    name: str = ""


class ScenarioMachine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One machine: `usd_per_month`, or `usd_per_gpu_hour` for each of its `gpus`; `capacity` in tokens a month, which
    lies between `capacity_low` and `capacity_high` where that is known.

    `peak` is the highest load over the mean. `operations` is USD a month for people beside it, or `hidden_stack` for
    what article 0 lists.
    """

    capacity: Figure
    capacity_low: Figure | None = None
    capacity_high: Figure | None = None
    name: str = "rented GPU"
    kind: MachineKind = "rented"
    usd_per_month: Figure | None = None
    usd_per_gpu_hour: Figure | None = None
    gpus: int = 1
    peak: Figure = 1
    operations: Figure | None = None
    hidden_stack: bool = False


class Answers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What only a person knows, null where nobody said: may data not leave the own network (`sensitive`), is tuning
    needed that APIs do not offer (`fine_tuning`), is there a `team` that runs machines, and what share of the required
    accuracy an open model reaches (`accuracy`)."""

    sensitive: bool | None = None
    fine_tuning: bool | None = None
    team: bool | None = None
    accuracy: Figure | None = None


class Outlay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The business case: USD once to move (`setup`) and to leave (`exit`), the horizon in `months`, the `yearly_rate`
    of interest. Moving takes ten engineer-days of 260 a year at 200,000 USD unless said otherwise."""

    setup: Figure = 7_692
    exit: Figure = 0
    months: int = 36
    yearly_rate: Figure = "0.1"


class OutcomeModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model that a task is given to: its price for a try and how often a try gets it right.

    The price is that of a `model` of the books, or a `price` of in/out in USD per million tokens, or `usd_per_try`.
    `success` is a share such as 0.9, or a range; the task is tried up to `tries` times.
    """

    success: Figure
    model: str = ""
    price: str = ""
    usd_per_try: Figure | None = None
    name: str = ""
    tries: int = 1


class Outcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One task and the `models` it could be given to, the small one first; `input` and `output` tokens of one try.

    `correction` is USD for putting a failure right by hand; without it a failure is dropped. With `cascade` each model
    serves what the ones before it left failed, and `check` is USD for finding out that a try failed.
    """

    models: tuple[OutcomeModel, ...]
    input: Figure = 0
    output: Figure = 0
    correction: Figure | None = None
    check: Figure = 0
    cascade: bool = False


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One case: tokens a month (`input`, `output`), API `prices` and `models` by name, and a `machine`. Its `outcomes`
    are another question, about one task; it is answered beside this one, as `baseload outcome` does.

    `title`, `source`, `as_of`, `claims` (what the source says comes out) and `notes` are for the reader.
    """

    schema: Literal["baseload.scenario/1"] = "baseload.scenario/1"
    name: str
    title: str = ""
    source: str = ""
    as_of: date | None = None
    claims: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    input: Figure = 0
    output: Figure = 0
    prices: tuple[ScenarioPrice, ...] = ()
    models: tuple[str, ...] = ()
    machine: ScenarioMachine | None = None
    answers: Answers = Answers()
    outlay: Outlay = Outlay()
    outcomes: Outcomes | None = None


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """The scenario that a document answers, for its reader."""

    name: str
    title: str
    source: str
    as_of: date | None
    claims: tuple[str, ...]
    notes: tuple[str, ...]


def named(scenario: Scenario) -> Named:
    """What a document says of its scenario."""
    return Named(
        name=scenario.name,
        title=scenario.title,
        source=scenario.source,
        as_of=scenario.as_of,
        claims=scenario.claims,
        notes=scenario.notes,
    )


def volume_of(scenario: Scenario) -> Volume:
    """Its tokens a month. Raises BadInput for none."""
    return Volume(count("input", scenario.input), count("output", scenario.output))


def prices_of(scenario: Scenario) -> tuple[TokenPrice, ...]:
    """The prices it writes out; those it names stand in the books."""
    return tuple(typed_price(each.name or f"API at {each.price}", each.price) for each in scenario.prices)


def typed_price(name: str, text: str) -> TokenPrice:
    """`3/15`, or with ranges `2-3/10-15`, as USD per million tokens in and out. Raises BadInput."""
    read, slash, written = text.partition("/")
    if not slash:
        raise BadInput(f"the price {text!r} has no slash", remedy="Write input/output in USD per million tokens: 3/15.")
    return TokenPrice(name, usd_span("price", read), usd_span("price", written), "typed")


def machines_of(scenario: Scenario) -> Machines | None:
    """Its machine, if it has one. Raises BadInput for two prices of it, or none."""
    asked = scenario.machine
    if asked is None:
        return None
    if not 1 <= asked.gpus <= MOST_GPUS:
        raise BadInput(f"a machine with {asked.gpus} GPUs", remedy=f"Give 1 to {MOST_GPUS:,}.")
    if (asked.usd_per_month is None) == (asked.usd_per_gpu_hour is None):
        raise BadInput(
            f"machine {asked.name!r} must have one price", remedy="Give usd_per_month or usd_per_gpu_hour, not both."
        )
    if asked.operations is not None and asked.hidden_stack:
        raise BadInput("operations and hidden_stack both price people", remedy="Give one of them.")
    if asked.usd_per_month is not None:
        monthly, how = usd_span("usd_per_month", asked.usd_per_month), f"{asked.usd_per_month} USD/month"
    else:
        hourly = asked.usd_per_gpu_hour if asked.usd_per_gpu_hour is not None else ""
        monthly = usd_span("usd_per_gpu_hour", hourly) * asked.gpus * HOURS_PER_MONTH
        how = f"{asked.gpus} x {hourly} USD/h x {HOURS_PER_MONTH} h"
    beside = NOTHING
    if asked.hidden_stack:
        beside = hidden_stack(owned=asked.kind == "owned")
    elif asked.operations is not None:
        beside = operations(usd_span("operations", asked.operations))
    room = count("capacity", asked.capacity)
    return Machines(asked.name, monthly, room, how, count("peak", asked.peak), beside, _rooms(asked, room))


def _rooms(asked: ScenarioMachine, likely: Decimal) -> Range | None:
    """The range of its capacity. Raises BadInput where one end is missing, or they do not enclose it."""
    if asked.capacity_low is None and asked.capacity_high is None:
        return None
    if asked.capacity_low is None or asked.capacity_high is None:
        raise BadInput(
            f"of the capacity of {asked.name!r} one end is known",
            remedy="Give capacity_low and capacity_high, or none.",
        )
    return Range(count("capacity_low", asked.capacity_low), likely, count("capacity_high", asked.capacity_high))


def span(what: str, figure: Figure) -> Range:
    """`1200`, or `1000-2000` as a range.

    >>> span("rent", "2-3").likely
    Decimal('2.5')
    """
    low, dash, high = str(figure).strip().partition("-")
    try:
        ends = [Decimal(low.strip()), Decimal(high.strip() if dash else low.strip())]
    except InvalidOperation:
        ends = []
    if not ends or not all(_in_reach(end) for end in ends) or ends[0] > ends[1]:
        raise BadInput(
            f"{what} {str(figure)[:40]!r} is not a price", remedy="Write a number from 0 up, or a range such as 2-3."
        )
    return Range.between(*ends) if dash else Range.exact(ends[0])


def usd_span(what: str, figure: Figure) -> Range:
    """The same for money: USD from 0, or a trillionth of one, to a thousand million."""
    found = span(what, figure)
    if not (is_usd(found.low) and is_usd(found.high)):
        raise BadInput(f"{what} {str(figure)[:40]!r} is no price", remedy=f"Give USD from 0 up to {MOST_USD:.0e}.")
    return found


def _in_reach(end: Decimal) -> bool:
    """Whether a figure is zero, or of a size that anything here has."""
    return end.is_finite() and (end.is_zero() or LEAST_USD <= end <= MOST_COUNT)


def read_scenario(document: bytes, origin: str) -> Scenario:
    """A scenario from JSON. Raises BadInput that names the field."""
    try:
        return msgspec.json.decode(document, type=Scenario)
    except msgspec.MsgspecError as error:
        raise BadInput(f"{origin}: {error}", remedy="Mend that field; `$` is the top of the file.") from error


def pick(scenarios: Sequence[Scenario], name: str) -> Scenario:
    """The scenario of a name. Raises BadInput that lists those there are."""
    for each in scenarios:
        if each.name == name.lower():
            return each
    raise BadInput(
        f"{name} is neither a scenario that ships nor a file",
        remedy=f"Use one of {', '.join(each.name for each in scenarios)}, or name a file.",
    )


def count(what: str, figure: Figure) -> Decimal:
    """`300M`, named in the error that it may be."""
    try:
        return quantity(f"{figure:f}" if isinstance(figure, float) else str(figure))
    except BadInput as error:
        raise BadInput(f"{what}: {error.message}", remedy=error.remedy) from error
