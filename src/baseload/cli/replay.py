"""`baseload replay`: what the metered calls would have cost under another policy. Acts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from baseload.cli.output import hint, how_many, money, note, print_json, say, table
from baseload.units import usd

if TYPE_CHECKING:
    from baseload.audit.replay import Change, Replay
    from baseload.catalog.entries import Offer
    from baseload.load.calls import Call
    from baseload.policy.policy import Policy
    from baseload.settings import Settings

SCHEMA = "baseload.replay/1"
# The configuration under which a ledger was metered, where it stands beside it (the demo writes its own there).
CONFIG = "baseload.yaml"
HUNDRED = 100
# One call costs fractions of a cent.
PLACES = 4


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """USD now and then of the calls that the policy admits, None where one of them has no price.

    `own` is what own capacity carries of it, its share of busy time; `bought_difference_usd` leaves that out.
    """

    calls: int
    now_usd: Decimal | None
    then_usd: Decimal | None
    difference_usd: Decimal | None
    own_now_usd: Decimal
    own_then_usd: Decimal
    bought_difference_usd: Decimal | None


class ByBucket(Compared, frozen=True, kw_only=True):
    """The same for one bucket."""

    bucket: str


class ByRoute(msgspec.Struct, frozen=True, kw_only=True):
    """Admitted calls that a route answers, now and then."""

    route: str
    now: int
    then: int


class ReplayDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `refused` calls find no route under the policy: they are in no comparison."""

    schema: str = SCHEMA
    ledger: str
    run: str | None
    policy: str
    calls: int
    moved: int
    refused: int
    refused_usd: Decimal | None
    unpriced_now: int
    unpriced_then: int
    unpriced_offers: tuple[str, ...]
    total: Compared
    difference_nanousd: int | None
    buckets: tuple[ByBucket, ...]
    routes: tuple[ByRoute, ...]


class _AnyVariable(Mapping[str, str]):
    """Secrets stay where they are: nothing is sent anywhere, so every variable of a configuration may be empty."""

    def __getitem__(self, name: str) -> str:
        return ""

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return True


