"""The parameter table of the cost model, and the assumptions that a bill stands on. Pure.

Every figure has a name, a unit, a range, how it is known, a source and a date. `Assumptions` is the table with what was
typed or configured laid over it; the origin of every figure stays known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from baseload.catalog.entries import Source
from baseload.errors import BadInput, Unpriced
from baseload.ranges import Range

Scale = Literal["F", "R", "N", "T", "O", "E"]
Payer = Literal["rent", "own", "api"]
Shape = Literal["exact", "triangular", "lognormal", "integer"]
Evidence = Literal["measured", "reported", "assumed"]
Origin = Literal["typed", "metered", "config", "default", "left out"]

# Shares are parts of a whole; what is a part of more than the whole is a slip of the decimal point.
_SHARES = ("share",)
# Figures that divide: zero of them is no plan.
_ABOVE_ZERO = frozenset(
    {
        "life_years",
        "horizon_months",
        "reserved_term_months",
        "target_fill",
        "peak_over_mean",
        "attempts_per_answer",
        "tokenizer_ratio",
        "engineer_hours_per_year",
        "spot_hours_between_interruptions",
        "replica_input_tokens_per_month",
        "replica_output_tokens_per_month",
    }
)
# What `bare` leaves out: everything beside the tokens and the machines themselves.
_BESIDE = (
    "gateway_usd_per_month",
    "monitoring_usd_per_month",
    "api_monitoring_share",
    "engineer_fte",
    "engineer_fte_per_replica",
    "oncall_usd_per_month",
    "incidents_per_month",
    "model_updates_usd_per_month",
    "setup_engineer_hours",
    "exit_share_of_purchase",
    "egress_usd_per_gb",
    "storage_usd_per_gb_month",
    "licence_usd_per_gpu_year",
    "spare_replicas",
)
_NEUTRAL = ("target_fill", "peak_over_mean", "tokenizer_ratio")
_AT_LEAST_ONE = frozenset({"peak_over_mean", "attempts_per_answer", "pue"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One figure. `figure` is None where only an option or the load can say it: nothing stands in for it.

    `shape` and `group` say how it is sampled: spread over its range, together with the others of its group.
    """

    name: str
    unit: str
    figure: Range | None
    shape: Shape
    group: str
    evidence: Evidence
    source: Source
    note: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """One item of the cost model. `scale`: F a month, R replica-hours, N replicas, T tokens, O once, E events."""

    number: int
    id: str
    title: str
    scale: Scale
    pays: tuple[Payer, ...]
    formula: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Table:
    """All components in the order of their numbers, the figures of `capacity`, and how strongly a group's figures move
    together (rank correlation)."""

    components: tuple[Component, ...]
    capacity: tuple[Parameter, ...]
    groups: Mapping[str, float]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every figure, in the order of the table."""
        return (*(each for component in self.components for each in component.parameters), *self.capacity)

    def component(self, component_id: str) -> Component:
        """The component with that id."""
        return next(each for each in self.components if each.id == component_id)


@dataclass(frozen=True)
class Assumptions(Mapping[str, Range]):
    """Parameter name -> Range: the table's defaults with overrides laid over them.

    Asking for a figure that only an option or the load can give, and that none gave, raises Unpriced.
    """

    table: Table
    overrides: Mapping[str, tuple[Range, Origin]] = field(default_factory=dict)
    _known: Mapping[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = {parameter.name: parameter for parameter in self.table.parameters}
        object.__setattr__(self, "_known", MappingProxyType(known))
        for name, (figure, _) in self.overrides.items():
            check(self.parameter(name), figure)

    def __getitem__(self, name: str) -> Range:
        if name in self.overrides:
            return self.overrides[name][0]
        if name not in self._known:
            raise KeyError(name)
        figure = self._known[name].figure
        if figure is None:
            raise Unpriced(
                f"{name} is not known, and nothing may stand in for it",
                remedy=f"Give {name} ({self._known[name].unit}) with the option or the load.",
            )
        return figure

    def __contains__(self, name: object) -> bool:
        return name in self.overrides or (name in self._known and self._known[str(name)].figure is not None)

    def __iter__(self) -> Iterator[str]:
        return (name for name, known in self._known.items() if known.figure is not None or name in self.overrides)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def parameter(self, name: str) -> Parameter:
        """The row of the table. Raises BadInput with names that come close."""
        if name not in self._known:
            close = difflib.get_close_matches(name, self._known, n=3, cutoff=0.5) or sorted(self._known)[:3]
            raise BadInput(f"the cost model has no figure called {name!r}", remedy=f"Did you mean {', '.join(close)}?")
        return self._known[name]

    def origin(self, name: str) -> Origin:
        """Who said so."""
        return self.overrides[name][1] if name in self.overrides else "default"

    def over(self, figures: Mapping[str, Range], origin: Origin = "typed") -> Assumptions:
        """These assumptions with figures laid over them."""
        return Assumptions(self.table, {**self.overrides, **{name: (each, origin) for name, each in figures.items()}})

    def bare(self) -> Assumptions:
        """Only the tokens and the machines: people, operations, spares and headroom are left out, and say so."""
        figures = {name: Range.exact(0) for name in _BESIDE} | {name: Range.exact(1) for name in _NEUTRAL}
        return self.over({name: each for name, each in figures.items() if name not in self.overrides}, "left out")

    def exactly(self) -> Assumptions:
        """Every figure at its likely value."""
        flat = {name: (Range.exact(self[name].likely), self.origin(name)) for name in self}
        return Assumptions(self.table, flat)


def check(parameter: Parameter, figure: Range) -> None:
    """Refuse a figure that makes no sense for its unit. Raises BadInput."""
    name, low, high = parameter.name, figure.low, figure.high
    if not (low.is_finite() and high.is_finite()) or low < 0:
        raise BadInput(f"{name} is {low}", remedy=f"Give {name} from 0 up, in {parameter.unit}.")
    if name in _ABOVE_ZERO and low <= 0:
        raise BadInput(f"{name} is {low}, and it divides", remedy=f"Give {name} above 0, in {parameter.unit}.")
    if name in _AT_LEAST_ONE and low < 1:
        raise BadInput(f"{name} is {low}, below one", remedy=f"Give {name} from 1 up.")
    if parameter.unit in _SHARES and high > 1:
        raise BadInput(f"{name} is {high}, more than the whole", remedy=f"Write {name} as a share: 0.3 for 30 %.")
    if parameter.shape == "integer" and any(each != each.to_integral_value() for each in (low, figure.likely, high)):
        raise BadInput(f"{name} is {figure.likely}", remedy=f"Give {name} as a whole number.")


def likely(assumptions: Mapping[str, Range]) -> dict[str, Decimal]:
    """Every figure at its likely value."""
    return {name: figure.likely for name, figure in assumptions.items()}
