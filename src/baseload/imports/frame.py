"""The one frame on which every format stands: records in, calls and statements out, findings beside them. Acts.

It streams: a batch is the most that is held. It is idempotent: what is in the ledger already, whatever brought it,
adds nothing. A record that cannot be read is counted, named by its line, kept on request, and stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from operator import add
from typing import Protocol

import msgspec

from baseload.audit.pricer import counts_of
from baseload.clock import from_ns
from baseload.errors import BadInput
from baseload.imports.entry import Asked, Broken, Entry, Format, Item, Skipped
from baseload.imports.fields import shown, within
from baseload.imports.findings import QUARTER_NS, Finding, Oddities, is_unclear
from baseload.imports.pricing import Prices
from baseload.imports.records import Record, Stream
from baseload.load.buckets import bucket_of
from baseload.load.calls import Attempt, Call, Decision, Evidence
from baseload.load.facts import Bucket, Facts
from baseload.load.statements import Statement
from baseload.units import NANOSECONDS_PER_SECOND, exact_sum, nanousd, usd
from baseload.usage import Usage

# Calls in one transaction: a page of an index is written once for all that touch it.
BATCH = 5_000
MOST_NAMED = 20
RUN = "run"
_NOTHING = Usage()
_UNDECIDED = Decision(id="", policy="", routes=())
_LEAVES = Usage.__struct_fields__


class Sink(Protocol):
    """Where calls and statements go. Each answers how many were new, and how many came with other content, of calls as
    far as that is known by now; `settled` waits for the rest."""

    def calls(self, batch: Sequence[Call]) -> tuple[int, int]: ...
    def statements(self, batch: Sequence[Statement]) -> tuple[int, int]: ...
    def settled(self) -> tuple[int, int]: ...
    def seen(self, ids: Sequence[str]) -> int:
        """How many of these ids stood in the file before; remembers them."""
        ...


class Rejected(msgspec.Struct, frozen=True):
    """A record that could not be read: the line on which it begins, and why."""

    line: int
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did. `known` records were in the ledger already; `log_usd` is the sum that the log states,
    None where it states none, `book_usd` that of our prices, both over everything in the file."""

    schema: str
    format: str
    file: str
    dry_run: bool
    records: int
    calls: int
    statements: int
    new: int
    known: int
    skipped: dict[str, int]
    rejected: int
    rejected_lines: tuple[Rejected, ...]
    first: str | None
    last: str | None
    usage: Usage
    log_usd: Decimal | None
    book_usd: Decimal
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _Sums:
    records: int = 0
    calls: int = 0
    statements: int = 0
    new: int = 0
    rejected: int = 0
    named: list[Rejected] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    first_ns: int | None = None
    last_ns: int | None = None
    leaves: list[int] = field(default_factory=lambda: [0] * len(_LEAVES))
    log: int = 0
    stated: Decimal = Decimal(0)
    says_money: bool = False
    book: int = 0


