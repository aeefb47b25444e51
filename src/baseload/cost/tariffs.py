"""`price()` for the path of a request: the rates of an offer as integers, looked up once a minute. Pure.

A `Tariff` gives the same nano-dollars as `cost.tokens.price`, which stays the one that explains them; a test holds the
two together on generated offers. What it cannot price it leaves to `price`, which says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from baseload.catalog.entries import Offer, PriceRow, Rates
from baseload.clock import from_ns
from baseload.cost.tokens import half_even
from baseload.errors import BadInput
from baseload.units import NANOSECONDS_PER_SECOND, PICO_PER_NANO, SECONDS_PER_MINUTE, nanousd, pico_per_token
from baseload.usage import Usage

_MINUTE_NS = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND
_MINUTE = timedelta(minutes=1)
_HALF = PICO_PER_NANO // 2


@dataclass(frozen=True, slots=True)
class _Step:
    """Pico-dollars per token of each leaf for prompts longer than `above`, None where there is no price;
    nano-dollars per request."""

    above: int
    input: int | None
    cache_read: int | None
    cache_write: int | None
    cache_write_1h: int | None
    output: int | None
    reasoning: int | None
    request: int


class Tariff:
    """One row of an offer's schedule."""

    __slots__ = ("_line", "_only", "_steps")

    def __init__(self, row: PriceRow) -> None:
        tiers = sorted(row.tiers, key=lambda tier: -tier.above_prompt_tokens)
        self._steps = (*(_step(tier.above_prompt_tokens, tier.rates) for tier in tiers), _step(-1, row.rates))
        only = self._only = self._steps[0] if len(self._steps) == 1 else None
        self._line: tuple[int, int, int] | None = None  # of input and output and for a request, where there is but one
        if only is not None and only.input is not None and only.output is not None:
            self._line = (only.input, only.output, only.request)

    def nanousd(self, usage: Usage) -> int | None:
        """What a Usage costs; None when something in it has no price."""
        if not (
            usage.cache_read_tokens or usage.reasoning_tokens or usage.cache_write_tokens or usage.cache_write_1h_tokens
        ):
            return self.of(usage.input_tokens, usage.output_tokens)
        step = self._only or self._step(usage.prompt_tokens)
        total = step.request
        for count, rate in (
            (usage.input_tokens, step.input),
            (usage.output_tokens, step.output),
            (usage.cache_read_tokens, step.cache_read),
            (usage.cache_write_tokens, step.cache_write),
            (usage.cache_write_1h_tokens, step.cache_write_1h),
            (usage.reasoning_tokens, step.reasoning),
        ):
            if count:
                if rate is None:
                    return None
                pico = count * rate
                total += half_even(pico) if pico % PICO_PER_NANO else pico // PICO_PER_NANO
        return total

    def of(self, read: int, written: int) -> int | None:
        """What a Usage of so many input and output tokens costs; None when one of them has no price."""
        step = self._only or self._step(read)
        if (read and step.input is None) or (written and step.output is None):
            return None
        one, other = read * (step.input or 0), written * (step.output or 0)
        if one % PICO_PER_NANO or other % PICO_PER_NANO:
            return step.request + half_even(one) + half_even(other)
        return step.request + (one + other) // PICO_PER_NANO

    def expected(self, read: int, written: int) -> int | None:
        """What so many tokens read and written are likely to cost, to a nano-dollar; None when a price is missing."""
        if self._line is not None:
            of_input, of_output, request = self._line
        else:
            step = self._step(read)
            if step.input is None or (written and step.output is None):
                return None
            of_input, of_output, request = step.input, step.output or 0, step.request
        return (read * of_input + written * of_output + _HALF) // PICO_PER_NANO + request

    def _step(self, prompt: int) -> _Step:
        for step in self._steps:
            if prompt > step.above:
                return step
        raise BadInput(f"{prompt} tokens are no length of a prompt", remedy="Count from 0.")


_NOT_FOUND = (-1, None, None)


class Tariffs:
    """The tariffs of offers at this minute, remembered by a name of each."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, Offer, Tariff | None]] = {}
        self._all: tuple[int, Mapping[str, Offer], dict[str, Tariff | None]] = (-1, {}, {})

    def of_all(self, offers: Mapping[str, Offer], at_ns: int) -> Mapping[str, Tariff | None]:
        """What holds in the minute of a moment, by the names of offers; without those that turn within it."""
        minute = at_ns // _MINUTE_NS
        known, of, found = self._all
        if known != minute or of is not offers:
            held = {name: self.at(name, offer, at_ns) for name, offer in offers.items()}
            found = {name: tariff for name, tariff in held.items() if self._found.get(name, _NOT_FOUND)[0] == minute}
            self._all = (minute, offers, found)
        return found

    def at(self, name: str, offer: Offer, at_ns: int) -> Tariff | None:
        """What holds at a moment, in nanoseconds since the epoch; None when the offer has no price then."""
        minute = at_ns // _MINUTE_NS
        found = self._found.get(name)
        if found is not None and found[0] == minute and found[1] is offer:
            return found[2]
        row = offer.row(from_ns(at_ns))
        tariff = Tariff(row) if row is not None else None
        start = from_ns(minute * _MINUTE_NS)
        if len(offer.turns(start, start + _MINUTE)) == 1:  # else another row may come into force within this minute
            self._found[name] = (minute, offer, tariff)
        return tariff


def _step(above: int, rates: Rates) -> _Step:
    """A sheet without a line for cache or reasoning charges those as input and output."""
    read, written = _pico(rates.input), _pico(rates.output)
    return _Step(
        above,
        read,
        _pico(rates.cache_read) if rates.cache_read is not None else read,
        _pico(rates.cache_write) if rates.cache_write is not None else read,
        _pico(rates.cache_write_1h) if rates.cache_write_1h is not None else read,
        written,
        _pico(rates.reasoning) if rates.reasoning is not None else written,
        nanousd(rates.per_request),
    )


def _pico(rate: Decimal | None) -> int | None:
    """Pico-dollars per token; None without a rate, or with one of more decimals than a price may have."""
    try:
        return pico_per_token(rate) if rate is not None else None
    except BadInput:
        return None
