"""What was metered, as cards and tables. Pure: the ledger's answers in, shapes of the page out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

from baseload.audit.paid import Paid
from baseload.clock import from_ns
from baseload.console import words
from baseload.console.figures import Card
from baseload.console.tables import Cell, Column, Table
from baseload.ledger.query import Dispatch, Row, Skipped, Totals
from baseload.units import usd

_SUMS = (
    Column("requests", "requests", "count"),
    Column("input_tokens", "tokens in", "tokens"),
    Column("output_tokens", "tokens out", "tokens"),
    Column("usd", "USD", "usd"),
    Column("share_fraction", "share of USD", "share"),
    Column("failed", "failed tries", "count"),
    Column("unpriced", "unpriced", "count"),
)


def cards(found: Totals, money: Paid, dispatch: Dispatch, *, own_pool: bool) -> tuple[Card, ...]:
    """The figures in large type. The two about the own pool stand only where there is one.

    With a leased pool the money is what was paid, else what was spent by the token: they are then the same.
    """
    shown = (
        Card("requests", "Requests metered", words.count(found.calls), str(found.calls), _attempts(found)),
        Card(
            "tokens",
            "Tokens",
            words.short(_tokens(found)),
            str(_tokens(found)),
            f"{found.usage.prompt_tokens:,} in, {found.usage.completion_tokens:,} out",
        ),
        _paid(money) if money.leased else _spend(money),
        Card(
            "unpriced",
            "Unpriced",
            words.count(found.unpriced),
            str(found.unpriced),
            "Tries at no known price: the money is a lower bound."
            if found.unpriced
            else "Every try has a dated price.",
            alarm=found.unpriced > 0,
        ),
    )
    return (*shown, *_pool(money, dispatch)) if own_pool else shown


def traffic(
    by: str, rows: Sequence[Row], found: Totals, money: Paid, moved: Mapping[int, int] = MappingProxyType({})
) -> Table:
    """What was metered by a dimension, totals last. `moved` are calls by their hour that only the lake has now."""
    extra = sum(row.totals.calls for row in rows) - found.calls
    notes = [f"{extra:,} requests were tried on more than one {by} and stand in each."] if extra > 0 else []
    if money.leased:
        notes.append("The own pool's calls stand here at their share of busy time; its idle hours are in no row.")
    if moved:
        notes.append(_moved(moved))
    return Table(
        name="traffic",
        caption=f"Metered by {by}" + (", in time order" if by == "hour" else ", dearest first"),
        columns=(Column(by, by), *_SUMS),
        rows=tuple((_key(row), *_sums(row.totals, found.cost_nanousd)) for row in rows),
        totals=("total", *_sums(found, found.cost_nanousd)),
        note=" ".join(notes),
    )


def decisions(skips: Sequence[Skipped], calls: int) -> Table:
    """Routes the dispatcher passed over, and the reasons it gave."""
    return Table(
        name="decisions",
        caption="The reason the dispatcher gave, by route",
        columns=(
            Column("route", "route", "name"),
            Column("reason", "reason"),
            Column("calls", "requests", "count"),
            Column("share_fraction", "share of requests", "share"),
        ),
        rows=tuple((skip.route, skip.reason, skip.calls, _share(skip.calls, calls)) for skip in skips),
        empty="every route was open to every request",
        limit=12,
    )


def _spend(money: Paid) -> Card:
    """What was bought by the token, where nothing is leased."""
    spent = usd(money.metered_nanousd)
    return Card("spend", "Spend", words.money(spent), f"{spent:f}", f"{words.plain(spent)} USD")


def _paid(money: Paid) -> Card:
    """The reservation basis: bought tokens and every leased hour, with what stood idle of it said."""
    bought = f"{words.money(usd(money.bought_nanousd))} by the token"
    if money.paid_nanousd is None or money.lease_nanousd is None or money.idle_nanousd is None:
        detail = f"{bought}. What the own pool's hours cost is not configured: set its deployment and usd_per_gpu_hour."
        return Card("paid", "Paid", words.UNKNOWN, "", detail, alarm=True)
    whole, lease = usd(money.paid_nanousd), words.money(usd(money.lease_nanousd))
    detail = f"{bought}, {lease} for the own pool's hours, {words.money(usd(max(0, money.idle_nanousd)))} of it idle"
    if money.overrun:
        detail = (
            f"At least: {bought}, {lease} for the own pool's hours, but its calls were worth "
            f"{words.money(usd(money.own_nanousd))} of them. It is faster or larger than configured, or runs of one "
            "trace were replayed over the same hours."
        )
    return Card("paid", "Paid", words.money(whole), f"{whole:f}", detail, alarm=money.overrun)


def _pool(money: Paid, dispatch: Dispatch) -> tuple[Card, Card]:
    """Two shares of requests; how busy the pool was is a share of its hours and says so."""
    own, over = _share(dispatch.own, dispatch.calls), _share(dispatch.overflow, dispatch.calls)
    busy = "" if money.busy_share is None else f"; busy {words.percent(money.busy_share)} of its hours"
    answered, full = f"{dispatch.own:,} answered by it{busy}", f"{dispatch.overflow:,} found it full"
    return (
        Card("own", "Own pool, share of requests", words.percent(own), _exact(own), answered, own),
        Card("overflow", "Overflow, share of requests", words.percent(over), _exact(over), full, over),
    )


def _moved(moved: Mapping[int, int]) -> str:
    """What is not counted on the page: it left the hot store when its time there was over."""
    calls, last = sum(moved.values()), from_ns(max(moved))
    return (
        f"{calls:,} older calls, the newest from the hour of {last:%Y-%m-%d %H:%M} UTC, are in the lake alone and not "
        "counted on this page: `baseload ledger query` counts them too."
    )


def _key(row: Row) -> str:
    """What a row is about; a minute or hour as a person writes it, UTC."""
    if row.start_ns is not None:
        return f"{from_ns(row.start_ns):%Y-%m-%d %H:%M}"
    return row.key or "(none)"


def _sums(found: Totals, spend: int) -> tuple[Cell, ...]:
    return (
        found.calls,
        found.usage.prompt_tokens,
        found.usage.completion_tokens,
        usd(found.cost_nanousd),
        _share(found.cost_nanousd, spend),
        found.failed,
        found.unpriced,
    )


def _tokens(found: Totals) -> int:
    return found.usage.prompt_tokens + found.usage.completion_tokens


def _attempts(found: Totals) -> str:
    retried = found.attempts - found.calls
    tries = f"{found.attempts:,} tries" if retried else "one try each"
    return f"{tries}, {found.failed:,} failed"


def _share(part: int, whole: int) -> Decimal | None:
    """A share to six decimals; None of nothing."""
    return round(Decimal(part) / whole, 6) if whole else None


def _exact(share: Decimal | None) -> str:
    return "" if share is None else f"{share:f}"
