"""Decisions on metered calls, small enough to be checked by hand, and against trying every number of machines."""

import dataclasses
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.audit.reprice import reprice
from baseload.capacity.curve import Curve, Point
from baseload.capacity.deployment import Deployment, Saturated
from baseload.catalog.books import Catalog
from baseload.catalog.entries import (
    Lease,
    LeaseKind,
    Offer,
    Precedence,
    PriceRow,
    Processing,
    Rates,
    Source,
    Tier,
    Variant,
    Window,
)
from baseload.clock import to_ns
from baseload.cost.parameters import Assumptions
from baseload.cost.schedule import schedule
from baseload.documents import load_parameters
from baseload.errors import BadConfig, BadInput, NotEnoughData
from baseload.load.calls import Attempt, Call, Decision, Evidence, Status
from baseload.load.facts import Bucket, Facts
from baseload.plan.measured import decide_on_calls, metered_question
from baseload.plan.profile import profile
from baseload.plan.supplies import Api, Supplies
from baseload.policy.policy import Policy, Route
from baseload.ranges import Range
from baseload.usage import Usage

START = to_ns(datetime(2026, 11, 19, 18, tzinfo=UTC))
MINUTE = 60 * 10**9
MONTH = Decimal(43_800)  # minutes in 730 hours
SOURCE = Source("book", Precedence.MARKET, date(2026, 11, 9), "a test", "MIT")


class Upstream(NamedTuple):
    name: str
    deployment: str
    usd_per_gpu_hour: Decimal | None


class Configured(NamedTuple):
    policy: Policy
    upstreams: list[Upstream]


# Two GPUs that write 100 tokens a second at 16 in flight, 80 at 8.
CURVE = Curve.through(Point(8, 80), Point(16, 100))
DEPLOYMENTS = {
    "pool-2x": Deployment(
        "pool-2x", "small", "gpu-x2", "gpu", 2, "engine", "bf16", CURVE, 16, 100, 100,
        Saturated(Decimal(1_000), Decimal(100)), date(2026, 11, 1), SOURCE,
    )
}  # fmt: skip


def offer(key, read, written, *later: PriceRow):
    provider, _, model = key.partition("/")
    return Offer(provider, model, SOURCE, (PriceRow(Rates(Decimal(read), Decimal(written))), *later))


CATALOG = Catalog(
    (offer("acme/large", 10, 40), offer("acme/medium", 2, 10), offer("acme/tiny", 1, 4)),
    leases=(Lease("gpu", LeaseKind.RENTED, SOURCE, usd_per_gpu_hour=Range.between(1, 3)),),
)


def route(name, offered, buckets, **more: object):
    return Route(name=name, upstream=name, model=name, offer=offered, success=dict.fromkeys(buckets, 0.9), **more)


LARGE = route("large", "acme/large", Bucket)
MEDIUM = route("medium", "acme/medium", [Bucket.JUDGMENT, Bucket.BANDWIDTH])
TINY = route("tiny", "acme/tiny", [Bucket.BANDWIDTH])
POOL = route("pool", "own/small", [Bucket.JUDGMENT, Bucket.BANDWIDTH], own=True, slots=16)


def configured(*routes: Route, hourly="2.40", deployment="pool-2x"):
    price = Decimal(hourly) if hourly else None
    upstreams = [Upstream(each.name, deployment if each.own else "", price if each.own else None) for each in routes]
    return Configured(Policy(routes=routes), upstreams)


def call(number, minute, bucket, read, written, *, status=Status.OK, cost=1_000):
    at = START + minute * MINUTE + number
    attempt = Attempt(
        number=1, route="r", upstream="u", model="m", offer="o/m", started_ns=at, ended_ns=at + 1,
        usage=Usage(input_tokens=read, output_tokens=written), cost_nanousd=cost, status=status,
        evidence=Evidence.REPORTED,
    )  # fmt: skip
    facts = Facts(at_ns=at, model="auto", bucket=bucket, input_tokens=read)
    decision = Decision(id="d", policy="p", routes=())
    return Call(id=f"{minute}-{number}", facts=facts, decision=decision, attempts=(attempt,), ended_ns=at + 1)


