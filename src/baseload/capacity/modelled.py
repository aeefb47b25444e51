"""A deployment that nobody measured, with the curve that the capacity model gives it. Pure.

Its name says what it is: `qwen3-32b@h100-80gb-x2:fp8:vllm` is a model, on cards, at a precision, with an engine. Where
a measured curve exists it counts; this one stands in until then, and brings its band along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal

from baseload.capacity.architecture import Architecture, architecture_named
from baseload.capacity.board import machine_of
from baseload.capacity.case import Case, engine_named, precision_named
from baseload.capacity.curve import DENSE, MIXTURE_OF_EXPERTS, Curve, Point
from baseload.capacity.deployment import Deployment, separate
from baseload.capacity.estimate import Estimate, Model, case_fit, estimates
from baseload.catalog.entries import Machine, Precedence, Source
from baseload.errors import BadInput
from baseload.ranges import Range

SIGN = "@"
_NAME = re.compile(r"(?P<model>[^@]+)@(?P<gpu>[^@:]+)-x(?P<count>\d{1,4}):(?P<quant>[^:]+):(?P<engine>[^:]+)")
EXAMPLE = "qwen3-32b@h100-80gb-x2:fp8:vllm"
# As measured deployments are: a thousand tokens in, and two lengths out that tell reading from writing.
MIX = (1024, 128)
OTHER = 1024
MOST = 128
_DIGITS = Decimal("0.1")


def modelled(
    name: str, model: Model, architectures: Mapping[str, Architecture], machines: Mapping[str, Machine]
) -> Deployment:
    """The deployment of a name. Raises BadInput for a name of another form, and for a model that does not fit."""
    match = _NAME.fullmatch(name.strip())
    if match is None:
        raise BadInput(f"{name[:80]!r} names no deployment to model", remedy=f"Write it as {EXAMPLE}.")
    machine = machine_of(match["gpu"], int(match["count"]), machines)
    case = Case(
        architecture_named(match["model"], architectures),
        machine,
        engine_named(match["engine"]),
        precision_named(match["quant"]),
        *MIX,
        in_flight=1,
    )
    return deployment_of(case, model, name)


def deployment_of(case: Case, model: Model, name: str) -> Deployment:
    """A case's deployment: its curve at one mix, reading and writing by a second, and the band of both."""
    fits = case_fit(replace(case, output_tokens=OTHER))
    if not fits.fits:
        raise BadInput(fits.sentence, remedy="Ask for more cards or fewer bits: baseload capacity says what fits.")
    most = max(min(fits.max_in_flight, MOST), 2)
    alone, full, longer = estimates(
        [case, replace(case, in_flight=most), replace(case, in_flight=most, output_tokens=OTHER)], model
    )
    shape = case.architecture.shape
    curve = Curve.through(
        Point(1, alone.output_tokens_per_s.likely),
        Point(most, full.output_tokens_per_s.likely),
        MIXTURE_OF_EXPERTS if shape is not None and shape.experts else DENSE,
    )
    return Deployment(
        name=name,
        model=case.architecture.name,
        machine=case.machine.name,
        gpu=case.machine.gpu,
        gpus=case.machine.count,
        engine=case.engine,
        quantization=case.precision.name,
        curve=curve,
        max_in_flight=most,
        mix_input=case.input_tokens,
        mix_output=case.output_tokens,
        saturated=separate(
            (case.input_tokens, case.output_tokens, _rate(full)), (case.input_tokens, OTHER, _rate(longer))
        ),
        measured=date.fromisoformat(model.as_of),
        source=Source(
            "capacity model",
            Precedence.MARKET,
            date.fromisoformat(model.as_of),
            f"baseload capacity: modelled, not measured; 80 % band, on the basis {full.basis}",
        ),
        band=_band(full),
    )


def _rate(found: Estimate) -> Decimal:
    return Decimal(str(found.output_tokens_per_s.likely)).quantize(_DIGITS)


def _band(found: Estimate) -> Range:
    """The band as factors on the likely rate."""
    band = found.output_tokens_per_s
    low, high = (Decimal(str(each / band.likely)).quantize(Decimal("0.001")) for each in (band.low, band.high))
    return Range(low, Decimal(1), high)
