"""Both bases of a window by hand figures: what was charged, what was paid, what stood idle."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from baseload.audit.paid import lease_nanousd, paid, pools_of
from baseload.documents import load_deployments
from baseload.units import NANOSECONDS_PER_SECOND, usd

HOUR = 3_600 * NANOSECONDS_PER_SECOND
PAIR = (Decimal("2.40"), 2)
# Names of deployments that ship, with the GPUs of one.
TWO_H100 = "qwen3-32b-2xh100-vllm0.12"


@dataclass(frozen=True)
class Upstream:
    """The part of an upstream that is asked for."""

    kind: str = "own"
    deployment: str = TWO_H100
    usd_per_gpu_hour: Decimal | None = Decimal("2.40")


@pytest.mark.parametrize(
    ("pools", "nanoseconds", "dollars"),
    [
        ((), HOUR, "0"),
        ((PAIR,), 0, "0"),
        ((PAIR,), HOUR, "4.80"),
        ((PAIR,), HOUR // 2, "2.40"),
        ((PAIR, (Decimal("0.5"), 1)), 2 * HOUR, "10.60"),
        # 2.40 USD an hour is 2/3 of a nano-dollar in a microsecond; only the sum is rounded.
        (((Decimal("2.40"), 1),), 1_000, "0.000000001"),
        (((Decimal("1.20"), 1),) * 2, 1_000, "0.000000001"),
        # Exactly one half, and one and a half: to the even one.
        (((Decimal("1.80"), 1),), 1_000, "0"),
        (((Decimal("5.40"), 1),), 1_000, "0.000000002"),
    ],
)
def test_a_lease_is_every_hour_rounded_once(pools, nanoseconds, dollars):
    assert usd(lease_nanousd(pools, nanoseconds)) == Decimal(dollars)


@pytest.mark.parametrize(
    ("bought", "own", "pools", "metered", "lease", "total", "idle", "busy"),
    [
        # Half an hour of two GPUs at 2.40 is 2.40: a quarter busy.
        ("1", "0.60", (PAIR,), "1.60", "2.40", "3.40", "1.80", "0.25"),
        ("1", "0", (PAIR,), "1", "2.40", "3.40", "2.40", "0"),
        ("0", "2.40", (PAIR,), "2.40", "2.40", "2.40", "0", "1"),
        ("1", "3.60", (PAIR,), "4.60", "2.40", "3.40", "-1.20", "1.5"),
        ("1", "0", (), "1", "0", "1", "0", None),
        ("1", "0.60", (), "1.60", None, None, None, None),
        ("1", "0", None, "1", None, None, None, None),
    ],
)
def test_both_bases_by_hand(bought, own, pools, metered, lease, total, idle, busy):
    def nanos(text):
        return None if text is None else int(Decimal(text) * 10**9)

    found = paid(nanos(bought), nanos(own), pools, 5 * HOUR, 5 * HOUR + HOUR // 2)
    assert found.metered_nanousd == nanos(metered)
    assert found.lease_nanousd == nanos(lease)
    assert found.paid_nanousd == nanos(total)
    assert found.idle_nanousd == nanos(idle)
    assert found.busy_share == (None if busy is None else Decimal(busy))
    assert found.overrun == (idle == "-1.20")
    assert found.leased == (lease != "0")


def test_without_a_call_nothing_is_leased():
    found = paid(0, 0, (PAIR,), None, None)
    assert (found.paid_nanousd, found.idle_nanousd, found.leased) == (0, 0, False)


@pytest.mark.parametrize(
    ("upstreams", "pools"),
    [
        ((), ()),
        ((Upstream(kind="api", deployment=""),), ()),
        (
            (Upstream(), Upstream(kind="api", deployment=""), Upstream(usd_per_gpu_hour=Decimal(3))),
            (PAIR, (Decimal(3), 2)),
        ),
        ((Upstream(kind="api"),), (PAIR,)),
        ((Upstream(), Upstream(deployment="")), None),
        ((Upstream(usd_per_gpu_hour=None),), None),
        ((Upstream(deployment="nowhere"),), None),
    ],
)
def test_pools_are_the_configured_ones_and_a_price_that_is_missing_is_not_zero(upstreams, pools):
    assert pools_of(upstreams, load_deployments()) == pools
