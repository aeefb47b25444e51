"""`baseload replay`: what the metered calls would have cost under another policy. Acts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from baseload.cli.output import print_json
from baseload.cli.place import Place, Where, configuration, place_of
from baseload.cli.policy_file import AnyVariable, read_policy
from baseload.cli.replay_page import Missing, describe, print_missing, print_page

if TYPE_CHECKING:
    from baseload.audit.paid import Paid, Pool
    from baseload.audit.replay import Replay
    from baseload.catalog.entries import Offer
    from baseload.load.calls import Call
    from baseload.policy.policy import Policy
    from baseload.settings import Settings

# The configuration under which a ledger was metered, where it stands beside it (the demo writes its own there).
CONFIG = "baseload.yaml"


def command(
    policy: Annotated[Path, typer.Option("--policy", "-p", help="A policy document, or a whole baseload.yaml.")],
    ledger: Where = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Prices and pools; by default what stands beside the ledger.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only the calls with this run tag.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="The demo's ledger, its latest run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Decide the same calls again under another policy: now, then, and the difference."""
    from baseload.audit.replay import replay
    from baseload.errors import NotEnoughData

    wanted, whole = read_policy(policy)
    place = _place(ledger, config, policy if whole is not None else None, demo=demo)
    before, after = _configurations(config, whole, place)
    calls, tag = _calls(place, run, demo=demo)
    offers, unpriced = _offers(after, wanted)
    found = replay(calls, wanted, offers)
    missing = Missing(offers=unpriced, upstreams=_strangers(wanted, whole or after))
    document = describe(found, place, tag, missing, *_paid(found, calls, wanted, before, after))
    if as_json:
        print_json(document)
    else:
        print_page(document)
    print_missing(missing)
    if not document.compared:
        raise NotEnoughData(
            f"no call could be compared: {found.refused:,} find no route, {found.unpriced_then:,} have no price",
            remedy="Give the policy a route for their buckets and for the models that they name (`names` of a route),"
            " and every route's offer a price.",
        )


def _place(ledger: str | None, config: Path | None, whole: Path | None, *, demo: bool) -> Place:
    """The ledger that is named, the demo's, that of the configuration or of a whole policy file, your own."""
    from baseload.errors import BadInput
    from baseload.home import demo_home

    if demo and ledger is not None:
        raise BadInput("--demo and --ledger name two ledgers", remedy="Leave one of them out.")
    return Place(demo_home(), "") if demo else place_of(ledger, config if config is not None else whole)


def _configurations(
    config: Path | None, whole: Settings | None, place: Place
) -> tuple[Settings | None, Settings | None]:
    """Under which the calls were metered, and under which they are tried: prices, and what pools cost."""
    from baseload.configuration import read_settings

    beside = place.directory / CONFIG
    if config is None and beside.exists():
        settled = read_settings(beside, AnyVariable())
        return settled, whole or settled
    found = config if whole is not None else configuration(config)
    named = whole if found is None else read_settings(found, AnyVariable())
    return named, named


def _calls(place: Place, run: str | None, *, demo: bool) -> tuple[list[Call], str | None]:
    """The calls to decide again, and the run they are of. Raises NotEnoughData when there are none."""
    from baseload.errors import NotEnoughData
    from baseload.ledger.hot import open_store
    from baseload.ledger.query import Filter, latest_run, runs

    store = open_store(*place, read_only=True)
    try:
        newest = latest_run(store) if demo and run is None else None
        tag = newest.tag if newest is not None else run
        calls = list(store.calls(Filter(tags={} if tag is None else {"run": tag})))
        known = ", ".join(each.tag for each in runs(store)[:5])
    finally:
        store.close()
    if not calls:
        raise NotEnoughData(
            f"the ledger in {place} holds no call" + (f" of run {tag}" if tag is not None else ""),
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


def _strangers(wanted: Policy, settings: Settings | None) -> tuple[str, ...]:
    """Upstreams that the policy's routes lead to and the configuration does not have; none where there is none."""
    if settings is None:
        return ()
    known = {upstream.name for upstream in settings.upstreams}
    return tuple(dict.fromkeys(route.upstream for route in wanted.routes if route.upstream not in known))


def _paid(
    found: Replay, calls: Sequence[Call], wanted: Policy, before: Settings | None, after: Settings | None
) -> tuple[Paid, Paid]:
    """Both bases of the admitted calls, now and then. The lease of a pool that no route leads to any more ends.

    What has no price is in neither: the lease alone is then to be read.
    """
    from baseload.audit.paid import paid, pools_of
    from baseload.documents import load_deployments

    deployments, total = load_deployments(), found.total
    led_to = {route.upstream for route in wanted.routes}
    pools_now = pools_of(before.upstreams if before is not None else (), deployments)
    kept = [each for each in (after.upstreams if after is not None else ()) if each.name in led_to]
    pools_then = pools_of(kept, deployments)
    if not pools_then and any(route.own for route in wanted.routes):
        pools_then = None
    first_ns, ended_ns = min(call.facts.at_ns for call in calls), max(call.ended_ns for call in calls)

    def both(whole: int | None, own: int, pools: Sequence[Pool] | None) -> Paid:
        return paid((whole or own) - own, own, pools, first_ns, ended_ns)

    now = both(total.now_nanousd, total.own_now_nanousd, pools_now)
    return now, both(total.then_nanousd, total.own_then_nanousd, pools_then)
