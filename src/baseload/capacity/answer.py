"""What `baseload capacity` answers, as documents. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import msgspec

from baseload.capacity.calibration import Calibration
from baseload.capacity.case import Case
from baseload.capacity.drift import Doubt
from baseload.capacity.estimate import COVERAGE, Band, Estimate, Model, estimates, largest_load
from baseload.units import SECONDS_PER_HOUR, TOKENS_PER_MTOK

_BASIS = {
    "none": "the model alone: nothing like it was measured",
    "model": "the model, and measurements of the same model elsewhere",
    "deployment": "the model, and measurements of this very deployment",
    "one point": "the model, and your measurement",
    "three points": "the model, and your measurements",
}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with the bounds between which four of five measurements are."""

    likely: float
    low: float
    high: float


class CaseAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one case serves, or why it has no answer (`error`). `fits` is None where that cannot be said."""

    model: str = ""
    gpu: str = ""
    count: int = 0
    quant: str = ""
    engine: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    concurrency: int = 0
    fits: bool | None = None
    fit: str = ""
    most_concurrent: int | None = None
    output_tokens_per_s: Figure | None = None
    tpot_ms: Figure | None = None
    ttft_ms: Figure | None = None
    usd_per_million_output_tokens: Figure | None = None
    basis: str = ""
    error: str = ""


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """What points of your own made of the model: factors on its seconds, and the worst point by the others. `widened`
    is the half band that their age, another engine version and a failed check add."""

    points: int
    step: float
    compute: float
    first: float
    held_out_error: float | None
    calibrated: bool
    measured: date | None
    engine_version: str
    widened: float
    why: str


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The largest load within an objective: requests in flight, 0 where one is already too slow."""

    ttft_ms: float | None
    tpot_ms: float | None
    concurrency: int
    served: CaseAnswer | None


class CapacityDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question. `coverage` is how many of a hundred measurements the bounds are to hold."""

    schema: str = "baseload.capacity/1"
    output_tokens_per_s: Figure
    tpot_ms: Figure
    ttft_ms: Figure
    fits: bool
    case: CaseAnswer
    coverage: float = COVERAGE
    as_of: str
    calibration: Calibrated | None = None
    objective: Bound | None = None


class BatchDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to a table, in its order."""

    schema: str = "baseload.capacity.batch/1"
    coverage: float = COVERAGE
    as_of: str
    cases: list[CaseAnswer]


def batch(asked: Sequence[Case | str], model: Model) -> BatchDocument:
    """Every case answered; a string is why one could not be read."""
    good = [case for case in asked if isinstance(case, Case)]
    found = iter(zip(good, estimates(good, model), strict=True))
    cases = [case_answer(*next(found)) if isinstance(each, Case) else CaseAnswer(error=each) for each in asked]
    return BatchDocument(as_of=model.as_of, cases=cases)


def capacity(
    case: Case,
    model: Model,
    calibration: Calibration | None = None,
    *,
    doubt: Doubt | None = None,
    usd_per_gpu_hour: float | None = None,
    objective: Mapping[str, float] | None = None,
) -> CapacityDocument:
    """One case in full."""
    over = calibration.factors() if calibration is not None else None
    basis = calibration.basis if calibration is not None else ""
    found = estimates([case], model, over, basis=basis, doubt=doubt)[0]
    answer = case_answer(case, found, usd_per_gpu_hour)
    bound = None
    if objective is not None:
        most = largest_load(case, model, first_ms=objective.get("ttft"), between_ms=objective.get("tpot"), over=over)
        there = replace(case, in_flight=most) if most else None
        served = estimates([there], model, over, basis=basis, doubt=doubt)[0] if there else None
        bound = Bound(
            ttft_ms=objective.get("ttft"),
            tpot_ms=objective.get("tpot"),
            concurrency=most,
            served=case_answer(there, served, usd_per_gpu_hour) if there and served else None,
        )
    return CapacityDocument(
        output_tokens_per_s=_figure(found.output_tokens_per_s),
        tpot_ms=_figure(found.tpot_ms),
        ttft_ms=_figure(found.ttft_ms),
        fits=found.fit.fits,
        case=answer,
        as_of=model.as_of,
        calibration=_calibrated(calibration, doubt),
        objective=bound,
    )


def case_answer(case: Case, found: Estimate, usd_per_gpu_hour: float | None = None) -> CaseAnswer:
    """An estimate as it is written."""
    return CaseAnswer(
        model=case.architecture.name,
        gpu=case.machine.gpu,
        count=case.machine.count,
        quant=case.precision.name,
        engine=case.engine,
        input_tokens=case.input_tokens,
        output_tokens=case.output_tokens,
        concurrency=case.in_flight,
        fits=found.fit.fits,
        fit=found.fit.sentence,
        most_concurrent=found.fit.max_in_flight,
        output_tokens_per_s=_figure(found.output_tokens_per_s),
        tpot_ms=_figure(found.tpot_ms),
        ttft_ms=_figure(found.ttft_ms),
        usd_per_million_output_tokens=_usd(case, found, usd_per_gpu_hour),
        basis=_BASIS.get(found.basis, found.basis),
    )


def _usd(case: Case, found: Estimate, usd_per_gpu_hour: float | None) -> Figure | None:
    """A modelled cost: the hour of all cards over what they write in it."""
    if usd_per_gpu_hour is None:
        return None
    hour = usd_per_gpu_hour * case.machine.count * TOKENS_PER_MTOK / SECONDS_PER_HOUR
    made = found.output_tokens_per_s
    return _figure(Band(hour / made.likely, hour / made.high, hour / made.low))


def _figure(band: Band) -> Figure:
    likely, low, high = (float(f"{each:.4g}") for each in (band.likely, band.low, band.high))
    return Figure(likely=likely, low=low, high=high)


def _calibrated(found: Calibration | None, doubt: Doubt | None) -> Calibrated | None:
    if found is None:
        return None
    return Calibrated(
        points=found.points,
        step=round(found.step, 4),
        compute=round(found.compute, 4),
        first=round(found.first, 4),
        held_out_error=None if found.held_out is None else round(found.held_out, 4),
        calibrated=found.trusted,
        measured=found.when,
        engine_version=found.version,
        widened=round(math.expm1(doubt.width), 4) if doubt is not None else 0.0,
        why=doubt.sentence if doubt is not None else "",
    )
