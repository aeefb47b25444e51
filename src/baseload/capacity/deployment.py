"""A model on a machine with an engine, and what it was measured to serve. A pure value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from baseload.capacity.curve import Curve
from baseload.capacity.drift import Doubt
from baseload.capacity.steptime import StepTime
from baseload.catalog.entries import Source
from baseload.errors import BadInput
from baseload.ranges import Range
from baseload.usage import Usage

_EXACT = Range.exact(1)


@dataclass(frozen=True, slots=True)
class Saturated:
    """What a full deployment reads and writes per second, were it doing only that: a request occupies it for
    `input / input_tokens_per_second + output / output_tokens_per_second` seconds."""

    input_tokens_per_second: Decimal
    output_tokens_per_second: Decimal


@dataclass(frozen=True, slots=True)
class Deployment:
    """`model` is the name offers use. `saturated` is None when only one mix of input and output was measured: then
    `curve` alone says what it serves, at that mix (`mix_input` tokens in for `mix_output` out).

    `band` is how far its rates may be off, as factors; `doubt` says why, where it was measured. `loads` are what it was
    measured under, by the names of the capacity model's figures, and `step` is that of its engine, where a log was
    fitted.
    """

    name: str
    model: str
    machine: str
    gpu: str
    gpus: int
    engine: str
    quantization: str
    curve: Curve
    max_in_flight: int
    mix_input: int
    mix_output: int
    saturated: Saturated | None
    measured: date
    source: Source
    band: Range = _EXACT
    doubt: Doubt | None = None
    loads: tuple[Mapping[str, float], ...] = ()
    step: StepTime | None = None

    def seconds(self, usage: Usage) -> Decimal:
        """Seconds one request keeps the full deployment busy. Cached prompt tokens are not read again."""
        if self.saturated is None:
            plateau = Decimal(str(self.curve.tokens_per_second(self.max_in_flight)))
            return Decimal(usage.completion_tokens) / plateau
        read = usage.prompt_tokens - usage.cache_read_tokens
        return (
            Decimal(read) / self.saturated.input_tokens_per_second
            + Decimal(usage.completion_tokens) / self.saturated.output_tokens_per_second
        )


def separate(mix_a: tuple[int, int, Decimal], mix_b: tuple[int, int, Decimal]) -> Saturated:
    """Read and write rates from two measured mixes `(input, output, output tokens per second)` at the same load.

    Each gives one equation `input / x_in + output / x_out = output / rate`; the two are solved for both rates.

    >>> both = separate((1000, 100, Decimal(500)), (1000, 1100, Decimal(1100)))
    >>> int(both.output_tokens_per_second), int(both.input_tokens_per_second)
    (1250, 8333)
    """
    (in_a, out_a, rate_a), (in_b, out_b, rate_b) = mix_a, mix_b
    busy_a, busy_b = out_a / rate_a, out_b / rate_b
    determinant = Decimal(in_a * out_b - in_b * out_a)
    if determinant == 0:
        raise BadInput(
            f"{in_a}:{out_a} and {in_b}:{out_b} are the same mix of input and output",
            remedy="Measure two mixes that differ.",
        )
    per_input = (busy_a * out_b - busy_b * out_a) / determinant
    per_output = (in_a * busy_b - in_b * busy_a) / determinant
    if per_input <= 0 or per_output <= 0:
        raise BadInput(
            "the two measurements contradict each other: one of the rates would be negative",
            remedy="Measure both mixes at the same number of requests in flight.",
        )
    return Saturated(1 / per_input, 1 / per_output)
