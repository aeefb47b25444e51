"""What the demo found, as one document and as a page of text. Acts (reads the ledger, prints)."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from baseload import __version__
from baseload.cli.decide_beside import show_beside
from baseload.cli.decide_page import show
from baseload.cli.output import hint, how_many, money, say, table
from baseload.plan.answer import Answer
from baseload.plan.document import VerdictEntry
from baseload.units import SECONDS_PER_MINUTE, TOKENS_PER_MTOK, usd

if TYPE_CHECKING:
    from baseload.audit.paid import Pool
    from baseload.catalog.books import Catalog
    from baseload.ledger.hot import HotStore
    from baseload.ledger.query import Filter
    from baseload.load.calls import Call

SCHEMA = "baseload.demo/1"
HUNDRED = 100
# At sixty times the speed a second of ours is a minute of the trace; half of one blurs no minute of it.
LATE_SECONDS = 30.0


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What is said before the first request. `recovered` calls of a run that was cut off were written down just now."""

    upstreams: tuple[tuple[str, str, str], ...]
    trace: Replayed
    recovered: int
    console: str


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent: the trace's own sums over the replayed rows, and its lines that could not be read.

    `late_seconds` of the trace's time the worst request was sent after its own: 0 before anything was sent.
    """

    name: str
    licence: str
    requests: int
    input_tokens: int
    output_tokens: int
    seconds: float
    speed: float
    late_seconds: float
    broken_rows: tuple[str, ...]


class Metered(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger holds of this run. `cost_usd` charges the own pool's calls their share of busy time (`own_usd`).

    `lease_usd` is what the pool's hours cost from the first arrival to the last end, busy or idle; `busy_share` is
    `own_usd` as a share of it, and `paid_usd` what was bought and the lease: None where the lease is not known.
    `overflowed` calls found the pool full and were bought instead.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    own_usd: Decimal
    lease_usd: Decimal | None
    paid_usd: Decimal | None
    busy_share: Decimal | None
    unpriced: int
    failed: int
    overflowed: int


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream: what it counted itself, and what the ledger says of it. Money None when nothing was served."""

    upstream: str
    model: str
    counted: tuple[int, int, int]
    metered: tuple[int, int, int]
    usd: Decimal

    @property
    def agrees(self) -> bool:
        return self.counted == self.metered


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The same calls, every one of them on one offer; `usd` None when it cannot price one of them."""

    offer: str
    book: str
    as_of: str
    usd: Decimal | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's one document. `counted` and `metered` are (requests, input tokens, output tokens).

    `undecided` says why there is no verdict, and is empty when there is one.
    """

    run: str
    trace: Replayed
    metered: Metered
    upstreams: tuple[Counted, ...]
    agrees: bool
    compared: tuple[Compared, ...]
    verdict: VerdictEntry | None
    decision: Answer | None
    undecided: str
    gateway: str
    console: str
    ledger: str
    seconds: float
    schema: str = SCHEMA


def metered(store: HotStore, where: Filter, own_routes: Collection[str], pools: Sequence[Pool] | None) -> Metered:
    """The run's totals, from the ledger, beside what the own pools' machines cost meanwhile."""
    from baseload.audit.paid import paid
    from baseload.ledger.query import dispatch, totals

    found = totals(store, where)
    both = paid(found.bought_nanousd, found.own_nanousd, pools, found.first_ns, found.ended_ns)
    return Metered(
        requests=found.calls,
        input_tokens=found.usage.prompt_tokens,
        output_tokens=found.usage.completion_tokens,
        cost_usd=usd(found.cost_nanousd),
        own_usd=usd(found.own_nanousd),
        lease_usd=_usd(both.lease_nanousd),
        paid_usd=_usd(both.paid_nanousd),
        busy_share=both.busy_share,
        unpriced=found.unpriced,
        failed=found.failed,
        overflowed=dispatch(store, own_routes, where).overflow,
    )


def counted(
    store: HotStore, where: Filter, own_counts: Mapping[str, tuple[int, int, int]], models: Mapping[str, str]
) -> tuple[Counted, ...]:
    """Each upstream's own count beside the ledger's."""
    from baseload.ledger.query import by

    rows = {row.key: row.totals for row in by(store, "upstream", where)}
    return tuple(
        Counted(
            upstream=name,
            model=models[name],
            counted=own,
            metered=(
                (rows[name].attempts, rows[name].usage.prompt_tokens, rows[name].usage.completion_tokens)
                if name in rows
                else (0, 0, 0)
            ),
            usd=usd(rows[name].cost_nanousd) if name in rows else Decimal(0),
        )
        for name, own in own_counts.items()
    )


def compared(calls: Sequence[Call], catalog: Catalog, keys: Sequence[str]) -> tuple[Compared, ...]:
    """The run's calls on each of the offers, dearest first."""
    from baseload.audit.reprice import reprice

    offers = [catalog.offer(key) for key in keys]
    books = {offer.key: offer.source for offer in offers}
    rows = [
        Compared(
            offer=row.offer,
            book=books[row.offer].book,
            as_of=books[row.offer].as_of.isoformat(),
            usd=None if row.nanousd is None else usd(row.nanousd),
        )
        for row in reprice(calls, offers)
    ]
    return tuple(sorted(rows, key=lambda row: (row.usd is None, -(row.usd or 0))))


