"""From the spool into the hot store: calls a second that one core takes, each on the disk before the spool lets it go.

    python -m benchmarks.ledger [--quick] [--json]

A spool is filled, then drained as after a crash: read, checked, written in groups, synced, deleted; into SQLite, and
into a PostgreSQL beside it (of the tests, with fsync on). A core's rate is by the processor time of the drain alone, in
which a server's own processes are not; the clock's is what this machine had left beside everything else on it.
"""

from __future__ import annotations

import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.postgres_server import Server

from baseload.ledger.drain import recover
from baseload.ledger.hot import open_store
from baseload.ledger.spool import Spool
from baseload.load.calls import Attempt, Call, Choice, Decision
from baseload.load.facts import Bucket, Facts
from baseload.usage import Usage
from benchmarks.frame import Figure, run

START_NS = 1_790_000_000_000_000_000
EVERY_NS = 10_000_000


def calls(count: int) -> Iterator[Call]:
    """One attempt each, names as random as the gateway's, tags of a few teams and keys."""
    for number in range(count):
        at = START_NS + number * EVERY_NS
        name = secrets.token_hex(12)
        yield Call(
            id=name,
            facts=Facts(
                at_ns=at,
                model="auto",
                bucket=Bucket.JUDGMENT,
                input_tokens=900,
                tags={"team": f"team-{number % 40}", "key": f"key-{number % 97}", "customer": f"c{number % 900}"},
            ),
            decision=Decision(id=f"d{name}", policy="p@3f2a", routes=(Choice("api", "cheapest", 120_000),)),
            attempts=(
                Attempt(
                    number=1,
                    route="api",
                    upstream="acme",
                    model="gpt-5-mini",
                    offer="openai/gpt-5-mini",
                    started_ns=at,
                    first_byte_ns=at + 200_000_000,
                    ended_ns=at + 900_000_000,
                    http_status=200,
                    usage=Usage(input_tokens=880 + number % 50, output_tokens=210),
                    cost_nanousd=640_000 + number,
                    book="market 2026-11",
                ),
            ),
            ended_ns=at + 900_000_000,
        )


def ingested(count: int, url: str = "") -> tuple[float, float, float]:
    """Calls for each second of the processor, and of the clock; and the drain beside the append, in processor time."""
    directory = Path(tempfile.mkdtemp(prefix="baseload-bench-"))
    try:
        spool, store = Spool(directory), open_store(directory, url)
        made = list(calls(count))
        began = time.process_time()
        for call in made:
            spool.append(call)
        spool.close()
        clock, processor = time.perf_counter(), time.process_time()
        fresh = recover(directory, store)
        spent = time.process_time() - processor
        rates = count / spent, count / (time.perf_counter() - clock), spent / (processor - began)
        store.close()
        if fresh != count:
            raise RuntimeError(f"{fresh} of {count} calls arrived")
        return rates
    finally:
        shutil.rmtree(directory)


def measure(quick: bool) -> Iterator[Figure]:
    count, rounds = (20_000, 2) if quick else (400_000, 5)
    server = Server(durable=True)
    try:
        server.start()
        rates = [(ingested(count), ingested(count, server.database())) for _ in range(rounds)]  # in turn
    finally:
        server.close()
    for place, name in enumerate(("SQLite", "PostgreSQL")):
        core, clock, beside = zip(*(both[place] for both in rates), strict=True)
        title = f"{count:,} calls into {name}"
        yield Figure(f"{title}, a core", statistics.median(core), "1/s", rounds)
        yield Figure(f"{title}, by the clock", statistics.median(clock), "1/s", rounds)
        yield Figure(f"{name}: drained / appended, processor time", statistics.median(beside), "ratio", rounds)


if __name__ == "__main__":
    run(__doc__, measure)
