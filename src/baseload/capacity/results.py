"""What benchmarks of others write, as measured points: vllm and SGLang, GuideLLM, AIPerf, inference-perf, llm-d. Pure.

Each is told by its own fields: JSON, lines of JSON, the text that is printed, and (read by whoever calls) YAML. Lengths
and requests in flight come from the file; where a load was sent by a rate, those in flight are by Little's law what
comes a second times how long it stays. What a file does not say is as in the case. GPUStack's own runner writes
GuideLLM's report, its performance lab the printed text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

import msgspec

from baseload.capacity.architecture import architecture_named
from baseload.capacity.asked import measured_point
from baseload.capacity.board import CARDS
from baseload.capacity.calibration import Point
from baseload.capacity.case import Case, engine_named, precision_named
from baseload.capacity.printed import printed
from baseload.errors import BadInput, UnknownModel

MOST_BYTES = 256_000_000
_MILLI = 1000.0
Fields = Mapping[str, object]


def points_from(raw: bytes, case: Case, when: date | None) -> list[Point]:
    """Every measurement of a file. Raises BadInput for what none of the benchmarks wrote."""
    if len(raw) > MOST_BYTES:
        raise BadInput(f"{len(raw):,} bytes are no benchmark's result", remedy="Give its summary, not its log.")
    return document_points(_documents(raw), case, when)


def _documents(raw: bytes) -> list[object]:
    """A file as JSON, as lines of JSON, or as a text in which results were printed."""
    try:
        return [msgspec.json.decode(raw)]
    except (msgspec.DecodeError, RecursionError) as error:
        first = str(error)
    lines = [line for line in raw.splitlines() if line.strip()]
    try:
        if len(lines) > 1:
            return [msgspec.json.decode(line) for line in lines]
    except (msgspec.DecodeError, RecursionError):
        pass
    found: list[object] = list(printed(raw.decode("utf-8", "replace")))
    if not found:
        raise BadInput(
            f"a benchmark's result is JSON, or the text it prints, and this is neither: {first}",
            remedy="Give it as written.",
        )
    return found


def document_points(documents: object, case: Case, when: date | None) -> list[Point]:
    """The measurements of what was read: one object, or several. Raises BadInput where none of the benchmarks wrote
    it."""
    every = documents if isinstance(documents, list) else [documents]
    rows = [row for each in every for row in (each if isinstance(each, list) else [each]) if isinstance(row, dict)]
    found = [given for row in rows for reader in _READERS for given in reader(row, case)]
    points = [measured_point(case, given, when) for given in found if _says(given)]
    if not points:
        raise BadInput(
            "no throughput or times of vllm bench serve, SGLang, GuideLLM, AIPerf, inference-perf, llm-d or InferenceX "
            "stand in this file for that model, GPU and engine",
            remedy="Type the figures instead: --point concurrency=64,output_tokens_per_s=1916.",
        )
    return points


def _says(given: Mapping[str, float]) -> bool:
    return any(name in given for name in ("output_tokens_per_s", "tpot_ms", "ttft_ms"))


def _vllm(document: Fields, _case: Case) -> Iterator[dict[str, float]]:
    """`vllm bench serve --save-result`, and SGLang's bench_serving, which writes the same fields and its own mean of
    requests in flight."""
    if "output_throughput" not in document:
        return
    done = _number(document, "completed")
    lasted = _number(document, "mean_e2el_ms") or _number(document, "mean_e2e_latency_ms")
    output = _share(_number(document, "total_output_tokens"), done)
    first, between = _number(document, "mean_ttft_ms"), _number(document, "mean_tpot_ms")
    if lasted is None and first and between and output:
        lasted = first + between * (output - 1)
    yield _only(
        output_tokens_per_s=_number(document, "output_throughput"),
        tpot_ms=between,
        ttft_ms=first,
        concurrency=_number(document, "concurrency")
        or _number(document, "max_concurrency")
        or _little(_number(document, "request_throughput"), lasted),
        input_tokens=_share(_number(document, "total_input_tokens"), done),
        output_tokens=output,
    )


def _guidellm(document: Fields, _case: Case) -> Iterator[dict[str, float]]:
    """GuideLLM's report: one entry of `benchmarks` per rate. Its time per output token holds the first one's too, so
    only the time between tokens is read; its request latency is in seconds."""
    for each in _list(document, "benchmarks"):
        metrics = _at(each, "metrics")

        def mean(name: str, metrics: Fields = metrics) -> float | None:
            return _number(_at(metrics, name, "successful"), "mean")

        yield _only(
            output_tokens_per_s=mean("output_tokens_per_second"),
            tpot_ms=mean("inter_token_latency_ms"),
            ttft_ms=mean("time_to_first_token_ms"),
            concurrency=mean("request_concurrency")
            or _little(mean("requests_per_second"), _milli(mean("request_latency"))),
            input_tokens=mean("prompt_token_count"),
            output_tokens=mean("output_token_count"),
        )


def _aiperf(document: Fields, _case: Case) -> Iterator[dict[str, float]]:
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
        concurrency=_number(load, "concurrency") or _little(average("request_throughput"), average("request_latency")),
        input_tokens=average("input_sequence_length"),
        output_tokens=average("output_sequence_length"),
    )


def _inference_perf(document: Fields, _case: Case) -> Iterator[dict[str, float]]:
    """inference-perf's summary, of a stage or of all: seconds, under `successes`. Its lengths were `prompt_len` and
    `output_len`, and are the tokens that the server counted."""
    fine = _at(document, "successes")
    latency = _at(fine, "latency")
    if not latency:
        return

    def mean(*names: str) -> float | None:
        return next((figure for name in names if (figure := _number(_at(fine, name), "mean"))), None)

    rates = _at(fine, "throughput")
    lasted = _milli(_number(_at(latency, "request_latency"), "mean"))
    yield _only(
        output_tokens_per_s=_number(rates, "output_tokens_per_sec"),
        tpot_ms=_milli(_number(_at(latency, "time_per_output_token"), "mean")),
        ttft_ms=_milli(_number(_at(latency, "time_to_first_token"), "mean")),
        concurrency=_number(_at(document, "load_summary"), "concurrency")
        or _little(_number(rates, "requests_per_sec"), lasted),
        input_tokens=mean("prompt_tokens", "prompt_len"),
        output_tokens=mean("output_tokens", "output_len"),
    )


def _llm_d(document: Fields, _case: Case) -> Iterator[dict[str, float]]:
    """llm-d's Benchmark Report, version 0.2 (`results.request_performance.aggregate`) and 0.1 (`metrics`)."""
    for place in (("results", "request_performance", "aggregate"), ("metrics",)):
        metrics = _at(document, *place)
        latency, rates = _at(metrics, "latency"), _at(metrics, "throughput")
        if not latency or not rates:
            continue
        sizes = _at(metrics, "requests")
        each_second = _number(_at(rates, "request_rate"), "mean") or _number(rates, "requests_per_sec")
        yield _only(
            output_tokens_per_s=_number(_at(rates, "output_token_rate"), "mean")
            or _number(rates, "output_tokens_per_sec"),
            tpot_ms=_timed(_at(latency, "time_per_output_token")) or _timed(_at(latency, "inter_token_latency")),
            ttft_ms=_timed(_at(latency, "time_to_first_token")),
            concurrency=_number(_at(document, "scenario", "load", "standardized"), "concurrency")
            or _little(each_second, _timed(_at(latency, "request_latency"))),
            input_tokens=_number(_at(sizes, "input_length"), "mean"),
            output_tokens=_number(_at(sizes, "output_length"), "mean"),
        )


