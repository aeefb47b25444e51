"""Busy seconds and own prices against measured mixes."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from baseload.capacity.curve import Curve, Point
from baseload.capacity.deployment import Deployment, separate
from baseload.capacity.offer import own_offer
from baseload.catalog.entries import Precedence, Source
from baseload.cost.tokens import price
from baseload.errors import BadInput
from baseload.usage import Usage

SOURCE = Source("test", Precedence.YOURS, date(2026, 11, 21), "test")
# Qwen3-32B on 2 x H100, vLLM 0.12.0, 128 in flight: output tokens/s at 1,024:128, 1,024:512 and 1,024:1,024.
SHORT, MIDDLE, LONG = Decimal("1505.3"), Decimal("2940.0"), Decimal("3330.1")


def deployment(*, saturated: bool) -> Deployment:
    rates = separate((1024, 128, SHORT), (1024, 1024, LONG)) if saturated else None
    curve = Curve.through(Point(8, 418.8), Point(128, 1505.3))
    return Deployment(
        "d",
        "qwen3-32b",
        "h100-80gb-x2",
        "h100-80gb",
        2,
        "vLLM",
        "bf16",
        curve,
        128,
        1024,
        128,
        rates,
        SOURCE.as_of,
        SOURCE,
    )


def test_two_mixes_tell_reading_from_writing_and_predict_a_third():
    served = deployment(saturated=True)
    assert served.seconds(Usage(input_tokens=1024, output_tokens=128)) == pytest.approx(128 / SHORT)
    assert served.seconds(Usage(input_tokens=1024, output_tokens=1024)) == pytest.approx(1024 / LONG)
    held_out = served.seconds(Usage(input_tokens=1024, output_tokens=512))
    assert abs(held_out / (512 / MIDDLE) - 1) < Decimal("0.05")


def test_the_second_measured_engine_predicts_its_third_mix_within_one_percent():
    rates = separate((1024, 256, Decimal("3184.4")), (1024, 512, Decimal("4545.4")))
    busy = 1024 / rates.input_tokens_per_second + 128 / rates.output_tokens_per_second
    assert abs(busy / (128 / Decimal("1999.0")) - 1) < Decimal("0.01")


def test_cached_prompt_tokens_take_no_time_and_no_money():
    served = deployment(saturated=True)
    read = Usage(input_tokens=100, output_tokens=10)
    cached = Usage(input_tokens=100, cache_read_tokens=5000, output_tokens=10)
    assert served.seconds(read) == served.seconds(cached)
    offer = own_offer(served, Decimal("2.40"), SOURCE)
    when = datetime(2026, 11, 19, tzinfo=UTC)
    assert price(read, offer, when).nanousd == price(cached, offer, when).nanousd > 0


@pytest.mark.parametrize("saturated", [True, False])
def test_a_full_hour_of_calls_costs_what_the_hour_costs(saturated):
    served = deployment(saturated=saturated)
    usage = Usage(input_tokens=1024, output_tokens=128)
    calls_per_hour = 3600 / served.seconds(usage)
    offer = own_offer(served, Decimal("2.40"), SOURCE)
    charged = price(usage, offer, datetime(2026, 11, 19, tzinfo=UTC)).nanousd * calls_per_hour
    assert charged == pytest.approx(Decimal("4.80") * 10**9, rel=Decimal("0.0001"))


@pytest.mark.parametrize(
    ("mix_a", "mix_b", "says"),
    [
        ((1024, 128, Decimal(500)), (2048, 256, Decimal(500)), "same mix"),
        ((1024, 128, Decimal(5)), (1024, 1024, Decimal(5000)), "contradict"),
    ],
)
def test_measurements_that_say_nothing_or_contradict_are_refused(mix_a, mix_b, says):
    with pytest.raises(BadInput, match=says):
        separate(mix_a, mix_b)
