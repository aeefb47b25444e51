"""The nouns of the catalog: Source, Rates, PriceRow, Variant, Offer, Machine, Lease. Pure values.

Every row keeps where it came from and when. Prices are USD per million tokens as `Decimal` with at most six decimals,
which is what a price sheet prints; `cost.tokens` turns them into integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import IntEnum, StrEnum

from baseload.ranges import Range


class Precedence(IntEnum):
    """Which book wins when several know a price: the lower number. Every other row is kept and shown."""

    YOURS = 0
    PROVIDER = 1
    MARKET = 2
    ARTICLES = 3


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure was read: the book's name, the date it was true, a reference, the licence of the data."""

    book: str
    precedence: Precedence
    as_of: date
    reference: str
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens by leaf of `Usage`, and USD per request.

    None means the sheet has no such line: cache reads and writes are then charged as input and reasoning as output,
    which is what providers without such a line do. An absent `input` or `output` means the price is unknown.
    """

    input: Decimal | None
    output: Decimal | None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    per_request: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates for a request whose prompt is longer than `above_prompt_tokens`: a cliff, the whole request pays them."""

    above_prompt_tokens: int
    rates: Rates


class Processing(StrEnum):
    """How the provider was asked to process a request; each way may have a price of its own."""

    STANDARD = "standard"
    BATCH = "batch"
    FLEX = "flex"
    PRIORITY = "priority"
    FAST = "fast"


DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(range(len(DAY_NAMES)))


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day on the clock of the row that holds it, from `start` to before `end`, on `weekdays` (Monday is
    0). It may wrap past midnight and then belongs to the day on which it began; equal ends are the whole day."""

    start: time
    end: time
    weekdays: frozenset[int] = EVERY_DAY

    def covers(self, when: datetime) -> bool:
        """Whether a moment, given on the row's own clock, falls inside.

        >>> friday_night = Window(time(22), time(6), frozenset({4}))
        >>> friday_night.covers(datetime(2026, 11, 21, 3)), friday_night.covers(datetime(2026, 11, 20, 3))
        (True, False)
        """
        clock, day = when.time(), when.weekday()
        if self.start < self.end:
            return self.start <= clock < self.end and day in self.weekdays
        if clock >= self.start and day in self.weekdays:
            return True
        return clock < self.end and (day - 1) % 7 in self.weekdays


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One dated line of a schedule. Among the rows that hold at a moment the last one in the schedule wins.

    Its dates and its window are read on the provider's clock: `zone`.
    """

    rates: Rates
    valid_from: date | None = None
    valid_to: date | None = None
    window: Window | None = None
    tiers: tuple[Tier, ...] = ()
    zone: tzinfo = UTC

    def holds(self, when: datetime) -> bool:
        """Whether this row is in force at an aware UTC datetime; `valid_to` is the first day it no longer holds."""
        local = when if self.zone is UTC else when.astimezone(self.zone)
        day = local.date()
        if self.valid_from is not None and day < self.valid_from:
            return False
        if self.valid_to is not None and day >= self.valid_to:
            return False
        return self.window is None or self.window.covers(local)


@dataclass(frozen=True, slots=True)
class Variant:
    """The schedule of an offer for requests that are not processed in the standard way."""

    processing: Processing
    schedule: tuple[PriceRow, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to buy tokens: provider x model x dated price schedule, as one book states it.

    `schedule` is for standard requests, `variants` for the others. `monthly_minimum_usd` is owed whatever is used: a
    line of the month's bill, never of a request.
    """

    provider: str
    model: str
    source: Source
    schedule: tuple[PriceRow, ...]
    context_tokens: int | None = None
    name: str = ""
    note: str = ""
    variants: tuple[Variant, ...] = ()
    monthly_minimum_usd: Decimal = Decimal(0)

    @property
    def key(self) -> str:
        """`provider/model`: the name under which several books may price the same offer."""
        return f"{self.provider}/{self.model}"

    def rows(self, processing: Processing = Processing.STANDARD) -> tuple[PriceRow, ...]:
        """The schedule for one way of processing; empty when the book has no price for it."""
        if processing is Processing.STANDARD:
            return self.schedule
        return next((each.schedule for each in self.variants if each.processing is processing), ())

    def row(self, when: datetime, processing: Processing = Processing.STANDARD) -> PriceRow | None:
        """The schedule row in force at an aware UTC datetime, or None when the book has none."""
        return next((row for row in reversed(self.rows(processing)) if row.holds(when)), None)

    def turns(self, start: datetime, end: datetime) -> tuple[datetime, ...]:
        """Moments from `start` to before `end` (aware UTC) at which another row can come into force, `start` among
        them: between two of them the standard price does not change with time."""
        found = {start}
        for row in self.schedule:
            found |= {moment for moment in _edges(row, start, end) if start <= moment < end}
        return tuple(sorted(found))


def _edges(row: PriceRow, start: datetime, end: datetime) -> set[datetime]:
    """Every moment near the span at which a row begins or ceases to hold, in UTC."""
    days = {day for day in (row.valid_from, row.valid_to) if day is not None}
    local = [datetime.combine(day, time(), row.zone) for day in days]
    hours: set[datetime] = set()
    if row.window is not None:
        first, last = start.astimezone(row.zone).date(), end.astimezone(row.zone).date()
        local += [
            datetime.combine(first + timedelta(days=day), at.replace(fold=fold), row.zone)
            for at in (row.window.start, row.window.end, time())
            for day in range((last - first).days + 1)
            for fold in (0, 1)
        ]
        # Clocks that are set forward or back move a window on the hour; a look at every hour finds each change.
        if row.zone is not UTC:
            hour = start.replace(minute=0, second=0, microsecond=0)
            hours = {hour + timedelta(hours=each) for each in range(int((end - hour) / timedelta(hours=1)) + 1)}
    return {moment.astimezone(UTC) for moment in local} | hours


class LeaseKind(StrEnum):
    """How an hour of a machine is paid."""

    RENTED = "rented"
    RESERVED = "reserved"
    SPOT = "spot"
    OWNED = "owned"
    BROKERED = "brokered"


@dataclass(frozen=True, slots=True)
class Machine:
    """A GPU shape: one card's figures times `count`. Watts per card at load; bandwidth in TB/s per card.

    TFLOPS are dense; None where the card has no such units. `link_gb_per_second` goes to its neighbour, one direction.
    """

    name: str
    gpu: str
    count: int
    memory_gb: Decimal
    bandwidth_tb_per_second: Decimal
    bf16_tflops: Decimal
    watts: Decimal
    source: Source
    fp8_tflops: Decimal | None = None
    fp4_tflops: Decimal | None = None
    link_gb_per_second: Decimal | None = None

    @property
    def total_memory_gb(self) -> Decimal:
        return self.memory_gb * self.count


@dataclass(frozen=True, slots=True)
class Lease:
    """What one GPU of a kind costs: `usd_per_gpu_hour` when leased, `purchase_usd` per card when owned.

    A source that prices a whole box by the month gives `usd_per_month` for all of its `count` cards instead.
    """

    gpu: str
    kind: LeaseKind
    source: Source
    usd_per_gpu_hour: Range | None = None
    purchase_usd: Range | None = None
    provider: str = ""
    note: str = ""
    usd_per_month: Range | None = None
    count: int = 1