def command(
    policy: Annotated[Path, typer.Option("--policy", "-p", help="A policy document, or a whole baseload.yaml.")],
    ledger: Annotated[Path | None, typer.Option("--ledger", help="The folder of the ledger; yours by default.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Prices and pools; by default what stands beside the ledger.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only the calls with this run tag.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="The demo's ledger, its latest run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Decide the same calls again under another policy: now, then, and the difference."""
    from baseload.audit.replay import replay

    wanted, whole = _wanted(policy)
    directory = _directory(ledger, whole, demo=demo)
    settings = _prices(config, whole, directory)
    calls, tag = _calls(directory, run, demo=demo)
    offers, unpriced = _offers(settings, wanted)
    found = replay(calls, wanted, offers)
    document = _document(found, directory, tag, unpriced)
    if as_json:
        print_json(document)
    else:
        _print(document)


def _wanted(path: Path) -> tuple[Policy, Settings | None]:
    """The policy to try, and the configuration it stands in when the file is a whole one."""
    from baseload.settings import parse_policy, parse_settings, read_document

    document = read_document(path)
    if isinstance(document, Mapping) and "upstreams" in document:
        settings = parse_settings(document, _AnyVariable(), origin=str(path))
        return settings.policy, settings
    if isinstance(document, Mapping) and "policy" in document:
        document = document["policy"]
    return parse_policy(document, _AnyVariable(), origin=str(path)), None


def _directory(ledger: Path | None, whole: Settings | None, *, demo: bool) -> Path:
    """The folder of the ledger: the one that is named, the demo's, the configuration's, your own."""
    from baseload.errors import BadInput
    from baseload.home import demo_home, home
    from baseload.settings import Settings

    if demo and ledger is not None:
        raise BadInput("--demo and --ledger name two ledgers", remedy="Leave one of them out.")
    if ledger is not None:
        return ledger.expanduser()
    if demo:
        return demo_home()
    default = next(field.default for field in msgspec.structs.fields(Settings) if field.name == "data_dir")
    return home() if whole is None or whole.data_dir == default else whole.directory


def _prices(config: Path | None, whole: Settings | None, directory: Path) -> Settings | None:
    """The configuration that knows your own prices and what your pools cost."""
    from baseload.settings import read_settings

    beside = directory / CONFIG
    if config is None and whole is None and beside.exists():
        config = beside
    return whole if config is None else read_settings(config, _AnyVariable())


def _calls(directory: Path, run: str | None, *, demo: bool) -> tuple[list[Call], str | None]:
    """The calls to decide again, and the run they are of. Raises NotEnoughData when there are none."""
    from baseload.errors import NotEnoughData
    from baseload.ledger.hot import open_store
    from baseload.ledger.query import Filter, latest_run, runs

    store = open_store(directory, read_only=True)
    try:
        newest = latest_run(store) if demo and run is None else None
        tag = newest.tag if newest is not None else run
        calls = list(store.calls(Filter(tags={} if tag is None else {"run": tag})))
        known = ", ".join(each.tag for each in runs(store)[:5])
    finally:
        store.close()
    if not calls:
        raise NotEnoughData(
            f"the ledger in {directory} holds no call" + (f" of run {tag}" if tag is not None else ""),
            remedy=f"Name one of its runs: {known}." if known else "Meter some calls first: baseload demo.",
        )
    return calls, tag


def _offers(settings: Settings | None, wanted: Policy) -> tuple[dict[str, Offer], tuple[str, ...]]:
    """What prices the policy's routes, and the offers that no book prices."""
    from datetime import UTC, datetime

    from baseload.documents import catalog_of, load_deployments
    from baseload.gateway.offers import priced_routes
    from baseload.settings import Settings

    base = (
        Settings(upstreams=(), policy=wanted) if settings is None else msgspec.structs.replace(settings, policy=wanted)
    )
    return priced_routes(base, catalog_of(base), load_deployments(), datetime.now(UTC).date())


def _document(found: Replay, directory: Path, run: str | None, unpriced: tuple[str, ...]) -> ReplayDocument:
    names = dict.fromkeys((*found.routes_then, *found.routes_now))
    return ReplayDocument(
        ledger=str(directory),
        run=run,
        policy=found.policy,
        calls=found.calls,
        moved=found.moved,
        refused=found.refused,
        refused_usd=_usd(found.refused_nanousd),
        unpriced_now=found.unpriced_now,
        unpriced_then=found.unpriced_then,
        unpriced_offers=unpriced,
        total=Compared(**_figures(found.total)),
        difference_nanousd=found.difference_nanousd,
        buckets=tuple(ByBucket(bucket=bucket, **_figures(each)) for bucket, each in found.by_bucket.items()),
        routes=tuple(
            ByRoute(route=name, now=found.routes_now.get(name, 0), then=found.routes_then.get(name, 0))
            for name in names
        ),
    )


def _figures(change: Change) -> dict[str, Any]:
    return {
        "calls": change.calls,
        "now_usd": _usd(change.now_nanousd),
        "then_usd": _usd(change.then_nanousd),
        "difference_usd": _usd(change.difference_nanousd),
        "own_now_usd": usd(change.own_now_nanousd),
        "own_then_usd": usd(change.own_then_nanousd),
        "bought_difference_usd": _usd(change.bought_difference_nanousd),
    }


def _usd(nanos: int | None) -> Decimal | None:
    return None if nanos is None else usd(nanos)


def _print(document: ReplayDocument) -> None:
    """The page that a person reads."""
    subject = f"run {document.run}" if document.run is not None else document.ledger
    table(
        f"{how_many(document.calls, 'call')} of {subject}: now, and under {document.policy}",
        ("bucket", ">calls", ">now USD", ">then USD", ">difference USD", ">change"),
        [(each.bucket, *_cells(each)) for each in document.buckets],
        ("total", *_cells(document.total)),
    )
    table(
        "Calls by route",
        ("route", ">now", ">then"),
        [(each.route or "(none answered)", f"{each.now:,}", f"{each.then:,}") for each in document.routes],
    )
    total = document.total
    if total.own_now_usd or total.own_then_usd:
        carried = f"carries {money(total.own_now_usd, PLACES)} of it now, {money(total.own_then_usd, PLACES)} then"
        say(f"  own pool   {carried}: its share of busy time, whose hours are paid either way")
        say(f"  bought     by the token: {_known(total.bought_difference_usd)} USD difference")
    if document.refused:
        refused = f"{document.refused:,} of {document.calls:,} calls find no route"
        say(f"  refused    {refused}; now they cost {_known(document.refused_usd)} USD, in no sum above")
    for key in document.unpriced_offers:
        note(f"no book has a price for {key}: add it to `prices` in your configuration")
    hint("baseload serve --config FILE puts a policy in force")


def _cells(each: Compared) -> tuple[str, ...]:
    change = (
        ""
        if each.difference_usd is None or not each.now_usd
        else f"{each.difference_usd / each.now_usd * HUNDRED:+.1f} %"
    )
    return (f"{each.calls:,}", _known(each.now_usd), _known(each.then_usd), _known(each.difference_usd), change)


def _known(figure: Decimal | None) -> str:
    return "unknown" if figure is None else money(figure, PLACES)
