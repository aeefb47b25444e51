"""What a measurement is worth after a while: wider with age, another version, and a check that it failed."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.capacity.board import machine_of
from baseload.capacity.calibration import Calibration
from baseload.capacity.case import PRECISIONS, Case
from baseload.capacity.drift import Doubt, days_between, differs
from baseload.documents import load_architectures, load_machines

DAY = date(2026, 11, 1)
CASE = Case(
    load_architectures()["qwen3-32b"], machine_of("h100", 2, load_machines()), "vllm", PRECISIONS["fp8"], 1000, 250, 32
)


@pytest.mark.parametrize(
    ("doubt", "wide"),
    [
        (Doubt(0), 0.05),
        (Doubt(30), 0.05),
        (Doubt(31), 0.32),
        (Doubt(None), 0.32),
        (Doubt(0, other_version=True), math.expm1(math.hypot(math.log(1.05), math.log(1.25)))),
        (Doubt(0, held_out=0.04, fitted=True), math.expm1(math.hypot(math.log(1.05), math.log(1.04)))),
        (Doubt(0, held_out=0.16, fitted=True), math.expm1(math.hypot(math.log(1.05), math.log(1.29)))),
        (Doubt(0, held_out=-0.60, fitted=True), math.expm1(math.hypot(math.log(1.05), math.log(1.60)))),
        (Doubt(0, held_out=None, fitted=True), math.expm1(math.hypot(math.log(1.05), math.log(1.29)))),
    ],
)
def test_a_band_is_as_wide_as_there_is_doubt(doubt, wide):
    assert math.expm1(doubt.width) == pytest.approx(wide)
    assert float(doubt.band.high) == pytest.approx(1 + wide, abs=1e-3)
    assert float(doubt.band.low) == pytest.approx(1 / (1 + wide), abs=1e-3)
    assert doubt.band.likely == Decimal(1)
    assert f"{wide:.0%} either way" in doubt.sentence


doubts = st.builds(
    Doubt, st.none() | st.integers(0, 4000), st.booleans(), st.none() | st.floats(-0.9, 3.0), st.booleans()
)


@given(doubts, st.integers(0, 4000))
def test_more_doubt_is_never_narrower(doubt, days):
    older = replace(doubt, age_days=None if doubt.age_days is None else doubt.age_days + days)
    assert older.width >= doubt.width
    assert replace(doubt, other_version=True).width >= doubt.width
    assert replace(doubt, fitted=True).width >= replace(doubt, fitted=False).width
    off = doubt.held_out if doubt.held_out is not None else 0.0
    fitted = replace(doubt, fitted=True, held_out=off)
    assert replace(fitted, held_out=math.copysign(abs(off) + 0.1, off)).width >= fitted.width


def test_a_day_that_is_to_come_is_new():
    assert days_between(date(2026, 12, 1), DAY) == 0
    assert days_between(date(2026, 10, 1), DAY) == 31
    assert days_between(None, DAY) is None


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("0.12.0", "vLLM 0.12.0, tensor parallel 2", False),
        ("v0.12.0", "0.12.1", True),
        ("1.0.0rc3", "1.0.0RC3", False),
        ("1.0.0rc3", "1.0.0", True),
        ("", "0.12", False),
        ("nightly", "0.12", False),
    ],
)
def test_versions_that_are_not_known_do_not_differ(one, other, found):
    assert differs(one, other) is found
    assert differs(other, one) is found


def test_a_calibration_is_doubted_by_day_version_and_check():
    fresh = Calibration(1.0, 1.0, 1.0, 3, 0.04, DAY, "0.12.0")
    assert fresh.doubt(replace(CASE, version="0.12.0"), DAY) == Doubt(0, held_out=0.04)
    assert fresh.doubt(replace(CASE, version="0.19.0"), DAY) == Doubt(0, other_version=True, held_out=0.04)
    assert fresh.doubt(CASE, date(2027, 1, 1)) == Doubt(61, held_out=0.04)
    failed = replace(fresh, held_out=0.4)
    assert failed.doubt(CASE, DAY) == Doubt(0, held_out=0.4, fitted=True)
    assert replace(fresh, when=None, version="").doubt(CASE, DAY) is None
