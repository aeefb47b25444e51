"""`baseload config`: check a configuration, show what is in force, print its schema. Acts (reads files)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from baseload.cli.output import hint, note, print_json, say

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Config = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
DEFAULT_CONFIG = Path("baseload.yaml")

app = typer.Typer(no_args_is_help=True)


@app.command("check")
def check(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Read a configuration as `baseload serve` would, and price its routes."""
    from datetime import UTC, datetime

    from baseload.configuration import read_settings
    from baseload.gateway.loaded import load
    from baseload.policy.policy import version

    settings = read_settings(config)
    loaded = load(settings, datetime.now(UTC).date())
    policy = version(settings.policy)
    if json:
        unpriced = list(loaded.unpriced)
        print_json({"schema": "baseload.config.check/1", "ok": True, "policy": policy, "unpriced_offers": unpriced})
        return
    upstreams, routes = len(settings.upstreams), len(settings.policy.routes)
    say(f"{config} is sound: {upstreams} upstreams, {routes} routes, policy {policy}")
    for offer in loaded.unpriced:
        note(f"no book has a price for {offer}: its calls will be unpriced")
    hint(f"baseload serve -c {config}")


@app.command("show")
def show(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Every setting with the value that is in force, secrets masked."""
    from ruamel.yaml import YAML

    from baseload.configuration import read_settings
    from baseload.settings import masked

    settings = masked(read_settings(config))
    if json:
        print_json({"schema": "baseload.config/1", "config": settings})
        return
    yaml = YAML()
    yaml.width = 120
    yaml.dump(settings, sys.stdout)


@app.command("schema")
def schema_of() -> None:
    """The JSON Schema (draft 7) of the configuration, for an editor."""
    from baseload.cli.config_schema import modeline, schema

    print_json(schema())
    note(f"write it to ./schema.json and begin the configuration with {modeline('./schema.json')}")
