"""What benchmarks of others write, and what only looks like it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.capacity.board import machine_of
from baseload.capacity.case import PRECISIONS, Case
from baseload.capacity.results import document_points, points_from
from baseload.cli.capacity_results import read_results
from baseload.documents import load_architectures, load_machines, write_yaml
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


# The same run as each of them writes it where the load was a rate: nobody says how many were in flight.
RATE = 900 / 256
LASTED = 80 + 15 * 255
BY_RATE = [
    {**VLLM, "max_concurrency": None, "request_rate": "inf", "request_throughput": RATE, "mean_e2el_ms": LASTED},
    {name: figure for name, figure in VLLM.items() if name != "max_concurrency"} | {"request_throughput": RATE},
    {"benchmarks": [{"metrics": GUIDELLM["benchmarks"][0]["metrics"]
                     | means(requests_per_second=RATE, request_latency=LASTED / 1000, request_concurrency=0.0)}]},
    {**AIPERF["records"], "request_throughput": {"unit": "requests/sec", "avg": RATE},
     "request_latency": {"unit": "ms", "avg": LASTED, "p50": LASTED}, "was_cancelled": False},
    {"load_summary": {"count": 100, "requested_rate": 3.5, "achieved_rate": RATE}, "failures": {"count": 0},
     "successes": {
        "count": 100,
        "latency": {"request_latency": {"mean": LASTED / 1000}, "time_to_first_token": {"mean": 0.08},
                    "time_per_output_token": {"mean": 0.015}, "inter_token_latency": {"mean": 0.014}},
        "throughput": {"output_tokens_per_sec": 900.0, "requests_per_sec": RATE},
        "prompt_tokens": {"total": 102_400.0, "cached": 0.0, "mean": 1024.0},
        "output_len": {"mean": 255.0}, "output_tokens": {"total": 25_600.0, "mean": 256.0}}},
    {"version": "0.2", "scenario": {"load": {"standardized": {"concurrency": float("inf"), "rate_qps": RATE}}},
     "results": {"request_performance": {"aggregate": {
        "requests": {"total": 100, "input_length": {"units": "count", "mean": 1024.0},
                     "output_length": {"units": "count", "mean": 256.0}},
        "latency": {"time_to_first_token": {"units": "s", "mean": 0.08},
                    "inter_token_latency": {"units": "ms/token", "mean": 15.0},
                    "request_latency": {"units": "s", "mean": LASTED / 1000}},
        "throughput": {"output_token_rate": {"units": "tokens/s", "mean": 900.0},
                       "request_rate": {"units": "queries/s", "mean": RATE}}}}}},
]  # fmt: skip


@pytest.mark.parametrize("document", BY_RATE)
def test_what_is_in_flight_follows_from_the_rate_and_the_time(document):
    (point,) = document_points(document, replace(CASE, in_flight=500), None)
    assert (point.case.input_tokens, point.case.output_tokens) == (1024, 256)
    assert point.case.in_flight == round(RATE * LASTED / 1000)
    assert point.between == pytest.approx(0.015)
    assert point.first == pytest.approx(0.08)


PAGE = """
### 1. Choosing the Inference Engine
??? info "Benchmark result"
    ```
    ============ Serving Benchmark Result ============
    Successful requests:                     100
    Maximum request concurrency:             16
    Benchmark duration (s):                  28.44
    Total input tokens:                      102400
    Total generated tokens:                  25600
    Request throughput (req/s):              3.52
    Output token throughput (tok/s):         900.00
    Peak output token throughput (tok/s):    2360.00
    Total Token throughput (tok/s):          4,500.00
    ---------------Time to First Token----------------
    Mean TTFT (ms):                          80.00
    Median TTFT (ms):                        77.46
    -----Time per Output Token (excl. 1st token)------
    Mean TPOT (ms):                          15.00
    ==================================================
    ```
Result: TensorRT-LLM (2659.50 tok/s) > vLLM (2352.82 tok/s)
    ============ Serving Benchmark Result ============
    Successful requests:                     50
    Output token throughput (tok/s):         1,131.55
"""


def test_what_is_printed_is_read_where_it_is_quoted():
    point, other = points_from(PAGE.encode(), CASE, None)
    assert (point.case.input_tokens, point.case.output_tokens, point.case.in_flight) == (1024, 256, 16)
    assert (point.output_per_second, point.between, point.first) == (900.0, pytest.approx(0.015), pytest.approx(0.08))
    assert (other.output_per_second, other.first) == (1131.55, None)


def test_lines_of_json_are_as_many_runs():
    """SGLang's bench_serving adds a line for each run, with its own mean of requests in flight."""
    lines = [{**VLLM, "max_concurrency": 64, "concurrency": each, "backend": "sglang"} for each in (7.6, 15.9)]
    found = points_from("\n".join(map(json.dumps, lines)).encode(), CASE, None)
    assert [point.case.in_flight for point in found] == [8, 16]


ROW = {
    "hw": "h100", "tp": 2, "ep": 1, "conc": 16, "model": "Qwen/Qwen3-32B", "framework": "vllm", "precision": "fp8",
    "isl": 1024, "osl": 256, "tput_per_gpu": 2250.0, "output_tput_per_gpu": 450.0, "mean_ttft": 0.08,
    "mean_tpot": 0.015, "mean_e2el": 3.9, "disagg": False, "spec_decoding": "none",
}  # fmt: skip


def test_of_a_board_only_the_rows_of_the_same_deployment_count():
    others = [
        {"hw": "h200"}, {"tp": 4}, {"model": "meta-llama/Llama-3.1-70B"}, {"framework": "sglang"},
        {"precision": "bf16"}, {"disagg": True}, {"spec_decoding": "mtp"},
    ]  # fmt: skip
    board = [ROW, *({**ROW, **each} for each in others)]
    (point,) = points_from(json.dumps(board).encode(), CASE, None)
    assert (point.output_per_second, point.case.in_flight) == (900.0, 16)
    assert (point.between, point.first) == (pytest.approx(0.015), pytest.approx(0.08))


def test_a_report_in_yaml_is_read(tmp_path):
    write_yaml(tmp_path / "benchmark_report_v0.2.yaml", LLM_D)
    (point,) = read_results(tmp_path / "benchmark_report_v0.2.yaml", CASE, None)
    assert (point.output_per_second, point.case.in_flight) == (900.0, 16)


@given(st.text(max_size=60), st.integers(0, len(PAGE)))
def test_a_hostile_text_is_points_or_an_error_of_ours(text, at):
    with suppress(BadInput):
        points_from((PAGE[:at] + text + PAGE[at:]).encode(), CASE, None)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"{}", b'{"output_throughput": 0}', b"[" * 100_000, b"words"])
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
