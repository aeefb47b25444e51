"""Langfuse, OpenTelemetry, traces and whatever --map names: calls as their logs tell them."""

import json
from zoneinfo import ZoneInfo

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from baseload.clock import from_ns
from baseload.errors import BadInput
from baseload.gateway.spans import about_attempt, about_call
from baseload.imports.fields import moment
from baseload.imports.formats import FORMATS, format_of
from baseload.load.calls import Status
from baseload.usage import Usage
from importing import calls, imported
from samples import attempt, call

AT = 1_790_841_600_000_000_000  # 2026-10-01 08:00


def test_every_format_has_a_name_and_another_is_refused():
    assert {"litellm", "openai", "anthropic", "langfuse", "openrouter", "otel", "focus", "trace", "csv"} == set(FORMATS)
    with pytest.raises(BadInput, match="no format is called"):
        format_of("helicone")


def test_langfuse(tmp_path):
    asks = {
        "id": "obs-1",
        "trace_id": "t",
        "type": "GENERATION",
        "name": "answer",
        "start_time": "2026-10-01 08:00:00.000",
        "end_time": "2026-10-01 08:00:03.000",
        "completion_start_time": "2026-10-01 08:00:01.000",
        "provided_model_name": "claude-sonnet-4-5-20250929",
        "usage_details": {"input": 100, "input_cached_tokens": 300, "output": 40, "output_reasoning": 5, "total": 445},
        "total_cost": 0.0012,
        "environment": "production",
        "level": "DEFAULT",
        "input": "a prompt nobody stores",
    }
    span = {"id": "s", "type": "SPAN", "start_time": "2026-10-01 08:00:00"}
    older = {
        "id": "obs-2",
        "type": "GENERATION",
        "startTime": "2026-10-01T09:00:00Z",
        "model": "gpt-4o",
        "usageDetails": json.dumps({"input": 7, "output": 3}),
        "level": "ERROR",
    }
    report = imported(tmp_path, "langfuse", json.dumps([asks, span, older]))
    first, second = calls(tmp_path)
    assert first.usage == Usage(input_tokens=100, cache_read_tokens=300, output_tokens=40, reasoning_tokens=5)
    assert first.attempts[0].offer == "anthropic/claude-sonnet-4-5"
    assert first.attempts[0].cost_nanousd is not None
    assert first.attempts[0].provider_nanousd == 1_200_000
    assert first.facts.tags == {"environment": "production", "name": "answer", "run": "import-langfuse"}
    assert b"nobody stores" not in (tmp_path / "ledger.db").read_bytes()
    assert (second.status, second.usage) == (Status.FAILED, Usage(input_tokens=7, output_tokens=3))
    assert report.skipped == {"SPAN asks no model": 1}


def value(given: object) -> dict[str, object]:
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}[type(given)]
    return {kind: str(given) if kind == "intValue" else given}


def span(id: str, about: dict[str, object], seconds: int = 0) -> dict[str, object]:
    return {
        "traceId": "ab" * 16,
        "spanId": id,
        "startTimeUnixNano": str(AT + seconds * 10**9),
        "endTimeUnixNano": str(AT + (seconds + 2) * 10**9),
        "status": {},
        "attributes": [{"key": key, "value": value(each)} for key, each in about.items()],
    }


def export(*spans: dict[str, object]) -> dict[str, object]:
    service = [{"key": "service.name", "value": {"stringValue": "shop"}}]
    return {"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": [{"spans": spans}]}]}


