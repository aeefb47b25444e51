"""The answer to cases: what is likely, between which bounds, and whether the model fits at all. Pure.

A band is from the tenth to the ninetieth of a hundred measurements, by how near to the case anything was measured: the
spread of the model's own errors on deployments it had not seen, or had. A measurement that is old, of another engine
version or of a fit that failed its check widens it (`drift.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import starmap

import numpy as np

from baseload.capacity.case import Case
from baseload.capacity.columns import columns
from baseload.capacity.constants import Constants
from baseload.capacity.drift import Doubt
from baseload.capacity.fit import Fit, fit
from baseload.capacity.known import NOTHING, Known
from baseload.capacity.steadystate import Factors, Served, serve
from baseload.units import BITS_PER_BYTE

COVERAGE = 0.8
MILLISECONDS = 1000.0
# The errors of a first guess: half again either way. Only until a band is measured.
_GUESS = (-0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Band:
    """Likely, and the bounds between which four of five measurements are."""

    likely: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a case serves. `basis` says what it rests on; `fit` whether the weights and one request fit."""

    output_tokens_per_s: Band
    tpot_ms: Band
    ttft_ms: Band
    fit: Fit
    basis: str


@dataclass(frozen=True, slots=True)
class Model:
    """The fitted model: constants, what is known of deployments, and the spread of its errors.

    `bands` are by basis and figure the logarithms of measured over predicted, a tenth of them below the first and a
    tenth above the second. `as_of` is the latest measurement it was fitted to.
    """

    constants: Constants
    known: Known = NOTHING
    bands: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    as_of: str = ""

    def factors(self, cases: Sequence[Case]) -> Factors:
        return self.known.factors(cases)

    def served(self, cases: Sequence[Case], over: Factors | None = None) -> Served:
        """Likely figures, without bands."""
        return serve(columns(cases), self.constants, self.factors(cases) if over is None else over)


def estimates(
    cases: Sequence[Case], model: Model, over: Factors | None = None, *, basis: str = "", doubt: Doubt | None = None
) -> list[Estimate]:
    """One estimate per case. `over` replaces what is known of deployments by a calibration, whose `basis` and `doubt`
    count for the band."""
    served = model.served(cases, over)
    bases = [basis or model.known.level(case) for case in cases]
    drift = 0.0 if doubt is None else doubt.width
    figures = zip(
        cases,
        bases,
        served.output_per_second.tolist(),
        (served.between * MILLISECONDS).tolist(),
        (served.first * MILLISECONDS).tolist(),
        strict=True,
    )

    def one(case: Case, basis: str, output: float, between: float, first: float) -> Estimate:
        bounds = model.bands.get(basis, {})
        return Estimate(
            _band(output, bounds.get("output", _GUESS), drift),
            _band(between, bounds.get("between", _GUESS), drift),
            _band(first, bounds.get("first", _GUESS), drift),
            case_fit(case),
            basis,
        )

    return list(starmap(one, figures))


def case_fit(case: Case) -> Fit:
    """Whether a case fits, at the bits per weight that its packing comes to."""
    of = columns([case])
    held = Decimal(float(of.plain_total[0]) * case.machine.count)
    bits = (held * BITS_PER_BYTE / case.architecture.total_parameters).quantize(Decimal("0.001"))
    return fit(
        case.architecture,
        case.machine,
        weight_bits=bits,
        context_tokens=case.input_tokens + case.output_tokens,
        cache_bits=round(case.precision.cache_bytes * BITS_PER_BYTE),
        pipeline=case.pipeline,
    )


def most_in_flight(case: Case) -> int:
    """Requests of the case's lengths that fit beside the weights."""
    return case_fit(case).max_in_flight


def largest_load(
    case: Case, model: Model, *, first_ms: float | None, between_ms: float | None, over: Factors | None = None
) -> int:
    """The most requests in flight at which the likely times stay within bounds, 0 where one already does not."""
    most = max(most_in_flight(case), 1)
    tried = sorted({round(most ** (step / 64)) for step in range(65)} | set(range(1, min(most, 256) + 1)))
    served = model.served([replace(case, in_flight=each) for each in tried], _same(over, len(tried)))
    good = np.ones(len(tried), dtype=bool)
    if first_ms is not None:
        good &= served.first * MILLISECONDS <= first_ms
    if between_ms is not None:
        good &= served.between * MILLISECONDS <= between_ms
    return max((each for each, fine in zip(tried, good.tolist(), strict=True) if fine), default=0)


def _same(over: Factors | None, count: int) -> Factors | None:
    """One case's factors for many."""
    if over is None:
        return None
    return Factors(*(np.full(count, float(np.ravel(each)[0])) for each in (over.step, over.compute, over.first)))


def _band(likely: float, bounds: tuple[float, float], drift: float) -> Band:
    low, high = (math.copysign(math.hypot(each, drift), each) for each in bounds)
    return Band(likely, likely * math.exp(min(low, 0.0)), likely * math.exp(max(high, 0.0)))
