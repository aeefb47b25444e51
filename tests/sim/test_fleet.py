"""Fleets against closed forms, conservation laws, and the gateway's own decisions."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.capacity.steptime import StepTime
from baseload.errors import BadInput, Unpriced
from baseload.load.chance import exponentials, gammas, normals, uniforms, weibulls
from baseload.load.facts import Bucket, Facts
from baseload.policy.policy import Policy, Route
from baseload.sim.engine import NONE
from baseload.sim.fleet import Load, simulate
from baseload.sim.replica import Requests, compiled, interpreted, serve
from baseload.sim.results import attainment, bill, calls, times
from baseload.sim.supplies import Api, Pool, Routing

JUDGMENT, SMALL = Bucket.JUDGMENT, Bucket.BANDWIDTH
FACTS = Facts(at_ns=0, model="auto", bucket=JUDGMENT, input_tokens=0)
# Every step takes a millisecond whatever it holds, so a request of n tokens takes n milliseconds of one seat.
TICK = StepTime(1e-3, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10**9, 1, 10**6, True)
REAL = StepTime(0.010, 0.0, 0.0, 1.1e-5, 1.5, 1e-8, 1.7e-12, 1e-3, 1.3e-5, 1.7e-7, 6e-5, 0.1, 60_000, 32, 4096, True)
HOUR = 3600
# 2026-11-16, a Monday, at midnight UTC.
MONDAY_NS = 1_794_787_200 * 10**9


def poisson(count: int, per_second: float, mean_output: float, *, seed: int = 1, prompt: int = 1) -> Requests:
    arrival = np.cumsum(-np.log(uniforms(seed, "arrivals", count))) / per_second
    output = np.maximum(np.rint(-np.log(uniforms(seed, "lengths", count)) * mean_output), 1)
    return Requests.of(arrival, np.full(count, prompt), output)


def load_of(requests: Requests) -> Load:
    return Load.plain(MONDAY_NS, requests, FACTS)


def route(name: str, **fields: object) -> Route:
    given: dict[str, object] = {"upstream": name, "model": "m", "offer": f"{name}/m", "success": {JUDGMENT: 1.0}}
    return Route(name=name, **(given | fields))


def api(name: str = "api", pico: int = 1000) -> Api:
    return Api(name=name, price=lambda usage, _: usage.prompt_tokens * pico + usage.completion_tokens * 4 * pico)


def policy(*routes: Route) -> Policy:
    return Policy(routes=routes, aliases={"auto": JUDGMENT, "small": SMALL})


OWN = policy(route("pool", own=True))


def test_m_m_c_waits_as_erlang_says():
    seats, load = 4, 0.8
    # Queues have long memories: eight such runs are 2 % apart (their mean is 0.5 % from the formula).
    requests = poisson(500_000, load * seats, 1000, seed=4)
    waits = serve(TICK._replace(most_requests=seats), requests, kernel=compiled()).first - requests.arrival - 1e-3
    offered = seats * load
    tail = offered**seats / math.factorial(seats) / (1 - load)
    erlang_c = tail / (sum(offered**k / math.factorial(k) for k in range(seats)) + tail)
    assert waits.mean() == pytest.approx(erlang_c / (seats * (1 - load)), rel=0.02)


def test_m_d_1_waits_as_pollaczek_and_khinchine_say():
    load, count = 0.7, 200_000
    arrival = np.cumsum(-np.log(uniforms(3, "arrivals", count))) / load
    requests = Requests.of(arrival, np.ones(count), np.full(count, 1000))
    waits = serve(TICK, requests, kernel=compiled()).first - requests.arrival - 1e-3
    assert waits.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.03)


def test_littles_law_holds():
    requests = poisson(5_000, 2.0, 200, prompt=500)
    found = simulate(load_of(requests), [Pool(name="pool", step=REAL, replicas=2)], [], OWN, kernel=interpreted())
    inside = found.finish - requests.arrival
    moments = np.sort(np.concatenate((requests.arrival, found.finish)))
    flying = np.searchsorted(requests.arrival, moments, "right") - np.searchsorted(
        np.sort(found.finish), moments, "right"
    )
    mean_flying = (flying[:-1] * np.diff(moments)).sum() / (moments[-1] - moments[0])
    rate = len(requests) / (moments[-1] - moments[0])
    assert mean_flying == pytest.approx(rate * inside.mean(), rel=1e-9)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Load, list[Pool], list[Api], Policy]:
    count = draw(st.integers(1, 40))
    seed = draw(st.integers(0, 1000))
    step = REAL._replace(kv_tokens=draw(st.integers(300, 3000)), most_requests=draw(st.integers(1, 6)))
    arrival = np.cumsum(uniforms(seed, "a", count)) * draw(st.sampled_from([0.01, 0.2, 30.0, 900.0]))
    prompt, output = 1 + uniforms(seed, "p", count) * 300, 1 + uniforms(seed, "o", count) * 100
    pools = [
        Pool(
            name=name,
            step=step,
            replicas=draw(st.integers(1, 3)),
            slots=draw(st.one_of(st.none(), st.integers(1, 4))),
            routing=draw(st.sampled_from(list(Routing))),
            startup_seconds=draw(st.sampled_from([0.0, 5.0])),
            failures_per_hour=draw(st.sampled_from([0.0, 0.0, 2.0, 600.0])),
            repair_seconds=2.0,
            on=draw(st.one_of(st.none(), st.lists(st.booleans(), min_size=168, max_size=168))),
            usd_per_gpu_hour=Decimal("2.40"),
        )
        for name in ("pool", "second")
    ]
    wide = {JUDGMENT: 0.9, SMALL: 0.8}
    routes = [
        route(
            "pool",
            own=True,
            success=wide if draw(st.booleans()) else {JUDGMENT: 1.0},
            slots=draw(st.sampled_from([None, 3])),
        ),
        route("second", own=True, context_tokens=draw(st.sampled_from([None, 150]))),
    ]
    if draw(st.booleans()):
        routes.append(route("also", upstream="pool", own=True, success=wide, slots=2))
    apis = []
    for place in range(draw(st.integers(0, 2))):
        apis.append(api(f"api-{place}", draw(st.integers(1, 3))))
        routes.append(route(f"api-{place}", success=wide, slots=draw(st.sampled_from([None, 1]))))
    kinds = (FACTS, Facts(at_ns=0, model="small", bucket=SMALL, input_tokens=0))
    group = (uniforms(seed, "g", count) * 4).astype(np.int32) - 1
    kind = (uniforms(seed, "k", count) * 2).astype(np.int32)
    requests = Requests.of(arrival, prompt, output, cached_share=0.5)
    return Load(MONDAY_NS, requests, kinds, kind, group), pools, apis, policy(*routes)


@settings(max_examples=150, deadline=None)
@given(fleets())
def test_the_fast_way_decides_as_decide_does(fleet):
    fast, exact = (simulate(*fleet, kernel=interpreted(), exact=exact) for exact in (False, True))
    np.testing.assert_array_equal(fast.supply, exact.supply)
    np.testing.assert_allclose(fast.finish, exact.finish, rtol=0, atol=1e-9, equal_nan=True)
    assert [use.nanousd for use in fast.apis] == [use.nanousd for use in exact.apis]


@settings(max_examples=150, deadline=None)
@given(fleets())
def test_nothing_is_lost_and_hours_add_up(fleet):
    load, *_ = fleet
    found = simulate(*fleet, kernel=interpreted())
    requests, served = load.requests, found.served
    assert np.isfinite(found.finish[served]).all()
    assert np.isnan(found.finish[~served]).all()
    assert (found.finish[served] >= found.first[served]).all()
    assert (found.first[served] > requests.arrival[served]).all()
    assert sum(use.requests for use in (*found.pools, *found.apis)) == served.sum()
    for place, use in enumerate(found.pools):
        mine = (found.supply == place) & (found.restarts == 0)
        assert use.tokens_written >= requests.output[mine].sum()
        if not found.restarts.any():
            assert use.tokens_written == requests.output[mine].sum()
        assert use.idle_seconds >= -1e-6
    paid = sum(
        line.amount.likely for line in bill(found).lines if "pool" in line.component or "second" in line.component
    )
    hours = sum(use.paid_seconds for use in found.pools) / HOUR
    assert float(paid) == pytest.approx(2.40 * hours, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(fleets())
def test_compiled_or_not_a_fleet_does_the_same(fleet):
    plain, fast = (simulate(*fleet, kernel=kernel) for kernel in (interpreted(), compiled()))
    np.testing.assert_array_equal(plain.supply, fast.supply)
    np.testing.assert_allclose(plain.finish, fast.finish, rtol=0, atol=1e-9, equal_nan=True)


def test_the_same_seed_is_the_same_answer_and_another_is_not():
    pool = Pool(name="pool", step=REAL, replicas=2, failures_per_hour=20.0, repair_seconds=60.0)
    load = load_of(poisson(2_000, 1.0, 100, prompt=300))
    one, again, other = (simulate(load, [pool], [], OWN, seed=seed, kernel=interpreted()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.finish, again.finish)
    assert not np.array_equal(one.finish, other.finish, equal_nan=True)
    assert one.restarts.any()


def test_what_the_own_pool_cannot_take_is_bought():
    load = load_of(poisson(3_000, 20.0, 200, prompt=500))
    both = policy(route("pool", own=True, slots=16), route("dear"), route("cheap"))
    found = simulate(
        load, [Pool(name="pool", step=REAL)], [api("dear", 3), api("cheap", 1)], both, kernel=interpreted()
    )
    own, dear, cheap = (int((found.supply == place).sum()) for place in range(3))
    assert own > 500
    assert cheap > 500
    assert dear == 0
    bought = found.supply == 2
    requests = load.requests
    assert found.apis[1].nanousd == int(requests.prompt[bought].sum() + 4 * requests.output[bought].sum())


def test_a_pool_that_is_off_is_not_paid_and_serves_nothing():
    office = [8 <= hour % 24 < 18 for hour in range(168)]
    pool = Pool(name="pool", step=REAL, on=office, startup_seconds=600, gpus=2, usd_per_gpu_hour=Decimal(3))
    arrival = np.arange(0, 24 * HOUR, 60.0)
    requests = Requests.of(arrival, np.full(len(arrival), 100), np.full(len(arrival), 50))
    found = simulate(load_of(requests), [pool], [api()], policy(route("pool", own=True), route("api")))
    own = arrival[found.supply == 0]
    assert own.min() == 8 * HOUR + 600
    assert own.max() < 18 * HOUR
    assert found.pools[0].paid_seconds == pytest.approx(10 * HOUR, abs=5)
    assert float(bill(found).lines[0].amount.likely + bill(found).lines[1].amount.likely) == pytest.approx(60, abs=0.01)


def test_prompts_that_begin_alike_are_cached_where_they_were_seen():
    count = 600
    arrival = np.cumsum(uniforms(5, "a", count))
    requests = Requests.of(arrival, np.full(count, 1000), np.full(count, 10), cached_share=0.9)
    group = (uniforms(5, "g", count) * 20).astype(np.int32)
    load = Load(MONDAY_NS, requests, (FACTS,), np.zeros(count, np.int32), group)
    read = {}
    for routing in Routing:
        pool = Pool(name="pool", step=REAL, replicas=4, routing=routing)
        read[routing] = simulate(load, [pool], [], OWN, kernel=interpreted()).pools[0].tokens_read
    assert read[Routing.PREFIX] == 20 * 1000 + (count - 20) * 100
    assert read[Routing.PREFIX] < read[Routing.ROUND_ROBIN]


def test_the_figures_of_a_result_by_hand():
    requests = Requests.of(np.array([0.0, 10.0]), np.array([100, 100]), np.array([11, 1]))
    found = simulate(load_of(requests), [], [Api(name="api", price=lambda *_: 5)], policy(route("api")))
    taken = times(found)
    assert taken.first_token.p50 == pytest.approx(0.4)
    assert taken.per_token.mean == pytest.approx(1 / 80)
    assert taken.latency.mean == pytest.approx((0.4 + 10 / 80 + 0.4) / 2)
    assert attainment(found, first_token=0.4 + 1e-9, per_token=1 / 80 + 1e-9) == 1
    assert attainment(found, first_token=0.3) == 0
    assert bill(found).total.likely == Decimal("1e-8")
    metered = list(calls(found, ("api/m",), run="one"))
    assert [call.cost_nanousd for call in metered] == [5, 5]
    assert metered[0].facts.at_ns == MONDAY_NS


def test_refused_requests_are_counted_and_unknown_prices_are_errors():
    requests = Requests.of(np.array([0.0, 1.0]), np.array([100, 10**6]), np.array([10, 10]))
    found = simulate(load_of(requests), [Pool(name="pool", step=REAL)], [], OWN, kernel=interpreted())
    assert found.supply.tolist() == [0, NONE]
    assert attainment(found, first_token=100.0) == 0.5
    with pytest.raises(Unpriced):
        bill(found)


@pytest.mark.parametrize("pools", [[], [Pool(name="pool", step=REAL)] * 2])
def test_supplies_that_do_not_go_with_the_policy_are_refused(pools):
    with pytest.raises(BadInput):
        simulate(load_of(poisson(3, 1, 10)), pools, [], OWN)


def test_chance_has_the_moments_it_promises():
    count = 200_000
    for drawn, mean, variance in (
        (uniforms(1, "u", count), 0.5, 1 / 12),
        (normals(1, "n", count), 0, 1),
        (gammas(1, "g", count, 0.4), 1, 2.5),
        (gammas(1, "g", count, 3.0), 1, 1 / 3),
        (weibulls(1, "w", count, 0.8), 1, math.gamma(1 + 2 / 0.8) / math.gamma(1 + 1 / 0.8) ** 2 - 1),
        (np.array([each for each, _ in zip(exponentials(1, "e"), range(count), strict=False)]), 1, 1),
    ):
        assert len(drawn) == count
        assert drawn.mean() == pytest.approx(mean, abs=0.01)
        assert drawn.var() == pytest.approx(variance, rel=0.03)
