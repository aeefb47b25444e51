"""Memory fit against model cards and the articles' own table."""

from datetime import date
from decimal import Decimal

import pytest

from baseload.capacity.architecture import Architecture
from baseload.capacity.fit import fit
from baseload.catalog.entries import Machine, Precedence, Source
from baseload.documents import load_architectures

SOURCE = Source("test", Precedence.YOURS, date(2026, 11, 21), "test")
QWEN_32B = Architecture("qwen3-32b", Decimal("32.8e9"), Decimal("32.0e9"), 262_144, 40_960, SOURCE)
DEEPSEEK = Architecture("deepseek-v3", Decimal("671.0e9"), Decimal("36.6e9"), 70_272, 163_840, SOURCE)


def cards(count: int) -> Machine:
    return Machine("h100", "H100 80GB", count, Decimal(80), Decimal("3.35"), Decimal(989), Decimal(700), SOURCE)


@pytest.mark.parametrize(
    ("model", "count", "bits", "context", "fits", "words"),
    [
        (QWEN_32B, 1, 16, 8_192, True, "66 GB of 72 GB are weights, 2 requests"),
        (QWEN_32B, 2, 16, 8_192, True, "36 requests"),
        (QWEN_32B, 1, 16, 40_960, False, "not one request of that context"),
        (DEEPSEEK, 8, 8, 4_096, False, "10 such cards would hold them"),
        (DEEPSEEK, 8, 4, 4_096, True, "336 GB of 576 GB are weights"),
    ],
)
def test_fit_says_whether_and_what_would(model, count, bits, context, fits, words):
    answer = fit(model, cards(count), weight_bits=bits, context_tokens=context)
    assert answer.fits is fits
    assert words in answer.sentence
    assert (answer.max_in_flight > 0) is fits


def test_an_eight_bit_cache_holds_twice_the_requests():
    sixteen = fit(QWEN_32B, cards(2), weight_bits=16, context_tokens=8_192)
    eight = fit(QWEN_32B, cards(2), weight_bits=16, context_tokens=8_192, cache_bits=8)
    assert eight.max_in_flight in (2 * sixteen.max_in_flight, 2 * sixteen.max_in_flight + 1)


def test_cards_split_the_cache_only_as_far_as_its_heads_go():
    known = load_architectures()
    latent, heads = known["deepseek-v3"], known["qwen3-32b"]
    one = fit(latent, cards(8), weight_bits=4, context_tokens=4_096)
    stages = fit(latent, cards(8), weight_bits=4, context_tokens=4_096, pipeline=8)
    assert one.kv_gb_per_request == 8 * stages.kv_gb_per_request
    assert fit(heads, cards(8), weight_bits=16, context_tokens=4_096).kv_gb_per_request == pytest.approx(
        Decimal(262_144 * 4_096) / 10**9
    )


def test_a_window_bounds_what_its_layers_keep():
    gemma = load_architectures()["gemma-3-27b"]
    short = fit(gemma, cards(2), weight_bits=16, context_tokens=1_024)
    long = fit(gemma, cards(2), weight_bits=16, context_tokens=102_400)
    assert long.kv_gb_per_request < 20 * short.kv_gb_per_request


def test_what_does_not_fit_says_the_bits_that_would():
    assert "or 8 bits per weight" in fit(QWEN_32B, cards(1), weight_bits=32, context_tokens=1_024).sentence
    assert "or 4 bits" in fit(DEEPSEEK, cards(8), weight_bits=8, context_tokens=1_024).sentence
