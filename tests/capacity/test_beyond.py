"""Where the step model was not fitted: servers as installed, tiny outputs, small cards, caches, engines of 2023.

Each test states how far the model is off there, and what brings it near: knowing a setting, or one measured point.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from baseload.capacity.asked import Books, case_of
from baseload.capacity.board import machine_of
from baseload.capacity.calibration import Point, calibrated
from baseload.capacity.case import PRECISIONS, Case, precision_named
from baseload.capacity.columns import columns
from baseload.capacity.estimate import estimates
from baseload.documents import load_architectures, load_capacity_model, load_machines
from baseload.errors import BadInput
from benchmarks.capacity import silicon_rows

DATA = Path(__file__).parent.parent / "data" / "capacity"
MODELS, MACHINES = load_architectures(), load_machines()
MODEL = load_capacity_model()
# What vLLM runs at once as installed, and at how many bits it keeps its cache whatever those of the weights.
INSTALLED = {"most_requests": 256}
CACHE = "bf16"


def table(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


def installed(row: dict[str, str], cache: str = CACHE, **changes: float) -> Case:
    return Case(
        MODELS[row["model"]],
        machine_of(row["gpu"], int(row["count"]), MACHINES),
        row["engine"],
        precision_named(row["quant"], cache),
        int(row["input_tokens"]),
        int(row["output_tokens"]),
        int(row["concurrency"]),
        **{**INSTALLED, **changes},
    )


def measured(row: dict[str, str]) -> float:
    return float(row["output_tokens_per_s"])


def of_kind(kind: str, engine: str = "") -> list[dict[str, str]]:
    return [row for row in table("as_installed.csv") if row["kind"] == kind and engine in row["engine"]]


def ratios(rows: list[dict[str, str]], cache: str = CACHE, **changes: float) -> np.ndarray:
    """Predicted over measured tokens a second."""
    served = MODEL.served([installed(row, cache, **changes) for row in rows])
    return served.output_per_second / np.array([measured(row) for row in rows])


def off(found: np.ndarray) -> float:
    return float(np.median(np.abs(found - 1)))


def test_a_few_requests_at_once_are_served_as_by_tuned_servers():
    assert off(ratios(of_kind("light"))) < 0.07


def test_a_burst_on_servers_as_installed_is_overestimated_by_what_tuning_brings():
    assert off(ratios(of_kind("burst", "vllm"))) < 0.17
    every = ratios(of_kind("burst"))
    assert off(every) < 0.30
    assert 1.0 < np.median(every) < 1.4
    assert 1.2 < np.median(ratios(of_kind("long"))) < 1.7


def test_settings_that_are_not_known_make_another_regime():
    rows = of_kind("burst")
    known, unknown = ratios(rows), ratios(rows, cache="", most_requests=1024)
    assert off(known) < 0.3 < 0.9 < off(unknown)
    assert np.median(unknown) > np.median(known)


def servers() -> list[tuple[dict[str, str], list[dict[str, str]]]]:
    """Each server's burst, and its loads of long prompts."""
    groups = defaultdict(list)
    for row in table("as_installed.csv"):
        groups[tuple(row[name] for name in ("model", "gpu", "count", "quant", "engine"))].append(row)
    found = []
    for rows in groups.values():
        burst, long = ([row for row in rows if row["kind"] == kind] for kind in ("burst", "long"))
        if burst and long:
            found.append((burst[0], long))
    return found


def test_one_burst_tells_what_a_server_makes_of_long_prompts():
    found = []
    for burst, long in servers():
        over = calibrated([Point(installed(burst), measured(burst))], MODEL).factors(len(long))
        served = MODEL.served([installed(row) for row in long], over)
        found += [ours / measured(row) for ours, row in zip(served.output_per_second, long, strict=True)]
    assert len(found) > 30
    assert off(np.array(found)) < 0.20 < off(ratios(of_kind("long")))


def test_tiny_outputs_are_bound_by_the_front_end():
    rows = of_kind("tiny")
    free = ratios(rows)
    assert 1.4 < np.median(free) < 2.5
    bound = [
        float(MODEL.served([installed(row, most_per_second=measured(row) / 4)]).output_per_second[0]) / measured(row)
        for row in rows
    ]
    assert bound == pytest.approx([min(each, 1.0) for each in free], rel=0.02)