def _inferencex(document: Fields, case: Case) -> Iterator[dict[str, float]]:
    """A row of InferenceX's (InferenceMAX's) board, seconds and tokens by GPU: only of the case's own model, card,
    number of cards, engine and precision, served whole and without guessed tokens."""
    rate = _number(document, "output_tput_per_gpu")
    if rate is None or not _same(document, case):
        return
    yield _only(
        output_tokens_per_s=rate * case.machine.count,
        tpot_ms=_milli(_number(document, "mean_tpot")),
        ttft_ms=_milli(_number(document, "mean_ttft")),
        concurrency=_number(document, "conc"),
        input_tokens=_number(document, "isl"),
        output_tokens=_number(document, "osl"),
    )


def _same(row: Fields, case: Case) -> bool:
    """Whether a row of a board is of a case's deployment."""
    said = {name: str(row.get(name, "")).strip().lower() for name in ("model", "framework", "precision")}
    card = str(row.get("hw") or row.get("device") or "").strip().lower().partition(" ")[0]
    apart = row.get("disagg") in (True, "true") or row.get("spec_decoding", "none") not in ("none", "false", "", False)
    if apart or _number(row, "tp") != case.machine.count:
        return False
    if not card or not (case.machine.gpu == CARDS.get(card) or case.machine.gpu.startswith(f"{card}-")):
        return False
    try:
        same = architecture_named(said["model"], {case.architecture.name: case.architecture}) is case.architecture
        return (
            same
            and engine_named(said["framework"]) == case.engine
            and precision_named(said["precision"]) == case.precision
        )
    except (BadInput, UnknownModel):
        return False


_READERS = (_vllm, _guidellm, _aiperf, _inference_perf, _llm_d, _inferencex)


def _timed(metric: Fields) -> float | None:
    figure, units = _number(metric, "mean"), str(metric.get("units", "s"))
    return figure if units.startswith("ms") else _milli(figure)


def _milli(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * _MILLI


def _share(total: float | None, count: float | None) -> float | None:
    return None if total is None or not count else total / count


def _little(each_second: float | None, stays_ms: float | None) -> float | None:
    """Requests in flight, from those that come a second and how long each stays."""
    return None if each_second is None or stays_ms is None else max(each_second * stays_ms / _MILLI, 1.0)


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
