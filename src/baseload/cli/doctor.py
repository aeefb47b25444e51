"""`baseload doctor`: is everything there that serving needs, and what to do where it is not. Acts (reads, connects)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import how_many, note, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.cli.doctor_checks import Check

SCHEMA = "baseload.doctor/1"
BREACHED = 3


def command(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("baseload.yaml"),
    offline: Annotated[bool, typer.Option("--offline", help="Connect to no upstream.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that an upstream may take to answer.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help=f"One JSON document, schema {SCHEMA}.")] = False,
) -> None:
    """Check the configuration, prices, keys, disk, clock, port and, over the network, every upstream.

    Each line is ok, warn or fail, with what to do. Ends with 3 when one failed. It asks each upstream for its list of
    models, with your key; nothing else is sent.
    """
    from baseload.cli.doctor_checks import of_place, read

    first, settings = read(config)
    checks = list(first)
    if settings is not None:
        checks += of_place(settings, config)
        if not offline:
            from baseload.cli.doctor_reach import reach

            where = ", ".join(dict.fromkeys(url for upstream in settings.upstreams for url in upstream.urls))
            note(f"connecting to {where or 'nobody: there are no upstreams'}  (--offline connects to none)")
            checks += reach(settings, timeout)
    if as_json:
        print_json({"schema": SCHEMA, "ok": not _count(checks, "fail"), "checks": checks})
    else:
        _show(checks)
    if _count(checks, "fail"):
        raise typer.Exit(BREACHED)


def _show(checks: Sequence[Check]) -> None:
    for check in checks:
        say(f"{check.status:<5} {check.what:<12} {check.found}")
        if check.remedy:
            say(f"{'':18}   next: {check.remedy}")
    failed, warned = _count(checks, "fail"), _count(checks, "warn")
    say(f"\n{how_many(len(checks), 'check')}: {failed} failed, {how_many(warned, 'warning')}")


def _count(checks: Sequence[Check], status: str) -> int:
    return sum(check.status == status for check in checks)
