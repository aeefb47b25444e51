"""Runs an import on bytes, into a real ledger or dry."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from baseload.catalog.books import Catalog
from baseload.documents import load_catalog
from baseload.imports.entry import Asked
from baseload.imports.formats import FORMATS
from baseload.imports.frame import Import, Report
from baseload.imports.pricing import Prices
from baseload.imports.sink import DryRun, Ledger
from baseload.ledger.hot import open_store
from baseload.ledger.statements import Statements
from baseload.load.calls import Call
from baseload.load.statements import Statement


@cache
def catalog() -> Catalog:
    return load_catalog()


def imported(
    directory: Path,
    format: str,
    data: str | bytes,
    *,
    dry_run: bool = False,
    columns: Mapping[str, str] | None = None,
    **asked: object,
) -> Report:
    """What an import of some bytes reports."""
    raw = data.encode() if isinstance(data, str) else data
    with DryRun(directory) if dry_run else Ledger(directory) as sink:
        told = Asked(columns=MappingProxyType(dict(columns or {})), **asked)
        stream = io.BufferedReader(io.BytesIO(raw), 1 << 20)
        return Import(FORMATS[format], told, Prices(catalog()), sink).run(stream, "file", dry_run=dry_run)


def calls(directory: Path) -> list[Call]:
    store = open_store(directory, read_only=True)
    try:
        return list(store.calls())
    finally:
        store.close()


def statements(directory: Path) -> list[Statement]:
    with Statements(directory, read_only=True) as held:
        return list(held.read())
