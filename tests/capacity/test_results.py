"""What benchmarks of others write, and what only looks like it."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.capacity.board import machine_of
from baseload.capacity.case import PRECISIONS, Case
from baseload.capacity.results import points_from
from baseload.documents import load_architectures, load_machines
from baseload.errors import BadInput

CASE = Case(
    load_architectures()["qwen3-32b"], machine_of("h100", 2, load_machines()), "vllm", PRECISIONS["fp8"], 1000, 250, 32
)
VLLM = {
    "completed": 100,
    "total_input_tokens": 102_400,
    "total_output_tokens": 25_600,
    "output_throughput": 900.0,
    "mean_ttft_ms": 80.0,
    "mean_tpot_ms": 15.0,
    "max_concurrency": 16,
}


def means(**figures: float):
    return {name: {"successful": {"mean": figure}} for name, figure in figures.items()}


GUIDELLM = {
    "benchmarks": [
        {
            "metrics": means(
                output_tokens_per_second=900.0,
                inter_token_latency_ms=15.0,
                time_to_first_token_ms=80.0,
                request_concurrency=16.0,
                prompt_token_count=1024.0,
                output_token_count=256.0,
            )
        }
    ]
}
AIPERF = {
    "input_config": {"loadgen": {"concurrency": 16}},
    "records": {
        "output_token_throughput": {"unit": "tokens/sec", "avg": 900.0},
        "inter_token_latency": {"unit": "ms", "avg": 15.0},
        "time_to_first_token": {"unit": "ms", "avg": 80.0},
        "input_sequence_length": {"unit": "tokens", "avg": 1024.0},
        "output_sequence_length": {"unit": "tokens", "avg": 256.0},
    },
}
INFERENCE_PERF = {
    "load_summary": {"concurrency": 16},
    "successes": {
        "latency": {"time_to_first_token": {"mean": 0.08}, "time_per_output_token": {"mean": 0.015}},
        "throughput": {"output_tokens_per_sec": 900.0},
        "prompt_len": {"mean": 1024.0},
        "output_len": {"mean": 256.0},
    },
}
LLM_D = {
    "version": "0.2",
    "scenario": {"load": {"standardized": {"concurrency": 16}}},
    "results": {
        "request_performance": {
            "aggregate": {
                "requests": {"input_length": {"mean": 1024.0}, "output_length": {"mean": 256.0}},
                "latency": {
                    "time_to_first_token": {"units": "ms", "mean": 80.0},
                    "time_per_output_token": {"units": "s/token", "mean": 0.015},
                },
                "throughput": {"output_token_rate": {"units": "tokens/s", "mean": 900.0}},
            }
        }
    },
}


@pytest.mark.parametrize("document", [VLLM, GUIDELLM, AIPERF, INFERENCE_PERF, LLM_D])
def test_each_benchmark_says_the_same_of_the_same_run(document):
    (point,) = points_from(json.dumps(document).encode(), CASE, None)
    assert (point.case.input_tokens, point.case.output_tokens, point.case.in_flight) == (1024, 256, 16)
    assert point.output_per_second == 900.0
    assert point.between == pytest.approx(0.015)
    assert point.first == pytest.approx(0.08)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"{}", b'{"output_throughput": 0}', b"[" * 100_000])
def test_what_no_benchmark_wrote_is_refused(raw):
    with pytest.raises(BadInput):
        points_from(raw, CASE, None)


TREE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inside: st.dictionaries(st.sampled_from(["benchmarks", "metrics", "latency", "mean", "successes"]), inside),
)


@given(st.sampled_from([VLLM, GUIDELLM, AIPERF, INFERENCE_PERF, LLM_D]), st.data())
def test_a_hostile_result_is_points_or_an_error_of_ours(document, data):
    name = data.draw(st.sampled_from(sorted(document)))
    changed = {**document, name: data.draw(TREE)}
    with suppress(BadInput):
        points_from(json.dumps(changed).encode(), CASE, None)
