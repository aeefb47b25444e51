"""Where a verb's ledger is: what `--ledger` names, else what the configuration says, else your own. Acts (reads it)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

DEFAULT_CONFIG = Path("baseload.yaml")
Where = Annotated[
    str | None,
    typer.Option("--ledger", help="The ledger's folder, or postgresql://...; the configuration's, else yours."),
]


Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Your configuration: its prices, and where its ledger is.")
]


class Place(NamedTuple):
    """A ledger: the folder of its spool, statements and lake, and the database of its calls (empty: in the folder)."""

    directory: Path
    store: str

    def __str__(self) -> str:
        from baseload.settings import shown_address

        return shown_address(self.store) if self.store else str(self.directory)


def configuration(named: Path | None) -> Path | None:
    """The configuration that was named, else the one in this folder, else none."""
    return named if named is not None else DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def place_of(ledger: str | None, config: Path | None) -> Place:
    """Where to read and write. An address in `ledger` says where the calls are; statements and lake stay in the folder
    that the configuration names. Raises BadConfig."""
    from baseload.configuration import read_place
    from baseload.home import home

    if ledger and "://" not in ledger:
        return Place(Path(ledger).expanduser(), "")
    found = configuration(config)
    if found is None:
        return Place(home(), ledger or "")
    said = read_place(found)
    return Place(said.directory, ledger or said.store)
