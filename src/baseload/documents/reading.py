"""One YAML file read and checked, and what every data file has: named sources, ranges, names that stand once. Acts.

A broken file is a BadConfig that names the file, the row and the field.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import msgspec

from baseload.catalog.entries import Precedence, Source
from baseload.configuration import read_document
from baseload.errors import BadConfig, BadInput
from baseload.ranges import Range

Document = TypeVar("Document", bound=msgspec.Struct)


class Origin(msgspec.Struct, forbid_unknown_fields=True):
    """A source of rows, as a file names it at its top."""

    reference: str
    as_of: date
    licence: str
    precedence: str = "articles"


def read(path: Path, kind: type[Document]) -> Document:
    """One YAML file, checked against its shape."""
    try:
        return msgspec.convert(read_document(path), kind)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{path}: {error}", remedy="Mend that field; `$` is the top of the file.") from error
    except RecursionError as error:
        raise BadConfig(
            f"{path} contains itself", remedy="Take out the alias (`*name`) that closes the circle."
        ) from error


def source_of(book: str, origins: dict[str, Origin], path: Path) -> Source:
    """The source of a row, with the file's own word for its precedence. Raises BadConfig for one that is not there."""
    origin = origins.get(book)
    if origin is None:
        raise BadConfig(f"{path}: {book!r} is not one of its sources", remedy=f"Use one of {', '.join(origins)}.")
    try:
        precedence = Precedence[origin.precedence.upper()]
    except KeyError as error:
        known = ", ".join(each.name.lower() for each in Precedence)
        raise BadConfig(
            f"{path}: {book} has precedence {origin.precedence!r}", remedy=f"Use one of {known}."
        ) from error
    return Source(book, precedence, origin.as_of, origin.reference, origin.licence)


def range_of(figures: list[Decimal] | None, gpu: str, path: Path) -> Range | None:
    """One figure is exact, two are the ends, three are low, likely and high."""
    if figures is None:
        return None
    try:
        match figures:
            case [only]:
                return Range.exact(only)
            case [low, high]:
                return Range.between(low, high)
            case [low, likely, high]:
                return Range(low, likely, high)
    except BadInput as error:
        raise BadConfig(f"{path}: {gpu}: {error.message}", remedy=error.remedy) from error
    raise BadConfig(f"{path}: {gpu} has a range of {len(figures)} figures", remedy="Give one, two or three.")


def once(names: list[str], path: Path) -> None:
    """Raise BadConfig for a name that stands in a file twice."""
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadConfig(f"{path}: {', '.join(doubled)} stands there twice", remedy="Rename or remove one.")
