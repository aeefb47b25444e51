"""What is odd about an imported log: silent zeros, unpriced models, gaps, overlaps. Pure: values in, values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

import msgspec

from baseload.clock import from_ns
from baseload.units import NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR, usd

# Hours without a call that are told: shorter silences are nights and weekends of small teams.
QUIET_HOURS = 24
_MOST_NAMED = 5
# More different ones than these are counted together: a hostile log could name a new one in every record.
_MOST_KEPT = 1_000
_HOUR_NS = SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
QUARTER_NS = _HOUR_NS // 4


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observation: how many records it concerns, what it means, and the money in it where there is some."""

    kind: str
    count: int
    says: str
    log_usd: Decimal | None = None
    book_usd: Decimal | None = None


class Oddities:
    """Collects what the findings are made of, in bounded memory."""

    def __init__(self) -> None:
        self.duplicates = 0
        self.changed = 0
        self.cached = 0
        self.ambiguous = 0
        self.unpriced: Counter[str] = Counter()
        self.zero = 0
        self.zero_nanousd = 0
        self.both_log = self.both_book = self.apart = 0
        self.hours: set[int] = set()
        self.spans: dict[str, set[tuple[int, int]]] = {}

    def saw_unpriced(self, offer: str) -> None:
        """A request whose model no book has a price for."""
        known = offer in self.unpriced or len(self.unpriced) < _MOST_KEPT
        self.unpriced[offer if known else "others"] += 1

    def saw_money(self, log_nanousd: int | None, book_nanousd: int | None, tokens: int) -> None:
        """What a request cost by its log and by our books."""
        if log_nanousd == 0 and tokens and book_nanousd != 0:
            self.zero += 1
            self.zero_nanousd += book_nanousd or 0
        if log_nanousd is not None and book_nanousd is not None:
            self.apart += abs(log_nanousd - book_nanousd) > 1  # a log's binary fractions may be off by one
            self.both_log += log_nanousd
            self.both_book += book_nanousd

    def saw_hour(self, at_ns: int) -> None:
        """A request arrived."""
        self.hours.add(at_ns // _HOUR_NS)

    def saw_span(self, series: str, start_ns: int, end_ns: int) -> None:
        """A statement of some series covers a span."""
        if series in self.spans or len(self.spans) < _MOST_KEPT:
            self.spans.setdefault(series, set()).add((start_ns, end_ns))

    def findings(self) -> tuple[Finding, ...]:
        """All of them, the ones with money first."""
        found = [*self._zero(), *self._differs(), *self._unpriced(), *self._twice(), *self._spans(), *self._gaps()]
        if self.cached:
            found.append(
                Finding(kind="cache", count=self.cached, says="answered from the log's own cache: bought nothing")
            )
        if self.ambiguous:
            says = "times in an hour that the clock of the zone shows twice or never: read as the first"
            found.append(Finding(kind="ambiguous_time", count=self.ambiguous, says=says))
        return tuple(found)

    def _zero(self) -> Iterable[Finding]:
        if self.zero:
            yield Finding(
                kind="zero_spend",
                count=self.zero,
                says="the log says 0 USD though there are tokens; what the books say of them is beside it",
                log_usd=Decimal(0),
                book_usd=usd(self.zero_nanousd),
            )

    def _differs(self) -> Iterable[Finding]:
        if self.apart:
            log, book = usd(self.both_log), usd(self.both_book)
            places = next((n for n in range(2, 9) if f"{log:.{n}f}" != f"{book:.{n}f}"), 9)
            yield Finding(
                kind="price_differs",
                count=self.apart,
                says=f"in all the log says {log:,.{places}f} USD of what the books price at {book:,.{places}f}",
                log_usd=log,
                book_usd=book,
            )

    def _unpriced(self) -> Iterable[Finding]:
        if self.unpriced:
            most = self.unpriced.most_common(_MOST_NAMED)
            told = ", ".join(f"{offer} ({times:,})" for offer, times in most)
            more = len(self.unpriced) - len(most)
            told += f" and {more:,} more" if more > 0 else ""
            says = f"no book has a price for {told}: add them to `prices` in your configuration"
            yield Finding(kind="unpriced", count=self.unpriced.total(), says=says)

    def _twice(self) -> Iterable[Finding]:
        if self.duplicates:
            yield Finding(
                kind="duplicates", count=self.duplicates, says="stand in the file more than once: counted once"
            )
        if self.changed:
            says = "came with other figures than before: calls keep the first, statements take the new ones"
            yield Finding(kind="changed", count=self.changed, says=says)

    def _spans(self) -> Iterable[Finding]:
        """Statements of one series that cover the same time twice, or leave time out."""
        double = [(series, pair) for series, spans in self.spans.items() for pair in overlaps(sorted(spans))]
        if double:
            series, ((start, end), (other, _)) = double[0]
            says = f"{series}: {span(start, end)} and another from {from_ns(other):%Y-%m-%d %H:%M} cover the same time"
            yield Finding(kind="overlap", count=len(double), says=f"{says}: sums would count it twice")
        silent = [(series, pair) for series, spans in self.spans.items() for pair in gaps(sorted(spans))]
        if silent:
            series, (start, end) = silent[0]
            yield Finding(kind="gap", count=len(silent), says=f"{series}: nothing is stated of {span(start, end)}")

    def _gaps(self) -> Iterable[Finding]:
        quiet = [(a, b) for a, b in pairwise(sorted(self.hours)) if b - a > QUIET_HOURS]
        if quiet:
            a, b = max(quiet, key=lambda pair: pair[1] - pair[0])
            says = f"no call for a day or more; the longest silence is {span((a + 1) * _HOUR_NS, b * _HOUR_NS)}"
            yield Finding(kind="gap", count=len(quiet), says=says)


@lru_cache(maxsize=1 << 12)
def is_unclear(quarter: int, zone: tzinfo) -> bool:
    """Whether the clock of a zone shows a quarter of an hour twice or never: clocks change at quarters. Quarters count
    from 1970, as the clock shows them.

    >>> from zoneinfo import ZoneInfo
    >>> is_unclear(1792896300 * 10**9 // QUARTER_NS, ZoneInfo("Europe/Berlin"))  # 2026-10-25 02:45
    True
    """
    shown = from_ns(quarter * QUARTER_NS).replace(tzinfo=zone)
    return shown.utcoffset() != shown.replace(fold=1).utcoffset()


def overlaps(spans: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Of spans in order, those that begin before an earlier one ends.

    >>> overlaps([(0, 10), (5, 15), (15, 20)])
    [((0, 10), (5, 15))]
    """
    found, open_until = [], spans[0] if spans else (0, 0)
    for each in spans[1:]:
        if each[0] < open_until[1]:
            found.append((open_until, each))
        open_until = max(open_until, each, key=lambda one: one[1])
    return found


def gaps(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of spans in order, the times between them.

    >>> gaps([(0, 10), (10, 20), (30, 40)])
    [(20, 30)]
    """
    found, until = [], spans[0][1] if spans else 0
    for start, end in spans[1:]:
        if start > until:
            found.append((until, start))
        until = max(until, end)
    return found


def span(start_ns: int, end_ns: int) -> str:
    """A time as people write it."""
    return f"{from_ns(start_ns):%Y-%m-%d %H:%M} to {from_ns(end_ns):%Y-%m-%d %H:%M} UTC"
