"""The load of a week: named shapes and those of a file."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.cost.schedule import ALWAYS, HOURS_PER_WEEK, schedule
from baseload.cost.shapes import NAMED, named_shape, read_shape
from baseload.cost.ways import Load
from baseload.errors import BadInput
from baseload.ranges import Range


def load(shape):
    return Load(Range.exact(1_000), Range.exact(0), shape=shape)


def test_every_named_shape_is_a_week():
    assert {len(named_shape(name) or ()) for name in NAMED} == {HOURS_PER_WEEK}
    assert named_shape("weekend") is None
    assert load(named_shape("flat")).levels(ALWAYS) == ((1, 1),)


def test_an_office_is_busy_at_ten_on_a_monday_and_quiet_on_a_sunday():
    office = named_shape("office")
    assert (office[10], office[20], office[3], office[6 * 24 + 10]) == (
        1,
        Fraction(1, 3),
        Fraction(1, 10),
        Fraction(1, 10),
    )
    # Of 50 whole hours, 20 of a third and 98 of a tenth, machines that keep office hours miss the last two.
    missed = (Fraction(20, 3) + Fraction(98, 10)) / (50 + Fraction(20, 3) + Fraction(98, 10))
    assert load(office).outside(schedule("mon-fri:8-18")) == missed


@given(
    st.lists(st.integers(0, 10**6), min_size=HOURS_PER_WEEK, max_size=HOURS_PER_WEEK).filter(any),
    st.sampled_from("\n,; "),
)
def test_a_file_says_what_it_holds(figures, between):
    assert read_shape(between.join(map(str, figures)) + "\n", "a file") == tuple(figures)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds 0 figures"),
        ("1\n" * 167, "holds 167 figures"),
        ("1," * 169, "holds 169 figures"),
        ("0 " * 168, "without any load"),
        ("1 " * 167 + "-1", "figure 168: '-1'"),
        ("1 " * 167 + "much", "figure 168: 'much'"),
        ("nan " + "1 " * 167, "figure 1: 'nan'"),
        ("1e999999 " + "1 " * 167, "figure 1"),
    ],
)
def test_what_is_no_week_is_refused(text, says):
    with pytest.raises(BadInput, match=says):
        read_shape(text, "a file")
