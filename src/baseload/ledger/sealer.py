"""One round of looking after the lake, in a process of its own: seal, merge, take out what is old. Acts.

    python -m baseload.ledger.sealer          reads one JSON line of orders, writes one of what was done

A gateway starts it when an hour is over. Whatever it was doing when it is killed, the next round does again.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from baseload.errors import BaseloadError
from baseload.ledger.hot import open_store
from baseload.ledger.lake import lake_at
from baseload.ledger.retention import trimmed

# Requests come first on a machine that has little to spare.
NICE = 10


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """Where, and what: hours that were over before `before_ns`, and for how many days calls are kept."""

    directory: str
    store: str
    lake: str
    before_ns: int
    hot_days: int | None = None
    lake_days: int | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls were sealed, how many files merged into others, how many calls left the hot store and the lake; or
    why there is nothing of that."""

    sealed: int = 0
    merged: int = 0
    hot: int = 0
    lake: int = 0
    failed: str = ""


def work(orders: Orders) -> Done:
    """Do one round. Raises LedgerUnavailable or BadConfig."""
    directory = Path(orders.directory)
    lake = lake_at(directory, orders.lake)
    with closing(open_store(directory, orders.store)) as store:
        sealed = lake.seal(store, orders.before_ns)
        merged = lake.compact(orders.before_ns)
        gone = trimmed(store, lake, orders.before_ns, orders.hot_days, orders.lake_days)
    return Done(
        sealed=sum(each.sums.calls for each in sealed),
        merged=sum(len(each.replaces) for each in merged),
        hot=gone.hot,
        lake=gone.lake,
    )


def main() -> None:
    """The whole life of the process."""
    with suppress(OSError):
        os.nice(NICE)
    try:
        done = work(msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders))
    except BaseloadError as error:
        done = Done(failed=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")


if __name__ == "__main__":
    main()
