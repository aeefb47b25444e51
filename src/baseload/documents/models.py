"""Models: what their layers are, and how fast they run. Acts (reads files)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from baseload.capacity.architecture import Architecture
from baseload.capacity.config_json import shape_of
from baseload.catalog.entries import Precedence, Source
from baseload.documents.prices import DATA
from baseload.documents.reading import Origin, once, source_of
from baseload.errors import BadConfig, BadInput

if TYPE_CHECKING:
    from baseload.capacity.estimate import Model

CAPACITY_DATA = Path(str(resources.files("baseload.capacity") / "data"))
_MOST_CONFIG_BYTES = 4_000_000


class _ModelRow(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    path: str
    aliases: list[str]
    source: str
    config: dict[str, object]
    published_billions: Decimal | None = None


class _Models(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, Origin]
    models: list[_ModelRow]


@cache
def load_architectures(*, directory: Path = DATA) -> dict[str, Architecture]:
    """Models by name, counted from their published configs: whether they fit a machine, and how fast they run there."""
    path = directory / "architectures.json"
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Models)
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(f"cannot read {path}: {error}", remedy="Install baseload again.") from error
    once([row.name for row in document.models], path)
    found = {}
    for row in document.models:
        try:
            shape = shape_of(row.config)
        except BadInput as error:
            raise BadConfig(f"{path}: {row.name}: {error.message}", remedy=error.remedy) from error
        source = source_of(row.source, document.sources, path)
        found[row.name] = Architecture.counted(row.name, shape, source, (row.path, *row.aliases))
    return found


def read_architecture(path: Path) -> Architecture:
    """A model from its published config.json. Raises BadInput for what is none."""
    try:
        document = msgspec.json.decode(path.read_bytes()[:_MOST_CONFIG_BYTES], type=dict[str, object])
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error}", remedy="Give the path of a config.json.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"{path} is no config.json: {error}", remedy="Give the file as published.") from error
    source = Source(str(path), Precedence.YOURS, datetime.fromtimestamp(path.stat().st_mtime, UTC).date(), str(path))
    return Architecture.counted(path.parent.name or path.stem, shape_of(document), source)


@cache
def load_capacity_model(*, directory: Path = CAPACITY_DATA) -> Model:
    """The fitted capacity model: constants, what is known of measured deployments, and its bands."""
    # Imported here: they bring numpy, which most verbs do without.
    from baseload.capacity.model_file import AGAIN, ModelDocument, model_from

    path = directory / "capacity.json"
    try:
        return model_from(msgspec.json.decode(path.read_bytes(), type=ModelDocument))
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(f"cannot read {path}: {error}", remedy=AGAIN) from error