def minute_of(minute, judgment, flagship=1):
    """`judgment` calls that each keep the pool busy for ten seconds, and flagship calls it may not serve."""
    served = [call(number, minute, Bucket.JUDGMENT, 5_000, 500) for number in range(judgment)]
    return served + [call(1_000 + number, minute, Bucket.FLAGSHIP, 1_000, 1_000) for number in range(flagship)]


# Busy seconds 30, 90, 150, 60, 120, 0: machines needed 0.5, 1.5, 2.5, 1, 2, 0.
LOADS = (3, 9, 15, 6, 12, 0)
CALLS = [each for minute, load in enumerate(LOADS) for each in minute_of(minute, load)]
# A judgment call on acme/medium: 5,000 x 2 + 500 x 10 USD per million; a flagship one on acme/large: 10 + 40.
JUDGMENT, FLAGSHIP = Decimal("0.015"), Decimal("0.05")
LEASE = Decimal("2.40") * 2 * 730


FULL = Assumptions(load_parameters())
TODAY = date(2026, 11, 21)


def decide(*routes: Route, calls=CALLS, catalog=CATALOG, assumed=None, **more: str):
    """By tokens and machines alone unless told otherwise, so that it can be worked out by hand."""
    known = assumed if assumed is not None else FULL.bare()
    return decide_on_calls(calls, catalog, DEPLOYMENTS, configured(*routes, **more), known, TODAY)


def by_kind(document):
    return {option.kind: option for option in reversed(document.options)}


def month(usd):
    return round(usd * MONTH / len(LOADS), 6)


def test_each_bucket_is_bought_where_it_may_be_and_costs_least():
    document = decide(LARGE, MEDIUM, TINY)
    _, cheapest, all_large = document.options
    assert cheapest.usd_per_month.likely == month(sum(LOADS) * JUDGMENT + 6 * FLAGSHIP)
    assert (all_large.name, all_large.kind) == ("all on acme/large", "api")
    assert all_large.usd_per_month.likely == month(sum(LOADS) * Decimal("0.07") + 6 * FLAGSHIP)
    # acme/tiny would be cheaper still, but it serves no bucket that was asked for; acme/medium no flagship call.
    assert not any("tiny" in option.name or option.name == "all on acme/medium" for option in document.options)
    assert document.verdict.confidence == "metered"


def test_own_machines_are_counted_at_the_busiest_minute_and_paid_around_the_clock():
    own = by_kind(decide(POOL, LARGE, MEDIUM))["rented"]
    assert own.machines == 3
    lines = {line.component: line.usd_per_month.likely for line in own.lines}
    # The flagship calls stay on the API: the pool may not serve them.
    used = LEASE * Decimal("7.5") / 6
    flagship = {name: month(6 * part) for name, part in (("input", Decimal("0.01")), ("output", Decimal("0.04")))}
    assert {name: round(cost, 6) for name, cost in lines.items()} == {
        "GPU lease": used,
        "idle GPU": LEASE * 3 - used,
        "input tokens, not on machines": flagship["input"],
        "output tokens, not on machines": flagship["output"],
    }
    assert own.fill == round(Decimal("7.5") / 6 / 3, 6)


