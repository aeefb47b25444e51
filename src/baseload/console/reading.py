"""One state of the page, read from one moment of the ledger. Acts (reads the ledger)."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from baseload.audit.paid import paid, pools_of
from baseload.console import metered, outlook, words
from baseload.console.figures import Figures
from baseload.console.outlook import Outlook
from baseload.documents import load_deployments
from baseload.ledger import query, removed
from baseload.ledger.hot import FILE
from baseload.ledger.query import EVERYTHING, Answers, Dimension, Filter, Totals
from baseload.ledger.rows import RUN
from baseload.policy.policy import version
from baseload.settings import Settings
from baseload.usage import Usage

# Runs that a reader may pick from, newest first.
_PICKED = 50
_NOTHING = Totals(
    calls=0,
    attempts=0,
    failed=0,
    reported=0,
    unpriced=0,
    usage=Usage(),
    cost_nanousd=0,
    own_nanousd=0,
    provider_nanousd=0,
    first_ns=None,
    last_ns=None,
    ended_ns=None,
)


def of_run(run: str) -> Filter:
    """The calls of a run; of every run when it is empty."""
    return Filter(tags={RUN: run}) if run else EVERYTHING


class Reader:
    """Reads states of the page from the ledger in `directory`, which is served under `settings`."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._ledger = settings.store_shown or _place(directory / FILE)
        self._policy = version(settings.policy)
        self._pools = pools_of(settings.upstreams, load_deployments())
        self._own = tuple(route.name for route in settings.policy.routes if route.own)

    def read(self, moment: Answers, run: str, by: str, mark: str, found: Outlook | None, trouble: str) -> Figures:
        """A run grouped by a dimension, with what the newest outlook found; `mark` becomes the state's version."""
        where = of_run(run)
        runs = tuple(each.tag for each in query.runs(moment)[:_PICKED])
        totals = query.totals(moment, where)
        if not totals.calls:
            return self.nothing(run, by, mark, runs)
        money = paid(totals.bought_nanousd, totals.own_nanousd, self._pools, totals.first_ns, totals.ended_ns)
        dispatch = query.dispatch(moment, self._own, where)
        state = Figures(
            version=mark,
            run=run,
            runs=runs,
            by=by,
            period=words.period(totals.first_ns, totals.last_ns),
            policy=self._policy,
            ledger=self._ledger,
            requests=totals.calls,
            cards=metered.cards(totals, money, dispatch, own_pool=bool(self._own)),
            traffic=metered.traffic(
                by, query.by(moment, cast("Dimension", by), where), totals, money, removed.by_hour(moment)
            ),
            decisions=metered.decisions(query.skips(moment, where), totals.calls),
            verdict=outlook.WORKING,
        )
        return outlook.added(state, found, trouble)

    def nothing(self, run: str, by: str, mark: str = "0", runs: tuple[str, ...] = ()) -> Figures:
        """The state before the first call."""
        return Figures(
            version=mark,
            run=run,
            runs=runs,
            by=by,
            period=words.period(None, None),
            policy=self._policy,
            ledger=self._ledger,
            requests=0,
            cards=(),
            traffic=metered.traffic(by, (), _NOTHING, paid(0, 0, (), None, None)),
            decisions=metered.decisions((), 0),
            verdict=outlook.WORKING,
        )


def _place(path: Path) -> str:
    """A path as a person writes it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
