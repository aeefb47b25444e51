"""What `baseload capacity calibrate` learns, and from what: a ledger, or benchmarks of others. Acts (reads, writes an
entry)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from baseload.cli.capacity_keep import Fitted, keep_step
from baseload.cli.output import how_many, note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.capacity.case import Case
    from baseload.capacity.curve import Point
    from baseload.capacity.deployment import Deployment
    from baseload.capacity.steptime import StepTime
    from baseload.ledger.hot import HotStore
    from baseload.measure.entry import About
    from baseload.settings import Settings
    from baseload.sim.learning import Missed

SCHEMA = "baseload.calibrate/1"


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one machine writes with so many requests kept in flight."""

    in_flight: int
    output_tokens_per_second: float


class CalibrateDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What was learnt of a deployment, from how many `requests` (or `points` of a benchmark), and its curve at their
    lengths. `held_out` is the error of what a first fit had not seen: of a log the mean latency or time per token,
    whichever is further off, of a benchmark its worst point. None where too little was there to hold out; beyond 15 %
    it is not `calibrated`. `entry` is the file that other verbs read."""

    schema: str = SCHEMA
    deployment: str
    source: str
    requests: int
    points: int
    input_tokens: int
    output_tokens: int
    most_in_flight: int
    held_out: float | None
    held_out_requests: int
    first_token_error: float | None
    per_token_error: float | None
    latency_error: float | None
    calibrated: bool
    loads: tuple[Load, ...]
    entry: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be learnt, as it was typed: see the flags of the verb."""

    deployment: str
    results: tuple[str, ...]
    ledger: str | None
    config: str | None
    upstream: str | None
    run: str | None
    replicas: int | None
    requests: int
    version: str
    max_num_seqs: int | None
    kv_tokens: int | None
    step_tokens: int | None
    measured_on: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What was fitted, and to what."""

    source: str
    fitted: Fitted
    requests: int = 0
    points: int = 0
    missed: Missed | None = None


def calibrate(asked: Asked) -> CalibrateDocument:
    """Learn, and write the entry. Raises NotEnoughData with too few requests, BadInput for what is not known."""
    from baseload.capacity.asked import Books
    from baseload.capacity.measured import case_of_deployment, step_of
    from baseload.documents import load_architectures, load_capacity_model, load_machines

    books, settings = Books(load_architectures(), load_machines(), {}), _settings(asked)
    served = _deployment(asked)
    case = case_of_deployment(served, books)
    # What an earlier log was fitted to is not where this one starts: errors would add up.
    step = _bounded(step_of(replace(served, step=None), load_capacity_model(), books), asked)
    found = _of_results(asked, case) if asked.results else _of_ledger(asked, settings, step)
    about = _about(asked, served, case, found)
    what = f"{found.requests} requests" if found.requests else f"{found.points} points"
    path, points = keep_step(about, found.fitted, f"`baseload capacity calibrate` on {found.source}, {what}")
    return _document(asked, found, points, path)


def _settings(asked: Asked) -> Settings | None:
    from baseload.configuration import read_settings

    return read_settings(Path(asked.config)) if asked.config is not None else None


def _deployment(asked: Asked) -> Deployment:
    from baseload.documents import load_deployments
    from baseload.errors import UnknownModel

    known = load_deployments()
    if asked.deployment not in known:
        raise UnknownModel(
            f"no deployment is called {asked.deployment!r}",
            remedy=f"Use one of {', '.join(known)}, or say what serves, as in qwen3-32b@h100-80gb-x2:fp8:vllm.",
        )
    return known[asked.deployment]


def _bounded(step: StepTime, asked: Asked) -> StepTime:
    """The step with what is known of the engine's own settings."""
    from baseload.capacity.steptime import StepTime

    typed = {
        "most_requests": asked.max_num_seqs,
        "kv_tokens": asked.kv_tokens,
        "step_tokens": asked.step_tokens,
    }
    known = step._asdict() | {name: value for name, value in typed.items() if value is not None}
    bounded = StepTime(**known)
    return bounded._replace(most_requests=min(bounded.most_requests, bounded.step_tokens))


