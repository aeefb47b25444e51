"""`baseload capacity calibrate`: a recorded run as a ledger, learnt, kept, and used at once; every misuse an error."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path

import pytest

from baseload.clock import SystemClock, now
from baseload.documents import load_deployments
from baseload.errors import NotEnoughData
from baseload.ledger.hot import open_store
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage
from samples import START_NS, attempt, call

RUN = Path(__file__).parent.parent / "data" / "capacity" / "rtxpro6000_llama_3_1_8b_requests.jsonl.gz"
NAME = "llama-3.1-8b@rtx-pro-6000-x1:bf16:vllm"
ENGINE = "--max-num-seqs|128|--step-tokens|2048|--engine-version|0.19.0"


def recorded(slower=1.0):
    """The run's 300 requests as calls of an upstream; those past the first 200 take longer where that is asked."""
    with gzip.open(RUN, "rt") as file:
        rows = sorted((json.loads(line) for line in file), key=lambda row: row["queued_ts"])
    start = rows[0]["queued_ts"]
    for number, row in enumerate(rows):
        stretch = slower if number >= 150 else 1.0
        arrival = row["queued_ts"] - start
        moments = [
            START_NS + int((arrival + (row[name] - row["queued_ts"]) * stretch) * NANOSECONDS_PER_SECOND)
            for name in ("queued_ts", "first_token_ts", "last_token_ts")
        ]
        served = attempt(
            route="gpu",
            started_ns=moments[0],
            first_byte_ns=moments[1],
            ended_ns=moments[2],
            usage=Usage(input_tokens=row["input_toks"], output_tokens=row["output_toks"]),
        )
        yield call(f"c-{number}", served, seconds=arrival, stream=True)


@pytest.fixture
def ledger(tmp_path):
    store = open_store(tmp_path / "ledger")
    store.record(list(recorded()))
    store.close()
    return tmp_path / "ledger"


def test_a_run_is_learnt_and_used_at_once(baseload, ledger):
    said = f"capacity|calibrate|--from-ledger|--ledger|{ledger}|--upstream|gpu|--deployment|{NAME}|{ENGINE}"
    found = json.loads(baseload(f"{said}|--json").out)
    assert (found["requests"], found["held_out_requests"]) == (300, 100)
    assert found["calibrated"]
    errors = [found[name] for name in ("latency_error", "per_token_error", "first_token_error", "held_out")]
    assert max(map(abs, errors)) < 0.05
    mine = load_deployments()[NAME]
    assert mine.step is not None
    assert (mine.measured, mine.doubt.calibrated) == (now(SystemClock()).date(), True)
    assert mine.engine == "vllm 0.19.0"
    assert "300 requests" in mine.source.reference
    rates = [each["output_tokens_per_second"] for each in found["loads"]]
    assert rates == sorted(rates)
    assert mine.curve.tokens_per_second(64) == pytest.approx(dict_of(found)[64], rel=0.05)
    # decide, simulate and capacity know it by its name.
    words = f"decide|--input|1B|--output|1B|--price|3/15|--deployment|{NAME}|--gpu-hour|1|--json"
    decided = json.loads(baseload(words).out)
    room = next(row for row in decided["assumptions"] if row["name"].startswith("replica_output"))
    assert " to " in room["value"]  # as far off as it may be
    run = f"simulate|--pool|deployment={NAME},name=gpu|--concurrency|16|--requests|200|--json"
    again = json.loads(
        baseload(f"{run}|--input-tokens|{found['input_tokens']}|--output-tokens|{found['output_tokens']}").out
    )
    rate = again["supplies"][0]["tokens_out"] / again["seconds"]
    assert rate == pytest.approx(dict_of(found)[16], rel=0.1)
    asked = baseload("capacity|--model|llama-3.1-8b|--gpu|rtx-pro-6000|--quant|bf16|--engine-version|0.20.0")
    assert "calibrated on your" in asked.err
    assert "of another version" in asked.out


def dict_of(found):
    return {each["in_flight"]: each["output_tokens_per_second"] for each in found["loads"]}


def test_a_log_that_changes_its_pace_is_not_called_calibrated(baseload, tmp_path):
    store = open_store(tmp_path / "ledger")
    store.record(list(recorded(slower=1.6)))
    store.close()
    said = (
        f"capacity|calibrate|--from-ledger|--ledger|{tmp_path / 'ledger'}|--upstream|gpu|--deployment|{NAME}|{ENGINE}"
    )
    shown = baseload(said).out
    assert "NOT calibrated" in shown
    doubt = load_deployments()[NAME].doubt
    assert not doubt.calibrated
    assert "not calibrated" in doubt.sentence
    fresh = load_deployments(today=now(SystemClock()).date())[NAME].band
    older = load_deployments(today=now(SystemClock()).date() + timedelta(days=60))[NAME].band
    assert float(fresh.high) > 1.29
    assert older.high > fresh.high


def test_a_benchmark_of_others_is_learnt_too(baseload, tmp_path):
    files = []
    for in_flight, rate in ((1, 60.0), (8, 420.0), (64, 1900.0)):
        path = tmp_path / f"{in_flight}.json"
        path.write_text(
            json.dumps(
                {"completed": 100, "total_input_tokens": 100_000, "total_output_tokens": 25_000,
                 "output_throughput": rate, "max_concurrency": in_flight}
            )
        )  # fmt: skip
        files.append(f"--results|{path}")
    name = "qwen3-32b@h100-80gb-x2:fp8:vllm"
    found = json.loads(baseload(f"capacity|calibrate|--deployment|{name}|{'|'.join(files)}|--json").out)
    assert (found["points"], found["requests"], found["input_tokens"]) == (3, 0, 1000)
    assert found["held_out"] is not None
    assert dict_of(found)[64] == pytest.approx(1900, rel=0.15)
    assert max(dict_of(found)) == 64


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("--deployment|x@h100-x1:fp8:vllm|--from-ledger", 2, "are not known"),
        ("--deployment|nobody|--from-ledger", 2, "no deployment is called 'nobody'"),
        (f"--deployment|{NAME}", 2, "learns from one source"),
        (f"--deployment|{NAME}|--from-ledger|--results|x.json", 2, "learns from one source"),
        (f"--deployment|{NAME}|--from-ledger", 2, "0 upstreams of the configuration"),
        (f"--deployment|{NAME}|--results|no-such.json", 2, "cannot read"),
        (f"--deployment|{NAME}|--from-ledger|--ledger|{{}}|--upstream|nobody", 4, "0 requests have finished"),
    ],
)
def test_what_cannot_be_learnt_says_why(baseload, ledger, line, code, says):
    assert says in baseload(f"capacity|calibrate|{line.format(ledger)}", code).err


def test_too_few_are_not_enough(baseload, tmp_path):
    store = open_store(tmp_path / "ledger")
    store.record(list(recorded())[:59])
    store.close()
    said = f"capacity|calibrate|--from-ledger|--ledger|{tmp_path / 'ledger'}|--upstream|gpu|--deployment|{NAME}"
    assert "at least 60" in baseload(said, NotEnoughData.exit_code).err
