"""Files of other benchmarks, read as measured points. Acts (reads files)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from baseload.capacity.calibration import Point
    from baseload.capacity.case import Case

_YAML = (".yaml", ".yml")


def read_results(path: Path, case: Case, when: date | None) -> list[Point]:
    """Every measurement of a file of JSON, YAML or text. Raises BadInput for what no benchmark wrote."""
    from baseload.capacity.results import document_points, points_from
    from baseload.configuration import read_document
    from baseload.errors import BadInput

    try:
        if path.suffix in _YAML and path.is_file():
            return document_points(read_document(path), case, when)
        return points_from(path.read_bytes(), case, when)
    except OSError as error:
        raise BadInput(
            f"cannot read {path}: {error.strerror}", remedy="Give the file that a benchmark wrote."
        ) from error
