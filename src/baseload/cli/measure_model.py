"""The capacity model beside what was measured: its factors for this deployment, each load held out. Acts (reads)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baseload.capacity.asked import Books
    from baseload.capacity.calibration import Point
    from baseload.capacity.case import Case
    from baseload.measure.document import ModelCard
    from baseload.measure.entry import About
    from baseload.measure.levels import Level


def beside(about: About, levels: Sequence[Level], long: Level | None) -> ModelCard:
    """The factors that make the capacity model agree; the reason where it does not know the model or the GPU."""
    from baseload.capacity.calibration import calibrated
    from baseload.documents import load_capacity_model
    from baseload.errors import BaseloadError
    from baseload.measure.document import ModelCard

    try:
        points = _points(about, [*levels, *([long] if long is not None else [])])
    except BaseloadError as error:
        return ModelCard(why_not=error.message)
    found = calibrated(points, load_capacity_model())
    return ModelCard(
        step=found.step,
        compute=found.compute,
        first=found.first,
        loads=found.points,
        held_out=found.held_out,
        trusted=found.trusted,
    )


def kept_points(case: Case, books: Books) -> tuple[str, list[Point]]:
    """The name and the loads of the latest entry of yours that is this case's deployment; none where there is none."""
    from baseload.capacity.measured import case_of_deployment, points_of
    from baseload.catalog.entries import Precedence
    from baseload.documents import load_deployments
    from baseload.errors import BaseloadError

    mine = [each for each in load_deployments().values() if each.source.precedence is Precedence.YOURS]
    for kept in sorted(mine, key=lambda each: each.measured, reverse=True):
        try:
            same = case_of_deployment(kept, books)
        except BaseloadError:  # of a model or a GPU that the capacity model does not know
            continue
        if same.key == case.key:
            return kept.name, points_of(kept, case)
    return "", []


def _points(about: About, levels: Sequence[Level]) -> list[Point]:
    """Each load as a measured point of the deployment's case. Raises BadInput or UnknownModel for unknown names."""
    from baseload.capacity.asked import Books, measured_point
    from baseload.documents import load_architectures, load_machines

    loads = [_figures(each) for each in levels]
    named = (about.model, about.gpu, about.gpus, about.quantization, about.engine)
    case = case_of_measured(named, loads[0], Books(load_architectures(), load_machines(), {}))
    return [measured_point(case, each, about.measured) for each in loads]


def case_of_measured(about: tuple[str, str, int, str, str], load: Mapping[str, float], books: Books) -> Case:
    """The capacity model's case of a deployment (model, GPU, how many, precision, engine with its version)."""
    from baseload.capacity.asked import case_of

    model, gpu, gpus, quantization, named = about
    engine, _, version = named.partition(" ")
    sizes = {name: str(max(1, round(load[name]))) for name in ("input_tokens", "output_tokens", "concurrency")}
    typed = {"model": model, "gpu": gpu, "count": str(gpus), "quant": quantization, "engine": engine}
    return case_of({**typed, "engine_version": version, **sizes}, books)


def _figures(level: Level) -> dict[str, float]:
    """A load by the names that the capacity model gives its figures."""
    from baseload.units import MILLISECONDS_PER_SECOND

    figures = {
        "concurrency": float(level.in_flight),
        "input_tokens": level.mean_input_tokens,
        "output_tokens": level.mean_output_tokens,
        "output_tokens_per_s": level.output_tokens_per_second,
    }
    times = {"tpot_ms": level.tpot, "ttft_ms": level.ttft}
    return figures | {name: held.mean * MILLISECONDS_PER_SECOND for name, held in times.items() if held is not None}
