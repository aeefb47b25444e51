"""The fitted model as a document and back. Pure; the file is read by `documents`."""

from __future__ import annotations

from datetime import date

import msgspec
import numpy as np

from baseload.capacity.case import ENGINES
from baseload.capacity.constants import EFFECTS, SOFTNESS, START, Constants
from baseload.capacity.estimate import Model
from baseload.capacity.known import Known
from baseload.errors import BadConfig

AGAIN = "Install baseload again, or fit it: python tests/data/capacity/fit.py."


class ModelDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `capacity.json` holds: see `Model`. `source` says what the constants were fitted to."""

    source: str
    licence: str
    as_of: date
    rows: int
    values: dict[str, float]
    effects: dict[str, dict[str, float]]
    bands: dict[str, dict[str, tuple[float, float]]]
    known_step: dict[str, float]
    known_first: dict[str, float]


def model_from(document: ModelDocument) -> Model:
    """The model. Raises BadConfig where a constant is missing."""
    missing = [name for name in START if name not in document.values] + [
        f"{name} of {engine}" for name in EFFECTS for engine in ENGINES if engine not in document.effects.get(name, {})
    ]
    if missing:
        raise BadConfig(f"the capacity model lacks {', '.join(missing)}", remedy=AGAIN)
    effects = {name: np.array([*(document.effects[name][each] for each in ENGINES), 0.0]) for name in EFFECTS}
    return Model(
        Constants({**document.values, "softness": document.values.get("softness", SOFTNESS)}, effects),
        Known(document.known_step, document.known_first),
        document.bands,
        document.as_of.isoformat(),
    )


def document_of(model: Model, *, source: str, licence: str, as_of: date, rows: int) -> ModelDocument:
    """The document, figures rounded to what a fit can tell."""
    constants = model.constants
    return ModelDocument(
        source=source,
        licence=licence,
        as_of=as_of,
        rows=rows,
        values={name: round(value, 5) for name, value in constants.values.items()},
        effects={
            name: {engine: round(float(column[place]), 5) for place, engine in enumerate(ENGINES)}
            for name, column in constants.effects.items()
        },
        bands={
            basis: {figure: (round(low, 4), round(high, 4)) for figure, (low, high) in each.items()}
            for basis, each in model.bands.items()
        },
        known_step=dict(model.known.step),
        known_first=dict(model.known.first),
    )
