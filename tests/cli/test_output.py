"""Words and figures as the pages print them."""

import pytest

from baseload.cli.output import how_many


@pytest.mark.parametrize(("count", "words"), [(0, "0 calls"), (1, "1 call"), (2, "2 calls"), (1200, "1,200 calls")])
def test_a_count_takes_its_number(count, words):
    assert how_many(count, "call") == words