def test_the_hybrid_is_the_best_of_every_number_of_machines():
    for hourly in ("0.01", "2.40", "9", "40", "90"):
        document = decide(POOL, LARGE, MEDIUM, hourly=hourly)
        lease = Decimal(hourly) * 2 * 730
        bills = {}
        for machines in range(4):
            flowing = sum(max(Decimal(load) - 6 * machines, Decimal(0)) * JUDGMENT for load in LOADS)
            bills[machines] = lease * machines + month(flowing) + month(6 * FLAGSHIP)
        hybrid = by_kind(document).get("hybrid")
        if hybrid is None:
            assert min(bills, key=lambda count: bills[count]) == 0
            assert "would own nothing" in document.cannot[0].why
        else:
            assert round(hybrid.usd_per_month.likely, 6) == min(bills.values())
            assert bills[hybrid.machines] == min(bills.values())
        assert [entry.pays for entry in document.fills] == [bills[k] <= bills[k - 1] for k in (1, 2, 3)]


def test_critical_fill_is_the_machine_hour_over_what_a_full_hour_would_cost_bought():
    document = decide(POOL, LARGE, MEDIUM)
    # A full machine-hour carries 360 such calls, 5.40 USD bought; it costs 4.80.
    assert document.critical_fill == round(Decimal("4.80") / Decimal("5.40"), 6)
    # Filled one after the other: (0.5 + 1 + 1 + 1 + 1) / 6, (0.5 + 1 + 1) / 6, 0.5 / 6.
    assert [entry.fill for entry in document.fills] == [Decimal("0.75"), Decimal("0.416667"), Decimal("0.083333")]
    assert all(entry.pays == (entry.fill >= document.critical_fill) for entry in document.fills)


def test_flip_points_leave_the_other_buckets_on_the_api():
    document = decide(POOL, LARGE, MEDIUM)
    flips = {flip.axis: flip for flip in document.verdict.flips}
    elsewhere, bought = month(6 * FLAGSHIP), month(sum(LOADS) * JUDGMENT + 6 * FLAGSHIP)
    # API prices times x: bought x = leases + elsewhere x.
    times = LEASE * 3 / (bought - elsewhere)
    assert flips["api_price"].value == pytest.approx(flips["api_price"].now * times, abs=Decimal("0.00001"))
    hourly = (bought - elsewhere) / 3 / 2 / 730
    assert flips["gpu_price"].value == pytest.approx(hourly, abs=Decimal("0.00001"))
    assert "hidden_cost" not in flips


def test_a_pool_held_below_its_measured_best_needs_more_machines():
    held = route("pool", "own/small", [Bucket.JUDGMENT], own=True, slots=8)
    own = by_kind(decide(held, LARGE, MEDIUM))["rented"]
    # 80 of 100 tokens a second at 8 in flight: the busiest minute needs 2.5 / 0.8.
    assert own.machines == 4
    assert own.fill == round(Decimal("7.5") / Decimal("0.8") / 6 / 4, 6)


def test_low_and_high_are_the_quietest_and_the_busiest_third_of_the_minutes():
    load = metered_question(CALLS, CATALOG, DEPLOYMENTS, configured(LARGE, MEDIUM), FULL).load
    for tokens, judgment in ((load.input_tokens, 5_000), (load.output_tokens, 500)):
        quiet = (LOADS[5] + LOADS[0]) * judgment + 2 * 1_000
        busy = (LOADS[2] + LOADS[4]) * judgment + 2 * 1_000
        assert (tokens.low, tokens.high) == (quiet * MONTH / 2, busy * MONTH / 2)


def test_the_volume_is_the_measured_one_repeated():
    document = decide(LARGE, MEDIUM)
    assert document.volume.input_tokens == (sum(LOADS) * 5_000 + 6 * 1_000) * 7_300
    assert document.volume.output_tokens == (sum(LOADS) * 500 + 6 * 1_000) * 7_300
    metered = document.metered
    assert (metered.requests, metered.minutes, metered.unpriced) == (len(CALLS), 6, 0)
    assert metered.usd == Decimal(len(CALLS)) * Decimal("0.000001")


