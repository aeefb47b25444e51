"""`cost.tokens.price` for many calls: the same nano-dollars, in plain integers with the rates looked up once. Pure.

It stands in where thousands of calls are priced on dozens of offers; tests hold it equal to the original on generated
offers and usages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import time
from operator import attrgetter

from baseload.capacity.offer import OWN
from baseload.catalog.entries import Offer, PriceRow, Processing, Rates
from baseload.clock import from_ns
from baseload.cost.tokens import processing_of
from baseload.errors import Unpriced
from baseload.units import NANOSECONDS_PER_SECOND, PICO_PER_NANO, SECONDS_PER_MINUTE, nanousd, pico_per_token
from baseload.usage import Usage

LEAVES = Usage.__struct_fields__
counts_of: Callable[[Usage], tuple[int, ...]] = attrgetter(*LEAVES)
"""The counts of a Usage in the order of LEAVES."""

_HALF = PICO_PER_NANO // 2
_MINUTE_NS = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Step:
    """Rates that hold for prompts longer than `above`: pico-dollars per token in the order of LEAVES, None where the
    price is not known, and nano-dollars per request."""

    above: int
    rates: tuple[int | None, ...]
    per_request: int

    def nanousd(self, counts: tuple[int, ...]) -> int | None:
        """What these counts cost; None when one of them has no price."""
        total = self.per_request
        for count, rate in zip(counts, self.rates):  # noqa: B905 (as long as each other; saying so costs time)
            if count:
                if rate is None:
                    return None
                pico = count * rate
                whole = pico // PICO_PER_NANO
                rest = pico - whole * PICO_PER_NANO
                total += whole + 1 if rest > _HALF or (rest == _HALF and whole & 1) else whole
        return total

    @property
    def adds_up(self) -> bool:
        """Whether every leaf is priced in whole nano-dollars per token: then a sum of usages costs the sum of costs."""
        return all(rate is not None and rate % PICO_PER_NANO == 0 for rate in self.rates)


def processed(offer: Offer, service_tier: str, by: str) -> Processing | None:
    """How an offer prices a request that the offer `by` processed in that way; None where nobody knows a price.

    On the offer that served it the price is that way's or unknown. Another offer that has no such way would have
    served it in its standard one, as a pool of your own does.
    """
    at_home = by == offer.key and offer.provider != OWN
    try:
        processing = processing_of(service_tier)
    except Unpriced:
        return None if at_home else Processing.STANDARD
    if at_home or (offer.provider != OWN and offer.rows(processing)):
        return processing
    return Processing.STANDARD


class Pricer:
    """One offer, ready to price many usages that are processed in one way."""

    def __init__(self, offer: Offer, processing: Processing = Processing.STANDARD) -> None:
        self._offer = offer
        self._processing = processing
        self._schedule = offer.rows(processing)
        self._steps: dict[int, tuple[Step, ...]] = {}
        self._always = len(self._schedule) == 1 and _unconditional(self._schedule[0])
        self._by_minute: dict[int, tuple[Step, ...]] | None = {} if _turns_on_minutes(self._schedule) else None
        self._others: dict[str, Pricer | None] = {}

    def served(self, service_tier: str, by: str) -> Pricer | None:
        """What prices here a request that the offer `by` processed in that way, as `processed` says."""
        if not service_tier:
            return self
        key = f"{service_tier} {by == self._offer.key}"
        if key not in self._others:
            found = processed(self._offer, service_tier, by)
            self._others[key] = None if found is None else self._way(found)
        return self._others[key]

    def _way(self, processing: Processing) -> Pricer:
        return self if processing is self._processing else Pricer(self._offer, processing)

    def nanousd(self, usage: Usage, at_ns: int) -> int | None:
        """What `price(usage, offer, from_ns(at_ns), processing)` answers, in nano-dollars; None where that raises
        Unpriced."""
        return self.of_counts(counts_of(usage), usage.prompt_tokens, at_ns)

    def of_counts(self, counts: tuple[int, ...], prompt_tokens: int, at_ns: int) -> int | None:
        """The same for a usage that was already taken apart."""
        for step in self._steps_at(at_ns):
            if prompt_tokens > step.above:
                return step.nanousd(counts)
        return None

    @property
    def flat(self) -> Step | None:
        """The one step of an offer whose price never changes with time or length; None for every other offer."""
        steps = self._steps_at(0) if self._always else ()
        return steps[0] if len(steps) == 1 else None

    def _steps_at(self, at_ns: int) -> tuple[Step, ...]:
        """Steps in force, steepest first; none when the book has no price then."""
        if self._always:
            return self._steps_of(0)
        if self._by_minute is None:
            return self._find(at_ns)
        minute = at_ns // _MINUTE_NS
        found = self._by_minute.get(minute)
        if found is None:
            found = self._by_minute[minute] = self._find(at_ns)
        return found

    def _find(self, at_ns: int) -> tuple[Step, ...]:
        row = self._offer.row(from_ns(at_ns), self._processing)
        return () if row is None else self._steps_of(self._schedule.index(row))

    def _steps_of(self, place: int) -> tuple[Step, ...]:
        if place not in self._steps:
            row = self._schedule[place]
            tiers = sorted(row.tiers, key=lambda tier: -tier.above_prompt_tokens)
            steps = [(tier.above_prompt_tokens, tier.rates) for tier in tiers]
            self._steps[place] = tuple(_step(above, rates) for above, rates in [*steps, (-1, row.rates)])
        return self._steps[place]


def _step(above: int, rates: Rates) -> Step:
    whole = {"output_tokens": rates.output, "reasoning_tokens": rates.output}
    stated = {
        "input_tokens": rates.input,
        "cache_read_tokens": rates.cache_read,
        "cache_write_tokens": rates.cache_write,
        "cache_write_1h_tokens": rates.cache_write_1h,
        "output_tokens": rates.output,
        "reasoning_tokens": rates.reasoning,
    }
    taken = [stated[leaf] if stated[leaf] is not None else whole.get(leaf, rates.input) for leaf in LEAVES]
    return Step(
        above, tuple(None if rate is None else pico_per_token(rate) for rate in taken), nanousd(rates.per_request)
    )


def _unconditional(row: PriceRow) -> bool:
    return row.valid_from is None and row.valid_to is None and row.window is None


def _turns_on_minutes(schedule: Sequence[PriceRow]) -> bool:
    """Whether the price in force can only change on a full minute."""
    windows = [row.window for row in schedule if row.window is not None]
    return all(_full_minute(window.start) and _full_minute(window.end) for window in windows)


def _full_minute(moment: time) -> bool:
    return moment.second == moment.microsecond == 0
