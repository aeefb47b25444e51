"""Deployments that were measured: those that ship, and yours. Acts (reads files).

A name such as `qwen3-32b@h100-80gb-x2:fp8:vllm` that nobody measured is answered by the capacity model.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from baseload.capacity.curve import DENSE, MIXTURE_OF_EXPERTS, Curve, Point
from baseload.capacity.deployment import Deployment, Saturated, separate
from baseload.documents.models import load_architectures, load_capacity_model
from baseload.documents.prices import DATA, load_machines
from baseload.documents.reading import Origin, read, source_of
from baseload.errors import BadConfig, BadInput
from baseload.home import measured_home
from baseload.units import MILLISECONDS_PER_SECOND


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


def load_deployments(*, directory: Path = DATA, yours: Path | None = None) -> Deployments:
    """Deployments that were measured, by name: those that ship, and yours over them. `yours` is a folder of files as
    `baseload measure` writes them, that of your home when none is named."""
    found = Deployments()
    folder = measured_home() if yours is None else yours
    for path in [directory / "deployments.yaml", *sorted(folder.glob("*.yaml"))]:
        document = read(path, _Deployments)
        found.update({row.name: _deployment(row, document.sources, path) for row in document.deployments})
    return found


class Probed(msgspec.Struct, frozen=True):
    """A deployment of yours with the loads that it was measured under, by the names of the capacity model's figures."""

    name: str
    model: str
    gpu: str
    gpus: int
    engine: str
    quantization: str
    measured: date
    loads: tuple[dict[str, float], ...]


def load_probes(*, yours: Path | None = None) -> tuple[Probed, ...]:
    """What you measured of your own deployments, in the files of `load_deployments`."""
    folder = measured_home() if yours is None else yours
    rows = [row for path in sorted(folder.glob("*.yaml")) for row in read(path, _Deployments).deployments]
    return tuple(
        Probed(
            row.name,
            row.model,
            row.gpu,
            row.gpus,
            row.engine,
            row.quantization,
            row.measured,
            tuple(_figures(each) for each in row.probes),
        )
        for row in rows
        if row.probes
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


def _deployment(row: _DeploymentRow, origins: dict[str, Origin], path: Path) -> Deployment:
    try:
        points = [Point(point.in_flight, float(point.output_tokens_per_second)) for point in row.points]
        shape = MIXTURE_OF_EXPERTS if row.experts else DENSE
        curve = Curve.through(points[0], points[1], shape) if len(points) == 2 else Curve.fitted(points)
        saturated = _saturated(row)
    except BadInput as error:
        raise BadConfig(f"{path}: {row.name}: {error.message}", remedy=error.remedy) from error
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
        source=source_of(row.source, origins, path),
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