def test_curves_go_through_the_options_and_are_straight_between_their_points():
    document = decide(POOL, LARGE, MEDIUM, hourly="1.20")
    now = document.volume.tokens
    drawn = [option for option in document.options if option.kind != "now"]
    for option, curve in zip(drawn, document.curves, strict=True):
        assert curve.name == option.name
        (left, low), (right, high) = next(pair for pair in pairwise(curve.points) if pair[0][0] < now <= pair[1][0])
        share = Fraction(now - left) / Fraction(right - left)
        assert abs(Fraction(low) + share * Fraction(high - low) - Fraction(option.usd_per_month.likely)) < Fraction(
            1, 1_000
        )


def test_an_empty_minute_inside_counts_as_no_load():
    gap = [each for minute in (0, 1, 5) for each in minute_of(minute, 12)]
    document = decide(POOL, LARGE, MEDIUM, calls=gap)
    assert document.metered.minutes == 6
    assert by_kind(document)["rented"].fill == Decimal("0.5")


def test_a_window_of_the_day_is_priced_at_each_calls_own_time():
    happy = PriceRow(
        Rates(Decimal(0), Decimal(0)),
        window=Window(time(18, 3), time(19)),
    )
    catalog = Catalog((offer("acme/large", 10, 40), offer("acme/medium", 2, 10, happy)))
    cheapest = by_kind(decide(LARGE, MEDIUM, catalog=catalog))["api"]
    assert round(cheapest.usd_per_month.likely, 6) == month(sum(LOADS[:3]) * JUDGMENT + 6 * FLAGSHIP)


def test_rent_that_is_not_configured_comes_from_the_books_as_a_range():
    document = decide(POOL, LARGE, MEDIUM, hourly="")
    lease = next(line for line in by_kind(document)["rented"].lines if line.component == "GPU lease")
    assert (lease.unit_price.low, lease.unit_price.high) == (2, 6)
    rent = next(figure for figure in lease.inputs if figure.name == "gpu_usd_per_hour")
    assert (rent.source, rent.value.low, rent.value.high) == ("a test", 1, 3)


def test_what_could_not_be_weighed_is_said():
    strange = route("strange", "acme/unknown", Bucket)
    half = Offer("acme", "half", SOURCE, (PriceRow(Rates(None, Decimal(1))),))
    catalog = Catalog((*CATALOG.offers, half))
    other = route("half", "acme/half", Bucket)
    failed = call(5_000, 0, Bucket.JUDGMENT, 10, 10, status=Status.FAILED, cost=None)
    document = decide(LARGE, MEDIUM, strange, other, calls=[*CALLS, failed], catalog=catalog)
    left_out = [f"{row.value} {row.source}" for row in document.assumptions if row.name == "left out"]
    assert any("acme/unknown" in words for words in left_out)
    assert any("acme/half" in words and "no input price" in words for words in left_out)
    assert any(words.startswith("1 calls") for words in left_out)
    assert (document.metered.unserved, document.metered.unpriced, document.metered.usd) == (1, 1, None)


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        ([], "0 answered calls"),
        (CALLS[:29], "29 answered calls"),
        ([call(at, at % 5, Bucket.JUDGMENT, 1, 1, status=Status.FAILED) for at in range(40)], "0 answered calls"),
        (minute_of(0, 40), "calls of 1 minutes"),
    ],
)
def test_too_little_is_exit_4(calls, says):
    with pytest.raises(NotEnoughData, match=says) as caught:
        decide(LARGE, MEDIUM, calls=calls)
    assert caught.value.exit_code == 4


def test_a_bucket_that_no_priced_api_serves_cannot_be_decided():
    with pytest.raises(NotEnoughData, match="flagship"):
        decide(MEDIUM, POOL)


def test_a_call_with_a_wrong_clock_is_named():
    stray = call(0, 3_000_000, Bucket.JUDGMENT, 1, 1)
    with pytest.raises(BadInput, match="3000001 minutes"):
        decide(LARGE, MEDIUM, calls=[*CALLS, stray])


