"""What engines say of themselves, in the names of several versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.gateway.engine_metrics import EngineLoad, read

VLLM_V0 = b"""# HELP vllm:num_requests_running Number of requests currently running on GPU.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="unsloth/Llama-3.2-1B-Instruct"} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
vllm:num_requests_waiting{model_name="unsloth/Llama-3.2-1B-Instruct"} 2.0
vllm:gpu_cache_usage_perc{model_name="unsloth/Llama-3.2-1B-Instruct"} 0.25
vllm:num_requests_swapped{model_name="unsloth/Llama-3.2-1B-Instruct"} 9.0
"""
VLLM_V1 = b"""vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 0.0
vllm:num_requests_waiting{engine="1",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.10
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:kv_cache_usage_perc_created{engine="1",model_name="m"} 1.7e+09
"""
SGLANG = b'sglang:num_running_reqs{model_name="Qwen/Qwen3.5"} 8\nsglang:num_queue_reqs{model_name="Qwen/Qwen3.5"} 4\n'
LLAMA = b"llamacpp:requests_processing 4\nllamacpp:requests_deferred 46\n"


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (VLLM_V0, EngineLoad(running=3, waiting=2, cache_share=0.25)),
        (VLLM_V1, EngineLoad(running=7, waiting=1, cache_share=0.75)),
        (SGLANG, EngineLoad(running=8, waiting=4)),
        (LLAMA, EngineLoad(running=4, waiting=46)),
        (b'vllm:num_requests_running{a="}x{"} 2 1700000000000\r\n', EngineLoad(running=2)),
        (b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 1\n", EngineLoad(waiting=1)),
        (b"vllm:num_requests_running\n", None),
        (b"<html>not metrics</html>", None),
        (b"", None),
        (b"vllm:num_requests_running -1\n", None),
        (b"vllm:num_requests_running 1e300\n", None),
    ],
)
def test_pages_of_engines(page: bytes, says: EngineLoad | None) -> None:
    assert read(page) == says


@given(st.binary(max_size=300) | st.text('vllm:num_requests_running{}" 0123.e\n', max_size=200).map(str.encode))
def test_whatever_a_page_holds_it_is_read_or_not(page: bytes) -> None:
    found = read(page)
    assert found is None or (found.running >= 0 and found.waiting >= 0)
