"""A step fitted to a log: one that the simulator wrote itself, and two of real servers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from baseload.capacity.board import machine_of
from baseload.capacity.case import PRECISIONS, Case
from baseload.capacity.columns import columns
from baseload.capacity.steadystate import step_times
from baseload.documents import load_architectures, load_capacity_model, load_machines
from baseload.errors import NotEnoughData
from baseload.sim.replica import Requests, serve
from baseload.sim.tuning import Logged, known_at, scaled, tuned

DATA = Path(__file__).parent.parent / "data" / "capacity"
MODEL = load_capacity_model()


def llama_on(gpu: str, most: int):
    """Llama-3.1-8B at 16 bits on one card, read in pieces of 2,048 tokens as the runs were."""
    case = Case(
        load_architectures()["llama-3.1-8b"], machine_of(gpu, 1, load_machines()), "vllm", PRECISIONS["bf16"],
        857, 652, 64, most_requests=most,
    )  # fmt: skip
    step = step_times(columns([case]), MODEL.constants, MODEL.factors([case]))[0]
    return step._replace(step_tokens=2048)


def run(name: str) -> list[Logged]:
    """One of the recorded runs, in the engine's own time."""
    with gzip.open(DATA / f"{name}_llama_3_1_8b_requests.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    start = min(row["queued_ts"] for row in rows)
    log = [
        Logged(
            row["queued_ts"] - start,
            row["input_toks"],
            row["output_toks"],
            row["first_token_ts"] - start,
            row["last_token_ts"] - start,
        )
        for row in rows
    ]
    return sorted(log, key=lambda each: each.arrival)


def replayed(step, log):
    return serve(
        step,
        Requests.of(
            np.array([each.arrival for each in log]),
            np.array([each.input_tokens for each in log]),
            np.array([each.output_tokens for each in log]),
        ),
    )


def figures(arrival, first, finish, output):
    """Mean, p50, p90 and p99 of time to the first token, of each later one, and of the whole request."""
    times = {"ttft": first - arrival, "tpot": (finish - first) / (output - 1), "latency": finish - arrival}
    return {
        f"{name} {which}": value
        for name, all_of in times.items()
        for which, value in {"mean": all_of.mean(), **_percentiles(all_of)}.items()
    }


def _percentiles(values):
    return {f"p{each}": np.percentile(values, each) for each in (50, 90, 99)}


@pytest.mark.parametrize(
    ("name", "gpu", "most", "memory", "beyond"),
    [
        ("rtxpro6000", "rtx-pro-6000", 128, None, {}),
        # The run's own report says how many tokens fit. Its engine finds recomputed prompts in the prefix cache.
        ("rtx4090", "rtx-4090", 256, 41_408, {"latency p50": 0.08}),
    ],
)
def test_sixty_finished_requests_tell_the_other_two_hundred_and_forty(name, gpu, most, memory, beyond):
    log = run(name)
    step = llama_on(gpu, most)._replace(**({"kv_tokens": memory} if memory else {}))
    served = replayed(tuned(step, known_at(log, 60)), log)
    arrival, first, finish, output = (
        np.array([getattr(each, field) for each in log]) for field in ("arrival", "first", "finish", "output_tokens")
    )
    ours, theirs = figures(arrival, served.first, served.finish, output), figures(arrival, first, finish, output)
    off = {figure: abs(ours[figure] / theirs[figure] - 1) for figure in theirs}
    assert {figure: error for figure, error in off.items() if error > beyond.get(figure, 0.05)} == {}


def test_a_log_of_the_simulator_gives_its_own_step_back():
    step = llama_on("h100", 128)
    truth = scaled(step, np.log([1.4, 0.8, 1.0, 1.0]))
    arrivals = np.cumsum(np.random.default_rng(7).exponential(0.05, 150))
    plain = [Logged(float(at), 200 + 37 * n % 1500, 40 + 13 * n % 200, None, None) for n, at in enumerate(arrivals)]
    served = replayed(truth, plain)
    log = [
        Logged(each.arrival, each.input_tokens, each.output_tokens, float(first), float(finish))
        for each, first, finish in zip(plain, served.first, served.finish, strict=True)
    ]
    again = replayed(tuned(step, known_at(log, 100)), plain)
    assert np.median(np.abs((again.finish - arrivals) / (served.finish - arrivals) - 1)) < 0.02


def test_what_was_not_known_yet_is_not_used():
    log = run("rtxpro6000")
    seen = known_at(log, 60)
    until = max(each.finish for each in seen if each.finish is not None)
    assert sum(each.finish is not None for each in seen) == 60
    assert all(each.arrival <= until and (each.first is None or each.first <= until) for each in seen)
    assert all(each.output_tokens == 0 for each in seen if each.finish is None)


def test_too_few_requests_say_so():
    log = run("rtxpro6000")
    with pytest.raises(NotEnoughData, match="300 of the requests have finished"):
        known_at(log, 301)
    with pytest.raises(NotEnoughData, match="at least 20"):
        tuned(llama_on("rtx-pro-6000", 128), known_at(log, 5))
