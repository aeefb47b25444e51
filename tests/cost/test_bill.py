"""Bills: a total is its lines, and differences of bills are differences of their totals."""

from hypothesis import given
from hypothesis import strategies as st

from baseload.cost.bill import Bill, Line
from baseload.ranges import Range

figure = st.decimals(0, 10_000, places=9)
amounts = st.tuples(figure, figure, figure).map(lambda three: Range(*sorted(three)))
lines = st.builds(Line, st.sampled_from(["GPU lease", "API", "engineer time"]), amounts, st.just("typed"))
bills = st.lists(lines, max_size=6).map(lambda each: Bill(tuple(each)))


@given(bills, bills)
def test_bills_subtract_line_by_line_to_the_difference_of_their_totals(mine, theirs):
    difference = mine - theirs
    assert difference.total == mine.total - theirs.total
    assert {line.component for line in difference.lines} == {line.component for line in (*mine.lines, *theirs.lines)}


@given(bills, bills)
def test_bills_add(mine, theirs):
    assert (mine + theirs).total == mine.total + theirs.total


def test_an_exact_bill_less_itself_is_nothing():
    bill = Bill((Line("API", Range.exact(2400), "300 M x 3"), Line("API", Range.exact(5), "more")))
    assert (bill - bill).total == Range.exact(0)
    assert bill.by_component() == {"API": Range.exact(2405)}
    assert Bill().total == Range.exact(0)
