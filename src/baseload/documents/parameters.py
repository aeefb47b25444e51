"""The parameter table of the cost model. Acts (reads a file)."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from baseload.cost.parameters import Component, Evidence, Parameter, Payer, Scale, Shape, Table, check
from baseload.documents.reading import Origin, once, range_of, read, source_of
from baseload.errors import BadConfig, BadInput

COST_DATA = Path(str(resources.files("baseload.cost") / "data"))


class _ParameterRow(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    unit: str
    figures: list[Decimal] | None
    shape: Shape
    evidence: Evidence
    source: str
    group: str = ""
    note: str = ""


class _ComponentRow(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    id: str
    title: str
    scale: Scale
    pays: list[Payer]
    formula: str
    parameters: list[_ParameterRow]


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, Origin]
    groups: dict[str, float]
    components: list[_ComponentRow]
    capacity: list[_ParameterRow]


@cache
def load_parameters(*, directory: Path = COST_DATA) -> Table:
    """The parameter table of the cost model."""
    path = directory / "parameters.yaml"
    document = read(path, _Parameters)
    once([row.id for row in document.components], path)
    rows = [*(row for each in document.components for row in each.parameters), *document.capacity]
    once([row.name for row in rows], path)
    return Table(
        tuple(
            Component(
                number=row.number,
                id=row.id,
                title=row.title,
                scale=row.scale,
                pays=tuple(row.pays),
                formula=row.formula,
                parameters=tuple(_parameter(each, document, path) for each in row.parameters),
            )
            for row in document.components
        ),
        tuple(_parameter(each, document, path) for each in document.capacity),
        document.groups,
    )


def _parameter(row: _ParameterRow, document: _Parameters, path: Path) -> Parameter:
    if row.group and row.group not in document.groups:
        raise BadConfig(
            f"{path}: {row.name} moves with {row.group!r}, which is not one of its groups",
            remedy=f"Use one of {', '.join(document.groups)}.",
        )
    parameter = Parameter(
        name=row.name,
        unit=row.unit,
        figure=range_of(row.figures, row.name, path),
        shape=row.shape,
        group=row.group,
        evidence=row.evidence,
        source=source_of(row.source, document.sources, path),
        note=row.note,
    )
    try:
        if parameter.figure is not None:
            check(parameter, parameter.figure)
    except BadInput as error:
        raise BadConfig(f"{path}: {error.message}", remedy=error.remedy) from error
    return parameter
