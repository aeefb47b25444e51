"""What a format makes of a record: a request that was served, or a note that the record is none. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from decimal import Decimal
from types import MappingProxyType

import msgspec

from baseload.imports.fields import Row
from baseload.imports.records import Record, Stream, records
from baseload.load.calls import Status
from baseload.load.facts import Operation
from baseload.load.statements import Statement
from baseload.usage import Usage


class Entry(msgspec.Struct, kw_only=True, gc=False):
    """One request as its log tells it. Times are nanoseconds since the epoch.

    `id` is the log's own, empty where it has none: then a twin of the same moment is told by its place. `stamp_ns` is
    the moment as it was written, whatever zone it is read in, so that an id does not change with the zone.
    `usd` is what the log says it cost, None where it does not say. `consumed` is False for an answer out of a cache.
    """

    id: str
    at_ns: int
    stamp_ns: int
    ended_ns: int
    model: str
    provider: str = ""
    asked: str = ""
    first_ns: int | None = None
    usage: Usage = Usage()
    usd: Decimal | None = None
    consumed: bool = True
    status: Status = Status.OK
    http_status: int | None = None
    stream: bool = False
    operation: Operation = Operation.CHAT
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class Skipped(msgspec.Struct, frozen=True):
    """A record that is whole and no request for tokens; why."""

    reason: str


class Broken(msgspec.Struct, frozen=True):
    """A part of a record that cannot be read, beside others that can; why."""

    reason: str


Item = Entry | Statement | Skipped | Broken


@dataclass(frozen=True, slots=True)
class Asked:
    """What whoever imports says of the file: the zone of its naive times, when a trace began, whose model it was, which
    column is which field."""

    zone: tzinfo = UTC
    start_ns: int | None = None
    model: str = ""
    columns: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Format:
    """A format of logs. `read` makes items of a record and raises ValueError for one that is broken; `into` names the
    lists in which a JSON document holds its records; `columns` are those that tell the file, one of each group;
    `records` cuts the file; `mapped` says that whoever imports names its columns."""

    name: str
    title: str
    read: Callable[[Row, Asked], Iterable[Item]]
    into: tuple[str, ...] = ()
    columns: tuple[frozenset[str], ...] = ()
    unit: str = "calls"
    records: Callable[[Stream, str, Sequence[str]], Iterator[Record]] = records
    mapped: bool = False


def each_of(parts: Iterable[Row], read: Callable[[Row], Item]) -> Iterator[Item]:
    """What is made of each part of a record; one that is broken stops no other."""
    for part in parts:
        try:
            yield read(part)
        except (ValueError, OverflowError) as error:
            yield Broken(str(error) or repr(error))
