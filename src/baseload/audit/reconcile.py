"""Metered against an invoice, by day, model and project, with the causes of what differs. Pure.

Every dollar of the gap (invoice minus metered, either sign) has one cause, so the causes add up to the gap to the last
digit. A cause is named only where the figures fit it; what fits none is unexplained, and says so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from baseload.clock import from_ns
from baseload.load.statements import Kind, Statement
from baseload.units import HOURS_PER_DAY, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR, exact_sum, usd
from baseload.usage import Usage

HOUR_NS = SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
DAY_NS = HOURS_PER_DAY * HOUR_NS
# Clocks on which an invoice's days may begin: those of the world.
_ZONES = range(-12, 15)
# How near an explanation must come to the invoice's figure, as a share of it.
_FITS = Decimal("0.005")
# What must be left of the days' gaps under another clock for it to be believed.
_CLOCK = Decimal("0.2")
_NOTHING = Decimal(0)
_BATCH = "batch"
_UNUSED = Usage()


class Cause(StrEnum):
    """Why metered and invoice differ."""

    MISSING = "missing calls"
    UNBILLED = "metered, and not on the invoice"
    UNPRICED = "calls without a price"
    PRICE = "price differs"
    CACHED = "cached tokens"
    BATCH = "batch discount"
    ROUNDING = "rounding"
    ZONE = "time zone"
    CREDITS = "credits"
    OTHER = "items that are no tokens"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Metered:
    """What was metered in the hour or quarter that begins at `hour_ns` for one model and project, in nano-dollars.

    `batch_nanousd` and `uncached_nanousd` are what the same would cost at the batch price, and were nothing cached;
    None where no book says it. `unpriced` calls are in none of the sums.
    """

    hour_ns: int
    model: str
    project: str
    calls: int
    nanousd: int
    usage: Usage = _UNUSED
    unpriced: int = 0
    batch_nanousd: int | None = None
    uncached_nanousd: int | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """A day, a model or a project: both figures, and invoice minus metered."""

    name: str
    metered_usd: Decimal
    invoice_usd: Decimal

    @property
    def gap_usd(self) -> Decimal:
        return _minus(self.invoice_usd, self.metered_usd)


@dataclass(frozen=True, slots=True)
class Explained:
    """A cause, its part of the gap, and in words where it was seen."""

    cause: Cause
    usd: Decimal
    where: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Both sides of a window. `gap_share` is the gap over the invoice, None when nothing was invoiced. `clock_hours` is
    how far ahead of UTC the invoice's days begin, as far as the figures say."""

    start_ns: int
    end_ns: int
    metered_usd: Decimal
    invoice_usd: Decimal
    calls: int
    clock_hours: int
    by_day: tuple[Side, ...]
    by_model: tuple[Side, ...]
    by_project: tuple[Side, ...]
    causes: tuple[Explained, ...]

    @property
    def gap_usd(self) -> Decimal:
        return _minus(self.invoice_usd, self.metered_usd)

    @property
    def gap_share(self) -> Decimal | None:
        return self.gap_usd / self.invoice_usd if self.invoice_usd else None

    def within(self, tolerance: Decimal) -> bool:
        """Whether the gap is at most that share of the invoice, of either sign."""
        return abs(self.gap_usd) <= abs(self.invoice_usd) * tolerance


def reconcile(
    metered: Iterable[Metered], statements: Iterable[Statement], canonical: Callable[[str], str] = str.lower
) -> Reconciliation:
    """Compare. `canonical` gives every spelling of a model one name; statements of usage help to tell causes.

    The window is what the statements of cost cover; what was metered outside of it is not compared.
    """
    stated = list(statements)
    lines = [each for each in stated if each.kind is Kind.COST and each.usd is not None]
    start, end = min((each.start_ns for each in lines), default=0), max((each.end_ns for each in lines), default=0)
    held = list(metered)
    days = _Days(start, lines, canonical)
    clock = _clock(held, days, start, end)
    inside = _between(held, start, end)
    moved = _between(held, start - clock * HOUR_NS, end - clock * HOUR_NS)
    cells = _cells(moved, days, clock, stated, canonical)
    total = usd(sum(each.nanousd for each in inside))
    causes = _causes(cells, lines)
    shifted = _minus(total, usd(sum(each.nanousd for each in moved)))
    if clock:
        where = f"the invoice's days begin at UTC{clock:+d}"
        causes.append(Explained(Cause.ZONE, shifted.copy_negate(), where))
    return Reconciliation(
        start_ns=start,
        end_ns=end,
        metered_usd=total,
        invoice_usd=exact_sum(_usd(each) for each in lines),
        calls=sum(each.calls for each in inside),
        clock_hours=clock,
        by_day=_sides(((days.of(each.hour_ns), each) for each in inside), _by_day(lines, days)),
        by_model=_sides(
            ((canonical(each.model), each) for each in inside), ((canonical(each.model), each) for each in lines)
        ),
        by_project=_sides(((each.project, each) for each in inside), ((each.project, each) for each in lines)),
        causes=tuple(sorted(causes, key=lambda each: (-abs(each.usd), each.cause.value))),
    )


