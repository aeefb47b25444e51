"""The source follows a growing ledger, prices each call once, and survives a ledger that goes away."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import wait
from decimal import Decimal

import msgspec
import pytest
from tests.console.conftest import traffic

from baseload.audit.reprice import reprice
from baseload.console.source import LedgerSource
from baseload.console.study import Study, market
from baseload.errors import BadConfig, BadInput, LedgerUnavailable
from baseload.ledger.hot import FILE, open_store
from baseload.ledger.lake import DAY_NS, lake_at
from baseload.ledger.query import Filter
from baseload.ledger.retention import trimmed
from baseload.settings import Settings

LONG = 60.0


async def test_figures_grow_with_the_ledger_and_repeat_without_work(source, record):
    assert (await source.figures(None, "route")).empty
    record(traffic(100))
    first = await source.figures(None, "route", LONG)
    assert (first.requests, first.models is not None) == (100, True)
    assert await source.figures(None, "route", LONG) is first
    record(traffic(130))
    second = await source.figures(None, "route", LONG)
    assert (second.requests, second.version != first.version) == (130, True)


async def test_the_dear_part_catches_up(source, record):
    record(traffic(100))
    await source.figures(None, "route", LONG)
    record(traffic(130))
    await asyncio.sleep(source._runs[""].due - time.monotonic())
    await source.figures(None, "route", LONG)
    await asyncio.to_thread(wait, [source._runs[""].round])
    state = await source.figures(None, "route", LONG)
    assert state.models.caption.startswith("The same 130 requests")
    assert state.bars.caption.startswith("130 requests")


async def test_the_first_run_is_shown_unless_another_is_named(tmp_path, configured, record):
    record([*traffic(30, "one"), *traffic(12, "two")])
    source = LedgerSource(tmp_path, configured, first_run="two")
    assert [(await source.figures(run, "route")).requests for run in (None, "", "one", "none")] == [12, 42, 30, 0]
    assert [(await source.figures(run, "route")).missing for run in (None, "", "one", "none")] == [*[False] * 3, True]
    source.close()


async def test_a_first_run_without_a_call_is_awaited_not_missed(tmp_path, configured, record):
    record(traffic(3, "old"))
    source = LedgerSource(tmp_path, configured, first_run="new")
    assert [(await source.figures(run, "route")).missing for run in (None, "new", "newer")] == [False, False, True]
    source.close()


async def test_what_only_the_lake_has_is_said(source, record, tmp_path):
    """Calls that left the hot store are not counted, and the page says how many those are."""
    record(traffic(40))
    first = await source.figures(None, "route", LONG)
    assert "lake" not in first.traffic.note
    store, lake = open_store(tmp_path), lake_at(tmp_path)
    newest = max(call.facts.at_ns for call in store.calls())
    lake.seal(store, newest + 3 * DAY_NS)
    gone = trimmed(store, lake, newest + 9 * DAY_NS, hot_days=1, lake_days=None).hot
    store.close()
    record(traffic(41))
    second = await source.figures(None, "route", LONG)
    assert gone > 0
    assert second.requests == 41 - gone
    assert f" {gone:,} older calls, the newest from the hour of 20" in second.traffic.note


async def test_every_state_is_of_one_moment_while_the_ledger_grows(source, record):
    """Rows sum to their total however busily calls are recorded in between."""
    record(traffic(10))
    busy = threading.Thread(target=lambda: [record(traffic(count)) for count in range(10, 300, 3)])
    busy.start()
    while busy.is_alive():
        table = (await source.figures("", "bucket")).traffic
        assert sum(row[1] for row in table.rows) == table.totals[1]
    busy.join()


def test_following_in_rounds_equals_pricing_everything_at_once(tmp_path, configured, record):
    calls = traffic(200)
    books = market(configured)
    study = Study(books, Filter())
    store = open_store(tmp_path)
    for upto in (1, 77, 200):
        record(calls[:upto])
        found = study.follow(store)
        rows = {(row.provider, row.offer): row.nanousd for row in found.compared if row.book != "in no book"}
        wanted = {(offer.provider, offer.model): row.nanousd for offer, row in _priced(books.offers, calls[:upto])}
        tries = [tried for call in calls[:upto] for tried in call.attempts]
        bought = sum(tried.cost_nanousd or 0 for tried in tries if not tried.offer.startswith("own/"))
        span = max(call.ended_ns for call in calls[:upto]) - min(call.facts.at_ns for call in calls[:upto])
        lease = round(Decimal("4.80") * span / 3600)
        assert rows == wanted | {("paid", "as routed"): bought + lease}
        assert (found.requests, found.position) == (upto, upto)
    store.close()


def _priced(offers, calls):
    return zip(offers, reprice(calls, offers), strict=True)


async def test_a_ledger_that_cannot_be_read_is_said_and_then_found_again(source, record, tmp_path):
    (tmp_path / FILE).write_bytes(b"this is no database " * 1_000)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="cannot be read"):
            await source.figures(None, "route")
    (tmp_path / FILE).unlink()
    assert (await source.figures(None, "route")).empty
    record(traffic(40))
    assert (await source.figures(None, "route")).requests == 40


async def test_a_ledger_that_was_replaced_is_read_anew(source, record, tmp_path):
    record(traffic(40))
    assert (await source.figures(None, "route", LONG)).models is not None
    for path in tmp_path.glob(f"{FILE}*"):
        path.unlink()
    assert (await source.figures(None, "route", LONG)).empty
    record(traffic(7))
    state = await source.figures(None, "route", LONG)
    assert (state.requests, state.models.caption) == (7, "The same 7 requests at each list price")


async def test_an_unknown_dimension_is_refused(source, record):
    record(traffic(3))
    with pytest.raises(BadInput):
        await source.figures(None, "colour")


async def test_many_runs_are_followed_without_end(source, record):
    """Only so many states and studies are kept, and the oldest run still answers."""
    record([call for run in range(12) for call in traffic(3, f"run-{run}")])
    for by in ("route", "model", "bucket"):
        for run in range(12):
            assert (await source.figures(f"run-{run}", by)).requests == 3
    assert len(source._runs) <= 8
    assert len(source._states) <= 32


async def test_a_configuration_that_cannot_be_weighed_is_an_error_not_a_silence(tmp_path, configured, record):
    record(traffic(40))
    pool, api = configured.upstreams
    broken: Settings = msgspec.structs.replace(
        configured, upstreams=(msgspec.structs.replace(pool, deployment="nowhere"), api)
    )
    source = LedgerSource(tmp_path, broken)
    await source.figures(None, "route", LONG)
    with pytest.raises(BadConfig, match="nowhere"):
        await source.figures(None, "route", LONG)
    source.close()
