"""`baseload capacity`: what a model on GPUs serves, whether it fits, and the load within an objective. Acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli import capacity_calibrate
from baseload.cli.capacity_results import read_results
from baseload.cli.output import hint, how_many, note, print_json, say, table
from baseload.cli.price import PriceGroup

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from typer._click.core import Context

    from baseload.capacity.answer import CapacityDocument, CaseAnswer, Figure
    from baseload.capacity.asked import Books
    from baseload.capacity.calibration import Point
    from baseload.capacity.case import Case

EXAMPLE = "baseload capacity --model qwen3-32b --gpu H100 --count 2 --quant fp8"
MOST_ROWS = 1_000_000
_SHOWN = 40


class CapacityGroup(PriceGroup):
    """`baseload capacity` itself, and what it learns by; a first word that is no verb belongs to a question."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """No word at all is a question too, which says what it lacks."""
        return super().parse_args(ctx, args or [self.falls_to])


app = typer.Typer(cls=CapacityGroup)
app.command("calibrate", help="Learn a deployment's speed from what it served, and keep it.")(
    capacity_calibrate.command
)


@app.command("show")
def command(
    model: Annotated[str, typer.Option(help="Model: a name, or its path on Hugging Face.")] = "",
    gpu: Annotated[str, typer.Option(help="GPU, as in H100, h200_sxm, rtx-4090.")] = "",
    count: Annotated[int, typer.Option(help="How many cards serve it together.")] = 1,
    quant: Annotated[str, typer.Option(help="Precision of the weights: bf16, fp8, fp4, int8, int4 (or AWQ).")] = "bf16",
    input_tokens: Annotated[int, typer.Option(help="Tokens of a prompt, on average.")] = 1000,
    output_tokens: Annotated[int, typer.Option(help="Tokens of an answer, on average.")] = 250,
    concurrency: Annotated[int, typer.Option(help="Requests kept in flight.")] = 64,
    engine: Annotated[str, typer.Option(help="vllm, sglang or trtllm; another is served by their mean.")] = "vllm",
    engine_version: Annotated[str, typer.Option(help="Version of the engine, to stand beside the answer.")] = "",
    tp: Annotated[int, typer.Option(help="Tensor parallel: cards that share a layer. 0: all of a stage.")] = 0,
    ep: Annotated[int, typer.Option(help="Expert parallel: cards over which whole experts are spread.")] = 1,
    pp: Annotated[int, typer.Option(help="Pipeline stages.")] = 1,
    cached: Annotated[str, typer.Option(help="Share of a prompt that the prefix cache knows, as in 30%.")] = "0",
    max_num_seqs: Annotated[int, typer.Option(help="Requests that the engine runs at once at the most.")] = 1024,
    config: Annotated[str | None, typer.Option(help="A model's config.json, where its name is not known.")] = None,
    slo: Annotated[
        str | None, typer.Option(help="Bounds, as in ttft=500ms,tpot=30ms: the largest load within.")
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(help="What you measured, as in concurrency=64,output_tokens_per_s=1916. Repeat it."),
    ] = None,
    results: Annotated[
        list[str] | None, typer.Option(help="A benchmark's JSON: vllm bench, GuideLLM, AIPerf, inference-perf, llm-d.")
    ] = None,
    measured_on: Annotated[str | None, typer.Option(help="Day of the points, as in 2026-11-01.")] = None,
    usd_per_gpu_hour: Annotated[float | None, typer.Option(help="What an hour of one card costs.")] = None,
    batch: Annotated[str | None, typer.Option(help="A CSV of cases with a header, one answer per row.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.capacity/1.")] = False,
) -> None:
    """What a model on GPUs serves: tokens a second and times with bounds, whether it fits, the load within an SLO."""
    from pathlib import Path

    from baseload.capacity.asked import Books, case_of
    from baseload.documents import load_architectures, load_machines, read_architecture
    from baseload.errors import BadInput

    books = Books(load_architectures(), load_machines(), {})
    if batch is not None:
        _batch(Path(batch), books, json=json)
        return
    if not gpu or not (model or config):
        raise BadInput("a model and a GPU make a case", remedy=f"As in {EXAMPLE}.")
    typed = {
        "model": model, "gpu": gpu, "count": str(count), "quant": quant, "input_tokens": str(input_tokens),
        "output_tokens": str(output_tokens), "concurrency": str(concurrency), "engine": engine,
        "engine_version": engine_version, "tp": str(tp), "ep": str(ep), "pp": str(pp), "cached": cached,
        "max_num_seqs": str(max_num_seqs),
    }  # fmt: skip
    own = read_architecture(Path(config)) if config is not None else None
    case = case_of(typed, books, own)
    points = _points(case, point or [], results or [], measured_on) or _yours(case, books)
    document = _answer(case, points, usd_per_gpu_hour, slo)
    if json:
        print_json(document)
    else:
        _show(document)


def _answer(
    case: Case,
    points: list[Point],
    usd_per_gpu_hour: float | None,
    slo: str | None,
) -> CapacityDocument:
    from math import isfinite

    from baseload.capacity.answer import capacity
    from baseload.capacity.asked import objective
    from baseload.capacity.calibration import calibrated
    from baseload.clock import SystemClock, now
    from baseload.documents import load_capacity_model
    from baseload.errors import BadInput

    if usd_per_gpu_hour is not None and not (isfinite(usd_per_gpu_hour) and usd_per_gpu_hour >= 0):
        raise BadInput(f"--usd-per-gpu-hour {usd_per_gpu_hour} is no price", remedy="Give USD for an hour of a card.")
    model = load_capacity_model()
    found = calibrated(points, model) if points else None
    doubt = found.doubt(case, now(SystemClock()).date()) if found is not None else None
    bounds = objective(slo) if slo is not None else None
    return capacity(case, model, found, doubt=doubt, usd_per_gpu_hour=usd_per_gpu_hour, objective=bounds)


def _points(case: Case, typed: list[str], files: list[str], measured_on: str | None) -> list[Point]:
    from pathlib import Path

    from baseload.capacity.asked import point_of

    when = _day(measured_on)
    points = [point_of(each, case, when) for each in typed]
    for name in files:
        points += read_results(Path(name), case, when)
    return points


def _yours(case: Case, books: Books) -> list[Point]:
    """What `baseload measure` kept of this very deployment, and says so."""
    from baseload.cli.measure_model import kept_points

    name, points = kept_points(case, books)
    if points:
        note(f"  calibrated on your {name}, measured {points[0].when}")
    return points


def _day(text: str | None) -> date | None:
    from datetime import date

    from baseload.errors import BadInput

    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError as error:
        raise BadInput(f"--measured-on {text!r} is no day", remedy="Write it as 2026-11-01.") from error


def _batch(path: Path, books: Books, *, json: bool) -> None:
    """A table of cases. A row that cannot be read says so in its place."""
    import csv
    from itertools import islice

    from baseload.capacity.answer import batch
    from baseload.capacity.asked import case_of
    from baseload.documents import load_capacity_model
    from baseload.errors import BadInput

    asked: list[Case | str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in islice(csv.DictReader(file), MOST_ROWS):
                try:
                    asked.append(case_of(row, books))
                except BadInput as error:
                    asked.append(str(error))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"cannot read {path}: {error}", remedy="Give a CSV in UTF-8 with a header.") from error
    if not asked:
        raise BadInput(f"{path} has no rows", remedy="Give a CSV with a header and at least one case.")
    document = batch(asked, load_capacity_model())
    wrong = [number for number, each in enumerate(asked, 1) if isinstance(each, str)]
    if json:
        print_json(document)
    else:
        _show_cases(document.cases)
    if wrong:
        first = asked[wrong[0] - 1]
        note(f"{how_many(len(wrong), 'row')} could not be read; row {wrong[0]}: {first}")
    if len(wrong) == len(asked):
        raise BadInput("no row could be read", remedy=f"Mend the columns: {asked[0]}")


def _show_cases(cases: list[CaseAnswer]) -> None:
    table(
        "likely (80 of 100 measurements)",
        ["model", "on", "engine", ">in flight", ">output tokens/s", ">ms a token", ">ms to the first"],
        [
            [
                each.model or "-",
                f"{each.count} x {each.gpu} {each.quant}" if each.gpu else each.error[:60],
                each.engine,
                str(each.concurrency),
                *(_span(figure) for figure in (each.output_tokens_per_s, each.tpot_ms, each.ttft_ms)),
            ]
            for each in cases[:_SHOWN]
        ],
    )
    if len(cases) > _SHOWN:
        say(f"  and {len(cases) - _SHOWN:,} more: --json has all")


def _show(document: CapacityDocument) -> None:
    case = document.case
    say(f"{case.model} at {case.quant} on {case.count} x {case.gpu}, {case.engine}:")
    say(f"  {case.fit}")
    if not case.fits:
        hint("the same with a --count or --quant that holds it; --json has the figures as if it ran all the same")
        return
    if case.most_concurrent is not None and case.fits and case.concurrency > case.most_concurrent:
        say(f"  {case.concurrency:,} are asked for: the others wait")
    rows = [_row(case)]
    bound = document.objective
    if bound is not None and bound.served is not None:
        rows.append(_row(bound.served))
    dear = case.usd_per_million_output_tokens is not None
    heads = [">in flight", ">output tokens/s", ">ms a token", ">ms to the first"]
    table("likely (80 of 100 measurements)", [*heads, *([">USD per M output"] if dear else [])], rows)
    if bound is not None:
        wanted = " and ".join(
            f"{name} within {most:g} ms"
            for name, most in (("first token", bound.ttft_ms), ("token", bound.tpot_ms))
            if most is not None
        )
        say(f"  {wanted}: up to {bound.concurrency:,} requests in flight")
    say(f"  rests on {case.basis}; fitted to measurements up to {document.as_of}")
    found = document.calibration
    if found is not None and found.held_out_error is not None:
        said = "calibrated" if found.calibrated else "NOT calibrated: above 15 %"
        say(f"  worst point predicted by the others: off by {found.held_out_error:.0%} ({said})")
    if found is not None and found.why:
        say(f"  measured {found.measured or 'today'}: {found.why}")
    hint("baseload capacity --point concurrency=64,output_tokens_per_s=... narrows it by what you measured")


def _row(case: CaseAnswer) -> list[str]:
    figures = [case.output_tokens_per_s, case.tpot_ms, case.ttft_ms]
    if case.usd_per_million_output_tokens is not None:
        figures.append(case.usd_per_million_output_tokens)
    return [str(case.concurrency), *(_span(each) for each in figures)]


def _span(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.likely:,.4g} ({figure.low:,.4g} to {figure.high:,.4g})"
