"""Closed loops against the formulas of finite sources, and against an open loop with the same times."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sim.test_fleet import FACTS, JUDGMENT, MONDAY_NS, OWN, REAL, TICK, api, policy, route

from baseload.errors import BadInput
from baseload.load.chance import uniforms
from baseload.sim.closed import Clients, simulate_closed
from baseload.sim.engine import NONE
from baseload.sim.fleet import Load, simulate
from baseload.sim.replica import Requests, compiled, interpreted
from baseload.sim.supplies import Pool, Routing


def questions(count: int, prompt: float, output: float, *, seed: int = 1, spread: bool = True) -> Load:
    """Requests without a time; exponential answers where they spread."""
    drawn = -np.log(uniforms(seed, "o", count)) if spread else np.ones(count)
    requests = Requests.of(np.zeros(count), np.full(count, prompt), np.maximum(np.rint(drawn * output), 1))
    return Load.plain(MONDAY_NS, requests, FACTS)


@pytest.mark.parametrize(("clients", "seats"), [(1, 1), (5, 1), (12, 4)])
def test_a_finite_source_is_served_as_the_birth_and_death_of_requests_says(clients, seats):
    """M/M/c//N: the weight of a state is the one before, times thinkers over busy seats, one request a second."""
    think, count = 3.0, 10_000
    weights = [1.0]
    for busy in range(clients):
        weights.append(weights[-1] * (clients - busy) / think / min(busy + 1, seats))
    served = sum(weight * min(k, seats) for k, weight in enumerate(weights)) / sum(weights)
    pool = Pool(name="pool", step=TICK._replace(most_requests=seats))
    load = questions(count, 1, 1000)
    found = simulate_closed(load, Clients(clients, think), [pool], [], OWN, kernel=compiled())
    assert count / found.ended == pytest.approx(served, rel=0.04)


def test_one_client_waits_for_nobody():
    load = questions(50, 300, 40, spread=False)
    found = simulate_closed(load, Clients(1), [Pool(name="pool", step=REAL)], [], OWN, kernel=interpreted())
    arrival = found.load.requests.arrival
    np.testing.assert_allclose(arrival[1:], found.finish[:-1], rtol=1e-12)
    latency = found.finish - arrival
    np.testing.assert_allclose(latency, latency[0], rtol=1e-9)


@st.composite
def loops(draw: st.DrawFn):
    count, seed = draw(st.integers(1, 40)), draw(st.integers(0, 1000))
    step = REAL._replace(
        kv_tokens=draw(st.integers(500, 3000)),
        most_requests=draw(st.integers(1, 6)),
        mixed=draw(st.booleans()),
        # At nothing, a request would come at the very moment of a finish, and rounding would say which was first.
        receive=draw(st.sampled_from([0.01, 0.1])),
    )
    prompt, output = 1 + uniforms(seed, "p", count) * 300, 1 + uniforms(seed, "o", count) * 100
    pools = [
        Pool(
            name="pool",
            step=step,
            replicas=draw(st.integers(1, 3)),
            slots=draw(st.one_of(st.none(), st.integers(1, 4))),
            routing=draw(st.sampled_from([Routing.LEAST_LOADED, Routing.ROUND_ROBIN])),
            startup_seconds=draw(st.sampled_from([0.0, 5.0])),
        )
    ]
    routes, apis = [route("pool", own=True)], []
    if draw(st.booleans()):
        apis.append(api())
        routes.append(route("api", slots=draw(st.sampled_from([None, 1])), success={JUDGMENT: 0.9}))
    load = Load.plain(MONDAY_NS, Requests.of(np.zeros(count), prompt, output, cached_share=0.3), FACTS)
    clients = Clients(draw(st.integers(1, 12)), draw(st.sampled_from([0.0, 0.5, 20.0])))
    return load, clients, pools, apis, policy(*routes)


@settings(max_examples=150, deadline=None)
@given(loops())
def test_an_open_loop_at_the_same_times_is_the_same(loop):
    load, clients, pools, apis, routes = loop
    found = simulate_closed(load, clients, pools, apis, routes, kernel=interpreted())
    again = simulate(found.load, pools, apis, routes, kernel=interpreted())
    np.testing.assert_array_equal(found.supply, again.supply)
    np.testing.assert_allclose(found.finish, again.finish, rtol=0, atol=1e-9, equal_nan=True)
    assert (found.supply == NONE).sum() == (again.supply == NONE).sum()


@settings(max_examples=100, deadline=None)
@given(loops())
def test_no_more_are_in_flight_than_there_are_clients(loop):
    load, clients, pools, apis, routes = loop
    found = simulate_closed(load, clients, pools, apis, routes, kernel=interpreted())
    arrival, finish = found.load.requests.arrival, found.finish[found.served]
    assert (np.diff(arrival) >= 0).all()
    for at in arrival:
        assert (arrival[found.served] <= at).sum() - (finish <= at).sum() <= clients.count
    if not clients.think_seconds and found.served.all():
        apart = np.abs(arrival[:, None] - found.finish[None, :]).min(axis=1)
        assert (apart > 1e-9).sum() <= clients.count  # but for a client's first, each comes as another is answered


@pytest.mark.parametrize(
    "pool",
    [
        Pool(name="pool", step=REAL, failures_per_hour=1.0),
        Pool(name="pool", step=REAL, on=[hour % 2 == 0 for hour in range(168)]),
    ],
)
def test_pools_that_are_off_at_times_are_refused(pool):
    with pytest.raises(BadInput, match="off at times"):
        simulate_closed(questions(3, 10, 10), Clients(2), [pool], [], OWN)


@pytest.mark.parametrize(("count", "think"), [(0, 0.0), (10**6, 0.0), (3, -1.0), (3, math.nan)])
def test_clients_that_are_none_are_refused(count, think):
    with pytest.raises(BadInput):
        Clients(count, think)
