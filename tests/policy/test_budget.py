"""Budgets as values: what they count, when they begin anew, and that the worst case is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.samples import FAILED, attempt

from baseload.catalog.entries import Offer, Precedence, PriceRow, Processing, Rates, Source, Tier, Variant
from baseload.clock import from_ns, to_ns
from baseload.cost.tokens import price
from baseload.errors import BadConfig
from baseload.load.facts import Bucket, Facts, Operation
from baseload.policy.budget import (
    EACH,
    MOST_CONTEXT_TOKENS,
    MOST_OF_ONE,
    MOST_OUTPUT_TOKENS,
    MOST_VALUE_BYTES,
    Budget,
    Dearest,
    Demand,
    Per,
    Standing,
    actual,
    bounds,
    check_budgets,
    dearest,
    most,
    refusal,
    ways,
    window,
    worst,
)
from baseload.policy.demand import demand_of
from baseload.policy.policy import Route
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.usage import Usage
from baseload.wire import completions, openai, responses

NOON = datetime(2026, 11, 21, 12, 30, 15, tzinfo=UTC)
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def budget(**fields: object) -> Budget:
    return Budget(**({"name": "acme", "per": Per.DAY, "usd": Decimal(10)} | fields))


def route(**fields: object) -> Route:
    values = {"name": "api", "upstream": "acme", "model": "large", "offer": "acme/large"}
    return Route(**(values | {"success": {Bucket.JUDGMENT: 0.9}} | fields))


def offer(*tiers: Tier, **rates: Decimal) -> Offer:
    values = {"input": Decimal(1), "output": Decimal(5)} | rates
    source = Source("test", Precedence.YOURS, date(2026, 1, 1), "this file")
    return Offer("acme", "large", source, (PriceRow(Rates(**values), tiers=tiers),))


@pytest.mark.parametrize(
    ("match", "facts", "found", "counts"),
    [
        ({}, {}, {}, True),
        ({"team": "web"}, {"tags": {"team": "web"}}, {}, True),
        ({"team": "web"}, {"tags": {"team": "shop"}}, {}, False),
        ({"team": "web"}, {}, {}, False),
        ({"team": "web", "customer": "acme"}, {"tags": {"team": "web"}}, {}, False),
        ({"team": "w*"}, {"tags": {"team": "web"}}, {}, True),
        ({"bucket": "judgment"}, {}, {}, True),
        ({"bucket": "flagship"}, {}, {}, False),
        ({"model": "large"}, {}, {}, True),
        ({"model": "big"}, {}, {"names": ("big",)}, True),
        ({"model": "small"}, {"tags": {"model": "small"}}, {}, False),
        ({"upstream": "acme", "team": "web"}, {"tags": {"team": "web"}}, {}, True),
        ({"upstream": "other"}, {}, {}, False),
        ({"route": "a*"}, {}, {}, True),
    ],
)
def test_what_a_budget_counts(match, facts, found, counts):
    values = {"at_ns": 0, "model": "auto", "bucket": Bucket.JUDGMENT, "input_tokens": 1}
    one = budget(match=match)
    assert (one.counts(Facts(**(values | facts))) and one.counts_on(route(**found))) is counts


@pytest.mark.parametrize(
    ("per", "zone", "at", "start", "end"),
    [
        (Per.MINUTE, UTC, NOON, utc(2026, 11, 21, 12, 30), timedelta(minutes=1)),
        (Per.HOUR, UTC, NOON, utc(2026, 11, 21, 12), timedelta(hours=1)),
        (Per.DAY, UTC, NOON, utc(2026, 11, 21), DAY),
        (Per.DAY, BERLIN, utc(2026, 11, 21, 23, 30), utc(2026, 11, 21, 23), DAY),
        (Per.DAY, BERLIN, utc(2026, 3, 29, 9), utc(2026, 3, 28, 23), timedelta(hours=23)),
        (Per.DAY, BERLIN, utc(2026, 10, 25, 9), utc(2026, 10, 24, 22), timedelta(hours=25)),
        (Per.MONTH, UTC, NOON, utc(2026, 11, 1), timedelta(days=30)),
        (Per.MONTH, UTC, utc(2026, 12, 31), utc(2026, 12, 1), timedelta(days=31)),
    ],
)  # fmt: skip
def test_when_a_budget_begins_anew(per, zone, at, start, end):
    found = window(budget(per=per), to_ns(at), zone)
    assert (from_ns(found.start_ns), from_ns(found.end_ns)) == (start, start + end)


@given(
    st.sampled_from(Per),
    st.integers(86_400, 6_900_000_000),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"]),
)
def test_windows_follow_each_other_without_a_gap(per, at, name):
    zone, at_ns, one = ZoneInfo(name), at * NANOSECONDS_PER_SECOND, budget(per=per)
    found = window(one, at_ns, zone)
    assert found.start_ns <= at_ns < found.end_ns
    assert window(one, found.start_ns, zone) == found == window(one, found.end_ns - 1_000, zone)
    if per is not Per.TOTAL:
        assert window(one, found.end_ns, zone).start_ns == found.end_ns


RATE = st.integers(0, 10**9).map(lambda micro: Decimal(micro).scaleb(-6))
COUNT = st.integers(0, 300_000)


def worst_of(one: Budget, demand: Demand, by: Route, prices: Dearest | None) -> int | None:
    return worst(one, most(demand, by, Operation.CHAT, prices), by)


@given(st.data())
def test_no_attempt_within_its_bounds_costs_more_than_the_worst(data):
    def rates() -> Rates:
        some = {
            name: data.draw(st.none() | RATE) for name in ("cache_read", "cache_write", "cache_write_1h", "reasoning")
        }
        return Rates(input=data.draw(RATE), output=data.draw(RATE), per_request=data.draw(RATE), **some)

    def row() -> PriceRow:
        steps = [Tier(data.draw(COUNT), rates()) for _ in range(data.draw(st.integers(0, 2)))]
        return PriceRow(rates(), tiers=tuple(steps))

    source = Source("test", Precedence.YOURS, date(2026, 1, 1), "this file")
    priced = data.draw(st.sets(st.sampled_from(["flex", "priority", "fast", "batch"])))
    variants = tuple(Variant(Processing(way), (row(),)) for way in sorted(priced))
    one = Offer("acme", "large", source, (row(),), variants=variants)
    asked = data.draw(st.sampled_from(["", "auto", "default", "flex", "priority", "fast"]))
    served = data.draw(st.sampled_from([way for way in ways(asked) if one.row(NOON, way) is not None]))
    usage = Usage(**{name: data.draw(st.integers(0, 100_000)) for name in Usage.__struct_fields__})
    answers = data.draw(st.integers(1, 5))
    cap = -(-usage.completion_tokens // answers) + data.draw(st.integers(0, 10))
    demand = Demand(usage.prompt_tokens + data.draw(st.integers(0, 10)), answers=answers, cap=cap)
    bound = worst_of(budget(), demand, route(), dearest(one, (NOON,), asked))
    if bound is None:
        assert asked not in ("", "auto", "default", *priced), "only a way without a price has no bound"
    else:
        assert price(usage, one, NOON, served).nanousd <= bound


@pytest.mark.parametrize(
    ("fields", "demand", "found", "bound"),
    [
        ({}, Demand(1_000, cap=200), {}, 1_000 * 1_000 + 200 * 5_000 + 8),
        ({}, Demand(1_000, cap=200, answers=3), {}, 1_000 * 1_000 + 600 * 5_000 + 8),
        ({"usd": None, "tokens": 5}, Demand(1_000, cap=200, answers=3), {}, 1_600),
        ({"usd": None, "requests": 5}, Demand(1_000, cap=200), {}, 1),
        ({"own": False}, Demand(1_000, cap=200), {"own": True}, 0),
        ({"usd": None, "tokens": 5}, Demand(1_000), {}, 1_000 + MOST_OUTPUT_TOKENS),
        ({"usd": None, "tokens": 5}, Demand(1_000), {"context_tokens": 8_000}, 9_000),
        ({"usd": None, "tokens": 5}, Demand(50_000, cap=1), {"context_tokens": 8_000}, 8_001),
        ({"usd": None, "tokens": 5}, Demand(10, cap=1, beyond=True), {"context_tokens": 8_000}, 8_001),
        ({"usd": None, "tokens": 5}, Demand(10, cap=1, beyond=True), {}, MOST_CONTEXT_TOKENS + 1),
        ({"usd": None, "tokens": 5}, Demand(10), {"output_tokens": 4_096}, 4_106),
        ({"usd": None, "tokens": 5}, Demand(10, cap=9_999), {"output_tokens": 4_096}, 4_106),
        ({"usd": None, "tokens": 5}, Demand(10, cap=5), {"output_tokens": 4_096}, 15),
        ({"usd": None, "tokens": 5}, Demand(10, images=2, cap=5), {"image_tokens": 300}, 615),
        ({"usd": None, "tokens": 5}, Demand(10, cap=2**53, answers=10**6), {}, MOST_OF_ONE),
    ],
)
def test_the_worst_case(fields, demand, found, bound):
    assert worst_of(budget(**fields), demand, route(**found), dearest(offer(), (NOON,))) == bound


def test_a_model_without_a_price_is_refused_under_a_cap_in_usd_alone():
    demand = Demand(10, cap=1)
    for fields, found in (({}, None), ({"unpriced": "serve"}, 0), ({"usd": None, "tokens": 9}, 11)):
        assert worst_of(budget(**fields), demand, route(), dearest(None, (NOON,))) == found


def test_the_dearest_of_two_moments_counts():
    rows = (
        PriceRow(Rates(Decimal(1), Decimal(1))),
        PriceRow(Rates(Decimal(2), Decimal(3)), valid_from=date(2026, 11, 22)),
    )
    source = Source("test", Precedence.YOURS, date(2026, 1, 1), "this file")
    one = Offer("acme", "large", source, rows)
    found = [dearest(one, at).of(10, 10, 1) for at in ((NOON,), (NOON, NOON + timedelta(days=1)))]
    assert found == [20_008, 50_008]


def test_a_tier_that_is_asked_for_and_has_no_price_is_none():
    assert dearest(offer(), (NOON,), "priority") is None
    assert dearest(offer(), (NOON,), "something new") is None
    assert dearest(offer(), (NOON,)) == dearest(offer(), (NOON,), "default")
    assert dearest(replace(offer(), provider="own"), (NOON,), "priority") is not None, "hours cost what they cost"


def test_what_a_request_only_names_is_as_long_as_the_book_says_that_a_prompt_can_be():
    known = dearest(replace(offer(), context_tokens=200_000), (NOON,))
    assert worst_of(budget(usd=None, tokens=5), Demand(10, cap=1, beyond=True), route(), known) == 200_001
    assert worst_of(budget(usd=None, tokens=5), Demand(300_000, cap=1), route(), known) == 300_001


def test_embeddings_answer_nothing():
    assert bounds(Demand(77), route(), Operation.EMBEDDINGS) == (77, 0)


@pytest.mark.parametrize(
    ("body", "answers", "cap", "images", "beyond"),
    [
        (b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', 1, None, 0, False),
        (b'{"model":"m","messages":[{}],"n":3,"max_tokens":9}', 3, 9, 0, False),
        (b'{"model":"m","messages":[{}],"n":null}', 1, None, 0, False),
        (b'{"model":"m","messages":[{}],"n":"x"}', 1, None, 0, False),
        (b'{"model":"m","messages":[{}],"n":1e400}', 1, None, 0, False),
        (
            b'{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}',
            1,
            None,
            2,
            False,
        ),
        (b'{"model":"m","messages":[{"content":[{"type":"file","file":{"file_id":"f"}}]}]}', 1, None, 0, True),
        (
            b'{"model":"m","messages":[{"content":[{"type":"im\\u0061ge_url","im\\u0061ge_url":{"url":"h"}}]}]}',
            1,
            None,
            2,
            False,
        ),
        (b'{"model":"m","messages":[{"content":[{"image_url":{"url":"h"}}]}]}', 1, None, 1, False),
        (b'{"model":"m","messages":[{"content":[{"type":"text","text":"a \\"file_id\\""}]}]}', 1, None, 0, False),
        (b'{"model":"m","messages":[{"content":"\\u00e9"}]}', 1, None, 0, False),
        (b'{"model":"m","messages":[{}],"web_search_options":{}}', 1, None, 0, True),
        (b'{"model":"m","messages":[{}],"tools":[{"type":"function","function":{"name":"f"}}]}', 1, None, 0, False),
    ],
)
def test_what_bounds_a_chat(body, answers, cap, images, beyond):
    found = demand_of(openai.read(body))
    assert found == Demand(len(body), images, answers, cap, beyond)


@pytest.mark.parametrize(
    ("field", "tier"),
    [("", ""), (',"service_tier":"flex"', "flex"), (',"speed":"fast"', "fast"), (',"service_tier":null', "")],
)
def test_how_a_request_asks_to_be_processed(field, tier):
    body = f'{{"model":"m","messages":[{{}}]{field}}}'.encode()
    assert demand_of(openai.read(body)).tier == tier


def test_a_prompt_that_the_provider_keeps_has_any_length():
    body = b'{"model":"m","prompt":{"id":"pmpt_1"},"input":"hi"}'
    assert demand_of(responses.read(body)).beyond


def test_an_attempt_without_a_price_counts_as_its_worst_case():
    attempts = (attempt(1, route="api", cost=None), attempt(2, route="pool", cost=None), attempt(3, route="api"))
    worst_cases = {"api": 700, "pool": 90}
    assert actual(budget(), attempts, frozenset(), worst_cases) == 700 + 90 + 1_000
    assert actual(budget(unpriced="serve"), attempts, frozenset(), worst_cases) == 1_000


def test_each_value_has_an_account_whatever_it_is():
    one = budget(each="customer")
    values = ["acme", "", "a\nb", "a\0b", "x" * 512, "x" * 513, "\U0001f600" * 512, "\udcff"]
    found = [one.account_of(value) for value in (*values, None)]
    assert len(set(found)) == len(found)
    assert {name.split(EACH, 1)[0] for name in found} == {one.account}
    assert max(len(name.encode()) for name in found) <= 200 + 16 + 1 + MOST_VALUE_BYTES
    assert one.counts(Facts(at_ns=0, model="m", bucket=Bucket.JUDGMENT, input_tokens=1, tags={"customer": "x"}))
    assert not one.counts(Facts(at_ns=0, model="m", bucket=Bucket.JUDGMENT, input_tokens=1, tags={"team": "x"}))


@pytest.mark.parametrize(
    ("prompt", "answers"), [('"a"', 4), ('["a","b"]', 8), ("[1,2,3]", 4), ("[[1],[2],[3]]", 12), ("[]", 4)]
)
def test_each_prompt_is_answered(prompt, answers):
    body = f'{{"model":"m","prompt":{prompt},"n":2,"best_of":4}}'.encode()
    assert demand_of(completions.read(body)).answers == answers


def test_what_a_call_adds():
    attempts = (FAILED, attempt(2), attempt(3, route="pool", cost=500))
    own = frozenset({"pool"})
    tokens, requests = budget(usd=None, tokens=1), budget(usd=None, requests=1)
    assert [actual(each, attempts, own) for each in (budget(), budget(own=False), tokens, requests)] == [
        1_500,
        1_000,
        240,
        1,
    ]
    assert [actual(each, (), own) for each in (budget(), tokens, requests)] == [0, 0, 0]


def test_the_refusal_says_what_to_do():
    span = window(budget(), to_ns(NOON), UTC)
    spent = refusal(budget(), Standing(10**10, 9_800_000_000, 0), 310_000_000, span, UTC)
    assert spent == (
        "acme has spent $9.80 of $10.00 today and this call could cost $0.31. Raise the budget acme, send a lower cap "
        "on the answer (max_tokens) or wait for 00:00 UTC."
    )
    held = refusal(budget(), Standing(10**10, 0, 10**10), 310_000_000, span, UTC)
    assert "calls under way may spend $10.00 more and this call" in held
    rate = budget(usd=None, requests=100, per=Per.MINUTE)
    assert refusal(rate, Standing(100, 100, 0), 1, window(rate, to_ns(NOON), UTC), UTC) == (
        "acme has spent 100 requests of 100 requests this minute and this call could take 1 request. Raise the budget "
        "acme or wait for 12:31 UTC."
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"usd": 1, "tokens": 1},
        {"usd": -1},
        {"usd": "NaN"},
        {"tokens": -1},
        {"per": "week"},
        {"usd": 1, "each": "model"},
        {"usd": 1, "each": "customer", "values": 0},
    ],
)
def test_what_is_no_budget(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "x", "per": "day"} | wrong, Budget, strict=False)


def test_a_name_stands_once():
    with pytest.raises(BadConfig):
        check_budgets((budget(), budget()))
