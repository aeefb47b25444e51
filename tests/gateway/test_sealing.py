"""A gateway's hours go into the lake by themselves, and leave the hot store when they are old."""

import asyncio

from baseload.gateway.sealing import GRACE_NS, Sealing
from baseload.ledger.hot import open_store
from baseload.ledger.lake import DAY_NS, HOUR_NS, lake_at
from baseload.ledger.verify import broken
from baseload.policy.policy import Policy
from baseload.settings import Retention, Settings
from samples import START_NS, call


class Then:
    """A clock that stands."""

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns

    def time_ns(self) -> int:
        return self.at_ns


async def until(holds) -> None:
    async with asyncio.timeout(300):
        while not holds():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.05)


async def test_hours_that_are_over_are_sealed_and_old_ones_leave(tmp_path):
    store = open_store(tmp_path)
    store.record(call(f"c{n}", seconds=n * 3_600) for n in range(3))
    first_hour = START_NS - START_NS % HOUR_NS
    clock = Then(first_hour + HOUR_NS + GRACE_NS)
    settings = Settings(
        upstreams=(),
        policy=Policy(name="p", routes=()),
        data_dir=str(tmp_path),
        lake=str(tmp_path / "there"),
        retention=Retention(hot_days=2),
    )
    sealing = Sealing(lambda: settings, clock, look_seconds=0.05)
    lake = lake_at(tmp_path, settings.lake)

    def sealed() -> int:
        lake.manifest.refresh()
        return sum(each.sums.calls for each in lake.manifest.living)

    sealing.start()
    try:
        await until(lambda: sealed() == 1)
        clock.at_ns += 3 * DAY_NS
        await until(lambda: sealed() == 3 and len(store.rows(calls_left())) == 1)
    finally:
        await sealing.stop()
    assert [each.id for each in store.calls()] == ["c0", "c1", "c2"]
    assert broken(lake, store) == []
    store.close()


def calls_left():
    from baseload.ledger.tables import calls

    return calls.select()


async def test_what_cannot_be_sealed_is_told(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    open_store(tmp_path).close()
    settings = Settings(upstreams=(), policy=Policy(name="p", routes=()), data_dir=str(tmp_path), lake="nothing://x")
    sealing = Sealing(lambda: settings, Then(START_NS), look_seconds=0.05)
    sealing.start()
    try:
        await until(lambda: "hours could not be sealed: a lake cannot be at nothing://" in caplog.text)
    finally:
        await sealing.stop()
