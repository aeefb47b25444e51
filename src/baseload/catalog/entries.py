"""The nouns of the catalog: Source, Rates, PriceRow, Offer, Machine, Lease. Pure values.

Every row keeps where it came from and when. Prices are USD per million tokens as `Decimal` with at most six decimals,
which is what a price sheet prints; `cost.tokens` turns them into integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
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


@dataclass(frozen=True, slots=True)
class Window:
    """A daily window in UTC, from `start` to before `end`; it may wrap past midnight."""

    start: time
    end: time

    def covers(self, when: datetime) -> bool:
        """Whether an aware UTC datetime falls inside."""
        clock = when.time()
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One dated line of a schedule. Among the rows that hold at a moment the last one in the schedule wins."""

    rates: Rates
    valid_from: date | None = None
    valid_to: date | None = None
    window: Window | None = None
    tiers: tuple[Tier, ...] = ()

    def holds(self, when: datetime) -> bool:
        """Whether this row is in force at an aware UTC datetime; `valid_to` is the first day it no longer holds."""
        day = when.date()
        if self.valid_from is not None and day < self.valid_from:
            return False
        if self.valid_to is not None and day >= self.valid_to:
            return False
        return self.window is None or self.window.covers(when)


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to buy tokens: provider x model x dated price schedule, as one book states it."""

    provider: str
    model: str
    source: Source
    schedule: tuple[PriceRow, ...]
    context_tokens: int | None = None
    name: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        """`provider/model`: the name under which several books may price the same offer."""
        return f"{self.provider}/{self.model}"

    def row(self, when: datetime) -> PriceRow | None:
        """The schedule row in force at an aware UTC datetime, or None when the book has none."""
        return next((row for row in reversed(self.schedule) if row.holds(when)), None)


class LeaseKind(StrEnum):
    """How an hour of a machine is paid."""

    RENTED = "rented"
    RESERVED = "reserved"
    SPOT = "spot"
    OWNED = "owned"
    BROKERED = "brokered"


@dataclass(frozen=True, slots=True)
class Machine:
    """A GPU shape: one card's figures times `count`. Watts per card at load; bandwidth in TB/s per card."""

    name: str
    gpu: str
    count: int
    memory_gb: Decimal
    bandwidth_tb_per_second: Decimal
    bf16_tflops: Decimal
    watts: Decimal
    source: Source

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
