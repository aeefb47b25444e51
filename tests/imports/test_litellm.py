"""LiteLLM's spend logs: what is read, what is odd, what is refused, and that a second time adds nothing."""

import json
import re
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from baseload.clock import from_ns
from baseload.cost.tokens import price
from baseload.errors import BadInput
from baseload.load.calls import Evidence, Status
from baseload.load.facts import Operation
from baseload.usage import Usage
from importing import calls, catalog, imported

HEADER = (
    "request_id,call_type,api_key,spend,total_tokens,prompt_tokens,completion_tokens,startTime,endTime,"
    "completionStartTime,model,model_group,custom_llm_provider,user,metadata,cache_hit,request_tags,team_id,end_user,status"
)
USED = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 50},
}


def row(id: str = "r1", **changed: object) -> dict[str, object]:
    plain = {
        "request_id": id,
        "call_type": "acompletion",
        "api_key": "a" * 64,
        "spend": 0.0005,
        "total_tokens": 1200,
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "startTime": "2026-10-01 08:00:00.000",
        "endTime": "2026-10-01 08:00:02.500",
        "completionStartTime": "2026-10-01 08:00:00.400",
        "model": "gpt-4o-2024-08-06",
        "model_group": "big",
        "custom_llm_provider": "openai",
        "user": "u1",
        "metadata": {"usage_object": USED},
        "cache_hit": "False",
        "request_tags": ["production", "feature:search"],
        "team_id": "team-1",
        "end_user": "acme",
        "status": "success",
    }
    return plain | changed


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(each) + "\n" for each in rows)


def test_a_row_becomes_a_call_priced_by_the_books_with_what_the_log_says_beside_it(tmp_path):
    report = imported(tmp_path, "litellm", lines(row()))
    (call,) = calls(tmp_path)
    (attempt,) = call.attempts
    usage = Usage(input_tokens=400, cache_read_tokens=600, output_tokens=150, reasoning_tokens=50)
    assert attempt.usage == usage
    assert attempt.evidence is Evidence.IMPORTED
    assert attempt.provider_nanousd == 500_000
    assert attempt.cost_nanousd == price(usage, catalog().offer("openai/gpt-4o"), from_ns(call.facts.at_ns)).nanousd
    assert (attempt.offer, attempt.model, attempt.upstream) == ("openai/gpt-4o", "gpt-4o-2024-08-06", "openai")
    assert from_ns(call.facts.at_ns).isoformat() == "2026-10-01T08:00:00+00:00"
    assert (call.ended_ns - call.facts.at_ns, attempt.first_byte_ns - attempt.started_ns) == (
        2_500_000_000,
        400_000_000,
    )
    assert call.facts.stream
    assert call.facts.model == "big"
    assert call.facts.tags == {
        "team": "team-1",
        "customer": "acme",
        "user": "u1",
        "key": "a" * 12,
        "production": "true",
        "feature": "search",
        "run": "import-litellm",
    }
    assert (report.new, report.log_usd, report.usage) == (1, Decimal("0.0005"), usage)


def test_csv_and_json_lines_and_lists_say_the_same(tmp_path):
    one = row()
    cells = [each if isinstance(each, str) else json.dumps(each) for each in (one[name] for name in HEADER.split(","))]
    table = HEADER + "\n" + ",".join('"' + each.replace('"', '""') + '"' for each in cells) + "\n"
    shapes = (lines(one), json.dumps([one], indent=2), json.dumps({"data": [one], "page": 1}, indent=1), table)
    for shape in (*shapes, "\ufeff" + table.replace("\n", "\r\n")):
        report = imported(tmp_path, "litellm", shape)
        assert (report.calls, report.rejected) == (1, 0), shape
    assert len(calls(tmp_path)) == 1


def test_the_second_time_adds_nothing_even_in_another_zone(tmp_path):
    text = lines(*(row(f"r{place}") for place in range(5000)))
    assert imported(tmp_path, "litellm", text, dry_run=True).new == 5000
    assert not list(tmp_path.iterdir())
    assert imported(tmp_path, "litellm", text).new == 5000
    again = imported(tmp_path, "litellm", text)
    assert (again.new, again.known, again.findings) == (
        0,
        5000,
        imported(tmp_path, "litellm", text, dry_run=True).findings,
    )
    assert imported(tmp_path, "litellm", text, zone=ZoneInfo("Europe/Berlin")).new == 0
    assert len(calls(tmp_path)) == 5000


