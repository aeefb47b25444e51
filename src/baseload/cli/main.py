"""The `baseload` command: one file per verb, errors with a remedy, exit codes as `errors.py` draws them. Acts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from baseload import __version__
from baseload.cli import (
    budget,
    capacity,
    config,
    decide,
    demo,
    doctor,
    explain,
    exports,
    gpu,
    imports,
    init,
    key,
    ledger,
    measure,
    outcome,
    price,
    reconcile,
    replay,
    serve,
    simulate,
    upstream,
)
from baseload.cli.output import note, say
from baseload.errors import BaseloadError

INTERRUPTED = 130

app = typer.Typer(
    name="baseload",
    help="Know your LLM break-even, then run at it.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich alone would take longer to import than all of the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", help="Replay a real trace through the gateway on simulated upstreams: no key, nothing leaves.")(
    demo.command
)
app.command("serve", help="Run the gateway and the console on one port.")(serve.command)
app.command("upstream", help="A simulated upstream to try a configuration on: no key, nothing leaves.")(
    upstream.command
)
app.command("init", help="Write a first configuration, from provider keys in the environment or from LiteLLM's.")(
    init.command
)
app.command("doctor", help="Check everything that serving needs; each line says what to do.")(doctor.command)
app.command("decide", help="The verdict: buy by the token, rent or own; every crossing, and what would flip it.")(
    decide.command
)
app.command(
    "explain", help="From a total to its lines, formulas, inputs and sources.", context_settings=explain.PASSES_ON
)(explain.command)
app.command("outcome", help="What a task done right costs, with failures, retries and corrections counted in.")(
    outcome.command
)
app.add_typer(price.app, name="price", help="What every book says a model costs, dated, with conflicts.")
app.add_typer(gpu.app, name="gpu", help="What an hour of a GPU costs by the way it is paid, and when owning pays.")
app.add_typer(config.app, name="config", help="The configuration: check it, show it, and its schema.")
app.add_typer(budget.app, name="budget", help="Caps on what is spent: where they stand, to set and reset them.")
app.add_typer(ledger.app, name="ledger", help="What was metered: ask it, seal hours that are over, verify them.")
app.add_typer(key.app, name="key", help="The keys of clients: make, see, rotate and revoke them.")
app.add_typer(
    capacity.app,
    name="capacity",
    help="What a model on GPUs serves, with bounds; whether it fits; the load within an SLO.",
)
app.command("measure", help="Benchmark a live endpoint, fit its curve, and keep it for decide.")(measure.command)
app.command(
    "simulate", help="A load through own pools and APIs before anything is bought: how fast, how full, what cost."
)(simulate.command)
app.command("export", help="The ledger as FOCUS, OpenTelemetry, CSV or Parquet; a Grafana dashboard and its rules.")(
    exports.command
)
app.command("import", help="Read other programs' logs and providers' reports into the ledger.")(imports.command)
app.command(
    "reconcile", help="Metered against a provider's invoice, with the causes of the gap; 3 beyond the tolerance."
)(reconcile.command)
app.command("replay", help="What the metered calls would have cost under another policy.")(replay.command)


def _version(asked: bool) -> None:
    if asked:
        say(f"baseload {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Know your LLM break-even, then run at it."""


def main() -> None:
    """Run the command line; a BaseloadError becomes its message, its remedy and its exit code."""
    try:
        app()
    except BaseloadError as error:
        note(f"error: {error.message}")
        note(f" next: {error.remedy}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
