"""An open loop as a log: the engine's step fitted to it, and kept as any other measurement. Acts (writes an entry)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baseload.measure.asking import Sample
    from baseload.measure.document import ModelCard
    from baseload.measure.entry import About
    from baseload.sim.tuning import Logged


def kept_open(about: About, samples: Sequence[Sample]) -> tuple[ModelCard, str | None]:
    """What was learnt, and the file that other verbs read: None, with the reason, where the capacity model does not
    know the model or the GPU, or too few requests were answered. One rate is one point, and no curve: only a step
    tells what other loads would be."""
    from baseload.capacity.asked import Books
    from baseload.capacity.columns import columns
    from baseload.capacity.steadystate import step_times
    from baseload.cli.capacity_keep import Fitted, keep_step
    from baseload.cli.measure_model import case_of_measured
    from baseload.documents import load_architectures, load_capacity_model, load_machines
    from baseload.errors import BaseloadError
    from baseload.measure.document import ModelCard
    from baseload.sim.learning import learn
    from baseload.sim.replica import fastest

    log, model = logged(samples), load_capacity_model()
    try:
        named = (about.model, about.gpu, about.gpus, about.quantization, about.engine)
        load = {"input_tokens": 1000.0, "output_tokens": 250.0, "concurrency": 1.0}
        case = case_of_measured(named, load, Books(load_architectures(), load_machines(), {}))
        found = learn(step_times(columns([case]), model.constants, model.factors([case]))[0], log, kernel=fastest())
    except BaseloadError as error:
        return ModelCard(why_not=error.message), None
    fitted = Fitted(found.step, found.prompt, found.output, found.in_flight, found.missed.worst)
    reference = f"`baseload measure --rate` of {about.url}, {found.requests} requests"
    path, _ = keep_step(about, fitted, reference)
    card = ModelCard(loads=found.requests, held_out=found.missed.worst, trusted=fitted.calibrated)
    return card, str(path)


def logged(samples: Sequence[Sample]) -> list[Logged]:
    """What was answered whole, from the first on."""
    from baseload.sim.tuning import Logged

    good = sorted((each for each in samples if not each.error), key=lambda each: each.started)
    return [
        Logged(
            each.started - good[0].started,
            max(each.input_tokens, 1),
            max(each.output_tokens, 1),
            each.first - good[0].started,
            each.ended - good[0].started,
            min(each.cached_tokens, max(each.input_tokens, 1) - 1),
        )
        for each in good
    ]
