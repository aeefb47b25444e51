"""The step model: what must hold of every case, and what it says of deployments that were measured."""

from __future__ import annotations

import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.capacity.board import machine_of, silicon
from baseload.capacity.calibration import Point, calibrated
from baseload.capacity.case import PRECISIONS, Case
from baseload.capacity.columns import columns
from baseload.capacity.drift import Doubt
from baseload.capacity.estimate import case_fit, estimates, largest_load
from baseload.capacity.steadystate import step_times, steps
from baseload.capacity.steptime import step_seconds
from baseload.documents import load_architectures, load_capacity_model, load_machines
from baseload.errors import BadInput, NotEnoughData

DATA = Path(__file__).parent.parent / "data" / "capacity"
MODELS, MACHINES = load_architectures(), load_machines()
MODEL = load_capacity_model()


def case(name="qwen3-32b", gpu="h100", count=2, precision="fp8", **changes: float) -> Case:
    figures = {"engine": "vllm", "input_tokens": 1024, "output_tokens": 1024, "in_flight": 64, **changes}
    return Case(MODELS[name], machine_of(gpu, count, MACHINES), precision=PRECISIONS[precision], **figures)


CASES = st.builds(
    case,
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(["h100", "a100", "b200", "rtx-4090", "mi300x", "t4"]),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.sampled_from(sorted(PRECISIONS)),
    engine=st.sampled_from(["vllm", "sglang", "trtllm", "another"]),
    input_tokens=st.integers(1, 200_000),
    output_tokens=st.integers(1, 50_000),
    in_flight=st.integers(1, 5_000),
)


@given(CASES)
def test_every_case_has_an_answer_within_its_band(asked):
    found = estimates([asked], MODEL)[0]
    for band in (found.output_tokens_per_s, found.tpot_ms, found.ttft_ms):
        assert 0 < band.low <= band.likely <= band.high < 1e15


@given(CASES)
def test_a_token_never_comes_faster_with_more_requests(asked):
    crowd = replace(asked, in_flight=asked.in_flight + 7)
    served = MODEL.served([asked, crowd])
    assert served.between[1] >= served.between[0] * 0.999999
    assert served.first[1] >= served.first[0] * 0.999999


@given(CASES)
def test_littles_law_ties_the_three_figures(asked):
    served = MODEL.served([asked])
    lasts = served.first[0] + served.between[0] * asked.output_tokens
    assert served.output_per_second[0] == pytest.approx(asked.in_flight * asked.output_tokens / lasts)


@given(CASES, st.integers(1, 500), st.integers(0, 8192))
def test_the_columns_and_the_step_of_the_simulator_are_one(asked, batch, prompt):
    of = columns([asked])
    found, one = steps(of, MODEL.constants), step_times(of, MODEL.constants)[0]
    tokens = np.array([float(batch + prompt)])
    ours = found.work(tokens) + found.fixed + found.per_request * batch + found.per_token * tokens
    ours = ours + found.context * 100.0 + found.attention * 50.0 + (found.prefill if prompt else 0.0)
    assert step_seconds(one, batch, 100.0, prompt, 50.0) == pytest.approx(float(ours[0]))


def test_a_batch_answers_each_case_as_it_would_alone():
    asked = [case(), case("deepseek-v3", "h200", 8, in_flight=200), case("gpt-oss-120b", "b200", 1, "fp4")]
    together = estimates(asked, MODEL)
    assert [each.output_tokens_per_s.likely for each in together] == pytest.approx(
        [estimates([each], MODEL)[0].output_tokens_per_s.likely for each in asked]
    )


def test_what_is_known_of_a_prompt_is_not_read_again():
    cold, warm = MODEL.served([case(input_tokens=8000), case(input_tokens=8000, cached=0.9)]).first
    assert warm < cold


def test_the_largest_load_is_within_the_objective_and_one_more_is_not():
    asked = case()
    most = largest_load(asked, MODEL, first_ms=1000, between_ms=20)
    inside, outside = MODEL.served([replace(asked, in_flight=each) for each in (most, most + 1)]).between
    assert inside <= 0.020 < outside
    assert largest_load(asked, MODEL, first_ms=1, between_ms=None) == 0


def test_four_bits_of_a_mixture_weigh_what_is_published():
    weighs = case_fit(case("deepseek-v3", "h100", 8, "fp4")).weights_gb
    assert weighs == pytest.approx(Decimal(390), rel=Decimal("0.08"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"in_flight": 0}, "make no load"),
        ({"tensor": 4}, "is not the 2 cards"),
        ({"expert": 3}, "experts cannot be spread"),
        ({"cached": 1.0}, "experts cannot be spread|a share of 1"),
        ({"most_requests": 0}, "serve nobody"),
    ],
)
def test_a_case_that_makes_no_sense_is_refused(changes, says):
    with pytest.raises(BadInput, match=says):
        case(**changes)


