"""Keys take turns by weight, and rest when the upstream says so."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from baseload.gateway.credentials import Credentials
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.upstreams import Auth, Key, Upstream

S = NANOSECONDS_PER_SECOND


def of(*weights: float, auth: Auth = "bearer") -> Credentials:
    keys = tuple(Key(key=f"k{n}", weight=weight) for n, weight in enumerate(weights))
    return Credentials(Upstream(name="u", base_url="http://h/v1", api_keys=keys, auth=auth))


def taken(credentials: Credentials, times: int, now: int = 0) -> Counter[bytes]:
    picked = (credentials.pick(now).header for _ in range(times))
    return Counter(header[1] for header in picked if header is not None)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_over_a_round_every_key_is_taken_by_its_weight(weights: list[int]) -> None:
    found = taken(of(*weights), sum(weights))
    assert found == {f"Bearer k{n}".encode(): weight for n, weight in enumerate(weights)}


def test_no_key_is_taken_in_bursts() -> None:
    credentials = of(3, 1)
    order = [credentials.pick(0).header for _ in range(4)]
    assert order[0] != order[1] or order[1] != order[2], "not three of the same in a row at once"


def test_a_resting_key_is_left_out_until_it_is_back() -> None:
    credentials = of(1, 1)
    first = credentials.pick(0)
    first.rest(10, 0)
    assert first.header is not None
    assert first.header[1] not in taken(credentials, 5, 9 * S)
    assert taken(credentials, 4, 10 * S)[first.header[1]] == 2


def test_when_all_rest_the_first_to_be_back_is_taken() -> None:
    credentials = of(1, 1)
    one, two = credentials.pick(0), credentials.pick(0)
    one.rest(10, 0)
    assert not credentials.all_rest(0)
    two.rest(5, 0)
    assert credentials.all_rest(0)
    assert credentials.pick(0) is two
    assert not credentials.all_rest(5 * S)


def test_how_a_key_is_sent() -> None:
    assert of(1).headers() == [(b"authorization", b"Bearer k0")]
    assert of(1, auth="x-api-key").headers() == [(b"x-api-key", b"k0")]
    assert of(1, auth="api-key").headers() == [(b"api-key", b"k0")]
    assert of(1, auth="none").headers() == of().headers() == []
    assert of().pick(0).header is None
    assert "k0" not in repr(of(1).pick(0))
