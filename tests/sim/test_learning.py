"""What a log tells: several replicas' too, from an idle moment on; and the simulator agrees with the capacity model."""

from __future__ import annotations

import numpy as np
import pytest
from tests.samples import START_NS, attempt, call

from baseload.capacity.board import machine_of
from baseload.capacity.case import PRECISIONS, Case
from baseload.capacity.columns import columns
from baseload.capacity.steadystate import step_times
from baseload.documents import load_architectures, load_capacity_model, load_machines
from baseload.errors import NotEnoughData
from baseload.sim.learning import ENOUGH, learn, log_of, rate_of
from baseload.sim.replica import compiled
from baseload.sim.tuning import Logged, replayed, scaled
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage

MODEL = load_capacity_model()


def case(in_flight: int = 16, engine: str = "vllm", prompt: int = 1024) -> Case:
    machine = machine_of("h100", 2, load_machines())
    return Case(load_architectures()["qwen3-32b"], machine, engine, PRECISIONS["fp8"], prompt, 512, in_flight)


def step_of(asked: Case):
    return step_times(columns([asked]), MODEL.constants, MODEL.factors([asked]))[0]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize(("in_flight", "prompt"), [(4, 1024), (32, 1024), (16, 8192)])
def test_the_simulator_serves_what_the_capacity_model_says(in_flight, prompt, engine):
    """One is a formula, the other runs every request: tokens a second within a tenth of each other."""
    asked = case(in_flight, engine, prompt)
    likely = float(MODEL.served([asked]).output_per_second[0])
    assert rate_of(step_of(asked), prompt, 512, in_flight, kernel=compiled()) == pytest.approx(likely, rel=0.1)


def test_a_log_of_three_replicas_is_learnt_as_such():
    step = step_of(case())
    truth = scaled(step, np.log([1.5, 1.0, 1.0, 1.0]))
    arrivals = np.cumsum(np.random.default_rng(3).exponential(0.06, 120))
    asked = [Logged(float(at), 300 + 41 * n % 900, 30 + 11 * n % 150, None, None) for n, at in enumerate(arrivals)]
    served = replayed(truth, asked, replicas=3)
    log = [
        Logged(each.arrival, each.input_tokens, each.output_tokens, float(first), float(finish))
        for each, first, finish in zip(asked, served.first, served.finish, strict=True)
    ]
    found = learn(step, log, replicas=3)
    assert found.calibrated
    assert abs(found.missed.worst) < 0.05
    again = replayed(found.step, asked, replicas=3)
    assert np.median(np.abs((again.finish - arrivals) / (served.finish - arrivals) - 1)) < 0.03
    assert found.in_flight < 30


def metered(number: int, seconds: float, lasts: float, **fields: object):
    moment = START_NS + int(seconds * NANOSECONDS_PER_SECOND)
    ended = moment + int(lasts * NANOSECONDS_PER_SECOND)
    served = attempt(route="gpu", started_ns=moment, first_byte_ns=moment + 5, ended_ns=ended, **fields)
    return call(f"c-{number}", served, seconds=seconds)


def test_a_log_begins_when_nothing_was_in_flight():
    """The first hundred overlap; the next come one by one. Of the latest 120 only those after the gap are taken."""
    crowd = [metered(n, n * 0.1, 30.0) for n in range(100)]
    calm = [metered(100 + n, 60 + 5.0 * n, 2.0) for n in range(ENOUGH)]
    found = log_of([*crowd, *calm], "gpu", most=120)
    assert len(found) == ENOUGH
    assert found[0].arrival == 0
    assert found[1].arrival == pytest.approx(5.0)


def test_what_tells_nothing_is_left_out():
    silent = metered(1, 0, 1.0, usage=Usage(input_tokens=10))
    told = metered(2, 1, 1.0, usage=Usage(input_tokens=10, cache_read_tokens=90, output_tokens=4))
    (only,) = log_of([silent, told], "gpu")
    assert (only.input_tokens, only.cached_tokens, only.output_tokens) == (100, 90, 4)
    assert only.first is None  # it did not stream
    assert log_of([silent, told], "another") == []
    with pytest.raises(NotEnoughData, match="1 requests have finished"):
        learn(step_of(case()), [only])
