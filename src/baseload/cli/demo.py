"""`baseload demo`: the whole loop on a real trace, with no key, nothing leaving the machine. Acts.

Simulated upstreams and the gateway run as children; the official openai client replays the trace through the gateway;
what was metered is held against the upstreams' own count, and the verdict is drawn from the ledger.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import note, print_json, say
from baseload.errors import BadInput, Breach
from baseload.units import HOURS_PER_DAY, SECONDS_PER_HOUR

# At sixty times the speed a month takes twelve hours; what spans more is rather a broken date.
MOST_DAYS = 31

if TYPE_CHECKING:
    from baseload.load.trace import Trace


def command(
    once: Annotated[bool, typer.Option("--once", help="End after the verdict instead of serving on.")] = False,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Replay only the first N requests.")] = None,
    speed: Annotated[float, typer.Option("--speed", min=0.1, max=1000, help="Times faster than it happened.")] = 60.0,
    trace: Annotated[Path | None, typer.Option("--trace", help="Another trace, in the columns of Azure's.")] = None,
    listen: Annotated[str, typer.Option("--listen", help="Where gateway and console answer.")] = "127.0.0.1:8790",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Replay a real trace through the gateway on simulated upstreams, then say what it cost and what to do."""
    from baseload.cli.demo_report import print_closing, print_opening, print_report
    from baseload.cli.demo_stage import BUNDLED, Stage
    from baseload.cli.serve import check_host

    check_host(listen)
    began = time.monotonic()
    with Stage(
        _trace(trace, sample), name=BUNDLED if trace is None else trace.name, listen=listen, speed=speed
    ) as stage:
        if not as_json:
            print_opening(stage.opening)
        stage.replay()
        report = stage.report(seconds=time.monotonic() - began)
        if as_json:
            print_json(report)
        else:
            print_report(report)
            print_closing(report, serving=not once)
        if not report.agrees:
            raise Breach(
                "the ledger and the upstreams' own count differ",
                remedy=f"Compare `counted` with `metered` in `baseload demo --json`; the run is {report.run}.",
            )
        if not once:
            _until_interrupted()


def _trace(path: Path | None, sample: int | None) -> Trace:
    """The bundled trace or the one named, whole or its first rows. Broken rows are told and left out."""
    from dataclasses import replace

    from baseload.cli.scene import bundled_trace
    from baseload.load.trace import parse_trace

    if path is None:
        trace = bundled_trace()
    else:
        try:
            trace = parse_trace(path.read_text(encoding="utf-8").splitlines(), origin=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"cannot read {path}: {error}", remedy="Name a readable CSV file with --trace.") from error
    for row in trace.broken:
        note(f"{path}, line {row.line} is left out: {row.reason}")
    if sample is not None and sample > len(trace.arrivals):
        note(f"the trace has {len(trace.arrivals):,} requests: all of them are replayed, not {sample:,}")
    replayed = replace(trace, arrivals=trace.arrivals[:sample])
    days = replayed.seconds / (SECONDS_PER_HOUR * HOURS_PER_DAY)
    if days > MOST_DAYS:
        raise BadInput(
            f"the trace spans {days:,.0f} days, and a replay takes at most {MOST_DAYS}",
            remedy="Replay its beginning with --sample, or cut it at the gap.",
        )
    return replayed


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say()
