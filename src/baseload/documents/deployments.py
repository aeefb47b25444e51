"""Deployments that were measured: those that ship, and yours. Acts (reads files).

A name such as `qwen3-32b@h100-80gb-x2:fp8:vllm` that nobody measured is answered by the capacity model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec

from baseload.capacity.curve import DENSE, MIXTURE_OF_EXPERTS, Curve, Point
from baseload.capacity.deployment import Deployment, Saturated, separate
from baseload.capacity.drift import Doubt, days_between
from baseload.capacity.steptime import StepTime
from baseload.catalog.entries import Precedence
from baseload.clock import SystemClock, now
from baseload.documents.models import load_architectures, load_capacity_model
from baseload.documents.prices import DATA, load_machines
from baseload.documents.reading import Origin, read, source_of
from baseload.documents.writing import write_yaml
from baseload.errors import BadConfig, BadInput
from baseload.home import measured_home
from baseload.units import MILLISECONDS_PER_SECOND

# What of a modelled deployment's name (`qwen3-32b@h100-80gb-x2:fp8:vllm`) is no file's.
_FILE = re.compile(r"[^a-z0-9._-]+")
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**60)]


class _Rate(msgspec.Struct, forbid_unknown_fields=True):
    in_flight: int
    output_tokens_per_second: Decimal


class _Mix(msgspec.Struct, forbid_unknown_fields=True):
    input: int
    output: int


class _Saturated(msgspec.Struct, forbid_unknown_fields=True):
    input_tokens_per_second: Decimal
    output_tokens_per_second: Decimal


class _Places(msgspec.Struct, forbid_unknown_fields=True):
    mean: float
    p50: float
    p90: float
    p99: float


class _Probe(msgspec.Struct, forbid_unknown_fields=True):
    """One measured load with its times: kept beside the points for whoever fits them anew."""

    in_flight: int
    input: float
    output: float
    requests: int
    output_tokens_per_second: Decimal
    ttft_seconds: _Places | None = None
    tpot_seconds: _Places | None = None
    latency_seconds: _Places | None = None


class _SecondMix(msgspec.Struct, forbid_unknown_fields=True):
    mix: _Mix
    output_tokens_per_second: Decimal


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    """The step of an engine as a log was fitted: the fields of `StepTime`."""

    shared_weights: _Seconds
    expert_weights: _Seconds
    expert_share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    compute: _Seconds
    softness: Annotated[float, msgspec.Meta(ge=1, le=100)]
    context: _Seconds
    attention: _Seconds
    fixed: _Seconds
    per_request: _Seconds
    per_token: _Seconds
    prefill: _Seconds
    receive: _Seconds
    kv_tokens: _Count
    most_requests: _Count
    step_tokens: _Count
    mixed: bool


class _DeploymentRow(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    model: str
    machine: str
    gpu: str
    gpus: int
    engine: str
    quantization: str
    experts: bool
    mix: _Mix
    points: list[_Rate]
    max_in_flight: int
    measured: date
    source: str
    saturated_from: _SecondMix | None = None
    saturated: _Saturated | None = None
    probes: list[_Probe] = []
    held_out: float | None = None
    step: _Step | None = None
    note: str = ""


class _Deployments(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, Origin]
    deployments: list[_DeploymentRow]


class Deployments(dict[str, Deployment]):
    """Measured deployments by name. A name such as `qwen3-32b@h100-80gb-x2:fp8:vllm` that nobody measured is found too:
    the capacity model says what it serves. Only measured ones are listed."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and "@" in name)

    def __missing__(self, name: str) -> Deployment:
        if "@" not in name:
            raise KeyError(name)
        # Imported here: it brings numpy, which a measured deployment does without.
        from baseload.capacity.modelled import modelled

        self[name] = modelled(name, load_capacity_model(), load_architectures(), load_machines())
        return self[name]

    def get(self, name: str, default: object = None) -> Any:  # noqa: ANN401  as dict's own
        try:
            return self[name]
        except KeyError:
            return default


def load_deployments(*, directory: Path = DATA, yours: Path | None = None, today: date | None = None) -> Deployments:
    """Deployments that were measured, by name: those that ship, and yours over them. `yours` is a folder of files as
    `baseload measure` writes them, that of your home when none is named. Bands are those of `today`."""
    found = Deployments()
    day = today if today is not None else now(SystemClock()).date()
    folder = measured_home() if yours is None else yours
    for path in [directory / "deployments.yaml", *sorted(folder.glob("*.yaml"))]:
        document = read(path, _Deployments)
        found.update({row.name: _deployment(row, document.sources, path, day) for row in document.deployments})
    return found


