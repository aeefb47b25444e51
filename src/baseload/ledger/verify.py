"""Whether the lake is whole: every file and sum, the chain of hashes, every call of the hot store. Acts (reads)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlalchemy import select

from baseload.clock import from_ns
from baseload.errors import BaseloadError
from baseload.ledger import tables
from baseload.ledger.lake import HOUR_NS, Lake, identity
from baseload.ledger.manifest import Segment
from baseload.ledger.query import Answers

# Calls that a line names; the rest is counted.
NAMED = 3


def broken(lake: Lake, store: Answers | None) -> list[str]:
    """Everything that is not as it was sealed, in words; nothing when all is well."""
    found = [*lake.manifest.breaks()]
    whole = []
    for each in lake.manifest.living:
        trouble = _damage(lake, each)
        found += [trouble] if trouble else []
        whole += [] if trouble else [each]
    if lake.manifest.torn:
        found.append(f"the last line of {lake.manifest.path} was never finished: seal again")
    return found + (list(_missing(lake, store, whole)) if store is not None else [])


def _damage(lake: Lake, segment: Segment) -> str:
    path = lake.file(segment)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}): {segment.sums.calls:,} calls are missing"
    if digest != segment.sha256:
        return f"{path} is not what was sealed: its sha256 is {digest}, and was {segment.sha256}"
    try:
        sums = lake.sums([path])
    except BaseloadError as error:
        return f"{path}: {error.message}"
    return "" if sums == segment.sums else f"{path} adds up to {sums}, and was sealed as {segment.sums}"


def _missing(lake: Lake, store: Answers, whole: list[Segment]) -> Iterator[str]:
    """Hours of which the hot store has calls that were sealed and are in no file that is whole."""
    table = tables.calls.c
    good = {each.number for each in whole}
    for hour_ns, upto in lake.sealed(identity(store)).items():
        query = select(table.id).where(table.at_ns >= hour_ns, table.at_ns < hour_ns + HOUR_NS, table.position <= upto)
        hot = {row.id for row in store.rows(query)}
        if not hot:
            continue
        lost = sorted(hot - lake.ids(each for each in lake.by_hour()[hour_ns] if each.number in good))
        if lost:
            names = ", ".join(lost[:NAMED]) + (" ..." if len(lost) > NAMED else "")
            yield f"{from_ns(hour_ns):%Y-%m-%d %H:00} UTC: {len(lost):,} calls of the hot store are missing: {names}"
