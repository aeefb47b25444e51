"""What `vllm bench serve` and SGLang's `bench_serving` print at their end, as the fields of the JSON they write. Pure.

Pages of results (GPUStack's performance lab, issues, logs) quote that text. It may stand in the middle of anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_OPENING = re.compile(r"={3,} *Serving Benchmark Result *={3,}")
_CLOSING = re.compile(r"^\s*={10,}\s*$", re.MULTILINE)
_LINE = re.compile(
    r"^[\s|>]*(?P<label>[A-Za-z][^:\n]{2,60}):\s+(?P<figure>[0-9][0-9,]*(?:\.[0-9]+)?)\s*$", re.MULTILINE
)
_FIELDS = {
    "successful requests": "completed",
    "total input tokens": "total_input_tokens",
    "total generated tokens": "total_output_tokens",
    "request throughput (req/s)": "request_throughput",
    "output token throughput (tok/s)": "output_throughput",
    "maximum request concurrency": "max_concurrency",
    "max request concurrency": "max_concurrency",
    "concurrency": "concurrency",
    "mean ttft (ms)": "mean_ttft_ms",
    "mean tpot (ms)": "mean_tpot_ms",
    "mean e2el (ms)": "mean_e2el_ms",
    "mean e2e latency (ms)": "mean_e2e_latency_ms",
}


def printed(text: str) -> Iterator[dict[str, float]]:
    """The results that were printed in a text, in its order.

    >>> next(printed("== a ==\\n=== Serving Benchmark Result ===\\nOutput token throughput (tok/s):   1,131.55\\n"))
    {'output_throughput': 1131.55}
    """
    for opening in _OPENING.finditer(text):
        closing = _CLOSING.search(text, opening.end())
        block = text[opening.end() : closing.start() if closing else opening.end() + 4000]
        found = {
            _FIELDS[label]: float(match["figure"].replace(",", ""))
            for match in _LINE.finditer(block)
            if (label := match["label"].strip().lower()) in _FIELDS
        }
        if found:
            yield found
