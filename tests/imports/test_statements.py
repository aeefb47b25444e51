"""Providers' reports become statements, never calls: exact, signed, restated without being rewritten."""

import json
from decimal import Decimal

import pytest

from baseload.clock import from_ns
from baseload.imports.focus import COUNTS, tokens_in
from baseload.ledger.statements import FILE, Statements
from baseload.load.statements import Kind
from baseload.usage import Usage
from importing import imported, statements

DAY = 86_400
START = 1_790_812_800  # 2026-10-01


def openai_usage(day: int = 0, **changed: object) -> dict[str, object]:
    line = {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "output_tokens": 500,
        "input_cached_tokens": 800,
        "num_model_requests": 5,
        "project_id": "proj_1",
        "user_id": None,
        "api_key_id": "key_abc",
        "model": "gpt-4o-2024-08-06",
        "batch": False,
        "service_tier": "default",
    }
    at = START + day * DAY
    return {"object": "bucket", "start_time": at, "end_time": at + DAY, "results": [line | changed]}


def page(*buckets: object, indent: int | None = 2) -> str:
    return json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None}, indent=indent)


def test_openai_usage_of_the_api(tmp_path):
    report = imported(tmp_path, "openai", page(openai_usage(), openai_usage(1, batch=True)) + "\n" + page())
    assert (report.calls, report.statements, report.new) == (0, 2, 2)
    first, second = statements(tmp_path)
    assert first.usage == Usage(input_tokens=200, cache_read_tokens=800, output_tokens=500)
    assert (first.kind, first.requests, first.model, first.project) == (Kind.USAGE, 5, "gpt-4o-2024-08-06", "proj_1")
    assert (first.processing, second.processing) == ("", "batch")
    assert first.key not in ("", "key_abc")
    assert from_ns(first.start_ns).isoformat() == "2026-10-01T00:00:00+00:00"
    assert not (tmp_path / "ledger.db").exists()


def test_openai_usage_of_the_dashboard_with_blank_days(tmp_path):
    table = (
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
        "service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens\n"
        "1790812800,1790899200,2026-10-01T00:00:00+00:00,2026-10-02T00:00:00+00:00,proj_1,3,,,gpt-5-mini,False,default,"
        "100,20,40,60\n"
        "1790899200,1790985600,2026-10-02T00:00:00+00:00,2026-10-03T00:00:00+00:00,,,,,,,,,,,\n"
    )
    report = imported(tmp_path, "openai", table)
    assert (report.statements, report.rejected, report.skipped) == (1, 0, {"a bucket without a line": 1})
    assert statements(tmp_path)[0].usage == Usage(input_tokens=60, cache_read_tokens=40, output_tokens=20)


@pytest.mark.parametrize("value", [0.1, "0.1000000000000000055511151231257827", "-12.5", 1e-9, "0"])
def test_openai_costs_keep_every_digit_and_both_signs(tmp_path, value):
    text = json.dumps(value)
    line = f'{{"object":"x","amount":{{"value":{text},"currency":"usd"}},"line_item":"gpt-4o, input"}}'
    bucket = f'{{"object":"bucket","start_time":{START},"end_time":{START + DAY},"results":[{line}]}}'
    report = imported(tmp_path, "openai", f'{{"object":"page","data":[{bucket}]}}')
    (found,) = statements(tmp_path)
    assert found.usd == Decimal(str(value))
    assert (found.kind, found.model, found.item) == (Kind.COST, "gpt-4o", "gpt-4o, input")
    assert report.log_usd == Decimal(str(value))


def test_openai_costs_of_the_dashboard(tmp_path):
    table = (
        "start_time,end_time,amount_value,amount_currency,line_item,project_id,organization_id\n"
        '1790812800,1790899200,1.25,usd,"gpt-4o, output",proj_1,org\n'
        "1790812800,1790899200,2,eur,other,proj_1,org\n"
    )
    report = imported(tmp_path, "openai", table)
    assert [each.usd for each in statements(tmp_path)] == [Decimal("1.25")]
    assert "eur" in report.rejected_lines[0].reason


@pytest.mark.parametrize("usd", ["0.25", "1.75"])
def test_openai_costs_by_key_are_lines_of_their_own(tmp_path, usd):
    """Grouped by key, one day says the same item once for each key, with whatever figures."""
    lines = [
        {"amount": {"value": each, "currency": "usd"}, "line_item": "gpt-4o, input", "api_key_id": key}
        for key, each in (("key_a", 0.25), ("key_b", float(usd)))
    ]
    report = imported(tmp_path, "openai", page({"start_time": START, "end_time": START + DAY, "results": lines}))
    assert sum(each.usd or 0 for each in statements(tmp_path)) == Decimal("0.25") + Decimal(usd)
    assert (report.new, report.findings) == (2, ())