def test_a_pool_that_no_book_knows_is_a_broken_configuration():
    with pytest.raises(BadConfig, match="'pool-9x'") as caught:
        decide(POOL, LARGE, deployment="pool-9x")
    assert "pool-2x" in caught.value.remedy
    with pytest.raises(BadConfig, match="usd_per_gpu_hour"):
        decide(POOL, LARGE, hourly="", catalog=Catalog(CATALOG.offers))


def on_pool(number, minute):
    """A judgment call that the pool served, charged its share of busy time."""
    served = call(number, minute, Bucket.JUDGMENT, 5_000, 500, cost=13_333_333)
    return msgspec.structs.replace(
        served, attempts=(msgspec.structs.replace(served.attempts[0], offer="own/small", route="pool"),)
    )


def test_as_now_is_what_the_calls_cost_at_their_own_prices():
    document = decide(POOL, LARGE, MEDIUM)
    now = document.options[0]
    assert (now.name, now.kind, now.machines) == ("as now", "now", 0)
    assert round(now.usd_per_month.likely, 6) == month(document.metered.usd)
    # It is the cheapest here: a thousandth of a cent a call. Then it is held against another way.
    assert document.verdict.kind == "now"
    dear = [call(number, minute, Bucket.JUDGMENT, 5_000, 500, cost=50_000_000) for minute in range(6)
            for number in range(9)]  # fmt: skip
    held = decide(POOL, LARGE, MEDIUM, calls=dear)
    assert (held.verdict.against, held.verdict.cheapest == "as now") == ("as now", False)
    saving = held.options[0].usd_per_month.likely - min(each.usd_per_month.likely for each in held.options)
    assert held.verdict.saving_usd_per_month.likely == saving


def test_as_now_pays_every_hour_of_a_pool_that_serves():
    calls = [*(on_pool(number, minute) for minute in range(6) for number in range(6)),
             *(call(1_000, minute, Bucket.FLAGSHIP, 1_000, 1_000, cost=50_000_000) for minute in range(6))]  # fmt: skip
    document = decide(POOL, LARGE, MEDIUM, calls=calls)
    now = document.options[0]
    assert now.machines == 1
    assert round(now.usd_per_month.likely, 6) == LEASE + month(6 * FLAGSHIP)
    assert now.fill == 1  # six calls of ten seconds a minute
    idle = [line for line in now.lines if line.basis == "idle"]
    assert sum(line.usd_per_month.likely for line in idle) == 0


def test_a_call_without_a_price_leaves_now_unknown():
    unknown = call(5_000, 0, Bucket.JUDGMENT, 10, 10, cost=None)
    document = decide(LARGE, MEDIUM, calls=[*CALLS, unknown])
    assert not any(option.kind == "now" for option in document.options)
    assert "1 of 52 calls have no known price" in document.cannot[0].why


def test_the_whole_answer_from_a_ledger():
    document = decide(POOL, LARGE, MEDIUM, assumed=FULL)
    assert document.chances is not None
    assert document.cash is not None
    assert document.questions is not None
    assert document.chances.baseline == "as now"
    assert {each.option for each in document.chances.options} == {option.name for option in document.options}
    assert sum(each.cheapest for each in document.chances.options) == pytest.approx(1, abs=0.001)
    assert document.cash.instead_of == "as now"
    for option in document.options:
        assert option.usd_per_month.likely == sum((line.usd_per_month.likely for line in option.lines), Decimal(0))
        assert all(line.formula and line.inputs for line in option.lines)
    rented = by_kind(document)["rented"]
    assert {"engineers", "incidents", "redundancy", "setup"} <= {line.id for line in rented.lines}