NEW = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cache_read.input_tokens": 60,
    "gen_ai.usage.reasoning.output_tokens": 20,
    "gen_ai.usage.cost.amount": 0.25,
    "gen_ai.usage.cost.currency": "USD",
    "gen_ai.response.time_to_first_chunk": 0.5,
}
OLD = {"gen_ai.system": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.usage.prompt_tokens": 9}
INFERENCE = {"llm.model_name": "gpt-4o", "llm.token_count.prompt": 11, "llm.token_count.completion": 4}
SPANS = (
    span("01" * 8, NEW),
    span("02" * 8, NEW, seconds=1),
    span("03" * 8, OLD),
    span("04" * 8, INFERENCE),
    span("05" * 8, {"http.method": "GET"}),
    span("06" * 8, OLD | {"gen_ai.usage.prompt_tokens": -1}),
)


@pytest.mark.parametrize("shape", ["document", "lines", "protobuf"])
def test_otel_spans_old_and_new_and_an_answer_traced_twice_is_one_call(tmp_path, shape):
    data: str | bytes = json.dumps(export(*SPANS), indent=2)
    if shape == "lines":
        data = "\n".join(json.dumps(export(each)) for each in SPANS)
    elif shape == "protobuf":
        data = binary(export(*SPANS))
    report = imported(tmp_path, "otel", data)
    assert (report.new, report.rejected, report.skipped) == (3, 1, {"a span that asks no model": 1})
    by_model = {call.attempts[0].model: call for call in calls(tmp_path)}
    first = by_model["gpt-4o-2024-08-06"]
    assert first.usage == Usage(input_tokens=40, cache_read_tokens=60, output_tokens=30, reasoning_tokens=20)
    assert first.attempts[0].provider_nanousd == 250_000_000
    assert first.attempts[0].first_byte_ns == AT + 500_000_000
    assert first.facts.tags["service"] == "shop"
    assert by_model["claude-sonnet-4-5"].usage == Usage(input_tokens=9)
    assert by_model["gpt-4o"].usage == Usage(input_tokens=11, output_tokens=4)


def test_otel_in_protobuf_and_in_json_are_the_same_calls(tmp_path):
    assert imported(tmp_path, "otel", json.dumps(export(*SPANS))).new == 3
    again = imported(tmp_path, "otel", binary(export(*SPANS)))
    assert again.new == 0
    assert again.findings == imported(tmp_path, "otel", json.dumps(export(*SPANS))).findings


def test_a_cut_protobuf_is_rejected(tmp_path):
    data = binary(export(*SPANS))
    assert imported(tmp_path, "otel", data[:-9]).rejected == 1
    assert imported(tmp_path, "otel", b"\n\xff\xff\xff\xff\xff\xff").rejected == 1


def binary(document: dict[str, object]) -> bytes:
    from google.protobuf.json_format import ParseDict

    def hexed(each: dict[str, object]) -> dict[str, object]:
        from base64 import b64encode

        return each | {name: b64encode(bytes.fromhex(str(each[name]))).decode() for name in ("traceId", "spanId")}

    (resource,) = document["resourceSpans"]
    spans = [hexed(each) for each in resource["scopeSpans"][0]["spans"]]
    whole = {"resourceSpans": [resource | {"scopeSpans": [{"spans": spans}]}]}
    return ParseDict(whole, ExportTraceServiceRequest()).SerializeToString()


def test_our_own_spans_come_back_as_one_call_for_each_attempt(tmp_path):
    ours = call("c1", attempt(1), attempt(2))
    told = [about_call(ours, "chat"), *(about_attempt(ours, each, "chat") for each in ours.attempts)]
    spans = [span(f"{place:016x}", about) for place, about in enumerate(told)]
    report = imported(tmp_path, "otel", json.dumps(export(*spans)))
    assert (report.new, sum(report.skipped.values())) == (2, 1)


AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "2023-11-16 18:17:03.9799600,4808,10\n" * 2
BURST = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,1087,0,1087,API log\n"
)
MOONCAKE = '{"timestamp": 0, "input_length": 6955, "output_length": 52, "hash_ids": [1]}\n' * 2


@pytest.mark.parametrize(("text", "tokens"), [(AZURE, 9616), (BURST, 1559), (MOONCAKE, 13910)])
def test_traces_are_priced_as_a_model_and_twins_are_kept_apart(tmp_path, text, tokens):
    start_ns = moment("2026-10-01T00:00:00Z", "start")
    for new in (2, 0):
        report = imported(tmp_path, "trace", text, start_ns=start_ns, model="openai/gpt-4o")
        assert (report.new, report.rejected, report.usage.prompt_tokens) == (new, 0, tokens)
    assert all(each.attempts[0].cost_nanousd for each in calls(tmp_path))


def test_a_trace_of_relative_times_needs_a_start(tmp_path):
    report = imported(tmp_path, "trace", MOONCAKE)
    assert report.rejected == 2
    assert "--start" in report.rejected_lines[0].reason


