"""`baseload decide` on metered calls: your ledger, or the demo's. Acts (reads them)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baseload.cli.output import how_many, note
from baseload.cli.place import Place, configuration

if TYPE_CHECKING:
    from baseload.cli.decide_case import Said
    from baseload.cli.decide_ways import Ways
    from baseload.ledger.hot import HotStore
    from baseload.ledger.query import Filter
    from baseload.plan.answer import Answer
    from baseload.settings import Settings

# The demo writes the configuration it ran under beside its ledger.
CONFIG = "baseload.yaml"


def on_ledger(flags: Mapping[str, Any], ways: Ways, said: Said) -> Answer:
    """Decide on metered calls: the configuration says which routes and pools may serve them.

    Every component of the cost model counts unless --bare leaves people and operations out.
    """
    from baseload.cli.decide_case import on_question
    from baseload.cli.decide_ways import assumptions, typed
    from baseload.documents import catalog_of, load_deployments
    from baseload.ledger.hot import open_store
    from baseload.plan.measured import metered_question

    ways.refuse_shape()
    settings, place = _configured(flags)
    assumed = assumptions(typed(flags), ways, everything=ways.full is not False)
    store = open_store(*place, read_only=True)
    try:
        catalog = catalog_of(settings)
        question = metered_question(
            store.calls(_filter(store, flags)),
            catalog,
            load_deployments(),
            settings,
            assumed,
            leases=ways.kinds(),
            on=ways.hours.schedule(),
        )
    finally:
        store.close()
    return on_question(question, said, catalog, "ledger")


def _configured(flags: Mapping[str, Any]) -> tuple[Settings, Place]:
    """The configuration (named, beside the ledger, or in this folder), and the ledger: named, else its own."""
    from baseload.configuration import read_settings
    from baseload.errors import BadInput
    from baseload.home import demo_home

    ledger, config = flags["ledger"], flags["config"]
    directory = demo_home() if flags["demo"] else Path(ledger).expanduser() if ledger and "://" not in ledger else None
    if config is None and directory is not None and (beside := directory / CONFIG).exists():
        config = str(beside)
    if config is None and not flags["demo"] and (here := configuration(None)) is not None:
        config = str(here)
        note(f"under {here} in this folder")
    if config is None and directory is not None:
        raise BadInput(
            f"{directory} holds no {CONFIG}, and no configuration was named",
            remedy="Add --config FILE: its policy says which routes and pools may serve the calls.",
        )
    if config is None:
        raise BadInput(
            "nothing to decide on: no figures were typed and no configuration was named",
            remedy="Add --config baseload.yaml for your ledger, --demo for the demo's, or --input and --output.",
        )
    settings = read_settings(Path(config))
    place = Place(directory, "") if directory is not None else Place(settings.directory, ledger or settings.store)
    return settings, place


def _filter(store: HotStore, flags: Mapping[str, Any]) -> Filter:
    """The run that was asked for; the demo's latest unless one was."""
    from baseload.ledger.query import Filter, latest_run

    newest = latest_run(store) if flags["demo"] and flags["run"] is None else None
    if newest is not None:
        note(f"on the demo's latest run, {newest.tag}: {how_many(newest.calls, 'call')}")
    tag = newest.tag if newest is not None else flags["run"]
    return Filter(tags={"run": tag} if tag else {})
