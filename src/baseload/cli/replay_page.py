"""What another policy would have done, as one document and as a page of text. Acts (prints)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from baseload.cli.output import hint, how_many, money, note, say, table
from baseload.units import usd

if TYPE_CHECKING:
    from baseload.audit.paid import Paid
    from baseload.audit.replay import Change, Replay
    from baseload.cli.place import Place

SCHEMA = "baseload.replay/1"
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
    """The answer. `refused` calls find no route under the policy: they are in no comparison.

    `total` and `buckets` are on the usage basis: an own pool's calls at their share of busy time. `paid_now_usd` and
    `paid_then_usd` are on the reservation basis: what is bought, and the leases of the own pools (`lease_usd` now,
    `lease_then_usd` of those that the policy's routes lead to) from the first arrival to the last end, idle included.
    """

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
    unknown_upstreams: tuple[str, ...]
    total: Compared
    difference_nanousd: int | None
    paid_now_usd: Decimal | None
    paid_then_usd: Decimal | None
    lease_usd: Decimal | None
    lease_then_usd: Decimal | None
    buckets: tuple[ByBucket, ...]
    routes: tuple[ByRoute, ...]

    @property
    def compared(self) -> bool:
        """Whether a single call could be."""
        return self.total.calls > self.unpriced_then


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a policy from being put in force: offers without a price, upstreams that no configuration has."""

    offers: tuple[str, ...]
    upstreams: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.offers or self.upstreams)


def describe(found: Replay, place: Place, run: str | None, missing: Missing, now: Paid, then: Paid) -> ReplayDocument:
    """The document. `now` and `then` are both bases of the admitted calls, as far as they have a price."""
    names = dict.fromkeys((*found.routes_then, *found.routes_now))
    return ReplayDocument(
        ledger=str(place),
        run=run,
        policy=found.policy,
        calls=found.calls,
        moved=found.moved,
        refused=found.refused,
        refused_usd=_usd(found.refused_nanousd),
        unpriced_now=found.unpriced_now,
        unpriced_then=found.unpriced_then,
        unpriced_offers=missing.offers,
        unknown_upstreams=missing.upstreams,
        total=Compared(**_figures(found.total)),
        difference_nanousd=found.difference_nanousd,
        paid_now_usd=None if found.total.now_nanousd is None else _usd(now.paid_nanousd),
        paid_then_usd=None if found.total.then_nanousd is None else _usd(then.paid_nanousd),
        lease_usd=_usd(now.lease_nanousd),
        lease_then_usd=_usd(then.lease_nanousd),
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


def print_page(document: ReplayDocument) -> None:
    """The page that a person reads. The way to put a policy in force is shown where nothing keeps it from working."""
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
        say(f"  own pool   {carried}: its share of busy time, idle hours not counted")
        say(f"  bought     by the token: {_known(total.bought_difference_usd)} USD difference")
    if document.lease_usd != 0 or document.lease_then_usd != 0:
        lease = _lease(document.lease_usd, document.lease_then_usd)
        say(f"  paid       now {_known(document.paid_now_usd)}, then {_known(document.paid_then_usd)} USD ({lease})")
    if document.refused:
        refused = f"{document.refused:,} of {document.calls:,} calls find no route"
        say(f"  refused    {refused}; now they cost {_known(document.refused_usd)} USD, in no sum above")
    if document.compared and not (document.unpriced_offers or document.unknown_upstreams):
        hint("baseload serve --config FILE puts a policy in force")


def print_missing(missing: Missing) -> None:
    """What keeps the policy from being put in force, on stderr."""
    for key in missing.offers:
        note(f"no book has a price for {key}: add it to `prices` in your configuration")
    for name in missing.upstreams:
        note(f"the configuration has no upstream {name}, to which a route leads: add it to `upstreams`")


def _cells(each: Compared) -> tuple[str, ...]:
    change = (
        ""
        if each.difference_usd is None or not each.now_usd
        else f"{each.difference_usd / each.now_usd * HUNDRED:+.1f} %"
    )
    return (f"{each.calls:,}", _known(each.now_usd), _known(each.then_usd), _known(each.difference_usd), change)


def _known(figure: Decimal | None) -> str:
    return "unknown" if figure is None else money(figure, PLACES)


def _lease(now: Decimal | None, then: Decimal | None) -> str:
    """What becomes of the own pools' leases, idle hours and all."""
    if now is None or then is None:
        return "what the own pool's hours cost is not known: name the configuration that says it with --config"
    if not then:
        return f"the own pool's lease of {money(now, PLACES)} ends"
    if not now:
        return f"an own pool's lease of {money(then, PLACES)} begins"
    if now == then:
        return f"the own pool's lease of {money(now, PLACES)} stays"
    return f"the own pools' leases go from {money(now, PLACES)} to {money(then, PLACES)}"