class Import:
    """One file on its way into a ledger."""

    def __init__(
        self,
        format: Format,
        asked: Asked,
        prices: Prices,
        sink: Sink,
        *,
        tags: dict[str, str] | None = None,
        reject: Callable[[Record, str], None] | None = None,
    ) -> None:
        self._format = format
        self._asked = asked
        self._prices = prices
        self._sink = sink
        self._tags = tags or {RUN: f"import-{format.name}"}
        self._reject = reject
        self._odd = Oddities()
        self._sums = _Sums()
        self._twins: tuple[int, dict[bytes, int]] = (0, {})
        self._calls: list[Call] = []
        self._statements: list[Statement] = []
        self._unseen = {column: each for each, column in asked.columns.items()}

    def run(
        self, stream: Stream, name: str, *, dry_run: bool = False, told: Callable[[int], None] | None = None
    ) -> Report:
        """Read it all. Raises BadInput when the file is of another format or has none of a column that was named,
        LedgerUnavailable."""
        if self._unseen and not self._format.mapped:
            raise BadInput(
                f"--map is for csv, and {self._format.name} has columns of its own",
                remedy=f"Leave --map out, or read the file as csv: baseload import csv {name} --map field=column.",
            )
        checked = not self._format.columns
        for record in self._format.records(stream, name, self._format.into):
            self._sums.records += 1
            if not checked and not record.trouble:
                self._check(record, name)
                checked = True
            self._take(record)
            if told is not None and self._sums.records % BATCH == 0:
                told(BATCH)
        self._flush()
        return self._report(name, dry_run=dry_run)

    def _check(self, record: Record, name: str) -> None:
        """The first record that can be read tells whether this is a file of the format at all."""
        for group in self._format.columns:
            if not group & {*record.fields}:
                found = ascii(", ".join(list(record.fields)[:12]))[1:200]
                raise BadInput(
                    f"{name} is no file of {self._format.title}: it has no {' or '.join(sorted(group))}, but {found}",
                    remedy="Name its format, or map its columns: baseload import csv FILE --map field=column.",
                )

    def _take(self, record: Record) -> None:
        """One record: whole, or rejected."""
        trouble = record.trouble
        if self._unseen:
            self._look_for(record)
        if not trouble:
            try:
                items = list(self._format.read(record.fields, self._asked))
                built = [self._built(item) for item in items]
            except (ValueError, OverflowError) as error:
                trouble = str(error) or repr(error)
            else:
                for item, made in zip(items, built, strict=True):
                    self._keep(item, made, record)
                return
        self._refuse(record, trouble)

    def _look_for(self, record: Record) -> None:
        """Of the columns that were named, which ones no record had so far."""
        for column in [each for each in self._unseen if within(record.fields, each)[0]]:
            del self._unseen[column]

    def _check_seen(self) -> None:
        """Before anything is stored: every column that was named stood in some record. Raises BadInput."""
        if self._unseen and self._sums.records:
            column, each = next(iter(self._unseen.items()))
            raise BadInput(
                f"--map {each}={column}: no record has the column {shown(column)}; nothing was imported",
                remedy="Name it as the file does; in JSON a dot reaches into an object, as in usage.prompt_tokens.",
            )

    def _refuse(self, record: Record, trouble: str) -> None:
        self._sums.rejected += 1
        if len(self._sums.named) < MOST_NAMED:
            self._sums.named.append(Rejected(record.line, trouble))
        if self._reject is not None:
            self._reject(record, trouble)

    def _built(self, item: Item) -> Call | None:
        return self._call(item) if isinstance(item, Entry) else None

    def _keep(self, item: Item, call: Call | None, record: Record) -> None:
        if call is not None:
            self._calls.append(call)
            if len(self._calls) >= BATCH:
                self._flush_calls()
        elif isinstance(item, Statement):
            self._statements.append(item)
            if len(self._statements) >= BATCH:
                self._flush_statements()
        elif isinstance(item, Broken):
            self._refuse(record, item.reason)
        elif isinstance(item, Skipped):
            self._sums.skipped[item.reason] = self._sums.skipped.get(item.reason, 0) + 1

    def _call(self, entry: Entry) -> Call:
        """An entry as a call: priced by our books, with what its log says beside it."""
        usage = entry.usage if entry.consumed else _NOTHING
        provider, offer, pricer, book = self._prices.known(entry.provider, entry.model)
        price = pricer.nanousd(usage, entry.at_ns) if pricer is not None else None
        consumed = entry.consumed and (usage is not _NOTHING and usage != _NOTHING)
        logged = None if entry.usd is None else nanousd(entry.usd)
        prompt = usage.prompt_tokens
        if not entry.consumed:
            self._odd.cached += 1
        if entry.stamp_ns != entry.at_ns and is_unclear(entry.stamp_ns // QUARTER_NS, self._asked.zone):
            self._odd.ambiguous += 1
        bucket = bucket_of(tags=entry.tags) if "bucket" in entry.tags or "task" in entry.tags else Bucket.JUDGMENT
        return Call(
            id=self._id(entry),
            facts=Facts(
                at_ns=entry.at_ns,
                model=entry.asked or entry.model,
                bucket=bucket,
                input_tokens=prompt,
                stream=entry.stream,
                tags=entry.tags | self._tags,
                operation=entry.operation,
                request_id=entry.id,
            ),
            decision=_UNDECIDED,
            attempts=(
                Attempt(
                    number=1,
                    route=self._format.name,
                    upstream=provider or self._format.name,
                    model=entry.model,
                    offer=offer,
                    started_ns=entry.at_ns,
                    ended_ns=entry.ended_ns,
                    first_byte_ns=entry.first_ns,
                    http_status=entry.http_status,
                    status=entry.status,
                    usage=usage,
                    evidence=Evidence.IMPORTED if consumed else Evidence.NONE,
                    cost_nanousd=price if consumed else None,
                    provider_nanousd=logged,
                    book=book if consumed and price is not None else "",
                ),
            ),
            ended_ns=entry.ended_ns,
            status=entry.status,
        )

    def _id(self, entry: Entry) -> str:
        """Stable, and in the order of time, in which a store takes it fastest. A log without ids tells twins of one
        moment apart by their place."""
        seconds = entry.stamp_ns // NANOSECONDS_PER_SECOND
        name = entry.id
        if not name:
            told = sha256(msgspec.json.encode((entry.stamp_ns, entry.model, entry.usage, entry.tags))).digest()[:12]
            moment, twins = self._twins
            if moment != entry.stamp_ns:
                twins = {}
            place = twins[told] = twins.get(told, 0) + 1
            self._twins = entry.stamp_ns, twins
            name = f"{told.hex()}.{place}"
        return f"{self._format.name}-{seconds:011d}-{name}"

    def _flush(self) -> None:
        self._flush_calls()
        self._flush_statements()
        self._count(self._sink.settled())

    def _count(self, told: tuple[int, int]) -> None:
        """Calls that were new, and that came with other content."""
        self._sums.new += told[0]
        self._odd.changed += told[1]

    def _flush_calls(self) -> None:
        self._check_seen()
        batch, self._calls = self._calls, []
        if not batch:
            return
        twice = self._sink.seen([call.id for call in batch])
        self._count(self._sink.calls(batch))
        self._sums.calls += len(batch)
        self._odd.duplicates += twice
        for call in batch:
            self._saw_call(call)

    def _saw_call(self, call: Call) -> None:
        sums, odd, attempt = self._sums, self._odd, call.attempts[0]
        at, usage, price = call.facts.at_ns, attempt.usage, attempt.cost_nanousd
        sums.first_ns = at if sums.first_ns is None or at < sums.first_ns else sums.first_ns
        sums.last_ns = at if sums.last_ns is None or at > sums.last_ns else sums.last_ns
        odd.saw_hour(at)
        if attempt.evidence is not Evidence.NONE:
            sums.leaves = list(map(add, sums.leaves, counts_of(usage)))
            if price is None:
                odd.saw_unpriced(attempt.offer)
            odd.saw_money(attempt.provider_nanousd, price, usage.prompt_tokens + usage.completion_tokens)
        sums.log += attempt.provider_nanousd or 0
        sums.says_money |= attempt.provider_nanousd is not None
        sums.book += price or 0

    def _flush_statements(self) -> None:
        batch, self._statements = self._statements, []
        if not batch:
            return
        twice = self._sink.seen([each.id for each in batch])
        new, changed = self._sink.statements(batch)
        sums, odd = self._sums, self._odd
        sums.statements += len(batch)
        sums.new += new
        odd.duplicates += twice
        odd.changed += changed
        for each in batch:
            sums.first_ns = each.start_ns if sums.first_ns is None else min(sums.first_ns, each.start_ns)
            sums.last_ns = each.end_ns if sums.last_ns is None else max(sums.last_ns, each.end_ns)
            odd.saw_span(f"{each.provider} {each.kind.value}", each.start_ns, each.end_ns)
            sums.stated = exact_sum((sums.stated, each.usd or Decimal(0)))
            sums.says_money |= each.usd is not None
            sums.leaves = list(map(add, sums.leaves, counts_of(each.usage)))

    def _report(self, name: str, *, dry_run: bool) -> Report:
        sums = self._sums
        moments = [None if at is None else from_ns(at).isoformat() for at in (sums.first_ns, sums.last_ns)]
        return Report(
            schema="baseload.import/1",
            format=self._format.name,
            file=name,
            dry_run=dry_run,
            records=sums.records,
            calls=sums.calls,
            statements=sums.statements,
            new=sums.new,
            known=sums.calls + sums.statements - sums.new,
            skipped=dict(sorted(sums.skipped.items())),
            rejected=sums.rejected,
            rejected_lines=tuple(sums.named),
            first=moments[0],
            last=moments[1],
            usage=Usage(**dict(zip(_LEAVES, sums.leaves, strict=True))),
            log_usd=exact_sum((usd(sums.log), sums.stated)) if sums.says_money else None,
            book_usd=usd(sums.book),
            findings=self._odd.findings(),
        )