def print_opening(opening: Opening) -> None:
    """What is about to happen."""
    found = opening.trace
    minutes = found.seconds / SECONDS_PER_MINUTE
    say(f"Baseload {__version__}  demo   (no key, nothing leaves this machine)")
    for name, model, deployment in opening.upstreams:
        say(f"  simulated  {name:<14}{model:<14}{deployment and f'on the measured curve of {deployment}'}")
    say(f"  trace      {found.name}   {found.requests:,} requests   {minutes:.0f} min   {found.licence}")
    say(f"  console    {opening.console}   (open it now and watch)")
    if opening.recovered:
        say(f"  recovered  {opening.recovered:,} calls of a run that was cut off")


def print_report(report: Report) -> None:
    """The page that a person reads."""
    found = report.metered
    say(
        f"  metered    {found.requests:,} requests   {_mtok(found.input_tokens)} in   {_mtok(found.output_tokens)} out"
        f"   {found.unpriced} unpriced   {found.failed} failed"
    )
    agreement = "the upstreams' own count agrees to the token" if report.agrees else "THE UPSTREAMS COUNTED DIFFERENTLY"
    say(f"  checked    {agreement}")
    say(f"  pace       {_pace(report.trace)}")
    say()
    rows = [
        (
            each.upstream,
            each.model,
            f"{each.metered[0]:,}",
            _mtok(each.metered[1]),
            _mtok(each.metered[2]),
            money(each.usd, 4),
        )
        for each in report.upstreams
    ]
    total = (
        "total",
        "",
        f"{found.requests:,}",
        _mtok(found.input_tokens),
        _mtok(found.output_tokens),
        money(found.cost_usd, 4),
    )
    minutes = report.trace.seconds / SECONDS_PER_MINUTE
    title = f"What was served in {how_many(round(minutes), 'minute')} (own pool: its share of busy time)"
    table(title, ("upstream", "model", ">requests", ">in", ">out", ">USD"), rows, total)
    say(f"  paid       {_paid(found)}")
    say(f"  overflow   {found.overflowed:,} requests found the own pool full and were bought by the token")
    say()
    table(
        "If every call had gone to one model (list prices, these minutes only)",
        ("offer", "book", "as of", ">USD", ">against paid"),
        [
            (row.offer, row.book, row.as_of, _known(row.usd), _against(row.usd, found.paid_usd))
            for row in report.compared
        ],
    )
    say("  cheapest is not the answer: a model must also get the task right")
    say()
    if report.decision is None:
        say(f"  no verdict {report.undecided}")
    else:
        show(report.decision, plot=sys.stdout.isatty(), assumptions=False)
        show_beside(report.decision)
    say()


def print_closing(report: Report, *, serving: bool) -> None:
    """Where to look and what to type next."""
    if serving:
        say(f"  console    {report.console}        gateway  {report.gateway}   (OpenAI compatible)")
        say("             your own calls stand under `every call` there; Ctrl-C stops")
    say(f"  ledger     {report.ledger}   run {report.run}   ({report.seconds:.0f} s in all)")
    hint("baseload decide --demo        baseload price gpt-5-mini        baseload replay --demo --policy FILE")


def _pace(trace: Replayed) -> str:
    """Whether this machine kept the trace's times; one that did not bent the load it replayed."""
    late = f"{trace.late_seconds:,.0f} s of the trace's time"
    if trace.late_seconds <= LATE_SECONDS:
        return f"kept: no request more than {late} late"
    slower = max(1, int(trace.speed / 3))
    return (
        f"NOT KEPT: requests were up to {late} late, so overflow and verdict are of a bent load; "
        f"a busy or small machine needs --speed {slower}"
    )


def _mtok(tokens: int) -> str:
    return f"{tokens / TOKENS_PER_MTOK:.2f} M" if tokens >= TOKENS_PER_MTOK // 10 else f"{tokens:,}"


def _known(figure: Decimal | None) -> str:
    return "unknown" if figure is None else money(figure)


def _paid(found: Metered) -> str:
    """The reservation basis in a sentence, so that nobody takes idle hours for free."""
    bought = f"{money(found.cost_usd - found.own_usd)} by the token"
    if found.paid_usd is None or found.lease_usd is None:
        return f"unknown: {bought}, and no configuration says what the own pool's hours cost"
    if found.busy_share is None:
        return f"{money(found.paid_usd)} USD: {bought}"
    busy, idle = f"{found.busy_share * HUNDRED:.0f} % busy", found.lease_usd - found.own_usd
    lease = f"{money(found.lease_usd)} for the own pool's hours, {busy}"
    return f"{money(found.paid_usd)} USD: {bought} and {lease}" + (f", {money(idle)} of it idle" if idle > 0 else "")


def _usd(nanos: int | None) -> Decimal | None:
    return None if nanos is None else usd(nanos)


def _against(figure: Decimal | None, paid: Decimal | None) -> str:
    return "" if figure is None or not paid else f"{(figure / paid - 1) * HUNDRED:+,.0f} %"
