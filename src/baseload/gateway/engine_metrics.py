"""What a model server says of itself on `/metrics`: requests running and waiting, how full its cache is. Pure.

Names change from version to version of an engine; `ALIASES` has each that was seen, with where it was read. Only the
lines of those names are read, whatever else the page holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType

import msgspec

# What each name counts. vLLM 0.4.0 to 0.9.1 (docs.vllm.ai, pages "Production Metrics" of v0.4.0.post1, v0.5.5, v0.8.5
# and v0.9.1, read 2026-11-21) call the cache gpu_cache_usage_perc, the V1 engine since 0.10 kv_cache_usage_perc; both
# are shares from 0 to 1. SGLang's and llama.cpp's names are those of their own documentation.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "vllm:num_requests_running": "running",
        "vllm:num_requests_waiting": "waiting",
        "vllm:kv_cache_usage_perc": "cache_share",
        "vllm:gpu_cache_usage_perc": "cache_share",
        "sglang:num_running_reqs": "running",
        "sglang:num_queue_reqs": "waiting",
        "sglang:token_usage": "cache_share",
        "llamacpp:requests_processing": "running",
        "llamacpp:requests_deferred": "waiting",
    }
)


class EngineLoad(msgspec.Struct, frozen=True, kw_only=True):
    """Requests running and waiting, summed over a server's engines; the fullest cache, None when it is not said."""

    running: int = 0
    waiting: int = 0
    cache_share: float | None = None


def read(page: bytes) -> EngineLoad | None:
    """A page in Prometheus's text format; None when it holds none of the known names.

    >>> read(b'vllm:num_requests_running{model_name="m"} 3.0\\nvllm:num_requests_waiting{model_name="m"} 1.0\\n')
    EngineLoad(running=3, waiting=1, cache_share=None)
    """
    sums: dict[str, float] = {}
    shares: list[float] = []
    for line in page.decode("utf-8", "replace").splitlines():
        name, _, rest = line.partition("{") if "{" in line else line.partition(" ")
        what = ALIASES.get(name.strip())
        if what is None:
            continue
        value = _value(rest.rpartition("}")[2])
        if value is None:
            continue
        if what == "cache_share":
            shares.append(min(value, 1.0))
        else:
            sums[what] = sums.get(what, 0.0) + value
    if not sums and not shares:
        return None
    share = max(shares) if shares else None
    return EngineLoad(running=int(sums.get("running", 0)), waiting=int(sums.get("waiting", 0)), cache_share=share)


def _value(text: str) -> float | None:
    """The number of a sample, which a time may follow."""
    words = text.split()
    try:
        value = float(words[0]) if words else None
    except ValueError:
        return None
    return value if value is not None and isfinite(value) and 0 <= value < 10**9 else None
