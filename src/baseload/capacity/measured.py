"""A measured deployment as a question to the capacity model: its case, its loads as points, its step. Pure.

So a curve that was measured is of use where steps are: in a simulation, and where another load is asked for.
"""

from __future__ import annotations

from dataclasses import replace

from baseload.capacity.asked import Books, measured_point
from baseload.capacity.calibration import Calibration, Point, calibrated
from baseload.capacity.case import Case, Precision, engine_named, precision_named
from baseload.capacity.columns import columns
from baseload.capacity.deployment import Deployment
from baseload.capacity.estimate import Model
from baseload.capacity.steadystate import step_times
from baseload.capacity.steptime import StepTime
from baseload.errors import BadInput


def case_of_deployment(deployment: Deployment, books: Books) -> Case:
    """Its case, at the mix and the highest load it was measured under. Raises UnknownModel or BadInput for a model, a
    GPU or a precision that the capacity model does not know."""
    engine, _, version = deployment.engine.partition(" ")
    return Case(
        books.architecture(deployment.model),
        books.machine(deployment.gpu, deployment.gpus),
        engine_named(engine),
        _precision(deployment.quantization),
        deployment.mix_input,
        max(deployment.mix_output, 1),
        deployment.max_in_flight,
        version=version.partition(",")[0],
    )


def _precision(said: str) -> Precision:
    """`4-bit AWQ` names one word of a precision."""
    for word in (said, *said.replace(",", " ").split()):
        try:
            return precision_named(word)
        except BadInput:
            continue
    return precision_named(said)


def engine_of(deployment: Deployment, version: str) -> str:
    """The engine as an entry names it, of another version where one is given."""
    name, _, known = deployment.engine.partition(" ")
    return f"{name} {version or known}".strip()


def points_of(deployment: Deployment, case: Case) -> list[Point]:
    """Its loads as measured points of a case of that deployment, of the day and the version they were measured with."""
    _, _, version = deployment.engine.partition(" ")
    measured = replace(case, version=version.partition(",")[0])
    return [measured_point(measured, each, deployment.measured) for each in deployment.loads]


def calibration_of(deployment: Deployment, model: Model, books: Books) -> Calibration | None:
    """What its loads make of the model; None of one that nobody measured."""
    points = points_of(deployment, case_of_deployment(deployment, books))
    return calibrated(points, model) if points else None


def step_of(deployment: Deployment, model: Model, books: Books) -> StepTime:
    """The step of its engine: the one that a log was fitted to, or the model's, calibrated on its loads."""
    if deployment.step is not None:
        return deployment.step
    case, found = case_of_deployment(deployment, books), calibration_of(deployment, model, books)
    factors = found.factors() if found is not None else model.factors([case])
    return step_times(columns([case]), model.constants, factors)[0]