@dataclass(slots=True)
class _Cell:
    """One model on one day, both sides."""

    day: str
    model: str
    calls: int = 0
    unpriced: int = 0
    nanousd: int = 0
    batch: int | None = 0
    uncached: int | None = 0
    tokens: int = 0
    stated_tokens: int | None = None
    lines: list[Decimal] = field(default_factory=list)
    batched: list[Decimal] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether both sides say the same."""
        return bool(self.lines and self.calls) and _near(self.metered, self.invoice)

    @property
    def halved(self) -> bool:
        """Whether lines that the invoice calls batch are half of what they were metered at: no book need say so."""
        whole = exact_sum((self.invoice, *self.batched))
        return bool(self.batched) and _near(self.metered, whole)

    @property
    def invoice(self) -> Decimal:
        return exact_sum(self.lines)

    @property
    def metered(self) -> Decimal:
        return usd(self.nanousd)

    @property
    def gap(self) -> Decimal:
        return _minus(self.invoice, self.metered)

    def add(self, each: Metered) -> None:
        self.calls += each.calls
        self.unpriced += each.unpriced
        self.nanousd += each.nanousd
        self.tokens += each.usage.prompt_tokens + each.usage.completion_tokens
        self.batch = _both(self.batch, each.batch_nanousd)
        self.uncached = _both(self.uncached, each.uncached_nanousd)

    def fits(self, nanos: int | None) -> bool:
        """Whether another sum comes near the invoice where the metered one does not."""
        return nanos is not None and nanos != self.nanousd and _near(usd(nanos), self.invoice)


class _Days:
    """The spans of an invoice: a moment is of the day in whose line it falls. Days are as long as they are: 23 or 25
    hours where clocks change. Where no line is a day long, and where none is, they are of 24 hours."""

    def __init__(self, start: int, lines: Sequence[Statement], canonical: Callable[[str], str]) -> None:
        self.start = start
        self._ends = {
            each.start_ns: each.end_ns for each in lines if abs(each.end_ns - each.start_ns - DAY_NS) <= HOUR_NS
        }
        self._begins = sorted(self._ends)
        self._named_at = DAY_NS // 2 if self._begins else 0
        self.invoiced: dict[str, list[Decimal]] = defaultdict(list)
        self.lines: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
        self.batched: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
        for each in lines:
            if each.model and _usd(each) >= 0:
                place = self.of(each.start_ns), canonical(each.model)
                self.lines[place].append(_usd(each))
                if each.processing == _BATCH:
                    self.batched[place].append(_usd(each))
                self.invoiced[self.of(each.start_ns)].append(_usd(each))

    def of(self, at_ns: int) -> str:
        """The day of a moment: the date of its noon, which is its date on the clock by which it begins at midnight."""
        place = bisect_right(self._begins, at_ns)
        began = self._begins[max(0, place - 1)] if self._begins else self.start
        if not began <= at_ns < self._ends.get(began, began):
            began += (at_ns - began) // DAY_NS * DAY_NS
        return f"{from_ns(began + self._named_at):%Y-%m-%d}"


def _clock(held: Sequence[Metered], days: _Days, start: int, end: int) -> int:
    """Hours that the invoice's days are ahead of UTC; 0 unless another clock explains nearly all of the days' gaps."""
    if len(days.invoiced) < 2:
        return 0
    invoiced = {day: exact_sum(lines) for day, lines in days.invoiced.items()}

    def apart(clock: int) -> Decimal:
        sums: dict[str, int] = defaultdict(int)
        for each in held:
            at = each.hour_ns + clock * HOUR_NS
            if start <= at < end:
                sums[days.of(at)] += each.nanousd
        return sum((abs(invoiced.get(day, _NOTHING) - usd(sums[day])) for day in {*invoiced, *sums}), _NOTHING)

    plain = apart(0)
    best = min(_ZONES, key=lambda clock: (apart(clock), abs(clock)))
    total = sum(invoiced.values(), _NOTHING)
    return best if plain > total * _FITS and apart(best) < plain * _CLOCK else 0


def _cells(
    moved: Sequence[Metered],
    days: _Days,
    clock: int,
    stated: Sequence[Statement],
    canonical: Callable[[str], str],
) -> list[_Cell]:
    cells: dict[tuple[str, str], _Cell] = {}

    def cell(day: str, model: str) -> _Cell:
        return cells.setdefault((day, model), _Cell(day, model))

    for (day, model), lines in days.lines.items():
        cell(day, model).lines += lines
        cell(day, model).batched += days.batched.get((day, model), [])
    for each in moved:
        cell(days.of(each.hour_ns + clock * HOUR_NS), canonical(each.model)).add(each)
    for said in stated:
        place = days.of(said.start_ns), canonical(said.model)
        if said.kind is Kind.USAGE and said.model and place in cells:
            tokens = said.usage.prompt_tokens + said.usage.completion_tokens
            cells[place].stated_tokens = (cells[place].stated_tokens or 0) + tokens
    return list(cells.values())


def _causes(cells: Sequence[_Cell], lines: Sequence[Statement]) -> list[Explained]:
    """Every part of the gap under one cause."""
    parts: dict[Cause, list[Decimal]] = defaultdict(list)
    seen: dict[Cause, list[str]] = defaultdict(list)
    for each in lines:
        money = _usd(each)
        if money < 0 or not each.model:
            cause = Cause.CREDITS if money < 0 else Cause.OTHER
            parts[cause].append(money)
            seen[cause].append(each.item or each.model or "no words")
    steady, agreed = _steady(cells), _agreed(cells)
    for cell in cells:
        if cell.gap:
            cause = _cause(cell, steady, cell.day < agreed.get(cell.model, ""))
            parts[cause].append(cell.gap)
            ratio = f" (x {cell.invoice / cell.metered:.3f})" if cause is Cause.PRICE and cell.metered else ""
            seen[cause].append(f"{cell.model} on {cell.day}{ratio}")
    return [Explained(cause, exact_sum(figures), _where(seen[cause])) for cause, figures in parts.items()]


def _cause(cell: _Cell, steady: frozenset[str], agreed_later: bool) -> Cause:
    """The one cause of a cell's gap, tried in the order of how sure its sign is. `agreed_later`: on a later day both
    sides are the same for this model, so that its price was not another one."""
    if not cell.lines:
        return Cause.UNBILLED
    if not cell.calls:
        return Cause.MISSING
    if abs(cell.gap) <= sum((_half_a_digit(line) for line in cell.lines), _NOTHING):
        return Cause.ROUNDING
    if cell.unpriced:
        return Cause.UNPRICED
    if cell.halved or cell.fits(cell.batch):
        return Cause.BATCH
    if cell.fits(cell.uncached):
        return Cause.CACHED
    if cell.model in steady:
        return _by_tokens(cell) or Cause.PRICE
    later = (Cause.MISSING if cell.gap > 0 else Cause.UNBILLED) if agreed_later else Cause.UNEXPLAINED
    return _by_tokens(cell) or later


def _by_tokens(cell: _Cell) -> Cause | None:
    """What the provider's own count of tokens says; None where it counted none, or other ones than these."""
    if cell.stated_tokens is None:
        return None
    share = Decimal(cell.tokens) / cell.stated_tokens if cell.stated_tokens else Decimal(2)
    if share < 1 - _FITS and cell.gap > 0:
        return Cause.MISSING
    return Cause.PRICE if abs(share - 1) <= _FITS else None