def test_anthropic_lines_are_told_apart_by_every_group_of_the_report(tmp_path):
    """By place of inference, by speed, and by who asked: none of them replaces another."""
    span = {"starting_at": "2026-10-01T00:00:00Z", "ending_at": "2026-10-02T00:00:00Z"}
    cost = {"amount": "100", "currency": "USD", "description": "Claude, input", "model": "claude-sonnet-4-5"}
    costs = [cost | {"inference_geo": geo} for geo in ("us", "global")]
    used = {"model": "claude-sonnet-4-5", "uncached_input_tokens": 7}
    groups = ({"inference_geo": "us"}, {"speed": "fast"}, {"account_id": "user_1"}, {"service_account_id": "svac_1"})
    assert imported(tmp_path, "anthropic", page(span | {"results": costs})).new == 2
    assert imported(tmp_path, "anthropic", page(span | {"results": [used | each for each in groups]})).new == 4
    found = statements(tmp_path)
    assert sum(each.usd or 0 for each in found) == 2
    assert sum(each.usage.prompt_tokens for each in found) == 28


def test_anthropic_usage_and_costs(tmp_path):
    used = {
        "uncached_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "cache_read_input_tokens": 30,
        "output_tokens": 40,
        "model": "claude-sonnet-4-5",
        "workspace_id": "wrk",
        "api_key_id": None,
        "service_tier": "batch",
        "context_window": "0-200k",
    }
    cost = {"currency": "USD", "amount": "123.78912", "workspace_id": "wrk", "description": "Claude Sonnet 4.5 - In"}
    span = {"starting_at": "2026-10-01T00:00:00Z", "ending_at": "2026-10-02T00:00:00Z"}
    imported(tmp_path, "anthropic", page(span | {"results": [used]}))
    report = imported(tmp_path, "anthropic", page(span | {"results": [cost, cost | {"amount": "NaN"}]}))
    usage, money = sorted(statements(tmp_path), key=lambda each: each.kind, reverse=True)
    assert usage.usage == Usage(
        input_tokens=100, cache_write_tokens=10, cache_write_1h_tokens=20, cache_read_tokens=30, output_tokens=40
    )
    assert usage.processing == "batch"
    assert money.usd == Decimal("1.2378912")
    assert (report.new, report.rejected) == (1, 1)


def test_openrouter_activity(tmp_path):
    day = {
        "date": "2026-10-01",
        "model": "openai/gpt-4.1",
        "endpoint_id": "e1",
        "provider_name": "OpenAI",
        "usage": 0.015,
        "byok_usage_inference": 0.012,
        "requests": 5,
        "prompt_tokens": 50,
        "completion_tokens": 125,
        "reasoning_tokens": 25,
    }
    report = imported(tmp_path, "openrouter", json.dumps({"data": [day, day | {"date": "9999-12-31"}]}))
    cost, usage = sorted(statements(tmp_path), key=lambda each: each.kind)
    assert cost.usd == Decimal("0.015")
    assert usage.usage == Usage(input_tokens=50, output_tokens=100, reasoning_tokens=25)
    assert report.rejected == 1


def test_focus(tmp_path):
    header = (
        "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ChargeDescription,ProviderName,"
        "ServiceCategory,ServiceName,ConsumedQuantity,ConsumedUnit"
    )
    span = "2026-10-01T00:00:00Z,2026-10-02T00:00:00Z"
    table = (
        f"{header}\n"
        f"1.5,USD,{span},Usage,gpt-4o output tokens,OpenAI,AI and Machine Learning,gpt-4o,100,1K Tokens\n"
        f"-0.5,USD,{span},Credit,promised,OpenAI,AI and Machine Learning,gpt-4o,,\n"
        f"9,USD,{span},Usage,disk,AWS,Storage,S3,1,GB\n"
        f"9,EUR,{span},Usage,x,OpenAI,AI and Machine Learning,gpt-4o,,\n"
    )
    report = imported(tmp_path, "focus", table)
    assert [each.usd for each in statements(tmp_path)] == [Decimal("1.5"), Decimal("-0.5")]
    assert statements(tmp_path)[0].usage == Usage(output_tokens=100_000)
    assert (report.rejected, report.skipped) == (1, {"Storage is another service": 1})


FOCUS_UNITS = {
    "Tokens": 1,
    "token": 1,
    "1000 Tokens": 1_000,
    "1,000 tokens": 1_000,
    "1K Tokens": 1_000,
    "1000000 Tokens": 1_000_000,
    "1M Tokens": 1_000_000,
    "1 Million tokens": 1_000_000,
    "Million Tokens": 1_000_000,
    "Tokens in Millions": 1_000_000,
    "1M Input Tokens": 1_000_000,
    "0 Tokens": None,
    "Requests": None,
    "1000 Requests": None,
    "Request-Tokens": None,
    "Tokens/Hour": None,
    "GB-Hours": None,
    "": None,
}


@pytest.mark.parametrize("unit", FOCUS_UNITS)
def test_units_of_focus(unit):
    assert tokens_in(unit) == FOCUS_UNITS[unit]