def test_the_saving_is_of_the_same_drawn_cases():
    document = decide(POOL, LARGE, MEDIUM, calls=[msgspec.structs.replace(each, attempts=(
        msgspec.structs.replace(each.attempts[0], cost_nanousd=20_000_000),)) for each in CALLS])  # fmt: skip
    saving, paired = document.verdict.saving_usd_per_month, document.chances.verdict
    assert (paired.option, paired.against) == (document.verdict.cheapest, document.verdict.against)
    assert float(saving.low) == min(paired.saving_usd_per_month.p5, float(saving.likely))
    costs = {option.name: option.usd_per_month for option in document.options}
    mine, theirs = costs[paired.option], costs[paired.against]
    assert saving.high - saving.low < (theirs.high - mine.low) - (theirs.low - mine.high)


def test_a_hybrid_keeps_its_machines_and_says_where_it_turns():
    document = decide(POOL, LARGE, MEDIUM, hourly="1.20")
    hybrid = by_kind(document)["hybrid"]
    assert hybrid.name in {each.option for each in document.chances.options}
    flips = {flip.axis: flip for flip in reversed(document.verdict.hybrid_flips)}  # against the API first
    # One machine, 4.5 machine-hours of every six carried; all its calls bought cost 270 calls an hour at 0.015 USD.
    carried = Decimal("4.5") / 6 * 360 * JUDGMENT
    assert hybrid.machines == 1
    assert flips["gpu_price"].value == pytest.approx(carried / 2, abs=Decimal("0.00001"))
    assert "number of machines changes" in document.verdict.hybrid_silent[0]


def week(per_day):
    """Ten calls at ten in the morning of every day."""
    return [each for day in range(7) for each in (
        call(number, day * 1440 + 16 * 60, Bucket.JUDGMENT, 5_000, 500) for number in range(per_day))]  # fmt: skip


def test_a_week_has_a_shape_and_less_has_none():
    ends = [call(5_000, minute, Bucket.JUDGMENT, 1, 1) for minute in (0, 7 * 1440 - 1)]
    load = metered_question([*week(10), *ends], CATALOG, DEPLOYMENTS, configured(POOL, LARGE, MEDIUM), FULL).load
    # From Thursday 18:00 on: sixteen hours later it is ten.
    assert [hour for hour, level in enumerate(load.shape) if level > 1] == [day * 24 + 10 for day in range(7)]
    assert metered_question(CALLS, CATALOG, DEPLOYMENTS, configured(POOL, LARGE, MEDIUM), FULL).load.shape == ()
    with pytest.raises(NotEnoughData, match="less than a week"):
        metered_question(
            CALLS, CATALOG, DEPLOYMENTS, configured(POOL, LARGE, MEDIUM), FULL, on=schedule("mon-fri:8-18")
        )


def test_cached_tokens_stand_on_lines_of_their_own():
    half = Usage(input_tokens=2_500, cache_read_tokens=2_500, output_tokens=500)
    calls = [msgspec.structs.replace(each, attempts=(msgspec.structs.replace(each.attempts[0], usage=half),))
             for each in CALLS if each.facts.bucket is Bucket.JUDGMENT]  # fmt: skip
    cheap = Offer("acme", "medium", SOURCE, (PriceRow(Rates(Decimal(2), Decimal(10), cache_read=Decimal(1))),))
    document = decide(MEDIUM, POOL, calls=calls, catalog=Catalog((cheap,)))
    lines = {line.component: line for line in by_kind(document)["api"].lines}
    assert round(lines["cache reads"].usd_per_month.likely * 2, 6) == round(
        lines["input tokens"].usd_per_month.likely, 6
    )
    shares = {figure.name: figure.value.likely for figure in lines["cache reads"].inputs}
    assert (shares["cache_read_share"], shares["cache_read_ratio"]) == (Decimal("0.5"), Decimal("0.5"))
    # Cached tokens keep no machine busy: 2,500 / 1,000 + 500 / 100 seconds each.
    assert by_kind(document)["rented"].machines == 2


