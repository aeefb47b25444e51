"""What the page shows, as one frozen value: cards, verdict, tables, charts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from baseload.console.graphs import Chart
from baseload.console.tables import Table

DIMENSIONS = ("route", "upstream", "model", "bucket", "hour")


@dataclass(frozen=True, slots=True)
class Card:
    """One figure in large type: `shown` to read, `exact` beside it; `share` of one draws a bar."""

    key: str
    title: str
    shown: str
    exact: str
    detail: str
    share: Decimal | None = None
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision in one sentence, and what it stands on."""

    headline: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """One state of the page. `version` changes when anything in it changes.

    `missing` says that the run was asked for and has no call. What is dear to work out (`verdict` to `crossings`) may
    be absent for a moment; `pending` then says why.
    """

    version: str
    run: str
    runs: tuple[str, ...]
    by: str
    period: str
    policy: str
    ledger: str
    requests: int
    cards: tuple[Card, ...]
    traffic: Table
    decisions: Table
    verdict: Verdict
    pending: str = ""
    missing: bool = False
    models: Table | None = None
    bars: Chart | None = None
    breakeven: Chart | None = None
    options: Table | None = None
    crossings: Table | None = None

    @property
    def empty(self) -> bool:
        return self.requests == 0

    @property
    def dimensions(self) -> tuple[str, ...]:
        return DIMENSIONS

    @property
    def query(self) -> str:
        """The query string under which this state is found again."""
        return self.link(self.by)

    def link(self, by: str, run: str | None = None) -> str:
        """The query string of the same page grouped otherwise, or of another run."""
        return urlencode({"run": self.run if run is None else run, "by": by})

    @property
    def tables(self) -> Mapping[str, Table]:
        """Every table by its name in the address."""
        known = (self.models, self.options, self.crossings, self.traffic, self.decisions)
        return {table.name: table for table in known if table is not None}

    @property
    def charts(self) -> Mapping[str, Chart]:
        """Every chart by its name in the address."""
        return {chart.name: chart for chart in (self.bars, self.breakeven) if chart is not None}