def _of_ledger(asked: Asked, settings: Settings | None, step: StepTime) -> _Found:
    """What the calls of an upstream tell."""
    from baseload.home import home
    from baseload.ledger.hot import open_store
    from baseload.ledger.query import Filter
    from baseload.sim.learning import learn, log_of
    from baseload.sim.replica import fastest

    name, configured = _upstream(asked, settings)
    place = (settings.directory, settings.store) if settings is not None else (home(), "")
    store: HotStore = open_store(*((Path(asked.ledger).expanduser(), "") if asked.ledger else place), read_only=True)
    try:
        calls = store.calls(Filter(tags={"run": asked.run} if asked.run else {}))
        log = log_of(calls, name, most=asked.requests)
    finally:
        store.close()
    replicas = asked.replicas or configured
    note(f"  {how_many(len(log), 'request')} of upstream {name}, on {how_many(replicas, 'replica')} ...")
    found = learn(step, log, replicas=replicas, kernel=fastest())
    fitted = Fitted(found.step, found.prompt, found.output, found.in_flight, found.missed.worst)
    return _Found(f"the ledger: upstream {name}", fitted, requests=found.requests, missed=found.missed)


def _upstream(asked: Asked, settings: Settings | None) -> tuple[str, int]:
    """The upstream that runs the deployment, and how many replicas it has as configured."""
    from baseload.errors import BadInput

    every = settings.upstreams if settings is not None else ()
    running = [each for each in every if asked.upstream in (None, each.name) and each.deployment == asked.deployment]
    if asked.upstream is not None:
        return asked.upstream, max(len(running[0].replicas), 1) if running else 1
    if len(running) != 1:
        raise BadInput(
            f"{how_many(len(running), 'upstream')} of the configuration run {asked.deployment}",
            remedy="Name the one whose calls count: --upstream NAME.",
        )
    return running[0].name, max(len(running[0].replicas), 1)


def _of_results(asked: Asked, case: Case) -> _Found:
    """What benchmarks of others tell."""
    from baseload.capacity.calibration import calibrated
    from baseload.capacity.columns import columns
    from baseload.capacity.steadystate import step_times
    from baseload.cli.capacity_results import read_results
    from baseload.documents import load_capacity_model

    model = load_capacity_model()
    points = [point for name in asked.results for point in read_results(Path(name), case, None)]
    found = calibrated(points, model)
    most = max(points, key=lambda each: each.case.in_flight).case
    step = step_times(columns([most]), model.constants, found.factors())[0]
    # It was measured up to there, and not beyond: a curve goes to twice what it is told.
    reached = max(1, most.in_flight // 2)
    fitted = Fitted(_bounded(step, asked), most.input_tokens, most.output_tokens, reached, found.held_out)
    return _Found(f"{how_many(len(asked.results), 'file')} of a benchmark", fitted, points=len(points))


def _about(asked: Asked, served: Deployment, case: Case, found: _Found) -> About:
    """The facts of the entry's row."""
    from datetime import date

    from baseload.capacity.measured import engine_of
    from baseload.clock import SystemClock, now
    from baseload.errors import BadInput
    from baseload.measure.entry import About

    try:
        day = date.fromisoformat(asked.measured_on) if asked.measured_on else now(SystemClock()).date()
    except ValueError as error:
        raise BadInput(f"--measured-on {asked.measured_on!r} is no day", remedy="Write it as 2026-11-01.") from error
    shape = case.architecture.shape
    return About(
        asked.deployment, served.model, served.gpu, served.gpus, engine_of(served, asked.version), served.quantization,
        shape is not None and shape.experts > 0, "", day, found.requests,
    )  # fmt: skip


def _document(asked: Asked, found: _Found, points: Sequence[Point], path: Path) -> CalibrateDocument:
    missed, fitted = found.missed, found.fitted

    def rounded(error: float | None) -> float | None:
        return None if error is None else round(error, 4)

    return CalibrateDocument(
        deployment=asked.deployment,
        source=found.source,
        requests=found.requests,
        points=found.points,
        input_tokens=fitted.prompt,
        output_tokens=fitted.output,
        most_in_flight=fitted.in_flight,
        held_out=rounded(fitted.held_out),
        held_out_requests=missed.requests if missed is not None else 0,
        first_token_error=rounded(missed.first) if missed is not None else None,
        per_token_error=rounded(missed.between) if missed is not None else None,
        latency_error=rounded(missed.latency) if missed is not None else None,
        calibrated=fitted.calibrated,
        loads=tuple(
            Load(in_flight=each.in_flight, output_tokens_per_second=round(each.output_tokens_per_second, 1))
            for each in points
        ),
        entry=str(path),
    )