def _agreed(cells: Sequence[_Cell]) -> dict[str, str]:
    """The last day on which both sides say the same, by model."""
    found: dict[str, str] = {}
    for cell in cells:
        if cell.agrees:
            found[cell.model] = max(cell.day, found.get(cell.model, ""))
    return found


def _steady(cells: Sequence[_Cell]) -> frozenset[str]:
    """Models whose invoice is the same multiple of what was metered on every one of several days: another price."""
    ratios: dict[str, list[Decimal]] = defaultdict(list)
    for cell in cells:
        if cell.lines and cell.nanousd:
            ratios[cell.model].append(cell.invoice / cell.metered)
    return frozenset(
        model for model, found in ratios.items() if len(found) > 1 and max(found) - min(found) <= _FITS * max(found)
    )


def _half_a_digit(figure: Decimal) -> Decimal:
    """How far a figure may be from what it was rounded from; nothing, where it has digits beyond a nano-dollar.

    >>> _half_a_digit(Decimal("1.25"))
    Decimal('0.005')
    """
    exponent = figure.as_tuple().exponent
    places = exponent if isinstance(exponent, int) else 0
    return Decimal(5).scaleb(min(places, 0) - 1)


def _where(seen: Sequence[str]) -> str:
    told = "; ".join(seen[:2])
    return told if len(seen) <= 2 else f"{told} and {len(seen) - 2:,} more"


def _sides(metered: Iterable[tuple[str, Metered]], lines: Iterable[tuple[str, Statement]]) -> tuple[Side, ...]:
    nanos: dict[str, int] = defaultdict(int)
    money: dict[str, list[Decimal]] = defaultdict(list)
    for name, each in metered:
        nanos[name] += each.nanousd
    for name, line in lines:
        money[name].append(_usd(line))
    return tuple(Side(name, usd(nanos[name]), exact_sum(money[name])) for name in sorted({*nanos, *money}))


def _by_day(lines: Sequence[Statement], days: _Days) -> Iterator[tuple[str, Statement]]:
    return ((days.of(each.start_ns), each) for each in lines)


def _between(held: Sequence[Metered], start: int, end: int) -> list[Metered]:
    return [each for each in held if start <= each.hour_ns < end]


def _usd(line: Statement) -> Decimal:
    return line.usd if line.usd is not None else _NOTHING


def _minus(one: Decimal, other: Decimal) -> Decimal:
    return exact_sum((one, other.copy_negate()))


def _both(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= abs(other) * _FITS
