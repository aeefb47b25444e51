"""Deployments that nobody measured, beside those that somebody did."""

from __future__ import annotations

from datetime import date

import pytest

from baseload.capacity.modelled import EXAMPLE
from baseload.documents import load_catalog, load_deployments
from baseload.errors import BadInput
from baseload.usage import Usage

USAGE = Usage(input_tokens=1024, output_tokens=256)


def test_a_name_that_was_not_measured_is_modelled_and_says_so():
    known = load_deployments()
    listed = list(known)
    found = known[EXAMPLE]
    assert EXAMPLE in known
    assert "not measured" in found.source.reference
    assert found.band.low < 1 < found.band.high
    assert found.measured <= date(2026, 11, 21)
    assert load_catalog().machine(found.machine).count == 2
    assert list(load_deployments()) == listed, "only measured ones are listed"


def test_it_serves_what_the_measured_one_does_within_its_band():
    """The same model, cards and engine as a shipped measurement, at the same mix and load."""
    known = load_deployments()
    measured, found = known["qwen3-32b-fp8-2xh100-trtllm1.0"], known["qwen3-32b@h100-80gb-x2:fp8:trtllm"]
    ratio = measured.seconds(USAGE) / found.seconds(USAGE)
    assert found.band.low * 2 - 1 < ratio < found.band.high * 2 - 1
    assert (measured.doubt is None, found.doubt is None) == (False, True)


def test_measured_names_stay_as_they_are():
    known = load_deployments()
    assert known.get("no-such") is None
    assert "no-such" not in known
    with pytest.raises(KeyError):
        known["no-such"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("qwen3-32b@h100", "names no deployment to model"),
        ("acme@h100-x1:fp8:vllm", "are not known"),
        ("qwen3-32b@x100-x1:fp8:vllm", "no GPU is called"),
        ("qwen3-32b@h100-x1:fp3:vllm", "no precision"),
        ("deepseek-v3@h100-x1:fp8:vllm", "does not fit"),
    ],
)
def test_a_name_that_makes_no_sense_says_what_would(name, says):
    with pytest.raises(BadInput, match=says):
        load_deployments()[name]
