"""What benchmarks of others write, as measured points: vllm, GuideLLM, AIPerf, inference-perf and llm-d. Pure.

Each is told by its own fields. Lengths and concurrency come from the file where it has them, else from the case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

import msgspec

from baseload.capacity.asked import measured_point
from baseload.capacity.calibration import Point
from baseload.capacity.case import Case
from baseload.errors import BadInput

MOST_BYTES = 256_000_000
_MILLI = 1000.0
Fields = Mapping[str, object]


def points_from(raw: bytes, case: Case, when: date | None) -> list[Point]:
    """Every measurement of a file. Raises BadInput for what none of the benchmarks wrote."""
    try:
        if len(raw) > MOST_BYTES:
            raise BadInput(f"{len(raw):,} bytes are no benchmark's result", remedy="Give its summary, not its log.")
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(
            f"a benchmark's result is JSON, and this is not: {error}", remedy="Give it as written."
        ) from error
    return document_points(document, case, when)


def document_points(document: object, case: Case, when: date | None) -> list[Point]:
    """The measurements of a document that was read from JSON or YAML. Raises BadInput likewise."""
    if not isinstance(document, dict):
        raise BadInput("a benchmark's result is one JSON object", remedy="Give it as written.")
    found = [given for reader in _READERS for given in reader(document)]
    points = [measured_point(case, given, when) for given in found if _says(given)]
    if not points:
        raise BadInput(
            "no throughput or times of vllm bench serve, GuideLLM, AIPerf, inference-perf or llm-d stand in this file",
            remedy="Type the figures instead: --point concurrency=64,output_tokens_per_s=1916.",
        )
    return points


def _says(given: Mapping[str, float]) -> bool:
    return any(name in given for name in ("output_tokens_per_s", "tpot_ms", "ttft_ms"))


def _vllm(document: Fields) -> Iterator[dict[str, float]]:
    """`vllm bench serve --save-result`, of the same form SGLang's bench_serving writes."""
    if "output_throughput" not in document:
        return
    done = _number(document, "completed")
    given = _only(
        output_tokens_per_s=_number(document, "output_throughput"),
        tpot_ms=_number(document, "mean_tpot_ms"),
        ttft_ms=_number(document, "mean_ttft_ms"),
        concurrency=_number(document, "max_concurrency"),
    )
    if done:
        given |= _only(
            input_tokens=_share(_number(document, "total_input_tokens"), done),
            output_tokens=_share(_number(document, "total_output_tokens"), done),
        )
    yield given


def _guidellm(document: Fields) -> Iterator[dict[str, float]]:
    """GuideLLM's report: one entry of `benchmarks` per rate."""
    for each in _list(document, "benchmarks"):
        metrics = _at(each, "metrics")

        def mean(name: str, metrics: Fields = metrics) -> float | None:
            return _number(_at(metrics, name, "successful"), "mean")

        yield _only(
            output_tokens_per_s=mean("output_tokens_per_second"),
            tpot_ms=mean("inter_token_latency_ms") or mean("time_per_output_token_ms"),
            ttft_ms=mean("time_to_first_token_ms"),
            concurrency=mean("request_concurrency"),
            input_tokens=mean("prompt_token_count"),
            output_tokens=mean("output_token_count"),
        )


def _aiperf(document: Fields) -> Iterator[dict[str, float]]:
    """AIPerf's profile export: each metric an object with `avg` and `unit`, at the top or under `records`."""
    records = _at(document, "records") or document
    if not _at(records, "output_token_throughput"):
        return

    def average(name: str) -> float | None:
        metric = _at(records, name)
        figure = _number(metric, "avg")
        return figure * _MILLI if figure and metric.get("unit") in ("s", "sec") else figure

    load = _at(document, "input_config", "loadgen")
    yield _only(
        output_tokens_per_s=average("output_token_throughput"),
        tpot_ms=average("inter_token_latency"),
        ttft_ms=average("time_to_first_token"),
        concurrency=_number(load, "concurrency"),
        input_tokens=average("input_sequence_length"),
        output_tokens=average("output_sequence_length"),
    )


def _inference_perf(document: Fields) -> Iterator[dict[str, float]]:
    """inference-perf's summary of a stage: seconds, under `successes`."""
    fine = _at(document, "successes")
    latency = _at(fine, "latency")
    if not latency:
        return
    load = _at(document, "load_summary")
    yield _only(
        output_tokens_per_s=_number(_at(fine, "throughput"), "output_tokens_per_sec"),
        tpot_ms=_milli(_number(_at(latency, "time_per_output_token"), "mean")),
        ttft_ms=_milli(_number(_at(latency, "time_to_first_token"), "mean")),
        concurrency=_number(load, "concurrency"),
        input_tokens=_number(_at(fine, "prompt_len"), "mean"),
        output_tokens=_number(_at(fine, "output_len"), "mean"),
    )


def _llm_d(document: Fields) -> Iterator[dict[str, float]]:
    """llm-d's Benchmark Report, version 0.2 (`results.request_performance.aggregate`) and 0.1 (`metrics`)."""
    for place in (("results", "request_performance", "aggregate"), ("metrics",)):
        metrics = _at(document, *place)
        latency, rates = _at(metrics, "latency"), _at(metrics, "throughput")
        if not latency or not rates:
            continue
        sizes = _at(metrics, "requests")
        rate = _at(rates, "output_token_rate")
        yield _only(
            output_tokens_per_s=_number(rate, "mean") or _number(rates, "output_tokens_per_sec"),
            tpot_ms=_timed(_at(latency, "time_per_output_token")),
            ttft_ms=_timed(_at(latency, "time_to_first_token")),
            concurrency=_number(_at(document, "scenario", "load", "standardized"), "concurrency"),
            input_tokens=_number(_at(sizes, "input_length"), "mean"),
            output_tokens=_number(_at(sizes, "output_length"), "mean"),
        )


_READERS = (_vllm, _guidellm, _aiperf, _inference_perf, _llm_d)


def _timed(metric: Fields) -> float | None:
    figure, units = _number(metric, "mean"), str(metric.get("units", "s"))
    return figure if units.startswith("ms") else _milli(figure)


def _milli(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * _MILLI


def _share(total: float | None, count: float) -> float | None:
    return None if total is None else total / count


def _only(**figures: float | None) -> dict[str, float]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _at(document: object, *path: str) -> Fields:
    """The object below a path; empty where there is none."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _list(document: Fields, name: str) -> list[object]:
    value = document.get(name)
    return value if isinstance(value, list) else []


def _number(fields: Fields, name: str) -> float | None:
    """A positive, finite figure; a result of zero says that nothing was measured."""
    value = fields.get(name)
    fine = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12
    return float(value) if fine and isinstance(value, int | float) else None
