"""Simulated requests per second of CPU, compiled and not, beside the reference that goes step by step.

A fleet is three replicas with 24 or 8 requests each in flight, two APIs and a policy; "decide" asks the gateway's own
`decide` for every request, which the fleet otherwise does not need to. A closed loop is three replicas that may not run
ahead of each other.

Requests have about the lengths of the Azure 2023 conversation trace (1,155 in, 211 out in the mean; log-normal here),
6 a second on one replica that has room for 256 at once. Memory is that of a fresh process, libraries included.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from baseload.capacity.steptime import StepTime
from baseload.load.facts import Bucket, Facts
from baseload.policy.policy import Policy, Route
from baseload.sim import reference
from baseload.sim.closed import Clients, simulate_closed
from baseload.sim.fleet import Load, simulate
from baseload.sim.replica import Kernel, Requests, compiled, interpreted, serve
from baseload.sim.supplies import Api, Pool
from benchmarks.frame import Figure, run

STEP = StepTime(0.010, 0.0, 0.0, 1.1e-5, 1.5, 1e-8, 1.7e-12, 1e-3, 1.3e-5, 1.7e-7, 6e-5, 0.1, 500_000, 256, 8192, True)
PER_SECOND = 6.0


def requests(count: int) -> Requests:
    chance = np.random.default_rng(20231116)
    arrival = np.cumsum(chance.exponential(1 / PER_SECOND, count))
    prompt = np.clip(chance.lognormal(6.55, 1.0, count), 1, 14_000).astype(np.int32)
    output = np.clip(chance.lognormal(4.95, 0.9, count), 1, 1_500).astype(np.int32)
    return Requests.of(arrival, prompt, output)


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def per_second(kernel: Kernel, count: int, rounds: int) -> float:
    load = requests(count)
    serve(STEP, requests(10), kernel=kernel)
    return statistics.median(count / cpu_seconds(lambda: serve(STEP, load, kernel=kernel)) for _ in range(rounds))


def stepwise(count: int) -> float:
    load = requests(count)
    rows = zip(load.arrival, load.prompt, load.output, strict=True)
    slow = [reference.Request(float(at), int(prompt), int(output)) for at, prompt, output in rows]
    return count / cpu_seconds(lambda: reference.steps(STEP, slow))


def fleet_per_second(slots: int, count: int, kernel: Kernel, *, exact: bool) -> float:
    facts = Facts(at_ns=0, model="auto", bucket=Bucket.JUDGMENT, input_tokens=0)
    base = requests(count)
    load = Load.plain(0, Requests.of(base.arrival * PER_SECOND / 20, base.prompt, base.output), facts)
    apis = [Api(name="one", price=lambda usage, _: usage.prompt_tokens), Api(name="two", price=lambda *_: 10**6)]
    routes = [
        Route(name=name, upstream=name, model="m", offer=f"{name}/m", own=name == "own", success={Bucket.JUDGMENT: 1})
        for name in ("own", "one", "two")
    ]
    policy = Policy(routes=tuple(routes), aliases={"auto": Bucket.JUDGMENT})
    pool = Pool(name="own", step=STEP, replicas=3, slots=slots)
    simulate(Load.plain(0, requests(10), facts), [pool], apis, policy, kernel=kernel)
    return count / cpu_seconds(lambda: simulate(load, [pool], apis, policy, exact=exact, kernel=kernel))


def closed_per_second(clients: int, count: int, kernel: Kernel) -> float:
    facts = Facts(at_ns=0, model="auto", bucket=Bucket.JUDGMENT, input_tokens=0)
    route = Route(name="own", upstream="own", model="m", offer="own/m", own=True, success={Bucket.JUDGMENT: 1})
    policy, pool = Policy(routes=(route,), aliases={"auto": Bucket.JUDGMENT}), Pool(name="own", step=STEP, replicas=3)
    load = Load.plain(0, requests(count), facts)
    return count / cpu_seconds(lambda: simulate_closed(load, Clients(clients), [pool], [], policy, kernel=kernel))


def memory_mb(count: int) -> float:
    """The most memory that a fresh process takes to simulate so many requests, libraries and compiled code included."""
    code = (
        "import resource; from benchmarks.simulate import *; from baseload.sim.replica import fastest;"
        f"serve(STEP, requests({count}), kernel=fastest());"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def measure(quick: bool) -> Iterator[Figure]:
    rounds = 1 if quick else 5
    plain = per_second(interpreted(), 1_000 if quick else 50_000, rounds)
    slow = stepwise(100 if quick else 1_000)
    yield Figure("plain Python", plain, "req/s", rounds)
    yield Figure("step by step (reference)", slow, "req/s", 1)
    yield Figure("plain Python / step by step", plain / slow, "ratio", 1)
    count = 10_000 if quick else 1_000_000
    fast = per_second(compiled(), count, rounds)
    yield Figure("compiled (extra fast)", fast, "req/s", rounds)
    yield Figure("compiled / plain Python", fast / plain, "ratio", 1)
    many, few = (1_000, 1_000) if quick else (500_000, 20_000)
    for slots in (24, 8):
        fleet = fleet_per_second(slots, many, compiled(), exact=False)
        real = fleet_per_second(slots, few, compiled(), exact=True)
        yield Figure(f"fleet, {slots} in flight, compiled", fleet, "req/s", 1)
        yield Figure(f"fleet, {slots} in flight, decide", real, "req/s", 1)
    clients = 64
    yield Figure(
        f"closed loop of {clients} clients, compiled", closed_per_second(clients, few // 2, compiled()), "req/s", 1
    )
    yield Figure(f"memory at {count:,} requests, compiled", memory_mb(count), "MB", 1)


if __name__ == "__main__":
    run(__doc__, measure)