def test_a_zone_moves_naive_times(tmp_path):
    imported(tmp_path, "litellm", lines(row()), zone=ZoneInfo("Europe/Berlin"))
    assert from_ns(calls(tmp_path)[0].facts.at_ns).isoformat() == "2026-10-01T06:00:00+00:00"


def test_findings_name_zero_spend_unpriced_duplicates_gaps_and_the_cache(tmp_path):
    report = imported(
        tmp_path,
        "litellm",
        lines(
            row("zero", spend=0),
            row("twice"),
            row("twice"),
            row("mine", model="my-finetune", custom_llm_provider="hosted_vllm"),
            row("hit", cache_hit="True", spend=0),
            row("late", startTime="2026-10-09 08:00:00", endTime="2026-10-09 08:00:01", completionStartTime=None),
        ),
    )
    found = {each.kind: each for each in report.findings}
    assert {kind: each.count for kind, each in found.items()} == {
        "zero_spend": 1,
        "price_differs": 4,
        "unpriced": 1,
        "duplicates": 1,
        "cache": 1,
        "gap": 1,
    }
    assert found["zero_spend"].log_usd == 0
    assert found["zero_spend"].book_usd > 0
    assert "hosted_vllm/my-finetune" in found["unpriced"].says
    assert (report.new, report.known) == (5, 1)
    by_id = {call.facts.request_id: call.attempts[0] for call in calls(tmp_path)}
    assert (by_id["hit"].evidence, by_id["hit"].usage) == (Evidence.NONE, Usage())
    assert by_id["mine"].cost_nanousd is None


def test_a_difference_of_price_is_told_in_as_many_digits_as_it_takes(tmp_path):
    same = row("same")
    report = imported(tmp_path, "litellm", lines(same))
    book = report.book_usd
    assert book < Decimal("0.01")
    off = row("off", spend=float(book + Decimal("0.0001")))
    even = row("even", spend=float(book))
    report = imported(tmp_path / "both", "litellm", lines(even, off))
    (found,) = report.findings
    assert (found.kind, found.count) == ("price_differs", 1)
    log, books = (Decimal(each) for each in re.findall(r"0\.\d+", found.says))
    assert log > books


def test_failures_operations_and_what_is_no_request(tmp_path):
    report = imported(
        tmp_path,
        "litellm",
        lines(
            row("f", status="failure", prompt_tokens=0, completion_tokens=0, metadata={}, spend=0),
            row("e", call_type="aembedding", model="text-embedding-3-small"),
            row("i", call_type="aimage_generation"),
        ),
    )
    kept = {call.facts.request_id: call for call in calls(tmp_path)}
    assert kept["f"].status is Status.FAILED
    assert kept["f"].attempts[0].evidence is Evidence.NONE
    assert kept["e"].facts.operation is Operation.EMBEDDINGS
    assert report.skipped == {"aimage_generation is no request for text": 1}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"prompt_tokens": -5}, "prompt_tokens"),
        ({"prompt_tokens": 10**30}, "prompt_tokens"),
        ({"prompt_tokens": True}, "prompt_tokens"),
        ({"spend": "NaN"}, "spend"),
        ({"spend": "Infinity"}, "spend"),
        ({"spend": "1e400"}, "spend"),
        ({"spend": -1}, "spend"),
        ({"spend": "9" * 100_000}, "spend"),
        ({"startTime": "yesterday"}, "startTime"),
        ({"startTime": "0001-01-01"}, "startTime"),
        ({"startTime": None}, "startTime"),
        ({"endTime": "2026-09-01 00:00:00"}, "endTime"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "x\x1b[2Jy"}, "request_id"),
        ({"model": "m" * 5000}, "model"),
        ({"model": {"a": 1}}, "model"),
        ({"metadata": "{{{"}, "metadata"),
        ({"metadata": {"usage_object": {"prompt_tokens_details": {"cached_tokens": -9}}}}, "cached_tokens"),
    ],
)
def test_a_hostile_row_is_rejected_by_its_line_and_stops_no_other(tmp_path, changed, says):
    report = imported(tmp_path, "litellm", lines(row("a"), row("b", **changed), row("c")))
    assert (report.new, report.rejected) == (2, 1)
    (rejected,) = report.rejected_lines
    assert rejected.line == 2
    assert says in rejected.reason
    assert rejected.reason.isprintable()
    assert len(rejected.reason) < 250


def test_another_file_is_refused_by_name_of_what_it_lacks(tmp_path):
    with pytest.raises(BadInput, match="request_id"):
        imported(tmp_path, "litellm", "a,b\n1,2\n")