def test_an_imported_month_is_less_certain_than_a_metered_one():
    strangers = [msgspec.structs.replace(each, decision=Decision(id="", policy="", routes=())) for each in CALLS]
    metered, imported = (
        metered_question(calls, CATALOG, DEPLOYMENTS, configured(LARGE, MEDIUM), FULL).load
        for calls in (CALLS, strangers)
    )
    assert (metered.known, imported.known) == ("metered", "imported")
    assert imported.input_tokens.low < metered.input_tokens.low
    assert imported.input_tokens.high > metered.input_tokens.high
    assert decide(LARGE, MEDIUM, calls=strangers).verdict.confidence == "imported"


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(0, 5_000)] * 4),
    st.lists(st.tuples(*[st.integers(0, 10**6)] * 4), min_size=30, max_size=40),
    st.sampled_from([0, Decimal("0.002")]),
)
def test_offers_that_never_change_are_priced_in_one_go_to_the_nano_dollar(rates, usages, fee):
    """The same offer, once flat and once with a tier that nobody reaches: that one is priced call by call."""
    read, cached, wrote, thought = (Decimal(rate) / 1_000 for rate in rates)
    same = Rates(read, wrote, cache_read=cached, reasoning=thought, per_request=Decimal(fee))
    flat = Offer("acme", "flat", SOURCE, (PriceRow(same),))
    tiered = Offer("acme", "tiered", SOURCE, (PriceRow(same, tiers=(Tier(10**9, same),)),))
    names = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")
    calls = [
        msgspec.structs.replace(each, attempts=(msgspec.structs.replace(
            each.attempts[0], usage=Usage(**dict(zip(names, usage, strict=True)))),))
        for at, usage in enumerate(usages) for each in [call(at, at % 4, Bucket.JUDGMENT, 1, 1)]
    ]  # fmt: skip
    known = Supplies(tuple(Api(each, frozenset(Bucket)) for each in (flat, tiered)), None)
    found = profile(calls, known).charges
    assert found["acme/flat", Bucket.JUDGMENT] == found["acme/tiered", Bucket.JUDGMENT]


def test_calls_of_a_service_tier_are_priced_in_it_everywhere():
    """At half the price where they were flex and where flex is offered, at the standard one elsewhere, and not at all
    on the offer that processed them in a way that no book prices: the same as when they are repriced."""
    half = Variant(Processing.FLEX, (PriceRow(Rates(Decimal(1), Decimal(5))),))
    medium = dataclasses.replace(CATALOG.offers[1], variants=(half,))
    offers = (CATALOG.offers[0], medium, CATALOG.offers[2])
    ways = [("flex", "acme/medium"), ("flex", "acme/tiny"), ("", "acme/medium"), ("scale", "acme/tiny")]
    calls = []
    for place, each in enumerate(CALLS):
        tier, offered = ways[place % len(ways)]
        (tried,) = each.attempts
        tried = msgspec.structs.replace(tried, service_tier=tier, offer=offered, started_ns=each.facts.at_ns)
        calls.append(msgspec.structs.replace(each, attempts=(tried,)))
    apis = tuple(Api(each, frozenset(Bucket)) for each in offers)
    found = profile(calls, Supplies(apis, None))
    for row in reprice(calls, offers):
        for bucket, nanousd in row.by_bucket.items():
            assert ((row.offer, bucket) in found.gaps) == (nanousd is None)
            assert nanousd is None or found.cost(row.offer, bucket) == nanousd
    assert {offer for offer, _ in found.gaps} == {"acme/tiny"}
    plain = profile(CALLS, Supplies(apis, None))
    assert found.cost("acme/medium", Bucket.JUDGMENT) < plain.cost("acme/medium", Bucket.JUDGMENT)
    assert found.tally.digest != plain.tally.digest
    lines = found.charges["acme/medium", Bucket.JUDGMENT]
    usage = found.tally.usage[Bucket.JUDGMENT]
    assert sum(count for count, _ in lines.values()) == usage.prompt_tokens + usage.completion_tokens
