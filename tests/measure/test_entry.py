"""From loads to an entry: the rates that made them come back, and the row is read as it was written."""

from datetime import date

import pytest

from baseload.capacity.curve import Curve
from baseload.documents import load_deployments, write_yaml
from baseload.errors import BadInput, NotEnoughData
from baseload.measure.asking import Sample
from baseload.measure.entry import About, entry, fitted, named
from baseload.measure.levels import level

ABOUT = About("mine", "m", "h100-80gb", 2, "vLLM 1.0", "fp8", False, "http://127.0.0.1:8000/v1", date(2026, 11, 1), 99)
CURVE = Curve(0.01, 0.0004, 1.0, 64)


def measured(in_flight, read=100, written=50, *, per_input=0.0, distorted=1.0):
    """A load on CURVE that beside it reads prompts, every sender at once."""
    seconds = written * CURVE.step_seconds(in_flight) * distorted + in_flight * read * per_input
    samples = [
        Sample(each * seconds, each * seconds + 0.1, (each + 1) * seconds, [each * seconds + 0.1], read, 0, written)
        for each in range(8)
        for _ in range(in_flight)
    ]
    return level(samples, in_flight=in_flight, closing=7.5 * seconds, busy=0.0, late=0.0)


def test_the_curve_and_its_error_on_the_load_it_had_not_seen():
    loads = [measured(each) for each in (1, 2, 4, 8, 16)]
    found = fitted(loads, None)
    assert found.held_out.in_flight == 4
    assert abs(found.held_out.error) < 0.01
    assert found.calibrated
    for each in (1, 3, 16):
        assert found.curve.tokens_per_second(each) == pytest.approx(CURVE.tokens_per_second(each), rel=0.01)


def test_a_curve_that_misses_what_it_had_not_seen_is_not_called_calibrated():
    loads = [measured(each, distorted=1.6 if each == 4 else 1.0) for each in (1, 2, 4, 8, 16)]
    found = fitted(loads, None)
    assert found.held_out.error > 0.15
    assert found.held_out.predicted == pytest.approx(CURVE.tokens_per_second(4), rel=0.02)
    assert not found.calibrated
    assert "not calibrated" in entry(ABOUT, loads, None, found)["deployments"][0]["note"]


def test_two_loads_make_a_curve_that_nothing_has_checked():
    found = fitted([measured(1), measured(8)], None)
    assert found.held_out is None
    assert not found.calibrated
    with pytest.raises(NotEnoughData, match="two loads"):
        fitted([measured(1)], None)


def test_long_prompts_tell_reading_from_writing():
    loads = [measured(each, per_input=2e-5) for each in (1, 2, 4, 8)]
    found = fitted(loads, measured(4, read=400, per_input=2e-5))
    assert not found.rates.bounded
    assert found.rates.input_tokens_per_second == pytest.approx(1 / 2e-5, rel=0.02)
    assert found.rates.output_tokens_per_second == pytest.approx(8 / CURVE.step_seconds(8), rel=0.02)


def test_reading_that_costs_nothing_is_bounded_by_what_can_be_told():
    loads = [measured(each) for each in (1, 2, 4, 8)]
    found = fitted(loads, measured(4, read=400))
    assert found.rates.bounded
    assert found.rates.input_tokens_per_second > 10_000


def test_an_entry_is_read_as_it_was_written(tmp_path):
    loads = [measured(each, per_input=2e-5) for each in (1, 2, 4, 8)]
    long = measured(4, read=400, per_input=2e-5)
    found = fitted(loads, long)
    write_yaml(tmp_path / "mine.yaml", entry(ABOUT, loads, long, found))
    mine = load_deployments(yours=tmp_path)["mine"]
    for each in (1, 2, 4, 8):
        assert mine.curve.tokens_per_second(each) == pytest.approx(found.curve.tokens_per_second(each), rel=1e-3)
    assert float(mine.saturated.input_tokens_per_second) == pytest.approx(found.rates.input_tokens_per_second, rel=1e-3)
    assert (mine.mix_input, mine.mix_output, mine.measured) == (100, 50, date(2026, 11, 1))
    assert "http://127.0.0.1:8000/v1" in mine.source.reference


@pytest.mark.parametrize("name", ["../up", "Big", "", "a b", ".hidden"])
def test_a_name_that_is_no_file_is_refused(name):
    with pytest.raises(BadInput, match="cannot be the name"):
        named(name, "m", "h100", 1, "vLLM")


def test_a_name_is_made_of_what_was_measured():
    assert named(None, "org/Model X", "h100-80gb", 2, "SGLang 0.5") == "model-x-2xh100-80gb-sglang0.5"