def test_any_table_by_map(tmp_path):
    rows = 'when,llm,usage\n2026-10-01T08:00:00Z,openai/gpt-4o,"x"\n'
    lines = '{"when": 1790841600, "m": {"name": "openai/gpt-4o"}, "u": {"p": 10, "c": 4, "r": 1}, "cents": 0.5, "k": 7}'
    columns = {"at": "when", "model": "m.name", "input_tokens": "u.p", "output_tokens": "u.c", "id": "k"}
    more = {"reasoning_tokens": "u.r", "usd": "cents", "tag.team": "k"}
    assert imported(tmp_path, "csv", lines, columns=columns | more).new == 1
    (found,) = calls(tmp_path)
    assert found.usage == Usage(input_tokens=10, output_tokens=3, reasoning_tokens=1)
    assert (found.facts.tags["team"], found.attempts[0].provider_nanousd) == ("7", 500_000_000)
    assert from_ns(found.facts.at_ns).hour == 8
    assert imported(tmp_path, "csv", rows, columns={"at": "when", "model": "llm"}).new == 1
    with pytest.raises(BadInput, match="no such field"):
        imported(tmp_path, "csv", rows, columns={"tokens": "llm"})


def test_a_column_that_is_named_and_in_no_record_is_an_error_and_not_zero(tmp_path):
    rows = "at,model,prompt\n2026-10-01T08:00:00Z,openai/gpt-4o,1000\n"
    lines = '{"at": 1790841600, "u": {"p": 10}}\n{"at": 1790841601, "u": {"p": 10, "r": null}}\n'
    for data, column in ((rows, "promt"), (lines, "u.prompt"), (lines, "p"), (lines, "u.p.q")):
        with pytest.raises(BadInput, match="no record has the column"):
            imported(tmp_path, "csv", data, columns={"input_tokens": column})
    assert not (tmp_path / "ledger.db").exists() or not calls(tmp_path)
    columns = {"input_tokens": "u.p", "reasoning_tokens": "u.r"}
    assert imported(tmp_path, "csv", lines, columns=columns).usage.prompt_tokens == 20


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("1790121512345", "2026-09-22T23:58:32.345000+00:00"),  # begins like the year 1790
        ("1711012800123", "2024-03-21T09:20:00.123000+00:00"),
        ("20261001081530", "2026-10-01T08:15:30+00:00"),
        ("202610010815", "2026-10-01T08:15:00+00:00"),
        ("20261001", "2026-10-01T00:00:00+00:00"),
        ("1790841600", "2026-10-01T08:00:00+00:00"),
    ],
)
def test_digits_alone_are_an_epoch_or_a_date_by_how_many_they_are(written, at):
    assert from_ns(moment(written, "at")).isoformat() == at


def test_times_that_a_clock_shows_twice_or_never_are_told(tmp_path):
    berlin = ZoneInfo("Europe/Berlin")
    shown = (
        "2026-03-29 02:30",
        "2026-10-25 02:15",
        "2026-10-25 03:00",
        "2026-10-25 01:59:59",
        "2026-10-25T02:15+02:00",
    )
    rows = "at,model\n" + "".join(f"{each},openai/gpt-4o\n" for each in shown)
    assert [each.count for each in imported(tmp_path, "csv", rows).findings if each.kind == "ambiguous_time"] == []
    found = imported(tmp_path / "there", "csv", rows, zone=berlin).findings
    assert [each.count for each in found if each.kind == "ambiguous_time"] == [2]


@pytest.mark.parametrize("size", [91, 123])
def test_protobuf_whose_first_length_looks_like_json(tmp_path, size):
    export = ExportTraceServiceRequest()
    export.resource_spans.add().scope_spans.add().spans.add(name="x" * (size - 6))
    span = export.resource_spans.add().scope_spans.add().spans.add(span_id=b"12345678")
    span.start_time_unix_nano = span.end_time_unix_nano = AT
    span.attributes.add(key="gen_ai.request.model").value.string_value = "gpt-4o"
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 5
    data = export.SerializeToString()
    assert data[1:2] in (b"[", b"{")
    assert imported(tmp_path, "otel", data).usage.prompt_tokens == 5
