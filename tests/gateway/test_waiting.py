"""Lines for a slot: first come first served, nobody overtakes, nothing is lost when somebody leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from baseload.gateway.slots import Slots, Table
from baseload.gateway.waiting import Lines, Service


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_slots_go_to_those_who_wait_in_their_order() -> None:
    lines, order = Lines(Slots()), []
    assert lines.take("pool", 1)

    async def wait(name: str) -> None:
        assert await lines.wait("pool", 1, 5)
        order.append(name)

    tasks = [asyncio.create_task(wait(name)) for name in "abc"]
    await settle()
    assert lines.length("pool") == 3
    for _ in range(3):
        assert not lines.take("pool", 1), "nobody overtakes"
        lines.give("pool")
        await settle()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    lines.give("pool")
    assert lines.take("pool", 1)


async def test_a_wait_ends_without_a_slot_and_leaves_no_trace() -> None:
    slots = Slots()
    lines = Lines(slots)
    lines.take("pool", 1)
    assert not await lines.wait("pool", 1, 0.02)
    assert lines.length("pool") == 0
    lines.give("pool")
    assert slots.busy("pool") == 0
    assert lines.take("pool", 1)


async def test_a_slot_that_comes_while_one_leaves_is_not_lost() -> None:
    slots = Slots()
    lines = Lines(slots)
    lines.take("pool", 1)
    leaving = asyncio.create_task(lines.wait("pool", 1, 5))
    staying = asyncio.create_task(lines.wait("pool", 1, 5))
    await settle()
    lines.give("pool")  # the first is given it ...
    leaving.cancel()  # ... and leaves before it knows
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await asyncio.wait_for(staying, 1)
    assert slots.busy("pool") == 1


@pytest.mark.parametrize("others", [0, 1])
async def test_a_slot_that_comes_after_one_has_left_goes_to_the_next_or_to_nobody(others: int) -> None:
    slots = Slots()
    lines = Lines(slots)
    lines.take("pool", 1)
    leaving = asyncio.create_task(lines.wait("pool", 1, 5))
    staying = [asyncio.create_task(lines.wait("pool", 1, 5)) for _ in range(others)]
    await settle()
    leaving.cancel()  # it leaves ...
    lines.give("pool")  # ... and before it could run, the one slot is given back
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await asyncio.wait_for(asyncio.gather(*staying), 1) == [True] * others
    assert (slots.busy("pool"), lines.length("pool")) == (others, 0)


async def test_several_slots_are_handed_on_at_once() -> None:
    lines = Lines(Slots())
    for _ in range(3):
        lines.take("pool", 3)
    waiting = [asyncio.create_task(lines.wait("pool", 3, 5)) for _ in range(2)]
    await settle()
    lines.give("pool")
    lines.give("pool")
    assert await asyncio.wait_for(asyncio.gather(*waiting), 1) == [True, True]


async def test_a_slot_that_another_worker_gives_back_is_found(tmp_path: Path) -> None:
    own, other = Slots(Table(tmp_path)), Slots(Table(tmp_path))
    lines = Lines(own)
    assert other.take("pool", 1)
    waiting = asyncio.create_task(lines.wait("pool", 1, 5))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    other.give("pool")
    assert await asyncio.wait_for(waiting, 1)
    own.close()
    other.close()


async def test_those_who_wait_are_counted_over_all_workers(tmp_path: Path) -> None:
    own, other = Slots(Table(tmp_path)), Slots(Table(tmp_path))
    here, there = Lines(own), Lines(other)
    assert here.take("pool", 1)
    waiting = [asyncio.create_task(each.wait("pool", 1, 5)) for each in (here, there, there)]
    await settle()
    assert here.length("pool") == there.length("pool") == 3
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert here.length("pool") == 0
    own.close()
    other.close()


async def test_without_a_limit_nobody_waits() -> None:
    lines = Lines(Slots())
    assert all(lines.take("api", None) for _ in range(100))


def test_how_long_answers_take_is_forgotten_slowly() -> None:
    service = Service()
    assert service.seconds("pool") is None
    service.learn("pool", 1.0)
    assert service.seconds("pool") == 1.0
    for _ in range(100):
        service.learn("pool", 3.0)
    assert service.seconds("pool") == pytest.approx(3.0, abs=0.01)
    assert service.all.keys() == {"pool"}
