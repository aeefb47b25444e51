"""Metered calls as a decision by the cost model. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from baseload.capacity.deployment import Deployment
from baseload.catalog.books import Catalog
from baseload.cost.parameters import Assumptions
from baseload.cost.schedule import ALWAYS, Schedule
from baseload.cost.ways import WayKind
from baseload.errors import NotEnoughData
from baseload.load.calls import Call
from baseload.plan.answer import Answer, answer_question
from baseload.plan.assumptions import metered_rows
from baseload.plan.metered import NOW, Market, OwnPool
from baseload.plan.profile import profile
from baseload.plan.question import Question
from baseload.plan.scenario import Scenario
from baseload.plan.supplies import Configured, supplies

MORE = "meter a whole week: nights and weekends decide how full a machine is"


def metered_question(
    calls: Iterable[Call],
    catalog: Catalog,
    deployments: Mapping[str, Deployment],
    configured: Configured,
    assumptions: Assumptions,
    *,
    leases: Sequence[WayKind] = (),
    on: Schedule = ALWAYS,
) -> Question:
    """Metered calls as a question, with the routes and own pools of a configuration (`policy` and `upstreams`).

    The pool is weighed on each of the `leases`; rented, and owned where the books know what a card costs, unless said.
    Raises NotEnoughData when too little was metered, a bucket has no priced API, or machines are to be off in hours of
    a week that was not seen; BadConfig for a pool whose deployment or rent no book knows.
    """
    known = supplies(configured, catalog, deployments)
    market = Market(profile(calls, known), known)
    if on != ALWAYS and not market.profile.a_week:
        raise NotEnoughData(
            "machines that are off for hours need the load of every hour of the week, and less than a week was metered",
            remedy="Meter a whole week, or leave --hours out.",
        )
    pool = OwnPool(market, known.pool) if known.pool is not None else None
    machines = []
    if pool is not None and pool.duration:
        kinds = leases or (("rented", "owned") if pool.pool.purchase is not None else ("rented",))
        machines = [pool.machine(kind, on) for kind in kinds]
    metered = {name: figure for name, figure in market.figures.items() if name not in assumptions.overrides}
    apis = market.apis()
    prices = {way.name: market.known(way) for way in apis}
    return Question(
        volume=market.volume,
        load=market.load,
        apis=tuple(apis),
        machines=tuple(machines),
        figures=assumptions.over(metered, "metered").overrides,
        now=market.served_now(),
        overflow=market.overflow if machines else None,
        known={**prices, **{way.name: "market" for way in machines}, NOW: "market"},
        rows=tuple(metered_rows(market, pool)),
        metered=market.metered,
        next_step=MORE,
    )


def decide_on_calls(
    calls: Iterable[Call],
    catalog: Catalog,
    deployments: Mapping[str, Deployment],
    configured: Configured,
    assumptions: Assumptions,
    today: date,
    *,
    said: Scenario | None = None,
) -> Answer:
    """Decide from metered calls. `said` brings a person's answers and the business case's horizon and interest."""
    question = metered_question(calls, catalog, deployments, configured, assumptions)
    return answer_question(
        question, question.assumptions(assumptions.table), said if said is not None else Scenario(name="ledger"), today
    )
