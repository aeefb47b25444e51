"""A PostgreSQL that is killed, frozen, locked or gone loses no call and stops nobody."""

import signal
import threading
import time

import psycopg
import pytest

from baseload.errors import BadConfig, BadInput, LedgerUnavailable, NotEnoughData
from baseload.ledger.drain import Drain, recover
from baseload.ledger.hot import open_store
from baseload.ledger.postgres import PostgresStore
from baseload.ledger.query import Filter, skips, totals
from baseload.ledger.spool import Spool
from baseload.load.calls import Skip
from postgres_server import Server
from samples import call

SECONDS = 30.0


@pytest.fixture
def server():
    """One of its own, to be killed."""
    own = Server()
    own.start()
    yield own
    own.close()


def recorded(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [name for (name,) in connection.execute("SELECT id FROM calls ORDER BY position")]


def eventually(true) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_killed_in_the_middle_of_a_drain_it_gets_every_call_once_and_in_order(server, tmp_path):
    url = server.database()
    store, spool = open_store(tmp_path, url), Spool(tmp_path, segment_bytes=20_000)
    drain = Drain(tmp_path, store, spool=spool, interval_seconds=0.002)
    drain.start()
    names = [f"c{number:05d}" for number in range(3_000)]
    stop = threading.Event()

    def serve() -> None:
        for name in names:
            spool.append(call(name))  # raises where the store's trouble reaches who serves
            time.sleep(0.0005)
        stop.set()

    serving = threading.Thread(target=serve)
    serving.start()
    for _ in range(3):
        before = drain.recorded
        eventually(lambda before=before: drain.recorded > before or stop.is_set())
        server.kill()
        time.sleep(0.2)
        server.start()
    serving.join()
    assert drain.settle(SECONDS)
    spool.close()
    drain.stop()
    assert recorded(url) == names
    assert totals(store).calls == len(names)
    assert (store.conflicts, drain.damaged, drain.lost_bytes, drain.last_error) == (0, 0, 0, "")
    store.close()


def test_while_it_is_gone_calls_wait_and_the_reason_is_said_without_the_password(server, tmp_path):
    url = server.database().replace("postgres@", "postgres:secret@")
    server.kill()
    store, spool = open_store(tmp_path, url, busy_seconds=0.2), Spool(tmp_path)
    drain = Drain(tmp_path, store, spool=spool, interval_seconds=0.01)
    drain.start()
    spool.append(call("a"))
    eventually(lambda: drain.last_error)
    assert "cannot be written" in drain.last_error
    assert "secret" not in drain.last_error
    assert drain.lag > 0
    spool.append(call("b"))
    server.start()
    assert drain.settle(SECONDS)
    spool.close()
    drain.stop()
    store.close()
    assert recorded(url) == ["a", "b"]


def test_frozen_it_is_cut_off_and_calls_wait(server, tmp_path, monkeypatch):
    monkeypatch.setattr("baseload.ledger.postgres.WRITE_SECONDS", 0.3)
    url = server.database()
    store = open_store(tmp_path, url, busy_seconds=0.2)
    store.record([call("a")])
    server.signal(signal.SIGSTOP)
    with pytest.raises(LedgerUnavailable, match="cannot be written"):
        store.record([call("b")])
    server.signal(signal.SIGCONT)
    assert store.record([call("b"), call("c")]) in (1, 2)
    assert recorded(url) == ["a", "b", "c"]
    store.close()


def test_locked_it_says_so_and_nothing_is_half_written(postgres, tmp_path):
    url = postgres.database()
    store = open_store(tmp_path, url, busy_seconds=0.1)
    store.record([call("a")])
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            store.record([call("b")])
    assert recorded(url) == ["a"]
    assert store.record([call("b")]) == 1
    store.close()


def test_what_a_worker_left_is_recovered_into_it(postgres, tmp_path):
    url = postgres.database()
    spool = Spool(tmp_path)
    spool.append(call("a"))
    spool.close()
    store = open_store(tmp_path, url)
    assert recover(tmp_path, store) == 1
    assert recorded(url) == ["a"]
    store.close()


def test_a_null_byte_is_kept_in_the_call_and_replaced_where_it_cannot_stand(postgres, tmp_path):
    store = open_store(tmp_path, postgres.database())
    hostile = call("a", model="m\0", tags={"run": "r\0", "te\0am": 'x\\u0000\0"'})
    plain = call("b", tags={"run": "two", "note": "\\u0000"})
    assert store.record([hostile, plain]) == 2
    assert list(store.calls()) == [hostile, plain]
    assert totals(store, Filter(tags={"te\ufffdam": 'x\\u0000\ufffd"'})).calls == 1
    assert totals(store, Filter(tags={"note": "\\u0000"})).calls == 1
    assert [each.route for each in skips(store)] == [Skip("pool", "").route]
    with pytest.raises(BadInput, match="null byte in its name"):
        store.record([call("c\0")])
    assert totals(store).calls == 2
    store.close()


def test_a_database_without_a_ledger_is_not_made_one_by_a_reader(postgres, tmp_path):
    with pytest.raises(NotEnoughData, match="there is no ledger in postgresql"):
        open_store(tmp_path, postgres.database(), read_only=True)


@pytest.mark.parametrize("url", ["mysql://user:secret@host/db", "host:5432", "postgresql+asyncpg://u:secret@h/d"])
def test_another_address_is_refused_without_its_password(url):
    with pytest.raises(BadConfig) as refused:
        PostgresStore(url, read_only=False, busy_seconds=1)
    assert "secret" not in f"{refused.value} {refused.value.remedy}"