FOCUS_KINDS = {
    "Cache Read Input Tokens": "cache_read_tokens",
    "Cache Write Input Tokens": "cache_write_tokens",
    "cache creation tokens": "cache_write_tokens",
    "Input Tokens": "input_tokens",
    "Uncached input": "input_tokens",
    "input (cache miss)": "input_tokens",
    "input (cache hit)": "cache_read_tokens",
    "Output Tokens": "output_tokens",
    "phi-4-reasoning input tokens": "input_tokens",
}


@pytest.mark.parametrize("meter", FOCUS_KINDS)
def test_kinds_of_focus(tmp_path, meter):
    row = focus_row(SkuMeter=meter, ConsumedQuantity="1.5", ConsumedUnit="1000000 Tokens")
    assert imported(tmp_path, "focus", json.dumps(row)).usage == Usage(**{FOCUS_KINDS[meter]: 1_500_000})


def focus_row(**fields: object) -> dict[str, object]:
    return {
        "BilledCost": "1.5",
        "BillingCurrency": "USD",
        "ChargePeriodStart": "2026-10-01T00:00:00Z",
        "ChargePeriodEnd": "2026-10-02T00:00:00Z",
        "ProviderName": "OpenAI",
    } | fields


def test_rows_of_focus_that_differ_by_their_tags_are_two(tmp_path):
    one, other = ({"team": "a", "app": "x"}, {"app": "x", "team": "b"})
    rows = [focus_row(Tags=json.dumps(one)), focus_row(Tags=other), focus_row(Tags=dict(reversed(one.items())))]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert imported(tmp_path, "focus", text).new == 2
    assert [each.usd for each in statements(tmp_path)] == [Decimal("1.5")] * 2


def test_our_own_columns_of_focus_are_read_where_they_add_up(tmp_path):
    counts = dict.fromkeys(COUNTS, 0) | {"x_OutputTokens": 2, "x_CacheWriteHourTokens": 3}
    row = focus_row(ConsumedQuantity="5", ConsumedUnit="Tokens", SkuMeter="Input Tokens", **counts)
    assert imported(tmp_path, "focus", json.dumps(row)).usage == Usage(output_tokens=2, cache_write_1h_tokens=3)
    row = row | {"ConsumedQuantity": "6"}
    assert imported(tmp_path, "focus", json.dumps(row)).usage == Usage(input_tokens=6)


def test_the_second_time_adds_nothing_and_other_figures_replace_what_is_read(tmp_path):
    text = page(openai_usage(), openai_usage(1))
    assert imported(tmp_path, "openai", text, dry_run=True).new == 2
    assert not (tmp_path / FILE).exists()
    assert imported(tmp_path, "openai", text).new == 2
    assert imported(tmp_path, "openai", text).new == 0
    grown = page(openai_usage(), openai_usage(1, input_tokens=9000))
    assert imported(tmp_path, "openai", grown, dry_run=True).new == 1
    report = imported(tmp_path, "openai", grown)
    assert (report.new, [each.kind for each in report.findings]) == (1, ["changed"])
    assert [each.usage.prompt_tokens for each in statements(tmp_path)] == [1000, 9000]
    with Statements(tmp_path) as held:
        (rows,) = held._open().execute("select count(*) from statements").fetchone()
    assert rows == 3


def test_overlapping_buckets_and_days_left_out_are_findings(tmp_path):
    hourly = openai_usage() | {"end_time": START + 3600}
    report = imported(tmp_path, "openai", page(openai_usage(), hourly, openai_usage(5)))
    found = {each.kind: each for each in report.findings}
    assert found.keys() == {"overlap", "gap"}
    assert "2026-10-02 00:00 to 2026-10-06 00:00" in found["gap"].says


def test_one_broken_line_of_a_bucket_stops_no_other(tmp_path):
    bucket = openai_usage()
    bucket["results"] = [*bucket["results"], bucket["results"][0] | {"model": "b", "input_tokens": -1}]
    report = imported(tmp_path, "openai", page(bucket, openai_usage(1)))
    assert (report.new, report.rejected) == (2, 1)


def test_figures_that_were_right_before_are_right_again(tmp_path):
    """Who imports an old report by mistake puts it right with the new one; and what stands is told the same dry."""
    new, old = page(openai_usage(input_tokens=9_000)), page(openai_usage(input_tokens=5_000))
    for text, added in ((new, 1), (old, 1), (new, 1), (new, 0), (old, 1), (old, 0), (new, 1)):
        assert imported(tmp_path, "openai", text, dry_run=True).new == added
        assert imported(tmp_path, "openai", text).new == added
    (found,) = statements(tmp_path)
    assert found.usage.prompt_tokens == 9_000


def test_a_file_with_two_reports_says_the_later_and_adds_nothing_again(tmp_path):
    both = page(openai_usage(input_tokens=5_000)) + "\n" + page(openai_usage(input_tokens=9_000))
    assert [imported(tmp_path, "openai", both).new for _ in range(3)] == [2, 0, 0]
    assert [each.usage.prompt_tokens for each in statements(tmp_path)] == [9_000]
