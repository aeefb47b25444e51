"""Importing LiteLLM's spend logs: a file into an empty ledger, and the same file again, which must add nothing.

The file is made here: rows as the proxy writes them, with metadata, tags and nested usage; 1,000,000 of them, or 20,000
with `--quick`.
"""

from __future__ import annotations

import csv
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from baseload.documents import load_catalog
from baseload.imports.entry import Asked
from baseload.imports.formats import FORMATS
from baseload.imports.frame import Import, Report
from baseload.imports.pricing import Prices
from baseload.imports.sink import Ledger
from benchmarks.frame import Figure, run, seconds

ROWS, QUICK = 1_000_000, 20_000
START = datetime(2026, 10, 1, tzinfo=UTC)
MODELS = (("openai", "gpt-5-mini"), ("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4o-2024-08-06"))
HEADER = [
    *("request_id", "call_type", "api_key", "spend", "total_tokens", "prompt_tokens", "completion_tokens", "startTime"),
    *("endTime", "request_duration_ms", "completionStartTime", "model", "model_id", "model_group"),
    *("custom_llm_provider", "api_base", "user", "metadata", "cache_hit", "cache_key", "request_tags", "team_id"),
    *("organization_id", "end_user", "requester_ip_address", "messages", "response", "session_id", "status"),
]


def write(path: Path, rows: int) -> None:
    """A file of spend logs, a row every two seconds."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADER)
        for place in range(rows):
            out.writerow(_row(place))


def _row(place: int) -> list[object]:
    digest = sha256(str(place).encode()).hexdigest()
    provider, model = MODELS[place % len(MODELS)]
    prompt, completion = 200 + place % 4_000, 20 + place % 700
    at = START + timedelta(seconds=2 * place)
    end = at + timedelta(milliseconds=300 + place % 9_000)
    used = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": prompt // 3, "audio_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": completion // 5, "audio_tokens": None},
    }
    metadata = {"user_api_key_alias": f"key-{place % 40}", "usage_object": used, "status": "success", "proxy": None}
    return [
        f"chatcmpl-{digest[:32]}", "acompletion", digest, f"{prompt * 2.5e-7 + completion * 1e-6:.10f}",
        prompt + completion, prompt, completion, f"{at:%Y-%m-%d %H:%M:%S}.000", f"{end:%Y-%m-%d %H:%M:%S.%f}"[:-3],
        300, f"{end:%Y-%m-%d %H:%M:%S.%f}"[:-3], model, digest[:16], model, provider, "https://api.example", "u1",
        json.dumps(metadata), "False", "Cache OFF", json.dumps(["production", f"feature:f{place % 12}"]),
        f"team-{place % 20}", "", f"customer-{place % 900}", "", "{}", "{}", digest[:24], "success",
    ]  # fmt: skip


def _import(path: Path, ledger: Path) -> tuple[Report, float, float]:
    """What was imported; seconds by the clock, and of both processes."""
    started, spent = time.perf_counter(), _spent()
    prices = Prices(load_catalog())
    gc.freeze()  # as the verb does
    with path.open("rb", buffering=1 << 20) as stream, Ledger(ledger) as sink:
        report = Import(FORMATS["litellm"], Asked(), prices, sink).run(stream, path.name)
    return report, time.perf_counter() - started, _spent() - spent


def _spent() -> float:
    """Processor time of this process and of those that ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def measure(quick: bool) -> Iterator[Figure]:
    rows = QUICK if quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        path, ledger = Path(folder) / "spend_logs.csv", Path(folder) / "ledger"
        write(path, rows)

        def parse() -> None:
            with path.open(newline="") as file:
                for _ in csv.reader(file):
                    pass

        bare = seconds(parse)
        first, took, spent = _import(path, ledger)
        second, again, _ = _import(path, ledger)
        assert (first.new, second.new, second.known) == (rows, 0, rows), (first, second)
        yield Figure(f"import of {rows:,} rows", took, "s", 1)
        yield Figure("the same again, which adds nothing", again, "s", 1)
        yield Figure("rows a second, by the clock", rows / took, "1/s", 1)
        yield Figure("processor time of a row, both processes", spent / rows * 1e6, "us", 1)
        yield Figure("import / csv.reader alone", took / bare, "ratio", 1)
        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
        yield Figure("most memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, "MiB", 1)


if __name__ == "__main__":
    run(__doc__, measure)
