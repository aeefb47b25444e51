"""What `baseload measure` answers, as one document. Pure values."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from baseload.measure.entry import Fitted
from baseload.measure.levels import Level

SCHEMA = "baseload.measure/1"


class CurveCard(msgspec.Struct, frozen=True, kw_only=True):
    """The curve: a step takes `fixed_seconds + seconds_per_request x in_flight ** gamma`, up to `measured_to`."""

    fixed_seconds: float
    seconds_per_request: float
    gamma: float
    measured_to: int


class HeldCard(msgspec.Struct, frozen=True, kw_only=True):
    """The load that a first fit had not seen, and by what share it missed its output tokens a second."""

    in_flight: int
    measured: float
    predicted: float
    error: float


class RatesCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a full deployment reads or writes a second, doing only that; `bounded` when it reads at least so fast."""

    input_tokens_per_second: float
    output_tokens_per_second: float
    bounded: bool


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity model beside what was measured: the factors on its step, its computing and its first token that make
    it agree, and the worst error of a load predicted by the others. Of an open loop `loads` are its requests, a third
    of which was held out. `why_not` where it knows no such deployment, or too little was answered."""

    step: float | None = None
    compute: float | None = None
    first: float | None = None
    loads: int = 0
    held_out: float | None = None
    trusted: bool = False
    why_not: str = ""


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What the measurement used. `usd` is None where nothing is paid by the token, or no book knows the price."""

    requests: int
    tokens: int
    seconds: float
    usd: Decimal | None


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured. `entry` is the file that other verbs read, None where none could be written."""

    schema: str
    url: str
    model: str
    engine: str
    version: str
    gpu: str
    gpus: int
    quantization: str
    measured: datetime
    lengths: str
    levels: tuple[Level, ...]
    long_prompts: Level | None
    open_loop: Level | None
    curve: CurveCard | None
    held_out: HeldCard | None
    calibrated: bool
    saturated: RatesCard | None
    model_fit: ModelCard | None
    name: str
    entry: str | None
    stopped: str
    client_bound: bool
    used: Used


def cards(found: Fitted | None) -> tuple[CurveCard | None, HeldCard | None, RatesCard | None]:
    """The parts of a fit as they are printed."""
    if found is None:
        return None, None, None
    curve, held, rates = found.curve, found.held_out, found.rates
    return (
        CurveCard(
            fixed_seconds=curve.fixed_seconds,
            seconds_per_request=curve.seconds_per_request,
            gamma=curve.gamma,
            measured_to=curve.measured_to,
        ),
        HeldCard(in_flight=held.in_flight, measured=held.measured, predicted=held.predicted, error=held.error)
        if held is not None
        else None,
        RatesCard(
            input_tokens_per_second=rates.input_tokens_per_second,
            output_tokens_per_second=rates.output_tokens_per_second,
            bounded=rates.bounded,
        )
        if rates is not None
        else None,
    )