def test_short_prompts_are_read_many_in_one_step():
    case = installed(of_kind("tiny")[0])
    alone = float(MODEL.served([replace(case, in_flight=1)]).output_per_second[0])
    crowd = float(MODEL.served([replace(case, in_flight=256)]).output_per_second[0])
    assert crowd > 10 * alone


def test_an_engine_that_reserves_all_that_may_be_written_runs_fewer():
    case = Case(MODELS["qwen3-32b"], machine_of("h100", 1, MACHINES), "vllm", PRECISIONS["bf16"], 217, 202, 1000)
    running = MODEL.served([case, replace(case, engine="sglang")]).running
    assert running[1] < 0.9 * running[0]
    assert running[0] < 100


def test_a_small_card_has_the_room_that_its_engine_reports():
    card = machine_of("rtx-4090", 1, MACHINES)
    case = Case(MODELS["llama-3.1-8b"], card, "vllm", PRECISIONS["bf16"], 857, 652, 64)
    assert columns([case]).kv_tokens[0] == pytest.approx(41_408, rel=0.02)


def test_rows_that_must_have_found_their_prompts_in_the_cache_are_nearer_with_half_of_them_known():
    rows = [row for row in silicon_rows() if (row.case.architecture.name, row.case.engine) == ("llama-3.1-8b", "vllm")]
    prompts = [row.output_per_second / row.case.output_tokens * row.case.input_tokens for row in rows]
    flops = [
        2 * float(MODELS["llama-3.1-8b"].active_parameters) * each / row.case.machine.count
        for each, row in zip(prompts, rows, strict=True)
    ]
    assert max(flops) > 0.85 * 1.979e15, "an H200 multiplies 1,979 TFLOPS at eight bits, and no engine all of them"
    truth = np.array([row.output_per_second for row in rows])
    cold, warm = (
        off(MODEL.served([replace(row.case, cached=share) for row in rows]).output_per_second / truth)
        for share in (0.0, 0.5)
    )
    assert warm < 0.28 < cold


def old_stack() -> tuple[list[Case], np.ndarray]:
    rows = table("llama_2_70b_2023.csv")
    cases = [
        # Its layers are those of its successor; the vocabulary is a quarter.
        Case(
            MODELS["llama-3.1-70b"], machine_of(row["gpu"], int(row["count"]), MACHINES), "another",
            PRECISIONS["bf16"], int(row["input_tokens"]), int(row["output_tokens"]), int(row["concurrency"]),
        )
        for row in rows
    ]  # fmt: skip
    return cases, np.array([float(row["tpot_ms"]) / 1e3 for row in rows])


def test_a_stack_of_2023_is_slower_by_a_factor_that_one_point_finds():
    cases, truth = old_stack()
    assert 0.5 < np.median(MODEL.served(cases).between / truth) < 0.75
    groups = defaultdict(list)
    for place, case in enumerate(cases):
        groups[case.key].append(place)
    left = []
    for places in groups.values():
        middle = places[len(places) // 2]
        rest = [place for place in places if place != middle]
        over = calibrated([Point(cases[middle], None, float(truth[middle]))], MODEL).factors(len(rest))
        left += (MODEL.served([cases[place] for place in rest], over).between / truth[rest]).tolist()
    assert off(np.array(left)) < 0.06


def test_a_row_says_its_cache_and_its_front_end():
    row = {
        "model": "qwen3-32b", "gpu": "H100", "count": "1", "quant": "fp8", "engine": "vllm",
        "input_tokens": "2000", "output_tokens": "200", "concurrency": "500",
    }  # fmt: skip
    books = Books(MODELS, MACHINES, {})
    plain = case_of(row, books)
    wide, slow = case_of({**row, "kv_cache": "bf16"}, books), case_of({**row, "most_per_second": "2.5"}, books)
    rates = [each.output_tokens_per_s.likely for each in estimates([plain, wide, slow], MODEL)]
    assert rates[1] < rates[0]
    assert rates[2] == pytest.approx(500, rel=0.01)
    for changes in ({"kv_cache": "int4"}, {"kv_cache": "auto"}, {"most_per_second": "0"}, {"most_per_second": "inf"}):
        with pytest.raises(BadInput):
            case_of({**row, **changes}, books)
