"""The state of a gateway: its estimate against the price itself, slots, cooling, swaps."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import offer, route

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source, Tier, Window
from baseload.clock import to_ns
from baseload.cost.tokens import price
from baseload.gateway.engine_metrics import EngineLoad
from baseload.gateway.state import GatewayState
from baseload.gateway.target import Targets
from baseload.load.facts import Bucket, Facts
from baseload.policy.expect import UNSEEN_OUTPUT_TOKENS
from baseload.policy.policy import Policy, Route
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.upstreams import Circuit, Pool, Upstream
from baseload.usage import Usage

NOON = datetime(2026, 11, 19, 12, 0, 30, tzinfo=UTC)
SOURCE = Source("test", Precedence.YOURS, date(2026, 1, 1), "this file")


class StoppedClock:
    def __init__(self) -> None:
        self.ns = to_ns(NOON)

    def time_ns(self) -> int:
        return self.ns


def state_of(*offers: Offer, slots: int | None = None) -> GatewayState:
    routes = tuple(route(n, offer=each.key, slots=slots) for n, each in enumerate(offers))
    clock = StoppedClock()
    upstreams = {f"u{n}": Upstream(name=f"u{n}", base_url="http://127.0.0.1:1/v1") for n in range(len(offers))}
    return GatewayState(Policy(routes=routes), {each.key: each for each in offers}, clock, Targets(upstreams, clock))


def facts(prompt: int = 1000, cap: int | None = None, at: datetime = NOON) -> Facts:
    return Facts(at_ns=to_ns(at), model="real", bucket=Bucket.JUDGMENT, input_tokens=prompt, output_cap=cap)


amounts = st.decimals(0, 200, places=6)
rates = st.builds(Rates, input=amounts, output=amounts, per_request=st.decimals(0, 1, places=9))
tiers = st.dictionaries(st.integers(0, 3000), rates, max_size=2).map(
    lambda steps: tuple(map(Tier, steps, steps.values()))
)
rows = st.builds(
    PriceRow,
    rates=rates,
    valid_from=st.none() | st.dates(date(2026, 11, 17), date(2026, 11, 21)),
    valid_to=st.none() | st.dates(date(2026, 11, 17), date(2026, 11, 21)),
    window=st.none() | st.builds(Window, st.integers(0, 23).map(time), st.just(time(12))),
    tiers=st.dictionaries(st.integers(0, 3000), rates, max_size=2).map(
        lambda steps: tuple(map(Tier, steps, steps.values()))
    ),
)


def estimate_of(state: GatewayState, on: Route, asked: Facts) -> int | None:
    return state.estimates(state.snapshot, asked)(on, asked)


@given(
    schedule=st.lists(rows, min_size=1, max_size=3).map(tuple),
    prompt=st.integers(0, 5000),
    cap=st.integers(0, UNSEEN_OUTPUT_TOKENS),
    hours=st.integers(-60, 60),
)
def test_the_estimate_is_the_price_to_a_nanodollar(schedule, prompt: int, cap: int, hours: int) -> None:
    offered = Offer("u", "m", SOURCE, schedule)
    state, asked = state_of(offered), facts(prompt, cap, NOON + timedelta(hours=hours))
    estimate = estimate_of(state, state.snapshot.policy.routes[0], asked)
    when = NOON + timedelta(hours=hours)
    if offered.row(when) is None:
        assert estimate is None
    else:
        exact = price(Usage(input_tokens=prompt, output_tokens=cap), offered, when).nanousd
        assert abs(estimate - exact) <= 1


@pytest.mark.parametrize("half", [Rates(input=None, output=Decimal(1)), Rates(input=Decimal(1), output=None)])
def test_half_a_price_is_no_estimate(half: Rates) -> None:
    state = state_of(Offer("u", "m", SOURCE, (PriceRow(half),)))
    assert estimate_of(state, state.snapshot.policy.routes[0], facts()) is None


def test_an_offer_that_nobody_prices_is_no_estimate() -> None:
    state = state_of(offer(0))
    assert estimate_of(state, route(9, offer="x/y"), facts()) is None


def test_cached_rates_follow_the_minute() -> None:
    rows = (
        PriceRow(Rates(Decimal(1), Decimal(0))),
        PriceRow(Rates(Decimal(2), Decimal(0)), window=Window(time(12, 1), time(13))),
    )
    state = state_of(Offer("u", "m", SOURCE, rows))
    at = [NOON, NOON + timedelta(seconds=29), NOON + timedelta(seconds=30), NOON]
    first = state.snapshot.policy.routes[0]
    assert [estimate_of(state, first, facts(at=when)) for when in at] == [1e6, 1e6, 2e6, 1e6]


async def test_slots_are_counted_by_upstream() -> None:
    state = state_of(offer(0), slots=2)
    taken = state.snapshot.policy.routes[0]
    assert [await state.take(state.snapshot, taken, None) for _ in range(3)] == [True, True, False]
    state.give(state.snapshot, taken, None)
    assert await state.take(state.snapshot, taken, None)
    assert state.observed().in_flight == {"u0": 2}


async def test_an_upstream_is_left_out_after_failures_and_comes_back() -> None:
    state, circuit = state_of(offer(0)), Circuit()
    taken = state.snapshot.policy.routes[0]
    for _ in range(circuit.failures - 1):
        state.failed("u0")
    assert state.observed().unhealthy == frozenset()
    state.failed("u0")
    assert state.observed().unhealthy == {"u0"}
    state._clock.ns += int(circuit.open_seconds * NANOSECONDS_PER_SECOND)
    assert state.observed().unhealthy == frozenset()
    assert await state.take(state.snapshot, taken, None)
    assert state.observed().unhealthy == {"u0"}, "one attempt finds out, the others go elsewhere"
    state.failed("u0")
    state.give(state.snapshot, taken, None)
    assert state.observed().unhealthy == {"u0"}, "it failed again"
    state._clock.ns += int(circuit.open_seconds * NANOSECONDS_PER_SECOND)
    assert await state.take(state.snapshot, taken, None)
    state.answered("u0")
    state.give(state.snapshot, taken, None)
    assert state.observed().unhealthy == frozenset()


async def test_whoever_waits_is_in_the_line_and_those_who_come_later_see_it() -> None:
    state = state_of(offer(0), slots=1)
    patient = route(0, offer="u0/real", slots=1, wait_seconds=5)
    state.swap(Policy(routes=(patient,)))
    assert await state.take(state.snapshot, patient, None)
    state.service.learn("u0", 2.0)
    assert state.observed().waits == {"u0": 2.0}
    first = asyncio.create_task(state.take(state.snapshot, patient, None))
    await asyncio.sleep(0)
    assert state.observed().waits == {"u0": 4.0}
    async with asyncio.timeout(0.5):  # at once
        assert not await state.take(state.snapshot, patient, 2.0), "not worth it: its deadline is before its turn"
    state.give(state.snapshot, patient, None)
    assert await first
    assert state.observed().waits == {"u0": 2.0}


def test_a_swap_leaves_the_old_snapshot_alone() -> None:
    state = state_of(offer(0), offer(1))
    before = state.snapshot
    after = state.swap(Policy(routes=(route(1),), name="other"))
    assert after.startswith("other@")
    assert state.snapshot.version == after != before.version
    assert set(before.routes) == {"r0", "r1"}
    assert set(state.snapshot.routes) == {"r1"}
    assert state.snapshot.offers is before.offers


def test_what_waits_inside_the_engines_makes_answers_slower() -> None:
    clock = StoppedClock()
    pool = Upstream(name="u0", base_url="http://127.0.0.1:1/v1", pool=Pool(metrics_seconds=1))
    state = GatewayState(Policy(routes=(route(0),)), {}, clock, Targets({"u0": pool}, clock))
    assert state.observed().answer_seconds == {}
    state.service.learn("u0", 2.0)
    assert state.observed().answer_seconds == {"u0": 2.0}
    state.snapshot.targets["u0"].engines["http://127.0.0.1:1/v1"] = EngineLoad(running=10, waiting=5)
    assert state.observed().answer_seconds == {"u0": 3.0}