def keep_deployment(name: str, document: Mapping[str, object]) -> Path:
    """Write a deployment's document where every verb looks for it; an older one of the same name is kept beside it,
    dated. Raises BadInput where that cannot be written."""
    path = measured_home() / f"{_FILE.sub('-', name)}.yaml"
    try:
        if path.exists():
            older = path.parent / "older"
            older.mkdir(exist_ok=True)
            (older / f"{path.stem}-{int(path.stat().st_mtime)}.yaml").write_bytes(path.read_bytes())
        write_yaml(path, document)
    except OSError as error:
        raise BadInput(
            f"cannot write {path}: {error.strerror}", remedy="Free the place, or set BASELOAD_HOME."
        ) from error
    return path


def _loads(row: _DeploymentRow) -> tuple[dict[str, float], ...]:
    """What it was measured under: the probes that were kept, or the points of its curve."""
    if row.probes:
        return tuple(_figures(each) for each in row.probes)
    points = [(row.mix, each.in_flight, each.output_tokens_per_second) for each in row.points]
    if (other := row.saturated_from) is not None:
        points.append((other.mix, row.points[-1].in_flight, other.output_tokens_per_second))
    return tuple(
        {
            "concurrency": float(in_flight),
            "input_tokens": float(mix.input),
            "output_tokens": float(mix.output),
            "output_tokens_per_s": float(rate),
        }
        for mix, in_flight, rate in points
    )


def _figures(probe: _Probe) -> dict[str, float]:
    times = {"tpot_ms": probe.tpot_seconds, "ttft_ms": probe.ttft_seconds}
    return {
        "concurrency": float(probe.in_flight),
        "input_tokens": probe.input,
        "output_tokens": probe.output,
        "output_tokens_per_s": float(probe.output_tokens_per_second),
        **{name: each.mean * MILLISECONDS_PER_SECOND for name, each in times.items() if each is not None},
    }


def _deployment(row: _DeploymentRow, origins: dict[str, Origin], path: Path, today: date) -> Deployment:
    try:
        points = [Point(point.in_flight, float(point.output_tokens_per_second)) for point in row.points]
        shape = MIXTURE_OF_EXPERTS if row.experts else DENSE
        curve = Curve.through(points[0], points[1], shape) if len(points) == 2 else Curve.fitted(points)
        saturated = _saturated(row)
    except BadInput as error:
        raise BadConfig(f"{path}: {row.name}: {error.message}", remedy=error.remedy) from error
    source = source_of(row.source, origins, path)
    mine = source.precedence is Precedence.YOURS
    # What somebody else measured ran on another machine than yours, and nothing of it was held out.
    doubt = Doubt(days_between(row.measured, today), not mine, row.held_out, fitted=mine)
    return Deployment(
        name=row.name,
        model=row.model,
        machine=row.machine,
        gpu=row.gpu,
        gpus=row.gpus,
        engine=row.engine,
        quantization=row.quantization,
        curve=curve,
        max_in_flight=row.max_in_flight,
        mix_input=row.mix.input,
        mix_output=row.mix.output,
        saturated=saturated,
        measured=row.measured,
        source=source,
        band=doubt.band,
        doubt=doubt,
        loads=_loads(row),
        step=StepTime(*msgspec.structs.astuple(row.step)) if row.step is not None else None,
    )


def _saturated(row: _DeploymentRow) -> Saturated | None:
    """Reading and writing rates, told apart by two mixes at the same load; None when only one was measured."""
    if (stated := row.saturated) is not None:
        if not (stated.input_tokens_per_second > 0 and stated.output_tokens_per_second > 0):
            raise BadInput("a saturated rate is not above zero", remedy="Leave `saturated` out, or measure it.")
        return Saturated(stated.input_tokens_per_second, stated.output_tokens_per_second)
    other = row.saturated_from
    if other is None:
        return None
    return separate(
        (row.mix.input, row.mix.output, row.points[-1].output_tokens_per_second),
        (other.mix.input, other.mix.output, other.output_tokens_per_second),
    )
