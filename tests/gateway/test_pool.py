"""Which replica a request goes to."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.gateway.pool import Replica, beginning, choose, room
from baseload.units import NANOSECONDS_PER_SECOND
from baseload.upstreams import Pool
from baseload.wire import openai

S = NANOSECONDS_PER_SECOND
SPREAD = Pool(prefix_bytes=0)


def replicas(*loads: int) -> list[Replica]:
    found = [Replica(f"http://10.0.0.{n}:8000/v1") for n in range(len(loads))]
    for each, load in zip(found, loads, strict=True):
        each.in_flight = load
    return found


def test_the_least_loaded_is_chosen() -> None:
    pool = replicas(3, 1, 2)
    assert choose(pool, b"", SPREAD, 0) is pool[1]
    pool[1].reported = 5  # others send to it too
    assert choose(pool, b"", SPREAD, 0) is pool[2]


def test_the_same_beginning_goes_to_the_same_replica() -> None:
    pool = replicas(0, 0, 0, 0)
    for n in range(50):
        text = b"prompt %d" % n
        assert choose(pool, text, Pool(), 0) is choose(pool, text, Pool(), 0)


def test_beginnings_spread_over_the_replicas() -> None:
    pool = replicas(0, 0, 0, 0)
    found = Counter(choose(pool, b"prompt %d" % n, Pool(), 0).url for n in range(1_000))
    assert min(found.values()) > 150


def test_a_replica_that_goes_moves_only_its_own_prompts() -> None:
    pool = replicas(0, 0, 0, 0)
    before = {n: choose(pool, b"prompt %d" % n, Pool(), 0) for n in range(300)}
    pool[2].draining = True
    after = {n: choose(pool, b"prompt %d" % n, Pool(), 0) for n in range(300)}
    assert all(after[n] is before[n] for n in before if before[n] is not pool[2])
    assert pool[2] not in after.values()


@given(st.lists(st.integers(0, 30), min_size=2, max_size=8), st.binary(max_size=30), st.integers(0, 10))
def test_no_preference_is_worth_more_than_the_slack(loads: list[int], text: bytes, slack: int) -> None:
    pool = replicas(*loads)
    chosen = choose(pool, text, Pool(slack=slack), 0)
    assert chosen is not None
    assert chosen.load <= min(loads) + (slack if text else 0)


def test_a_full_replica_is_passed_over_and_when_all_are_full_there_is_none() -> None:
    limited = Pool(prefix_bytes=0, replica_slots=2)
    pool = replicas(2, 1)
    pool[1].reported = 9
    assert choose(pool, b"", limited, 0) is pool[1]
    pool[1].in_flight = 2
    assert choose(pool, b"", limited, 0) is None
    assert choose(replicas(2), b"", limited, 0) is None
    assert room(pool, limited, 0) == 4
    pool[0].found(False)
    assert room(pool, limited, 0) == 2
    assert room(pool, SPREAD, 0) is None


def test_what_failed_is_left_out_for_a_while_or_until_it_is_seen_well() -> None:
    pool = replicas(0, 5)
    pool[0].leave_out(10, 0)
    assert choose(pool, b"", SPREAD, 9 * S) is pool[1]
    assert choose(pool, b"", SPREAD, 10 * S) is pool[0]
    pool[0].leave_out(10, 0)
    pool[0].found(True)
    assert choose(pool, b"", SPREAD, 0) is pool[0]
    pool[0].found(False)
    assert choose(pool, b"", SPREAD, 99 * S) is pool[1]


def test_when_none_is_well_one_is_asked_all_the_same_but_never_one_that_drains() -> None:
    pool = replicas(3, 1)
    for each in pool:
        each.found(False)
    assert choose(pool, b"", SPREAD, 0) is pool[1]
    pool[1].draining = True
    assert choose(pool, b"", SPREAD, 0) is pool[0]


def asked(**fields: object) -> bytes:
    body = {"model": "m", "temperature": 0.5, "messages": [{"role": "system", "content": "You are brief."}], **fields}
    return msgspec.json.encode(body)


@pytest.mark.parametrize("length", [1, 10, 40, 1_000])
def test_a_conversation_keeps_its_beginning(length: int) -> None:
    first = openai.read(asked())
    turn = {"role": "user", "content": "And then?"}
    later = openai.read(asked(messages=[{"role": "system", "content": "You are brief."}, turn], temperature=1))
    common = min(length, len(b'[{"role":"system","content":"You are brief."}'))
    assert beginning(first, length)[:common] == beginning(later, length)[:common] != b""
    assert len(beginning(first, length)) <= length


def test_tools_stand_before_the_messages_and_nothing_is_read_when_nothing_is_wanted() -> None:
    read = openai.read(asked(tools=[{"type": "function", "function": {"name": "f"}}]))
    assert beginning(read, 1_000).startswith(b'[{"type":"function"')
    assert beginning(read, 0) == b""


def test_a_prompt_leaves_nothing_behind_however_many_there_are():
    replicas = [Replica(f"http://{n}/v1") for n in range(4)]
    before = [{name: getattr(each, name) for name in Replica.__slots__} for each in replicas]
    chosen = {choose(replicas, b"prompt %d" % number, Pool(), 0) for number in range(10_000)}
    assert chosen == set(replicas)
    assert [{name: getattr(each, name) for name in Replica.__slots__} for each in replicas] == before
