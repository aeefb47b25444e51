"""The answer in a sentence, what would turn it, and what the figures leave out. Pure.

Every flip point is a crossing, found by the one routine of `cost.breakeven` over that axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from baseload.cost.breakeven import Crossing, crossings, horizon
from baseload.cost.curves import ZERO, Tariff
from baseload.cost.hours import hidden_stack
from baseload.plan.document import Flip, Hidden, Known, VerdictEntry, money, plain
from baseload.plan.options import Option
from baseload.ranges import Range
from baseload.units import TOKENS_PER_MTOK

# Beyond this many events a saw-tooth is cut short, and the document says so.
MOST_EVENTS = 4_000


@dataclass(frozen=True, slots=True)
class Crossings:
    """Every crossing of two options over volume; `complete` is false where more lie beyond `high`."""

    found: tuple[Crossing, ...]
    high: Fraction
    complete: bool


@dataclass(frozen=True, slots=True)
class Turning:
    """Flip points between API and machines, those of the hybrid held at its machines, and why it has no others."""

    flips: tuple[Flip, ...] = ()
    hybrid: tuple[Flip, ...] = ()
    silent: tuple[str, ...] = ()


NO_TURNING = Turning()


def all_crossings(api: Option, own: Option) -> Crossings:
    """Every volume at which the cheaper of two options changes."""
    settled = horizon(api.curve, own.curve)
    steps = own.curve.steps if isinstance(own.curve, Tariff) else ()
    reach = min((step.capacity for step in steps), default=Fraction(TOKENS_PER_MTOK)) * MOST_EVENTS
    high = reach if settled is None else min(settled, reach)
    return Crossings(crossings(api.curve, own.curve, ZERO, high), high, settled is not None and settled <= reach)


def flips(api: Option, own: Option, tokens: Decimal, crossed: Crossings) -> tuple[Flip, ...]:
    """At which volume, API price, GPU price and hidden cost the API and the own machines change places."""
    found = [_volume_flip(crossed, tokens)]
    cost, rival = Fraction(own.usd_per_month.likely), Fraction(api.usd_per_month.likely)
    lease = Fraction(own.bill.by_component()["GPU lease"].likely) if own.machines else ZERO
    found.append(_flip_of("api_price", _api_price(api, own, tokens), plain(_blend(api, tokens))))
    if own.machines:
        priced = Tariff("own", fixed=cost - lease, per_unit=Fraction(own.machines))
        found.append(_flip_of("gpu_price", _root(priced, Tariff("api", fixed=rival)), plain(lease / own.machines)))
    hidden = Tariff("own", fixed=cost, per_unit=Fraction(1))
    found.append(_flip_of("hidden_cost", _root(hidden, Tariff("api", fixed=rival)), Decimal(0)))
    return tuple(flip for flip in found if flip is not None)


def hidden(api: Option, own: Option, beside: Range) -> Hidden:
    """What running machines costs beside them, and whether it turns the answer between API and own machines.

    `beside` is what the figures already hold for it, zero for nothing: then article 0's lines are held against them.
    """
    if beside.high:
        words = f"{_usd(beside.low)}" if beside.is_exact else f"{_usd(beside.low)} to {_usd(beside.high)}"
        sentence = f"People and operations ({words} USD a month) are in these figures."
        return Hidden(included=True, usd_per_month=money(beside), flips="no", sentence=sentence)
    stack = hidden_stack().total
    span = f"{_usd(stack.low)} to {_usd(stack.high)} USD a month"
    rival, cost = api.usd_per_month.likely, own.usd_per_month.likely
    verdict: Literal["no", "possibly", "yes"] = "no"
    with_stack = f"{_usd(cost + stack.low)} to {_usd(cost + stack.high)} USD against {_usd(rival)}"
    if cost >= rival:
        words = "they only widen the gap"
    elif cost + stack.low > rival:
        verdict, words = "yes", f"with them the API is cheaper: {with_stack}"
    elif cost + stack.high <= rival:
        words = f"even with them the machines are cheaper: {with_stack}"
    else:
        verdict = "possibly"
        words = f"with them it is {with_stack}: the answer turns at {_usd(rival - cost)} USD a month"
    sentence = f"People and operations ({span}) are not in these figures; {words}."
    return Hidden(included=False, usd_per_month=money(stack), flips=verdict, sentence=sentence)


def verdict(
    options: Sequence[Option],
    tokens: Decimal,
    turning: Turning,
    stack: Hidden | None,
    *,
    confidence: Known,
    next_step: str,
) -> VerdictEntry:
    """The cheapest option in a sentence a CFO can read: against what is paid now, where that is known and not the
    cheapest itself, else against the best one of another kind."""
    best = min(options, key=lambda option: option.usd_per_month.likely)
    now = [option for option in options if option.kind == "now" and option is not best]
    others = [option for option in options if option.kind != best.kind and option.kind != "hybrid"]
    rest = [option for option in options if option is not best]
    rival = min(now or others or rest, key=lambda option: option.usd_per_month.likely, default=None)
    saving = rival.usd_per_month - best.usd_per_month if rival is not None else None
    return VerdictEntry(
        sentence=_sentence(best, rival, tokens, stack),
        cheapest=best.name,
        kind=best.kind,
        against=rival.name if rival is not None else None,
        saving_usd_per_month=money(saving) if saving is not None else None,
        flips=turning.flips,
        hybrid_flips=turning.hybrid,
        hybrid_silent=turning.silent,
        hidden_stack=stack,
        confidence=confidence,
        next=next_step,
    )


def _sentence(best: Option, rival: Option | None, tokens: Decimal, stack: Hidden | None) -> str:
    volume = f"At {quantity_words(tokens)} tokens a month"
    cost = best.usd_per_month.likely
    words = f"{volume} the cheapest way is {best.name}: {_usd(cost)} USD a month"
    if rival is not None and rival.usd_per_month.likely:
        other = rival.usd_per_month.likely
        share = 1 - cost / other
        gap = f", {_usd(other - cost)} USD ({share:.0%}) less than {rival.name}"
        words += gap if other > cost else f", the same as {rival.name}"
    if stack is not None and not stack.included and best.machines:
        words += ", before people and operations"
    return words + "."


def _volume_flip(crossed: Crossings, tokens: Decimal) -> Flip | None:
    if not crossed.found:
        return None
    nearest = min(crossed.found, key=lambda crossing: abs(crossing.at - Fraction(tokens)))
    first, last = crossed.found[0], crossed.found[-1]
    words = f"the answer changes at {quantity_words(plain(nearest.at))} tokens a month"
    if len(crossed.found) > 1:
        span = f"{quantity_words(plain(first.at))} and {quantity_words(plain(last.at))}"
        words = f"the answer changes {len(crossed.found)} times between {span} tokens a month"
    tail = f"; above that {last.cheaper_after} stays cheaper" if crossed.complete else ""
    return Flip(axis="volume", value=plain(nearest.at), now=plain(tokens), unit="tokens/month", sentence=words + tail)


def _root(rising: Tariff, level: Tariff) -> Fraction | None:
    """Where a cost that rises with the axis reaches one that does not; None when it starts above."""
    high = horizon(rising, level)
    if high is None:
        return None
    found = crossings(rising, level, ZERO, high + 1)
    return found[0].at if found else None


_AXES = {
    "api_price": ("USD/M tokens of this mix", "own machines win above an API price of {value} USD/M (now {now})"),
    "gpu_price": ("USD/machine-month", "own machines win below {value} USD a month for a machine (now {now})"),
    "hidden_cost": (
        "USD/month",
        "own machines win while people and operations cost less than {value} USD a month more",
    ),
}


def _flip_of(
    axis: Literal["api_price", "gpu_price", "hidden_cost"], value: Fraction | None, now: Decimal
) -> Flip | None:
    if value is None:
        return None
    unit, words = _AXES[axis]
    shown = plain(value)
    sentence = words.format(value=f"{shown:,f}" if shown < 100 else _usd(shown), now=f"{now:,f}")
    return Flip(axis=axis, value=shown, now=now, unit=unit, sentence=sentence)


def _api_price(api: Option, own: Option, tokens: Decimal) -> Fraction | None:
    """The blended API price at which both cost the same. What the own machines leave to an API gets dearer with it."""
    now = _blend(api, tokens)
    if not now:
        return None
    left = own.curve.per_unit * Fraction(tokens) if isinstance(own.curve, Tariff) else ZERO
    rising = Tariff("api", per_unit=Fraction(tokens) / TOKENS_PER_MTOK)
    return _root(rising, Tariff("own", fixed=Fraction(own.usd_per_month.likely) - left, per_unit=left / now))


def _blend(api: Option, tokens: Decimal) -> Fraction:
    return Fraction(api.usd_per_month.likely) / Fraction(tokens) * TOKENS_PER_MTOK


def quantity_words(tokens: Decimal) -> str:
    """A count of tokens in words short enough for a sentence.

    >>> quantity_words(Decimal(400_000_000)), quantity_words(Decimal("1.6E9")), quantity_words(Decimal(950))
    ('400 M', '1.6 B', '950')
    """
    for size, letter in ((Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "K")):
        if tokens >= size:
            figure = tokens / size
            places = 0 if figure >= 100 else 1 if figure >= 10 else 2
            return f"{plain(round(figure, places)):f} {letter}"
    return f"{plain(round(tokens, 0)):f}"


def _usd(figure: Decimal) -> str:
    """Whole dollars where they say enough, cents below a hundred."""
    return f"{figure:,.0f}" if abs(figure) >= 100 or figure == figure.to_integral_value() else f"{figure:,.2f}"
