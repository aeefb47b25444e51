"""What is weighed by the cost model, whatever door it came in by: a load, the ways to serve it, and what is assumed.
Pure values, and all of them can be written down: a frozen decision keeps its question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from baseload.cost.parameters import Assumptions, Origin, Table
from baseload.cost.ways import Load, Way
from baseload.plan.document import Assumption, Known, Metered
from baseload.plan.options import Volume
from baseload.ranges import Range

MEASURE = "meter your own traffic with `baseload serve --config FILE`, then `baseload decide --config FILE`"


@dataclass(frozen=True)
class Question:
    """`now` is how the load is served today, `overflow` what a hybrid buys from, the cheapest of `apis` unless said.

    `figures` are laid over the parameter table. `known` says how the figures of a way are known, typed unless said;
    `rows` are assumptions that no line shows; `metered` is what was measured, where the load comes from a ledger.
    """

    volume: Volume
    load: Load
    apis: tuple[Way, ...]
    machines: tuple[Way, ...]
    figures: Mapping[str, tuple[Range, Origin]] = field(default_factory=dict)
    now: Way | None = None
    overflow: Way | None = None
    known: Mapping[str, Known] = field(default_factory=dict)
    rows: tuple[Assumption, ...] = ()
    metered: Metered | None = None
    next_step: str = MEASURE

    @property
    def ways(self) -> tuple[Way, ...]:
        """Everything but the hybrid, which is made of the cheapest of them."""
        return (*((self.now,) if self.now is not None else ()), *self.apis, *self.machines)

    def assumptions(self, table: Table) -> Assumptions:
        """The parameter table with what was said laid over it."""
        return Assumptions(table, dict(self.figures))
