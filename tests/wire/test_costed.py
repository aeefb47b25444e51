"""What a call cost, in its answer: only there, exact, and every other byte as it was."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.wire.costed import LastCount, events_with_cost, with_cost

COST = Decimal("0.000142400")


def event(**document: object) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"id":"a","usage":{"n":1}}', b'{"id":"a","usage":{"cost":0.000142400,"n":1}}'),
        (b'{ "usage" : {} , "x": 1.50}', b'{ "usage" : {"cost":0.000142400} , "x": 1.50}'),
        (b'{"usage":{"cost":9,"n":1}}', b'{"usage":{"cost":0.000142400,"n":1}}'),
        (b'{"response":{"usage":{"n":1}}}', b'{"response":{"usage":{"cost":0.000142400,"n":1}}}'),
        (b'{"usage":null}', b'{"usage":null}'),
        (b'{"id":"a"}', b'{"id":"a"}'),
        (b"not JSON", b"not JSON"),
        (b'{"usage":{"n":1},"usage":{"n":2}}', b'{"usage":{"n":1},"usage":{"n":2}}'),
    ],
)
def test_where_it_stands(document: bytes, expected: bytes) -> None:
    assert with_cost(document, COST) == expected


def test_a_price_that_is_not_known_is_null() -> None:
    assert with_cost(b'{"usage":{}}', None) == b'{"usage":{"cost":null}}'


@given(st.binary(max_size=60))
def test_hostile_bytes_stay_as_they_are_or_become_usage(document: bytes) -> None:
    assert with_cost(document, COST)[:1] == document[:1]
    assert events_with_cost(document, None)[:1] == document[:1]


@given(st.lists(st.sampled_from([event(x=1), event(usage={"n": 1}), b": ping\n\n", b"data: [DONE]\n\n"]), max_size=8))
def test_only_a_last_event_that_counts_is_kept_back(events: list[bytes]) -> None:
    count = LastCount()
    out = b"".join(count.feed(each) for each in events)
    assert out + count.held == b"".join(events)
    assert count.held == (events[-1] if events and b"usage" in events[-1] else b"")


def test_the_last_count_of_a_stream_says_the_cost() -> None:
    events = event(usage={"n": 1}) + event(usage={"n": 2}) + b"data: [DONE]\r\n\r\n"
    found = events_with_cost(events, COST)
    last = b'data: {"usage":{"cost":0.000142400,"n":2}}\n\n'
    assert found == event(usage={"n": 1}) + last + b"data: [DONE]\r\n\r\n"
