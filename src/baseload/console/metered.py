"""What was metered, as cards and tables. Pure: the ledger's answers in, shapes of the page out."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

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
    Column("share", "share of spend", "share"),
    Column("failed", "failed tries", "count"),
    Column("unpriced", "unpriced", "count"),
)


def cards(found: Totals, dispatch: Dispatch, *, own_pool: bool) -> tuple[Card, ...]:
    """The figures in large type. The two about the own pool stand only where there is one."""
    spent = usd(found.cost_nanousd)
    shown = (
        Card("requests", "Requests metered", words.count(found.calls), str(found.calls), _attempts(found)),
        Card(
            "tokens",
            "Tokens",
            words.short(_tokens(found)),
            str(_tokens(found)),
            f"{found.usage.prompt_tokens:,} in, {found.usage.completion_tokens:,} out",
        ),
        Card("spend", "Spend", words.money(spent), f"{spent:f}", _spend(found, spent)),
        Card(
            "unpriced",
            "Unpriced",
            words.count(found.unpriced),
            str(found.unpriced),
            "Tries at no known price: the spend is a lower bound."
            if found.unpriced
            else "Every try has a dated price.",
            alarm=found.unpriced > 0,
        ),
    )
    return (*shown, *_pool(dispatch)) if own_pool else shown


def traffic(by: str, rows: Sequence[Row], found: Totals) -> Table:
    """What was metered by a dimension, totals last."""
    extra = sum(row.totals.calls for row in rows) - found.calls
    return Table(
        name="traffic",
        caption=f"Metered by {by}" + (", in time order" if by == "hour" else ", dearest first"),
        columns=(Column(by, by), *_SUMS),
        rows=tuple((_key(row), *_sums(row.totals, found.cost_nanousd)) for row in rows),
        totals=("total", *_sums(found, found.cost_nanousd)),
        note=f"{extra:,} requests were tried on more than one {by} and stand in each." if extra > 0 else "",
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
            Column("share", "share of requests", "share"),
        ),
        rows=tuple((skip.route, skip.reason, skip.calls, _share(skip.calls, calls)) for skip in skips),
        empty="every route was open to every request",
        limit=12,
    )


def _pool(dispatch: Dispatch) -> tuple[Card, Card]:
    own, over = _share(dispatch.own, dispatch.calls), _share(dispatch.overflow, dispatch.calls)
    return (
        Card("own", "Own pool", words.percent(own), _exact(own), f"{dispatch.own:,} requests answered by it", own),
        Card("overflow", "Overflow", words.percent(over), _exact(over), f"{dispatch.overflow:,} found it full", over),
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


def _spend(found: Totals, spent: Decimal) -> str:
    exact = f"{words.plain(spent)} USD"
    return f"{exact}; own pool {words.money(usd(found.own_nanousd))} of it" if found.own_nanousd else exact


def _share(part: int, whole: int) -> Decimal | None:
    """A share to six decimals; None of nothing."""
    return round(Decimal(part) / whole, 6) if whole else None


def _exact(share: Decimal | None) -> str:
    return "" if share is None else f"{share:f}"
