"""`baseload capacity calibrate`: a deployment's speed learnt from what it served. Acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, how_many, print_json, say, table

if TYPE_CHECKING:
    from baseload.cli.capacity_learnt import CalibrateDocument

_Text = str | None


def command(
    deployment: Annotated[
        str, typer.Option(help="The deployment that served: measured, or as in qwen3-32b@h100-80gb-x2:fp8:vllm.")
    ],
    from_ledger: Annotated[bool, typer.Option("--from-ledger", help="Learn from the calls that were metered.")] = False,
    results: Annotated[
        list[str] | None, typer.Option(help="Learn from a benchmark's file, as of vllm bench serve. Repeat it.")
    ] = None,
    ledger: Annotated[_Text, typer.Option(help="The folder of the ledger; that of --config, or yours.")] = None,
    config: Annotated[_Text, typer.Option(help="Configuration that says which upstream runs it.")] = None,
    upstream: Annotated[_Text, typer.Option(help="The upstream whose calls count.")] = None,
    run: Annotated[_Text, typer.Option(help="Only the calls with this run tag.")] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Replicas that served the calls; as configured, or 1.")
    ] = None,
    requests: Annotated[int, typer.Option(min=60, max=5000, help="The latest requests that count, at most.")] = 400,
    engine_version: Annotated[str, typer.Option(help="Version of the engine, as in 0.19.0.")] = "",
    max_num_seqs: Annotated[int | None, typer.Option(min=1, help="Requests that it runs at once at the most.")] = None,
    kv_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens its cache holds, as its own log says.")] = None,
    step_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens that one step may hold, where known.")] = None,
    measured_on: Annotated[_Text, typer.Option(help="Day of --results, as in 2026-11-01; today when left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.calibrate/1.")] = False,
) -> None:
    """Fit a deployment's engine to what it served, hold a part out, and keep it for decide and simulate.

    Of a metered call its arrival, tokens, first token and end count; 60 that have finished are enough.
    """
    from baseload.cli.capacity_learnt import Asked, calibrate
    from baseload.errors import BadInput

    if from_ledger == bool(results):
        raise BadInput(
            "it learns from one source", remedy="Give --from-ledger, or the file of a benchmark with --results."
        )
    asked = Asked(
        deployment, tuple(results or ()), ledger, config, upstream, run, replicas, requests, engine_version,
        max_num_seqs, kv_tokens, step_tokens, measured_on,
    )  # fmt: skip
    document = calibrate(asked)
    if json:
        print_json(document)
    else:
        _show(document)


def _show(document: CalibrateDocument) -> None:
    what = how_many(document.requests, "request") if document.requests else how_many(document.points, "point")
    say(f"{document.deployment}: learnt from {what} of {document.source}")
    say(f"  {document.input_tokens:,} tokens in and {document.output_tokens:,} out on average")
    errors = {
        "latency": document.latency_error,
        "a token": document.per_token_error,
        "the first token": document.first_token_error,
    }
    told = ", ".join(f"{name} {error:+.1%}" for name, error in errors.items() if error is not None)
    word = "calibrated" if document.calibrated else "NOT calibrated"
    if document.held_out is None:
        say(f"  {word}: too little to hold a part out")
    elif told:
        say(
            f"  {word}: the last {document.held_out_requests} requests, which a first fit had not seen: means of {told}"
        )
    else:
        say(f"  {word}: the worst point, predicted by the others, is off by {document.held_out:.1%}")
    table(
        "one machine, requests kept in flight",
        [">in flight", ">output tokens/s"],
        [[str(each.in_flight), f"{each.output_tokens_per_second:,.0f}"] for each in document.loads],
    )
    say(f"  kept as {document.deployment} in {document.entry}")
    hint(f"baseload decide --input 300M --output 100M --price 3/15 --deployment {document.deployment}")