# The article's node: DeepSeek-V3 at four bits on 8 x H100, vLLM 0.7.3 of February 2025, at most 128 requests at once.
NODE = {"precision": "int4", "input_tokens": 1024, "output_tokens": 256, "most_requests": 128}


def node_curve() -> list[tuple[int, float]]:
    with (DATA / "deepseek_v3_awq_8xh100_vllm073.csv").open() as file:
        return [(int(row["concurrency"]), float(row["output_tok_s_read_from_chart"])) for row in csv.DictReader(file)]


def test_two_numbers_of_the_articles_node_give_its_whole_curve():
    points = [Point(case("deepseek-v3", "h100", 8, **NODE, in_flight=c), o) for c, o in ((1, 33.0), (100, 620.0))]
    found = calibrated(points, MODEL)
    others = [(c, o) for c, o in node_curve() if c not in (1, 100)]
    served = MODEL.served(
        [case("deepseek-v3", "h100", 8, **NODE, in_flight=c) for c, _ in others], found.factors(len(others))
    )
    off = [abs(ours / theirs - 1) for ours, (_, theirs) in zip(served.output_per_second, others, strict=True)]
    assert np.median(off) < 0.04
    assert found.step > 2, "an engine of 2025 takes several times as long as those of 2026"


def test_engines_of_2026_serve_the_node_several_times_as_much():
    likely = estimates([case("deepseek-v3", "h100", 8, **NODE, in_flight=100)], MODEL)[0].output_tokens_per_s
    assert likely.low > 620


def test_points_that_contradict_each_other_are_not_called_calibrated():
    def at(load, output):
        return Point(case(in_flight=load), output)

    fine = MODEL.served([case(in_flight=each) for each in (1, 16, 64)]).output_per_second * 0.8
    good = calibrated([at(c, float(o)) for c, o in zip((1, 16, 64), fine, strict=True)], MODEL)
    bad = calibrated([at(1, float(fine[0])), at(16, float(fine[1]) * 3), at(64, float(fine[2]))], MODEL)
    assert good.trusted
    before = float(MODEL.factors([case()]).step[0])
    assert good.step / before == pytest.approx(1.25, rel=0.1)
    assert not bad.trusted
    with pytest.raises(NotEnoughData):
        calibrated([Point(case())], MODEL)


def test_age_widens_a_band():
    fresh, stale = (estimates([case()], MODEL, basis="one point", doubt=Doubt(days))[0] for days in (3, 300))
    assert fresh.output_tokens_per_s.likely == stale.output_tokens_per_s.likely
    assert stale.output_tokens_per_s.low < fresh.output_tokens_per_s.low
    assert stale.output_tokens_per_s.high > fresh.output_tokens_per_s.high


def row(**changes: str) -> dict[str, str]:
    good = {
        "id": "x", "mode": "agg", "precision": "fp8", "model_path": "Qwen/Qwen3-32B", "system": "h100_sxm",
        "backend": "vllm", "isl": "1024", "osl": "1024", "batch_size": "8", "tp_size": "2", "moe_ep_size": "0",
        "moe_tp_size": "0", "silicon_ttft_ms": "100", "silicon_tpot_ms": "10",
        "silicon_data_source": "db-dump; measured=2026-04-01",
    }  # fmt: skip
    return {**good, **changes}


@pytest.mark.parametrize(
    ("changes", "cards"),
    [
        ({}, 2),
        ({"tp_size": "16", "moe_ep_size": "4", "moe_tp_size": "4"}, 4),
        ({"tp_size": "16"}, None),
        ({"attention_dp_size": "2"}, None),
        ({"mode": "disagg"}, None),
        ({"batch_size": ""}, None),
        ({"precision": ""}, None),
    ],
)
def test_rows_that_mislead_are_mended_or_left_out(changes, cards):
    found = silicon([row(**changes)], MODELS, MACHINES)
    assert [each.case.machine.count for each in found] == ([] if cards is None else [cards])


def test_the_latest_of_a_configuration_stays():
    older = row(silicon_data_source="db-dump; measured=2026-03-01", silicon_tpot_ms="20")
    found = silicon([row(), older], MODELS, MACHINES)
    assert [each.between for each in found] == [0.01]
