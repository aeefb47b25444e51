from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from baseload.documents import load_deployments
from baseload.errors import NotEnoughData
from baseload.load.trace import Arrival, Trace
from baseload.plan.scenario import machines_of, volume_of
from baseload.plan.tracing import trace_scenario
from baseload.usage import Usage

DEPLOYMENT = load_deployments()["qwen3-32b-2xh100-vllm0.12"]
SECOND = 10**9


def trace(seconds, read=1000, wrote=100) -> Trace:
    return Trace(datetime(2026, 1, 1, tzinfo=UTC), tuple(Arrival(at * SECOND, read, wrote) for at in seconds), ())


def scenario(found: Trace):
    return trace_scenario(found, DEPLOYMENT, "2-3", name="t")


def test_an_even_trace_becomes_a_month():
    found = scenario(trace(range(0, 600, 10)))
    assert volume_of(found).input_tokens == 60 * 1000 * 730 * 6
    assert volume_of(found).output_tokens == 60 * 100 * 730 * 6
    machines = machines_of(found)
    assert machines is not None
    assert machines.peak == 1
    assert machines.usd_per_month.low == 2 * DEPLOYMENT.gpus * 730
    busy = DEPLOYMENT.seconds(Usage(input_tokens=1000, output_tokens=100))
    assert abs(machines.capacity / (1100 * 730 * 3600 / busy) - 1) < Decimal("0.0001")


def test_the_busiest_minute_is_the_peak():
    crowded = [*range(60), *range(60, 600, 20)]
    machines = machines_of(scenario(trace(crowded)))
    assert machines is not None
    assert machines.peak == round(Decimal(60 * 10) / len(crowded), 4)


@pytest.mark.parametrize("seconds", [range(0, 600, 60), range(100), [*range(28), 3000]])
def test_too_little_is_no_month(seconds):
    with pytest.raises(NotEnoughData):
        scenario(trace(seconds))


def test_requests_without_tokens_are_no_load():
    with pytest.raises(NotEnoughData):
        scenario(trace(range(0, 600, 10), 0, 0))
